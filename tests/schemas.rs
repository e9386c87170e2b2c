//! The forms of what is printed and of the plan file: a JSON Schema of each, generated from the types and committed,
//! and a plan file of each version that must still be readable.
//!
//! `GHASCALE_BLESS=1` writes the schemas anew. A change that removes or renames a field is a new version of its schema.

use std::path::Path;

use ghascale::listen::Line;
use ghascale::report::{ApplyReport, CompareReport, ExplainReport, PlanReport, Report, ScaleSetsReport, StatusReport};
use schemars::JsonSchema;

fn hold<T: JsonSchema>(name: &str) {
    hold_whole::<Report<T>>(name);
}

fn hold_whole<T: JsonSchema>(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas").join(format!("{name}.json"));
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(T)).unwrap() + "\n";
    if std::env::var_os("GHASCALE_BLESS").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == schema, "{} is not what the types say (GHASCALE_BLESS=1 writes it anew)", path.display());
}

#[test]
fn status_is_as_its_schema_says() {
    hold::<StatusReport>("ghascale.status-1");
}

#[test]
fn compare_is_as_its_schema_says() {
    hold::<CompareReport>("ghascale.compare-1");
}

#[test]
fn scale_set_is_as_its_schema_says() {
    hold::<ScaleSetsReport>("ghascale.scale-set-1");
}

#[test]
fn plan_is_as_its_schema_says() {
    hold::<PlanReport>("ghascale.plan-1");
}

#[test]
fn apply_is_as_its_schema_says() {
    hold::<ApplyReport>("ghascale.apply-1");
}

#[test]
fn explain_is_as_its_schema_says() {
    hold::<ExplainReport>("ghascale.explain-1");
}

#[test]
fn each_line_of_listen_is_as_its_schema_says() {
    hold_whole::<Line>("ghascale.listen-1");
}

#[test]
fn a_plan_file_of_the_first_version_still_reads() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas/first.plan");
    let report: Report<PlanReport> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(report.schema, "ghascale.plan/1");
    assert!(report.body.is_intact() && report.body.has_changes());
}
