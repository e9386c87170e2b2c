//! The EC2 client over real HTTP: what it sends, how often, and what it makes of bad answers.

pub(crate) mod prices;
pub(crate) mod stand_in;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::{ProvideCredentials, SharedCredentialsProvider};
use ghascale::config::Image;
use ghascale::ec2::{ErrorClass, Fleet};
use ghascale::engine::{InstanceId, Mark, Market};
use ghascale::services::Instances;
use ghascale::warning::WarningCode;

use stand_in::{JIT, StandIn, error, image, launched, page, pool, pool_from, request, sdk};

use crate::log::Log;

#[tokio::test]
async fn all_pages_are_read_and_an_instance_on_two_of_them_counts_once() {
    let pages = [page(&[("i-1", "acme", "")], Some("2")), page(&[("i-2", "acme", ""), ("i-1", "acme", "")], None)];
    let ec2 = StandIn::start(pages).await;
    let (listing, warnings) = ec2.fleet().observe().await.unwrap();
    assert_eq!(listing.items.iter().map(|instance| instance.id.as_str()).collect::<Vec<_>>(), ["i-1", "i-2"]);
    assert!(listing.whole && warnings.is_empty(), "{warnings:?}");
    let calls = ec2.calls();
    for call in &calls {
        assert_eq!((&*call["Filter.1.Name"], &*call["Filter.1.Value.1"]), ("tag:ghascale:fleet", "acme"));
        assert_eq!(call["MaxResults"], "1000");
    }
    assert_eq!(calls[1]["NextToken"], "2");
}

#[tokio::test]
async fn a_later_page_that_is_lost_makes_the_listing_partial() {
    let ec2 =
        StandIn::start([page(&[("i-1", "acme", "")], Some("2")), error(403, "UnauthorizedOperation", "no")]).await;
    let (listing, warnings) = ec2.fleet().observe().await.unwrap();
    assert_eq!((listing.items.len(), listing.whole), (1, false));
    assert_eq!(warnings[0].code, WarningCode::InstancesFailed);
}

#[tokio::test]
async fn a_page_that_leads_to_itself_is_not_read_for_ever() {
    let ec2 = StandIn::start([page(&[], Some("2")), page(&[], Some("2")), page(&[], Some("2"))]).await;
    let (listing, warnings) = ec2.fleet().observe().await.unwrap();
    assert!(!listing.whole && warnings[0].code == WarningCode::InstancesFailed, "{warnings:?}");
    assert_eq!(ec2.calls().len(), 2);
}

#[tokio::test]
async fn a_fault_while_reading_is_tried_again() {
    let ec2 = StandIn::start([error(500, "InternalError", "oops"), page(&[("i-1", "acme", "")], None)]).await;
    let (listing, _) = ec2.fleet().observe().await.unwrap();
    assert!(listing.whole);
    assert_eq!(ec2.calls().len(), 2);
}

#[tokio::test]
async fn only_what_the_latest_observation_returned_can_be_ended_or_marked() {
    let pages = [page(&[("i-1", "acme", ""), ("i-2", "other", "")], None), error(403, "UnauthorizedOperation", "no")];
    let ec2 = StandIn::start(pages).await;
    let fleet = ec2.fleet();
    let never = fleet.terminate(&["i-1".into()]).await.unwrap_err();
    assert_eq!((never.class, &*never.code), (ErrorClass::InstanceRefuses, "NotObserved"));
    let (listing, warnings) = fleet.observe().await.unwrap();
    assert_eq!((listing.items.len(), warnings[0].code), (1, WarningCode::Degraded));
    let other: InstanceId = "i-2".into();
    assert_eq!(fleet.terminate(std::slice::from_ref(&other)).await.unwrap_err().code, "NotObserved");
    assert_eq!(fleet.mark(&other, Mark::Draining, None).await.unwrap_err().code, "NotObserved");
    // Nor together with one that may be.
    assert_eq!(fleet.terminate(&["i-1".into(), other.clone()]).await.unwrap_err().code, "NotObserved");
    // A failed observation takes back what an earlier one allowed.
    fleet.observe().await.unwrap_err();
    assert_eq!(fleet.terminate(&["i-1".into()]).await.unwrap_err().code, "NotObserved");
    assert!(ec2.calls().iter().all(|call| call["Action"] == "DescribeInstances"), "{:?}", ec2.calls());
}

