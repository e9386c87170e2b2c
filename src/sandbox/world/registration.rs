//! Runner records: how they come, with a JIT configuration, and how they go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Runner, Scope, World};

/// Why a record was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum RegistrationRefused {
    /// Another record of the scope has the name.
    NameTaken,
    /// There is no such runner group.
    NoGroup,
}

/// Why a scale set got no runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum JitRefused {
    /// Another record of the scope has the name.
    NameTaken,
    /// There is no such set.
    NoSet,
}

/// Why a record was not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum RemovalRefused {
    /// It is running a job, as far as GitHub knows.
    Busy,
    /// There is none.
    Absent,
}

impl World {
    /// Registers an ephemeral runner and returns its id and JIT configuration.
    pub(in crate::sandbox) fn register(
        &mut self,
        scope: &Scope,
        name: &str,
        group_id: u64,
        labels: Vec<String>,
    ) -> Result<(u64, String), RegistrationRefused> {
        if self.group_at(scope, group_id).is_none() {
            return Err(RegistrationRefused::NoGroup);
        }
        if self.runners.values().any(|runner| runner.name == name && runner.scope == *scope) {
            return Err(RegistrationRefused::NameTaken);
        }
        let id = self.next_id();
        let jit_config = jit_config(id, name);
        self.issued.insert(jit_config.clone(), id);
        self.runners.insert(
            id,
            Runner {
                id,
                name: name.to_owned(),
                labels,
                group_id,
                scope: scope.clone(),
                scale_set: None,
                ephemeral: true,
                online: false,
                since: self.now,
            },
        );
        Ok((id, jit_config))
    }

    /// Registers a runner of a scale set, with the set's labels, and returns its id and JIT configuration.
    pub(in crate::sandbox) fn register_for_set(
        &mut self,
        set_id: u64,
        name: &str,
    ) -> Result<(u64, String), JitRefused> {
        let set = self.scale_set_of(set_id).ok_or(JitRefused::NoSet)?;
        let (scope, group_id, labels) = (set.scope.clone(), set.group_id, set.labels.clone());
        let labels = labels.iter().map(|label| label.to_lowercase()).collect();
        let registered = self.register(&scope, name, group_id, labels);
        let (id, jit_config) = registered.map_err(|refused| match refused {
            RegistrationRefused::NameTaken => JitRefused::NameTaken,
            RegistrationRefused::NoGroup => JitRefused::NoSet,
        })?;
        if let Some(runner) = self.runners.get_mut(&id) {
            runner.scale_set = Some(set_id);
        }
        Ok((id, jit_config))
    }

    /// Deletes a runner's record. Where `busy` lags, that succeeds under a running job, which then is lost; a listener
    /// whose registration is gone gives up after a while and its host powers off.
    pub(in crate::sandbox) fn remove_runner(&mut self, id: u64) -> Result<(), RemovalRefused> {
        if !self.runners.contains_key(&id) {
            return Err(RemovalRefused::Absent);
        }
        if self.is_busy(id) {
            return Err(RemovalRefused::Busy);
        }
        self.runners.remove(&id);
        self.lose_job_of(id, self.now);
        let gives_up_at = self.now + self.settings.listener_gives_up;
        if let Some(host) = self.host_of(id) {
            host.powers_off_at = Some(gives_up_at);
        }
        Ok(())
    }
}

/// Returns what GitHub issues: base64 of a JSON object of three base64 files, about 4 KiB (as long as GitHub's own
/// since 2025-06), a different one for every runner.
fn jit_config(id: u64, name: &str) -> String {
    let runner = json!({
        "AgentId": id.to_string(), "AgentName": name, "DisableUpdate": "False", "Ephemeral": "True", "PoolId": "1",
        "PoolName": "Default", "WorkFolder": "_work",
    });
    let credentials = json!({ "Scheme": "OAuth", "Data": { "ClientId": id.to_string() } });
    let mut key = Vec::new();
    while key.len() < 1800 {
        key.extend_from_slice(&Sha256::digest(format!("{id}:{name}:{}", key.len())));
    }
    let file = |value: &serde_json::Value| BASE64.encode(value.to_string());
    let files = json!({
        ".credentials": file(&credentials),
        ".credentials_rsaparams": BASE64.encode(&key),
        ".runner": file(&runner),
    });
    BASE64.encode(files.to_string())
}

/// How every JIT configuration begins: base64 of `{".credentials":`.
pub(super) const JIT_PREFIX: &str = "eyIuY3JlZGVudGlhbHMiO";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jit_configurations_are_told_apart_and_known_by_their_beginning() {
        let (one, two) = (jit_config(1, "a"), jit_config(2, "a"));
        assert_ne!(one, two);
        assert!(one.starts_with(JIT_PREFIX) && two.starts_with(JIT_PREFIX), "{one}");
        assert!((3500..8000).contains(&one.len()), "{}", one.len());
    }
}
