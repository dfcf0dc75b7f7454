//! The Kafka source against librdkafka's own mock cluster: no broker to install. What the mock
//! cannot do (abort transactions, delete records, topic ids, time lookups) is in `kafka_real.rs`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where it fails")]

#[path = "kafka_support/support.rs"]
mod support;

use std::time::{Duration, Instant};

use extractor::source::kafka::KafkaSource;
use extractor::source::{Cancel, Polled, Source, Start};
use protocol::Code;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;

use support::*;

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(topic: &str, partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, partitions, 1).unwrap();
    cluster
}

fn producer(cluster: &Cluster) -> BaseProducer {
    ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap()
}

/// Produces `{"n":first}`, `{"n":first+1}`, … to one partition.
fn produce(producer: &BaseProducer, topic: &str, partition: i32, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let value = format!("{{\"n\":{number}}}");
        let record = BaseRecord::<str, str>::to(topic).partition(partition).payload(&value);
        producer.send(record).map_err(|(e, _)| e).unwrap();
        if number % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

fn numbers(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|number| format!("{{\"n\":{number}}}")).collect()
}

#[test]
fn every_row_comes_once_and_in_order() {
    let cluster = cluster("t", 3);
    let producer = producer(&cluster);
    for partition in 0..3 {
        produce(&producer, "t", partition, 0..5000);
    }
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    let discovery = source.discover(&Cancel::default()).unwrap();
    let keys: Vec<_> = discovery.splits.iter().map(|split| split.key.clone()).collect();
    assert_eq!(keys, [key("t", 0), key("t", 1), key("t", 2)]);
    assign(&mut source, &[(key("t", 0), at(0)), (key("t", 1), at(0)), (key("t", 2), at(0))]);
    let sink = read_all(&mut source);
    for part in 0..3 {
        assert_eq!(sink.records(part), numbers(0..5000), "part {part}");
        assert_eq!(position(&source, part), 5000);
    }
    assert_eq!(sink.rows[0].topic, "t");
    assert_eq!(source.lag().rows, Some(0));
}

#[test]
fn reading_resumes_at_any_offset() {
    let cluster = cluster("t", 1);
    produce(&producer(&cluster), "t", 0, 0..300);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    for from in [0, 1, 99, 100, 299, 300] {
        assign(&mut source, &[(key("t", 0), at(from))]);
        assert_eq!(position(&source, 0), from);
        let sink = read_all(&mut source);
        assert_eq!(sink.records(0), numbers(from..300), "from {from}");
        assert_eq!(position(&source, 0), 300);
    }
}

#[test]
fn new_credentials_lose_and_repeat_no_row() {
    let cluster = cluster("t", 2);
    let producer = producer(&cluster);
    produce(&producer, "t", 0, 0..1000);
    produce(&producer, "t", 1, 0..1000);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0)), (key("t", 1), at(0))]);
    source.set_until(&[(1, at(100))]).unwrap();
    let mut all = [Vec::new(), Vec::new()];
    for room in [1, 7, 130, 400] {
        let mut sink = Sink::new(room);
        poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.room == 0).unwrap();
        for part in 0..2_u32 {
            all[part as usize].extend(sink.records(part).into_iter().map(str::to_owned));
        }
        let before = positions(&source, 2);
        source.rotate(&serde_json::Map::new()).unwrap();
        assert_eq!(positions(&source, 2), before);
    }
    source.set_until(&[]).unwrap();
    let sink = read_all(&mut source);
    for part in 0..2_u32 {
        all[part as usize].extend(sink.records(part).into_iter().map(str::to_owned));
        assert_eq!(all[part as usize], numbers(0..1000), "part {part}");
    }
}

#[test]
fn a_full_batch_loses_nothing() {
    let cluster = cluster("t", 2);
    let producer = producer(&cluster);
    produce(&producer, "t", 0, 0..2500);
    produce(&producer, "t", 1, 0..2500);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0)), (key("t", 1), at(0))]);
    let mut all = [Vec::new(), Vec::new()];
    for room in (1..).map(|n| n % 700 + 1) {
        let before = positions(&source, 2);
        let mut sink = Sink::new(room);
        poll_until(&mut source, &mut sink, LIMIT, |sink, polled| {
            sink.room == 0 || polled == Polled::Idle { caught_up: true }
        })
        .unwrap();
        for part in 0..2_u32 {
            let records = sink.records(part);
            let moved = position(&source, part) - before[&part];
            assert_eq!(i64::try_from(records.len()).unwrap(), moved, "room {room} part {part}");
            all[part as usize].extend(records.into_iter().map(str::to_owned));
        }
        if sink.rows.is_empty() {
            break;
        }
    }
    assert_eq!(all, [numbers(0..2500), numbers(0..2500)]);
}

