//! The instances that are there: how they are read, marked and ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_ec2::types::{Filter, InstanceLifecycleType, InstanceStateName, Tag};
use jiff::Timestamp;

use super::client::{Fleet, call};
use super::error::{Error, ErrorClass};
use super::{FLEET_TAG, POOL_TAG, RUNNER_ID_TAG, SLOT_TAG};
use crate::engine::{
    FleetName, Instance, InstanceId, InstanceState, Listing, Mark, Market, Marks, PoolName, RunnerId, Slot,
};
use crate::quoting;
use crate::services::{Instances, Launched, RunInstance};
use crate::warning::{Warning, WarningCode};

/// The most that EC2 returns at once. Filtered and paged calls have the larger request bucket (100 burst, 20/s).
const PAGE: i32 = 1000;

impl Fleet {
    /// Reads all instances of the fleet, terminated ones that EC2 still shows included, in the order of their ids.
    ///
    /// A later page that is lost makes the listing partial, with a warning; so does an entry that can't be understood.
    /// From here on [`Instances::terminate`] and [`Instances::mark`] take exactly the instances that were returned.
    ///
    /// # Errors
    /// When not even the first page could be read; then nothing can be ended.
    pub async fn observe(&self) -> Result<(Listing<Instance>, Vec<Warning>), Error> {
        let mut instances = BTreeMap::new();
        let mut warnings = Vec::new();
        let mut whole = true;
        let mut token: Option<String> = None;
        loop {
            let page = self
                .client
                .describe_instances()
                .filters(filter(&format!("tag:{FLEET_TAG}"), self.name.as_str()))
                .max_results(PAGE)
                .set_next_token(token.clone())
                .send();
            let page = match (call("DescribeInstances", page).await, &token) {
                (Ok(page), _) => page,
                (Err(error), None) => {
                    self.remember(BTreeSet::new());
                    return Err(error);
                }
                (Err(error), Some(_)) => {
                    whole = false;
                    warnings.push(Warning::new(WarningCode::InstancesFailed, "DescribeInstances", error.to_string()));
                    break;
                }
            };
            for entry in page.reservations().iter().flat_map(aws_sdk_ec2::types::Reservation::instances) {
                match read(entry, &self.name) {
                    Ok(instance) => {
                        // An instance that changes while pages are read can stand on two: the later one is newer.
                        instances.insert(instance.id.clone(), instance);
                    }
                    Err(warning) => {
                        whole &= !warning.code.is_partial();
                        warnings.push(warning);
                    }
                }
            }
            match page.next_token().filter(|next| !next.is_empty()) {
                None => break,
                Some(next) if token.as_deref() == Some(next) => {
                    whole = false;
                    let message = "EC2 returned the same page token twice";
                    warnings.push(Warning::new(WarningCode::InstancesFailed, "DescribeInstances", message));
                    break;
                }
                Some(next) => token = Some(next.to_owned()),
            }
        }
        self.remember(instances.keys().cloned().collect());
        Ok((Listing { items: instances.into_values().collect(), whole }, warnings))
    }

    fn remember(&self, ids: BTreeSet<InstanceId>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = ids;
    }

    /// Refuses an instance that the latest observation did not return: it may be another fleet's.
    fn owned(&self, action: &'static str, id: &InstanceId) -> Result<(), Error> {
        if self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(id) {
            return Ok(());
        }
        Err(Error::ours(
            ErrorClass::InstanceRefuses,
            action,
            "NotObserved",
            format!(
                "`{id}` is not among the instances of fleet `{}` that were read in this run: left alone",
                self.name
            ),
        ))
    }
}

impl Instances for Fleet {
    async fn prepare(&self, request: &RunInstance) -> Result<(), Error> {
        self.prepare_launch(request).await
    }

    async fn run(&self, request: &RunInstance) -> Result<Launched, Error> {
        self.launch(request).await
    }

    fn client_token(&self, request: &RunInstance) -> Result<String, Error> {
        Self::client_token(self, request)
    }

    async fn launched_for(&self, id: RunnerId) -> Result<Option<InstanceId>, Error> {
        let found = self
            .client
            .describe_instances()
            .filters(filter(&format!("tag:{FLEET_TAG}"), self.name.as_str()))
            .filters(filter(&format!("tag:{RUNNER_ID_TAG}"), &id.to_string()))
            .send();
        let found = call("DescribeInstances", found).await?;
        let entries = found.reservations().iter().flat_map(aws_sdk_ec2::types::Reservation::instances);
        let mut live = entries.filter_map(|entry| read(entry, &self.name).ok()).filter(Instance::is_live);
        Ok(live.find(|instance| instance.runner_id == Some(id)).map(|instance| instance.id))
    }

    async fn launched_with(&self, token: &str) -> Result<Option<InstanceId>, Error> {
        let found = self
            .client
            .describe_instances()
            .filters(filter("client-token", token))
            .filters(filter(&format!("tag:{FLEET_TAG}"), self.name.as_str()))
            .send();
        let found = call("DescribeInstances", found).await?;
        Ok(found
            .reservations()
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances)
            .filter(|entry| entry.client_token() == Some(token))
            .find_map(|entry| read(entry, &self.name).ok())
            .map(|instance| instance.id))
    }

    async fn terminate(&self, ids: &[InstanceId]) -> Result<Option<String>, Error> {
        ids.iter().try_for_each(|id| self.owned("TerminateInstances", id))?;
        let ids = ids.iter().map(ToString::to_string).collect();
        let sent = self.client.terminate_instances().set_instance_ids(Some(ids)).send();
        Ok(request_id(&call("TerminateInstances", sent).await?))
    }

    async fn mark(&self, id: &InstanceId, mark: Mark, at: Option<Timestamp>) -> Result<Option<String>, Error> {
        let tag = Tag::builder().key(mark.tag());
        if let Some(at) = at {
            self.owned("CreateTags", id)?;
            let tag = tag.value(at.as_second().to_string()).build();
            let sent = self.client.create_tags().resources(id.as_str()).tags(tag).send();
            Ok(request_id(&call("CreateTags", sent).await?))
        } else {
            self.owned("DeleteTags", id)?;
            // Without a value: whatever it is.
            let sent = self.client.delete_tags().resources(id.as_str()).tags(tag.build()).send();
            Ok(request_id(&call("DeleteTags", sent).await?))
        }
    }
}

