//! What is wrong with a configuration: all of it at once, each drawn where it stands, with its cure.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::mask::{mask, mask_file};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Where in the file, in bytes; `None` for what stands in no file.
    pub(super) span: Option<Range<usize>>,
    /// What is wrong, with the key's name: a phrase that fits after `error: `.
    pub(super) message: String,
    /// A word at the place itself.
    pub(super) label: String,
    /// What to do.
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { span: None, message: message.into(), label: String::new(), hint: None }
    }

    pub(super) fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that is wrong with a configuration. Nothing was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file's name, as it was given.
    pub(super) path: String,
    /// Its text, secrets masked.
    pub(super) source: String,
    /// At least one.
    pub(super) list: Vec<Problem>,
}

impl Problems {
    /// Takes what was found; nothing that looks like a secret stays in it.
    pub(super) fn new(path: impl Into<String>, source: &str, list: Vec<Problem>) -> Self {
        let masked = |problem: Problem| Problem {
            message: shown(&problem.message),
            label: shown(&problem.label),
            hint: problem.hint.as_deref().map(shown),
            ..problem
        };
        Self { path: path.into(), source: mask_file(source), list: list.into_iter().map(masked).collect() }
    }

    /// Draws them as rustc draws wrong code: the line, the span underlined, the cure.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let drawn = self.list.iter().map(|problem| {
            let mut group =
                Level::ERROR.primary_title(problem.message.as_str()).elements(problem.span.iter().map(|span| {
                    let label = (!problem.label.is_empty()).then_some(problem.label.as_str());
                    let annotation = AnnotationKind::Primary.span(self.within(span)).label(label);
                    Snippet::source(self.source.as_str()).path(self.path.as_str()).annotation(annotation)
                }));
            if let Some(hint) = &problem.hint {
                group = group.element(Level::HELP.with_name(Some("hint")).message(hint.as_str()));
            }
            renderer.render(&[group])
        });
        drawn.collect::<Vec<_>>().join("\n\n")
    }

    /// Returns a span that surely lies in the text.
    fn within(&self, span: &Range<usize>) -> Range<usize> {
        let end = self.source.ceil_char_boundary(span.end);
        self.source.floor_char_boundary(span.start.min(end))..end
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

/// Masks secrets, and what would speak to the terminal: a value's escapes are decoded by now.
fn shown(text: &str) -> String {
    mask(text).chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Returns the known word that is nearest to another, if one is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Jaro-Winkler looks no letter ahead in the shortest words: `mx` would not be near `max`.
    let score = |candidate: &str| match strsim::osa_distance(word, candidate) {
        0 | 1 => 1.0,
        _ => strsim::jaro_winkler(word, candidate),
    };
    let scored = known.into_iter().map(|candidate| (score(candidate), candidate));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}
