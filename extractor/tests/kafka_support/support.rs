//! A sink that remembers rows, and a source with one call per need. For tests against a broker.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test crate uses its part, so that this is expected in some only"
)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where it fails")]

#[path = "../support/rows.rs"]
mod rows;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use extractor::config::Settings;
use extractor::source::kafka::{KafkaSettings, KafkaSource};
use extractor::source::{Cancel, Polled, RowSink, Source, Taken};
use protocol::avro::ErrorRow;
use protocol::{Failure, OffsetKey, OffsetValue};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Map, Value, json};

use rows::Counted;
pub(crate) use rows::poll_until;

/// A row as it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) part: u32,
    pub(crate) topic: String,
    pub(crate) id: String,
    pub(crate) record: String,
}

/// An error row as it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenError {
    pub(crate) part: u32,
    pub(crate) position: String,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: usize,
}

/// Takes up to `room` rows of up to `row_bytes_max` bytes.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) room: usize,
    pub(crate) row_bytes_max: usize,
    pub(crate) rows: Vec<Seen>,
    pub(crate) errors: Vec<SeenError>,
}

impl Sink {
    pub(crate) fn new(room: usize) -> Self {
        Self { room, row_bytes_max: usize::MAX, rows: Vec::new(), errors: Vec::new() }
    }

    pub(crate) fn records(&self, part: u32) -> Vec<&str> {
        self.rows.iter().filter(|row| row.part == part).map(|row| row.record.as_str()).collect()
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
        self.rows.push(Seen { part, topic, id, record });
        self.room -= 1;
        Taken::Yes
    }

    fn error(&mut self, part: u32, row: &ErrorRow<'_>) -> Taken {
        if self.room == 0 {
            return Taken::No;
        }
        let bytes = row.value.map_or(0, <[u8]>::len);
        if bytes > self.row_bytes_max {
            return Taken::TooLarge { bytes };
        }
        self.errors.push(SeenError {
            part,
            position: row.position.to_owned(),
            code: row.code.to_owned(),
            reason: row.reason.to_owned(),
            value: row.value.map(<[u8]>::to_vec),
            headers: row.headers.len(),
        });
        self.room -= 1;
        Taken::Yes
    }
}

pub(crate) fn settings(servers: &str, topics: &str, extra: &Value) -> KafkaSettings {
    let mut config = Map::new();
    config.insert("bootstrap.servers".to_owned(), servers.into());
    config.insert("topics".to_owned(), topics.into());
    config.extend(extra.as_object().unwrap().clone());
    let settings = Settings::from_maps(&config, &Map::new()).unwrap();
    KafkaSettings::read(&settings).unwrap()
}

pub(crate) fn open(servers: &str, topics: &str, extra: &Value) -> KafkaSource {
    KafkaSource::open(settings(servers, topics, extra), Duration::from_secs(30)).unwrap()
}

pub(crate) fn key(topic: &str, partition: i32) -> OffsetKey {
    OffsetKey::from_json(&json!({"partition": partition, "topic": topic})).unwrap()
}

pub(crate) fn at(offset: i64) -> OffsetValue {
    OffsetValue::from_json(&json!({"offset": offset})).unwrap()
}

/// The offset in a position.
pub(crate) fn offset(value: &OffsetValue) -> i64 {
    value.to_map()["offset"].as_i64().unwrap()
}

pub(crate) fn position(source: &KafkaSource, part: u32) -> i64 {
    offset(&source.position(part).unwrap())
}

pub(crate) fn assign(source: &mut KafkaSource, parts: &[(OffsetKey, OffsetValue)]) {
    source.assign("", parts, &Cancel::default()).unwrap();
}

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Reads everything that is there.
pub(crate) fn read_all(source: &mut KafkaSource) -> Sink {
    let mut sink = Sink::new(usize::MAX);
    let caught_up = |_: &Sink, polled| polled == Polled::Idle { caught_up: true };
    poll_until(source, &mut sink, LIMIT, caught_up).unwrap();
    sink
}

/// Polls until the source fails.
pub(crate) fn read_failure(source: &mut KafkaSource) -> (Sink, Failure) {
    let mut sink = Sink::new(usize::MAX);
    let failure = poll_until(source, &mut sink, LIMIT, |_, _| false).unwrap_err();
    (sink, failure)
}

/// The distinct positions of a run, per part, as they grow.
pub(crate) fn positions(source: &KafkaSource, parts: u32) -> BTreeMap<u32, i64> {
    (0..parts).map(|part| (part, position(source, part))).collect()
}

/// Waits for a future without a runtime.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park_timeout(Duration::from_millis(100));
    }
}

/// A topic on a real broker, deleted at the end.
pub(crate) struct OwnTopic {
    pub(crate) name: String,
    admin: AdminClient<DefaultClientContext>,
}

impl OwnTopic {
    pub(crate) fn create(servers: &str, name: &str, partitions: i32) -> Self {
        Self::with(servers, name, partitions, &[])
    }

    /// With settings of the topic.
    pub(crate) fn with(
        servers: &str,
        name: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> Self {
        let admin: AdminClient<_> =
            ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let results = wait(admin.create_topics([&topic], &options)).unwrap();
        results.into_iter().for_each(|result| drop(result.unwrap()));
        Self { name: name.to_owned(), admin }
    }
}

impl Drop for OwnTopic {
    fn drop(&mut self) {
        drop(wait(self.admin.delete_topics(&[&self.name], &AdminOptions::new())));
    }
}
