//! A sink that remembers rows, and a source with one call per need. For tests against a server.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test crate uses its part, so that this is expected in some only"
)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where it fails")]

#[path = "../support/rows.rs"]
mod rows;

use std::time::Duration;

use extractor::config::Settings;
use extractor::source::kinesis::{KinesisSettings, KinesisSource};
use extractor::source::{Cancel, Polled, RowSink, Source, Taken};
use protocol::avro::ErrorRow;
use protocol::{Failure, OffsetKey, OffsetValue};
use serde_json::{Map, Value, json};

use crate::server::{STREAM, shard};
use rows::Counted;

pub(crate) const LIMIT: Duration = Duration::from_secs(40);

pub(crate) fn config(url: &str, extra: &Value) -> Map<String, Value> {
    let mut config = json!({
        "connector.class": "kinesis",
        "aws.access.key.id": "AKIDTEST",
        "aws.secret.access.key": "secret of tests",
        "kafka.topic": "kinesis-topic",
        "kinesis.stream": STREAM,
        "kinesis.region": "us-east-1",
        "kinesis.endpoint": url,
        "kinesis.empty.records.backoff.ms": 500,
    });
    let map = config.as_object_mut().unwrap();
    map.extend(extra.as_object().unwrap().clone());
    map.clone()
}

pub(crate) fn open(url: &str, extra: &Value) -> KinesisSource {
    let given = Settings::from_maps(&config(url, extra), &Map::new()).unwrap();
    let settings = KinesisSettings::read(&given).unwrap();
    KinesisSource::new(given, settings)
}

/// A row as it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) part: u32,
    pub(crate) topic: String,
    pub(crate) id: Value,
    pub(crate) record: Value,
}

impl Seen {
    pub(crate) fn text(&self, field: &str) -> String {
        self.record[field].as_str().unwrap().to_owned()
    }

    /// The payload as text.
    pub(crate) fn payload(&self) -> String {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.decode(self.text("data")).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

/// Takes up to `room` rows of up to `row_bytes_max` bytes.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) room: usize,
    pub(crate) row_bytes_max: usize,
    pub(crate) rows: Vec<Seen>,
    /// Position and code of error rows.
    pub(crate) errors: Vec<(String, String)>,
}

impl Sink {
    pub(crate) fn new(room: usize) -> Self {
        Self { room, row_bytes_max: usize::MAX, rows: Vec::new(), errors: Vec::new() }
    }

    pub(crate) fn payloads(&self) -> Vec<String> {
        self.rows.iter().map(Seen::payload).collect()
    }
}

impl Counted for Sink {
    fn counts(&self) -> [usize; 2] {
        [self.rows.len(), self.errors.len()]
    }
}

impl RowSink for Sink {
    fn rows_left(&self) -> usize {
        self.room
    }

    fn row(&mut self, part: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        if self.room == 0 {
            return Taken::No;
        }
        let [topic, id, record] = match rows::read_back(write, self.row_bytes_max) {
            Ok(texts) => texts,
            Err(taken) => return taken,
        };
        let json = |text: &str| serde_json::from_str(text).unwrap();
        self.rows.push(Seen { part, topic, id: json(&id), record: json(&record) });
        self.room -= 1;
        Taken::Yes
    }

    fn error(&mut self, _: u32, row: &ErrorRow<'_>) -> Taken {
        if self.room == 0 {
            return Taken::No;
        }
        self.errors.push((row.position.to_owned(), row.code.to_owned()));
        self.room -= 1;
        Taken::Yes
    }
}

pub(crate) fn key(number: u32) -> OffsetKey {
    OffsetKey::from_json(&json!({"shardId": shard(number)})).unwrap()
}

pub(crate) fn value(json: &Value) -> OffsetValue {
    OffsetValue::from_json(json).unwrap()
}

pub(crate) fn horizon() -> OffsetValue {
    value(&json!({"position": "TRIM_HORIZON"}))
}

pub(crate) fn assign(source: &mut KinesisSource, parts: &[(OffsetKey, OffsetValue)]) {
    source.assign("", parts, &Cancel::default()).unwrap();
}

/// Polls until `done` says so, or fails after the limit.
pub(crate) fn poll_until(
    source: &mut KinesisSource,
    sink: &mut Sink,
    done: impl FnMut(&Sink, Polled) -> bool,
) -> Result<(), Failure> {
    rows::poll_until(source, sink, LIMIT, done)
}

/// Reads everything that is there.
pub(crate) fn read_all(source: &mut KinesisSource) -> Sink {
    let mut sink = Sink::new(usize::MAX);
    let caught_up = |_: &Sink, polled| polled == Polled::Idle { caught_up: true };
    poll_until(source, &mut sink, caught_up).unwrap();
    sink
}

/// Polls until the source fails.
pub(crate) fn read_failure(source: &mut KinesisSource) -> (Sink, Failure) {
    let mut sink = Sink::new(usize::MAX);
    let failure = poll_until(source, &mut sink, |_, _| false).unwrap_err();
    (sink, failure)
}

/// Records `first..last` with a few keys, `n` as the payload.
pub(crate) fn records(range: std::ops::Range<u32>) -> Vec<(String, String)> {
    range.map(|n| (format!("key-{}", n % 7), n.to_string())).collect()
}
