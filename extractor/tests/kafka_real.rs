//! The Kafka source against a real broker: what no mock can show. `KAFKA_BOOTSTRAP=host:port` names
//! the broker; without it every test says that it is skipped. Topics are made and deleted here.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test ends where it fails and says when it is skipped"
)]

#[path = "kafka_support/support.rs"]
mod support;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use extractor::source::{Cancel, Polled, Source, Start};
use protocol::{Code, OffsetValue};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;

use support::*;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A topic of its own on the real broker, deleted at the end.
struct Topic {
    servers: String,
    name: String,
    admin: AdminClient<DefaultClientContext>,
}

impl Topic {
    /// `None`: there is no broker, and the test says so.
    fn new(test: &str, partitions: i32, config: &[(&str, &str)]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Ok(servers) = std::env::var("KAFKA_BOOTSTRAP") else {
            eprintln!("skipped: KAFKA_BOOTSTRAP is not set ({test})");
            return None;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("x-{test}-{now}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let admin = ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
        let topic = Self { servers, name, admin };
        topic.create(partitions, config);
        Some(topic)
    }

    fn create(&self, partitions: i32, config: &[(&str, &str)]) {
        let mut topic = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let results = wait(self.admin.create_topics([&topic], &options)).unwrap();
        results.into_iter().for_each(|result| drop(result.unwrap()));
    }

    fn delete(&self) {
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let results = wait(self.admin.delete_topics(&[&self.name], &options)).unwrap();
        results.into_iter().for_each(|result| drop(result.unwrap()));
    }

    fn producer(&self, extra: &[(&str, &str)]) -> BaseProducer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        for (key, value) in extra {
            config.set(*key, *value);
        }
        config.create().unwrap()
    }

    fn transactions(&self) -> BaseProducer {
        let producer = self.producer(&[("transactional.id", &self.name)]);
        producer.init_transactions(TIMEOUT).unwrap();
        producer
    }

    fn send(&self, producer: &BaseProducer, partition: i32, values: &[&str]) {
        for value in values {
            let record = BaseRecord::<str, str>::to(&self.name).partition(partition);
            producer.send(record.payload(value)).map_err(|(e, _)| e).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
    }

    fn source(&self, extra: &serde_json::Value) -> extractor::source::kafka::KafkaSource {
        open(&self.servers, &self.name, extra)
    }

    fn key(&self, partition: i32) -> protocol::OffsetKey {
        key(&self.name, partition)
    }

    /// The end without regard to transactions, asked by another client.
    fn high_watermark(&self, partition: i32) -> i64 {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers).set("isolation.level", "read_uncommitted");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.fetch_watermarks(&self.name, partition, TIMEOUT).unwrap().1
    }

    fn delete_records(&self, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(before)).unwrap();
        wait(self.admin.delete_records(&list, &AdminOptions::new())).unwrap();
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        drop(wait(self.admin.delete_topics(&[&self.name], &AdminOptions::new())));
    }
}

fn json_numbers(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|number| format!("{{\"n\":{number}}}")).collect()
}

fn texts(numbers: &[String]) -> Vec<&str> {
    numbers.iter().map(String::as_str).collect()
}

