//! What EC2 asks for its spare capacity, by type and subnet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::Filter;

use super::client::{Fleet, call};
use super::error::{Error, ErrorClass};
use crate::engine::Price;
use crate::services::{SpotPrices, SpotWish};

/// The most values that EC2 takes in one filter.
const VALUES: usize = 200;
/// The most prices on a page.
const PAGE: i32 = 1000;
/// The most pages that are read: far more than types and zones there are.
const PAGES: usize = 50;
/// Linux, inside a VPC and out of one: EC2 lists a price under the one name or the other.
const PRODUCTS: [&str; 2] = ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"];

impl SpotPrices for Fleet {
    async fn spot_prices(&self, wish: &SpotWish) -> Result<BTreeMap<(String, String), Price>, Error> {
        if wish.types.is_empty() || wish.subnets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let zones = self.zones(&wish.subnets).await?;
        if zones.is_empty() {
            // No filter at all would list all of the region's.
            return Ok(BTreeMap::new());
        }
        let by_zone = self.prices_by_zone(&wish.types, &zones.values().cloned().collect()).await?;
        let mut prices = BTreeMap::new();
        for (subnet, zone) in &zones {
            for instance_type in &wish.types {
                if let Some(price) = by_zone.get(&(instance_type.clone(), zone.clone())) {
                    prices.insert((instance_type.clone(), subnet.clone()), *price);
                }
            }
        }
        Ok(prices)
    }
}

impl Fleet {
    /// Returns the zone of each subnet that EC2 knows.
    async fn zones(&self, asked: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Error> {
        let mut zones = BTreeMap::new();
        let subnets: Vec<&String> = asked.iter().collect();
        for subnets in subnets.chunks(VALUES) {
            // By a filter: one that is gone must not cost the others their prices.
            let named = any_of("subnet-id", subnets.iter().map(ToString::to_string));
            let found = call("DescribeSubnets", self.client.describe_subnets().filters(named).send()).await?;
            zones.extend(
                found.subnets().iter().filter_map(|subnet| {
                    Some((subnet.subnet_id()?.to_owned(), subnet.availability_zone()?.to_owned()))
                }),
            );
            zones.retain(|subnet, _| asked.contains(subnet));
        }
        Ok(zones)
    }

    /// Returns the newest price of each type in each zone.
    async fn prices_by_zone(
        &self,
        types: &BTreeSet<String>,
        zones: &BTreeSet<String>,
    ) -> Result<BTreeMap<(String, String), Price>, Error> {
        let mut newest = BTreeMap::new();
        let types: Vec<&String> = types.iter().collect();
        for types in types.chunks(VALUES) {
            self.read_prices(types, zones, &mut newest).await?;
        }
        Ok(newest.into_iter().map(|(place, (_, price))| (place, price)).collect())
    }

    async fn read_prices(
        &self,
        types: &[&String],
        zones: &BTreeSet<String>,
        newest: &mut BTreeMap<(String, String), (DateTime, Price)>,
    ) -> Result<(), Error> {
        let now = DateTime::from(SystemTime::now());
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let page = self
                .client
                .describe_spot_price_history()
                .start_time(now)
                .set_product_descriptions(Some(PRODUCTS.map(str::to_owned).to_vec()))
                // By a filter: a type that EC2 doesn't know must not cost the others their prices.
                .filters(any_of("instance-type", types.iter().map(ToString::to_string)))
                .filters(any_of("availability-zone", zones.iter().cloned()))
                .max_results(PAGE)
                .set_next_token(token.clone());
            let page = call("DescribeSpotPriceHistory", page.send()).await?;
            for entry in page.spot_price_history() {
                let read = || {
                    let place = (entry.instance_type()?.as_str().to_owned(), entry.availability_zone()?.to_owned());
                    Some((place, (*entry.timestamp()?, Price::parse(entry.spot_price()?)?)))
                };
                // One that can't be understood is unknown, as one that isn't listed.
                let Some((place, at)) = read().filter(|(_, (_, price))| *price > Price::ZERO) else { continue };
                // Of two of one moment the dearer one.
                let known = newest.entry(place).or_insert(at);
                *known = (*known).max(at);
            }
            match page.next_token().filter(|next| !next.is_empty()) {
                None => return Ok(()),
                Some(next) if token.as_deref() == Some(next) => break,
                Some(next) => token = Some(next.to_owned()),
            }
        }
        // Half a list would be taken for the newest prices.
        Err(Error::ours(
            ErrorClass::Retry,
            "DescribeSpotPriceHistory",
            "Endless",
            "EC2's list of spot prices has no end",
        ))
    }
}

fn any_of(name: &str, values: impl Iterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.collect())).build()
}
