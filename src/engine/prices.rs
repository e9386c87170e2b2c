//! Money: what an hour of an instance costs, exactly, and how much of that is known.
//!
//! Prices are never guessed. On-demand prices are the operator's own table; spot prices are EC2's.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fleet::{Instance, Market, Offering};
use super::states::{State, Unit};

/// So many are a dollar.
const MICROS: u64 = 1_000_000;
/// The highest price that is taken, in dollars: no instance costs more than a few hundred.
const MOST_DOLLARS: u64 = 100_000;

/// Dollars an hour, in whole millionths: sums are exact, and the same in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(u64);

impl Price {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns a price of so many millionths of a dollar an hour.
    #[must_use]
    pub const fn micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Reads dollars, written as a decimal number; what is finer than a millionth is rounded up.
    ///
    /// `None` for what is no such number, is negative, or is more than 100,000.
    #[must_use]
    pub fn parse(dollars: &str) -> Option<Self> {
        let dollars = dollars.strip_prefix('+').unwrap_or(dollars).replace('_', "");
        let (number, exponent) = dollars.split_once(['e', 'E']).unwrap_or((&dollars, "0"));
        let exponent: i32 = exponent.parse().ok().filter(|exponent| (-30..=30).contains(exponent))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty() || digits.len() > 60 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        // Where the millionths end among the digits.
        let end = i32::try_from(whole.len()).ok()? + exponent + 6;
        let (mut micros, mut is_finer) = (0_u64, false);
        for place in 0..i32::try_from(digits.len()).ok()?.max(end) {
            let digit = digits.as_bytes().get(usize::try_from(place).ok()?).map_or(0, |digit| u64::from(digit - b'0'));
            if place < end {
                micros = micros.checked_mul(10)?.checked_add(digit)?;
            } else {
                is_finer |= digit > 0;
            }
        }
        Some(Self(micros + u64::from(is_finer))).filter(|price| price.0 <= MOST_DOLLARS * MICROS)
    }

    /// Returns it in millionths of a dollar.
    #[must_use]
    pub const fn in_micros(self) -> u64 {
        self.0
    }

    /// Returns it in dollars, for those who do not count.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact far beyond the highest price that is taken")]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / MICROS as f64
    }

    /// Adds another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns an equal part of it, one of so many; all of it where that is none.
    #[must_use]
    pub fn part(self, of: u64) -> Self {
        Self(self.0 / of.max(1))
    }

    /// Returns how often another fits into it.
    #[must_use]
    pub fn holds(self, other: Self) -> u32 {
        u32::try_from(self.0.checked_div(other.0).unwrap_or(u64::MAX)).unwrap_or(u32::MAX)
    }

    /// Returns what is left of it beside another.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Price {
    /// Writes dollars with two digits after the point at least, and with all that matter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.0 % MICROS);
        let (cents, finer) = fraction.split_at(2);
        f.pad(&format!("{}.{cents}{}", self.0 / MICROS, finer.trim_end_matches('0')))
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        // Six digits: what was written by us is read as what it was.
        Self::parse(&format!("{dollars:.6}")).ok_or_else(|| serde::de::Error::custom("not a price"))
    }
}

impl JsonSchema for Price {
    fn schema_name() -> Cow<'static, str> {
        "Price".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "US dollars an hour.", "type": "number", "minimum": 0 })
    }
}

/// What is known of prices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// By instance type: the operator's table.
    pub on_demand: BTreeMap<String, Price>,
    /// By instance type and subnet: EC2's, now, in the subnet's zone.
    pub spot: BTreeMap<(String, String), Price>,
}

