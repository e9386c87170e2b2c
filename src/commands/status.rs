//! `ghascale status`: pending jobs, runners and instances, by pool.

use std::time::Duration;

use super::Failure;
use super::session::{Session, about, configuration, pool_names, show};
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
    let Some(every) = args.watch else { return once(&session, args, ui, None).await };
    let mut code = once(&session, args, ui, Some(every)).await?;
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = tokio::signal::ctrl_c() => return Ok(code),
        }
        // Once it has worked, a look that fails is no reason to stop looking.
        code = once(&session, args, ui, Some(every)).await.unwrap_or_else(|failure| {
            ui.error(&failure);
            failure.code
        });
    }
}

async fn once(session: &Session, args: &StatusArgs, ui: &Ui, cadence: Option<Duration>) -> Result<u8, Failure> {
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
    let report = session.report("status", seen.snapshot.now, warnings, body);
    show(ui, &report, cadence, || report.body.text(ui.look(), args.jobs))?;
    Ok(if report.is_partial() { exit::PARTIAL } else { exit::DONE })
}
