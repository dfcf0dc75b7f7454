//! A pipeline file as it was read: keys with their values and places, nothing decided yet.
//!
//! May touch: the pipeline file. Invariant: `Debug` shows keys and places, never a value.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde_json::Value;

use super::bound::OwnSecrets;
use super::error::PipelineError;
use super::reference::Lookup;
use super::{json, properties, reference};

/// Largest pipeline file. Why 1 MiB: real ones have a few kilobytes; a larger one is another file.
pub const PIPELINE_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place of a byte of a text.
    pub fn in_text(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit_once('\n').map_or(before, |(_, last)| last);
        Self { line, column: last.chars().count() + 1 }
    }
}

/// One key with its value.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value with its references resolved; may be secret.
    pub value: Value,
    /// The value as it was written.
    pub written: Value,
    /// Where it stands.
    pub place: Place,
}

impl Entry {
    /// An entry whose references are not resolved yet.
    pub fn new(key: String, value: Value, place: Place) -> Self {
        Self { key, written: value.clone(), value, place }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.key, self.place.line, self.place.column)
    }
}

/// A pipeline file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The file as it was named, for error texts.
    pub path: String,
    /// The configuration, the harness's own keys among them.
    pub config: Vec<Entry>,
    /// The credentials.
    pub credentials: Vec<Entry>,
    /// The file of secrets that is its own, where SQL made the pipeline.
    pub own_secrets: Option<OwnSecrets>,
}

impl Document {
    /// Reads a file and resolves its references. JSON where the text begins with a brace or the name
    /// ends with `.json`, else `.properties`.
    ///
    /// # Errors
    /// The file cannot be read or understood, or a reference stands for nothing.
    pub fn read(path: &Path, env: Lookup<'_>) -> Result<Self, PipelineError> {
        let shown = path.display().to_string();
        let text = read_text(path, &shown)?;
        Self::parse(&shown, &text, env)
    }

    /// Reads the text of a file that is named `path`.
    ///
    /// # Errors
    /// The text cannot be understood, or a reference stands for nothing.
    pub fn parse(path: &str, text: &str, env: Lookup<'_>) -> Result<Self, PipelineError> {
        let malformed = |place: Place, reason: String| PipelineError::Malformed {
            path: path.to_owned(),
            line: place.line,
            column: place.column,
            reason,
        };
        let is_json = has_extension(path, "json")
            || (!has_extension(path, "properties") && text.trim_start().starts_with(['{', '[']));
        let mut document = if is_json {
            json::parse(text).map_err(|(place, reason)| malformed(place, reason))?
        } else {
            from_properties(text).map_err(|(place, reason)| malformed(place, reason))?
        };
        path.clone_into(&mut document.path);
        document.resolved(env)
    }

    /// The same with the references of its values resolved.
    ///
    /// # Errors
    /// A reference stands for nothing.
    pub fn resolved(mut self, env: Lookup<'_>) -> Result<Self, PipelineError> {
        let own = self.own_secrets.as_ref();
        for entry in self.config.iter_mut().chain(&mut self.credentials) {
            entry.value = reference::resolve(&entry.written, env, own).map_err(|reason| {
                PipelineError::Value {
                    path: self.path.clone(),
                    line: entry.place.line,
                    column: entry.place.column,
                    key: entry.key.clone(),
                    reason,
                }
            })?;
        }
        Ok(self)
    }

    /// The error of a value in this file.
    pub(super) fn wrong(&self, entry: &Entry, reason: impl Into<String>) -> PipelineError {
        PipelineError::Value {
            path: self.path.clone(),
            line: entry.place.line,
            column: entry.place.column,
            key: entry.key.clone(),
            reason: reason.into(),
        }
    }
}

fn has_extension(path: &str, wanted: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found.eq_ignore_ascii_case(wanted))
}

fn from_properties(text: &str) -> Result<Document, json::Refusal> {
    let lines = properties::parse(text).map_err(|error| (error.place, error.reason))?;
    if lines.is_empty() {
        let reason = "the file has no key; expected lines such as name=orders".to_owned();
        return Err((Place::START, reason));
    }
    let entry =
        |line: properties::Line| Entry::new(line.key, Value::String(line.value), line.place);
    Ok(Document { config: lines.into_iter().map(entry).collect(), ..Document::default() })
}

fn read_text(path: &Path, shown: &str) -> Result<String, PipelineError> {
    let unreadable = |reason: String| PipelineError::Unreadable { path: shown.to_owned(), reason };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(PIPELINE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            unreadable(match error.kind() {
                ErrorKind::NotFound => {
                    "it does not exist; name a .json or .properties file".to_owned()
                }
                ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
                ErrorKind::IsADirectory => "it is a folder; name a file in it".to_owned(),
                _ => error.to_string(),
            })
        })?;
    if bytes.len() as u64 > PIPELINE_FILE_BYTES_MAX {
        let reason =
            format!("it is larger than {PIPELINE_FILE_BYTES_MAX} bytes; is it another file?");
        return Err(unreadable(reason));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        PipelineError::Malformed {
            path: shown.to_owned(),
            line,
            column: 1,
            reason: format!("not UTF-8 at byte {at}; save the file as UTF-8"),
        }
    })
}
