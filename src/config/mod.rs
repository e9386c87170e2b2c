//! `ghascale.toml`, environment and flags -> one validated [`Config`]. Nothing later looks at any of the three again.

mod address;
mod environment;
mod load;
mod mask;
mod pool;
mod prices;
mod problem;
mod reader;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use secrecy::SecretString;

pub(crate) use address::is_loopback;
pub use environment::{Environment, Needs, Request};
pub use load::load;
pub use problem::Problems;
pub(crate) use problem::nearest;

use crate::engine::{FleetName, Label, Policy, PoolName, Price, Prices, Scope, Source};
use crate::scale_set::ScaleSetId;
use crate::services::Place;
use crate::warning::Warning;

/// The whole configuration, validated.
#[derive(Debug)]
pub struct Config {
    /// The file it was read from; `None` with `--url` alone.
    pub file: Option<PathBuf>,
    /// Where jobs and runners are.
    pub github: Github,
    /// How demand is read.
    pub scan: Scan,
    /// Where instances are; `None` without `[ec2]`.
    pub ec2: Option<Ec2>,
    /// The pools, in the file's order.
    pub pools: Vec<Pool>,
    /// What is allowed but worth a word: overlapping pools.
    pub warnings: Vec<Warning>,
    /// SHA-256 in hexadecimal over all that decides a plan, in a canonical order, secrets left out: a plan file made
    /// with another configuration is refused by it.
    pub digest: String,
}

/// `[github]`.
#[derive(Debug)]
pub struct Github {
    /// `github.url` as given, without a trailing slash.
    pub url: String,
    /// The scope that the URL names.
    pub scope: Scope,
    /// The REST base, without a trailing slash: `https://api.github.com`, `https://ghe.example/api/v3`.
    pub api_url: String,
    /// How we prove who we are.
    pub credentials: Credentials,
    /// Certificates to trust beside the system's, PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// How we prove who we are to GitHub.
#[derive(Debug)]
pub enum Credentials {
    /// A personal access token, or any other bearer token.
    Token(SecretString),
    /// A GitHub App, which mints its own tokens.
    App {
        /// The `iss` of its JWTs.
        issuer: AppIssuer,
        /// The installation in the scope.
        installation_id: u64,
        /// PEM, PKCS#1 or PKCS#8.
        private_key: SecretString,
    },
    /// A GitHub App in an enterprise, whose organizations have an installation each: it acts through all that it has.
    EveryInstallation {
        /// The `iss` of its JWTs.
        issuer: AppIssuer,
        /// PEM, PKCS#1 or PKCS#8.
        private_key: SecretString,
    },
}

/// Who signs an App's JWT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppIssuer {
    /// The App's numeric id.
    AppId(u64),
    /// The App's client id, `Iv1.…`.
    ClientId(String),
}

/// `[scan]`.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Repositories to read.
    pub include: GlobSet,
    /// Repositories not to read, though included.
    pub exclude: GlobSet,
    /// The two lists as they were written, sorted.
    pub patterns: (Vec<String>, Vec<String>),
    /// Repositories read at once, from 1 to 100.
    pub concurrency: usize,
    /// `None` is `auto`.
    pub requests_per_minute: Option<u32>,
    /// A run queued for longer is a ghost.
    pub max_job_age: Duration,
    /// How much of GitHub's hourly limit may be used up, in percent, before the rest is left to others.
    pub rate_limit_share: u8,
    /// The organization's webhook whose delivery log says which repositories are looked at sooner.
    pub organization_hook: Option<u64>,
    /// Whether everything is looked at, however long it takes; a flag only.
    pub full: bool,
    /// Whether it goes on beside other looks, and leaves them most of the pace; for whoever looks again and again.
    pub beside: bool,
    /// Requests for one look, at most; a flag only.
    pub max_requests: Option<u64>,
    /// Whether answers are kept for the next run, and those of earlier runs used; a flag only.
    pub cache: bool,
}

