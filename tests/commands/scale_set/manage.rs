//! `scale-set list | show | create | update | delete`.

use ghascale::sandbox::{Fault, Service};
use insta::assert_snapshot;
use serde_json::json;

use super::{X64, desk, listened, redacted};

fn labels(row: &serde_json::Value) -> Vec<&str> {
    row["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn create_makes_the_pools_set_once() {
    let desk = desk().await;
    let ran = desk.run("scale-set create linux-x64").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
    let again = desk.run("scale-set create linux-x64 -o json").await;
    assert_eq!((again.code, &again.json()["result"]), (0, &json!("unchanged")), "{again:#?}");
    let posts = desk.calls(Service::Actions, "POST /_apis/runtime/runnerscalesets");
    assert_eq!(posts.len(), 1, "{posts:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn list_and_show_are_one_object_in_json() {
    let desk = listened(5).await;
    desk.sandbox.world().scale_set("linux-x64").with_runners(2);
    desk.sandbox.world().scale_set("arc").group("gpu");
    desk.jobs(3, X64);
    let ran = desk.run("scale-set list -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
    let shown = desk.run("scale-set show linux-x64 -o json").await.json();
    assert_eq!(shown["scale_sets"].as_array().unwrap().len(), 1);
    assert_eq!(shown["scale_sets"][0]["statistics"]["assigned"], 3);
    assert_eq!((&shown["scale_sets"][0]["pool"], shown.get("result")), (&json!("linux-x64"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn list_needs_no_file() {
    let mut desk = listened(5).await;
    desk.without("GHASCALE_CONFIG");
    std::fs::remove_file(desk.file("ghascale.toml")).unwrap();
    let ran = desk.run(&format!("--url {} scale-set list -o json", desk.sandbox.url())).await;
    assert_eq!((ran.code, &ran.json()["scale_sets"][0]["name"]), (0, &json!("linux-x64")), "{ran:#?}");
    assert_eq!(ran.json()["scale_sets"][0]["pool"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_two_groups_is_told_apart_by_its_group() {
    let desk = listened(5).await;
    desk.sandbox.world().scale_set("other").group("gpu");
    // The same name in another group: made by another tool.
    let group = desk.sandbox.world().runner_group("gpu");
    desk.reconfigure(super::SET, &format!("{}runner_group = \"gpu\"\n", super::SET));
    assert!(group > 1);
    assert_eq!(desk.run("scale-set create linux-x64").await.code, 0);
    let ran = desk.run("scale-set show linux-x64").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("`Default/linux-x64`") && ran.stderr.contains("`gpu/linux-x64`"), "{}", ran.stderr);
    assert_eq!(desk.run("scale-set show gpu/linux-x64").await.code, 0);
    let unknown = desk.run("scale-set show linux").await;
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("there is no scale set `linux`"), "{}", unknown.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_with_other_labels_is_not_taken_for_the_pools_until_it_is_updated() {
    let desk = desk().await;
    desk.sandbox.world().scale_set("linux-x64").labels(["self-hosted", "linux", "gpu"]);
    let ran = desk.run("scale-set create linux-x64").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("it lacks `x64`; it has `gpu`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`ghascale scale-set update linux-x64`"), "{}", ran.stderr);
    let updated = desk.run("scale-set update linux-x64 -o json").await;
    assert_eq!((updated.code, &updated.json()["result"]), (0, &json!("updated")), "{updated:#?}");
    assert_eq!(labels(&updated.json()["scale_sets"][0]), ["linux", "self-hosted", "x64"]);
    assert_eq!(desk.run("scale-set update linux-x64 -o json").await.json()["result"], "unchanged");
    assert_eq!(desk.run("scale-set create linux-x64 -o json").await.json()["result"], "unchanged");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_a_ghes_drops_are_said() {
    let desk = desk().await;
    desk.sandbox.world().settings.scale_sets.first_label_only = true;
    let ran = desk.run("scale-set create linux-x64 -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    let report = ran.json();
    assert_eq!(labels(&report["scale_sets"][0]).len(), 1, "what the service really kept is shown");
    assert_eq!(report["warnings"][0]["code"], "labels_dropped");
    assert!(ran.stderr.contains("`linux`, `x64`"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_group_a_pool_without_a_set_and_an_unknown_pool_are_refused() {
    let desk = desk().await;
    let no_set = desk.run("scale-set create gpu").await;
    assert_eq!((no_set.code, no_set.stdout.as_str()), (64, ""));
    assert!(no_set.stderr.contains("`scale_set = \"gpu\"`"), "{}", no_set.stderr);
    assert_eq!(desk.run("scale-set create linux").await.code, 64);
    assert!(desk.sandbox.calls().is_empty(), "nothing is called on a wrong line");
    let missing = desk.run("scale-set update linux-x64").await;
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("`ghascale scale-set create linux-x64` makes it"), "{}", missing.stderr);
    desk.reconfigure(super::SET, &format!("{}runner_group = \"none\"\n", super::SET));
    let ran = desk.run("scale-set create linux-x64").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("there is no runner group `none`"), "{}", ran.stderr);
    assert!(desk.calls(Service::Actions, "POST").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_that_name_in_another_group_is_left_alone() {
    let desk = listened(2).await;
    desk.sandbox.world().runner_group("gpu");
    desk.reconfigure(super::SET, &format!("{}runner_group = \"gpu\"\n", super::SET));
    let ran = desk.run("scale-set update linux-x64").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    assert!(desk.calls(Service::Actions, "PATCH").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_needs_a_yes_and_says_what_it_deleted() {
    let desk = listened(2).await;
    let ran = desk.run("scale-set delete linux-x64").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""));
    assert!(desk.sandbox.calls().is_empty());
    let ran = desk.run("scale-set delete linux-x64 --yes").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_snapshot!(redacted(&ran.stdout));
    assert_eq!(desk.sandbox.world().statistics_of("linux-x64"), None);
    assert_eq!(desk.run("scale-set delete linux-x64 --yes").await.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_runner_works_is_not_deleted() {
    let desk = listened(2).await;
    desk.sandbox.world().scale_set("linux-x64").with_runners(1);
    desk.jobs(1, X64);
    let ran = desk.run("scale-set delete linux-x64 --yes").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    assert!(desk.sandbox.world().statistics_of("linux-x64").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_looked_up_and_not_asked_for_again() {
    let desk = desk().await;
    desk.sandbox.fault(Fault::actions("POST /_apis/runtime/runnerscalesets").dropped_after());
    let ran = desk.run("scale-set create linux-x64 -o json").await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(desk.calls(Service::Actions, "POST").len(), 1);
    desk.sandbox.fault(Fault::actions("DELETE /_apis/runtime/runnerscalesets").dropped_after());
    let ran = desk.run("scale-set delete linux-x64 --yes -o json").await;
    assert_eq!((ran.code, &ran.json()["result"]), (0, &json!("deleted")), "{ran:#?}");
    assert_eq!(desk.calls(Service::Actions, "DELETE").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_can_not_be_read_are_no_zero() {
    let desk = listened(2).await;
    let fault = Fault::actions("GET /_apis/runtime/runnerscalesets/").status(500);
    desk.sandbox.fault(fault.times(99));
    let ran = desk.run("scale-set list -o json").await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert_eq!(ran.json()["scale_sets"][0]["statistics"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_get_a_hint() {
    let mut desk = desk().await;
    desk.with("GITHUB_TOKEN", "wrong");
    let ran = desk.run("scale-set list").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    assert!(ran.stderr.contains("hint: check that the token"), "{}", ran.stderr);
}
