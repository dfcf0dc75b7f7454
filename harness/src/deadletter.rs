//! Records that were put aside, on their way to a Kafka topic: key, value and headers as they were received, and why
//! in further headers, by the names that Kafka Connect gives them.
//!
//! Pure but for [`Producer`], which alone knows the Kafka client. Invariant: a letter that the topic has not
//! acknowledged is an error, so that the batch which moves past its record is not committed (EXACTLY-ONCE E8:
//! at least once).

mod producer;

use std::fmt;

use protocol::OffsetKey;
use protocol::limits::PARTS_LEFT_OUT;
use serde_json::Value;

pub(crate) use producer::PUT_WITHIN;
pub use producer::Producer;

/// Settings of the producer that may be given as `producer.override.…`, by the client's names. None of them names
/// a file or a program of this machine.
pub const CLIENT_SETTINGS: [&str; 13] = [
    "client.id",
    "compression.type",
    "enable.ssl.certificate.verification",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.pem",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.password",
    "ssl.key.pem",
];

/// Where they go.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DeadLetters {
    /// The topic.
    pub topic: String,
    /// `host:port`, separated by commas.
    pub servers: String,
    /// Settings of the client; may hold secrets.
    pub client: Vec<(String, String)>,
    /// Whether headers say why.
    pub has_context: bool,
    /// Whether the pipeline's source is on one of these servers.
    pub is_own: bool,
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl DeadLetters {
    /// Whether a split is of the very topic that they go to: each letter would become a record of it again.
    pub(crate) fn is_fed_by(&self, split: &OffsetKey) -> bool {
        self.is_own && split.to_map().get("topic").and_then(Value::as_str) == Some(&self.topic)
    }
}

/// A header: its name, and its value unless that is null.
pub type Header = (String, Option<Vec<u8>>);

/// A record as it was received, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letter {
    /// The KEY of its split.
    pub split: String,
    /// Its place there: a VALUE.
    pub position: String,
    /// Its key, unless that is null.
    pub key: Option<Vec<u8>>,
    /// Its value, unless that is null.
    pub value: Option<Vec<u8>>,
    /// Its own headers, in order.
    pub headers: Vec<Header>,
    /// A code of class data.
    pub code: String,
    /// One line for people.
    pub reason: String,
    /// Whether the database refused its row; otherwise it could not be decoded.
    pub is_load: bool,
}

impl Letter {
    /// Whether the extractor left parts of the record out, because an error row could not hold it.
    pub(crate) fn is_cut(&self) -> bool {
        self.reason.contains(PARTS_LEFT_OUT)
    }
}

/// Who puts a letter aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The pipeline.
    pub pipeline: String,
    /// The task.
    pub task: u32,
}

/// The headers that say why, behind a record's own.
pub(crate) fn context(letter: &Letter, sender: &Sender) -> Vec<(&'static str, String)> {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (key, value) = (read(&letter.split), read(&letter.position));
    let text = |value: Option<&Value>| match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let stage = if letter.is_load { "TASK_PUT" } else { "TRANSFORMATION" };
    let of_kafka = [
        ("__connect.errors.topic", text(key.get("topic"))),
        ("__connect.errors.partition", text(key.get("partition"))),
        ("__connect.errors.offset", text(value.get("offset"))),
    ];
    let all = [
        ("__connect.errors.connector.name", sender.pipeline.clone()),
        ("__connect.errors.task.id", sender.task.to_string()),
        ("__connect.errors.stage", stage.to_owned()),
        ("__connect.errors.exception.class.name", letter.code.clone()),
        ("__connect.errors.exception.message", letter.reason.clone()),
        ("ErrorInfo", format!("Error: {}, Message: {}", letter.code, letter.reason)),
        ("s2x.errors.split", letter.split.clone()),
        ("s2x.errors.position", letter.position.clone()),
    ];
    of_kafka.into_iter().filter_map(|(name, text)| Some((name, text?))).chain(all).collect()
}

#[cfg(test)]
mod tests;
