//! `ghascale plan`: what apply would do, and why.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Failure;
use super::session::{Session, configuration, pool_names, show};
use crate::cli::{Cli, PlanArgs};
use crate::config::Needs;
use crate::engine::View;
use crate::exit;
use crate::report::{PlanReport, Report};
use crate::ui::Ui;

pub(super) async fn run(cli: &Cli, args: &PlanArgs, ui: &Ui) -> Result<u8, Failure> {
    let pools = pool_names(&args.view.pool);
    let session = Session::open(configuration(cli, Needs::Launch, &pools, ui)?).await?;
    let seen = session.observe(ui).await?;
    let plan = session.decide(&seen, &pools)?;
    let mut warnings = seen.warnings;
    warnings.extend(View::of(&seen.snapshot, &session.config.policy()).warnings());
    let body = PlanReport::of(&plan, &seen.snapshot, &session.config.digest);
    let report = session.report("plan", seen.snapshot.now, warnings, body);
    if let Some(file) = &args.out {
        write(file, &report)?;
    }
    show(ui, &report, None, || format!("{}\n\n{}", report.body.text(ui.look()), report.body.summary()))?;
    Ok(match (report.is_partial(), args.detailed_exitcode && report.body.has_changes()) {
        (true, _) => exit::PARTIAL,
        (false, true) => exit::CHANGES,
        (false, false) => exit::DONE,
    })
}

/// Writes the plan file whole or not at all: beside its place first, then renamed into it.
fn write(file: &Path, report: &Report<PlanReport>) -> Result<(), Failure> {
    let said = |error: &dyn std::fmt::Display| {
        Failure::new(exit::FAILED, format!("the plan could not be written to {}: {error}", file.display()))
    };
    let json = report.json().map_err(|error| said(&error))?;
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let written = options.write(true).create(true).truncate(true).mode(0o600).open(&beside).and_then(|mut opened| {
        opened.write_all(json.as_bytes())?;
        opened.write_all(b"\n")?;
        opened.sync_all()?;
        std::fs::rename(&beside, file)
    });
    written.map_err(|error| {
        // Nothing is left behind if even this fails but a file of a name that says whose it was.
        let _ = std::fs::remove_file(&beside);
        said(&error)
    })
}
