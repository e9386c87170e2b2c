//! The only way to the terminal: results to stdout; progress, warnings and errors to stderr.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anstyle::AnsiColor;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Cli, ColorChoice, Output};
use crate::commands::Failure;
use crate::engine::RepositoryName;
use crate::github::{Progress, Usage};
use crate::report::{Look, printable};
use crate::stderr::Stderr;
use crate::warning::{Warning, WarningCode};

/// So many runs without visible jobs are named, and so many ghosts.
const RUNS_NAMED: usize = 3;

/// How to speak to whoever called.
#[derive(Debug)]
pub struct Ui {
    output: Output,
    color_out: bool,
    color_err: bool,
    quiet: bool,
}

impl Ui {
    /// Decides by the flags and the terminal.
    #[must_use]
    pub fn new(cli: &Cli) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| match cli.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !dumb && (terminal || set("CLICOLOR_FORCE")),
        };
        Self {
            output: cli.output,
            color_out: wanted(io::stdout().is_terminal()),
            color_err: wanted(io::stderr().is_terminal()),
            quiet: cli.quiet,
        }
    }

    /// Returns whether the result is to be JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Returns whether somebody sits there who can answer.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Returns how results are to look.
    #[must_use]
    pub fn look(&self) -> Look {
        let width = io::stdout().is_terminal().then(terminal_width).flatten();
        Look { color: self.color_out, width }
    }

    /// Writes a result to stdout, with a line's end; returns whether its reader is still there. One that closed the pipe has
    /// seen enough: that is a success.
    ///
    /// # Errors
    /// stdout can't be written for another reason: a full disk.
    pub fn print(&self, text: &str) -> io::Result<bool> {
        let mut out = io::stdout().lock();
        let end = if text.ends_with('\n') { "" } else { "\n" };
        match write!(out, "{text}{end}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Writes warnings to stderr; of runs without visible jobs and of ghosts, which there may be many of, the first ones.
    pub fn warn<'a>(&self, warnings: impl IntoIterator<Item = &'a Warning>) {
        if self.quiet {
            return;
        }
        let mut runs: BTreeMap<WarningCode, usize> = BTreeMap::new();
        for warning in warnings {
            if warning.code.is_of_runs() {
                let nth = runs.entry(warning.code).or_default();
                *nth += 1;
                if *nth > RUNS_NAMED {
                    continue;
                }
            }
            let subject =
                warning.subject.as_ref().map_or_else(String::new, |subject| format!("{}: ", printable(subject)));
            let head = self.painted("warning:", AnsiColor::Yellow);
            say(&format!("{head} {subject}{} [{}]", printable(&warning.message), warning.code));
        }
        for (code, count) in runs.into_iter().filter(|(_, count)| *count > RUNS_NAMED) {
            let head = self.painted("warning:", AnsiColor::Yellow);
            say(&format!("{head} {} more such runs: `ghascale status` lists them [{code}]", count - RUNS_NAMED));
        }
    }

    /// Writes why there is no answer to stderr.
    pub fn error(&self, failure: &Failure) {
        if failure.drawn {
            say(failure.message.trim_end());
        } else {
            say(&format!("{} {}", self.painted("error:", AnsiColor::Red), printable(&failure.message)));
        }
        if let Some(hint) = &failure.hint {
            say(&format!("{} {}", self.painted("hint:", AnsiColor::Cyan), printable(hint)));
        }
    }

    /// Returns whether stderr takes colours.
    #[must_use]
    pub fn colors_errors(&self) -> bool {
        self.color_err
    }

    /// Asks a question that takes a yes; anything else is a no.
    #[must_use]
    pub fn confirm(&self, question: &str) -> bool {
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// Shows, on a terminal, how far something has come; gone when done.
    #[must_use]
    pub fn progress(&self, what: &str, total: usize) -> Bar {
        if self.quiet || !io::stderr().is_terminal() {
            return Bar(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(total as u64).with_prefix(what.to_owned());
        let template = "{spinner} {prefix}: {pos}/{len}  {wide_msg}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(100));
        Bar(bar)
    }

    fn painted(&self, text: &str, color: AnsiColor) -> String {
        if !self.color_err {
            return text.to_owned();
        }
        let style = anstyle::Style::new().bold().fg_color(Some(color.into()));
        format!("{style}{text}{style:#}")
    }
}

/// Writes a line to stderr; nothing is left to tell it to if that is closed.
fn say(line: &str) {
    let _ = Stderr.write_all(format!("{line}\n").as_bytes());
}

/// Returns the width of the terminal in columns.
fn terminal_width() -> Option<u16> {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(|| Some(console::Term::stdout().size_checked()?.1))
}

/// How far something has come.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// One more is done.
    pub fn step(&self, what: &str) {
        self.0.set_message(what.to_owned());
        self.0.inc(1);
    }
}

impl Progress for Bar {
    fn found(&self, repositories: usize) {
        self.0.set_length(repositories as u64);
    }

    fn done(&self, repository: &RepositoryName, usage: Usage) {
        let left = usage.remaining.map_or_else(String::new, |left| format!(", {left} left"));
        let cost = format!("{} requests, {} not modified{left}", usage.requests, usage.not_modified);
        self.step(&format!("{cost}  {repository}"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_shows_how_far_it_is_what_it_took_and_what_is_left() {
        let bar = Bar(ProgressBar::hidden());
        bar.found(7);
        let usage = Usage { requests: 12, not_modified: 5, remaining: Some(4988), ..Usage::default() };
        bar.done(&"acme/api".into(), usage);
        assert_eq!((bar.0.position(), bar.0.length()), (1, Some(7)));
        assert_eq!(bar.0.message(), "12 requests, 5 not modified, 4988 left  acme/api");
    }
}
