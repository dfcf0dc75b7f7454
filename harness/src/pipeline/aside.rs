//! What becomes of records that are put aside, by the names that Kafka Connect and SingleStore's sink give the
//! settings.
//!
//! Touches nothing. Invariant: a setting that would mean nothing is refused with its place.

use serde_json::Value;

use super::document::Entry;
use super::error::PipelineError;
use super::plan::Reader;
use crate::deadletter::{CLIENT_SETTINGS, DeadLetters};
use crate::run::{Aside, OnError};

/// Settings of the producer, by the client's names.
pub(super) const CLIENT: &str = "producer.override.";

const TOPIC: &str = "errors.deadletterqueue.topic.name";
const SERVERS: &str = "errors.deadletterqueue.bootstrap.servers";
const CONTEXT: &str = "errors.deadletterqueue.context.headers.enable";
/// Keys of the Kafka source: its servers, and the topics that it reads.
const SOURCE_SERVERS: [&str; 2] = ["bootstrap.servers", "properties.bootstrap.servers"];
pub(super) const SOURCE_TOPICS: [&str; 2] = ["topics", "kafka.topic"];

const LOG: &str = "errors.log.enable";
const MODE: &str = "runtime.error.mode";

impl Reader<'_> {
    /// What becomes of records that are put aside.
    pub(super) fn aside(&self, on_error: OnError) -> Result<Aside, PipelineError> {
        let mode = self.text(MODE)?.map(|mode| mode.to_ascii_lowercase());
        let topic = self.text(TOPIC)?;
        match (mode.as_deref(), &topic) {
            (Some("kafka"), None) => {
                let reason = "Kafka bootstrap servers and topic cannot be null when runtime error mode is \
                              KAFKA";
                return Err(self.wrong(MODE, reason));
            }
            (Some("ignore" | "table" | "tablestore"), Some(_)) => {
                return Err(
                    self.wrong(TOPIC, "no record would go there: set runtime.error.mode=kafka")
                );
            }
            (None | Some("kafka" | "ignore" | "table" | "tablestore"), _) => {}
            (Some(_), _) => return Err(self.unexpected(MODE, "ignore, table, tablestore or kafka")),
        }
        let is_logged = self.flag(LOG, false)?;
        self.flag("errors.log.include.messages", false)?
            .then(|| {
                self.wrong("errors.log.include.messages", "records are in no log; set it to false")
            })
            .map_or(Ok(()), Err)?;
        if on_error == OnError::Stop {
            let own =
                [MODE, TOPIC, LOG].into_iter().find(|name| matches!(self.entry(name), Ok(Some(_))));
            if let Some(name) = own {
                let reason = "it means nothing while bad records stop the pipeline; set errors.tolerance=all";
                return Err(self.wrong(name, reason));
            }
        }
        let letters = match topic {
            Some(topic) => Some(self.letters(topic)?),
            None => self.require_no_letters().map(|()| None)?,
        };
        Ok(Aside { letters, is_logged })
    }

    fn letters(&self, topic: String) -> Result<DeadLetters, PipelineError> {
        let of_source =
            |keys: [&str; 2]| self.document.config.iter().find(|entry| keys.contains(&&*entry.key));
        let own = of_source(SOURCE_SERVERS).and_then(|entry| entry.value.as_str());
        let servers = match (self.text(SERVERS)?, own) {
            (Some(servers), _) => servers,
            (None, Some(servers)) => servers.trim().to_owned(),
            (None, None) => {
                let reason = "Kafka bootstrap servers and topic cannot be null when runtime error mode is \
                              KAFKA: add errors.deadletterqueue.bootstrap.servers";
                return Err(self.wrong(TOPIC, reason));
            }
        };
        let is_own =
            own.is_some_and(|own| names(&servers).any(|it| names(own).any(|own| own == it)));
        // What a pattern matches, the source says when it is asked for its splits.
        let read = of_source(SOURCE_TOPICS).and_then(|entry| entry.value.as_str());
        if is_own && read.is_some_and(|read| names(read).any(|it| it == topic)) {
            return Err(self.wrong(TOPIC, "the pipeline reads this topic itself; name another one"));
        }
        let client = self.client_settings().map(|entry| client_setting(self, entry));
        Ok(DeadLetters {
            topic,
            servers,
            client: client.collect::<Result<_, _>>()?,
            has_context: self.flag(CONTEXT, true)?,
            is_own,
        })
    }

    fn client_settings(&self) -> impl Iterator<Item = &Entry> {
        let all = self.document.config.iter().chain(&self.document.credentials);
        all.filter(|entry| entry.key.starts_with(CLIENT))
    }

    /// Refuses settings of a topic that is not named.
    fn require_no_letters(&self) -> Result<(), PipelineError> {
        let reason = "it means nothing without errors.deadletterqueue.topic.name";
        for name in [SERVERS, CONTEXT] {
            if self.entry(name)?.is_some() {
                return Err(self.wrong(name, reason));
            }
        }
        self.client_settings()
            .next()
            .map_or(Ok(()), |entry| Err(self.document.wrong(entry, reason)))
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, PipelineError> {
        match self.text(name)?.as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(self.unexpected(name, "true or false")),
        }
    }

    /// The error of one of the harness's own keys at its place.
    pub(super) fn wrong(&self, name: &str, reason: &str) -> PipelineError {
        match self.entry(name) {
            Ok(Some(entry)) => self.document.wrong(entry, reason),
            Ok(None) | Err(_) => self.unexpected(name, reason),
        }
    }
}

/// Names with commas between them.
pub(super) fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

fn client_setting(reader: &Reader<'_>, entry: &Entry) -> Result<(String, String), PipelineError> {
    let name = entry.key.strip_prefix(CLIENT).unwrap_or_default();
    if !CLIENT_SETTINGS.contains(&name) {
        let reason = format!("the producer takes {} only", CLIENT_SETTINGS.join(", "));
        return Err(reader.document.wrong(entry, reason));
    }
    match &entry.value {
        Value::String(text) => Ok((name.to_owned(), text.clone())),
        Value::Number(number) => Ok((name.to_owned(), number.to_string())),
        Value::Bool(flag) => Ok((name.to_owned(), flag.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(reader.document.wrong(entry, "expected text"))
        }
    }
}
