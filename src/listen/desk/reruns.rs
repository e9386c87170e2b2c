//! Re-runs of what died with its spot instance: found by a whole observation alone, carried out beside everything else.

use futures::FutureExt as _;

use super::{Carried, Carrying, Desk, Shared};
use crate::engine::{Plan, Snapshot};
use crate::github::Client;
use crate::listen::Parts;
use crate::listen::event::{Event, Line};
use crate::observe::Observation;
use crate::report::{PlanReport, RerunResult};
use crate::rerun::{Due, RerunOutcome, Reruns};
use crate::services::SystemClock;
use crate::state::{AuditLog, StateDirectory};

impl<'a> Desk<'a> {
    /// Begins what is due, unless the last is still under way: what is left then is found again.
    pub(super) fn rerun(&mut self, due: Due, snapshot: &Snapshot, carrying: &Carrying<'a>) {
        self.warn(due.warnings);
        if self.is_rerunning || (due.reruns.is_empty() && due.settled.is_empty()) {
            return;
        }
        self.is_rerunning = true;
        let due = Due { warnings: Vec::new(), ..due };
        let Parts { state, config, .. } = self.shared.parts;
        let plan = Plan { seen_at: snapshot.now, ..Plan::default() };
        let report = PlanReport::of(&plan, snapshot, &config.digest).with_reruns(&due.reruns);
        let has_reruns = !due.reruns.is_empty();
        let audit =
            has_reruns.then(|| state.audit(&report, &config.github.scope).map_err(|warning| self.warn_of(warning)));
        let audit = audit.and_then(Result::ok);
        carrying.push(self.shared.rerun(due, report.plan_id, audit).boxed_local());
    }
}

impl Shared<'_> {
    fn reruns(&self) -> Reruns<'_, Client, StateDirectory, SystemClock> {
        let Parts { config, client, state, .. } = self.parts;
        Reruns::of(config, client, state)
    }

    pub(super) async fn due(&self, seen: &Observation) -> Due {
        self.reruns().find(&seen.snapshot, self.parts.pools).await
    }

    async fn rerun(self, due: Due, plan_id: String, audit: Option<AuditLog>) -> Carried {
        let tell = |outcome: &RerunOutcome| {
            if let Some(audit) = &audit {
                audit.rerun(outcome);
            }
            let reruns = RerunResult::of(outcome);
            self.parts.metrics.reran(&reruns);
            let pool =
                Some(reruns[0].rerun.pool.clone()).filter(|pool| reruns.iter().all(|one| one.rerun.pool == *pool));
            let plan_id = plan_id.clone();
            (self.parts.hear)(Line::now(Event::Plan { pool, plan_id, launch: 0, end: 0, actions: 0, reruns }));
        };
        let (_, warnings) = self.reruns().carry_out(&due.reruns, due.settled, tell, &|| self.is_stopping.get()).await;
        Carried { outcomes: Vec::new(), are_ends: false, reruns: Some(warnings) }
    }
}
