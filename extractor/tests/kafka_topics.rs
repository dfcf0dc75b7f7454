//! Which topics the Kafka source reads and how they hold each other up: patterns, topics that come
//! and go, idle partitions, brokers that are away. Against librdkafka's mock cluster, and against a
//! real broker where `KAFKA_BOOTSTRAP=host:port` names one.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kafka_support/support.rs"]
mod support;

use std::time::{Duration, Instant};

use extractor::config::Settings;
use extractor::source::kafka::{KafkaSettings, KafkaSource};
use extractor::source::{Cancel, Source, Start, Topology};
use protocol::Code;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Map, Value, json};

use support::*;

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// The monitor looks every ten seconds.
const LOOKED: Duration = Duration::from_secs(15);

fn producer(servers: &str) -> BaseProducer {
    ClientConfig::new().set("bootstrap.servers", servers).set("linger.ms", "0").create().unwrap()
}

fn produce(producer: &BaseProducer, topic: &str, partition: i32, values: &[&str]) {
    for value in values {
        let record = BaseRecord::<str, str>::to(topic).partition(partition).payload(*value);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

/// A source of all topics that match.
fn matching(servers: &str, pattern: &str, extra: &Value) -> KafkaSource {
    let config = json!({"bootstrap.servers": servers, "topics.regex": pattern});
    let mut config = config.as_object().unwrap().clone();
    config.extend(extra.as_object().unwrap().clone());
    let settings = Settings::from_maps(&config, &Map::new()).unwrap();
    let settings = KafkaSettings::read(&settings).unwrap();
    KafkaSource::open(settings, Duration::from_secs(30)).unwrap()
}

/// Polls until the source tells of new splits.
fn topology(source: &mut KafkaSource, sink: &mut Sink) -> Topology {
    let started = Instant::now();
    loop {
        source.poll(sink, Duration::from_millis(50)).unwrap();
        if let Some(topology) = source.topology() {
            return topology;
        }
        assert!(started.elapsed() < LOOKED, "no news");
    }
}

fn read_matching_and_grow(servers: &str, tag: &str, create: &mut dyn FnMut(&str, i32)) {
    let name = |n: &str| format!("{tag}-{n}");
    for (topic, partitions) in [("a", 2), ("b", 1), ("x", 1)] {
        create(&name(topic), partitions);
    }
    let producer = producer(servers);
    produce(&producer, &name("a"), 1, &["1"]);
    produce(&producer, &name("x"), 0, &["9"]);
    let mut source = matching(servers, &format!("{tag}-[a-c]"), &json!({}));
    let found = source.discover(&Cancel::default()).unwrap().splits;
    let keys: Vec<_> = found.iter().map(|split| split.key.clone()).collect();
    assert_eq!(keys, [key(&name("a"), 0), key(&name("b"), 0), key(&name("a"), 1)]);
    let mut parts: Vec<_> = keys.into_iter().map(|key| (key, at(0))).collect();
    assign(&mut source, &parts);
    let mut sink = read_all(&mut source);
    assert_eq!(sink.records(2), ["1"]);
    create(&name("c"), 2);
    create(&name("d"), 1);
    produce(&producer, &name("c"), 1, &["2", "3"]);
    let added = topology(&mut source, &mut sink).added;
    let new: Vec<_> = added.into_iter().map(|(split, value)| (split.key, value)).collect();
    assert_eq!(new, [(key(&name("c"), 0), at(0)), (key(&name("c"), 1), at(0))]);
    for (part, place) in (0_u32..).zip(&mut parts) {
        place.1 = source.position(part).unwrap();
    }
    parts.extend(new);
    assign(&mut source, &parts);
    assert_eq!(read_all(&mut source).records(4), ["2", "3"], "from its beginning");
    assert!(source.topology().is_none(), "told once");
}

#[test]
fn f21_topics_that_match_are_read_and_new_ones_are_added() {
    let cluster: Cluster = MockCluster::new(1).unwrap();
    let mut create = |name: &str, partitions| cluster.create_topic(name, partitions, 1).unwrap();
    read_matching_and_grow(&cluster.bootstrap_servers(), "m", &mut create);
}

#[test]
fn f21_topics_that_match_are_read_and_new_ones_are_added_on_a_real_broker() {
    let Ok(servers) = std::env::var("KAFKA_BOOTSTRAP") else {
        eprintln!("skipped: KAFKA_BOOTSTRAP is not set (topics.regex on a real broker)");
        return;
    };
    let mut topics = Vec::new();
    let mut create = |name: &str, partitions| {
        topics.push(OwnTopic::create(&servers, name, partitions));
    };
    let tag = format!("rx{:08x}", fastrand::u32(..));
    read_matching_and_grow(&servers, &tag, &mut create);
    // Kafka's own topics are there by now or not; no pattern without underscores takes them.
    let mut source = matching(&servers, ".*", &json!({}));
    let found = source.discover(&Cancel::default()).unwrap().splits;
    assert!(found.iter().all(|split| !split.key.as_str().contains("\"__")), "{found:?}");
}

/// An assignment that nobody discovered for: what matches and is not part of it is still told.
#[test]
fn a_topic_that_is_first_seen_by_an_assignment_is_told() {
    let cluster: Cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("m-a", 1, 1).unwrap();
    cluster.create_topic("m-b", 1, 1).unwrap();
    let mut source = matching(&cluster.bootstrap_servers(), "m-.*", &json!({}));
    assign(&mut source, &[(key("m-a", 0), at(0))]);
    let added = topology(&mut source, &mut Sink::new(usize::MAX)).added;
    assert_eq!(added[0].0.key, key("m-b", 0));
}

#[test]
fn a_pattern_that_matches_nothing_is_an_error_or_waited_for() {
    let cluster: Cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("other", 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    let mut source = matching(&servers, "orders-.*", &json!({}));
    let failure = source.discover(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceNotFound);
    assert!(failure.message.contains(r#"topics.regex = "orders-.*""#), "{failure}");
    let mut source = matching(&servers, "orders-.*", &json!({"topic.wait.ms": 10_000}));
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || source.discover(&Cancel::default()).unwrap().splits);
        std::thread::sleep(Duration::from_millis(700));
        cluster.create_topic("orders-1", 1, 1).unwrap();
        assert_eq!(waits.join().unwrap()[0].key, key("orders-1", 0));
    });
}

#[test]
fn a_key_that_does_not_match_is_refused() {
    let cluster: Cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("a", 1, 1).unwrap();
    let mut source = matching(&cluster.bootstrap_servers(), "a", &json!({}));
    let parts = [(key("ab", 0), at(0))];
    let failure = source.assign("", &parts, &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::OffsetInvalid, "{failure}");
}

/// Records of one busy partition among many idle ones arrive as fast as alone.
#[test]
fn idle_partitions_delay_nobody() {
    const ROUNDS: usize = 21;
    let median_of = |partitions: i32| {
        let cluster: Cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", partitions, 1).unwrap();
        let producer = producer(&cluster.bootstrap_servers());
        let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
        let parts: Vec<_> = (0..partitions).map(|n| (key("t", n), at(0))).collect();
        assign(&mut source, &parts);
        let mut sink = read_all(&mut source);
        let mut times = Vec::new();
        for round in 1..=ROUNDS {
            produce(&producer, "t", 0, &["1"]);
            let sent = Instant::now();
            poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.rows.len() == round).unwrap();
            times.push(sent.elapsed());
        }
        times.sort_unstable();
        times[ROUNDS / 2]
    };
    let (alone, among) = (median_of(1), median_of(100));
    // A fetch that had to wait for idle partitions would take its whole wait of 200 ms each time, on
    // any machine.
    assert!(
        among < alone + Duration::from_millis(150),
        "{among:?} among idle ones, {alone:?} alone"
    );
}

/// A partition whose leader is away does not hold up the others, and is read on when it is back.
#[test]
fn a_partition_whose_leader_is_away_delays_nobody() {
    let cluster: Cluster = MockCluster::new(2).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    cluster.partition_leader("t", 0, Some(1)).unwrap();
    cluster.partition_leader("t", 1, Some(2)).unwrap();
    let producer = producer(&cluster.bootstrap_servers());
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0)), (key("t", 1), at(0))]);
    let mut sink = read_all(&mut source);
    produce(&producer, "t", 1, &["1"]);
    cluster.broker_down(2).unwrap();
    for round in 1..=10 {
        produce(&producer, "t", 0, &["2"]);
        let limit = Duration::from_secs(5);
        poll_until(&mut source, &mut sink, limit, |sink, _| sink.records(0).len() == round)
            .unwrap();
    }
    cluster.broker_up(2).unwrap();
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.records(1).len() == 1).unwrap();
}

