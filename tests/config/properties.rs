//! No text, however wrong, makes the reader or the drawing of its problems panic.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Desk, GOOD, TOKEN};
use crate::malformed::Document;
use crate::malformed::mutation::{changed, damaged};

/// What is put into a good file: pieces of TOML, and characters that are hard to draw.
const PIECES: [&str; 24] = [
    "\"",
    "'''",
    "\"\"\"",
    "[",
    "[[pool]]",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\0",
    "\u{1b}[31m",
    "\u{feff}",
    "🏳️‍🌈",
    "é",
    "日本",
    "\u{202e}",
    "-99999999999999999999",
    "1e400",
    "1979-05-27",
    "\\u0000",
];

fn draw(text: &str) {
    for desk in [Desk::with(text), Desk::with(text).looking().url("https://github.com/acme")] {
        if let Err(problems) = desk.result() {
            let plain = problems.render(false);
            assert!(plain.starts_with("error: "), "{plain}");
            assert!(!problems.render(true).is_empty() && !format!("{problems:?}").is_empty());
        }
    }
}

/// The most that is drawn for each problem beside what it quotes of the file: its label, its hint, where it is.
const LONGEST_PROBLEM: usize = 4000;

/// Returns a whole file, an App's and all, as a value; `secret` stands where a secret has no place.
fn whole(secret: &str) -> serde_json::Value {
    let text = GOOD
        .replace("[ec2]", "token_env = \"GITHUB_TOKEN\"\n\n[scan]\ninclude = [\"*\"]\nmax_job_age = \"24h\"\n\n[ec2]");
    let mut whole: serde_json::Value = toml::from_str(&text).unwrap();
    whole["github"]["token"] = secret.into();
    whole
}

/// Writes a value as TOML; what that has no form for is left out.
fn as_toml(mut value: serde_json::Value) -> Vec<u8> {
    fn without_null(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => {
                items.retain(|item| !item.is_null());
                items.iter_mut().for_each(without_null);
            }
            serde_json::Value::Object(fields) => {
                fields.retain(|_, field| !field.is_null());
                fields.values_mut().for_each(without_null);
            }
            // Larger than TOML's numbers.
            serde_json::Value::Number(number) if number.as_i64().is_none() && number.is_u64() => *value = 9.into(),
            _ => {}
        }
    }
    without_null(&mut value);
    toml::to_string(&value).unwrap_or_default().into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_good_file_with_values_of_other_kinds_is_read_or_drawn_and_no_secret_with_it(
        text in damaged(changed(&whole(TOKEN)).prop_map(as_toml)).prop_map(Document),
    ) {
        let text = text.0;
        let desk = Desk::with(&text);
        if let Err(problems) = desk.result() {
            let drawn = problems.render(false);
            prop_assert!(!drawn.contains(TOKEN) && !format!("{problems:?}").contains(TOKEN), "{drawn}");
            let most = (LONGEST_PROBLEM + 2 * text.len()) * (drawn.matches("error: ").count() + 1);
            prop_assert!(drawn.len() <= most, "{} bytes for {} of a file: {:.2000}", drawn.len(), text.len(), drawn);
        }
    }
}

#[test]
fn a_device_that_never_ends_is_not_read_for_ever() {
    let problems = Desk::empty().flag("/dev/zero").result().unwrap_err();
    assert!(problems.to_string().contains("larger than"), "{problems}");
    let pool = format!("{GOOD}user_data_file = \"/dev/zero\"\n");
    let problems = Desk::with(pool).result().unwrap_err();
    assert!(problems.to_string().contains("larger than"), "{problems}");
    let github = super::github("url = \"https://github.com/acme\"\ntoken_file = \"/dev/zero\"");
    let problems = Desk::with(github).result().unwrap_err();
    assert!(problems.to_string().contains("larger than"), "{problems}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_drawn(text in any::<String>()) {
        draw(&text);
    }

    #[test]
    fn any_pieces_of_toml_are_read_or_drawn(pieces in proptest::collection::vec(select(&PIECES[..]), 0..20)) {
        draw(&pieces.concat());
    }

    #[test]
    fn a_good_file_with_pieces_put_in_and_cut_out_is_read_or_drawn(
        edits in proptest::collection::vec((any::<Index>(), 0..6_usize, select(&PIECES[..])), 1..5),
    ) {
        let mut characters: Vec<char> = GOOD.chars().collect();
        for (at, cut, piece) in edits {
            let start = at.index(characters.len());
            let end = (start + cut).min(characters.len());
            characters.splice(start..end, piece.chars());
        }
        draw(&characters.iter().collect::<String>());
    }

    #[test]
    fn a_good_file_with_one_value_changed_is_read_or_drawn(at in any::<Index>(), value in "[\"\\[{]?\\PC{0,12}[\"\\]}]?") {
        let lines: Vec<&str> = GOOD.lines().filter(|line| line.contains(" = ")).collect();
        let line = lines[at.index(lines.len())];
        let (key, _) = line.split_once(" = ").unwrap();
        draw(&GOOD.replace(line, &format!("{key} = {value}")));
    }
}
