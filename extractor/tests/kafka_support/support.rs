//! A sink that remembers rows, and a source with one call per need. For tests against a broker.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "each test crate uses its part, and a test ends where it fails"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use extractor::config::Settings;
use extractor::source::kafka::{KafkaSettings, KafkaSource};
use extractor::source::{Cancel, Polled, RowSink, Source, Taken};
use protocol::avro::ErrorRow;
use protocol::{Failure, OffsetKey, OffsetValue};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Map, Value, json};

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

impl RowSink for Sink {
    fn rows_left(&self) -> usize {
        self.room
    }

    fn row(&mut self, part: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        if self.room == 0 {
            return Taken::No;
        }
        let mut datum = Vec::new();
        write(&mut datum);
        if datum.len() > self.row_bytes_max {
            return Taken::TooLarge { bytes: datum.len() };
        }
        let mut rest = datum.as_slice();
        let (topic, id, record) = (text(&mut rest), text(&mut rest), text(&mut rest));
        assert!(rest.is_empty(), "bytes after the row");
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

/// Reads one Avro string.
fn text(rest: &mut &[u8]) -> String {
    let (mut zigzag, mut shift) = (0_u64, 0);
    loop {
        let byte = rest[0];
        *rest = &rest[1..];
        zigzag |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let len = usize::try_from(zigzag >> 1).unwrap();
    let (text, tail) = rest.split_at(len);
    *rest = tail;
    String::from_utf8(text.to_vec()).unwrap()
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

/// Polls until `done` says so, or fails after `limit`.
pub(crate) fn poll_until(
    source: &mut KafkaSource,
    sink: &mut Sink,
    limit: Duration,
    mut done: impl FnMut(&Sink, Polled) -> bool,
) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let polled = source.poll(sink, Duration::from_millis(50))?;
        if done(sink, polled) {
            return Ok(());
        }
        assert!(
            started.elapsed() < limit,
            "gave up after {limit:?}: {polled:?}, {} rows, {} errors",
            sink.rows.len(),
            sink.errors.len()
        );
    }
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