#[test]
fn a_sink_without_room_gets_nothing_and_says_full() {
    let cluster = cluster("t", 1);
    produce(&producer(&cluster), "t", 0, 0..10);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    let mut sink = Sink::new(0);
    assert_eq!(source.poll(&mut sink, Duration::from_millis(300)).unwrap(), Polled::Full);
    assert_eq!(position(&source, 0), 0);
    assert_eq!(read_all(&mut source).records(0), numbers(0..10));
}

#[test]
fn until_stops_exactly_and_reading_goes_on_after_it() {
    let cluster = cluster("t", 2);
    let producer = producer(&cluster);
    produce(&producer, "t", 0, 0..3000);
    produce(&producer, "t", 1, 0..3000);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0)), (key("t", 1), at(0))]);
    let mut all = [Vec::new(), Vec::new()];
    for until in [1, 500, 500, 1003, 2999, 3000] {
        source.set_until(&[(0, at(until)), (1, at(until))]).unwrap();
        let mut sink = Sink::new(usize::MAX);
        poll_until(&mut source, &mut sink, LIMIT, |_, polled| polled == Polled::ReachedUntil)
            .unwrap();
        for part in 0..2_u32 {
            assert_eq!(position(&source, part), until);
            all[part as usize].extend(sink.records(part).into_iter().map(str::to_owned));
            assert_eq!(all[part as usize], numbers(0..until));
        }
    }
    produce(&producer, "t", 0, 3000..3100);
    source.set_until(&[]).unwrap();
    assert_eq!(read_all(&mut source).records(0), numbers(3000..3100));
}

#[test]
fn the_last_record_before_until_reaches_it() {
    let cluster = cluster("t", 1);
    produce(&producer(&cluster), "t", 0, 0..10);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    for until in [5, 10] {
        source.set_until(&[(0, at(until))]).unwrap();
        let mut sink = Sink::new(5);
        poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.room == 0).unwrap();
        // Neither a record behind it nor the end of the partition can have been looked at: there is
        // no room.
        assert_eq!(source.poll(&mut sink, Duration::ZERO).unwrap(), Polled::ReachedUntil);
        assert_eq!(sink.records(0), numbers(until - 5..until));
        assert_eq!(position(&source, 0), until);
    }
}

#[test]
fn one_part_with_until_ends_the_poll_and_the_other_loses_nothing() {
    let cluster = cluster("t", 2);
    let producer = producer(&cluster);
    produce(&producer, "t", 0, 0..3000);
    produce(&producer, "t", 1, 0..3000);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0)), (key("t", 1), at(0))]);
    source.set_until(&[(0, at(10))]).unwrap();
    let mut first = Sink::new(usize::MAX);
    poll_until(&mut source, &mut first, LIMIT, |_, polled| polled == Polled::ReachedUntil).unwrap();
    assert_eq!(position(&source, 0), 10);
    source.set_until(&[]).unwrap();
    let rest = read_all(&mut source);
    for part in 0..2 {
        let mut records = first.records(part);
        records.extend(rest.records(part));
        assert_eq!(records, numbers(0..3000), "part {part}");
    }
}

#[test]
fn a_new_assignment_forgets_the_old_one() {
    let cluster = cluster("t", 2);
    let producer = producer(&cluster);
    produce(&producer, "t", 0, 0..2000);
    produce(&producer, "t", 1, 0..2000);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0)), (key("t", 1), at(0))]);
    let mut sink = Sink::new(10);
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.room == 0).unwrap();
    for from in [1990, 5] {
        assign(&mut source, &[(key("t", 1), at(from))]);
        assert!(source.position(1).is_none());
        let sink = read_all(&mut source);
        assert_eq!(sink.records(0), numbers(from..2000));
        assert!(sink.rows.iter().all(|row| row.part == 0));
    }
}