#[tokio::test]
async fn a_launch_without_capacity_is_sent_once() {
    let ec2 = StandIn::start([error(500, "InsufficientInstanceCapacity", "none left"), launched("i-1")]).await;
    let failed = ec2.fleet().run(&request(Market::Spot, "subnet-a")).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::NextOffering);
    assert_eq!(failed.to_string(), "RunInstances: InsufficientInstanceCapacity: none left (request req-1)");
    assert_eq!(ec2.calls().len(), 1);
}

#[tokio::test]
async fn a_repeated_launch_is_the_same_request_to_the_letter() {
    let ec2 = StandIn::start([(502, "<html>bad gateway</html>".to_owned()), launched("i-1")]).await;
    let fleet = ec2.fleet();
    let request = request(Market::Spot, "subnet-a");
    let failed = fleet.run(&request).await.unwrap_err();
    assert_eq!((failed.class, &*failed.code), (ErrorClass::Retry, "Http502"));
    let done = fleet.run(&request).await.unwrap();
    assert_eq!((done.instance_id.as_str(), done.request_id.as_deref()), ("i-1", Some("req-1")));
    let calls = ec2.calls();
    assert_eq!(calls[0]["ClientToken"], fleet.client_token(&request).unwrap());
    assert_eq!(calls[0], calls[1]);
}

#[tokio::test]
async fn answers_that_are_no_ec2_answers_are_errors_to_try_again() {
    for (status, body) in [(200, "<html>"), (200, ""), (200, "<RunInstancesResponse/>"), (503, "busy")] {
        let ec2 = StandIn::start([(status, body.to_owned())]).await;
        let failed = ec2.fleet().run(&request(Market::OnDemand, "subnet-a")).await.unwrap_err();
        assert_eq!(failed.class, ErrorClass::Retry, "{status} {body}: {failed}");
    }
}

#[tokio::test]
async fn an_answer_larger_than_any_is_not_read() {
    let endless = format!("<RunInstancesResponse>{}</RunInstancesResponse>", " ".repeat(64 << 20));
    let ec2 = StandIn::start([(200, endless)]).await;
    let failed = ec2.fleet().run(&request(Market::OnDemand, "subnet-a")).await.unwrap_err();
    assert_eq!((failed.class, &*failed.code), (ErrorClass::Retry, "Response"), "{failed}");
}

#[tokio::test]
async fn a_page_that_breaks_off_between_two_instances_is_not_read_as_all() {
    let (status, whole) = page(&[("i-1", "acme", ""), ("i-2", "acme", "")], None);
    for at in [whole.find("<item>").unwrap(), whole.rfind("<item><instancesSet>").unwrap()] {
        let ec2 = StandIn::start(vec![(status, whole[..at].to_owned()); 9]).await;
        let failed = ec2.fleet().observe().await.unwrap_err();
        assert_eq!((failed.class, &*failed.code), (ErrorClass::Retry, "Response"), "{failed}");
    }
}

#[tokio::test]
async fn a_launch_says_of_volumes_only_what_the_image_says_otherwise() {
    let devices = [("/dev/xvda", "true"), ("/dev/sdb", "false")];
    let ec2 = StandIn::start([image("ami-1", &devices), launched("i-1"), launched("i-2")]).await;
    let fleet = Fleet::new(&sdk(&ec2.url), "acme".into(), &[pool_from(Image::Ami("ami-1".to_owned()), "subnet-a")]);
    fleet.run(&request(Market::Spot, "subnet-a")).await.unwrap();
    fleet.run(&request(Market::OnDemand, "subnet-a")).await.unwrap();
    let calls = ec2.calls();
    assert_eq!(
        calls.iter().map(|call| &*call["Action"]).collect::<Vec<_>>(),
        ["DescribeImages", "RunInstances", "RunInstances"]
    );
    let said: Vec<_> = calls[1].iter().filter(|(key, _)| key.starts_with("BlockDeviceMapping")).collect();
    let said: Vec<_> = said.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        said,
        [
            "BlockDeviceMapping.1.DeviceName=/dev/sdb",
            "BlockDeviceMapping.1.Ebs.DeleteOnTermination=true",
            "BlockDeviceMapping.1.Ebs.VolumeSize=8"
        ]
    );
}

#[tokio::test]
async fn an_image_that_is_not_shown_fails_the_pool_and_nothing_is_launched() {
    let ec2 = StandIn::start([image("ami-2", &[])]).await;
    let fleet = Fleet::new(&sdk(&ec2.url), "acme".into(), &[pool_from(Image::Ami("ami-1".to_owned()), "subnet-a")]);
    let failed = fleet.run(&request(Market::Spot, "subnet-a")).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Configuration, "{failed}");
    assert_eq!(ec2.calls().len(), 1);
}

