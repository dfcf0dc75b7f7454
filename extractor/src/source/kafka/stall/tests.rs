//! When a partition counts as stalled, and what becomes of one.

use protocol::avro::ErrorRow;
use protocol::{Code, OffsetKey, OffsetValue};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::{Map, json};

use super::*;
use crate::config::Settings;
use crate::source::kafka::KafkaSettings;
use crate::source::kafka::queue::FetchQueue;
use crate::source::{Cancel, Polled, RowSink, Source, Taken};

fn place() -> Place {
    Place { topic: "t".to_owned(), partition: 0 }
}

#[test]
fn only_who_stands_below_its_end_for_long_is_stalled() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let mut stalls = Stalls::new();
    for (seconds, position, end, stalled) in [
        (0, 5, 5, false),
        (200, 5, 9, false),
        (260, 7, 9, false),
        (349, 7, 9, false),
        (350, 7, 9, true),
        (351, 7, 9, false),
        (440, 7, 9, false),
        (441, 7, 9, true),
        (600, 7, 9, false),
        (650, 9, 9, false),
        (700, 9, 10, false),
        (780, 9, 11, false),
    ] {
        let judged = stalls.judge(&place(), position, end, at(seconds));
        assert_eq!(judged, stalled, "at {seconds} s");
    }
}

/// Counts rows.
struct Count(usize);

impl RowSink for Count {
    fn rows_left(&self) -> usize {
        usize::MAX
    }

    fn row(&mut self, _: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        write(&mut Vec::new());
        self.0 += 1;
        Taken::Yes
    }

    fn error(&mut self, _: u32, _: &ErrorRow<'_>) -> Taken {
        Taken::No
    }
}

struct Bench {
    _cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
    source: Kafka<FetchQueue>,
}

impl Bench {
    /// A source that has read the one record there is, and counts as stalled after 300 ms.
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let servers = cluster.bootstrap_servers();
        let mut config = ClientConfig::new();
        let producer = config.set("bootstrap.servers", &servers).create().unwrap();
        let config = json!({"bootstrap.servers": servers, "topics": "t"});
        let settings = Settings::from_maps(config.as_object().unwrap(), &Map::new()).unwrap();
        let settings = KafkaSettings::read(&settings).unwrap();
        let mut source = Kafka::connect(settings, Duration::from_secs(30)).unwrap();
        source.stalls.after = Duration::from_millis(300);
        let key = OffsetKey::parse(r#"{"partition":0,"topic":"t"}"#).unwrap();
        let value = OffsetValue::parse(r#"{"offset":0}"#).unwrap();
        source.assign("", &[(key, value)], &Cancel::default()).unwrap();
        let mut bench = Self { _cluster: cluster, producer, source };
        bench.send();
        assert!(bench.reads_another_within(Duration::from_secs(20)));
        bench
    }

    fn send(&self) {
        let record = BaseRecord::<str, str>::to("t").partition(0).payload("1");
        self.producer.send(record).map_err(|(e, _)| e).unwrap();
        self.producer.flush(Duration::from_secs(10)).unwrap();
    }

    fn reads_another_within(&mut self, limit: Duration) -> bool {
        let (started, mut sink) = (Instant::now(), Count(0));
        while sink.0 == 0 && started.elapsed() < limit {
            self.source.poll(&mut sink, Duration::from_millis(20)).unwrap();
        }
        sink.0 > 0
    }
}

/// The client forgets to fetch a partition, and nobody is told: as a lost wake-up.
#[test]
fn f25_a_partition_that_is_not_fetched_any_more_is_fetched_anew() {
    let mut bench = Bench::new();
    bench.source.reader.queue.stop("t", 0).unwrap();
    bench.source.stalls.after = Duration::from_secs(3600);
    bench.send();
    assert!(!bench.reads_another_within(Duration::from_secs(1)), "it is stalled");
    bench.source.stalls.after = Duration::from_millis(300);
    assert!(bench.reads_another_within(Duration::from_secs(20)), "nobody noticed");
}

#[test]
fn f25_a_partition_that_stays_stalled_is_an_error_and_never_the_end() {
    let mut bench = Bench::new();
    let started = Instant::now();
    bench.send();
    let failure = loop {
        // It is stopped again whenever it was started, before anything arrives.
        bench.source.reader.queue.stop("t", 0).unwrap();
        bench.source.reader.queue.clear();
        match bench.source.watch_stalls().and_then(|()| bench.source.first_broken()) {
            Ok(()) => std::thread::sleep(Duration::from_millis(20)),
            Err(failure) => break failure,
        }
        assert!(started.elapsed() < Duration::from_secs(20), "nobody noticed");
    };
    assert_eq!(failure.code, Code::SourceUnavailable);
    assert!(failure.retryable && failure.message.contains("offset 1"), "{failure}");
}

#[test]
fn an_idle_partition_is_not_stalled() {
    let mut bench = Bench::new();
    assert!(!bench.reads_another_within(Duration::from_secs(2)));
    assert_eq!(bench.source.stalls.since.len(), 0);
    let polled = bench.source.poll(&mut Count(0), Duration::from_millis(500)).unwrap();
    assert!(matches!(polled, Polled::Idle { .. }), "{polled:?}");
    bench.send();
    assert!(bench.reads_another_within(Duration::from_secs(5)));
}
