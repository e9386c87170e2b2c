//! Dollars an hour, in words: what isn't known whole never looks as if it were.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Cost, Price};

/// What instances cost an hour: their own price, without storage, addresses and traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostRow {
    /// Dollars an hour; `null` where the price of one of them is unknown.
    pub usd_per_hour: Option<Price>,
    /// Dollars an hour of those whose price is known.
    pub at_least_usd_per_hour: Price,
    /// How many of them have no known price.
    pub unpriced: u32,
}

impl From<Cost> for CostRow {
    fn from(cost: Cost) -> Self {
        Self { usd_per_hour: cost.exact(), at_least_usd_per_hour: cost.known, unpriced: cost.unpriced }
    }
}

impl CostRow {
    /// Returns it for a table: `-` for nothing, `n/a` where no part of it is known.
    #[must_use]
    pub fn cell(&self) -> String {
        match self.usd_per_hour {
            Some(Price::ZERO) => "-".to_owned(),
            Some(price) => price.to_string(),
            None if self.at_least_usd_per_hour == Price::ZERO => "n/a".to_owned(),
            None => format!("≥{}", self.at_least_usd_per_hour),
        }
    }

    /// Returns it for a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { usd_per_hour, at_least_usd_per_hour: at_least, unpriced } = self;
        match usd_per_hour {
            Some(price) => format!("${price}/h"),
            None if *at_least == Price::ZERO => format!("n/a ({unpriced} without a known price)"),
            None => format!("≥${at_least}/h ({unpriced} without a known price)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_whole_never_looks_as_if_it_were() {
        let shown = |prices: &[Option<u64>]| {
            let cost: Cost = prices.iter().map(|price| price.map(Price::micros)).collect();
            (CostRow::from(cost).cell(), CostRow::from(cost).words())
        };
        let pair = |cell: &str, words: &str| (cell.to_owned(), words.to_owned());
        assert_eq!(shown(&[]), pair("-", "$0.00/h"));
        assert_eq!(shown(&[Some(115_900), Some(41_600)]), pair("0.1575", "$0.1575/h"));
        assert_eq!(shown(&[Some(115_900), None]), pair("≥0.1159", "≥$0.1159/h (1 without a known price)"));
        assert_eq!(shown(&[None, None]), pair("n/a", "n/a (2 without a known price)"));
    }
}
