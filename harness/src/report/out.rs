//! The one place of the harness that writes to stdout and stderr.
//!
//! Touches: stdout, stderr. Invariant: a reader that went away (`harness sql … | head`) is an error
//! for the caller, never a panic.

use std::io::{self, Write};

use console::style;
use serde_json::Value;

/// One line of results.
///
/// # Errors
/// Stdout cannot be written.
pub fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// One JSON value as a line of results.
///
/// # Errors
/// Stdout cannot be written.
pub fn json(value: &Value) -> io::Result<()> {
    line(&value.to_string())
}

/// One JSON value where something else is about to end the program.
pub fn json_or_drop(value: &Value) {
    drop(json(value));
}

/// One line of progress.
pub fn note(text: &str) {
    to_stderr(text);
}

/// A warning.
pub fn warning(text: &str) {
    to_stderr(&styled_warning(text));
}

/// A warning as it is shown, coloured where stderr is a terminal and `NO_COLOR` is not set.
pub(super) fn styled_warning(text: &str) -> String {
    format!("{} {}", style("warning:").yellow().bold().for_stderr(), one_line(text))
}

/// An error, and what may help where that says something else.
pub fn error(text: &str, hint: Option<&str>) {
    to_stderr(&format!("{} {}", style("error:").red().bold().for_stderr(), one_line(text)));
    if let Some(hint) = hint {
        to_stderr(&format!("{} {}", style("hint:").cyan().bold().for_stderr(), one_line(hint)));
    }
}

/// The width of the terminal that stdout is, if it is one.
pub fn stdout_width() -> Option<usize> {
    let term = console::Term::stdout();
    if !term.is_term() {
        return None;
    }
    term.size_checked().map(|(_, columns)| usize::from(columns))
}

/// Text of others cannot move the cursor or begin a line of its own.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn to_stderr(text: &str) {
    // There is nowhere left to report a stderr that is closed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}
