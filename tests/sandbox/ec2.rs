//! EC2's actions, asked by the real SDK.

use std::collections::BTreeSet;
use std::io::Write as _;

use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    Filter, InstanceMarketOptionsRequest, InstanceStateName, InstanceType, MarketType, Reservation, ResourceType, Tag,
    TagSpecification,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ghascale::engine::Market;
use ghascale::sandbox::Fault;

use super::*;

#[tokio::test]
async fn spot_prices_are_told_by_type_and_zone_page_by_page() {
    let sandbox = Sandbox::start(Scenario::Empty, 0).await.unwrap();
    sandbox.world().spot_price("m7a.large", "eu-north-1a", Some("0.050000"));
    sandbox.world().spot_price("m7a.large", "eu-north-1c", None);
    let ask = || {
        let now = aws_sdk_ec2::primitives::DateTime::from(std::time::SystemTime::now());
        let zones = Filter::builder().name("availability-zone").values("eu-north-1a").values("eu-north-1b");
        let asked = client(&sandbox).describe_spot_price_history().start_time(now).filters(zones.build());
        asked.instance_types(InstanceType::from("m7a.large")).product_descriptions("Linux/UNIX")
    };
    let page = ask().max_results(1).send().await.unwrap();
    let shown = |entry: &aws_sdk_ec2::types::SpotPrice| {
        (entry.availability_zone().unwrap().to_owned(), entry.spot_price().unwrap().to_owned())
    };
    assert_eq!(
        page.spot_price_history().iter().map(shown).collect::<Vec<_>>(),
        [("eu-north-1a".into(), "0.050000".into())]
    );
    let page = ask().max_results(1).next_token(page.next_token().unwrap()).send().await.unwrap();
    assert_eq!(
        page.spot_price_history().iter().map(shown).collect::<Vec<_>>(),
        [("eu-north-1b".into(), "0.043500".into())]
    );
    assert_eq!(page.next_token(), Some(""), "EC2 ends this list so");
    let subnets = client(&sandbox).describe_subnets();
    let named = Filter::builder().name("subnet-id").values("subnet-b").values("subnet-gone").build();
    let subnets = subnets.filters(named).send().await.unwrap();
    assert_eq!(subnets.subnets().iter().map(|one| one.subnet_id().unwrap()).collect::<Vec<_>>(), ["subnet-b"]);
}

/// Returns the SDK's client with retries off.
pub(super) fn client(sandbox: &Sandbox) -> aws_sdk_ec2::Client {
    client_with(sandbox, "sandbox")
}

fn client_with(sandbox: &Sandbox, access_key: &str) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(sandbox.endpoint())
        .region(Region::new("eu-north-1"))
        .credentials_provider(Credentials::new(access_key, "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_ec2::Client::from_conf(config)
}

/// Prepares the launch of one instance.
pub(super) fn run_instance(sandbox: &Sandbox, token: &str) -> RunInstancesFluentBuilder {
    client(sandbox)
        .run_instances()
        .image_id("ami-0123456789abcdef0")
        .instance_type(InstanceType::from("m7a.large"))
        .subnet_id("subnet-a")
        .security_group_ids("sg-1")
        .min_count(1)
        .max_count(1)
        .client_token(token)
        .tag_specifications(
            TagSpecification::builder()
                .resource_type(ResourceType::Instance)
                .tags(Tag::builder().key("ghascale:fleet").value("test").build())
                .tags(Tag::builder().key("Name").value(token).build())
                .build(),
        )
}

pub(super) fn user_data(jit_config: &str) -> String {
    BASE64.encode(format!("#!/bin/bash\necho 'ACTIONS_RUNNER_INPUT_JITCONFIG={jit_config}' > /run/jit.env\n"))
}

pub(super) fn gzipped_user_data(jit_config: &str) -> String {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&BASE64.decode(user_data(jit_config)).unwrap()).unwrap();
    BASE64.encode(gzip.finish().unwrap())
}

/// Returns EC2's code for a call that failed, and the HTTP status.
fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata>(
    result: Result<T, SdkError<E, aws_sdk_ec2::config::http::HttpResponse>>,
) -> (String, u16) {
    let error = result.unwrap_err();
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    (error.code().unwrap_or("none").to_owned(), status)
}