#[test]
fn f20_null_empty_and_headers_arrive_as_they_are() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some(b"\x00\xff".as_slice()) })
        .insert(Header { key: "a", value: Some(b"".as_slice()) })
        .insert(Header { key: "null", value: None::<&[u8]> });
    let record = BaseRecord::<[u8], [u8]>::to("t").partition(0).timestamp(1_700_000_000_123);
    producer.send(record.key(b"".as_slice()).payload(b"".as_slice()).headers(headers)).unwrap();
    producer.send(BaseRecord::<[u8], [u8]>::to("t").partition(0).timestamp(1)).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    let config = json!({"key.format": "bytes", "value.format": "string", "record.metadata": true});
    let mut source = open(&cluster.bootstrap_servers(), "t", &config);
    assign(&mut source, &[(key("t", 0), at(0))]);
    let rows = read_all(&mut source).rows;
    assert_eq!(rows[0].id, "\"\"");
    assert_eq!(
        rows[0].record,
        r#"{"headers":[{"name":"a","value":"AP8="},{"name":"a","value":""},{"name":"null","value":null}],"offset":0,"partition":0,"timestamp":1700000000123,"value":""}"#
    );
    assert_eq!(rows[1].id, r#"{"offset":1,"partition":0}"#);
    let expected = r#"{"headers":[],"offset":1,"partition":0,"timestamp":1,"value":null}"#;
    assert_eq!(rows[1].record, expected);
}

#[test]
fn what_is_not_json_becomes_an_error_row_in_its_place() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster);
    for value in ["1", "{oops", "3"] {
        producer.send(BaseRecord::<str, str>::to("t").partition(0).payload(value)).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
    }
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    let sink = read_all(&mut source);
    assert_eq!(sink.records(0), ["1", "3"]);
    let error = &sink.errors[0];
    assert_eq!(
        (error.code.as_str(), error.position.as_str()),
        ("DECODE_FAILED", r#"{"offset":1}"#)
    );
    assert_eq!(error.value.as_deref(), Some(b"{oops".as_slice()));
    assert!(!error.reason.contains("oops"), "{}", error.reason);
    assert_eq!(position(&source, 0), 3);
}

#[test]
fn headers_that_cannot_all_be_told_make_an_error_row() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster);
    for count in [10_000, 10_001] {
        let mut headers = OwnedHeaders::new_with_capacity(count);
        for _ in 0..count {
            headers = headers.insert(Header { key: "h", value: Some(b"".as_slice()) });
        }
        let record = BaseRecord::<str, str>::to("t").partition(0).payload("1");
        producer.send(record.headers(headers)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({"record.metadata": true}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    let sink = read_all(&mut source);
    assert_eq!(sink.rows.len(), 1);
    assert_eq!(sink.errors.len(), 1);
    assert!(sink.errors[0].reason.contains("more than 10000"), "{}", sink.errors[0].reason);
    // Without metadata they are not needed.
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).records(0), ["1", "1"]);
}

#[test]
fn a_row_that_is_too_large_becomes_an_error_row() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster);
    let large = format!("\"{}\"", "x".repeat(5000));
    for value in ["1", large.as_str(), "3"] {
        producer.send(BaseRecord::<str, str>::to("t").partition(0).payload(value)).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    let mut sink = Sink::new(usize::MAX);
    sink.row_bytes_max = 1000;
    let caught_up = |_: &Sink, polled| polled == Polled::Idle { caught_up: true };
    poll_until(&mut source, &mut sink, LIMIT, caught_up).unwrap();
    assert_eq!(sink.records(0), ["1", "3"]);
    assert_eq!(sink.errors[0].code, "ROW_TOO_LARGE");
    assert_eq!(sink.errors[0].value, None, "the value is too large for the error row as well");
}

#[test]
fn e01_nothing_is_skipped_when_the_queue_holds_both_rows_and_the_end() {
    // Five records, then the end: the position that librdkafka itself reports would be 6.
    let cluster = cluster("t", 1);
    let producer = producer(&cluster);
    produce(&producer, "t", 0, 0..5);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).records(0), numbers(0..5));
    assert_eq!(position(&source, 0), 5);
    produce(&producer, "t", 0, 5..6);
    let value = source.position(0).unwrap();
    assign(&mut source, &[(key("t", 0), value)]);
    assert_eq!(read_all(&mut source).records(0), numbers(5..6));
}

