//! One launch: the request, the token that makes it single, and the rehearsal that launches nothing.
//!
//! The request is a function of [`RunInstance`] and the pool's settings alone, and the token a hash over all of it; so
//! the same token never goes with two requests, and a request that is repeated never launches twice.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, InstanceInterruptionBehavior, InstanceMarketOptionsRequest,
    InstanceMetadataEndpointState, InstanceMetadataOptionsRequest, InstanceMetadataTagsState, InstanceType,
    LaunchTemplateSpecification, MarketType, ResourceType, ShutdownBehavior, SpotInstanceType, SpotMarketOptions, Tag,
    TagSpecification,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use data_encoding::BASE32_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::client::{Fleet, call};
use super::error::{Error, ErrorClass};
use super::instances::request_id;
use super::{FLEET_TAG, MARKET_TAG, POOL_TAG, RUNNER_ID_TAG, SLOT_TAG, user_data};
use crate::config::{Image, Launch};
use crate::engine::{FleetName, InstanceId, Market, PoolName, RunnerId, RunnerName, Slot};
use crate::services::{Launched, RunInstance};

impl Fleet {
    /// Returns the client token of a launch: at most 64 ASCII characters, the same for the same request, another for
    /// any other. It is no secret: the JIT config can't be had from it.
    ///
    /// # Errors
    /// [`ErrorClass::Configuration`] for a pool that can't launch, or user data that can't be made.
    pub fn client_token(&self, request: &RunInstance) -> Result<String, Error> {
        let launch = self.launch_settings(&request.pool)?;
        Ok(client_token(&self.name, request, launch, &rendered(request, launch)?))
    }

    /// Rehearses a launch of the pool's first offering, with `DryRun`: image, subnet, groups and permissions are
    /// checked, and nothing is launched.
    ///
    /// # Errors
    /// What EC2 would refuse a launch for; it does not check capacity.
    pub async fn dry_run(&self, pool: &PoolName) -> Result<(), Error> {
        let policy = &self.pool(pool)?.policy;
        let Some(offering) = policy.offerings.first() else {
            return Err(unlaunchable(pool, "has no offering: `instance_types` and `subnets` are needed"));
        };
        let request = RunInstance {
            pool: pool.clone(),
            slot: Slot(0),
            name: RunnerName::of(&self.name, pool, Slot(0)),
            runner_id: RunnerId(0),
            offering: offering.clone(),
            jit_config: SecretString::from("rehearsal"),
        };
        let sent = self.request(&request).await?.dry_run(true).send().await;
        // A rehearsal that would have worked is answered with an error of its own.
        if sent.as_ref().is_err_and(|error| error.code() == Some("DryRunOperation")) {
            tracing::debug!(action = "RunInstances", result = "DryRunOperation");
            return Ok(());
        }
        call("RunInstances", std::future::ready(sent)).await.map(|_| ())
    }

    /// Asks EC2 what a launch must say of its image, unless that is known.
    pub(super) async fn prepare_launch(&self, request: &RunInstance) -> Result<(), Error> {
        match &self.launch_settings(&request.pool)?.image {
            Image::Ami(ami) => self.lasting_devices(ami).await.map(drop),
            Image::LaunchTemplate(_) => Ok(()),
        }
    }