#[test]
fn z40_only_committed_records_and_the_position_reaches_the_end() {
    let Some(topic) = Topic::new("z40", 1, &[]) else { return };
    let producer = topic.transactions();
    for (values, commit) in [(["0", "1"].as_slice(), true), (&["3", "4"], false), (&["6"], true)] {
        producer.begin_transaction().unwrap();
        topic.send(&producer, 0, values);
        if commit {
            producer.commit_transaction(TIMEOUT).unwrap();
        } else {
            producer.abort_transaction(TIMEOUT).unwrap();
        }
    }
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    let sink = read_all(&mut source);
    let ids: Vec<_> = sink.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(sink.records(0), ["0", "1", "6"]);
    assert_eq!(
        ids,
        [0, 1, 6].map(|offset| format!(r#"{{"offset":{offset},"partition":0}}"#)),
        "offsets 2, 5 and 7 are markers"
    );
    assert_eq!((position(&source, 0), topic.high_watermark(0)), (8, 8));
    let value = source.position(0).unwrap();
    assign(&mut source, &[(topic.key(0), value)]);
    assert!(read_all(&mut source).rows.is_empty(), "nothing is read twice");
    let mut source = topic.source(&json!({"isolation.level": "read_uncommitted"}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    assert_eq!(read_all(&mut source).records(0), ["0", "1", "3", "4", "6"]);
}

#[test]
fn e01_an_aborted_tail_moves_the_position_without_rows() {
    let Some(topic) = Topic::new("e01", 1, &[]) else { return };
    let producer = topic.transactions();
    producer.begin_transaction().unwrap();
    topic.send(&producer, 0, &["0", "1", "2"]);
    producer.commit_transaction(TIMEOUT).unwrap();
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    assert_eq!(read_all(&mut source).rows.len(), 3);
    assert_eq!(position(&source, 0), 4, "the commit marker is behind the position");
    producer.begin_transaction().unwrap();
    topic.send(&producer, 0, &["4", "5", "6"]);
    producer.abort_transaction(TIMEOUT).unwrap();
    let end = topic.high_watermark(0);
    assert_eq!(end, 8);
    let mut sink = Sink::new(usize::MAX);
    let started = Instant::now();
    while position(&source, 0) < end {
        source.poll(&mut sink, Duration::from_millis(50)).unwrap();
        assert!(started.elapsed() < LIMIT, "stuck at {}", position(&source, 0));
    }
    assert!(sink.rows.is_empty());
    assert_eq!(position(&source, 0), end, "last row + 1 is too small, the event + 1 too large");
    // What is written next has exactly that offset, and is not skipped after a restart.
    producer.begin_transaction().unwrap();
    topic.send(&producer, 0, &["8"]);
    producer.commit_transaction(TIMEOUT).unwrap();
    let value = source.position(0).unwrap();
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), value)]);
    assert_eq!(read_all(&mut source).records(0), ["8"]);
}

#[test]
fn e05_latest_does_not_skip_an_open_transaction() {
    let Some(topic) = Topic::new("e05-open", 1, &[]) else { return };
    let producer = topic.transactions();
    producer.begin_transaction().unwrap();
    topic.send(&producer, 0, &["0"]);
    producer.commit_transaction(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    topic.send(&producer, 0, &["2", "3"]);
    let mut source = topic.source(&json!({}));
    let latest = source.offsets(Start::Latest, &[topic.key(0)], &Cancel::default()).unwrap();
    assert_eq!((offset(&latest[0]), topic.high_watermark(0)), (2, 4));
    assign(&mut source, &[(topic.key(0), latest[0].clone())]);
    assert!(read_all(&mut source).rows.is_empty(), "caught up before the open transaction");
    producer.commit_transaction(TIMEOUT).unwrap();
    let mut sink = Sink::new(usize::MAX);
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.rows.len() == 2).unwrap();
    assert_eq!(sink.records(0), ["2", "3"]);
}

#[test]
fn f18_deleted_records_are_an_error_with_numbers() {
    let Some(topic) = Topic::new("f18", 1, &[]) else { return };
    let values = json_numbers(0..100);
    topic.send(&topic.producer(&[]), 0, &texts(&values));
    topic.delete_records(0, 60);
    let mut source = topic.source(&json!({}));
    let failure = source.assign("", &[(topic.key(0), at(10))], &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::OffsetOutOfRange, "{failure}");
    for (name, number) in [("offset", 10), ("gap", 50), ("earliest", 60), ("latest", 100)] {
        assert_eq!(failure.detail[name], number, "{failure}");
    }
    assign(&mut source, &[(topic.key(0), at(60))]);
    assert_eq!(read_all(&mut source).records(0), values[60..]);
    let mut source = topic.source(&json!({"auto.offset.reset": "earliest"}));
    assign(&mut source, &[(topic.key(0), at(10))]);
    assert_eq!(read_all(&mut source).records(0), values[60..]);
}

