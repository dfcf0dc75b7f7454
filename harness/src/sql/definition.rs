//! What the catalogue keeps of a pipeline that was created by SQL, and the plan that comes of it.
//!
//! May touch: the secrets' file, and what a plan touches. Invariants: a definition holds no secret, only
//! references to them; the plan is made by the same code as that of a pipeline file.

mod binding;

use std::time::Duration;

use protocol::message::Object;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{SqlError, Syntax};
use super::secrets::Secrets;
use super::statement::{Clauses, Json, Load, RetryOptions, SourceWord, Update};
use super::variables::{self, Values};
use crate::pipeline::{
    self, Document, Entry, Overrides, Place, REDACTED, Surroundings, is_open, is_reference,
};
use crate::run::{OnError, Pauses, Plan, Until};
use crate::store::Dialect;

/// The form of the text that the catalogue keeps.
const VERSION: u32 = 1;

/// The documented default of `pipelines_batch_interval`, from which the first pause of RETRY_OPTIONS comes.
const BATCH_INTERVAL_MS_DEFAULT: u64 = 2500;

/// A pipeline as it was created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    version: u32,
    source: SourceWord,
    target: String,
    is_inferred: bool,
    config: Object,
    credentials: Object,
    /// The file that the references of secrets name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secrets_file: Option<String>,
    pub(crate) clauses: Clauses,
}

/// What a plan needs beside the definition.
pub(crate) struct Needs<'a> {
    pub(crate) name: &'a str,
    pub(crate) table: &'a str,
    pub(crate) overrides: Overrides,
    pub(crate) values: &'a Values,
    pub(crate) surroundings: &'a Surroundings<'a>,
}

impl Definition {
    /// Of a statement; its secrets go to `secrets`.
    ///
    /// # Errors
    /// CONFIG or CREDENTIALS is no JSON object, with its place in the script.
    pub(crate) fn of(
        load: &Load,
        is_inferred: bool,
        secrets: &mut Secrets,
        surroundings: &Surroundings<'_>,
        shown: &dyn Fn(Syntax) -> SqlError,
    ) -> Result<Self, SqlError> {
        let read = |json: &Option<Json>| json.as_ref().map_or(Ok(Vec::new()), entries);
        let config = read(&load.config).map_err(shown)?;
        let credentials = read(&load.credentials).map_err(shown)?;
        let path = "CONFIG and CREDENTIALS".to_owned();
        let document = Document { path, config, credentials, own_secrets: None };
        let document = document.resolved(surroundings.env)?;
        let (config, credentials) = kept(&document, None, secrets);
        Ok(Self {
            version: VERSION,
            source: load.source,
            target: load.target.clone(),
            is_inferred,
            config,
            credentials,
            secrets_file: None,
            clauses: load.clauses.clone(),
        })
    }

    /// With other CONFIG and CREDENTIALS; every secret goes to `secrets`, those of its old file too.
    ///
    /// # Errors
    /// As [`Self::of`]; or it would read another kind of source, whose offsets mean something else.
    pub(crate) fn updated(
        &self,
        config: &[&Update],
        credentials: &[&Update],
        secrets: &mut Secrets,
        surroundings: &Surroundings<'_>,
        shown: &dyn Fn(Syntax) -> SqlError,
    ) -> Result<Self, SqlError> {
        let document = Document {
            path: "CONFIG and CREDENTIALS".to_owned(),
            config: merged(&self.config, config).map_err(shown)?,
            credentials: merged(&self.credentials, credentials).map_err(shown)?,
            own_secrets: self.own_secrets(),
        }
        .resolved(surroundings.env)?;
        let (config, credentials) = kept(&document, self.secrets_file.as_deref(), secrets);
        let class = |config: &Object| config.get("connector.class").cloned();
        if class(&config) != class(&self.config) {
            return Err(SqlError::refused(
                "connector.class cannot be altered: the offsets would mean something else; CREATE OR REPLACE \
                 PIPELINE makes another pipeline",
            ));
        }
        Ok(Self { config, credentials, secrets_file: None, ..self.clone() })
    }