/// The same when reading begins.
#[test]
fn a_partition_that_has_no_leader_at_the_start_delays_nobody() {
    let cluster: Cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    let producer = producer(&cluster.bootstrap_servers());
    produce(&producer, "t", 0, &["0"]);
    produce(&producer, "t", 1, &["1"]);
    cluster.partition_leader("t", 1, None).unwrap();
    let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
    assign(&mut source, &[(key("t", 0), at(0)), (key("t", 1), at(0))]);
    let mut sink = Sink::new(100);
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.records(0) == ["0"]).unwrap();
    assert!(sink.records(1).is_empty());
    cluster.partition_leader("t", 1, Some(1)).unwrap();
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.records(1) == ["1"]).unwrap();
}

/// Where a start has to be asked of brokers, a partition without a leader is an error that names it,
/// in bounded time, whether others have one or not; once it has one again, the same client finds it.
#[test]
fn a_partition_without_a_leader_is_named_where_its_start_is_asked() {
    for batch in [true, false] {
        let cluster: Cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        let producer = producer(&cluster.bootstrap_servers());
        produce(&producer, "t", 1, &["1"]);
        cluster.partition_leader("t", 1, None).unwrap();
        let config = json!({"consumer.batch": batch});
        let mut source = open(&cluster.bootstrap_servers(), "t", &config);
        let keys = [key("t", 0), key("t", 1)];
        let mut ask = |start| source.offsets(start, &keys, &Cancel::default());
        let failure = ask(Start::Earliest).unwrap_err();
        assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
        assert!(
            failure.retryable && failure.message.starts_with("no leader for topic t partition 1:"),
            "{failure}"
        );
        cluster.partition_leader("t", 0, None).unwrap();
        let failure = ask(Start::Latest).unwrap_err();
        assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
        assert!(failure.message.contains("topic t partition 0, topic t partition 1:"), "{failure}");
        for partition in 0..2 {
            cluster.partition_leader("t", partition, Some(1)).unwrap();
        }
        let offsets = ask(Start::Latest).unwrap();
        assert_eq!([offset(&offsets[0]), offset(&offsets[1])], [0, 1]);
    }
}