#[test]
fn f18_records_that_expire_under_a_slow_reader_are_an_error_with_numbers() {
    let Some(topic) = Topic::new("f18-slow", 1, &[]) else { return };
    let producer = topic.producer(&[("batch.num.messages", "1")]);
    let large = format!("\"{}\"", "x".repeat(100_000));
    topic.send(&producer, 0, &vec![large.as_str(); 200]);
    for (choice, fails) in [("error", true), ("earliest", false)] {
        let config = json!({"kafka.memory.bytes": 1024 * 1024, "auto.offset.reset": choice});
        let mut source = topic.source(&config);
        let low = source.offsets(Start::Earliest, &[topic.key(0)], &Cancel::default()).unwrap();
        let low = offset(&low[0]);
        assign(&mut source, &[(topic.key(0), at(low))]);
        let mut first = Sink::new(1);
        poll_until(&mut source, &mut first, LIMIT, |sink, _| sink.room == 0).unwrap();
        // Long enough for the queue to fill and the fetcher to stop.
        thread::sleep(Duration::from_secs(1));
        let new_low = low + 90;
        topic.delete_records(0, new_low);
        if fails {
            let (sink, failure) = read_failure(&mut source);
            let read = i64::try_from(sink.rows.len()).unwrap() + 1;
            assert_eq!(failure.code, Code::OffsetOutOfRange, "{failure}");
            assert_eq!(failure.detail["offset"], low + read);
            assert_eq!(failure.detail["gap"], new_low - low - read);
            assert_eq!(position(&source, 0), low + read, "what was read before is kept");
            assert!(0 < read && read < 90, "{read}");
        } else {
            let sink = read_all(&mut source);
            let last: Vec<_> = sink.rows.iter().rev().take(110 - 90).collect();
            assert_eq!(last.len(), 20);
            assert_eq!(position(&source, 0), 200);
        }
    }
}

#[test]
fn f28_a_corrupt_batch_is_an_error_and_never_skipped() {
    let Some(topic) = Topic::new("crc", 1, &[]) else { return };
    let Ok(services) = std::env::var("S2X_SERVICES_DIR") else {
        eprintln!("skipped: S2X_SERVICES_DIR is not set, so the broker's files are unknown");
        return;
    };
    let producer = topic.producer(&[]);
    for value in ["\"batch-one\"", "\"batch-two\"", "\"batch-three\""] {
        topic.send(&producer, 0, &[value]);
    }
    let file = format!("{services}/kafka/data/{}-0/00000000000000000000.log", topic.name);
    let flip = |byte: &mut u8| *byte ^= 1;
    let damage = || {
        let mut bytes = std::fs::read(&file).unwrap();
        let at = bytes.windows(9).position(|w| w == b"batch-two" || w == b"batch-tvo").unwrap();
        bytes.iter_mut().skip(at + 7).take(1).for_each(flip);
        let file = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    };
    damage();
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    let (sink, failure) = read_failure(&mut source);
    assert_eq!(sink.records(0), ["\"batch-one\""], "nothing behind the damage");
    assert_eq!(failure.code, Code::DecodeFailed, "{failure}");
    assert_eq!(failure.detail["offset"], 1, "{failure}");
    assert!(failure.message.contains(&topic.name) && failure.message.contains("CRC"), "{failure}");
    assert_eq!(position(&source, 0), 1);
    let again = source.poll(&mut Sink::new(9), Duration::from_millis(50)).unwrap_err();
    assert_eq!(again.code, Code::DecodeFailed, "it stays broken");
    damage();
    let value = source.position(0).unwrap();
    assign(&mut source, &[(topic.key(0), value)]);
    assert_eq!(read_all(&mut source).records(0), ["\"batch-two\"", "\"batch-three\""]);
}

#[test]
fn f22_an_offset_past_the_end_is_an_error_with_numbers() {
    let Some(topic) = Topic::new("f22", 1, &[]) else { return };
    topic.send(&topic.producer(&[]), 0, &["1", "2"]);
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), at(77))]);
    let (sink, failure) = read_failure(&mut source);
    assert!(sink.rows.is_empty());
    assert_eq!(failure.code, Code::OffsetOutOfRange, "the id says it is the same topic: {failure}");
    for (name, number) in [("offset", 77), ("earliest", 0), ("latest", 2)] {
        assert_eq!(failure.detail[name], number, "{failure}");
    }
    assert_eq!(failure.part, Some(0));
}

