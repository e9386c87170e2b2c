//! Plan files, and files that are none.

use ghascale::engine::build::{instance, job, policy, pool, runner, snapshot};
use ghascale::engine::{Mark, plan};
use ghascale::report::{Look, PlanReport, Report};
use serde_json::{Value, json};

use super::mutation::json_documents;
use super::{each, is_fit_to_be_shown};

const SECRET: &str = "hunter2PLANTEDhunter2";

/// A plan with an action of every kind.
fn good() -> (PlanReport, Value) {
    let mut seen = snapshot().job(job(1)).job(job(2)).job(job(3).labels("windows"));
    seen = seen.instance(instance("linux", 0).marked(Mark::Draining, 600));
    seen = seen.instance(instance("linux", 1)).runner(runner("linux", 1));
    let plan = plan(&seen, &policy([pool("linux").sized(0, 9)]));
    let body = PlanReport::of(&plan, &seen, "digest");
    let mut document = serde_json::to_value(&body).unwrap();
    for (name, value) in [
        ("schema", json!("ghascale.plan/1")),
        ("generated_at", json!("2026-11-24T12:00:00Z")),
        ("scope", json!("acme")),
        ("warnings", json!([{ "code": "degraded", "message": "no", "subject": null }])),
        ("api", json!({ "requests": 1, "not_modified": 0, "rate_limit_remaining": null, "rate_limit_limit": null })),
    ] {
        document[name] = value;
    }
    (body, document)
}

#[test]
fn a_plan_file_is_what_was_written_or_is_refused() {
    let (body, document) = good();
    let read = PlanReport::read(document.to_string().as_bytes(), "digest").unwrap();
    assert_eq!((read.plan_id, read.actions.len()), (body.plan_id.clone(), body.actions.len()));
    assert!(body.actions.len() >= 4, "{:?}", body.actions);
    each(&json_documents(&document), |document| match PlanReport::read(&document, "digest") {
        Ok(read) => {
            assert_eq!(read.plan_id, body.plan_id);
            assert!(read.actions.iter().eq(&body.actions), "what is done is not what was written");
            assert!(!read.text(Look::default()).is_empty());
        }
        Err(error) => is_fit_to_be_shown(&format!("{error}\n{error:?}"), &[]),
    });
}

#[test]
fn a_file_that_is_no_plan_is_not_quoted() {
    let others = [json!(SECRET), json!({ "token": SECRET }), json!([SECRET]), json!({ "actions": [SECRET] })];
    let (_, mut with_secret) = good();
    with_secret["actions"][0]["pool"] = json!([SECRET]);
    for other in others.into_iter().chain([with_secret]) {
        each(&json_documents(&other), |document| {
            let error = PlanReport::read(&document, "digest").unwrap_err();
            is_fit_to_be_shown(&format!("{error}\n{error:?}"), &[SECRET]);
        });
    }
}

#[test]
fn reports_are_drawn_whatever_is_in_them() {
    let (_, document) = good();
    each(&json_documents(&document), |document| {
        if let Ok(report) = serde_json::from_slice::<Report<PlanReport>>(&document) {
            assert!(report.body.text(Look::default()).len() + report.body.summary().len() > 0);
        }
    });
}
