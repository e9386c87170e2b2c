//! `ghascale plan`: what apply would do, and why.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::Failure;
use super::session::{Session, about, configuration, pool_names, show};
use crate::cli::{Cli, PlanArgs};
use crate::config::Needs;
use crate::engine::View;
use crate::exit;
use crate::report::{PlanReport, Report};
use crate::ui::Ui;

pub(super) async fn run(cli: &Cli, args: &PlanArgs, ui: &Ui) -> Result<u8, Failure> {
    let pools = pool_names(&args.view.pool);
    let session = Session::open(configuration(cli, Needs::Launch, &pools, ui)?, Needs::Launch).await?;
    let seen = session.observe(args.view.source, ui).await?;
    let plan = session.decide(&seen.snapshot, &pools)?;
    let due = session.reruns(&seen, &pools).await;
    let mut warnings = seen.warnings;
    warnings.extend(due.warnings);
    warnings.extend(View::of(&seen.snapshot, &session.config.policy()).warnings());
    let warnings = about(&pools, &session.config, warnings);
    let body = PlanReport::of(&plan, &seen.snapshot, &session.config.digest).with_reruns(&due.reruns);
    let report = session.report("plan", seen.snapshot.now, warnings, body);
    if let Some(file) = &args.out {
        write(file, &report).with_context(|| format!("the plan could not be written to {}", file.display()))?;
    }
    show(ui, &report, None, || format!("{}\n\n{}", report.body.text(ui.look()), report.body.summary()))?;
    Ok(match (report.is_partial(), args.detailed_exitcode && report.body.has_changes()) {
        (true, _) => exit::PARTIAL,
        (false, true) => exit::CHANGES,
        (false, false) => exit::DONE,
    })
}

/// Writes the plan file whole or not at all: beside its place first, then renamed into it.
fn write(file: &Path, report: &Report<PlanReport>) -> anyhow::Result<()> {
    let json = report.json()?;
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let written = options.write(true).create(true).truncate(true).mode(0o600).open(&beside).and_then(|mut opened| {
        opened.write_all(json.as_bytes())?;
        opened.write_all(b"\n")?;
        opened.sync_all()?;
        std::fs::rename(&beside, file)
    });
    if written.is_err() {
        // If even this fails, a file is left behind whose name says whose it was.
        let _ = std::fs::remove_file(&beside);
    }
    Ok(written?)
}
