//! `RunInstances`: how instances come, at most once for each client token.

use std::collections::BTreeMap;
use std::io::Read;

use super::registration::JIT_PREFIX;
use super::{Boot, Instance, World};
use crate::engine::{InstanceState, Market};

/// The most that user data may hold, in bytes before base64.
const USER_DATA_LIMIT: usize = 16 * 1024;

/// A client token and the zone it was used in: with a subnet or a zone in the request a token is zonal, and means
/// something else in another zone (EC2's page on idempotency).
pub(in crate::sandbox) type TokenKey = (String, Option<String>);

/// What a client token stands for.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Launch {
    parameters: BTreeMap<String, String>,
    /// Empty where the call failed: that binds the token to its parameters too (ubicloud#5898).
    instances: Vec<String>,
}

/// A `RunInstances` request, read.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct LaunchRequest {
    pub(in crate::sandbox) image: String,
    pub(in crate::sandbox) instance_type: String,
    pub(in crate::sandbox) subnet: String,
    pub(in crate::sandbox) market: Market,
    pub(in crate::sandbox) security_groups: Vec<String>,
    pub(in crate::sandbox) min: u32,
    pub(in crate::sandbox) max: u32,
    pub(in crate::sandbox) tags: BTreeMap<String, String>,
    pub(in crate::sandbox) user_data: Vec<u8>,
    pub(in crate::sandbox) client_token: Option<String>,
    /// All parameters but the token: what a repeated request has to be equal in.
    pub(in crate::sandbox) parameters: BTreeMap<String, String>,
}

/// EC2 refuses, with one of its codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Refusal {
    pub(in crate::sandbox) code: String,
    pub(in crate::sandbox) message: String,
}

impl Refusal {
    pub(in crate::sandbox) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

impl World {
    /// Launches, or returns what the token launched before. `fault` is what EC2 answers in place of launching.
    pub(in crate::sandbox) fn launch(
        &mut self,
        request: &LaunchRequest,
        fault: Option<Refusal>,
    ) -> Result<Vec<String>, Refusal> {
        self.validate(request)?;
        let zone = self.subnets.get(&request.subnet).map(|subnet| subnet.zone.clone());
        let key = request.client_token.clone().map(|token| (token, zone));
        if let Some(key) = &key {
            if let Some(known) = self.known_launch(key, &request.parameters)? {
                return Ok(known);
            }
            self.launches.insert(key.clone(), Launch { parameters: request.parameters.clone(), instances: Vec::new() });
        }
        if let Some(refusal) = fault {
            return Err(refusal);
        }
        let count = self.take_capacity(request)?;
        let reservation = format!("r-0{:016x}", self.next_id());
        let runner_id = self.runner_in(&request.user_data);
        let ids: Vec<_> = (0..count).map(|_| self.add_instance(request, &reservation, runner_id)).collect();
        if let Some(launch) = key.and_then(|key| self.launches.get_mut(&key)) {
            launch.instances.clone_from(&ids);
        }
        Ok(ids)
    }

