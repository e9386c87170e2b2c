//! Which pool can take which job: all of the job's labels must be on the pool, compared without case.

use std::collections::BTreeSet;
use std::fmt;

use super::names::{Label, PoolName};
use super::plan::{Reason, ReasonCode};
use super::policy::Pool;

/// The labels that a job asks for, as a set: jobs of one signature are alike to every pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature(BTreeSet<Label>);

impl Signature {
    /// Returns the signature of a job's labels; order, case and repetition don't matter.
    #[must_use]
    pub fn of(labels: &[Label]) -> Self {
        Self(labels.iter().cloned().collect())
    }

    /// Returns the labels, sorted without case.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// Returns how many labels of `pool` the job doesn't need, or `None` if the pool can't take it.
    ///
    /// A job without labels names only a runner group, which GitHub doesn't show while it is queued
    /// (actions-runner-controller#922): no pool takes it on suspicion.
    #[must_use]
    pub fn unneeded_on(&self, pool: &Pool) -> Option<usize> {
        if self.0.is_empty() || self.missing_on(pool).next().is_some() {
            return None;
        }
        Some(Self::of(&pool.labels).0.len() - self.0.len())
    }

    /// Returns the labels that `pool` lacks.
    fn missing_on<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = &'a Label> {
        self.0.iter().filter(|label| !pool.labels.contains(label))
    }

    /// Returns why none of `pools` can take the job; `pools` are sorted by name.
    #[must_use]
    pub fn no_pool(&self, pools: &[&Pool]) -> Reason {
        let message = if self.0.is_empty() {
            "the job has no labels: it names only a runner group, which GitHub does not show".to_owned()
        } else if let Some(label) = self.0.iter().find(|label| is_hosted(label)) {
            format!("label `{label}` is on no pool; GitHub-hosted runners carry such a label")
        } else if let Some(label) = self.0.iter().find(|label| pools.iter().all(|pool| !pool.labels.contains(label))) {
            format!("label `{label}` is on no pool")
        } else if let Some((pool, missing)) = self.nearest(pools) {
            let missing: Vec<_> = missing.iter().map(|label| format!("`{label}`")).collect();
            format!("no pool has all of its labels; the nearest, `{pool}`, lacks {}", missing.join(", "))
        } else {
            "there is no pool".to_owned()
        };
        Reason::new(ReasonCode::NoPool, message)
    }

    fn nearest<'a>(&'a self, pools: &[&'a Pool]) -> Option<(&'a PoolName, Vec<&'a Label>)> {
        pools.iter().map(|pool| (&pool.name, self.missing_on(pool).collect::<Vec<_>>())).min_by_key(|(_, m)| m.len())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, label) in self.0.iter().enumerate() {
            write!(f, "{}{label}", if nth == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Returns whether a label is of the form that GitHub's own runners have: `ubuntu-24.04`, `windows-latest`, `macos-15`.
pub(crate) fn is_hosted(label: &Label) -> bool {
    let folded = label.as_str().to_lowercase();
    ["ubuntu-", "windows-", "macos-"].iter().any(|prefix| {
        folded
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with("latest") || rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::build::{labels, pool};

    fn signature(words: &str) -> Signature {
        Signature::of(&labels(words))
    }

    #[test]
    fn a_pool_takes_a_job_if_it_has_all_of_its_labels() {
        let pool = pool("linux").labels("self-hosted linux x64");
        assert_eq!(signature("linux").unneeded_on(&pool), Some(2));
        assert_eq!(signature("x64 SELF-HOSTED Linux").unneeded_on(&pool), Some(0));
        assert_eq!(signature("linux gpu").unneeded_on(&pool), None);
    }

    #[test]
    fn a_job_without_labels_goes_to_no_pool() {
        assert_eq!(signature("").unneeded_on(&pool("linux")), None);
    }

    #[test]
    fn a_refusal_names_the_label_that_failed() {
        let (linux, gpu) = (pool("linux").labels("self-hosted linux"), pool("gpu").labels("self-hosted gpu"));
        let pools = [&gpu, &linux];
        let said = |words: &str| signature(words).no_pool(&pools).message;
        assert_eq!(said("linux windows"), "label `windows` is on no pool");
        assert_eq!(said("gpu linux"), "no pool has all of its labels; the nearest, `gpu`, lacks `linux`");
        assert_eq!(
            said("ubuntu-latest"),
            "label `ubuntu-latest` is on no pool; GitHub-hosted runners carry such a label"
        );
    }
}
