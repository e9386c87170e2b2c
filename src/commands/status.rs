//! `ghascale status`: pending jobs, runners and instances, by pool.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::session::{Session, about, configuration, pool_names, print};
use crate::cli::{Cli, StatusArgs};
use crate::config::Needs;
use crate::engine::{View, plan};
use crate::exit;
use crate::report::StatusReport;
use crate::ui::Ui;

pub(super) async fn run(cli: &Cli, args: &StatusArgs, ui: &Ui) -> Result<u8, Failure> {
    let pools = pool_names(&args.view.pool);
    let config = configuration(cli, Needs::Look, &pools, ui)?;
    let session = Session::open_to_repeat(config, Needs::Look, args.watch).await?;
    let Some(every) = args.watch else { return Ok(once(&session, args, ui, None).await?.code) };
    let mut shown = once(&session, args, ui, Some(every)).await?;
    // One for all looks, so that none is lost between two.
    let mut interrupt = signal(SignalKind::interrupt()).context("signals can't be waited for")?;
    while shown.is_read {
        let again = async {
            tokio::time::sleep(every).await;
            once(&session, args, ui, Some(every)).await
        };
        let again = tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            again = again => again,
        };
        // Once it has worked, a look that fails is no reason to stop looking.
        shown = again.unwrap_or_else(|failure| {
            ui.error(&failure);
            Shown { code: failure.code, is_read: true }
        });
    }
    Ok(shown.code)
}

/// One look that was shown.
struct Shown {
    code: u8,
    /// Somebody still reads what is shown.
    is_read: bool,
}

async fn once(session: &Session, args: &StatusArgs, ui: &Ui, cadence: Option<Duration>) -> Result<Shown, Failure> {
    let before = session.client.usage();
    let seen = session.observe(args.view.source, ui).await?;
    let policy = session.config.policy();
    let view = View::of(&seen.snapshot, &policy);
    let mut warnings = seen.warnings;
    if seen.known.instances && seen.known.runners {
        warnings.extend(view.warnings());
    }
    let pools = pool_names(&args.view.pool);
    let warnings = about(&pools, &session.config, warnings);
    let mut body = StatusReport::of(&seen.snapshot, &view, seen.known).with_coverage(seen.coverage);
    if seen.known.instances && seen.known.runners {
        body = body.with_reasons(&plan(&seen.snapshot, &policy));
    }
    let body = body.only(&pools);
    let mut report = session.report("status", seen.snapshot.now, warnings, body);
    report.api = report.api.since(before);
    // The runs stand below the tables.
    ui.warn(report.warnings.iter().filter(|warning| !warning.code.is_of_runs()));
    let is_read = print(ui, &report, cadence, || report.body.text(ui.look(), args.jobs))?;
    Ok(Shown { code: if report.is_partial() { exit::PARTIAL } else { exit::DONE }, is_read })
}
