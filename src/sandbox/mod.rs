//! The embedded world: GitHub's REST API, its Actions Service and EC2's Query API on one loopback port, over one world
//! that time passes in.
//!
//! It stands in for the three services, nothing more: production's own clients talk to it over real HTTP. Its state is
//! [`World`], which is pure (it is told the time); [`Scenario`] says what it starts with; the servers only translate
//! between HTTP and the world. Faults can be injected and every request can be read back (`/_sandbox/…`).
//!
//! Of the Actions Service nothing is documented by GitHub: it plays what was read in clients' code and measured by
//! others, and where those differ, or go wrong, there is a switch ([`ScaleSetSettings`]).
//!
//! What it does not claim: capacity, timing and billing of the real EC2, or a real runner's protocol. A runner is taken
//! to start if the instance's user data holds a JIT configuration that this world issued.

mod actions;
mod connection;
mod control;
mod ec2;
mod github;
mod knobs;
mod scenario;
mod scenario_file;
mod serve;
mod server;
mod traffic;
mod world;

pub use scenario::{Beginning, Scenario};
pub use scenario_file::ScenarioFile;
pub use serve::serve;
pub use server::Sandbox;
pub use traffic::{Call, Fault, Hold, Moment, Service};
pub use world::{
    Completions, Dispatch, JobEditor, JobStatus, OrganizationEditor, RepositoryEditor, RunEditor, RunnerEditor,
    RunnerGroupEditor, ScaleSetEditor, ScaleSetSettings, Settings, World,
};