async fn shown(sandbox: &Sandbox, filters: &[(&str, &str)]) -> Vec<String> {
    let filters = filters.iter().map(|(name, value)| Filter::builder().name(*name).values(*value).build()).collect();
    let answer = client(sandbox).describe_instances().set_filters(Some(filters)).send().await.unwrap();
    let instances = answer.reservations().iter().flat_map(Reservation::instances);
    instances.map(|instance| instance.instance_id().unwrap().to_owned()).collect()
}

async fn run(sandbox: &Sandbox, token: &str) -> String {
    let launched = run_instance(sandbox, token).send().await.unwrap();
    launched.instances()[0].instance_id().unwrap().to_owned()
}

#[tokio::test]
async fn a_launch_is_answered_with_all_that_was_asked_for() {
    let sandbox = empty().await;
    let spot = InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).build();
    let answer = run_instance(&sandbox, "token-1").instance_market_options(spot).send().await.unwrap();
    assert!(answer.request_id().is_some());
    let instance = &answer.instances()[0];
    assert_eq!(instance.state().unwrap().name(), Some(&InstanceStateName::Pending));
    assert_eq!(instance.instance_type().unwrap().as_str(), "m7a.large");
    assert_eq!(instance.instance_lifecycle().unwrap().as_str(), "spot");
    assert_eq!(instance.subnet_id(), Some("subnet-a"));
    assert_eq!(instance.client_token(), Some("token-1"));
    assert_eq!(instance.placement().unwrap().availability_zone(), Some("eu-north-1a"));
    assert_eq!(instance.security_groups()[0].group_id(), Some("sg-1"));
    assert!((instance.launch_time().unwrap().secs() - sandbox.world().now().as_second()).abs() <= 1);
    let tags: BTreeSet<_> = instance.tags().iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect();
    assert_eq!(tags, BTreeSet::from([("Name", "token-1"), ("ghascale:fleet", "test")]));
}

#[tokio::test]
async fn the_same_token_with_the_same_request_launches_once() {
    let sandbox = empty().await;
    assert_eq!(run(&sandbox, "t").await, run(&sandbox, "t").await);
    assert_eq!(sandbox.world().instance_states().len(), 1);
}

#[tokio::test]
async fn the_same_token_with_another_request_is_a_mismatch() {
    let sandbox = empty().await;
    run(&sandbox, "t").await;
    let other = run_instance(&sandbox, "t").user_data(user_data("other")).send().await;
    assert_eq!(refusal(other), ("IdempotentParameterMismatch".to_owned(), 400));
}

#[tokio::test]
async fn the_same_token_in_another_zone_launches_again() {
    let sandbox = empty().await;
    run(&sandbox, "t").await;
    run_instance(&sandbox, "t").subnet_id("subnet-b").send().await.unwrap();
    assert_eq!(sandbox.world().instance_states().len(), 2);
}

#[tokio::test]
async fn the_token_of_a_terminated_instance_is_spent_for_ever() {
    let sandbox = empty().await;
    let id = run(&sandbox, "t").await;
    client(&sandbox).terminate_instances().instance_ids(&id).send().await.unwrap();
    sandbox.advance(Duration::from_secs(5));
    let again = run_instance(&sandbox, "t").send().await;
    assert_eq!(refusal(again).0, "IdempotentInstanceTerminated");
    sandbox.advance(Duration::from_hours(2));
    let again = run_instance(&sandbox, "t").send().await;
    assert_eq!(refusal(again).0, "IdempotentInstanceTerminated");
}

#[tokio::test]
async fn without_capacity_a_launch_is_refused_as_a_server_error_and_binds_its_token() {
    let sandbox = empty().await;
    sandbox.world().capacity(Market::OnDemand, "m7a.large", "subnet-a", Some(0));
    let refused = run_instance(&sandbox, "t").send().await;
    assert_eq!(refusal(refused), ("InsufficientInstanceCapacity".to_owned(), 500));
    let other = run_instance(&sandbox, "t").instance_type(InstanceType::from("m6a.large")).send().await;
    assert_eq!(refusal(other).0, "IdempotentParameterMismatch");
    sandbox.world().capacity(Market::OnDemand, "m7a.large", "subnet-a", None);
    run(&sandbox, "t").await;
}

