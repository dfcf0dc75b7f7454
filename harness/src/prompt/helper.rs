//! What the line editor asks: is this a whole statement, and how could this word go on?
//!
//! Pure. Invariant: a statement is whole by the same rules that split scripts.

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Result};

use crate::sql;
use crate::store::StoreUrl;

/// Words that pipeline statements are made of.
const WORDS: [&str; 60] = [
    "ALL",
    "ALTER",
    "AND",
    "AS",
    "AVRO",
    "BATCHES",
    "BATCH_INTERVAL",
    "CLEAR",
    "CONFIG",
    "CONNECTOR",
    "COUNT",
    "CREATE",
    "CREDENTIALS",
    "DATA",
    "DELETE",
    "DROP",
    "EARLIEST",
    "ERRORS",
    "EXISTS",
    "FAILED",
    "FOREGROUND",
    "FORMAT",
    "FROM",
    "GLOBAL",
    "GROUP",
    "IF",
    "INFER",
    "INFERRED",
    "INSERT",
    "INTO",
    "JSON",
    "KAFKA",
    "KAFKACONNECT",
    "LATEST",
    "LIKE",
    "LIMIT",
    "LOAD",
    "NOT",
    "OFFSETS",
    "ORDER",
    "PIPELINE",
    "PIPELINES",
    "REPLACE",
    "RUNNING",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "STOP",
    "STOP_ON_ERROR",
    "TABLE",
    "TEST",
    "TIMESTAMP",
    "UPDATE",
    "VALUES",
    "VARIABLES",
    "WHERE",
    "information_schema.PIPELINES",
    "information_schema.PIPELINES_ERRORS",
    "information_schema.PIPELINES_SOURCE_OFFSETS",
];

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Nothing,
    Leave,
    Help,
    Statements,
}

/// What a text is.
pub(super) fn input(text: &str, url: &StoreUrl) -> Input {
    let bare = text.trim().trim_end_matches(';').trim_end();
    match bare.to_ascii_lowercase().as_str() {
        "" => Input::Nothing,
        "\\q" | "exit" | "quit" => Input::Leave,
        "\\?" | "\\h" | "help" => Input::Help,
        _ => match sql::split("statement", text, url) {
            // Nothing but a comment.
            Ok(pieces) if pieces.is_empty() => Input::Nothing,
            Ok(_) | Err(_) => Input::Statements,
        },
    }
}

/// What the editor knows.
pub(super) struct Helper {
    url: StoreUrl,
    /// Names of pipelines, as of the last pipeline statement.
    pub(super) pipelines: Vec<String>,
}

impl Helper {
    pub(super) fn new(url: StoreUrl) -> Self {
        Self { url, pipelines: Vec::new() }
    }
}

impl rustyline::Helper for Helper {}
impl Highlighter for Helper {}
impl Hinter for Helper {
    type Hint = String;
}

impl Validator for Helper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        let text = context.input();
        let is_whole =
            input(text, &self.url) != Input::Statements || !sql::is_open(text, &self.url);
        Ok(if is_whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        Ok(candidates(line, at, &self.pipelines))
    }
}

/// Where the word before `at` begins, and how it could go on.
fn candidates(line: &str, at: usize, pipelines: &[String]) -> (usize, Vec<Pair>) {
    let before = line.get(..at).unwrap_or_default();
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let word = before.rsplit(|c| !is_part(c)).next().unwrap_or_default();
    let from = at - word.len();
    if word.is_empty() {
        return (from, Vec::new());
    }
    let starts =
        |text: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let words = WORDS.iter().copied().filter(|it| starts(it));
    let names = pipelines.iter().map(String::as_str).filter(|it| starts(it));
    let pair = |text: &str| Pair { display: text.to_owned(), replacement: text.to_owned() };
    (from, names.chain(words).map(pair).collect())
}

#[cfg(test)]
mod tests;
