//! Why a statement was not run: one line with its place, and the line of the script with a caret.
//!
//! Pure. Invariant: the text between quotes is never shown, because CONFIG and CREDENTIALS stand there.

use std::fmt;

use super::lex::{self, Kind, Rules};
use crate::exit::Exit;
use crate::pipeline::{PipelineError, Place};
use crate::run::RunError;
use crate::store::StoreError;

/// Widest excerpt of a line, characters. Why 100: it fits a terminal beside its number.
const EXCERPT_CHARS_MAX: usize = 100;

/// What is wrong at one place of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Syntax {
    /// The byte of the script.
    pub(crate) at: usize,
    /// What is wrong, what was expected.
    pub(crate) message: String,
}

impl Syntax {
    /// The error as it is shown, of a script with this name.
    pub(crate) fn shown(self, name: &str, script: &str) -> SqlError {
        let place = Place::in_text(script, self.at);
        SqlError::Syntax(Box::new(Shown {
            text: format!("{name}: line {}, column {}: {}", place.line, place.column, self.message),
            excerpt: excerpt(script, place),
        }))
    }
}

/// A syntax error as it is shown.
#[derive(Debug)]
pub struct Shown {
    text: String,
    excerpt: String,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a statement was not run.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// It cannot be understood.
    #[error("{0}")]
    Syntax(Box<Shown>),
    /// Its pipeline cannot work.
    #[error("{0}")]
    Pipeline(#[from] PipelineError),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The run that it asked for.
    #[error("{0}")]
    Run(#[from] RunError),
    /// Something else, with its exit code.
    #[error("{1}")]
    Refused(Exit, String),
}

impl SqlError {
    /// What is asked for cannot be done.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::Refused(Exit::Config, message.into())
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Syntax(_) => Exit::Config,
            Self::Pipeline(error) => error.exit(),
            Self::Store(error) => error.into(),
            Self::Run(error) => error.into(),
            Self::Refused(exit, _) => *exit,
        }
    }

    /// The line of the script and the caret below it.
    pub fn excerpt(&self) -> Option<&str> {
        match self {
            Self::Syntax(shown) => Some(&shown.excerpt),
            Self::Pipeline(_) | Self::Store(_) | Self::Run(_) | Self::Refused(..) => None,
        }
    }
}

/// The line of a place and a caret below its column; a long line is cut around it.
fn excerpt(script: &str, place: Place) -> String {
    let hidden = hide_quoted(script);
    let line = hidden.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    let column = place.column.saturating_sub(1);
    let first = column.saturating_sub(EXCERPT_CHARS_MAX * 3 / 4);
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = line.chars().skip(first).take(EXCERPT_CHARS_MAX).map(visible).collect();
    let number = place.line.to_string();
    let (dots, gap) = if first > 0 { ("…", 1) } else { ("", 0) };
    format!(
        "  {number} | {dots}{shown}\n  {} | {}^",
        " ".repeat(number.len()),
        " ".repeat(column - first + gap)
    )
}

/// The script with every character between quotes as a dot; what begins with a quote that has no end is
/// hidden to the end of the script.
fn hide_quoted(script: &str) -> String {
    let hide = |text: &str| -> String {
        text.chars().map(|c| if matches!(c, '\n' | '\r') { c } else { '·' }).collect()
    };
    let mut shown = String::with_capacity(script.len());
    let mut done = 0;
    let tokens = lex::tokens(script, Rules::Server);
    for token in tokens.iter().filter(|token| token.kind == Kind::Text) {
        let inner = (token.at + 1, token.at + token.text.len().saturating_sub(1));
        shown.push_str(script.get(done..inner.0).unwrap_or_default());
        shown.push_str(&hide(script.get(inner.0..inner.1).unwrap_or_default()));
        done = inner.1;
    }
    let end = tokens.last().map_or(0, |token| token.at + token.text.len()).max(done);
    shown.push_str(script.get(done..end).unwrap_or_default());
    // Behind the last token there is nothing, a comment, or a quote that is not closed.
    let rest = script.get(end..).unwrap_or_default();
    match rest.split_once(['\'', '"']) {
        Some((before, after)) => {
            let quote = rest.get(before.len()..rest.len() - after.len()).unwrap_or_default();
            shown.push_str(before);
            shown.push_str(quote);
            shown.push_str(&hide(after));
        }
        None => shown.push_str(rest),
    }
    shown
}
