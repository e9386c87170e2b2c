//! Our EC2 calls against moto, which speaks EC2's protocol and was not written by us.
//!
//! moto does not dedupe client tokens and knows no capacity; so what is asserted of repeats is what was *sent*.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Filter, HttpTokensState, InstanceAttributeName, InstanceMetadataTagsState, RequestLaunchTemplateData, ResourceType,
    ShutdownBehavior, Tag, TagSpecification,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ghascale::config::Image;
use ghascale::ec2::{ErrorClass, Fleet};
use ghascale::engine::{InstanceState, Mark, Market, Price, RunnerId, RunnerName, Slot};
use ghascale::services::{Instances, RunInstance, SpotPrices as _, SpotWish};
use ghascale::warning::WarningCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::python::program;
use crate::ec2::stand_in::{self, JIT, pool_from, sdk};

/// A moto of one's own; it ends with this value.
pub(super) struct Moto {
    pub(super) url: String,
    server: Child,
    client: Client,
    pub(super) image: String,
    pub(super) subnet: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    pub(super) async fn start() -> Self {
        let mut server = Command::new(program("python"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/moto_faulty.py"))
            .env("MOTO_ENABLE_AMI_VALIDATION", "1")
            .env("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        let client = Client::new(&sdk(&url));
        let mut moto = Self { url, server, client, image: String::new(), subnet: String::new() };
        let linux = Filter::builder().name("name").values("amzn2-ami-hvm-2.0*x86_64-gp2").build();
        let images = moto.client.describe_images().filters(linux).send().await.unwrap();
        moto.image = images.images()[0].image_id().unwrap().to_owned();
        let subnets = moto.client.describe_subnets().send().await.unwrap();
        moto.subnet = subnets.subnets()[0].subnet_id().unwrap().to_owned();
        moto.post("_reset", &Value::Null).await;
        moto
    }

    fn fleet(&self) -> Fleet {
        self.fleet_named("acme")
    }

    fn fleet_named(&self, name: &str) -> Fleet {
        self.fleet_from(name, Image::Ami(self.image.clone()))
    }

    fn fleet_from(&self, name: &str, image: Image) -> Fleet {
        Fleet::new(&sdk(&self.url), name.into(), &[pool_from(image, &self.subnet)])
    }

    fn request(&self, market: Market) -> RunInstance {
        stand_in::request(market, &self.subnet)
    }

    async fn post(&self, path: &str, body: &Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let sent = client.post(format!("{}/{path}", self.url)).body(body.to_string()).send().await.unwrap();
        assert!(sent.status().is_success());
    }

    pub(super) async fn fault(&self, fault: Value) {
        self.post("_fault", &fault).await;
    }

    /// Returns what was sent for an action.
    pub(super) async fn calls(&self, action: &str) -> Vec<Value> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let text = client.get(format!("{}/_calls", self.url)).send().await.unwrap().text().await.unwrap();
        let calls: Vec<Value> = serde_json::from_str(&text).unwrap();
        calls.into_iter().filter(|call| call["Action"] == action).collect()
    }

    /// Waits until moto holds a call.
    pub(super) async fn holds_one(&self) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
        loop {
            let held = client.get(format!("{}/_held", self.url)).send().await.unwrap().text().await.unwrap();
            if held == "1" {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "moto holds {held} calls");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn instance(&self, id: &str) -> aws_sdk_ec2::types::Instance {
        let found = self.client.describe_instances().instance_ids(id).send().await.unwrap();
        found.reservations()[0].instances()[0].clone()
    }
}

fn tags(tags: &[Tag]) -> Vec<String> {
    let mut tags: Vec<_> = tags.iter().map(|tag| format!("{}={}", tag.key().unwrap(), tag.value().unwrap())).collect();
    tags.sort();
    tags
}

const TAGS: [&str; 7] = [
    "Name=acme-linux-001",
    "ghascale:fleet=acme",
    "ghascale:market=spot",
    "ghascale:pool=linux",
    "ghascale:runner-id=42",
    "ghascale:slot=1",
    "team=build",
];

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn a_launch_reads_back_as_it_was_asked() {
    let moto = Moto::start().await;
    let launched = moto.fleet().run(&moto.request(Market::Spot)).await.unwrap();
    let id = launched.instance_id.as_str();
    let instance = moto.instance(id).await;
    assert_eq!(tags(instance.tags()), TAGS);
    assert_eq!(instance.subnet_id(), Some(&*moto.subnet));
    assert_eq!(instance.instance_type().unwrap().as_str(), "m7a.large");
    assert_eq!(instance.instance_lifecycle().unwrap().as_str(), "spot");
    let metadata = instance.metadata_options().unwrap();
    assert_eq!(metadata.http_tokens(), Some(&HttpTokensState::Required));
    assert_eq!(metadata.http_put_response_hop_limit(), Some(1));
    assert_eq!(metadata.instance_metadata_tags(), Some(&InstanceMetadataTagsState::Disabled));

    let attribute = |name| moto.client.describe_instance_attribute().instance_id(id).attribute(name).send();
    let shutdown = attribute(InstanceAttributeName::InstanceInitiatedShutdownBehavior).await.unwrap();
    let shutdown = shutdown.instance_initiated_shutdown_behavior().and_then(|value| value.value());
    assert_eq!(shutdown, Some(ShutdownBehavior::Terminate.as_str()));
    let user_data = attribute(InstanceAttributeName::UserData).await.unwrap();
    let user_data = user_data.user_data().and_then(|value| value.value()).unwrap();
    let script = String::from_utf8(BASE64_STANDARD.decode(user_data).unwrap()).unwrap();
    assert!(script.starts_with("#!/bin/bash\n") && script.contains(JIT), "{script}");
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn volumes_that_the_image_would_keep_go_with_the_instance() {
    let moto = Moto::start().await;
    let image = moto.client.describe_images().image_ids(&moto.image).send().await.unwrap();
    let ebs = image.images()[0].block_device_mappings()[0].ebs().unwrap().clone();
    assert_eq!(ebs.delete_on_termination(), Some(false), "this image proves nothing");
    let fleet = moto.fleet();
    let id = fleet.run(&moto.request(Market::Spot)).await.unwrap().instance_id;
    fleet.run(&moto.request(Market::OnDemand)).await.unwrap();
    let devices = moto.instance(id.as_str()).await.block_device_mappings().to_vec();
    assert_eq!(devices.len(), 1, "{devices:?}");
    assert_eq!(devices[0].ebs().unwrap().delete_on_termination(), Some(true));
    let volume = devices[0].ebs().unwrap().volume_id().unwrap();
    let volumes = moto.client.describe_volumes().volume_ids(volume).send().await.unwrap();
    assert_eq!(tags(volumes.volumes()[0].tags()), TAGS);
    assert_eq!(moto.calls("DescribeImages").await.len(), 2, "ours, once for both launches, and this test's own");
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn a_launch_template_is_taken_by_id_or_by_name() {
    let moto = Moto::start().await;
    let data = RequestLaunchTemplateData::builder().image_id(&moto.image).build();
    let made = moto.client.create_launch_template().launch_template_name("runners").launch_template_data(data);
    let made = made.send().await.unwrap();
    let id = made.launch_template().unwrap().launch_template_id().unwrap().to_owned();
    for template in [id.as_str(), "runners"] {
        let fleet = moto.fleet_from("acme", Image::LaunchTemplate(template.to_owned()));
        let launched = fleet.run(&moto.request(Market::OnDemand)).await.unwrap();
        assert_eq!(moto.instance(launched.instance_id.as_str()).await.image_id(), Some(&*moto.image));
    }
    let missing = moto.fleet_from("acme", Image::LaunchTemplate("nowhere".to_owned()));
    let failed = missing.run(&moto.request(Market::OnDemand)).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Configuration, "{failed}");
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn what_was_launched_is_observed_over_all_pages() {
    let moto = Moto::start().await;
    let fleet = moto.fleet();
    for slot in 0..120 {
        let mut request = moto.request(if slot % 2 == 0 { Market::Spot } else { Market::OnDemand });
        request.slot = Slot(slot);
        request.runner_id = RunnerId(1000 + u64::from(slot));
        request.name = RunnerName::of(&"acme".into(), &"linux".into(), Slot(slot));
        fleet.run(&request).await.unwrap();
    }
    let (listing, warnings) = fleet.observe().await.unwrap();
    assert!(listing.whole && warnings.is_empty(), "{warnings:?}");
    assert_eq!(moto.calls("DescribeInstances").await.len(), 3);
    let mut slots: Vec<_> = listing.items.iter().map(|instance| instance.slot.unwrap()).collect();
    slots.sort();
    assert!(slots.into_iter().eq((0..120).map(Slot)));
    for instance in &listing.items {
        let slot = instance.slot.unwrap().0;
        assert_eq!(instance.runner_id, Some(RunnerId(1000 + u64::from(slot))));
        assert_eq!(instance.market, if slot % 2 == 0 { Market::Spot } else { Market::OnDemand });
        assert_eq!((instance.pool.as_ref().unwrap().as_str(), instance.state), ("linux", InstanceState::Running));
        assert_eq!(instance.instance_type, "m7a.large");
        assert_eq!(instance.subnet.as_deref(), Some(&*moto.subnet));
        let age = Timestamp::now().duration_since(instance.launched_at.unwrap());
        assert!(age.as_secs() < 600, "{age:?}");
    }
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn a_page_that_is_lost_makes_the_listing_partial() {
    let moto = Moto::start().await;
    let ours = Tag::builder().key("ghascale:fleet").value("acme").build();
    let ours = TagSpecification::builder().resource_type(ResourceType::Instance).tags(ours).build();
    for _ in 0..51 {
        let run = moto.client.run_instances().image_id(&moto.image).min_count(1).max_count(1);
        run.tag_specifications(ours.clone()).send().await.unwrap();
    }
    moto.fault(json!({ "action": "DescribeInstances", "page": 2, "code": "UnauthorizedOperation", "status": 403 }))
        .await;
    let (listing, warnings) = moto.fleet().observe().await.unwrap();
    assert_eq!((listing.items.len(), listing.whole), (50, false));
    assert_eq!(warnings[0].code, WarningCode::InstancesFailed);
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn marks_are_set_read_back_and_cleared() {
    let moto = Moto::start().await;
    let fleet = moto.fleet();
    let id = fleet.run(&moto.request(Market::Spot)).await.unwrap().instance_id;
    fleet.observe().await.unwrap();
    let at = Timestamp::from_second(1_795_478_400).unwrap();
    for mark in Mark::ALL {
        fleet.mark(&id, mark, Some(at)).await.unwrap();
        assert_eq!(fleet.observe().await.unwrap().0.items[0].marks.get(mark), Some(at));
        fleet.mark(&id, mark, None).await.unwrap();
        assert_eq!(fleet.observe().await.unwrap().0.items[0].marks.get(mark), None);
    }
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn an_instance_is_terminated_once_and_again_without_harm() {
    let moto = Moto::start().await;
    let fleet = moto.fleet();
    let id = fleet.run(&moto.request(Market::Spot)).await.unwrap().instance_id;
    fleet.observe().await.unwrap();
    fleet.terminate(std::slice::from_ref(&id)).await.unwrap();
    fleet.terminate(std::slice::from_ref(&id)).await.unwrap();
    let (listing, _) = fleet.observe().await.unwrap();
    assert_eq!(listing.items[0].state, InstanceState::Terminated);
    assert_eq!(listing.items[0].state_reason.as_deref(), Some("Client.UserInitiatedShutdown"));
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn instances_are_terminated_with_one_call_and_not_for_one_that_is_protected() {
    let moto = Moto::start().await;
    let fleet = moto.fleet();
    let mut ids = Vec::new();
    for slot in 0..3 {
        let request = RunInstance { slot: Slot(slot), ..moto.request(Market::Spot) };
        ids.push(fleet.run(&request).await.unwrap().instance_id);
    }
    let protection = aws_sdk_ec2::types::AttributeBooleanValue::builder();
    let protect = moto.client.modify_instance_attribute().instance_id(ids[0].as_str());
    protect.disable_api_termination(protection.clone().value(true).build()).send().await.unwrap();
    fleet.observe().await.unwrap();
    let refused = fleet.terminate(&ids).await.unwrap_err();
    assert_eq!((refused.class, &*refused.code), (ErrorClass::InstanceRefuses, "OperationNotPermitted"), "{refused}");
    let free = moto.client.modify_instance_attribute().instance_id(ids[0].as_str());
    free.disable_api_termination(protection.value(false).build()).send().await.unwrap();
    assert!(fleet.terminate(&ids).await.unwrap().is_some());
    assert_eq!(moto.calls("TerminateInstances").await.len(), 2);
    let (listing, _) = fleet.observe().await.unwrap();
    assert!(listing.items.iter().all(|instance| instance.state == InstanceState::Terminated), "{listing:?}");
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn other_fleets_instances_are_neither_shown_nor_ended() {
    let moto = Moto::start().await;
    let (ours, theirs) = (moto.fleet(), moto.fleet_named("acme-2"));
    let other = theirs.run(&moto.request(Market::Spot)).await.unwrap().instance_id;
    let (listing, warnings) = ours.observe().await.unwrap();
    assert!(listing.items.is_empty() && warnings.is_empty(), "{listing:?} {warnings:?}");
    assert_eq!(ours.terminate(std::slice::from_ref(&other)).await.unwrap_err().code, "NotObserved");
    assert_eq!(ours.mark(&other, Mark::Draining, Some(Timestamp::now())).await.unwrap_err().code, "NotObserved");
    assert!(moto.calls("TerminateInstances").await.is_empty());
    assert_eq!(theirs.observe().await.unwrap().0.items[0].state, InstanceState::Running);
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn a_rehearsal_passes_and_launches_nothing() {
    let moto = Moto::start().await;
    moto.fleet().dry_run(&"linux".into()).await.unwrap();
    assert!(moto.fleet().observe().await.unwrap().0.items.is_empty());
    let nowhere = moto.fleet_from("acme", Image::Ami("ami-00000000000000000".to_owned()));
    let failed = nowhere.dry_run(&"linux".into()).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Configuration, "{failed}");
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn each_class_of_error_arrives_after_one_request() {
    let moto = Moto::start().await;
    let fleet = moto.fleet();
    let errors = [
        ("RequestLimitExceeded", 503, ErrorClass::Retry),
        ("InternalError", 500, ErrorClass::Retry),
        ("InsufficientInstanceCapacity", 500, ErrorClass::NextOffering),
        ("InsufficientFreeAddressesInSubnet", 400, ErrorClass::NextSubnet),
        ("MaxSpotInstanceCountExceeded", 400, ErrorClass::NextMarket),
        ("VcpuLimitExceeded", 400, ErrorClass::Quota),
        ("InvalidSubnetID.NotFound", 400, ErrorClass::Configuration),
        ("UnauthorizedOperation", 403, ErrorClass::Credentials),
        ("IdempotentParameterMismatch", 400, ErrorClass::TokenMismatch),
        ("IdempotentInstanceTerminated", 400, ErrorClass::TokenSpent),
        ("SomethingNew", 400, ErrorClass::Configuration),
        ("SomethingNew", 500, ErrorClass::Retry),
    ];
    for (sent, (code, status, class)) in errors.into_iter().enumerate() {
        moto.fault(json!({ "action": "RunInstances", "code": code, "status": status })).await;
        let failed = fleet.run(&moto.request(Market::Spot)).await.unwrap_err();
        assert_eq!((failed.class, &*failed.code), (class, code));
        assert!(failed.request_id.is_some(), "{failed}");
        assert_eq!(moto.calls("RunInstances").await.len(), sent + 1, "{code}");
    }
    fleet.run(&moto.request(Market::Spot)).await.unwrap();
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn after_a_lost_answer_the_same_request_is_sent_with_the_same_token() {
    let moto = Moto::start().await;
    let fleet = moto.fleet();
    moto.fault(json!({ "action": "RunInstances", "drop": true, "after": true })).await;
    let request = moto.request(Market::Spot);
    let failed = fleet.run(&request).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Retry, "{failed}");
    // Another process would send the same.
    moto.fleet().run(&request).await.unwrap();
    let calls = moto.calls("RunInstances").await;
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], calls[1]);
    assert_eq!(calls[0]["ClientToken"], fleet.client_token(&request).unwrap());
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn reading_and_ending_survive_a_throttle_and_a_lost_connection() {
    let moto = Moto::start().await;
    let fleet = moto.fleet();
    let id = fleet.run(&moto.request(Market::Spot)).await.unwrap().instance_id;
    moto.fault(json!({ "action": "DescribeInstances", "code": "RequestLimitExceeded", "status": 503 })).await;
    let (listing, _) = fleet.observe().await.unwrap();
    assert_eq!(listing.items.len(), 1);
    moto.fault(json!({ "action": "TerminateInstances", "drop": true })).await;
    fleet.terminate(std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(moto.calls("TerminateInstances").await.len(), 2);
}

#[tokio::test]
#[cfg_attr(not(ghascale_peers), ignore = "set GHASCALE_PEERS=1")]
async fn spot_prices_are_of_the_zones_of_our_subnets() {
    let moto = Moto::start().await;
    let wish = SpotWish {
        types: BTreeSet::from(["m7a.large", "c5.large", "x9.unheard-of"].map(str::to_owned)),
        subnets: BTreeSet::from([moto.subnet.clone(), "subnet-00000000".to_owned()]),
    };
    let prices = moto.fleet().spot_prices(&wish).await.unwrap();
    let expected = ["c5.large", "m7a.large"].map(|name| (name.to_owned(), moto.subnet.clone()));
    assert_eq!(prices.keys().cloned().collect::<Vec<_>>(), expected, "what isn't known costs the others nothing");
    assert!(prices.values().all(|price| *price > Price::ZERO), "{prices:?}");
    let calls = moto.calls("DescribeSpotPriceHistory").await;
    assert_eq!(calls[0]["ProductDescription.1"], "Linux/UNIX");
    assert_eq!(calls[0]["ProductDescription.2"], "Linux/UNIX (Amazon VPC)");
    assert_eq!(calls[0]["Filter.1.Name"], "instance-type");
    assert_eq!(calls[0]["Filter.2.Name"], "availability-zone");
}
