//! What things cost: the operator's table, and EC2's spot prices where they are of use.

use std::time::Duration;

use crate::config::Config;
use crate::ec2::ErrorClass;
use crate::engine::{Instance, Listing, Market, Prices};
use crate::services::{SpotPrices, SpotWish};
use crate::warning::{Warning, WarningCode};

/// Prices that take longer are unknown: nothing waits for them.
const WITHIN: Duration = Duration::from_secs(10);

/// Returns what is known of prices. Whatever goes wrong, this is no error.
pub(super) async fn prices(
    config: &Config,
    ec2: Option<&impl SpotPrices>,
    instances: Option<&Listing<Instance>>,
) -> (Prices, Option<Warning>) {
    let mut prices = config.prices();
    let has_use = config.ec2.as_ref().is_some_and(|ec2| ec2.max_usd_per_hour.is_some() || !ec2.prices.is_empty());
    let wish = wish(config, instances);
    let Some(ec2) = ec2.filter(|_| has_use && !wish.types.is_empty()) else { return (prices, None) };
    let why = match tokio::time::timeout(WITHIN, ec2.spot_prices(&wish)).await {
        Ok(Ok(spot)) => {
            prices.spot = spot;
            return (prices, None);
        }
        Ok(Err(error)) if error.class == ErrorClass::Credentials => {
            format!("{error}: allow `ec2:DescribeSpotPriceHistory` and `ec2:DescribeSubnets`")
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("EC2 did not answer within {} s", WITHIN.as_secs()),
    };
    let said = format!("they are unknown: {why}");
    (prices, Some(Warning::new(WarningCode::PricesFailed, "spot prices", said)))
}

/// Returns what may be bought as spot, and what runs as that.
fn wish(config: &Config, instances: Option<&Listing<Instance>>) -> SpotWish {
    let mut wish = SpotWish::default();
    let offerings = config.pools.iter().flat_map(|pool| &pool.policy.offerings);
    for offering in offerings.filter(|offering| offering.market == Market::Spot) {
        wish.types.insert(offering.instance_type.clone());
        wish.subnets.insert(offering.subnet.clone());
    }
    let instances = instances.map_or(&[][..], |listing| &listing.items);
    for instance in instances.iter().filter(|one| one.market == Market::Spot && one.is_billed()) {
        wish.types.insert(instance.instance_type.clone());
        wish.subnets.extend(instance.subnet.clone());
    }
    wish
}