    /// Refuses what is wrong with the request itself.
    pub(in crate::sandbox) fn validate(&self, request: &LaunchRequest) -> Result<(), Refusal> {
        if !self.images.contains_key(&request.image) {
            let message = format!("The image id '[{}]' does not exist", request.image);
            return Err(Refusal::new("InvalidAMIID.NotFound", message));
        }
        if !self.subnets.contains_key(&request.subnet) {
            let message = format!("The subnet ID '{}' does not exist", request.subnet);
            return Err(Refusal::new("InvalidSubnetID.NotFound", message));
        }
        if request.min == 0 || request.max < request.min {
            return Err(Refusal::new("InvalidParameterValue", "Value for parameter minCount is invalid"));
        }
        if request.user_data.len() > USER_DATA_LIMIT {
            let message = format!("User data is limited to {USER_DATA_LIMIT} bytes");
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        if request.client_token.as_ref().is_some_and(|token| token.len() > 64 || !token.is_ascii()) {
            return Err(Refusal::new("InvalidParameterValue", "Value for parameter clientToken is invalid"));
        }
        Ok(())
    }

    /// Terminates an instance as its owner and returns the state it was in.
    pub(in crate::sandbox) fn terminate(&mut self, id: &str) -> InstanceState {
        let Some(instance) = self.instances.get(id) else { return InstanceState::Terminated };
        let before = instance.state;
        self.shut_down(id, ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"));
        before
    }

    fn known_launch(
        &self,
        key: &TokenKey,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let Some(launch) = self.launches.get(key) else { return Ok(None) };
        if launch.parameters != *parameters {
            return Err(Refusal::new(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            ));
        }
        if launch.instances.is_empty() {
            return Ok(None);
        }
        let lives = |id| self.instances.get(id).is_some_and(|instance| instance.state != InstanceState::Terminated);
        if !launch.instances.iter().all(lives) {
            return Err(Refusal::new(
                "IdempotentInstanceTerminated",
                "The client token you have provided is associated with a terminated instance. Please use a different \
                 client token.",
            ));
        }
        Ok(Some(launch.instances.clone()))
    }

    /// Returns how many instances there are for a request: as many as it wants at most, an error below its least.
    fn take_capacity(&mut self, request: &LaunchRequest) -> Result<u32, Refusal> {
        let subnet = self.subnets.get_mut(&request.subnet).expect("validated");
        if subnet.free_addresses < request.min {
            let message = format!("There are not enough free addresses in subnet '{}'", request.subnet);
            return Err(Refusal::new("InsufficientFreeAddressesInSubnet", message));
        }
        let offering = (request.market, request.instance_type.clone(), request.subnet.clone());
        let mut count = request.max.min(subnet.free_addresses);
        if let Some(left) = self.capacity.get_mut(&offering) {
            if *left < request.min {
                let message = format!(
                    "We currently do not have sufficient {} capacity in the Availability Zone you requested ({}). Our \
                     system will be working on provisioning additional capacity.",
                    request.instance_type, subnet.zone
                );
                return Err(Refusal::new("InsufficientInstanceCapacity", message));
            }
            count = count.min(*left);
            *left -= count;
        }
        subnet.free_addresses -= count;
        Ok(count)
    }

    fn add_instance(&mut self, request: &LaunchRequest, reservation: &str, runner_id: Option<u64>) -> String {
        let id = format!("i-0{:016x}", self.next_id());
        let boot = if self.boot_failures > 0 { Boot::Fails } else { Boot::Ahead };
        self.boot_failures = self.boot_failures.saturating_sub(1);
        self.instances.insert(
            id.clone(),
            Instance {
                id: id.clone(),
                reservation: reservation.to_owned(),
                state: InstanceState::Pending,
                state_reason: None,
                launched_at: self.now,
                image: request.image.clone(),
                instance_type: request.instance_type.clone(),
                subnet: request.subnet.clone(),
                security_groups: request.security_groups.clone(),
                market: request.market,
                client_token: request.client_token.clone().unwrap_or_default(),
                tags: request.tags.clone(),
                runner_id,
                boot,
                powers_off_at: None,
                shutting_down_at: None,
                terminated_at: None,
                protected: false,
            },
        );
        id
    }

    /// Returns the runner whose JIT configuration stands in user data, plain or gzipped.
    fn runner_in(&self, user_data: &[u8]) -> Option<u64> {
        let mut text = user_data.to_vec();
        if user_data.starts_with(&[0x1f, 0x8b]) {
            text.clear();
            flate2::read::GzDecoder::new(user_data).take(1 << 20).read_to_end(&mut text).ok()?;
        }
        let text = String::from_utf8_lossy(&text);
        let is_base64 = |character: char| character.is_ascii_alphanumeric() || "+/=".contains(character);
        text.match_indices(JIT_PREFIX).find_map(|(start, _)| {
            let rest = &text[start..];
            let end = rest.find(|character| !is_base64(character)).unwrap_or(rest.len());
            self.issued.get(&rest[..end]).copied()
        })
    }
}