#[tokio::test]
async fn launches_beyond_ec2s_bucket_are_throttled_where_it_has_one() {
    let sandbox = empty().await;
    sandbox.world().settings.launches_every = Some(Duration::from_millis(500));
    let mut launched = 0;
    let refused = loop {
        match run_instance(&sandbox, &format!("t{launched}")).send().await {
            Ok(_) if launched < 100 => launched += 1,
            answer => break answer,
        }
    };
    assert!(launched >= 5, "{launched}");
    assert_eq!(refusal(refused), ("RequestLimitExceeded".to_owned(), 503));
    sandbox.advance(Duration::from_millis(500));
    run(&sandbox, "later").await;
}

#[tokio::test]
async fn an_injected_refusal_binds_the_token_too() {
    let sandbox = empty().await;
    sandbox.fault(Fault::ec2("RunInstances").code("InsufficientInstanceCapacity"));
    let refused = run_instance(&sandbox, "t").send().await;
    assert_eq!(refusal(refused), ("InsufficientInstanceCapacity".to_owned(), 500));
    let other = run_instance(&sandbox, "t").instance_type(InstanceType::from("m6a.large")).send().await;
    assert_eq!(refusal(other).0, "IdempotentParameterMismatch");
}

#[tokio::test]
async fn capacity_is_used_up_one_market_type_and_subnet_at_a_time() {
    let sandbox = empty().await;
    sandbox.world().capacity(Market::OnDemand, "m7a.large", "subnet-a", Some(3));
    let three = run_instance(&sandbox, "t").max_count(5).send().await.unwrap();
    assert_eq!(three.instances().len(), 3);
    assert_eq!(refusal(run_instance(&sandbox, "u").send().await).0, "InsufficientInstanceCapacity");
    run_instance(&sandbox, "v").subnet_id("subnet-b").send().await.unwrap();
}

#[tokio::test]
async fn a_subnet_without_addresses_refuses() {
    let sandbox = empty().await;
    sandbox.world().subnet("subnet-full", "eu-north-1a", 0);
    let refused = run_instance(&sandbox, "t").subnet_id("subnet-full").send().await;
    assert_eq!(refusal(refused).0, "InsufficientFreeAddressesInSubnet");
}

#[tokio::test]
async fn a_wrong_request_is_refused_with_its_code() {
    let sandbox = empty().await;
    let image = run_instance(&sandbox, "t").image_id("ami-00000000000000000").send().await;
    assert_eq!(refusal(image), ("InvalidAMIID.NotFound".to_owned(), 400));
    let subnet = run_instance(&sandbox, "t").subnet_id("subnet-none").send().await;
    assert_eq!(refusal(subnet).0, "InvalidSubnetID.NotFound");
    let long = run_instance(&sandbox, "t").user_data(BASE64.encode("x".repeat(16_385))).send().await;
    assert_eq!(refusal(long).0, "InvalidParameterValue");
    let broken = run_instance(&sandbox, "t").user_data("#").send().await;
    assert_eq!(refusal(broken).0, "InvalidUserData.Malformed");
    let token = run_instance(&sandbox, &"t".repeat(65)).send().await;
    assert_eq!(refusal(token).0, "InvalidParameterValue");
}

#[tokio::test]
async fn a_dry_run_does_nothing_and_says_that_it_would() {
    let sandbox = empty().await;
    let dry = run_instance(&sandbox, "t").dry_run(true).send().await;
    assert_eq!(refusal(dry), ("DryRunOperation".to_owned(), 412));
    assert!(sandbox.world().instance_states().is_empty());
    run(&sandbox, "t").await;
}

#[tokio::test]
async fn instances_are_filtered_by_tag_state_id_and_token() {
    let sandbox = empty().await;
    let (one, two) = (run(&sandbox, "one").await, run(&sandbox, "two").await);
    client(&sandbox).terminate_instances().instance_ids(&two).send().await.unwrap();
    assert_eq!(shown(&sandbox, &[("tag:ghascale:fleet", "test")]).await, [one.clone(), two.clone()]);
    assert_eq!(
        shown(&sandbox, &[("tag:ghascale:fleet", "t*t"), ("tag:Name", "o?e")]).await,
        std::slice::from_ref(&one)
    );
    assert!(shown(&sandbox, &[("tag:ghascale:fleet", "other")]).await.is_empty());
    assert_eq!(shown(&sandbox, &[("tag-key", "Name"), ("client-token", "two")]).await, std::slice::from_ref(&two));
    assert_eq!(shown(&sandbox, &[("instance-state-name", "shutting-down")]).await, std::slice::from_ref(&two));
    assert_eq!(shown(&sandbox, &[("instance-id", &one)]).await, [one]);
    let unknown = Filter::builder().name("tag.Name").values("x").build();
    let refused = client(&sandbox).describe_instances().filters(unknown).send().await;
    assert_eq!(refusal(refused).0, "InvalidParameterValue");
}