    /// What CONFIG and CREDENTIALS hold.
    pub(super) fn config_and_credentials(&self) -> [&Object; 2] {
        [&self.config, &self.credentials]
    }

    /// What LOAD DATA names.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// Whether CONFIG, and whether CREDENTIALS, hold secrets that are kept in the file.
    pub(super) fn has_kept(&self) -> [bool; 2] {
        let is_kept = |value: &Value| value.as_str().is_some_and(|text| self.is_kept(text));
        self.config_and_credentials().map(|all| all.values().any(is_kept))
    }

    /// Reads what the catalogue keeps.
    ///
    /// # Errors
    /// It is of a newer program.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, SqlError> {
        let read: Result<Self, _> = serde_json::from_str(text);
        read.ok().filter(|it| it.version == VERSION).ok_or_else(|| {
            SqlError::refused(format!(
                "the definition of pipeline {name} is of a newer program; install that"
            ))
        })
    }

    /// As the catalogue keeps it.
    pub(crate) fn text(&self) -> String {
        // Maps with text keys always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The plan of a run.
    ///
    /// # Errors
    /// A value cannot work, a reference stands for nothing, or there is no extractor.
    pub(crate) fn plan(&self, needs: Needs<'_>) -> Result<Plan, SqlError> {
        let mut document = self.document(needs.name)?.resolved(needs.surroundings.env)?;
        // A name is what it is: no reference is read in it.
        document.config.push(own("name", needs.name));
        let has = |name: &str| {
            let is_key =
                |entry: &Entry| pipeline::key(name).is_some_and(|it| it.is_called(&entry.key));
            document.config.iter().any(is_key)
        };
        // A clause wins over CONFIG, CONFIG over a variable, a variable over the default.
        let variable = |key: &str, name: &str| {
            if has(key) { None } else { needs.values.number(name) }
        };
        // A bounded run ends by itself.
        let until = match needs.overrides.until {
            Some(Until::CaughtUp) if has("end") => Some(Until::Stopped),
            until => until,
        };
        let clauses = &self.clauses;
        let stop = match (clauses.stop_on_error, has("errors.tolerance")) {
            (Some(stop), _) => Some(stop),
            (None, true) => None,
            (None, false) => needs.values.set(variables::STOP_ON_ERROR).map(|text| text == "ON"),
        };
        let overrides = Overrides {
            table: Some(needs.table.to_owned()),
            batch_rows: variable("batch.rows", variables::BATCH_SIZE),
            batch_interval_ms: clauses
                .batch_interval
                .or_else(|| variable("batch.interval.ms", variables::BATCH_INTERVAL)),
            retries: clauses
                .retry_options
                .and_then(|options| options.max_retries)
                .or(clauses.max_retries_per_batch_partition)
                .or_else(|| variable("retry.attempts", variables::RETRIES)),
            pauses: clauses.retry_options.map(|options| self.pauses(options, needs.values)),
            on_error: stop
                .filter(|_| !clauses.skip_parser_errors)
                .map(|stop| if stop { OnError::Stop } else { OnError::Skip })
                .or_else(|| clauses.skip_parser_errors.then_some(OnError::Skip)),
            until,
            ..needs.overrides
        };
        let mut plan = pipeline::plan(&document, &overrides, needs.surroundings)?;
        let offsets_max = clauses
            .max_offsets_per_batch_partition
            .or_else(|| needs.values.number(variables::OFFSETS_MAX));
        // A batch of at most so many rows moves no split by more of them.
        plan.limits.rows = plan.limits.rows.min(offsets_max.unwrap_or(u64::MAX));
        if let Some(most) = clauses.max_partitions_per_batch {
            plan.share.tasks = plan.share.tasks.min(u32::try_from(most).unwrap_or(u32::MAX));
        }
        plan.definition = Some(self.text());
        // Blanks at its ends belong to it, too.
        needs.name.clone_into(&mut plan.name);
        Ok(plan)
    }

    /// The pauses of RETRY_OPTIONS with their documented defaults.
    fn pauses(&self, options: RetryOptions, values: &Values) -> Pauses {
        let interval = self.clauses.batch_interval.or_else(|| values.number(variables::INTERVAL));
        let first = options.retry_interval.or(interval).unwrap_or(BATCH_INTERVAL_MS_DEFAULT);
        let longest =
            options.max_retry_interval.unwrap_or_else(|| first.saturating_mul(10)).max(first);
        Pauses {
            first: Duration::from_millis(first),
            longest: Duration::from_millis(longest),
            is_exponential: options.exponential.unwrap_or(true),
        }
    }

    /// The pipeline file of the same content.
    fn document(&self, name: &str) -> Result<Document, SqlError> {
        let entry =
            |(key, value): (&String, &Value)| Entry::new(key.clone(), value.clone(), Place::START);
        let mut config = Vec::new();
        if self.source == SourceWord::Kafka {
            let parts = self.target.rsplit_once('/').filter(|(hosts, topic)| {
                !hosts.is_empty() && !topic.is_empty() && !hosts.contains('/')
            });
            let Some((hosts, topic)) = parts else {
                return Err(SqlError::refused("LOAD DATA KAFKA needs 'host[:port][,…]/topic'"));
            };
            config.extend([
                own("connector.class", "kafka"),
                own("bootstrap.servers", hosts),
                own("topics", topic),
            ]);
        }
        for key in ["name", "table", "store", "leaves"] {
            if self.config.contains_key(key) {
                let text = format!(
                    "{key} does not belong into CONFIG: the statement or the store says it"
                );
                return Err(SqlError::refused(text));
            }
        }
        config.extend(self.config.iter().map(entry));
        let credentials = self.credentials.iter().map(entry).collect();
        let own_secrets = self.own_secrets();
        Ok(Document { path: format!("pipeline {name}"), config, credentials, own_secrets })
    }

    /// The statement that would create it, without its secrets.
    pub(crate) fn create_statement(&self, name: &str, table: &str) -> String {
        let inferred = if self.is_inferred { "INFERRED " } else { "" };
        let name = Dialect::SingleStore.quote(name);
        format!("CREATE {inferred}PIPELINE {name}\nAS {}", self.load_data(table))
    }

    /// `LOAD DATA …`, without its secrets.
    pub(crate) fn load_data(&self, table: &str) -> String {
        let mut lines =
            vec![format!("LOAD DATA {} {}", self.source.as_str(), literal(&self.target))];
        let mut shown = Object::new();
        for (key, value) in &self.config {
            let is_kept = value.as_str().is_some_and(|text| self.is_kept(text));
            let is_shown = is_open(key, value) && !is_kept;
            shown.insert(key.clone(), if is_shown { value.clone() } else { REDACTED.into() });
        }
        lines.push(format!("CONFIG {}", literal(&Value::Object(shown).to_string())));
        if !self.credentials.is_empty() {
            lines.push("CREDENTIALS '<CREDENTIALS REDACTED>'".to_owned());
        }
        let clauses = &self.clauses;
        let mut number = |name: &str, value: Option<u64>| {
            lines.extend(value.map(|value| format!("{name} {value}")));
        };
        number("BATCH_INTERVAL", clauses.batch_interval);
        number("MAX_PARTITIONS_PER_BATCH", clauses.max_partitions_per_batch);
        number("MAX_RETRIES_PER_BATCH_PARTITION", clauses.max_retries_per_batch_partition);
        number("MAX_OFFSETS_PER_BATCH_PARTITION", clauses.max_offsets_per_batch_partition);
        if let Some(options) = &clauses.retry_options {
            // A struct with text keys always serializes.
            let json = serde_json::to_string(options).unwrap_or_default();
            lines.push(format!("RETRY_OPTIONS {}", literal(&json)));
        }
        if clauses.skip_parser_errors {
            lines.push("SKIP PARSER ERRORS".to_owned());
        }
        if let Some(pool) = &clauses.resource_pool {
            lines.push(format!("RESOURCE POOL {}", Dialect::SingleStore.quote(pool)));
        }
        if let Some(stop) = clauses.stop_on_error {
            lines.push(format!("STOP_ON_ERROR {}", if stop { "ON" } else { "OFF" }));
        }
        if !self.is_inferred {
            lines.push(format!("INTO TABLE {}", Dialect::SingleStore.quote(table)));
        }
        lines.push(format!("FORMAT {}", self.source.format()));
        lines.join("\n")
    }

    fn is_kept(&self, text: &str) -> bool {
        self.secrets_file.as_deref().is_some_and(|file| text.contains(file))
    }
}

