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

/// Judges partition 0 of `backlog` at some seconds of reading, with the positions of all together.
fn judged(stalls: &mut Stalls, at: u64, position: i64, all: i128, backlog: u32) -> Option<Stall> {
    stalls.clock = Duration::from_secs(at);
    stalls.note(all);
    stalls.judge(&place(), position, backlog)
}

#[test]
fn only_who_stands_below_its_end_for_long_is_stalled() {
    let mut stalls = Stalls::new(None);
    for (seconds, position, stalled) in [
        (200, 5, false),
        (260, 7, false),
        (349, 7, false),
        (350, 7, true),
        (351, 7, false),
        (439, 7, false),
        (440, 7, true),
        (529, 7, false),
        (600, 9, false),
    ] {
        let judged = judged(&mut stalls, seconds, position, i128::from(position), 1);
        assert_eq!(judged, stalled.then_some(Stall::Alone), "at {seconds} s");
    }
}

/// 200 partitions with records over a slow link: a round of all takes minutes.
#[test]
fn f25_who_waits_for_its_turn_while_others_deliver_has_all_their_time() {
    let (mut stalls, mut fetched) = (Stalls::new(None), Vec::new());
    for second in (0..=200_u64 * 90 * 8).step_by(30) {
        match judged(&mut stalls, second, 7, i128::from(second), 200) {
            None => {}
            Some(Stall::AmongOthers) => fetched.push(second / 90 / 200),
            Some(Stall::Alone) => panic!("others deliver, at {second} s"),
        }
    }
    assert_eq!(fetched, [1, 3, 7], "each attempt has twice the time of the one before");
}

#[test]
fn a_longer_timeout_of_the_client_is_waited_for() {
    assert_eq!(Stalls::new(Some(60_000)).after, Duration::from_secs(90));
    assert_eq!(Stalls::new(Some(300_000)).after, Duration::from_secs(450));
    assert_eq!(Stalls::new(Some(1000)).after, Duration::from_secs(90));
}

#[test]
fn time_in_which_the_host_takes_nothing_does_not_count() {
    let (mut stalls, start) = (Stalls::new(None), Instant::now());
    stalls.ticked = start;
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    for (seconds, reading, clock) in [(2, true, 2), (90, false, 2), (91, true, 3), (900, true, 8)] {
        stalls.tick(at(seconds), reading);
        assert_eq!(stalls.clock, Duration::from_secs(clock), "at {seconds} s");
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

/// Partitions of the topic from their beginning.
fn whole(partitions: i32) -> Vec<(OffsetKey, OffsetValue)> {
    let key = |p| OffsetKey::parse(&format!(r#"{{"partition":{p},"topic":"t"}}"#)).unwrap();
    let value = || OffsetValue::parse(r#"{"offset":0}"#).unwrap();
    (0..partitions).map(|partition| (key(partition), value())).collect()
}

struct Bench {
    _cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
    source: Kafka<FetchQueue>,
}

impl Bench {
    /// A source of one partition that has read the one record there is, and counts as stalled
    /// after 300 ms.
    fn new() -> Self {
        Self::of(1)
    }

    /// The same of several partitions, of which the first has a record.
    fn of(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", partitions, 1).unwrap();
        let servers = cluster.bootstrap_servers();
        let mut config = ClientConfig::new();
        let producer = config.set("bootstrap.servers", &servers).create().unwrap();
        let config = json!({"bootstrap.servers": servers, "topics": "t"});
        let settings = Settings::from_maps(config.as_object().unwrap(), &Map::new()).unwrap();
        let settings = KafkaSettings::read(&settings).unwrap();
        let mut source = Kafka::connect(settings, Duration::from_secs(30)).unwrap();
        source.stalls.after = Duration::from_millis(300);
        source.assign("", &whole(partitions), &Cancel::default()).unwrap();
        let mut bench = Self { _cluster: cluster, producer, source };
        bench.send(0);
        assert!(bench.reads_another_within(Duration::from_secs(20)));
        bench
    }

    fn send(&self, partition: i32) {
        let record = BaseRecord::<str, str>::to("t").partition(partition).payload("1");
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
    bench.send(0);
    assert!(!bench.reads_another_within(Duration::from_secs(1)), "it is stalled");
    bench.source.stalls.after = Duration::from_millis(300);
    assert!(bench.reads_another_within(Duration::from_secs(20)), "nobody noticed");
}

#[test]
fn f25_a_partition_that_stays_stalled_is_an_error_and_never_the_end() {
    let mut bench = Bench::new();
    let started = Instant::now();
    bench.send(0);
    let failure = loop {
        // It is stopped again whenever it was started, before anything arrives.
        bench.source.reader.queue.stop("t", 0).unwrap();
        bench.source.reader.queue.clear();
        match bench.source.watch_stalls(Did::Nothing).and_then(|()| bench.source.first_broken()) {
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
    assert_eq!(bench.source.stalls.below.len(), 0);
    let polled = bench.source.poll(&mut Count(0), Duration::from_millis(500)).unwrap();
    assert!(matches!(polled, Polled::Idle { .. }), "{polled:?}");
    bench.send(0);
    assert!(bench.reads_another_within(Duration::from_secs(5)));
}

/// The other partition always has something, so that the queue is never found empty.
#[test]
fn f25_a_partition_that_is_not_fetched_is_fetched_anew_while_another_delivers() {
    let mut bench = Bench::of(2);
    bench.source.reader.queue.stop("t", 0).unwrap();
    bench.send(0);
    let (started, mut sink) = (Instant::now(), Count(0));
    while bench.source.reader.parts[0].position().offset < 2 {
        bench.send(1);
        bench.source.poll(&mut sink, Duration::from_millis(20)).unwrap();
        assert!(started.elapsed() < Duration::from_secs(20), "nobody noticed");
    }
}

/// However often it is fetched anew in vain: nobody else may be held up by it.
#[test]
fn f25_a_partition_that_stays_stalled_breaks_nothing_while_another_delivers() {
    let mut bench = Bench::of(2);
    bench.source.stalls.after = Duration::from_millis(100);
    bench.send(0);
    let (started, mut sink) = (Instant::now(), Count(0));
    while started.elapsed() < Duration::from_secs(6) {
        bench.source.reader.queue.stop("t", 0).unwrap();
        bench.send(1);
        bench.source.poll(&mut sink, Duration::from_millis(20)).unwrap();
        if bench.source.reader.parts[0].position().offset > 1 {
            // It was fetched between two stops; there is to be one more.
            bench.send(0);
        }
    }
    assert!(sink.0 > 10, "{}", sink.0);
}

#[test]
fn another_assignment_begins_to_count_anew() {
    let mut bench = Bench::new();
    let stalls = &mut bench.source.stalls;
    assert_eq!(stalls.judge(&place(), 1, 1), None);
    stalls.clock += Duration::from_secs(3600);
    bench.source.assign("", &whole(1), &Cancel::default()).unwrap();
    let stalls = &mut bench.source.stalls;
    assert!(stalls.below.is_empty() && stalls.clock < Duration::from_secs(3600));
    assert_eq!(stalls.after, Duration::from_millis(300));
}
