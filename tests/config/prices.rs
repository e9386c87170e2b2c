//! The price table, and the ceiling that is held by it.

use insta::assert_snapshot;

use ghascale::engine::Price;

use super::{Desk, GOOD, changed};

const FILE: &str = "as_of = 2026-11-24\n\n[eu-north-1]\n\"m7a.large\" = 0.1159\n\"g5.xlarge\" = 1\n";

fn ec2(lines: &str) -> String {
    changed("fleet", &format!("fleet = \"acme-prod\"\n{lines}"))
}

fn named() -> String {
    ec2("region = \"eu-north-1\"\nprices_file = \"prices.toml\"")
}

fn with_file(text: &str) -> Desk {
    Desk::with(named()).file("prices.toml", text)
}

#[test]
fn a_table_stands_in_the_configuration_or_in_a_file_of_its_own() {
    let of_file = with_file(FILE).config();
    let inline = ec2("region = \"eu-north-1\"\n[ec2.prices]\n\"m7a.large\" = 0.1159\n\"g5.xlarge\" = 1\n");
    let inline = Desk::with(inline).config();
    for config in [&of_file, &inline] {
        let prices = config.prices().on_demand;
        let prices: Vec<(&str, Price)> = prices.iter().map(|(name, price)| (name.as_str(), *price)).collect();
        assert_eq!(prices, [("g5.xlarge", Price::micros(1_000_000)), ("m7a.large", Price::micros(115_900))]);
    }
    assert_eq!(of_file.digest, inline.digest, "where it stands decides nothing");
}

#[test]
fn a_file_may_know_other_regions_and_only_ours_counts() {
    let config = with_file(&format!("{FILE}[us-east-1]\n\"m7a.large\" = 0.0869\n")).config();
    assert_eq!(config.prices().on_demand["m7a.large"], Price::micros(115_900));
}

#[test]
fn without_a_table_nothing_is_known() {
    assert!(Desk::with(GOOD).config().prices().is_empty());
}

#[test]
fn a_ceiling_is_exact() {
    let policy = |line: &str| Desk::with(ec2(line)).config().policy().max_usd_per_hour;
    assert_eq!(policy("max_usd_per_hour = 12.5"), Some(Price::micros(12_500_000)));
    assert_eq!(policy("max_usd_per_hour = 12"), Some(Price::micros(12_000_000)));
    assert_eq!(policy(""), None);
}

macro_rules! refused {
    ($($name:ident: $desk:expr;)+) => {
        $(#[test]
        fn $name() {
            assert_snapshot!($desk.problems());
        })+
    };
}

refused! {
    a_ceiling_is_a_number: Desk::with(ec2("max_usd_per_hour = \"12.5\""));
    a_ceiling_is_more_than_nothing: Desk::with(ec2("max_usd_per_hour = 0"));
    a_ceiling_is_finite: Desk::with(ec2("max_usd_per_hour = inf"));
    a_price_is_a_finite_number_above_nothing: Desk::with(ec2("[ec2.prices]\n\"a1.large\" = -0.1\n\"a2.large\" = nan\n\"a3.large\" = 0.0\n\"a4.large\" = \"0.1\"\n"));
    a_type_without_quotes_is_said: Desk::with(ec2("[ec2.prices]\nm7a.large = 0.1\n"));
    a_price_is_of_a_type: Desk::with(ec2("[ec2.prices]\nlarge = 0.1\n\"M7A.Large\" = 0.1\n"));
    two_tables_are_one_too_many: Desk::with(ec2("region = \"eu-north-1\"\nprices_file = \"prices.toml\"\n[ec2.prices]\n\"m7a.large\" = 0.1\n"));
    a_file_of_prices_needs_a_region: Desk::with(ec2("prices_file = \"prices.toml\""));
    a_file_of_prices_that_is_not_there_is_named: Desk::with(named());
    a_file_of_another_region_is_refused: with_file("as_of = 2026-11-24\n[us-east-1]\n\"m7a.large\" = 0.1\n");
    a_file_with_an_empty_table_of_our_region_is_refused: with_file("as_of = 2026-11-24\n[eu-north-1]\n# \"m7a.large\" = 0.1\n");
    a_file_of_prices_has_its_date: with_file("[eu-north-1]\n\"m7a.large\" = 0.1\n");
    what_is_wrong_in_a_file_of_prices_is_drawn_where_it_stands: with_file("as_of = \"today\"\nnote = 1\n[eu-north-1]\n\"m7a.large\" = -1\n[us-east-1]\n\"m7a.large\" = true\n");
    a_file_of_prices_that_is_no_toml_is_drawn: with_file("as_of = 2026-11-24\n[eu-north-1\n");
}

#[test]
fn what_is_wrong_with_the_configuration_itself_is_said_first() {
    let text = named().replace("max = 20", "max = 0");
    let problems = Desk::with(text).file("prices.toml", "x").problems();
    assert!(problems.contains("pool[0].max") && !problems.contains("prices"), "{problems}");
}