/// Returns EC2's id of the request that `answer` belongs to.
pub(super) fn request_id(answer: &impl aws_sdk_ec2::operation::RequestId) -> Option<String> {
    answer.request_id().map(str::to_owned)
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Reads one entry: ours and understood, or a warning that says why not.
fn read(entry: &aws_sdk_ec2::types::Instance, fleet: &FleetName) -> Result<Instance, Warning> {
    let unreadable = |subject: &str, what: &str| Warning::new(WarningCode::EntryUnreadable, subject, what);
    let id = entry
        .instance_id()
        .filter(|id| !id.is_empty())
        .ok_or_else(|| unreadable("DescribeInstances", "an instance without an id was left out"))?;
    let tags: BTreeMap<&str, &str> = entry.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
    // EC2 filtered already; asked again because what follows may end it.
    if tags.get(FLEET_TAG) != Some(&fleet.as_str()) {
        let message = format!("EC2 returned an instance without the tag `{FLEET_TAG}={fleet}`: ignored");
        return Err(Warning::new(WarningCode::Degraded, id, message));
    }
    let state = match entry.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Pending) => InstanceState::Pending,
        Some(InstanceStateName::Running) => InstanceState::Running,
        Some(InstanceStateName::ShuttingDown) => InstanceState::ShuttingDown,
        Some(InstanceStateName::Terminated) => InstanceState::Terminated,
        Some(InstanceStateName::Stopping) => InstanceState::Stopping,
        Some(InstanceStateName::Stopped) => InstanceState::Stopped,
        other => {
            let word = other.map_or("none", InstanceStateName::as_str);
            return Err(unreadable(
                id,
                &format!("its state `{}` is unknown to this version: left out", quoting::word(word)),
            ));
        }
    };
    let mut marks = Marks::default();
    for mark in Mark::ALL {
        marks.set(mark, tags.get(mark.tag()).and_then(|seconds| Timestamp::from_second(seconds.parse().ok()?).ok()));
    }
    Ok(Instance {
        id: InstanceId::new(id),
        fleet: fleet.clone(),
        pool: tags.get(POOL_TAG).map(|&pool| PoolName::new(pool)),
        slot: tags.get(SLOT_TAG).and_then(|slot| slot.parse().ok()).map(Slot),
        runner_id: tags.get(RUNNER_ID_TAG).and_then(|id| id.parse().ok()).map(RunnerId),
        state,
        launched_at: entry.launch_time().and_then(|time| Timestamp::from_second(time.secs()).ok()),
        // EC2 says nothing for on-demand.
        market: match entry.instance_lifecycle() {
            Some(InstanceLifecycleType::Spot) => Market::Spot,
            _ => Market::OnDemand,
        },
        instance_type: entry.instance_type().map_or_else(String::new, |name| name.as_str().to_owned()),
        subnet: entry.subnet_id().map(str::to_owned),
        state_reason: entry.state_reason().and_then(|reason| reason.code()).map(str::to_owned),
        marks,
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::InstanceState as State;

    use super::*;

    fn entry(state: &str, tags: &[(&str, &str)]) -> aws_sdk_ec2::types::Instance {
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
        aws_sdk_ec2::types::Instance::builder()
            .instance_id("i-1")
            .state(State::builder().name(state.into()).build())
            .set_tags(Some(tags))
            .build()
    }

    #[test]
    fn tags_that_are_missing_or_no_numbers_are_absent() {
        let tags = [(FLEET_TAG, "acme"), (SLOT_TAG, "x"), (RUNNER_ID_TAG, "-1"), ("ghascale:idle-since", "soon")];
        let instance = read(&entry("running", &tags), &"acme".into()).unwrap();
        assert_eq!((instance.pool, instance.slot, instance.runner_id), (None, None, None));
        assert_eq!(instance.marks, Marks::default());
    }

    #[test]
    fn marks_are_seconds_since_1970() {
        let tags = [(FLEET_TAG, "acme"), ("ghascale:draining", "1795478400")];
        let marks = read(&entry("running", &tags), &"acme".into()).unwrap().marks;
        assert_eq!(marks.draining, Timestamp::from_second(1_795_478_400).ok());
    }

    #[test]
    fn an_instance_of_another_fleet_is_not_shown_even_if_ec2_returns_it() {
        for tags in [&[(FLEET_TAG, "acme-2")][..], &[("Name", "acme-linux-001")]] {
            assert_eq!(read(&entry("running", tags), &"acme".into()).unwrap_err().code, WarningCode::Degraded);
        }
    }

    #[test]
    fn an_unknown_state_makes_the_listing_partial() {
        let warning = read(&entry("hovering", &[(FLEET_TAG, "acme")]), &"acme".into()).unwrap_err();
        assert!(warning.code.is_partial(), "{warning:?}");
    }
}
