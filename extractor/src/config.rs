//! The settings of a source: CONFIG and CREDENTIALS as flat maps of texts. Pure.
//!
//! Each value remembers whether it is a secret. No error text, no `Debug` output and no listing of
//! this module holds a secret value.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use protocol::{Code, Failure};
use serde_json::{Map, Value};

/// Bytes of one value that an error text quotes.
const QUOTED_BYTES_MAX: usize = 64;

/// Stands in for a secret value wherever settings are shown.
const REDACTED: &str = "***";

/// Where a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Config,
    Credentials,
}

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    text: String,
    origin: Origin,
    secret: bool,
}

/// A key that no part of the extractor reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The key as given.
    pub key: String,
    /// The known key that looks most like it.
    pub nearest: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.nearest {
            Some(nearest) => write!(f, "{} (did you mean {nearest}?)", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// CONFIG and CREDENTIALS merged; CREDENTIALS wins.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    entries: BTreeMap<String, Entry>,
}

/// Keys whose value is documented as an object; its JSON text is taken as well.
const OBJECT_KEYS: [&str; 4] =
    ["key.avro.schema", "kinesis.position.sequence.numbers", "spoof.dns", "value.avro.schema"];

impl Settings {
    /// Merges both maps. Strings, numbers and booleans are taken as text, and an object under a key
    /// that is documented as one as its JSON text.
    ///
    /// # Errors
    /// A value of another kind, named by `detail.pointer`.
    pub fn from_maps(
        config: &Map<String, Value>,
        credentials: &Map<String, Value>,
    ) -> Result<Self, Failure> {
        let mut settings = Self::default();
        settings.insert_all(config, Origin::Config)?;
        settings.insert_all(credentials, Origin::Credentials)?;
        Ok(settings)
    }

    /// These settings with other CREDENTIALS: keys that only the old ones had are gone.
    pub fn with_credentials(&self, credentials: &Map<String, Value>) -> Result<Self, Failure> {
        let mut settings = self.clone();
        settings.entries.retain(|_, entry| entry.origin == Origin::Config);
        settings.insert_all(credentials, Origin::Credentials)?;
        Ok(settings)
    }

    fn insert_all(&mut self, map: &Map<String, Value>, origin: Origin) -> Result<(), Failure> {
        for (key, value) in map {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Object(_) if OBJECT_KEYS.contains(&key.as_str()) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    let pointer = pointer(origin, key);
                    let text = format!(
                        "{key}: must be a string, a number or a boolean, not {}",
                        kind_of(value)
                    );
                    return Err(Failure::new(Code::ConfigInvalid, text)
                        .with("pointer", pointer)
                        .fatal());
                }
            };
            let secret = origin == Origin::Credentials || is_secret_key(key);
            self.entries.insert(key.clone(), Entry { text, origin, secret });
        }
        Ok(())
    }

    /// The value of `key`, without spaces around it; an empty value counts as absent.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.text.trim()).filter(|text| !text.is_empty())
    }

    /// The value of the first of `keys` that is set, with its key.
    ///
    /// # Errors
    /// Two of them are set to different values.
    pub fn text_of_any<'a>(
        &'a self,
        keys: &[&'static str],
    ) -> Result<Option<(&'static str, &'a str)>, Failure> {
        let mut found: Option<(&'static str, &str)> = None;
        for key in keys {
            match (found, self.text(key)) {
                (Some((first, text)), Some(other)) if text != other => {
                    return Err(self.invalid(key, &format!("{first} is set to another value")));
                }
                (None, Some(text)) => found = Some((key, text)),
                _ => {}
            }
        }
        Ok(found)
    }

    /// A boolean.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, Failure> {
        self.choice(key, &[("true", true), ("false", false)], default)
    }

    /// One of a list of words.
    pub fn choice<T: Copy>(
        &self,
        key: &str,
        allowed: &[(&str, T)],
        default: T,
    ) -> Result<T, Failure> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let known = allowed.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        known.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = allowed.iter().map(|(word, _)| *word).collect();
            self.invalid(key, &format!("allowed: {}", words.join(", ")))
        })
    }

    /// A whole number within `range`.
    pub fn number(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, Failure> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let parsed = text.parse::<u64>().ok().filter(|number| range.contains(number));
        parsed.ok_or_else(|| {
            let text = format!("allowed: a whole number from {} to {}", range.start(), range.end());
            self.invalid(key, &text)
        })
    }

    /// All settings whose key starts with `prefix`, without it.
    pub fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        self.entries.iter().filter_map(move |(key, entry)| {
            key.strip_prefix(prefix).map(|rest| (rest, entry.text.as_str()))
        })
    }

    /// The failure of an unusable value; it quotes the value unless that is a secret.
    pub fn invalid(&self, key: &str, reason: &str) -> Failure {
        let entry = self.entries.get(key);
        let value = match entry {
            Some(entry) if entry.secret => format!(" = {REDACTED}"),
            Some(entry) => format!(" = {:?}", quoted(&entry.text)),
            None => String::new(),
        };
        let origin = entry.map_or(Origin::Config, |entry| entry.origin);
        Failure::new(Code::ConfigInvalid, format!("{key}{value}: {reason}"))
            .with("pointer", pointer(origin, key))
            .fatal()
    }

    /// The failure of a key that cannot be served whatever its value is, which it does not quote.
    pub fn unsupported(&self, key: &str, reason: &str) -> Failure {
        let origin = self.entries.get(key).map_or(Origin::Config, |entry| entry.origin);
        Failure::new(Code::ConfigInvalid, format!("{key}: {reason}"))
            .with("pointer", pointer(origin, key))
            .fatal()
    }

    /// The failure of a missing value.
    pub fn missing(key: &str, what: &str) -> Failure {
        Failure::new(Code::ConfigMissing, format!("{key} is missing: {what}"))
            .with("pointer", pointer(Origin::Config, key))
            .fatal()
    }

    /// Keys that are neither in `known` nor start with one of `prefixes`.
    pub fn unknown(&self, known: &[&str], prefixes: &[&str]) -> Vec<Unknown> {
        let is_known = |key: &str| {
            known.contains(&key) || prefixes.iter().any(|prefix| key.starts_with(prefix))
        };
        let unknown = self.entries.keys().filter(|key| !is_known(key));
        unknown.map(|key| Unknown { key: key.clone(), nearest: nearest(key, known) }).collect()
    }

    /// Every secret value, for whoever writes logs and errors.
    pub fn secrets(&self) -> Vec<&str> {
        let secrets = self.entries.values().filter(|entry| entry.secret && !entry.text.is_empty());
        secrets.map(|entry| entry.text.as_str()).collect()
    }

    /// All settings with secret values replaced, as CONFIGURED shows them.
    pub fn redacted(&self) -> Map<String, Value> {
        let shown =
            |entry: &Entry| Value::from(if entry.secret { REDACTED } else { entry.text.as_str() });
        self.entries.iter().map(|(key, entry)| (key.clone(), shown(entry))).collect()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .entries
            .iter()
            .map(|(key, entry)| (key, if entry.secret { REDACTED } else { entry.text.as_str() }));
        f.debug_map().entries(shown).finish()
    }
}

