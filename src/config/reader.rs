//! A typed reader over a TOML table that keeps every value's place: a wrong value is reported where it stands, and
//! doesn't hide the next.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, nearest};
use crate::engine::Price;

/// What was found wrong so far.
pub(super) type Found = RefCell<Vec<Problem>>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// One table, read key by key.
pub(super) struct Table<'a> {
    /// As the operator would name it: `github.app`, `pool[0]`.
    pub(super) name: String,
    /// Where it stands.
    pub(super) span: Range<usize>,
    entries: &'a DeTable<'a>,
    found: &'a Found,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Table<'a> {
    pub(super) fn new(name: &str, span: Range<usize>, entries: &'a DeTable<'a>, found: &'a Found) -> Self {
        Self { name: name.to_owned(), span, entries, found, asked: RefCell::default() }
    }

    /// Returns a key's full name.
    pub(super) fn key(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    pub(super) fn report(&self, problem: Problem) {
        self.found.borrow_mut().push(problem);
    }

    /// Reports what is wrong with a value.
    pub(super) fn wrong<T>(&self, key: &str, at: &At<T>, what: impl AsRef<str>, label: impl Into<String>) {
        self.report(Problem::new(format!("`{}`: {}", self.key(key), what.as_ref())).at(at.span.clone()).label(label));
    }

    /// Reports a key that should be there.
    pub(super) fn missing(&self, key: &str, hint: impl Into<String>) {
        self.report(Problem::new(format!("`{}` is missing", self.key(key))).at(self.span.clone()).hint(hint));
    }

    /// Reports every key that nobody asked for. To be called last.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if asked.contains(name) {
                continue;
            }
            let problem = Problem::new(format!("`{}` is not a key of the configuration", self.key(name)))
                .at(key.span())
                .label("unknown key");
            self.report(match nearest(name, asked.iter().copied()) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("known here: {}", list(asked.iter().copied()))),
            });
        }
    }

    /// Returns whether a key is there at all, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Returns whether a key is there and holds a text.
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| value.get_ref().is_str())
    }

    /// Returns whether a key is there and holds a list.
    pub(super) fn is_list(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| value.get_ref().is_array())
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().insert(key);
        self.entries.get(key)
    }

    fn read<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<At<T>> {
        let spanned = self.get(key)?;
        let value = spanned.get_ref();
        let read = read(value);
        if read.is_none() {
            self.wrong_type(key, spanned, expected);
        }
        Some(At { value: read?, span: spanned.span() })
    }

    fn wrong_type(&self, key: &str, found: &Spanned<DeValue<'_>>, expected: &str) {
        let message = format!("`{}`: expected {expected}, found {}", self.key(key), kind(found.get_ref()));
        self.report(Problem::new(message).at(found.span()).label(format!("expected {expected}")));
    }

    /// Reads a text that isn't empty.
    pub(super) fn text(&self, key: &'static str) -> Option<At<String>> {
        let text = self.read(key, "a text in quotes", |value| value.as_str().map(str::to_owned))?;
        if text.value.trim().is_empty() {
            self.wrong(key, &text, "must not be empty", "empty");
            return None;
        }
        Some(text)
    }

    /// Reads a list of texts, none of them empty, none twice (compared as `fold` has them).
    pub(super) fn texts(&self, key: &'static str, fold: fn(&str) -> String) -> Option<At<Vec<At<String>>>> {
        let list = self.read(key, "a list of texts", |value| value.as_array())?;
        let mut texts: Vec<At<String>> = Vec::new();
        for item in list.value {
            let Some(text) = item.get_ref().as_str() else {
                self.wrong_type(key, item, "a text in quotes");
                continue;
            };
            let text = At { value: text.to_owned(), span: item.span() };
            if text.value.trim().is_empty() {
                self.wrong(key, &text, "must not hold an empty text", "empty");
            } else if texts.iter().any(|other| fold(&other.value) == fold(&text.value)) {
                self.wrong(key, &text, format!("has `{}` twice", text.value), "again");
            } else {
                texts.push(text);
            }
        }
        Some(At { value: texts, span: list.span })
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<At<bool>> {
        self.read(key, "true or false", DeValue::as_bool)
    }

    /// Reads a whole number within bounds.
    pub(super) fn integer(&self, key: &'static str, bounds: std::ops::RangeInclusive<i64>) -> Option<At<i64>> {
        let number = self.read(key, "a whole number", DeValue::as_integer)?;
        // What is no i64 is out of any bounds.
        let value = i64::from_str_radix(number.value.as_str(), number.value.radix()).ok();
        let Some(value) = value.filter(|value| bounds.contains(value)) else {
            let allowed = format!("allowed: {} to {}", bounds.start(), bounds.end());
            self.wrong(key, &number, format!("{} is out of bounds", number.value), allowed);
            return None;
        };
        Some(At { value, span: number.span })
    }

    /// Reads dollars: more than nothing, and not more than any price.
    pub(super) fn dollars(&self, key: &'static str) -> Option<At<Price>> {
        let spanned = self.get(key)?;
        Some(At { value: self.price(key, spanned)?, span: spanned.span() })
    }

    /// Reads a table of dollars, whatever its keys.
    pub(super) fn prices(&self) -> Vec<(At<String>, Price)> {
        let mut prices = Vec::new();
        for (key, value) in self.entries {
            // `m7a.large = 1` without quotes is a table of its own.
            if value.get_ref().is_table() {
                let what = format!("`{}`: expected a number of dollars, found a table", self.key(key.get_ref()));
                let problem = Problem::new(what).at(key.span()).label("a type has a dot: write it in quotes");
                self.report(problem.hint("such as `\"m7a.large\" = 0.1159`"));
                continue;
            }
            if let Some(price) = self.price(key.get_ref(), value) {
                prices.push((At { value: key.get_ref().to_string(), span: key.span() }, price));
            }
        }
        prices
    }

    fn price(&self, key: &str, spanned: &Spanned<DeValue<'_>>) -> Option<Price> {
        let text = match spanned.get_ref() {
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            _ => {
                self.wrong_type(key, spanned, "a number of dollars");
                return None;
            }
        };
        let price = Price::parse(&text).filter(|price| *price > Price::ZERO);
        if price.is_none() {
            let at = At { value: (), span: spanned.span() };
            self.wrong(key, &at, format!("{text} is no price"), "dollars an hour, more than 0, at most 100000");
        }
        price
    }

    /// Reads a date.
    pub(super) fn date(&self, key: &'static str) {
        self.read(key, "a date, as 2026-11-24 without quotes", |value| {
            value.as_datetime().filter(|at| at.date.is_some()).map(drop)
        });
    }

    /// Reads all tables but one key's.
    pub(super) fn tables_but(&self, key: &str) -> Vec<(String, Self)> {
        let mut tables = Vec::new();
        for (name, value) in self.entries.iter().filter(|(name, _)| name.get_ref() != key) {
            let of = name.get_ref().to_string();
            match value.get_ref().as_table() {
                Some(table) => tables.push((of.clone(), Self::new(&self.key(&of), value.span(), table, self.found))),
                None => self.wrong_type(&of, value, "a table of prices, named for its region"),
            }
        }
        tables
    }

    /// Reads a duration, `5m` or `1h 30m`, longer than zero and at most thirty days.
    ///
    /// humantime reads `M` as months: the bound is below one, so that `10M` for ten minutes is refused, and not paid for.
    pub(super) fn duration(&self, key: &'static str) -> Option<At<Duration>> {
        let text = self.text(key)?;
        match humantime::parse_duration(&text.value) {
            Ok(duration) if (1..=30 * 86_400).contains(&duration.as_secs()) => {
                Some(At { value: duration, span: text.span })
            }
            Ok(_) => {
                self.wrong(
                    key,
                    &text,
                    format!("`{}` is out of bounds", text.value),
                    "allowed: 1s to 30d; minutes are `m`, and `M` is months",
                );
                None
            }
            Err(error) => {
                self.wrong(
                    key,
                    &text,
                    format!("`{}` is not a duration: {error}", text.value),
                    "such as `5m` or `1h 30m`",
                );
                None
            }
        }
    }

    /// Reads one of a few words.
    pub(super) fn word<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<At<T>> {
        let text = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(At { value: *value, span: text.span });
        }
        let known = || words.iter().map(|(word, _)| *word);
        let problem = Problem::new(format!("`{}`: `{}` is not allowed", self.key(key), text.value));
        let problem = problem.at(text.span).label(format!("allowed: {}", list(known())));
        self.report(match nearest(&text.value, known()) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem,
        });
        None
    }

    pub(super) fn table(&self, key: &'static str) -> Option<Self> {
        let table = self.read(key, "a table", |value| value.as_table())?;
        Some(Self::new(&self.key(key), table.span, table.value, self.found))
    }

    /// Reads `[[key]]`.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Self> {
        let Some(list) = self.read(key, "tables, each under `[[…]]`", |value| value.as_array()) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (nth, item) in list.value.iter().enumerate() {
            match item.get_ref().as_table() {
                Some(table) => tables.push(Self::new(&format!("{key}[{nth}]"), item.span(), table, self.found)),
                None => self.wrong_type(key, item, "a table"),
            }
        }
        tables
    }

    /// Reads a table of texts, whatever its keys.
    pub(super) fn entries(&self) -> Vec<(At<String>, At<String>)> {
        let mut entries = Vec::new();
        for (key, value) in self.entries {
            let key = At { value: key.get_ref().to_string(), span: key.span() };
            match value.get_ref().as_str() {
                Some(text) => entries.push((key, At { value: text.to_owned(), span: value.span() })),
                None => self.wrong_type(&key.value, value, "a text in quotes"),
            }
        }
        entries
    }
}

/// Returns what a value is, as the operator would say.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn list<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
