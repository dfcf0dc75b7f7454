//! How a run is shown: a bar on a terminal, plain lines elsewhere, JSON lines for machines, or nothing.
//!
//! May touch: stdout and stderr through `out`, a ticker thread. Invariants: stdout carries results
//! alone (with `--json` every event is one); progress and warnings go to stderr; nothing here waits
//! for a reader longer than the terminal itself does.

mod format;
mod json;
mod lines;
mod screen;
mod summary;
mod table;
mod tally;
mod terminal;

pub mod out;

use std::sync::Arc;
use std::time::Instant;

use crate::exit::Exit;
use crate::run::{Event, Observer, RunError, Summary};

pub use format::{bytes, count, duration, memory, rate};
pub use json::{
    cell as json_cell, event as json_event, failed as json_failed, summary as json_summary,
};
pub use summary::summary_text;
pub use table::{Align, Table, cell_text};
pub use tally::{Snapshot, Tally};

use lines::Lines;
use screen::Screen;

/// How a run is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A bar where stderr is a terminal, plain lines elsewhere.
    Progress,
    /// JSON lines on stdout.
    Json,
    /// Warnings and errors alone.
    Quiet,
}

/// How much of the extractors' logs is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and errors.
    Warnings,
    /// Also state changes and what extractors print to standard error.
    Info,
    /// Everything.
    Debug,
}

impl Verbosity {
    fn shows(self, level: &str) -> bool {
        match level {
            "error" | "warn" => true,
            "info" | "stderr" => self >= Self::Info,
            _ => self >= Self::Debug,
        }
    }
}

/// Shows a run. Clones show the same one.
#[derive(Clone)]
pub struct Report {
    view: Arc<View>,
    tally: Arc<Tally>,
    verbosity: Verbosity,
}

enum View {
    Screen(Screen),
    Lines(Lines),
    Json,
    Quiet,
}

impl Report {
    /// Begins to show a run of the pipeline `name`; with `total` rows the bar has an end.
    pub fn start(name: &str, total: Option<u64>, style: Style, verbosity: Verbosity) -> Self {
        let tally = Arc::new(Tally::new(Instant::now(), total));
        let view = match style {
            Style::Quiet => View::Quiet,
            Style::Json => View::Json,
            Style::Progress if console::user_attended_stderr() => {
                View::Screen(Screen::start(name, &tally))
            }
            Style::Progress => View::Lines(Lines::start(name, &tally)),
        };
        Self { view: Arc::new(view), tally, verbosity }
    }

    /// The numbers so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Tells a person something that is no warning.
    pub fn note(&self, text: &str) {
        match &*self.view {
            View::Screen(screen) => screen.line(text),
            View::Lines(_) => out::note(text),
            View::Json => out::json_or_drop(&json::note(text, self.tally.elapsed())),
            View::Quiet => {}
        }
    }

    /// Tells a person something that may need action.
    pub fn warn(&self, text: &str) {
        match &*self.view {
            View::Screen(screen) => screen.line(&out::styled_warning(text)),
            View::Lines(_) | View::Quiet => out::warning(text),
            View::Json => {
                let event = Event::Warning(text.to_owned());
                out::json_or_drop(&json::event(&event, self.tally.elapsed()));
            }
        }
    }

    /// Takes the bar away, or prints the last line of progress.
    pub fn stop(&self) {
        match &*self.view {
            View::Screen(screen) => screen.stop(),
            View::Lines(lines) => lines.stop(),
            View::Json | View::Quiet => {}
        }
    }

    /// Ends the progress and prints how the run of `name` went to stdout. The text of an error is
    /// printed by the caller.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn finish(&self, name: &str, result: &Result<Summary, RunError>) -> std::io::Result<()> {
        self.stop();
        match (result, &*self.view) {
            (Ok(summary), View::Json) => out::json(&json::summary(name, summary)),
            (Ok(summary), View::Screen(_) | View::Lines(_)) => {
                out::line(&summary_text(name, summary))
            }
            (Err(error), View::Json) => {
                out::json(&json::failed(&error.to_string(), Exit::from(error)))
            }
            (Ok(_), View::Quiet) | (Err(_), _) => Ok(()),
        }
    }

    /// What a person reads about an event, if anything, and whether it is a warning.
    fn text(&self, event: &Event) -> Option<(String, bool)> {
        Some(match event {
            Event::Discovered { splits, tasks } => {
                let plural = |n: usize| if n == 1 { "" } else { "s" };
                let text = format!(
                    "{splits} split{}, read by {tasks} extractor process{}",
                    plural(*splits),
                    if *tasks == 1 { "" } else { "es" }
                );
                (text, false)
            }
            Event::Warning(text) => (text.clone(), true),
            Event::Log { level, line } if self.verbosity.shows(level) => {
                (format!("extractor {level}: {line}"), level == "warn" || level == "error")
            }
            Event::Retrying { task, reason, pause: wait } => {
                let after = format::after(*wait);
                let text = format!("task {task} failed ({reason}); trying again {after}");
                (text, true)
            }
            Event::Fenced { task } => {
                (format!("task {task}: another harness took its splits"), true)
            }
            Event::StoreRetry { task, reason, pause: wait } => {
                let text = format!(
                    "task {task}: {reason}; the batch is kept and sent again {}",
                    format::after(*wait)
                );
                (text, true)
            }
            Event::Committed(_) | Event::Log { .. } | Event::Waiting { .. } => return None,
        })
    }
}

impl Observer for Report {
    fn event(&self, event: &Event) {
        self.tally.add(event, Instant::now());
        if matches!(*self.view, View::Json) {
            let hidden = matches!(event, Event::Log { level, .. } if !self.verbosity.shows(level));
            if !hidden {
                out::json_or_drop(&json::event(event, self.tally.elapsed()));
            }
            return;
        }
        match self.text(event) {
            Some((text, true)) => self.warn(&text),
            Some((text, false)) => self.note(&text),
            None => {}
        }
    }
}