#[tokio::test]
async fn what_a_token_launched_is_looked_up_among_our_own() {
    let ec2 = StandIn::start([page(&[("i-1", "other", "t"), ("i-2", "acme", "u"), ("i-3", "acme", "t")], None)]).await;
    assert_eq!(ec2.fleet().launched_with("t").await.unwrap(), Some("i-3".into()));
    let call = &ec2.calls()[0];
    assert_eq!((&*call["Filter.1.Name"], &*call["Filter.1.Value.1"]), ("client-token", "t"));
    assert_eq!((&*call["Filter.2.Name"], &*call["Filter.2.Value.1"]), ("tag:ghascale:fleet", "acme"));
}

#[tokio::test]
async fn a_rehearsal_launches_nothing_and_says_what_would_be_refused() {
    let answers = [
        error(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."),
        error(403, "UnauthorizedOperation", "You are not authorized"),
    ];
    let ec2 = StandIn::start(answers).await;
    let fleet = ec2.fleet();
    fleet.dry_run(&"linux".into()).await.unwrap();
    assert_eq!(fleet.dry_run(&"linux".into()).await.unwrap_err().class, ErrorClass::Credentials);
    assert_eq!(fleet.dry_run(&"windows".into()).await.unwrap_err().class, ErrorClass::Configuration);
    assert!(ec2.calls().iter().all(|call| call["DryRun"] == "true"));
    assert_eq!(ec2.calls().len(), 2);
}

#[tokio::test]
async fn every_request_says_who_we_are() {
    let ec2 = StandIn::start([page(&[], None)]).await;
    ec2.fleet().observe().await.unwrap();
    let agent = &ec2.calls()[0]["user-agent"];
    assert!(agent.starts_with(concat!("ghascale/", env!("CARGO_PKG_VERSION"), " aws-sdk-rust/")), "{agent}");
}

#[tokio::test]
async fn a_plain_http_endpoint_elsewhere_is_refused() {
    let fleet = Fleet::new(&sdk("http://ec2.example:1"), "acme".into(), &[pool()]);
    let failed = fleet.observe().await.unwrap_err();
    assert_eq!((failed.class, &*failed.code), (ErrorClass::Configuration, "PlainHttp"), "{failed}");
}

#[tokio::test]
async fn nobody_there_is_an_error_to_try_again() {
    let gone = StandIn::start([]).await.url.clone();
    let failed = Fleet::new(&sdk(&gone), "acme".into(), &[pool()]).run(&request(Market::Spot, "s")).await.unwrap_err();
    assert_eq!((failed.class, &*failed.code), (ErrorClass::Retry, "Transport"), "{failed}");
}

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let none = Err(CredentialsError::not_loaded("no providers in chain provided credentials"));
        aws_credential_types::provider::future::ProvideCredentials::ready(none)
    }
}

#[tokio::test]
async fn missing_credentials_are_named_with_their_cure() {
    let sdk =
        sdk("http://127.0.0.1:1").into_builder().credentials_provider(SharedCredentialsProvider::new(NoCredentials));
    let failed = Fleet::new(&sdk.build(), "acme".into(), &[pool()]).observe().await.unwrap_err();
    assert_eq!((failed.class, &*failed.code), (ErrorClass::Credentials, "NoCredentials"), "{failed}");
    assert!(failed.message.contains("AWS_PROFILE"), "{failed}");
}

#[tokio::test]
async fn no_log_level_shows_a_secret_the_sdks_own_log_included() {
    let log = Log::begin();
    let ec2 = StandIn::start([launched("i-1"), error(400, "InvalidParameterValue", "no")]).await;
    let fleet = ec2.fleet();
    fleet.run(&request(Market::Spot, "subnet-a")).await.unwrap();
    let failed = fleet.run(&request(Market::Spot, "subnet-a")).await.unwrap_err();
    let shown = log.end() + &format!("{failed:?} {fleet:?}");
    assert!(shown.contains("transmitting request"), "the SDK logged nothing");
    let user_data = &ec2.calls()[0]["UserData"];
    // The last one is how a request's bytes would begin if they were shown as numbers.
    for secret in [JIT, "planted-secret-key", &user_data[..40], "[65, 99, 116"] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}