/// The same among many topics on a broker that answers slowly: whoever is away is still named, whether
/// the leaders of few topics are looked for, of more than the time is enough for, or of all.
#[test]
fn partitions_without_a_leader_are_named_among_many_topics() {
    const TOPICS: usize = 30;
    let cluster: Cluster = MockCluster::new(1).unwrap();
    let names: Vec<_> = (10..10 + TOPICS).map(|n| format!("t{n}")).collect();
    for name in &names {
        cluster.create_topic(name, 1, 1).unwrap();
    }
    let mut source = open(&cluster.bootstrap_servers(), &names.join(","), &json!({}));
    let keys: Vec<_> = names.iter().map(|name| key(name, 0)).collect();
    let mut ask = || source.offsets(Start::Earliest, &keys, &Cancel::default());
    assert_eq!(ask().unwrap().len(), TOPICS);
    cluster.broker_round_trip_time(1, Duration::from_millis(700)).unwrap();
    let mut gone = 0;
    for (count, more) in [(1, ":"), (8, " and 3 more:"), (TOPICS, " and 25 more:")] {
        for name in &names[gone..count] {
            cluster.partition_leader(name, 0, None).unwrap();
        }
        gone = count;
        let failure = ask().unwrap_err();
        assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
        let text = failure.message.strip_prefix("no leader for topic t10 partition 0");
        assert!(text.is_some_and(|text| text.contains(more)), "{failure}");
    }
    cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    for name in &names {
        cluster.partition_leader(name, 0, Some(1)).unwrap();
    }
    assert_eq!(ask().unwrap().len(), TOPICS);
}