    /// Sends one `RunInstances`; the SDK does not repeat it, since it takes a lack of capacity (HTTP 500) for a fault.
    pub(super) async fn launch(&self, request: &RunInstance) -> Result<Launched, Error> {
        let once = aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled());
        let sent = self.request(request).await?.customize().config_override(once).send();
        let answer = call("RunInstances", sent).await?;
        let instance_id = answer.instances().first().and_then(|instance| instance.instance_id()).map(InstanceId::new);
        let request_id = request_id(&answer);
        match instance_id {
            Some(instance_id) => Ok(Launched { instance_id, request_id }),
            // The same request again is answered with the same instance.
            None => Err(Error {
                class: ErrorClass::Retry,
                action: "RunInstances",
                code: "Response".to_owned(),
                message: "an answer without an instance".to_owned(),
                request_id,
            }),
        }
    }

    async fn request(&self, request: &RunInstance) -> Result<RunInstancesFluentBuilder, Error> {
        let launch = self.launch_settings(&request.pool)?;
        let user_data = rendered(request, launch)?;
        let tags = tags(&self.name, request, launch);
        let offering = &request.offering;
        let mut call = self
            .client
            .run_instances()
            .min_count(1)
            .max_count(1)
            .client_token(client_token(&self.name, request, launch, &user_data))
            .instance_type(InstanceType::from(offering.instance_type.as_str()))
            .subnet_id(&offering.subnet)
            .set_security_group_ids((!launch.security_groups.is_empty()).then(|| launch.security_groups.clone()))
            .user_data(BASE64_STANDARD.encode(user_data.expose_secret()))
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
            .metadata_options(
                InstanceMetadataOptionsRequest::builder()
                    .http_endpoint(InstanceMetadataEndpointState::Enabled)
                    .http_tokens(HttpTokensState::Required)
                    .http_put_response_hop_limit(1)
                    .instance_metadata_tags(InstanceMetadataTagsState::Disabled)
                    .build(),
            )
            .tag_specifications(specification(ResourceType::Instance, &tags))
            .tag_specifications(specification(ResourceType::Volume, &tags));
        call = match &launch.image {
            Image::Ami(ami) => {
                let devices = self.lasting_devices(ami).await?;
                call.image_id(ami).set_block_device_mappings((!devices.is_empty()).then_some(devices))
            }
            Image::LaunchTemplate(template) => call.launch_template(if template.starts_with("lt-") {
                LaunchTemplateSpecification::builder().launch_template_id(template).build()
            } else {
                LaunchTemplateSpecification::builder().launch_template_name(template).build()
            }),
        };
        Ok(match offering.market {
            Market::OnDemand => call,
            // One-time: a persistent request would launch again by itself. No price limit: the on-demand price is one.
            Market::Spot => call
                .instance_market_options(
                    InstanceMarketOptionsRequest::builder()
                        .market_type(MarketType::Spot)
                        .spot_options(
                            SpotMarketOptions::builder()
                                .spot_instance_type(SpotInstanceType::OneTime)
                                .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate)
                                .build(),
                        )
                        .build(),
                )
                .tag_specifications(specification(ResourceType::SpotInstancesRequest, &tags)),
        })
    }

    /// Returns the EBS devices of an image that would outlive an instance, changed so that they don't; asks EC2 once
    /// for each image.
    ///
    /// A volume goes with its instance if the image says so, which most images do for their root and not all do for
    /// the rest. For those that don't, the request says it. A launch template's devices are its own: to repeat them
    /// here would replace what it says of them, so it must set `DeleteOnTermination` itself.
    async fn lasting_devices(&self, ami: &str) -> Result<Vec<BlockDeviceMapping>, Error> {
        let known = self.lasting_devices.lock().unwrap_or_else(PoisonError::into_inner).get(ami).cloned();
        if let Some(devices) = known {
            return Ok(devices);
        }
        let sent = self.client.describe_images().image_ids(ami).send();
        let answer = call("DescribeImages", sent).await?;
        let Some(image) = answer.images().iter().find(|image| image.image_id() == Some(ami)) else {
            // EC2 answers `InvalidAMIID.NotFound` for an id that never was; an empty list for one it hides.
            let message = format!("image `{ami}` is not there, or not visible to this account");
            return Err(Error::ours(ErrorClass::Configuration, "DescribeImages", "InvalidAMIID.NotFound", message));
        };
        let devices: Vec<BlockDeviceMapping> = image
            .block_device_mappings()
            .iter()
            .filter_map(|device| {
                let ebs = device.ebs().filter(|ebs| ebs.delete_on_termination() != Some(true))?;
                // The size is the image's own: EC2's description of the type asks for it, or for the snapshot.
                // Whatever isn't said stays as the image has it.
                let ebs =
                    EbsBlockDevice::builder().set_volume_size(ebs.volume_size()).delete_on_termination(true).build();
                Some(BlockDeviceMapping::builder().set_device_name(device.device_name.clone()).ebs(ebs).build())
            })
            .collect();
        self.lasting_devices.lock().unwrap_or_else(PoisonError::into_inner).insert(ami.to_owned(), devices.clone());
        Ok(devices)
    }

    fn launch_settings(&self, name: &PoolName) -> Result<&Launch, Error> {
        self.pool(name)?.launch.as_ref().ok_or_else(|| unlaunchable(name, "has no launch settings"))
    }

    fn pool(&self, name: &PoolName) -> Result<&crate::config::Pool, Error> {
        self.pools
            .get(name)
            .ok_or_else(|| unlaunchable(name, "has no launch settings: `image`, `instance_types`, `subnets`"))
    }
}

