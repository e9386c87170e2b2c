//! What is wrong with a configuration: all of it at once, each drawn where it stands, with its cure.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

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
    /// Its line may hold a secret: the place is named, and not shown.
    pub(super) hidden: bool,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { span: None, message: message.into(), label: String::new(), hint: None, hidden: false }
    }

    pub(super) fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that is wrong with a configuration. Nothing was called.
#[derive(Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file's name, as it was given.
    pub(super) path: String,
    /// Its text.
    pub(super) source: String,
    /// At least one.
    pub(super) list: Vec<Problem>,
}

impl Problems {
    /// Draws them as rustc draws wrong code: the line, the span underlined, the cure.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let drawn = self.list.iter().map(|problem| {
            let title = Level::ERROR.primary_title(problem.message.as_str());
            let mut group = match &problem.span {
                None => Group::with_title(title),
                Some(span) if problem.hidden => {
                    let line = 1 + self.source[..self.within(span).start].matches('\n').count();
                    title.element(Origin::path(self.path.as_str()).line(line))
                }
                Some(span) => {
                    let label = (!problem.label.is_empty()).then_some(problem.label.as_str());
                    let annotation = AnnotationKind::Primary.span(self.within(span)).label(label);
                    title.element(Snippet::source(self.source.as_str()).path(self.path.as_str()).annotation(annotation))
                }
            };
            if let Some(hint) = &problem.hint {
                group = group.element(Level::HELP.with_name(Some("hint")).message(hint.as_str()));
            }
            renderer.render(&[group])
        });
        drawn.collect::<Vec<_>>().join("\n\n")
    }

    /// Returns a span that surely lies in the text.
    fn within(&self, span: &Range<usize>) -> Range<usize> {
        let end = span.end.min(self.source.len());
        span.start.min(end)..end
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// As it is drawn: the whole text of the file is nobody's business.
impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Problems {}

/// Returns the known word that is nearest to another, if one is near.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}
