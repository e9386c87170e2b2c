//! Tables and colours, as far as they serve: every line can be understood without them.

use std::time::Duration;

use anstyle::{AnsiColor, Color};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use crate::ages::short;
use crate::engine::CountKind;

/// How output is to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colours are wanted.
    pub color: bool,
    /// The terminal's width in columns; `None` where nothing must be wrapped.
    pub width: Option<u16>,
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A table's head, a section's title.
    Title,
    /// A launch, a success.
    Good,
    /// An end, a failure.
    Bad,
    /// A mark, a skip.
    Quiet,
}

impl Look {
    /// Returns the text, in colour if colours are wanted.
    #[must_use]
    pub fn paint(self, style: Style, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let color = |color: AnsiColor| anstyle::Style::new().fg_color(Some(Color::Ansi(color)));
        let style = match style {
            Style::Title => anstyle::Style::new().bold(),
            Style::Good => color(AnsiColor::Green),
            Style::Bad => color(AnsiColor::Red),
            Style::Quiet => color(AnsiColor::Yellow),
        };
        format!("{style}{text}{style:#}")
    }

    /// Draws rows under a head: columns that begin with `>` are numbers, and stand to the right.
    #[must_use]
    pub fn table(self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        match self.width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        let numeric = |column: usize| head.get(column).is_some_and(|title| title.starts_with('>'));
        let align = |column: usize| if numeric(column) { CellAlignment::Right } else { CellAlignment::Left };
        table.set_header(
            head.iter()
                .enumerate()
                .map(|(column, title)| Cell::new(title.trim_start_matches('>')).set_alignment(align(column))),
        );
        for row in rows {
            table.add_row(
                row.into_iter()
                    .enumerate()
                    .map(|(column, text)| Cell::new(printable(&text)).set_alignment(align(column))),
            );
        }
        let last = head.len().saturating_sub(1);
        for column in table.column_iter_mut() {
            let right = if column.index == last { 0 } else { 2 };
            column.set_padding((0, right));
        }
        let drawn = table.to_string();
        let mut lines: Vec<String> = drawn.lines().map(|line| line.trim_end().to_owned()).collect();
        if let Some(title) = lines.first_mut() {
            *title = self.paint(Style::Title, title);
        }
        lines.join("\n")
    }
}

/// Returns a count for a table: `-` for none.
pub(super) fn number(count: u64) -> String {
    if count == 0 { "-".to_owned() } else { count.to_string() }
}

/// Returns a count by how it is known, `?` where it isn't. A lower bound is never shown as the truth, and zero of it least
/// of all.
pub(super) fn bounded(count: Option<u64>, kind: Option<CountKind>) -> String {
    match (count, kind) {
        (Some(count), Some(CountKind::Exact)) => number(count),
        (Some(count), Some(CountKind::AtLeast)) => format!("≥{count}"),
        (Some(count), Some(CountKind::Stale)) => format!("~{count}"),
        (None, _) | (_, None) => "?".to_owned(),
    }
}

/// Says how long ago the oldest of what was not read now was seen, in seconds.
pub(super) fn not_read_now(age: u64) -> String {
    format!("not all was read now: the oldest of it was seen {} ago", short(Duration::from_secs(age)))
}

/// Returns a text that can't speak to a terminal: what others chose, a name or a message, may hold control characters,
/// and marks that make a terminal show it in another order than it is written.
#[must_use]
pub fn printable(text: &str) -> String {
    let misleads = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if misleads(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_speak_to_the_terminal() {
        let rows = [vec!["a\u{1b}[31m\nb".to_owned()]];
        assert_eq!(Look::default().table(&["NAME"], rows), "NAME\na\u{fffd}[31m\u{fffd}b");
        assert_eq!(printable("web\u{202e}46x-xunil"), "web\u{fffd}46x-xunil", "written backwards");
    }

    #[test]
    fn numbers_stand_to_the_right_and_nothing_is_wrapped_in_a_pipe() {
        let rows = [vec!["linux-x64".to_owned(), "5".to_owned()], vec!["gpu".to_owned(), "12".to_owned()]];
        let drawn = Look::default().table(&["POOL", ">QUEUED"], rows);
        assert_eq!(drawn, "POOL       QUEUED\nlinux-x64       5\ngpu            12");
    }
}
