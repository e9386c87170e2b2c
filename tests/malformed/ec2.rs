//! EC2's answers, through the real client.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_sdk_ec2::config::SharedHttpClient;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_smithy_http_client::Builder;
use ghascale::config::Image;
use ghascale::ec2::Fleet;
use ghascale::engine::{Mark, Market};
use ghascale::services::{Instances as _, SpotPrices as _, SpotWish};
use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::mutation::xml_documents;
use super::{each, is_fit_to_be_shown};
use crate::ec2::prices::{history, subnets};
use crate::ec2::stand_in::{JIT, StandIn, error, image, launched, page, pool_from, request, sdk};

const SECRETS: [&str; 2] = [JIT, "planted-secret-key"];

/// An EC2, and a fleet before it that asks nothing twice.
struct Bench {
    runtime: Runtime,
    ec2: StandIn,
    sdk: SdkConfig,
}

impl Bench {
    fn open() -> Self {
        let runtime = Runtime::new().unwrap();
        let ec2 = runtime.block_on(StandIn::start([]));
        let sdk = sdk(&ec2.url).into_builder().retry_config(RetryConfig::disabled()).http_client(http_client()).build();
        Self { runtime, ec2, sdk }
    }

    /// Gives a fleet answers, in order, and does something with it.
    fn ask<T>(&self, answers: Vec<(u16, String)>, what: impl AsyncFnOnce(Fleet) -> T) -> T {
        self.ec2.answer_with(answers);
        let pool = pool_from(Image::Ami("ami-1".to_owned()), "subnet-a");
        self.runtime.block_on(what(Fleet::new(&self.sdk, "acme".into(), &[pool])))
    }
}

/// One for all: the SDK's own is made anew, with all of the system's certificates, for each fleet.
fn http_client() -> SharedHttpClient {
    Builder::new().build_http()
}

/// Returns a document as the stand-in sends it: what is no text is replaced.
fn text(document: &[u8]) -> (u16, String) {
    (200, String::from_utf8_lossy(document).into_owned())
}

#[track_caller]
fn fits<T>(result: Result<T, ghascale::ec2::Error>) {
    if let Err(error) = result {
        is_fit_to_be_shown(&format!("{error}\n{error:?}"), &SECRETS);
    }
}

#[test]
fn pages_of_instances() {
    let bench = Bench::open();
    let (_, good) = page(&[("i-1", "acme", "t"), ("i-2", "acme", "u")], None);
    each(&xml_documents(&good), |document| {
        bench.ask(vec![text(&document); 3], async |fleet| {
            match fleet.observe().await {
                Err(error) => fits::<()>(Err(error)),
                Ok((listing, warnings)) => {
                    for warning in warnings.iter().take(20) {
                        is_fit_to_be_shown(&warning.message, &SECRETS);
                    }
                    let has_lost = warnings.iter().any(|warning| warning.code.is_partial());
                    assert!(!has_lost || !listing.whole, "{warnings:?}");
                    assert!(listing.items.iter().all(|instance| instance.fleet.as_str() == "acme"));
                }
            }
            fits(fleet.launched_with("t").await);
            fits(fleet.launched_for(ghascale::engine::RunnerId(1)).await);
        });
    });
}

#[test]
fn a_page_that_breaks_off_anywhere_is_not_whole() {
    let bench = Bench::open();
    let (_, good) = page(&[("i-1", "acme", "t"), ("i-2", "acme", "u")], None);
    for length in 0..good.len() {
        bench.ask(vec![(200, good[..length].to_owned())], async |fleet| {
            let is_whole = fleet.observe().await.is_ok_and(|(listing, _)| listing.whole);
            assert!(!is_whole, "{}", &good[..length]);
        });
    }
}

#[test]
fn launches_and_images() {
    let bench = Bench::open();
    let (launch, images) = (launched("i-1"), image("ami-1", &[("/dev/xvda", "true"), ("/dev/sdb", "false")]));
    each(&xml_documents(&launch.1), |document| {
        let answers = vec![images.clone(), text(&document)];
        bench.ask(answers, async |fleet| fits(fleet.run(&request(Market::Spot, "subnet-a")).await));
    });
    each(&xml_documents(&images.1), |document| {
        let answers = vec![text(&document), launch.clone()];
        bench.ask(answers, async |fleet| fits(fleet.run(&request(Market::Spot, "subnet-a")).await));
    });
}

#[test]
fn refusals() {
    const STATUSES: [u16; 4] = [400, 403, 500, 503];
    let bench = Bench::open();
    let (_, good) = error(400, "InvalidParameterValue", "no");
    each(&xml_documents(&good), |document| {
        let refused = (STATUSES[document.len() % STATUSES.len()], text(&document).1);
        let answers = vec![page(&[("i-1", "acme", "t")], None), refused.clone(), refused.clone(), refused];
        bench.ask(answers, async |fleet| {
            fleet.observe().await.unwrap();
            fits(fleet.terminate(&["i-1".into()]).await);
            fits(fleet.mark(&"i-1".into(), Mark::Draining, Some(Timestamp::UNIX_EPOCH)).await);
            fits(fleet.run(&request(Market::Spot, "subnet-a")).await);
        });
    });
}

#[test]
fn spot_prices_and_the_zones_of_subnets() {
    let bench = Bench::open();
    let zones = subnets(&[("subnet-a", "us-east-1a"), ("subnet-b", "us-east-1b")]);
    let prices = history(&[("m7a.large", "us-east-1a", "0.0410", 10), ("m6a.large", "us-east-1b", "0.0380", 9)], "");
    let set = |words: [&str; 2]| BTreeSet::from(words.map(str::to_owned));
    let wish = SpotWish { types: set(["m7a.large", "m6a.large"]), subnets: set(["subnet-a", "subnet-b"]) };
    let ask = |answers| {
        let found = bench.ask(answers, async |fleet| fleet.spot_prices(&wish).await);
        for (of_type, subnet) in found.iter().flatten().map(|(place, _)| place) {
            assert!(wish.types.contains(of_type) && wish.subnets.contains(subnet), "{of_type} {subnet}");
        }
        let is_free = |price: &ghascale::engine::Price| *price == ghascale::engine::Price::ZERO;
        assert!(!found.iter().flatten().any(|(_, price)| is_free(price)), "{found:?}");
        fits(found);
    };
    each(&xml_documents(&zones.1), |document| ask(vec![text(&document), prices.clone()]));
    // A list that says it goes on is asked for more: each page the same, until that is noticed.
    each(&xml_documents(&prices.1), |document| {
        ask([vec![zones.clone()], vec![text(&document); 60]].concat());
    });
}
