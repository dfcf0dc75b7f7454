//! Pipeline files in JSON: Kafka Connect's shape, or one flat object.
//!
//! Touches nothing. Every value keeps its place in the text, so that an error can point at it.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::document::{Document, Entry, Place};

/// Why the text was refused.
pub type Refusal = (Place, String);

/// What a file may look like, for error texts.
const SHAPE: &str = r#"{"name": "…", "config": {…}, "credentials": {…}}, or one flat object"#;

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads the text of a file.
pub(super) fn parse(text: &str) -> Result<Document, Refusal> {
    if text.trim().is_empty() {
        return Err((Place::START, format!("the file is empty; expected {SHAPE}")));
    }
    // The strict reader refuses what the next one would let pass: a key twice, too much depth.
    let value =
        protocol::json::parse(text.as_bytes()).map_err(|error| syntax(&error.to_string()))?;
    if !value.is_object() {
        let place = Place::in_text(text, text.len() - text.trim_start().len());
        return Err((place, format!("expected an object: {SHAPE}")));
    }
    let fields = fields(text)?;
    let mut document = Document::default();
    let is_connect_shape = value.get("config").is_some_and(Value::is_object);
    for (key, raw) in &fields {
        match (key.as_str(), is_connect_shape) {
            ("credentials", _) => {
                document.credentials = object(text, "credentials", raw)?;
            }
            ("config", true) => document.config.extend(object(text, "config", raw)?),
            ("name", true) | (_, false) => document.config.push(entry(text, key, raw)?),
            (other, true) => {
                let known = ["name", "config", "credentials"];
                let near = super::keys::nearest(other, known.into_iter())
                    .map_or_else(String::new, |near| format!("; did you mean {near}?"));
                let reason = format!(
                    "beside config only name and credentials are known, not {other}{near} \
                     (settings go inside config)"
                );
                return Err((place_of_raw(text, raw), reason));
            }
        }
    }
    one_name(&mut document)?;
    Ok(document)
}

/// Reads the text of one flat object, as SQL has it behind CONFIG.
///
/// # Errors
/// It is no JSON object, with the place in the text.
pub fn entries(text: &str) -> Result<Vec<Entry>, Refusal> {
    let value =
        protocol::json::parse(text.as_bytes()).map_err(|error| syntax(&error.to_string()))?;
    if !value.is_object() {
        return Err((Place::START, "expected an object of keys and values".to_owned()));
    }
    fields(text)?.iter().map(|(key, raw)| entry(text, key, raw)).collect()
}

/// Connect's answers repeat the name inside config.
fn one_name(document: &mut Document) -> Result<(), Refusal> {
    let mut names = document.config.iter().filter(|entry| entry.key == "name");
    let (Some(first), Some(second)) = (names.next(), names.next()) else { return Ok(()) };
    if first.written != second.written {
        let reason = "name is given twice and differs; keep one".to_owned();
        return Err((second.place, reason));
    }
    let mut seen = false;
    document.config.retain(|entry| {
        let again = entry.key == "name" && seen;
        seen |= entry.key == "name";
        !again
    });
    Ok(())
}

fn fields(text: &str) -> Result<Fields<'_>, Refusal> {
    serde_json::from_str(text).map_err(|error| syntax(&error.to_string()))
}

fn object(text: &str, name: &str, raw: &RawValue) -> Result<Vec<Entry>, Refusal> {
    let inner: Fields<'_> = serde_json::from_str(raw.get()).map_err(|_| {
        (place_of_raw(text, raw), format!("{name}: expected an object of keys and values"))
    })?;
    inner.iter().map(|(key, raw)| entry(text, key, raw)).collect()
}

fn entry(text: &str, key: &str, raw: &RawValue) -> Result<Entry, Refusal> {
    let place = place_of_raw(text, raw);
    let value: Value =
        serde_json::from_str(raw.get()).map_err(|error| (place, error.to_string()))?;
    Ok(Entry::new(key.to_owned(), value, place))
}

/// The place of a value: `raw` is a slice of `text`.
fn place_of_raw(text: &str, raw: &RawValue) -> Place {
    let at = raw.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
    Place::in_text(text, at)
}

/// Takes the place out of the parser's text, which ends with `at line 3 column 7`.
fn syntax(text: &str) -> Refusal {
    let read = || {
        let (reason, place) = text.rsplit_once(" at line ")?;
        let (line, column) = place.split_once(" column ")?;
        let place = Place { line: line.parse().ok()?, column: column.parse().ok()? };
        Some((place, format!("not valid JSON: {reason}")))
    };
    read().unwrap_or_else(|| (Place::START, format!("not valid JSON: {text}")))
}