#[test]
fn an_offset_past_the_end_is_an_error_with_numbers() {
    let cluster = cluster("t", 1);
    produce(&producer(&cluster), "t", 0, 0..10);
    for on_gap in ["error", "earliest", "latest"] {
        let config = json!({"auto.offset.reset": on_gap});
        let mut source = open(&cluster.bootstrap_servers(), "t", &config);
        assign(&mut source, &[(key("t", 0), at(50))]);
        let (sink, failure) = read_failure(&mut source);
        assert!(sink.rows.is_empty());
        assert!(
            matches!(failure.code, Code::SourceRecreated | Code::OffsetOutOfRange),
            "{failure}"
        );
        for (name, number) in [("offset", 50), ("earliest", 0), ("latest", 10)] {
            assert_eq!(failure.detail[name], number, "{failure}");
        }
        assert!(!failure.retryable);
        assert_eq!(position(&source, 0), 50);
        let again = source.poll(&mut Sink::new(9), Duration::ZERO).unwrap_err();
        assert_eq!(again.code, failure.code, "it stays broken");
    }
}

/// Fills a partition until the mock throws its oldest records away (it keeps 5 MiB).
fn overflow(cluster: &Cluster) -> (i64, i64) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("batch.num.messages", "1")
        .create()
        .unwrap();
    let value = format!("\"{}\"", "x".repeat(100_000));
    for _ in 0..80 {
        producer.send(BaseRecord::<str, str>::to("t").partition(0).payload(&value)).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    let low = source.offsets(Start::Earliest, &[key("t", 0)], &Cancel::default()).unwrap();
    let high = source.offsets(Start::Latest, &[key("t", 0)], &Cancel::default()).unwrap();
    (offset(&low[0]), offset(&high[0]))
}

#[test]
fn records_that_are_gone_are_an_error_with_numbers() {
    let cluster = cluster("t", 1);
    let (low, high) = overflow(&cluster);
    assert!(low > 2 && high == 80, "the mock kept {low}..{high}");
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    let parts = [(key("t", 0), at(2))];
    let failure = source.assign("", &parts, &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::OffsetOutOfRange);
    for (name, number) in [("offset", 2), ("earliest", low), ("latest", 80), ("gap", low - 2)] {
        assert_eq!(failure.detail[name], number, "{failure}");
    }
    assert_eq!(failure.part, Some(0));
}

#[test]
fn the_user_may_choose_to_lose_what_is_gone() {
    let cluster = cluster("t", 1);
    let (low, high) = overflow(&cluster);
    for (choice, from) in [("earliest", low), ("latest", high)] {
        let config = json!({"auto.offset.reset": choice});
        let mut source = open(&cluster.bootstrap_servers(), "t", &config);
        assign(&mut source, &[(key("t", 0), at(2))]);
        assert_eq!(position(&source, 0), 2, "the move is part of a batch");
        let sink = read_all(&mut source);
        assert_eq!(i64::try_from(sink.rows.len()).unwrap(), high - from, "{choice}");
        assert_eq!(position(&source, 0), high);
    }
}

#[test]
fn a_missing_topic_is_named_and_not_created() {
    let cluster = cluster("t", 1);
    let mut source = open(&cluster.bootstrap_servers(), "absent", &json!({}));
    let failure = source.discover(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceNotFound, "{failure}");
    assert!(failure.message.contains("topic absent"), "{failure}");
    let failure = source.assign("", &[(key("absent", 0), at(0))], &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceNotFound, "{failure}");
    let failure = source.check(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceNotFound, "{failure}");
}

#[test]
fn a_missing_topic_is_waited_for() {
    let cluster = cluster("t", 1);
    let config = json!({"topic.wait.ms": 20_000});
    let mut source = open(&cluster.bootstrap_servers(), "later", &config);
    let cancel = Cancel::default();
    let canceller = cancel.clone();
    let waiter = std::thread::spawn(move || {
        let cancelled = source.discover(&cancel).unwrap_err();
        cancel.clear();
        (cancelled, source.discover(&cancel))
    });
    std::thread::sleep(Duration::from_millis(500));
    canceller.set();
    std::thread::sleep(Duration::from_millis(700));
    cluster.create_topic("later", 2, 1).unwrap();
    let (cancelled, discovery) = waiter.join().unwrap();
    assert_eq!(cancelled.code, Code::Cancelled);
    assert_eq!(discovery.unwrap().splits.len(), 2);
}

#[test]
fn a_partition_that_is_not_there_is_named() {
    let cluster = cluster("t", 2);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    let failure = source.assign("", &[(key("t", 7), at(0))], &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceNotFound);
    assert!(failure.message.contains("topic t partition 7"), "{failure}");
    let failure = source.assign("", &[(key("u", 0), at(0))], &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::OffsetInvalid);
}

