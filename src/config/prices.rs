//! On-demand prices: the operator's own table, inline or in a file with its date.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::DeTable;

use super::problem::{Problem, Problems};
use super::reader::{At, Found, Table};
use crate::engine::Price;
use crate::files::{self, LARGEST_SETTING};

/// By instance type.
pub(super) type ByType = BTreeMap<String, Price>;

/// Where the table comes from, and what it is.
pub(super) enum Read {
    /// Neither is given, or what is given is wrong and was reported.
    Nothing,
    /// The table.
    Prices(ByType),
    /// The file is there, and what is wrong with it.
    WrongFile(Problems),
}

/// Reads `[ec2.prices]`, or what `ec2.prices_file` names.
pub(super) fn read(ec2: &Table<'_>, region: Option<&At<String>>, folder: &Path) -> Read {
    let (file, inline) = (ec2.text("prices_file"), ec2.table("prices"));
    match (file, inline) {
        (None, None) => Read::Nothing,
        (None, Some(table)) => Read::Prices(prices(&table)),
        (Some(file), Some(_)) => {
            ec2.wrong(
                "prices_file",
                &file,
                "`prices_file` and `[ec2.prices]` exclude each other",
                "keep one of the two",
            );
            Read::Nothing
        }
        (Some(file), None) => {
            let Some(region) = region else {
                if !ec2.has("region") {
                    let what = "prices are by region: name it, `region = \"eu-north-1\"`";
                    ec2.wrong("prices_file", &file, what, "of which region?");
                }
                return Read::Nothing;
            };
            let path = folder.join(&file.value);
            match files::read_text(&path, LARGEST_SETTING) {
                Ok(text) => of_file(&path.display().to_string(), &text, &region.value),
                Err(error) => {
                    ec2.wrong("prices_file", &file, format!("`{}` can't be read: {error}", file.value), "unreadable");
                    Read::Nothing
                }
            }
        }
    }
}

/// Reads a file of prices: its date, and a table for each region.
fn of_file(path: &str, text: &str, region: &str) -> Read {
    let found = Found::default();
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let problem = Problem::new(format!("not TOML: {}", error.message().trim()));
        found.borrow_mut().push(match error.span() {
            Some(span) => problem.at(span),
            None => problem,
        });
    }
    let mut table = ByType::new();
    if errors.is_empty() {
        let root = Table::new("", 0..0, root.get_ref(), &found);
        if !root.has("as_of") {
            root.missing("as_of", "say of which day the prices are, `as_of = 2026-11-24`");
        }
        root.date("as_of");
        for (name, prices_of_region) in root.tables_but("as_of") {
            let prices = prices(&prices_of_region);
            if name == region {
                table = prices;
            }
        }
        if table.is_empty() && found.borrow().is_empty() {
            let problem = Problem::new(format!("{path} has no prices of `{region}`, the region of `[ec2]`"));
            let example = format!("add them under `[{region}]`: `\"m7a.large\" = 0.1159`, dollars an hour");
            found.borrow_mut().push(problem.hint(example));
        }
    }
    let mut list = found.into_inner();
    if list.is_empty() {
        return Read::Prices(table);
    }
    list.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
    Read::WrongFile(Problems::new(path, text, list))
}

fn prices(table: &Table<'_>) -> ByType {
    let mut prices = ByType::new();
    for (key, price) in table.prices() {
        let is_type = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let halves = key.value.split_once('.').map(|(family, size)| (!family.is_empty(), !size.is_empty()));
        if halves == Some((true, true)) && key.value.chars().all(is_type) {
            prices.insert(key.value, price);
        } else {
            let problem = Problem::new(format!("`{}`: `{}` is not an instance type", table.name, key.value));
            table.report(problem.at(key.span).label("such as `\"m7a.large\"`, in quotes for its dot"));
        }
    }
    prices
}
