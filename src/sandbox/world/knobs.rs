//! Turning what is beyond ghascale's control: capacity, boots, connections, approvals, the rate limit.

use std::time::Duration;

use super::{Budget, JobStatus, Subnet, World};
use crate::engine::Market;

impl World {
    /// Makes a subnet in a zone, or changes one.
    pub fn subnet(&mut self, id: &str, zone: &str, free_addresses: u32) {
        self.subnets.insert(id.to_owned(), Subnet { zone: zone.to_owned(), free_addresses });
    }

    /// Makes an image, or changes one. `architecture` is EC2's word, `x86_64` or `arm64`.
    pub fn image(&mut self, id: &str, architecture: &'static str) {
        self.images.insert(id.to_owned(), architecture);
    }

    /// Lets so many more instances of an offering be launched; before, and with `None`, there is no end of them.
    pub fn capacity(&mut self, market: Market, instance_type: &str, subnet: &str, left: Option<u32>) {
        let offering = (market, instance_type.to_owned(), subnet.to_owned());
        match left {
            Some(left) => self.capacity.insert(offering, left),
            None => self.capacity.remove(&offering),
        };
    }

    /// Sets what an hour of spare capacity costs in a zone, as EC2 writes it; with `None` it has no price.
    pub fn spot_price(&mut self, instance_type: &str, zone: &str, dollars: Option<&str>) {
        let place = (instance_type.to_owned(), zone.to_owned());
        match dollars {
            Some(dollars) => self.spot_prices.insert(place, dollars.to_owned()),
            None => self.spot_prices.remove(&place),
        };
    }

    /// Lets the next instances never bring their runner online.
    pub fn fail_next_boots(&mut self, instances: u32) {
        self.boot_failures = instances;
    }

    /// Lets EC2 take a spot instance back.
    pub fn interrupt(&mut self, instance: &str) {
        if self.instances.contains_key(instance) {
            let reason = "Server.SpotInstanceTermination: Instance terminated by AWS";
            self.shut_down(instance, ("Server.SpotInstanceTermination", reason));
        }
    }

    /// Lets EC2 find that it can't start an instance whose order it has taken.
    pub fn fail_to_start(&mut self, instance: &str, reason: &'static str) {
        if self.instances.contains_key(instance) {
            self.shut_down(instance, (reason, reason));
        }
    }

    /// Terminates an instance, as somebody with a console would.
    pub fn terminate_by_hand(&mut self, instance: &str) {
        if self.instances.contains_key(instance) {
            let reason = "Client.UserInitiatedShutdown: User initiated shutdown";
            self.shut_down(instance, ("Client.UserInitiatedShutdown", reason));
        }
    }

    /// Ends the job of an instance's runner, and lets the host stay up, as one does that doesn't power itself off.
    pub fn linger(&mut self, instance: &str, job: u64, conclusion: &'static str) {
        self.end(job, conclusion);
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.powers_off_at = None;
        }
    }

    /// Protects an instance against termination, or no longer.
    pub fn protect(&mut self, instance: &str, protected: bool) {
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.protected = protected;
        }
    }

    /// Sets a tag on an instance, as somebody with a console would.
    pub fn tag(&mut self, instance: &str, key: &str, value: &str) {
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.tags.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Cuts a runner's listener off, or lets it come back. Its job, if it has one, runs on.
    pub fn connect(&mut self, runner: u64, online: bool) {
        let now = self.now;
        if let Some(runner) = self.runners.get_mut(&runner) {
            runner.online = online;
            runner.since = now;
        }
    }

    /// Ends a job now.
    pub fn finish(&mut self, job: u64) {
        let now = self.now;
        if let Some(job) = self.jobs.get_mut(&job).filter(|job| job.status == JobStatus::InProgress) {
            job.duration = job.started_at.map_or(Duration::ZERO, |at| (now - at).try_into().unwrap_or_default());
        }
        self.step(now);
    }

    /// Cancels a job that has not started.
    pub fn cancel(&mut self, job: u64) {
        let now = self.now;
        if let Some(job) = self.jobs.get_mut(&job).filter(|job| job.status < JobStatus::InProgress) {
            job.status = JobStatus::Completed;
            job.conclusion = Some("cancelled");
            job.completed_at = Some(now);
            self.open.remove(&job.id);
        }
    }

    /// Ends a running job now, with GitHub's word for how: `failure`, `cancelled` (by a person), `success`.
    pub fn end(&mut self, job: u64, conclusion: &'static str) {
        self.end_job(job);
        if let Some(job) = self.jobs.get_mut(&job) {
            job.conclusion = Some(conclusion);
        }
    }

    /// Lets a job that waits for an approval go on.
    pub fn approve(&mut self, job: u64) {
        if let Some(job) = self.jobs.get_mut(&job).filter(|job| job.status == JobStatus::Waiting) {
            job.status = JobStatus::Queued;
        }
    }

    /// Sets GitHub's primary rate limit, as of now. It is reset after an hour.
    pub fn rate_limit(&mut self, limit: u32, remaining: u32) {
        self.budget = Budget { limit, remaining, reset: self.now + Duration::from_hours(1) };
    }

    /// Makes a token valid for so long; without a time, for ever.
    pub fn token(&mut self, token: &str, valid_for: Option<Duration>) {
        self.tokens.insert(token.to_owned(), valid_for.map(|time| self.now + time));
    }

    /// Takes a token back.
    pub fn revoke(&mut self, token: &str) {
        self.tokens.remove(token);
    }
}