impl Scan {
    /// Returns the settings where there is no `[scan]`: every repository is read.
    ///
    /// `None` never comes: a pattern that is no glob would.
    #[must_use]
    pub fn of_every_repository() -> Option<Self> {
        let include = GlobSetBuilder::new().add(Glob::new("*").ok()?).build().ok()?;
        Some(Self {
            include,
            exclude: GlobSet::empty(),
            patterns: (vec!["*".to_owned()], Vec::new()),
            concurrency: 16,
            requests_per_minute: None,
            max_job_age: Duration::from_hours(24),
            rate_limit_share: 100,
            organization_hook: None,
            max_requests: None,
            full: false,
            beside: false,
            cache: true,
        })
    }
}

/// `[ec2]`.
#[derive(Debug)]
pub struct Ec2 {
    /// The region; `None`: the SDK's own chain.
    pub region: Option<String>,
    /// The tag value that marks our instances.
    pub fleet: FleetName,
    /// The most runners of all pools together, from 1.
    pub max_total: Option<u32>,
    /// The most that they may cost together.
    pub max_usd_per_hour: Option<Price>,
    /// On-demand prices by instance type; empty where none are given.
    pub prices: BTreeMap<String, Price>,
}

/// `[[pool]]`: what the engine decides by, and what a launch needs.
#[derive(Debug, Clone)]
pub struct Pool {
    /// The engine's part.
    pub policy: crate::engine::Pool,
    /// The runner group's name.
    pub runner_group: String,
    /// The scale set's name.
    pub scale_set: Option<String>,
    /// The source asked for; `None` is `auto`.
    pub source: Option<Source>,
    /// What a launch needs; `None` where the file has no image, types or subnets (enough for `status`).
    pub launch: Option<Launch>,
}

/// What a pool's instances are made of.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Image or launch template.
    pub image: Image,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// The pool's own tags.
    pub tags: BTreeMap<String, String>,
    /// The user data's source.
    pub user_data: UserData,
    /// On the host: power off when no job came for so long.
    pub idle_timeout: Duration,
    /// On the host: power off after so long, whatever runs.
    pub max_lifetime: Duration,
}

/// What an instance boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// An AMI id.
    Ami(String),
    /// A launch template, by id (`lt-…`) or by name.
    LaunchTemplate(String),
}

/// Where the user data comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserData {
    /// The built-in bootstrap for Linux.
    BuiltIn,
    /// The text of `user_data_file`.
    File(String),
}

impl Pool {
    /// Returns where the pool's runners are registered: in a scale set, or without one in its runner group.
    #[must_use]
    pub fn place(&self, scale_set: Option<ScaleSetId>) -> Place {
        let group = || Place::Group { name: self.runner_group.clone(), labels: self.policy.labels.clone() };
        scale_set.map_or_else(group, Place::ScaleSet)
    }
}

impl Config {
    /// Returns the engine's policy; `fleet` is empty where there is no `[ec2]`.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            fleet: self.ec2.as_ref().map_or_else(|| FleetName::new(""), |ec2| ec2.fleet.clone()),
            pools: self.pools.iter().map(|pool| pool.policy.clone()).collect(),
            max_total: self.ec2.as_ref().and_then(|ec2| ec2.max_total),
            max_usd_per_hour: self.ec2.as_ref().and_then(|ec2| ec2.max_usd_per_hour),
        }
    }

    /// Returns what the configuration itself says of prices.
    #[must_use]
    pub fn prices(&self) -> Prices {
        let on_demand = self.ec2.as_ref().map(|ec2| ec2.prices.clone()).unwrap_or_default();
        Prices { on_demand, ..Prices::default() }
    }

    /// Returns a pool by its name.
    #[must_use]
    pub fn pool(&self, name: &PoolName) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.policy.name == *name)
    }

    /// Returns all labels that pools carry, for near words.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        self.pools.iter().flat_map(|pool| &pool.policy.labels)
    }
}
