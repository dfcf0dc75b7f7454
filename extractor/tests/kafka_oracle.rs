//! The consumer in batches, which has unsafe code, against the one without (`consumer.batch=false`):
//! the same rows, byte for byte, the same error rows, the same offsets, from any start. On the mock
//! cluster, and with `KAFKA_BOOTSTRAP=host:port` on a real broker, which also has transactions and
//! compaction.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends where it fails, and says what it skips"
)]

#[path = "kafka_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use extractor::source::{Polled, RowSink, Source, Taken};
use protocol::avro::ErrorRow;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use xtask::kafka::Client;

use support::{LIMIT, OwnTopic, assign, at, key, open, position};

/// Encoded rows and error rows of each part, as they came, and where each part then stands.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    data: BTreeMap<u32, Vec<Vec<u8>>>,
    offsets: Vec<i64>,
}

/// Keeps the bytes; takes up to `room` rows.
struct Bytes {
    room: usize,
    data: BTreeMap<u32, Vec<Vec<u8>>>,
}

impl Bytes {
    fn push(&mut self, part: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        if self.room == 0 {
            return Taken::No;
        }
        self.room -= 1;
        let mut datum = Vec::new();
        write(&mut datum);
        self.data.entry(part).or_default().push(datum);
        Taken::Yes
    }
}

impl RowSink for Bytes {
    fn rows_left(&self) -> usize {
        self.room
    }

    fn row(&mut self, part: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        self.push(part, write)
    }

    fn error(&mut self, part: u32, row: &ErrorRow<'_>) -> Taken {
        self.push(part, &mut |out| row.write(out))
    }
}

/// Where the records are.
struct Place<'a> {
    servers: &'a str,
    topic: &'a str,
    partitions: u32,
}

impl Place<'_> {
    /// Reads to the end in batches of `room` rows, from an offset of each partition.
    fn read(&self, config: &Value, batch: bool, from: &[i64], room: usize) -> Read {
        let mut config = config.clone();
        config["consumer.batch"] = json!(batch);
        let mut source = open(self.servers, self.topic, &config);
        let partitions = 0..i32::try_from(self.partitions).unwrap();
        let parts: Vec<_> =
            partitions.zip(from).map(|(p, from)| (key(self.topic, p), at(*from))).collect();
        assign(&mut source, &parts);
        let mut all = BTreeMap::new();
        let started = Instant::now();
        loop {
            let mut sink = Bytes { room, data: std::mem::take(&mut all) };
            let polled = source.poll(&mut sink, Duration::from_millis(50)).unwrap();
            all = sink.data;
            if polled == (Polled::Idle { caught_up: true }) {
                break;
            }
            assert!(started.elapsed() < LIMIT, "not read to the end: batch {batch}, {polled:?}");
        }
        let offsets = (0..self.partitions).map(|part| position(&source, part)).collect();
        Read { data: all, offsets }
    }

    /// Both read the same, from the start and from the middle; returns the rows of one.
    fn compare(&self, config: &Value) -> Read {
        let start = vec![0; self.partitions as usize];
        let judge = self.read(config, false, &start, usize::MAX);
        let tested = self.read(config, true, &start, usize::MAX);
        assert_eq!(judge.offsets, tested.offsets, "{config}");
        assert!(judge == tested, "other rows with {config}");
        let middle: Vec<_> = judge.offsets.iter().map(|end| end / 2).collect();
        let again = self.read(config, false, &middle, 7);
        assert!(again == self.read(config, true, &middle, 3), "other rows from the middle");
        assert_eq!(again.offsets, judge.offsets);
        assert!(!judge.data.is_empty(), "nothing was compared");
        judge
    }
}

/// Settings under which the same records are other rows.
fn settings() -> impl Iterator<Item = Value> {
    let formats = ["json", "string", "bytes"];
    formats.into_iter().flat_map(move |value| {
        let of = move |(key, metadata)| {
            json!({"key.format": key, "value.format": value, "record.metadata": metadata})
        };
        [("string", true), ("bytes", false), ("json", true)].into_iter().map(of)
    })
}

fn producer(servers: &str, codec: &str) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("compression.codec", codec)
        .set("linger.ms", "20")
        .set("message.max.bytes", "10485760")
        .create()
        .unwrap()
}

fn headers(count: usize) -> OwnedHeaders {
    (0..count).fold(OwnedHeaders::new(), |headers, number| {
        let value = [None, Some(b"".as_slice()), Some(b"\x00\xff".as_slice())][number % 3];
        headers.insert(Header { key: ["", "name", "ä"][number % 3], value })
    })
}