/// Whether a key of CONFIG names a secret by the way it is called. The harness has the same rule.
pub fn is_secret_key(key: &str) -> bool {
    const PARTS: [&str; 7] =
        ["secret", "password", "passphrase", "token", "sasl.jaas", "credential", "user.info"];
    let key = key.to_ascii_lowercase();
    PARTS.iter().any(|part| key.contains(part)) || key.ends_with("key") || key.ends_with(".pem")
}

/// The known word nearest to `word`, if one is near enough to be a slip.
pub fn nearest(word: &str, known: &[&str]) -> Option<String> {
    /// Why 0.8: it accepts a swapped or a missing letter and refuses another word.
    const SIMILARITY_MIN: f64 = 0.8;
    let scored = known.iter().map(|candidate| (strsim::jaro_winkler(word, candidate), *candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= SIMILARITY_MIN).then(|| best.1.to_owned())
}

/// A missing key that stands there mistyped is told as that.
pub fn mistyped(failure: Failure, unknown: &[Unknown]) -> Failure {
    let missing = |near: &str| failure.message.starts_with(near);
    let typed = unknown.iter().find(|it| it.nearest.as_deref().is_some_and(missing));
    match typed {
        Some(Unknown { key, nearest: Some(near) }) if failure.code == Code::ConfigMissing => {
            let text = format!("unknown key {key:?}, did you mean {near:?}? {}", failure.message);
            Failure { message: text, ..failure }
        }
        _ => failure,
    }
}

fn pointer(origin: Origin, key: &str) -> String {
    let map = match origin {
        Origin::Config => "config",
        Origin::Credentials => "credentials",
    };
    format!("/{map}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn quoted(text: &str) -> &str {
    text.get(..text.floor_char_boundary(QUOTED_BYTES_MAX)).unwrap_or_default()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