#[test]
fn e10_a_topic_created_again_is_noticed_at_once_by_its_id() {
    let Some(topic) = Topic::new("e10-assign", 1, &[]) else { return };
    topic.send(&topic.producer(&[]), 0, &["1", "2", "3"]);
    let mut source = topic.source(&json!({}));
    let before = source.discover(&Cancel::default()).unwrap().incarnation;
    assert!(before.starts_with(&format!("{}:", topic.name)), "{before}");
    topic.delete();
    thread::sleep(Duration::from_secs(1));
    topic.create(1, &[]);
    topic.send(&topic.producer(&[]), 0, &["4", "5", "6", "7"]);
    let mut source = topic.source(&json!({}));
    let parts = [(topic.key(0), at(3))];
    let failure = source.assign(&before, &parts, &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceRecreated, "{failure}");
    let now = source.discover(&Cancel::default()).unwrap().incarnation;
    assert_ne!(before, now);
    source.assign(&now, &parts, &Cancel::default()).unwrap();
    assert_eq!(read_all(&mut source).records(0), ["7"]);
}

#[test]
fn e10_a_topic_created_again_while_it_is_read_is_an_error() {
    let Some(topic) = Topic::new("e10-read", 1, &[]) else { return };
    topic.send(&topic.producer(&[]), 0, &["1", "2", "3"]);
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    assert_eq!(read_all(&mut source).rows.len(), 3);
    topic.delete();
    thread::sleep(Duration::from_secs(1));
    topic.create(1, &[]);
    let values = json_numbers(0..50);
    topic.send(&topic.producer(&[]), 0, &texts(&values));
    let started = Instant::now();
    let (sink, failure) = read_failure(&mut source);
    assert_eq!(failure.code, Code::SourceRecreated, "{failure}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(sink.rows.is_empty(), "{} rows of the new topic", sink.rows.len());
    eprintln!("noticed after {:?}", started.elapsed());
}

#[test]
fn e10_not_one_row_of_the_new_topic_is_delivered_while_polling() {
    let Some(topic) = Topic::new("e10-poll", 1, &[]) else { return };
    topic.send(&topic.producer(&[]), 0, &["1", "2", "3"]);
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    assert_eq!(read_all(&mut source).rows.len(), 3);
    let reader = thread::spawn(move || read_failure(&mut source));
    topic.delete();
    topic.create(1, &[]);
    let values = json_numbers(0..1000);
    topic.send(&topic.producer(&[]), 0, &texts(&values));
    let (sink, failure) = reader.join().unwrap();
    assert_eq!(failure.code, Code::SourceRecreated, "{failure}");
    assert!(sink.rows.is_empty(), "{} rows of the new topic", sink.rows.len());
}

#[test]
fn a_deleted_topic_is_an_error() {
    let Some(topic) = Topic::new("gone", 1, &[]) else { return };
    topic.send(&topic.producer(&[]), 0, &["1"]);
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    assert_eq!(read_all(&mut source).rows.len(), 1);
    topic.delete();
    let (_, failure) = read_failure(&mut source);
    assert_eq!(failure.code, Code::SourceNotFound, "{failure}");
    assert!(failure.message.contains(&topic.name), "{failure}");
}

#[test]
fn f21_e05_new_partitions_are_reported_from_their_beginning() {
    let Some(topic) = Topic::new("e05-grow", 1, &[]) else { return };
    let mut source = topic.source(&json!({}));
    source.discover(&Cancel::default()).unwrap();
    assign(&mut source, &[(topic.key(0), at(0))]);
    assert!(source.topology().is_none());
    let grown = [&NewPartitions::new(&topic.name, 3)];
    let results = wait(topic.admin.create_partitions(grown, &AdminOptions::new())).unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
    let producer = topic.producer(&[]);
    thread::sleep(Duration::from_millis(500));
    topic.send(&producer, 2, &["1", "2"]);
    let started = Instant::now();
    let topology = loop {
        source.poll(&mut Sink::new(usize::MAX), Duration::from_millis(50)).unwrap();
        if let Some(topology) = source.topology() {
            break topology;
        }
        assert!(started.elapsed() < Duration::from_secs(25));
    };
    let mut parts = vec![(topic.key(0), source.position(0).unwrap())];
    parts.extend(topology.added.into_iter().map(|(split, value)| (split.key, value)));
    assert_eq!(parts[1], (topic.key(1), at(0)));
    assert_eq!(parts[2], (topic.key(2), at(0)));
    assign(&mut source, &parts);
    assert_eq!(read_all(&mut source).records(2), ["1", "2"]);
    assert!(source.topology().is_none(), "reported once");
}

#[test]
fn f28_z49_every_codec_decodes() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let Some(topic) = Topic::new(codec, 1, &[]) else { return };
        let values = json_numbers(0..3000);
        let producer = topic.producer(&[("compression.codec", codec), ("linger.ms", "50")]);
        topic.send(&producer, 0, &texts(&values));
        let mut source = topic.source(&json!({}));
        assign(&mut source, &[(topic.key(0), at(0))]);
        assert_eq!(read_all(&mut source).records(0), values, "{codec}");
    }
}