fn unlaunchable(pool: &PoolName, what: &str) -> Error {
    Error::ours(ErrorClass::Configuration, "RunInstances", "Pool", format!("pool `{pool}` {what}"))
}

fn rendered(request: &RunInstance, launch: &Launch) -> Result<SecretString, Error> {
    user_data::render(launch, &request.name, &request.jit_config)
        .map_err(|what| unlaunchable(&request.pool, &format!("can't launch: {what}")))
}

/// Returns the tags of a launch, the pool's own first, so that ours can't be replaced.
fn tags(fleet: &FleetName, request: &RunInstance, launch: &Launch) -> BTreeMap<String, String> {
    let mut tags = launch.tags.clone();
    tags.extend([
        ("Name".to_owned(), request.name.to_string()),
        (FLEET_TAG.to_owned(), fleet.to_string()),
        (POOL_TAG.to_owned(), request.pool.to_string()),
        (SLOT_TAG.to_owned(), request.slot.to_string()),
        (RUNNER_ID_TAG.to_owned(), request.runner_id.to_string()),
        (MARKET_TAG.to_owned(), request.offering.market.to_string()),
    ]);
    tags
}

fn specification(resource: ResourceType, tags: &BTreeMap<String, String>) -> TagSpecification {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    TagSpecification::builder().resource_type(resource).set_tags(Some(tags)).build()
}