#[tokio::test]
async fn many_instances_come_in_pages_each_once() {
    let sandbox = empty().await;
    let mut launched = BTreeSet::new();
    for index in 0..12 {
        launched.insert(run(&sandbox, &format!("t{index}")).await);
    }
    let mut pages = client(&sandbox).describe_instances().max_results(5).into_paginator().send();
    let (mut seen, mut count) = (Vec::new(), 0);
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        count += 1;
        let instances = page.reservations().iter().flat_map(Reservation::instances);
        seen.extend(instances.map(|instance| instance.instance_id().unwrap().to_owned()));
    }
    assert_eq!((count, seen.len(), seen.into_iter().collect()), (3, 12, launched));
    let broken = client(&sandbox).describe_instances().next_token("?").send().await;
    assert_eq!(refusal(broken).0, "InvalidParameterValue");
}

#[tokio::test]
async fn a_terminated_instance_is_shown_for_an_hour_without_its_place() {
    let sandbox = empty().await;
    let id = run(&sandbox, "t").await;
    let answer = client(&sandbox).terminate_instances().instance_ids(&id).send().await.unwrap();
    let change = &answer.terminating_instances()[0];
    assert_eq!(change.previous_state().unwrap().name(), Some(&InstanceStateName::Pending));
    assert_eq!(change.current_state().unwrap().name(), Some(&InstanceStateName::ShuttingDown));
    sandbox.advance(Duration::from_secs(5));
    let answer = client(&sandbox).describe_instances().instance_ids(&id).send().await.unwrap();
    let instance = &answer.reservations()[0].instances()[0];
    assert_eq!(instance.state().unwrap().name(), Some(&InstanceStateName::Terminated));
    assert_eq!(instance.state_reason().unwrap().code(), Some("Client.UserInitiatedShutdown"));
    assert_eq!((instance.subnet_id(), instance.security_groups().len()), (None, 0));
    assert_eq!(instance.tags().len(), 2);
    sandbox.advance(Duration::from_hours(1));
    assert!(shown(&sandbox, &[]).await.is_empty());
}

#[tokio::test]
async fn one_unknown_instance_fails_the_whole_termination() {
    let sandbox = empty().await;
    let id = run(&sandbox, "t").await;
    let refused =
        client(&sandbox).terminate_instances().instance_ids(&id).instance_ids("i-00000000000000000").send().await;
    assert_eq!(refusal(refused), ("InvalidInstanceID.NotFound".to_owned(), 400));
    let malformed = client(&sandbox).terminate_instances().instance_ids("nonsense").send().await;
    assert_eq!(refusal(malformed).0, "InvalidInstanceID.Malformed");
    assert_eq!(shown(&sandbox, &[("instance-state-name", "pending")]).await, [id]);
}

#[tokio::test]
async fn a_protected_instance_is_not_terminated() {
    let sandbox = empty().await;
    let id = run(&sandbox, "t").await;
    sandbox.world().protect(&id, true);
    let refused = client(&sandbox).terminate_instances().instance_ids(&id).send().await;
    assert_eq!(refusal(refused).0, "OperationNotPermitted");
    assert_eq!(shown(&sandbox, &[("instance-state-name", "pending")]).await, [id]);
}

#[tokio::test]
async fn a_protected_instance_keeps_those_of_its_zone_and_no_others() {
    let sandbox = empty().await;
    let one = run(&sandbox, "t").await;
    let same_zone = run(&sandbox, "u").await;
    let launched = run_instance(&sandbox, "v").subnet_id("subnet-b").send().await.unwrap();
    let elsewhere = launched.instances()[0].instance_id().unwrap().to_owned();
    sandbox.world().protect(&one, true);
    let ids = [&one, &same_zone, &elsewhere].map(|id| Some(id.clone())).into_iter().collect();
    let refused = client(&sandbox).terminate_instances().set_instance_ids(ids).send().await;
    assert_eq!(refusal(refused).0, "OperationNotPermitted");
    assert_eq!(shown(&sandbox, &[("instance-state-name", "pending")]).await, [one, same_zone]);
}