#[test]
fn f28_records_of_eight_mebibytes_pass() {
    let limit = (10 * 1024 * 1024).to_string();
    let Some(topic) = Topic::new("f28", 1, &[("max.message.bytes", &limit)]) else { return };
    let large = format!("\"{}\"", "x".repeat(8 * 1024 * 1024 - 2));
    let producer = topic.producer(&[("message.max.bytes", &limit), ("compression.codec", "none")]);
    topic.send(&producer, 0, &["1", &large, "3", &large]);
    let compressed =
        topic.producer(&[("message.max.bytes", &limit), ("compression.codec", "zstd")]);
    topic.send(&compressed, 0, &[&large, "6"]);
    for memory in [1024 * 1024, 16 * 1024 * 1024] {
        let mut source = topic.source(&json!({"kafka.memory.bytes": memory}));
        assign(&mut source, &[(topic.key(0), at(0))]);
        let sink = read_all(&mut source);
        let lens: Vec<_> = sink.records(0).iter().map(|record| record.len()).collect();
        let mebi = 8 * 1024 * 1024;
        assert_eq!(lens, [1, mebi, 1, mebi, mebi, 1], "memory {memory}");
    }
}

#[test]
fn a_timestamp_is_pinned_by_the_broker() {
    let Some(topic) = Topic::new("time", 2, &[]) else { return };
    let producer = topic.producer(&[]);
    let base = 1_700_000_000_000;
    for step in 0..10 {
        let record = BaseRecord::<str, str>::to(&topic.name).partition(0).payload("1");
        producer.send(record.timestamp(base + step * 1000)).map_err(|(e, _)| e).unwrap();
        producer.flush(TIMEOUT).unwrap();
    }
    let mut source = topic.source(&json!({}));
    let keys = [topic.key(0), topic.key(1)];
    let mut ask = |ms| -> Vec<i64> {
        let values = source.offsets(Start::Timestamp(ms), &keys, &Cancel::default()).unwrap();
        values.iter().map(offset).collect()
    };
    assert_eq!(ask(0), [0, 0]);
    assert_eq!(ask(base + 3000), [3, 0]);
    assert_eq!(ask(base + 3001), [4, 0]);
    assert_eq!(ask(base + 99_000), [10, 0], "nothing that late: the end, pinned");
}

