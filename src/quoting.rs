//! What came from elsewhere, made fit to be said: a value in it may be a secret, or a megabyte long.

use serde_json::error::Category;

/// The most characters of somebody else's word that are quoted.
const LONGEST_WORD: usize = 80;

/// Returns somebody else's word, on one line and no longer than such a word can be.
pub(crate) fn word(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST_WORD {
        line
    } else {
        line.chars().take(LONGEST_WORD - 1).chain(['…']).collect()
    }
}

/// Returns what is wrong with JSON, and where, without its values.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
    let said = error.to_string();
    if error.classify() != Category::Data {
        // About the form alone: nothing is quoted.
        return said;
    }
    // Field names, types and what is expected are ours; all else is theirs.
    if said.starts_with("missing field `") {
        return said;
    }
    let kind = said.strip_prefix("invalid type: ").and_then(|rest| rest.split([' ', ',']).next());
    match (kind, said.rfind(", expected ")) {
        (Some(kind), Some(at)) => format!("invalid type: {kind}{}", &said[at..]),
        _ if error.line() == 0 => "a value that can't be".to_owned(),
        _ => format!("a value that can't be, at line {} column {}", error.line(), error.column()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        One,
    }

    #[derive(Debug, Deserialize)]
    struct Entry {
        #[serde(rename = "id")]
        _id: u64,
        #[serde(rename = "word")]
        _word: Word,
        #[serde(rename = "at")]
        _at: Timestamp,
    }

    #[track_caller]
    fn said(text: &str) -> String {
        json_fault(&serde_json::from_str::<Entry>(text).unwrap_err())
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_named() {
        assert_eq!(said("{}"), "missing field `id` at line 1 column 2");
        assert_eq!(said(r#"{"id":"a, expected \"PLANTED"}"#), "invalid type: string, expected u64 at line 1 column 29");
        assert_eq!(said(r#"{"id":null}"#), "invalid type: null, expected u64 at line 1 column 10");
        assert_eq!(said("[1"), "EOF while parsing a list at line 1 column 2");
    }

    #[test]
    fn a_word_is_no_longer_than_words_are() {
        assert_eq!(word("in progress"), "in progress");
        assert_eq!(word("a\n  b"), "a b");
        let long = word(&"long".repeat(1000));
        assert!(long.chars().count() == LONGEST_WORD && long.ends_with('…'), "{long}");
    }

    #[test]
    fn no_value_is_quoted() {
        for text in [
            r#"{"id":1,"word":"PLANTED"}"#,
            r#"{"id":1,"word":"one","at":"PLANTED"}"#,
            r#"{"id":1,"word":{"PLANTED":1}}"#,
            r#""PLANTED""#,
            r#"{"id":-1}"#,
        ] {
            let said = said(text);
            assert!(!said.contains("PLANTED") && !said.contains("-1"), "{said}");
        }
    }
}