/// An entry that the statement says, not CONFIG.
fn own(key: &str, value: &str) -> Entry {
    Entry::new(key.to_owned(), Value::from(value), Place::START)
}

/// CONFIG and CREDENTIALS as the catalogue keeps them, secrets as references into the file of `secrets`. What
/// refers to the file `old` is a secret that was kept there.
fn kept(document: &Document, old: Option<&str>, secrets: &mut Secrets) -> (Object, Object) {
    let mut kept = |entry: &Entry, is_credential: bool| {
        let is_secret = !is_open(&entry.key, &entry.written)
            || is_credential
            || document.credentials.iter().any(|other| repeats(other, &entry.written));
        let is_old = |text: &str| old.is_some_and(|file| text.contains(file));
        let value = match &entry.written {
            Value::String(text) if is_old(text) => Value::from(secrets.keep(text_of(&entry.value))),
            Value::String(text) if !is_secret || is_reference(text) => entry.written.clone(),
            _ if !is_secret => entry.written.clone(),
            Value::String(_) => Value::from(secrets.keep(text_of(&entry.value))),
            written => Value::from(secrets.keep(text_of(written))),
        };
        (entry.key.clone(), value)
    };
    let config = document.config.iter().map(|entry| kept(entry, false)).collect();
    let credentials = document.credentials.iter().map(|entry| kept(entry, true)).collect();
    (config, credentials)
}