#[tokio::test]
async fn terminating_twice_is_fine() {
    let sandbox = empty().await;
    let id = run(&sandbox, "t").await;
    for _ in 0..2 {
        client(&sandbox).terminate_instances().instance_ids(&id).send().await.unwrap();
        sandbox.advance(Duration::from_secs(5));
    }
    assert_eq!(shown(&sandbox, &[("instance-state-name", "terminated")]).await, [id]);
}

#[tokio::test]
async fn tags_are_set_overwritten_and_deleted() {
    let sandbox = empty().await;
    let id = run(&sandbox, "t").await;
    let tag = |value: &str| Tag::builder().key("ghascale:idle-since").value(value).build();
    for value in ["1", "2"] {
        client(&sandbox).create_tags().resources(&id).tags(tag(value)).send().await.unwrap();
    }
    assert_eq!(sandbox.world().tags(&id).unwrap()["ghascale:idle-since"], "2");
    client(&sandbox).delete_tags().resources(&id).tags(tag("1")).send().await.unwrap();
    assert!(sandbox.world().tags(&id).unwrap().contains_key("ghascale:idle-since"));
    let key = Tag::builder().key("ghascale:idle-since").build();
    client(&sandbox).delete_tags().resources(&id).tags(key).send().await.unwrap();
    assert!(!sandbox.world().tags(&id).unwrap().contains_key("ghascale:idle-since"));
    let reserved = Tag::builder().key("aws:x").value("y").build();
    let refused = client(&sandbox).create_tags().resources(&id).tags(reserved).send().await;
    assert_eq!(refusal(refused).0, "InvalidParameterValue");
}

#[tokio::test]
async fn a_new_instance_can_be_invisible_for_a_while() {
    let sandbox = empty().await;
    sandbox.world().settings.invisible_for = Duration::from_mins(1);
    let id = run(&sandbox, "t").await;
    assert!(shown(&sandbox, &[]).await.is_empty());
    let tag = Tag::builder().key("a").value("b").build();
    let refused = client(&sandbox).create_tags().resources(&id).tags(tag).send().await;
    assert_eq!(refusal(refused).0, "InvalidInstanceID.NotFound");
    assert_eq!(run(&sandbox, "t").await, id);
    sandbox.advance(Duration::from_secs(61));
    assert_eq!(shown(&sandbox, &[]).await, [id]);
}

#[tokio::test]
async fn an_interrupted_spot_instance_says_why() {
    let sandbox = empty().await;
    let id = run(&sandbox, "t").await;
    sandbox.world().interrupt(&id);
    let answer = client(&sandbox).describe_instances().instance_ids(&id).send().await.unwrap();
    let reason = answer.reservations()[0].instances()[0].state_reason().unwrap().code().map(str::to_owned);
    assert_eq!(reason.as_deref(), Some("Server.SpotInstanceTermination"));
}

#[tokio::test]
async fn subnets_and_images_are_described() {
    let sandbox = empty().await;
    let subnets = client(&sandbox).describe_subnets().subnet_ids("subnet-b").send().await.unwrap();
    assert_eq!(subnets.subnets()[0].availability_zone(), Some("eu-north-1b"));
    let images = client(&sandbox).describe_images().image_ids("ami-0123456789abcdef1").send().await.unwrap();
    assert_eq!(images.images()[0].architecture().unwrap().as_str(), "arm64");
    let unknown = client(&sandbox).describe_images().image_ids("ami-00000000000000000").send().await;
    assert_eq!(refusal(unknown).0, "InvalidAMIID.NotFound");
}

#[tokio::test]
async fn a_launch_template_gives_the_image() {
    let sandbox = empty().await;
    let template = |name: &str| {
        let template = aws_sdk_ec2::types::LaunchTemplateSpecification::builder().launch_template_name(name).build();
        let run = run_instance(&sandbox, name).set_image_id(None);
        run.launch_template(template).send()
    };
    assert_eq!(template("runner").await.unwrap().instances()[0].image_id(), Some("ami-0123456789abcdef0"));
    assert_eq!(refusal(template("none").await).0, "InvalidLaunchTemplateName.NotFoundException");
}

#[tokio::test]
async fn an_unknown_action_and_unknown_credentials_are_refused() {
    let sandbox = empty().await;
    let unknown = client(&sandbox).describe_vpcs().send().await;
    assert_eq!(refusal(unknown), ("InvalidAction".to_owned(), 400));
    let foreign = client_with(&sandbox, "AKIAOTHER").describe_instances().send().await;
    assert_eq!(refusal(foreign), ("AuthFailure".to_owned(), 401));
}