#[test]
fn starts_are_pinned_to_numbers() {
    let cluster = cluster("t", 2);
    produce(&producer(&cluster), "t", 1, 0..30);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    let keys = [key("t", 0), key("t", 1)];
    let mut ask = |start| source.offsets(start, &keys, &Cancel::default()).unwrap();
    assert_eq!(ask(Start::Earliest), [at(0), at(0)]);
    assert_eq!(ask(Start::Latest), [at(0), at(30)]);
    // The mock finds nothing by time, and nothing found means the end.
    assert_eq!(ask(Start::Timestamp(1)), [at(0), at(30)]);
}

#[test]
fn check_reads_from_the_topic() {
    let cluster = cluster("t", 1);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    let names = |probes: Vec<extractor::source::Probe>| -> Vec<_> {
        probes.into_iter().map(|probe| probe.name).collect()
    };
    let probes = source.check(&Cancel::default()).unwrap();
    assert_eq!(names(probes), ["topics", "read topic t partition 0"]);
    produce(&producer(&cluster), "t", 0, 0..10);
    source.check(&Cancel::default()).unwrap();
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).records(0), numbers(0..10), "check moved nothing");
}

#[test]
fn broker_errors_are_waited_out() {
    use RDKafkaRespErr as E;
    let cluster = cluster("t", 1);
    produce(&producer(&cluster), "t", 0, 0..1000);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    cluster.request_errors(
        RDKafkaApiKey::Fetch,
        &[
            E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            E::RD_KAFKA_RESP_ERR__TRANSPORT,
            E::RD_KAFKA_RESP_ERR_UNKNOWN,
            E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            E::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
            E::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        ],
    );
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).records(0), numbers(0..1000));
}

#[test]
fn an_out_of_range_that_is_not_true_is_tried_again() {
    let cluster = cluster("t", 1);
    produce(&producer(&cluster), "t", 0, 0..1000);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    cluster.request_errors(
        RDKafkaApiKey::Fetch,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE],
    );
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).records(0), numbers(0..1000));
}

#[test]
fn f26_a_change_of_leader_loses_nothing() {
    let cluster = MockCluster::new(2).unwrap();
    cluster.create_topic("t", 1, 2).unwrap();
    let producer = producer(&cluster);
    let config = json!({"properties.topic.metadata.refresh.interval.ms": 500});
    let mut source = open(&cluster.bootstrap_servers(), "t", &config);
    assign(&mut source, &[(key("t", 0), at(0))]);
    let mut records = Vec::new();
    for (round, leader) in [1, 2, 1, 2].into_iter().enumerate() {
        cluster.partition_leader("t", 0, Some(leader)).unwrap();
        let first = i64::try_from(round).unwrap() * 500;
        produce(&producer, "t", 0, first..first + 500);
        let mut sink = Sink::new(usize::MAX);
        poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.rows.len() == 500).unwrap();
        records.extend(sink.records(0).into_iter().map(str::to_owned));
    }
    assert_eq!(records, numbers(0..2000));
}

#[test]
fn a_broker_that_comes_back_is_read_on() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster);
    produce(&producer, "t", 0, 0..100);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).rows.len(), 100);
    cluster.broker_down(1).unwrap();
    let mut sink = Sink::new(usize::MAX);
    let not_caught_up = |_: &Sink, polled| polled == Polled::Idle { caught_up: false };
    poll_until(&mut source, &mut sink, LIMIT, not_caught_up).unwrap();
    cluster.broker_up(1).unwrap();
    produce(&producer, "t", 0, 100..200);
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.rows.len() == 100).unwrap();
    assert_eq!(sink.records(0), numbers(100..200));
}

#[test]
fn an_outage_longer_than_the_retry_is_an_error_and_not_the_end() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster);
    produce(&producer, "t", 0, 0..100);
    let settings = settings(&cluster.bootstrap_servers(), "t", &json!({}));
    let mut source = KafkaSource::open(settings, Duration::from_secs(1)).unwrap();
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).rows.len(), 100);
    cluster.broker_down(1).unwrap();
    let (sink, failure) = read_failure(&mut source);
    assert!(sink.rows.is_empty());
    assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
    assert!(failure.retryable && failure.message.contains(&cluster.bootstrap_servers()));
    assert_eq!(position(&source, 0), 100);
    cluster.broker_up(1).unwrap();
    produce(&producer, "t", 0, 100..200);
    let mut sink = Sink::new(usize::MAX);
    let started = Instant::now();
    while sink.rows.len() < 100 {
        // While it is still down this fails; the source goes on once it is up.
        drop(source.poll(&mut sink, Duration::from_millis(50)));
        assert!(started.elapsed() < LIMIT);
    }
    assert_eq!(sink.records(0), numbers(100..200));
}