/// The entries after updates, one after the other.
fn merged(older: &Object, updates: &[&Update]) -> Result<Vec<Entry>, Syntax> {
    let entry =
        |(key, value): (&String, &Value)| Entry::new(key.clone(), value.clone(), Place::START);
    let mut merged: Vec<Entry> = older.iter().map(entry).collect();
    for update in updates {
        match update {
            Update::Whole(json) => merged = entries(json)?,
            Update::Key { key, value } => {
                merged.retain(|entry| entry.key != *key);
                merged.push(Entry::new(key.clone(), Value::from(value.as_str()), Place::START));
            }
        }
    }
    Ok(merged)
}

/// The entries of CONFIG or CREDENTIALS, their places counted in the script.
pub(super) fn entries(json: &Json) -> Result<Vec<Entry>, Syntax> {
    pipeline::entries(&json.text).map_err(|(place, reason)| {
        // The place counts characters of the text, which may be escaped in the script: a byte near it.
        let lines =
            json.text.split_inclusive('\n').take(place.line - 1).map(str::len).sum::<usize>();
        let line = json.text.get(lines..).unwrap_or_default();
        let column: usize = line.chars().take(place.column - 1).map(char::len_utf8).sum();
        Syntax { at: json.at + lines + column, message: reason }
    })
}

/// Whether a value repeats a credential.
fn repeats(credential: &Entry, written: &Value) -> bool {
    let text = credential.value.as_str().filter(|text| text.len() >= 4);
    text.is_some_and(|text| written.to_string().contains(text))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text as a string of SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests;