impl Prices {
    /// Returns whether nothing at all is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.on_demand.is_empty() && self.spot.is_empty()
    }

    /// Returns what an hour of an offering costs.
    #[must_use]
    pub fn of_offering(&self, offering: &Offering) -> Option<Price> {
        self.of(offering.market, &offering.instance_type, Some(&offering.subnet))
    }

    /// Returns what an hour of an instance costs, by how, where and as what it was bought.
    #[must_use]
    pub fn of_instance(&self, instance: &Instance) -> Option<Price> {
        self.of(instance.market, &instance.instance_type, instance.subnet.as_deref())
    }

    /// Returns what an hour of a unit costs now, where it costs anything: `Some(None)` of what has no known price, and of
    /// a launch whose instance EC2 may not show yet.
    #[must_use]
    pub fn of_unit(&self, unit: &Unit<'_>) -> Option<Option<Price>> {
        match unit.instance() {
            Some(instance) => instance.is_billed().then(|| self.of_instance(instance)),
            None => (unit.state == State::Launching).then_some(None),
        }
    }

    fn of(&self, market: Market, instance_type: &str, subnet: Option<&str>) -> Option<Price> {
        match market {
            Market::OnDemand => self.on_demand.get(instance_type).copied(),
            Market::Spot => self.spot.get(&(instance_type.to_owned(), subnet?.to_owned())).copied(),
        }
    }

    /// Returns what an hour of an offering costs at most: its price, or where a spot price isn't known the on-demand
    /// price, the most that EC2 asks of those who set no price of their own, as we don't.
    #[must_use]
    pub fn at_most_of_offering(&self, offering: &Offering) -> Option<Price> {
        self.of_offering(offering).or_else(|| self.on_demand.get(&offering.instance_type).copied())
    }

    /// Returns what an hour of an instance costs at most, as [`Prices::at_most_of_offering`].
    #[must_use]
    pub fn at_most_of_instance(&self, instance: &Instance) -> Option<Price> {
        self.of_instance(instance).or_else(|| self.on_demand.get(&instance.instance_type).copied())
    }
}

impl Instance {
    /// Returns whether EC2 bills its hours: no longer once it shuts down, nor while it is stopped.
    #[must_use]
    pub fn is_billed(&self) -> bool {
        self.can_run()
    }
}

/// What several things cost together, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The sum of the known prices.
    pub known: Price,
    /// How many of them have no known price.
    pub unpriced: u32,
}

impl Cost {
    /// Returns the sum; `None` where it can't be had.
    #[must_use]
    pub fn exact(self) -> Option<Price> {
        (self.unpriced == 0).then_some(self.known)
    }
}

impl FromIterator<Option<Price>> for Cost {
    fn from_iter<I: IntoIterator<Item = Option<Price>>>(prices: I) -> Self {
        prices.into_iter().fold(Self::default(), |sum, price| match price {
            Some(price) => Self { known: sum.known.plus(price), ..sum },
            None => Self { unpriced: sum.unpriced.saturating_add(1), ..sum },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        for (text, micros) in [
            ("0.1159", 115_900),
            ("0.041600", 41_600),
            ("12", 12_000_000),
            ("1_000.5", 1_000_500_000),
            ("1.5e-2", 15_000),
            ("1e2", 100_000_000),
            ("+.5", 500_000),
            ("0", 0),
            ("100000", 100_000_000_000),
        ] {
            assert_eq!(Price::parse(text), Some(Price(micros)), "{text}");
        }
        assert_eq!(Price::parse("0.0000001"), Some(Price(1)), "rounded up: never free");
        assert_eq!(Price::parse("1e-30"), Some(Price(1)));
    }

    #[test]
    fn what_is_no_price_is_none() {
        for text in ["", ".", "-1", "-0.1", "nan", "inf", "1.2.3", "0x10", "1e99", "1e", "100000.01", "$1", "1 "] {
            assert_eq!(Price::parse(text), None, "{text}");
        }
    }

    #[test]
    fn dollars_are_written_with_all_digits_that_matter() {
        let shown = [0, 1, 115_900, 500_000, 12_000_000, 4_100_001].map(|micros| Price(micros).to_string());
        assert_eq!(shown, ["0.00", "0.000001", "0.1159", "0.50", "12.00", "4.100001"]);
    }

    #[test]
    fn json_has_a_number_that_is_read_back_as_it_was() {
        for micros in [0, 1, 115_900, 41_600, 333_333, 99_999_999_999] {
            let json = serde_json::to_string(&Price(micros)).unwrap();
            assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), Price(micros), "{json}");
        }
        assert_eq!(serde_json::to_string(&Price(115_900)).unwrap(), "0.1159");
        for json in ["-1", "1e300", "\"1\""] {
            assert!(serde_json::from_str::<Price>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_sum_with_an_unknown_part_is_not_exact() {
        let cost: Cost = [Some(Price(5)), None, Some(Price(7))].into_iter().collect();
        assert_eq!((cost, cost.exact()), (Cost { known: Price(12), unpriced: 1 }, None));
    }
}
