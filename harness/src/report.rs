//! How a run is shown: a bar on a terminal, plain lines elsewhere, JSON lines for machines, or nothing.
//!
//! May touch: stdout and stderr through `out`, a ticker thread. Invariants: stdout carries results
//! alone (with `--json` every event is one); progress and warnings go to stderr; nothing here waits
//! for a reader longer than the terminal itself does.

mod format;
mod json;
mod lines;
mod repeats;
mod screen;
mod summary;
mod table;
mod terminal;

pub mod out;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::exit::Exit;
use crate::run::{Control, Event, Observer, RunError, Summary};
pub use crate::run::{Snapshot, Tally};

pub(crate) use format::counted;
pub use format::{bytes, count, duration, memory, rate};
pub use json::{
    cell as json_cell, event as json_event, failed as json_failed, summary as json_summary,
};
pub use summary::summary_text;
pub use table::{Align, Table, cell_text};

use lines::Lines;
use repeats::Repeats;
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
    repeats: Arc<Mutex<Repeats>>,
    verbosity: Verbosity,
    control: Control,
}

enum View {
    Screen(Screen),
    Lines(Lines),
    Json,
    Quiet,
}

impl Report {
    /// Begins to show the run of `control`, of the pipeline `name`; with `total` rows the bar has an
    /// end. A run whose JSON lines cannot be written any more is ended.
    pub fn start(
        name: &str,
        total: Option<u64>,
        style: Style,
        verbosity: Verbosity,
        control: &Control,
    ) -> Self {
        let tally = Arc::new(Tally::new(Instant::now(), total));
        let view = match style {
            Style::Quiet => View::Quiet,
            Style::Json => View::Json,
            Style::Progress if console::user_attended_stderr() => {
                View::Screen(Screen::start(name, &tally))
            }
            Style::Progress => View::Lines(Lines::start(name, &tally)),
        };
        let repeats = Arc::default();
        Self { view: Arc::new(view), tally, repeats, verbosity, control: control.clone() }
    }

    /// The numbers so far.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Tells a person something that is no warning.
    pub fn note(&self, text: &str) {
        match &*self.view {
            View::Screen(screen) => screen.line(text),
            View::Lines(_) => out::note(text),
            View::Json => self.json(&json::note(text, self.tally.elapsed())),
            View::Quiet => {}
        }
    }

    /// Tells a person something that may need action.
    pub fn warn(&self, text: &str) {
        self.warn_as(text, text);
    }

    /// Equal warnings are those of the same `subject`.
    fn warn_as(&self, subject: &str, text: &str) {
        if matches!(*self.view, View::Json) {
            let event = Event::Warning(text.to_owned());
            self.json(&json::event(&event, self.tally.elapsed()));
            return;
        }
        let lines = self.repeats().pass(subject, text, Instant::now());
        self.print_warnings(&lines);
    }

    fn print_warnings(&self, lines: &[String]) {
        for line in lines {
            match &*self.view {
                View::Screen(screen) => screen.line(&out::styled_warning(line)),
                View::Lines(_) | View::Quiet | View::Json => out::warning(line),
            }
        }
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        // Text for people stays usable after a panic elsewhere.
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One line of JSON. Without a reader the run would go on for ever, seen by nobody.
    fn json(&self, value: &serde_json::Value) {
        if out::json(value).is_err() {
            self.control.drain();
        }
    }

    /// Takes the bar away, or prints the last line of progress.
    pub fn stop(&self) {
        let rest = self.repeats().rest();
        self.print_warnings(&rest);
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
            Event::Fenced { task } => {
                (format!("task {task}: another harness took its splits"), true)
            }
            Event::Retrying { task, reason, .. } => {
                (format!("task {task} failed ({reason}); trying again"), true)
            }
            Event::StoreRetry { task, reason, .. } => {
                (format!("task {task}: {reason}; the batch is kept and sent again"), true)
            }
            Event::Started { .. } | Event::Memory { .. } => return None,
            Event::Lag { .. } | Event::Left { .. } => return None,
            Event::Committed(_) | Event::Log { .. } | Event::Waiting { .. } => return None,
        })
    }
}

impl Observer for Report {
    fn event(&self, event: &Event) {
        let is_back = self.tally.add(event, Instant::now());
        if matches!(*self.view, View::Json) {
            let hidden = match event {
                Event::Log { level, .. } => !self.verbosity.shows(level),
                // Every second, of every task: the catalogue has them for those who ask.
                Event::Memory { .. } | Event::Lag { .. } | Event::Left { .. } => true,
                _ => false,
            };
            if !hidden {
                self.json(&json::event(event, self.tally.elapsed()));
            }
            return;
        }
        if is_back {
            self.note("the source is back");
        }
        match self.text(event) {
            // The pause grows from try to try: the same trouble is the same warning.
            Some((text, true)) => match pause(event) {
                Some(pause) => self.warn_as(&text, &format!("{text} {}", format::after(pause))),
                None => self.warn(&text),
            },
            Some((text, false)) => self.note(&text),
            None => {}
        }
    }
}

/// How long is waited before another try.
fn pause(event: &Event) -> Option<Duration> {
    match event {
        Event::Retrying { pause, .. } | Event::StoreRetry { pause, .. } => Some(*pause),
        Event::Discovered { .. }
        | Event::Committed(_)
        | Event::Warning(_)
        | Event::Log { .. }
        | Event::Fenced { .. }
        | Event::Started { .. }
        | Event::Memory { .. }
        | Event::Lag { .. }
        | Event::Left { .. }
        | Event::Waiting { .. } => None,
    }
}
