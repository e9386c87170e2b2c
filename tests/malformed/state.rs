//! This host's memory, damaged: it is believed where it reads, forgotten where it doesn't, and written anew either way.

use std::collections::{BTreeMap, BTreeSet};

use ghascale::engine::Snapshot;
use ghascale::engine::build::{noon, snapshot};
use ghascale::services::SpotMemory as _;
use ghascale::state::StateDirectory;
use serde_json::json;

use super::each;
use super::mutation::json_documents;

const SIGHTINGS: &str = "acme.sightings.json";
const SPOT_JOBS: &str = "acme.spot-jobs.json";
const SHORTAGES: &str = "acme.shortages.json";
const REFUSALS: &str = "acme.refusals.json";
const BOOTS: &str = "acme.boots.json";

/// What earlier runs met, told to a snapshot of nothing.
fn reminded(state: &StateDirectory) -> Snapshot {
    let mut snapshot = snapshot();
    state.remind("acme", &mut snapshot);
    snapshot
}

#[test]
fn a_damaged_memory_is_forgotten_and_written_anew() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::new(home.path().to_owned());
    let sightings =
        json!({ "acme/7/acme-linux-000": noon().to_string(), "acme/8/acme-linux-001": "1969-12-31T23:59:59Z" });
    each(&json_documents(&sightings), |document| {
        std::fs::write(home.path().join(SIGHTINGS), document).unwrap();
        let _ = state.sightings("acme");
        let seen = BTreeMap::from([("acme/9/acme-linux-002".to_owned(), noon())]);
        state.remember_sightings("acme", &seen, noon()).unwrap();
        assert_eq!(state.sightings("acme").unwrap().get("acme/9/acme-linux-002"), Some(&noon()));
    });
    let offering = json!({ "market": "spot", "instance_type": "m7a.large", "subnet": "subnet-a" });
    each(&json_documents(&json!([[offering, noon().to_string()]])), |document| {
        std::fs::write(home.path().join(SHORTAGES), document).unwrap();
        let known = reminded(&state);
        state.remember_launches("acme", &[], noon()).unwrap();
        assert_eq!(reminded(&state), known);
    });
    for (file, of) in [(REFUSALS, "linux"), (BOOTS, "i-1")] {
        each(&json_documents(&json!([[of, noon().to_string()]])), |document| {
            std::fs::write(home.path().join(file), document).unwrap();
            let known = reminded(&state);
            state.remember_launches("acme", &[], noon()).unwrap();
            state.remember_boots("acme", &BTreeSet::from(["i-new".into()]), noon()).unwrap();
            let now = reminded(&state);
            assert!(now.never_came.contains(&"i-new".into()) && now.never_came.is_superset(&known.never_came));
            assert_eq!(now.refused, known.refused);
        });
    }
}

#[test]
fn damaged_memories_of_spot_jobs_are_forgotten_or_hold_jobs_of_their_scope_alone() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::new(home.path().to_owned());
    let job = json!({
        "repository": "acme/api", "run_id": 10, "job_id": 1, "name": "job 1", "pool": "linux", "runner": "acme-linux-000",
        "instance_id": "i-1", "seen_at": noon().to_string(), "alive_at": null, "taken_at": noon().to_string(),
    });
    let kept = json!({ "scope": "https://github.com/acme", "jobs": [job] });
    std::fs::write(home.path().join(SPOT_JOBS), kept.to_string()).unwrap();
    let known = state.spot_jobs("acme", "https://github.com/acme");
    assert_eq!(known.len(), 1);
    assert!(state.spot_jobs("acme", "https://ghe.example/acme").is_empty(), "ids are one scope's");
    each(&json_documents(&kept), |document| {
        std::fs::write(home.path().join(SPOT_JOBS), document).unwrap();
        let _ = state.spot_jobs("acme", "https://github.com/acme");
        state.remember_spot_jobs("acme", "https://github.com/acme", &known).unwrap();
        assert_eq!(state.spot_jobs("acme", "https://github.com/acme"), known);
    });
}

#[test]
fn a_memory_larger_than_any_is_not_read() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::new(home.path().to_owned());
    std::os::unix::fs::symlink("/dev/zero", home.path().join(SIGHTINGS)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", home.path().join(SHORTAGES)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", home.path().join(SPOT_JOBS)).unwrap();
    assert_eq!(state.sightings("acme"), None);
    assert!(state.spot_jobs("acme", "https://github.com/acme").is_empty());
    for file in [REFUSALS, BOOTS] {
        std::os::unix::fs::symlink("/dev/zero", home.path().join(file)).unwrap();
    }
    assert_eq!(reminded(&state), snapshot());
}
