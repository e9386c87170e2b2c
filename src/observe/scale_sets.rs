//! Each pool's scale set, found by its runner group and name anew in every observation: a set that is made again under
//! its old name has another id.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream;

use crate::cli::SourceChoice;
use crate::config::Pool;
use crate::engine::{PoolName, Source, Statistics};
use crate::scale_set::{Client, Error, ErrorKind, RunnerGroup, ScaleSet};

/// Scale sets, or records of theirs, that are looked up at once.
pub(super) const AT_ONCE: usize = 8;

/// A scale set that was found, and what it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The set.
    pub scale_set: ScaleSet,
    /// Its counts.
    pub statistics: Statistics,
}

/// Why a pool's scale set could not be read: a phrase, for warnings.
pub type Missing = String;

/// How a pool's demand is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// From the REST API, whatever the scale set says.
    Rest,
    /// From its scale set, and from nothing else.
    ScaleSet,
    /// From its scale set if that answers, else from the REST API.
    Either,
}

impl Wish {
    /// Returns what a pool's configuration and the command line together ask for; the command line goes first.
    pub(super) fn of(pool: &Pool, choice: Option<SourceChoice>) -> Self {
        let asked = match choice {
            Some(SourceChoice::Rest) => Some(Source::Rest),
            Some(SourceChoice::ScaleSet) => Some(Source::ScaleSet),
            Some(SourceChoice::Auto) => None,
            None => pool.source,
        };
        match asked {
            Some(Source::ScaleSet) => Self::ScaleSet,
            None if pool.scale_set.is_some() => Self::Either,
            None | Some(Source::Rest) => Self::Rest,
        }
    }
}

/// Reads the scale sets of pools, each by itself: one that fails doesn't stop the others.
pub async fn read_scale_sets<'a>(
    service: &Client,
    pools: impl IntoIterator<Item = &'a Pool>,
) -> BTreeMap<PoolName, Result<Found, Missing>> {
    let pools: Vec<&Pool> = pools.into_iter().collect();
    let mut groups: BTreeMap<&str, Result<RunnerGroup, Missing>> = BTreeMap::new();
    for pool in pools.iter().filter(|pool| pool.scale_set.is_some()) {
        let name = pool.runner_group.as_str();
        if !groups.contains_key(name) {
            groups.insert(name, find_group(service, name).await);
        }
    }
    let groups = &groups;
    stream::iter(pools)
        .map(|pool| async move {
            let found = match (&pool.scale_set, groups.get(pool.runner_group.as_str())) {
                (Some(name), Some(Ok(group))) => find(service, group, name).await,
                (Some(_), Some(Err(why))) => Err(why.clone()),
                (None, _) | (_, None) => Err("it has no `scale_set` in the configuration".to_owned()),
            };
            (pool.policy.name.clone(), found)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

async fn find_group(service: &Client, name: &str) -> Result<RunnerGroup, Missing> {
    match service.runner_group(name).await {
        Ok(Some(group)) => Ok(group),
        Ok(None) => Err(format!("there is no runner group `{name}`")),
        Err(error) => Err(error.to_string()),
    }
}

/// Finds a set and its counts; one that vanishes between the two is looked up once more.
async fn find(service: &Client, group: &RunnerGroup, name: &str) -> Result<Found, Missing> {
    let mut last = None;
    for _ in 0..2 {
        let scale_set = service.find(group.id, name).await.map_err(|error| error.to_string())?;
        let Some(scale_set) = scale_set else {
            return Err(format!("there is no scale set `{name}` in runner group `{}`", group.name));
        };
        match counted(service, scale_set).await {
            Err(error) if error.kind == ErrorKind::ScaleSetNotFound => last = Some(error),
            Ok(Some(found)) => return Ok(found),
            Ok(None) => return Err(format!("the service gives no statistics of scale set `{name}`")),
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(last.map_or_else(String::new, |error| error.to_string()))
}

/// Returns a set with its counts, which the service gives for one set alone, if at all.
pub(crate) async fn counted(service: &Client, scale_set: ScaleSet) -> Result<Option<Found>, Error> {
    let id = scale_set.id;
    let counts = match scale_set.statistics {
        Some(statistics) => Some(statistics),
        None => service.scale_set(id).await?.statistics,
    };
    Ok(counts.map(|statistics| Found { scale_set, statistics }))
}