/// Returns the client token: 52 characters of base32 over everything that the request says.
///
/// Everything, because EC2 answers `IdempotentParameterMismatch` to a known token with any other parameter, a failed
/// call's token included (ubicloud#5898). The runner id, because GitHub never uses one twice, though names are.
#[must_use]
pub fn client_token(fleet: &FleetName, request: &RunInstance, launch: &Launch, user_data: &SecretString) -> String {
    let mut content = Sha256::new();
    let mut add = |text: &str| {
        // With its length, so that no two lists of texts run together into the same bytes.
        content.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        content.update(text);
    };
    add(user_data.expose_secret());
    match &launch.image {
        Image::Ami(ami) => add(&format!("ami {ami}")),
        Image::LaunchTemplate(template) => add(&format!("template {template}")),
    }
    for (key, value) in tags(fleet, request, launch) {
        add(&key);
        add(&value);
    }
    add("groups");
    for group in &launch.security_groups {
        add(group);
    }
    let offering = &request.offering;
    let line = format!(
        "v1|{fleet}|{}|{}|{}|{}|{:x}",
        request.runner_id,
        offering.market,
        offering.instance_type,
        offering.subnet,
        content.finalize()
    );
    let mut token = BASE32_NOPAD.encode(&Sha256::digest(line));
    token.truncate(52);
    token
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::UserData;
    use crate::engine::Offering;

    /// Everything that a launch is made of, as texts.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Inputs {
        fleet: String,
        pool: String,
        slot: u32,
        name: String,
        runner_id: u64,
        spot: bool,
        instance_type: String,
        subnet: String,
        image: Image,
        groups: Vec<String>,
        tags: BTreeMap<String, String>,
        user_data: String,
    }

    impl Inputs {
        fn token(&self) -> String {
            let request = RunInstance {
                pool: PoolName::new(&self.pool),
                slot: Slot(self.slot),
                name: RunnerName::new(&self.name),
                runner_id: RunnerId(self.runner_id),
                offering: Offering {
                    market: if self.spot { Market::Spot } else { Market::OnDemand },
                    instance_type: self.instance_type.clone(),
                    subnet: self.subnet.clone(),
                },
                jit_config: SecretString::from("unused: the user data holds it"),
            };
            let launch = Launch {
                image: self.image.clone(),
                security_groups: self.groups.clone(),
                tags: self.tags.clone(),
                user_data: UserData::BuiltIn,
                idle_timeout: Duration::from_mins(10),
                max_lifetime: Duration::from_hours(12),
            };
            client_token(&FleetName::new(&self.fleet), &request, &launch, &SecretString::from(self.user_data.clone()))
        }
    }

    /// Few letters, so that two of them are often equal, and often differ only in where one text ends.
    fn word() -> impl Strategy<Value = String> {
        "[ab]{0,2}"
    }

    fn image() -> impl Strategy<Value = Image> {
        prop_oneof![word().prop_map(Image::Ami), word().prop_map(Image::LaunchTemplate)]
    }

    prop_compose! {
        fn inputs()(
            (fleet, pool, slot, name, runner_id, spot) in (word(), word(), 0u32..2, word(), 0u64..2, any::<bool>()),
            (instance_type, subnet, image, user_data) in (word(), word(), image(), word()),
            groups in prop::collection::vec(word(), 0..3),
            tags in prop::collection::btree_map("[xy]", word(), 0..3),
        ) -> Inputs {
            Inputs { fleet, pool, slot, name, runner_id, spot, instance_type, subnet, image, groups, tags, user_data }
        }
    }

    proptest! {
        #[test]
        fn a_token_is_ec2s_kind_of_token(inputs in inputs()) {
            let token = inputs.token();
            prop_assert_eq!(token.len(), 52);
            prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            prop_assert_eq!(token, inputs.token());
        }

        #[test]
        fn two_requests_have_one_token_only_if_they_are_the_same(one in inputs(), other in inputs()) {
            prop_assert_eq!(one.token() == other.token(), one == other);
        }

        #[test]
        fn any_change_of_one_parameter_changes_the_token(before in inputs(), other in inputs(), which in 0..12) {
            let mut after = before.clone();
            match which {
                0 => after.fleet = other.fleet,
                1 => after.pool = other.pool,
                2 => after.slot = other.slot,
                3 => after.name = other.name,
                4 => after.runner_id = other.runner_id,
                5 => after.spot = other.spot,
                6 => after.instance_type = other.instance_type,
                7 => after.subnet = other.subnet,
                8 => after.image = other.image,
                9 => after.groups = other.groups,
                10 => after.tags = other.tags,
                _ => after.user_data = other.user_data,
            }
            prop_assert_eq!(before.token() == after.token(), before == after);
        }
    }

    #[test]
    fn the_pools_tags_cannot_replace_ours() {
        let launch = Launch {
            image: Image::Ami("ami-1".to_owned()),
            security_groups: Vec::new(),
            tags: [("Name".to_owned(), "mine".to_owned()), ("team".to_owned(), "build".to_owned())].into(),
            user_data: UserData::BuiltIn,
            idle_timeout: Duration::from_mins(10),
            max_lifetime: Duration::from_hours(12),
        };
        let request = RunInstance {
            pool: "linux".into(),
            slot: Slot(7),
            name: "acme-linux-007".into(),
            runner_id: RunnerId(9),
            offering: Offering { market: Market::Spot, instance_type: "m7a.large".into(), subnet: "subnet-a".into() },
            jit_config: SecretString::from("and0"),
        };
        let tags = tags(&"acme".into(), &request, &launch);
        let expected = [
            ("Name", "acme-linux-007"),
            ("ghascale:fleet", "acme"),
            ("ghascale:market", "spot"),
            ("ghascale:pool", "linux"),
            ("ghascale:runner-id", "9"),
            ("ghascale:slot", "7"),
            ("team", "build"),
        ];
        assert!(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(expected), "{tags:?}");
    }
}