/// What brokers answer during an election is waited for, and told as that where it lasts.
#[test]
fn an_election_is_waited_for_where_a_start_is_asked() {
    use RDKafkaRespErr as E;
    for (error, name) in [
        (E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, "NotLeaderForPartition"),
        (E::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, "ReplicaNotAvailable"),
        (E::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, "OffsetNotAvailable"),
        (E::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, "FencedLeaderEpoch"),
    ] {
        let cluster: Cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        let mut source = open(&cluster.bootstrap_servers(), "t", &json!({}));
        let keys = [key("t", 0), key("t", 1)];
        let mut ask = || source.offsets(Start::Earliest, &keys, &Cancel::default());
        // More than librdkafka tries by itself for one question.
        cluster.request_errors(RDKafkaApiKey::ListOffsets, &[error; 3]);
        assert_eq!(ask().unwrap().len(), 2, "{name}");
        if name == "OffsetNotAvailable" {
            cluster.request_errors(RDKafkaApiKey::ListOffsets, &[error; 100]);
            let failure = ask().unwrap_err();
            assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
            let names = "one of topic t partition 0, topic t partition 1 moved or is away";
            assert!(failure.message.contains(names), "{failure}");
        }
    }
}

/// F27: partitions are assigned, never subscribed: a host that does not ask for longer than
/// `max.poll.interval.ms` loses nothing, and nobody takes its partitions away.
#[test]
fn f27_a_host_that_is_slow_keeps_its_partitions() {
    let cluster: Cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let producer = producer(&cluster.bootstrap_servers());
    let values: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    produce(&producer, "t", 0, &values);
    let config = json!({
        "properties.max.poll.interval.ms": 1000, "properties.session.timeout.ms": 1000,
    });
    let mut source = open(&cluster.bootstrap_servers(), "t", &config);
    assign(&mut source, &[(key("t", 0), at(0))]);
    let mut records = Vec::new();
    for _ in 0..2 {
        let mut sink = Sink::new(500);
        poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.room == 0).unwrap();
        records.extend(sink.records(0).into_iter().map(str::to_owned));
        std::thread::sleep(Duration::from_millis(2500));
    }
    records.extend(read_all(&mut source).records(0).into_iter().map(str::to_owned));
    assert_eq!(records, values);
}

/// A record that is an error row for another reason says that its headers are not all there.
#[test]
fn headers_that_an_error_row_cannot_hold_are_told() {
    let cluster: Cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let producer = producer(&cluster.bootstrap_servers());
    for count in [3, 10_001] {
        let mut headers = OwnedHeaders::new_with_capacity(count);
        for _ in 0..count {
            headers = headers.insert(Header { key: "h", value: Some(b"v".as_slice()) });
        }
        let record = BaseRecord::<str, str>::to("t").partition(0).payload("{no json");
        producer.send(record.headers(headers)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    for metadata in [false, true] {
        let config = json!({"record.metadata": metadata});
        let mut source = open(&cluster.bootstrap_servers(), "t", &config);
        assign(&mut source, &[(key("t", 0), at(0))]);
        let errors = read_all(&mut source).errors;
        assert_eq!((errors[0].headers, errors[1].headers), (3, 0));
        assert!(!errors[0].reason.contains("headers"), "{}", errors[0].reason);
        assert!(errors[1].reason.contains("headers are left out"), "{}", errors[1].reason);
    }
}