#[test]
fn the_position_carries_the_leader_epoch_and_until_ignores_it() {
    let Some(topic) = Topic::new("epoch", 1, &[]) else { return };
    let values = json_numbers(0..20);
    topic.send(&topic.producer(&[]), 0, &texts(&values));
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    source
        .set_until(&[(0, OffsetValue::parse(r#"{"leaderEpoch":9,"offset":7}"#).unwrap())])
        .unwrap();
    let mut sink = Sink::new(usize::MAX);
    poll_until(&mut source, &mut sink, LIMIT, |_, polled| polled == Polled::ReachedUntil).unwrap();
    assert_eq!(sink.records(0), values[..7]);
    let value = source.position(0).unwrap();
    assert_eq!(value.as_str(), r#"{"leaderEpoch":0,"offset":7}"#);
    let newer = OffsetValue::parse(r#"{"leaderEpoch":5,"offset":7}"#).unwrap();
    assign(&mut source, &[(topic.key(0), newer)]);
    let (sink, failure) = read_failure(&mut source);
    assert!(sink.rows.is_empty());
    assert_eq!(failure.code, Code::SourceRecreated, "{failure}");
    assign(&mut source, &[(topic.key(0), value)]);
    assert_eq!(read_all(&mut source).records(0), values[7..]);
}

/// How long a broker may take to compact a topic that asks for it at once: its cleaner looks every 15 s
/// unless it is told otherwise, and the machine may be busy.
const COMPACTED: Duration = Duration::from_secs(180);

#[test]
fn f19_the_position_passes_a_compacted_tail() {
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("delete.retention.ms", "0"),
        ("min.compaction.lag.ms", "0"),
        ("max.compaction.lag.ms", "1"),
    ];
    let Some(topic) = Topic::new("compact", 1, &config) else { return };
    let producer = topic.producer(&[]);
    let send = |key: &str, value: Option<&str>| {
        let mut record = BaseRecord::<str, str>::to(&topic.name).partition(0).key(key);
        record.payload = value;
        producer.send(record).map_err(|(e, _)| e).unwrap();
        producer.flush(TIMEOUT).unwrap();
    };
    for round in 0..20 {
        send("same", Some(&round.to_string()));
    }
    send("gone", Some("1"));
    send("gone", None);
    let end = topic.high_watermark(0);
    let started = Instant::now();
    let mut source = topic.source(&json!({}));
    loop {
        // A new segment every time, so that the old ones become cleanable.
        thread::sleep(Duration::from_millis(500));
        send("tick", Some("0"));
        assign(&mut source, &[(topic.key(0), at(0))]);
        let sink = read_all(&mut source);
        assert_eq!(position(&source, 0), topic.high_watermark(0));
        let same = sink.rows.iter().filter(|row| row.id == "\"same\"").count();
        if same == 1 {
            let last = sink.rows.iter().find(|row| row.id == "\"same\"").unwrap();
            assert_eq!(last.record, "19");
            break;
        }
        let waited = started.elapsed();
        assert!(waited < COMPACTED, "the broker did not compact {} in {waited:?}", topic.name);
    }
    // Every offset of the compacted range is a place to resume.
    for from in 0..end {
        assign(&mut source, &[(topic.key(0), at(from))]);
        read_all(&mut source);
        assert_eq!(position(&source, 0), topic.high_watermark(0), "from {from}");
    }
}

#[test]
fn z36_nothing_is_created_and_no_group_is_joined() {
    let Some(topic) = Topic::new("z36", 1, &[]) else { return };
    topic.send(&topic.producer(&[]), 0, &["1"]);
    let absent = format!("{}-absent", topic.name);
    let mut source = open(&topic.servers, &absent, &json!({}));
    let failure = source.discover(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceNotFound, "{failure}");
    let mut source = topic.source(&json!({"client.id": topic.name}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    read_all(&mut source);
    let other: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &topic.servers).create().unwrap();
    let metadata = other.fetch_metadata(None, TIMEOUT).unwrap();
    assert!(metadata.topics().iter().all(|topic| topic.name() != absent));
    let groups = other.fetch_group_list(None, TIMEOUT).unwrap();
    let members = groups.groups().iter().flat_map(|group| group.members());
    assert!(members.into_iter().all(|member| member.client_id() != topic.name));
}

#[test]
fn records_of_a_client_that_is_not_ours_arrive() {
    let Some(topic) = Topic::new("kcat", 1, &[]) else { return };
    let child = Command::new("kcat")
        .args(["-b", &topic.servers, "-t", &topic.name, "-p", "0", "-P", "-K", "\t", "-Z"])
        .args(["-H", "a=b"])
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: kcat is not installed");
        return;
    };
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"k1\t{\"a\":1}\nk2\t{\"a\":2}\n").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    let mut source = topic.source(&json!({}));
    assign(&mut source, &[(topic.key(0), at(0))]);
    let sink = read_all(&mut source);
    let rows: Vec<_> = sink.rows.iter().map(|row| (row.id.as_str(), row.record.as_str())).collect();
    assert_eq!(rows, [("\"k1\"", "{\"a\":1}"), ("\"k2\"", "{\"a\":2}")]);
}

/// Sixty transactions over all partitions, a third of them aborted; returns what counts.
fn random_transactions(
    topic: &Topic,
    partitions: i32,
    random: &mut fastrand::Rng,
) -> Vec<Vec<String>> {
    let producer = topic.transactions();
    let mut expected = vec![Vec::new(); usize::try_from(partitions).unwrap()];
    let mut number = 0;
    for _ in 0..60 {
        let (commit, len) = (random.u8(..3) > 0, random.usize(1..40));
        producer.begin_transaction().unwrap();
        for _ in 0..len {
            let partition = random.i32(0..partitions);
            let value = number.to_string();
            let record = BaseRecord::<str, str>::to(&topic.name).partition(partition);
            producer.send(record.payload(&value)).map_err(|(e, _)| e).unwrap();
            number += 1;
            if commit {
                expected.get_mut(usize::try_from(partition).unwrap()).unwrap().push(value);
            }
        }
        if commit {
            producer.commit_transaction(TIMEOUT).unwrap();
        } else {
            producer.flush(TIMEOUT).unwrap();
            producer.abort_transaction(TIMEOUT).unwrap();
        }
    }
    expected
}

#[test]
fn random_cuts_lose_and_repeat_nothing() {
    const PARTITIONS: i32 = 3;
    let Some(topic) = Topic::new("random", PARTITIONS, &[]) else { return };
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let expected = random_transactions(&topic, PARTITIONS, &mut random);
    let keys: Vec<_> = (0..PARTITIONS).map(|partition| topic.key(partition)).collect();
    let ends: Vec<_> = (0..PARTITIONS).map(|partition| topic.high_watermark(partition)).collect();
    let mut source = topic.source(&json!({}));
    let mut values: Vec<_> = keys.iter().map(|_| at(0)).collect();
    let mut seen = vec![Vec::new(); 3];
    while seen.iter().zip(&expected).any(|(seen, all): (&Vec<_>, _)| seen.len() < all.len()) {
        if random.u8(..4) == 0 {
            // Another process: it knows the values and nothing else.
            source = topic.source(&json!({}));
        }
        let parts: Vec<_> = keys.iter().cloned().zip(values.clone()).collect();
        assign(&mut source, &parts);
        for _ in 0..random.u8(1..4) {
            let mut until = Vec::new();
            for (part, end) in (0_u32..).zip(&ends) {
                if random.bool() {
                    until.push((part, at(random.i64(0..=*end))));
                }
            }
            source.set_until(&until).unwrap();
            let mut sink = Sink::new(random.usize(1..200));
            let polls = random.u8(1..30);
            for _ in 0..polls {
                source.poll(&mut sink, Duration::from_millis(20)).unwrap();
            }
            if random.u8(..5) == 0 {
                // The batch is lost before it is committed: back to where it began.
                break;
            }
            for (part, value) in (0_u32..).zip(&mut values) {
                let now = source.position(part).unwrap();
                let rows = sink.records(part);
                seen[part as usize].extend(rows.into_iter().map(str::to_owned));
                *value = now;
            }
        }
    }
    for part in 0..3 {
        assert_eq!(seen[part], expected[part], "part {part}, SEED={seed}");
    }
    assign(&mut source, &keys.iter().cloned().zip(values).collect::<Vec<_>>());
    assert!(read_all(&mut source).rows.is_empty(), "SEED={seed}");
    let reached: Vec<_> = positions(&source, 3).into_values().collect();
    assert_eq!(reached, ends, "SEED={seed}");
}