#[test]
fn nothing_hangs_while_the_broker_is_down() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster);
    produce(&producer, "t", 0, 0..100);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    let mut sink = Sink::new(10);
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.room == 0).unwrap();
    cluster.broker_down(1).unwrap();
    let mut sink = Sink::new(usize::MAX);
    let not_caught_up = |_: &Sink, polled| polled == Polled::Idle { caught_up: false };
    poll_until(&mut source, &mut sink, LIMIT, not_caught_up).unwrap();
    let started = Instant::now();
    source.set_until(&[(0, at(50))]).unwrap();
    source.set_until(&[]).unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "stop: {:?}", started.elapsed());
    let parts = [(key("t", 0), at(20))];
    let failure = source.assign("", &parts, &Cancel::default()).unwrap_err();
    assert!(failure.retryable, "{failure}");
    assert!(started.elapsed() < Duration::from_secs(14), "assign: {:?}", started.elapsed());
    cluster.broker_up(1).unwrap();
    while source.assign("", &parts, &Cancel::default()).is_err() {
        assert!(started.elapsed() < LIMIT);
    }
    assert_eq!(read_all(&mut source).records(0), numbers(20..100));
}

#[test]
fn lag_is_what_lies_between_the_position_and_the_end() {
    let cluster = cluster("t", 2);
    produce(&producer(&cluster), "t", 0, 0..100);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0)), (key("t", 1), at(0))]);
    assert_eq!(source.lag().rows, None, "nothing was fetched yet");
    let mut sink = Sink::new(10);
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.room == 0).unwrap();
    let started = Instant::now();
    while source.lag().rows != Some(90) {
        source.poll(&mut Sink::new(0), Duration::from_millis(10)).unwrap();
        assert!(started.elapsed() < LIMIT, "{:?}", source.lag());
    }
    assert!(source.lag().ms.is_some_and(|age| age < 60_000), "{:?}", source.lag());
    read_all(&mut source);
    assert_eq!((source.lag().rows, source.lag().ms), (Some(0), Some(0)));
}

#[test]
fn an_unreachable_broker_is_named_with_its_cause() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut source = open(&server, "t", &json!({}));
    let started = Instant::now();
    let failure = source.discover(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
    assert!(failure.retryable);
    assert!(failure.message.contains(&server), "{failure}");
    assert!(failure.message.contains("refused"), "{failure}");
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
}

#[test]
fn an_unknown_host_is_a_dns_failure() {
    let mut source = open("no-such-host.invalid:9092", "t", &json!({}));
    let failure = source.discover(&Cancel::default()).unwrap_err();
    assert!(matches!(failure.code, Code::Dns | Code::SourceUnavailable), "{failure}");
    assert!(failure.message.contains("no-such-host.invalid"), "{failure}");
}

#[test]
fn cancel_ends_a_call_at_once() {
    // A listener that accepts and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let mut source = open(&server, "t", &json!({}));
    let cancel = Cancel::default();
    let canceller = cancel.clone();
    let waiter = std::thread::spawn(move || {
        let started = Instant::now();
        let failure = source.discover(&cancel).unwrap_err();
        (failure, started.elapsed())
    });
    std::thread::sleep(Duration::from_millis(300));
    canceller.set();
    let (failure, took) = waiter.join().unwrap();
    assert_eq!(failure.code, Code::Cancelled);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn f28_every_codec_decodes() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let cluster = cluster("t", 1);
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("compression.codec", codec)
            .set("linger.ms", "50")
            .create()
            .unwrap();
        produce(&producer, "t", 0, 0..2000);
        let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
        assign(&mut source, &[(key("t", 0), at(0))]);
        assert_eq!(read_all(&mut source).records(0), numbers(0..2000), "{codec}");
    }
}

#[test]
fn dropping_a_source_does_not_wait_for_brokers() {
    let cluster = cluster("t", 1);
    produce(&producer(&cluster), "t", 0, 0..1000);
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0))]);
    read_all(&mut source);
    cluster.broker_down(1).unwrap();
    let started = Instant::now();
    drop(source);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
