//! Spot prices over real HTTP.

use std::collections::BTreeSet;

use ghascale::ec2::ErrorClass;
use ghascale::engine::Price;
use ghascale::services::{SpotPrices as _, SpotWish};

use super::stand_in::{StandIn, error};

fn wish() -> SpotWish {
    let set = |words: [&str; 2]| BTreeSet::from(words.map(str::to_owned));
    SpotWish { types: set(["m7a.large", "m6a.large"]), subnets: set(["subnet-a", "subnet-b"]) }
}

/// EC2's answer to `DescribeSubnets`: (id, zone) each.
pub(crate) fn subnets(subnets: &[(&str, &str)]) -> (u16, String) {
    let item = |(id, zone): &(&str, &str)| {
        format!("<item><subnetId>{id}</subnetId><availabilityZone>{zone}</availabilityZone></item>")
    };
    let items: Vec<String> = subnets.iter().map(item).collect();
    let body = format!(
        "<DescribeSubnetsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>req-1</requestId>\
         <subnetSet>{}</subnetSet></DescribeSubnetsResponse>",
        items.concat()
    );
    (200, body)
}

/// A page of `DescribeSpotPriceHistory`: (type, zone, price, minute) each.
pub(crate) fn history(prices: &[(&str, &str, &str, u8)], next: &str) -> (u16, String) {
    let item = |(instance_type, zone, price, minute): &(&str, &str, &str, u8)| {
        format!(
            "<item><instanceType>{instance_type}</instanceType><productDescription>Linux/UNIX</productDescription>\
             <spotPrice>{price}</spotPrice><timestamp>2026-11-24T12:{minute:02}:00.000Z</timestamp>\
             <availabilityZone>{zone}</availabilityZone></item>"
        )
    };
    let items: Vec<String> = prices.iter().map(item).collect();
    let body = format!(
        "<DescribeSpotPriceHistoryResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>req-1</requestId><spotPriceHistorySet>{}</spotPriceHistorySet><nextToken>{next}</nextToken>\
         </DescribeSpotPriceHistoryResponse>",
        items.concat()
    );
    (200, body)
}

const ZONES: [(&str, &str); 2] = [("subnet-a", "us-east-1a"), ("subnet-b", "us-east-1b")];

#[tokio::test]
async fn the_newest_price_of_each_type_and_zone_counts_over_all_pages() {
    let pages = [
        subnets(&ZONES),
        history(&[("m7a.large", "us-east-1a", "0.0410", 10), ("m7a.large", "us-east-1a", "0.0500", 9)], "2"),
        history(&[("m7a.large", "us-east-1b", "0.0430", 1), ("m7a.large", "us-east-1a", "0.0300", 8)], ""),
    ];
    let ec2 = StandIn::start(pages).await;
    let prices = ec2.fleet().spot_prices(&wish()).await.unwrap();
    let prices: Vec<_> = prices.iter().map(|((of, at), price)| (of.as_str(), at.as_str(), *price)).collect();
    let expected = [("m7a.large", "subnet-a", Price::micros(41_000)), ("m7a.large", "subnet-b", Price::micros(43_000))];
    assert_eq!(prices, expected, "m6a.large was not told, and is unknown");
    let calls = ec2.calls();
    assert_eq!((&*calls[0]["Filter.1.Name"], &*calls[0]["Filter.1.Value.1"]), ("subnet-id", "subnet-a"));
    assert_eq!((&*calls[1]["Filter.1.Name"], &*calls[1]["Filter.1.Value.1"]), ("instance-type", "m6a.large"));
    assert_eq!((&*calls[1]["Filter.2.Name"], &*calls[1]["Filter.2.Value.2"]), ("availability-zone", "us-east-1b"));
    assert!(calls[1].contains_key("StartTime") && calls[2]["NextToken"] == "2", "{calls:#?}");
}

#[tokio::test]
async fn what_can_not_be_read_is_unknown_and_the_rest_is_not() {
    let entries = [
        ("m7a.large", "us-east-1a", "cheap", 1),
        ("m6a.large", "us-east-1a", "-0.01", 1),
        ("m6a.large", "us-east-1b", "0.0380", 1),
    ];
    let ec2 = StandIn::start([subnets(&ZONES), history(&entries, "")]).await;
    let prices = ec2.fleet().spot_prices(&wish()).await.unwrap();
    assert_eq!(
        prices.keys().map(|(of, at)| (of.as_str(), at.as_str())).collect::<Vec<_>>(),
        [("m6a.large", "subnet-b")]
    );
}

#[tokio::test]
async fn a_list_without_an_end_and_a_lost_page_are_errors_and_not_half_a_list() {
    let page = || history(&[("m7a.large", "us-east-1a", "0.0410", 1)], "2");
    let ec2 = StandIn::start([subnets(&ZONES), page(), page(), page()]).await;
    let failed = ec2.fleet().spot_prices(&wish()).await.unwrap_err();
    assert_eq!((failed.class, ec2.calls().len()), (ErrorClass::Retry, 3), "{failed}");
    ec2.answer_with([subnets(&ZONES), page(), error(403, "UnauthorizedOperation", "no")]);
    assert_eq!(ec2.fleet().spot_prices(&wish()).await.unwrap_err().class, ErrorClass::Credentials);
}

#[tokio::test]
async fn nothing_is_asked_where_nothing_is_wished_for_and_no_region_is_listed_whole() {
    let ec2 = StandIn::start([subnets(&[])]).await;
    assert!(ec2.fleet().spot_prices(&SpotWish::default()).await.unwrap().is_empty());
    assert_eq!(ec2.calls().len(), 0);
    assert!(ec2.fleet().spot_prices(&wish()).await.unwrap().is_empty());
    assert_eq!(ec2.calls().len(), 1, "of no zone there is no price");
}
