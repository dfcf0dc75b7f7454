//! The variables that pipelines are tuned with: names, documented defaults, ranges, and what each does here.
//!
//! Pure. The names and defaults are those of SingleStore's documentation; where a variable is one of the
//! harness's own keys, its range is that key's.

use std::collections::BTreeMap;

use crate::catalogue::{BATCHES_KEPT_DEFAULT, VARIABLE_BATCHES_KEPT};
use crate::pipeline::{self, Kind, nearest};

/// The variable that Kafka Connect pipelines need, and the value that turns them on.
pub(crate) const FEATURES: &str = "experimental_features_config";
/// See [`FEATURES`].
pub(crate) const FEATURES_ON: &str = "kafka_connect_enabled=true";

/// The pause before the first retry where RETRY_OPTIONS does not say it.
pub(crate) const INTERVAL: &str = "pipelines_batch_interval";
pub(crate) const BATCH_SIZE: &str = "pipelines_extractor_batch_size";
pub(crate) const BATCH_INTERVAL: &str = "pipelines_extractor_max_batch_interval_ms";
pub(crate) const RETRIES: &str = "pipelines_max_retries_per_batch_partition";
pub(crate) const OFFSETS_MAX: &str = "pipelines_max_offsets_per_batch_partition";
pub(crate) const STOP_ON_ERROR: &str = "pipelines_stop_on_error";

/// What a variable may be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// ON or OFF.
    Switch,
    /// A whole number from 0.
    Number,
    /// A number in the range of this key of a pipeline file.
    Key(&'static str),
    /// Any text.
    Text,
}

/// One variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    default: &'static str,
    form: Form,
    /// Whether something here reads it.
    pub(crate) is_used: bool,
}

const fn of(name: &'static str, default: &'static str, form: Form, is_used: bool) -> Variable {
    Variable { name, default, form, is_used }
}

/// Every variable, by name.
const VARIABLES: [Variable; 13] = [
    of(FEATURES, "", Form::Text, true),
    of(INTERVAL, "2500", Form::Number, true),
    of(VARIABLE_BATCHES_KEPT, "1000", Form::Number, true),
    of(BATCH_SIZE, "10000", Form::Key("batch.rows"), true),
    of("pipelines_extractor_debug_logging", "OFF", Form::Switch, false),
    of("pipelines_extractor_get_offsets_timeout_ms", "10000", Form::Number, false),
    of(BATCH_INTERVAL, "1000", Form::Key("batch.interval.ms"), true),
    of("pipelines_kafka_version", "0.8.2.2", Form::Text, false),
    of("pipelines_max_errors_per_partition", "1000", Form::Number, false),
    of(OFFSETS_MAX, "1000000", Form::Key("batch.rows"), true),
    of(RETRIES, "4", Form::Key("retry.attempts"), true),
    of("pipelines_stderr_bufsize", "65535", Form::Number, false),
    of(STOP_ON_ERROR, "ON", Form::Switch, true),
];

const _: () = assert!(BATCHES_KEPT_DEFAULT == 1000);

/// Whether `SET GLOBAL` of this name is the harness's: one of the table, or one that looks like it.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with("pipelines_") || find(name).is_some()
}

fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name.eq_ignore_ascii_case(name))
}

/// The variable of that name.
///
/// # Errors
/// There is none; the nearest one is named.
pub(crate) fn known(name: &str) -> Result<&'static Variable, String> {
    find(name).ok_or_else(|| {
        let names = VARIABLES.iter().map(|variable| variable.name);
        let near = nearest(&name.to_ascii_lowercase(), names);
        let hint = near.map_or_else(
            || "SHOW VARIABLES LIKE 'pipelines%' lists them".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        format!("there is no variable {name}; {hint}")
    })
}

impl Variable {
    /// The value as it is kept.
    ///
    /// # Errors
    /// What was expected instead.
    pub(crate) fn checked(&self, value: &str) -> Result<String, String> {
        let expected = |what: &str| format!("{}: expected {what}", self.name);
        match self.form {
            Form::Text => Ok(value.to_owned()),
            Form::Switch => match value.to_ascii_uppercase().as_str() {
                "ON" | "TRUE" | "1" => Ok("ON".to_owned()),
                "OFF" | "FALSE" | "0" => Ok("OFF".to_owned()),
                _ => Err(expected("ON or OFF")),
            },
            Form::Number => number(value, 0, u64::MAX).ok_or_else(|| expected("a whole number")),
            Form::Key(key) => {
                let Some(Kind::Number { min, max, .. }) = pipeline::key(key).map(|key| key.kind)
                else {
                    return Err(expected("another variable"));
                };
                let what = format!("a whole number from {min} to {max}");
                number(value, min, max).ok_or_else(|| expected(&what))
            }
        }
    }
}

fn number(text: &str, min: u64, max: u64) -> Option<String> {
    let number = text.parse::<u64>().ok()?;
    (min..=max).contains(&number).then(|| number.to_string())
}

/// The values that hold: those that were set, over the defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(BTreeMap<String, String>);

impl Values {
    /// Of the pairs that the catalogue holds.
    pub(crate) fn of(set: Vec<(String, String)>) -> Self {
        Self(set.into_iter().collect())
    }

    /// The value that was set.
    pub(crate) fn set(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The number that was set.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.set(name).and_then(|text| text.parse().ok())
    }

    /// Whether Kafka Connect pipelines are turned on.
    pub(crate) fn has_kafka_connect(&self) -> bool {
        self.set(FEATURES).is_some_and(|text| {
            let wanted = |word: &str| word.trim().eq_ignore_ascii_case(FEATURES_ON);
            text.split([',', ';']).any(wanted)
        })
    }

    /// Names and values whose name is like the pattern, by name; all of them without one.
    pub(crate) fn like(&self, pattern: Option<&str>) -> Vec<(&'static str, String)> {
        let fits = |name: &str| pattern.is_none_or(|pattern| is_like(name, pattern));
        VARIABLES
            .iter()
            .filter(|variable| fits(variable.name))
            .map(|it| (it.name, self.set(it.name).unwrap_or(it.default).to_owned()))
            .collect()
    }
}

/// SQL's LIKE without regard to case: `%` is any text, `_` any character, a backslash takes the next one as it
/// is.
fn is_like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_ascii_lowercase().chars().collect();
    // Which beginnings of the text the pattern so far fits, by their length.
    let mut fits = vec![false; text.len() + 1];
    if let Some(first) = fits.first_mut() {
        *first = true;
    }
    let lower = pattern.to_ascii_lowercase();
    let mut pattern = lower.chars();
    while let Some(c) = pattern.next() {
        let (wanted, is_any) = match c {
            '%' => {
                let mut seen = false;
                for fit in &mut fits {
                    seen |= *fit;
                    *fit = seen;
                }
                continue;
            }
            '_' => ('_', true),
            '\\' => (pattern.next().unwrap_or('\\'), false),
            c => (c, false),
        };
        let longer =
            fits.iter().zip(&text).map(|(fit, found)| *fit && (is_any || *found == wanted));
        fits = std::iter::once(false).chain(longer).collect();
    }
    fits.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests;