/// Every kind of key, value, headers and timestamp, with every codec.
fn fill(place: &Place<'_>, large: usize) {
    let text = format!("\"{}\"", "y".repeat(large));
    let noise: Vec<u8> = (0..=255).collect();
    let keys: [Option<&[u8]>; 5] = [None, Some(b""), Some(b"k"), Some(b"{\"a\":1}"), Some(&noise)];
    let values: [Option<&[u8]>; 7] = [
        None,
        Some(b""),
        Some(b"{\"n\":1.50}"),
        Some(b"not json \" \\ \n"),
        Some(b"\xff\xfe"),
        Some(&noise),
        Some(text.as_bytes()),
    ];
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer = producer(place.servers, codec);
        let mut number = 0_u32;
        for partition in 0..i32::try_from(place.partitions).unwrap() {
            for key in keys {
                for value in values {
                    number += 1;
                    let mut record =
                        BaseRecord::<[u8], [u8]>::to(place.topic).partition(partition).timestamp(
                            [1, 1_700_000_000_123, i64::from(number)][(number % 3) as usize],
                        );
                    (record.key, record.payload) = (key, value);
                    let record = record.headers(headers((number % 5) as usize));
                    producer.send(record).map_err(|(e, _)| e).unwrap();
                }
            }
            producer.flush(Duration::from_secs(30)).unwrap();
        }
    }
}

#[test]
fn the_safe_consumer_and_the_batch_consumer_give_the_same_rows_on_the_mock() {
    let cluster = MockCluster::new(2).unwrap();
    cluster.create_topic("t", 3, 1).unwrap();
    let place = Place { servers: &cluster.bootstrap_servers(), topic: "t", partitions: 3 };
    fill(&place, 20_000);
    for config in settings() {
        let read = place.compare(&config);
        assert_eq!(read.offsets, [175, 175, 175]);
        assert!(read.data.values().all(|rows| rows.len() == 175), "a record is neither");
    }
}

/// A topic on the real broker; `None`: there is none, and the test says so.
fn real(test: &str, partitions: i32, config: &[(&str, &str)]) -> Option<(String, OwnTopic)> {
    let Ok(servers) = std::env::var("KAFKA_BOOTSTRAP") else {
        eprintln!("skipped: KAFKA_BOOTSTRAP is not set ({test})");
        return None;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let topic = OwnTopic::with(&servers, &format!("x-{test}-{now}"), partitions, config);
    Some((servers, topic))
}

#[test]
fn the_safe_consumer_and_the_batch_consumer_give_the_same_rows_on_a_broker() {
    let config = [("max.message.bytes", "10485760")];
    let Some((servers, topic)) = real("oracle", 2, &config) else { return };
    let place = Place { servers: &servers, topic: &topic.name, partitions: 2 };
    fill(&place, 8 * 1024 * 1024 / 8);
    for config in settings() {
        assert_eq!(place.compare(&config).offsets, [175, 175]);
    }
}

/// Aborted transactions in the middle and at the end, markers, one that stays open, by Kafka's own
/// client with every codec.
#[test]
fn the_safe_consumer_and_the_batch_consumer_agree_on_transactions() {
    let Some((servers, topic)) = real("oracle-txn", 2, &[]) else { return };
    let mut client = Client::start(&servers).unwrap();
    let name = &topic.name;
    let place = Place { servers: &servers, topic: name, partitions: 2 };
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let pattern = "pattern=c10,a5,c1,a1 repeat=3 partition=rr:2 key=mod:3 headers=A:1,B:";
        client.call(&format!("txn {name} codec={codec} {pattern}")).unwrap();
        let read = place.compare(&json!({"record.metadata": true}));
        let rows: usize = read.data.values().map(Vec::len).sum();
        let ends: i64 = read.offsets.iter().sum();
        assert!(i64::try_from(rows).unwrap() < ends, "no aborted tail: {rows} of {ends}");
    }
    let uncommitted = place.compare(&json!({"isolation.level": "read_uncommitted"}));
    let committed = place.compare(&json!({}));
    assert!(rows(&uncommitted) > rows(&committed));
    client.call(&format!("txn {name} pattern=c2,o3 id=left-open partition=rr:2")).unwrap();
    let open = place.compare(&json!({}));
    assert_eq!(rows(&open), rows(&committed) + 2);
    client.call("txn-end left-open abort").unwrap();
    let ended = place.compare(&json!({}));
    assert_eq!(rows(&ended), rows(&open));
    assert!(ended.offsets > open.offsets, "{ended:?} {open:?}");
}

fn rows(read: &Read) -> usize {
    read.data.values().map(Vec::len).sum()
}

#[test]
fn the_safe_consumer_and_the_batch_consumer_agree_on_compacted_topics() {
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("delete.retention.ms", "0"),
        ("max.compaction.lag.ms", "1"),
    ];
    let Some((servers, topic)) = real("oracle-compact", 1, &config) else { return };
    let place = Place { servers: &servers, topic: &topic.name, partitions: 1 };
    let mut client = Client::start(&servers).unwrap();
    let name = &topic.name;
    client.call(&format!("produce {name} count=60 key=mod:3 batch=1 linger=0")).unwrap();
    let started = Instant::now();
    loop {
        // A new segment every time, so that the old ones become cleanable.
        std::thread::sleep(Duration::from_millis(500));
        client.call(&format!("produce {name} count=1 key=text:tick")).unwrap();
        // The broker may compact between two reads: what is read twice alike did not change.
        let read = |batch| place.read(&json!({}), batch, &[0], usize::MAX);
        let (judge, tested, again) = (read(false), read(true), read(false));
        if judge == again {
            assert!(judge == tested, "other rows of a compacted topic");
        }
        if judge == again && rows(&judge) < 20 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(180), "the broker did not compact");
    }
}
