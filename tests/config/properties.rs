//! No text, however wrong, makes the reader or the drawing of its problems panic.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Desk, GOOD};

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
