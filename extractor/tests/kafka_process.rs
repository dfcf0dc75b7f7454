//! F26: connections that went silent. The whole process ends at once while brokers answer nothing,
//! and reading goes on when they answer again. Against librdkafka's mock cluster, through a relay.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[expect(dead_code, reason = "sessions use the rest of the driver")]
#[path = "support/driver.rs"]
mod driver;
#[path = "kafka_support/support.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use extractor::source::Source;
use protocol::message::{Extract, StopMode};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::json;

use driver::{Host, credit};
use support::{LIMIT, Sink, assign, at, key, open, poll_until, read_all};

/// Longest time from the end of input to the end of the process.
const SOON: Duration = Duration::from_secs(1);

struct Bench {
    _cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
    /// The broker's own address.
    broker: String,
    /// Where it is reached through the relay.
    relay: String,
    /// Connections that were made before this changed have gone silent.
    life: Arc<AtomicU32>,
}

impl Bench {
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let broker = cluster.bootstrap_servers();
        let mut config = ClientConfig::new();
        let producer = config.set("bootstrap.servers", &broker).create().unwrap();
        let life = Arc::new(AtomicU32::new(0));
        let relay = relay(broker.clone(), Arc::clone(&life));
        let bench = Self { _cluster: cluster, producer, broker, relay, life };
        bench.send("1");
        bench
    }

    fn send(&self, value: &str) {
        let record = BaseRecord::<str, str>::to("t").partition(0).payload(value);
        self.producer.send(record).map_err(|(e, _)| e).unwrap();
        self.producer.flush(Duration::from_secs(10)).unwrap();
    }

    /// Every connection to the broker goes through the relay.
    fn config(&self) -> serde_json::Value {
        json!({
            "connector.class": "kafka", "bootstrap.servers": self.relay, "topics": "t",
            "spoof.dns": {self.broker.as_str(): self.relay},
        })
    }

    /// All connections there are go silent and stay open.
    fn silence(&self) {
        self.life.fetch_add(1, Ordering::Relaxed);
    }
}

fn relay(to: String, life: Arc<AtomicU32>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(&to).unwrap();
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let life = Arc::clone(&life);
                thread::spawn(move || pass(from, to, &life));
            }
        }
    });
    address
}

/// Passes bytes on while it lives, and swallows them afterwards.
fn pass(mut from: TcpStream, mut to: TcpStream, life: &AtomicU32) {
    let born = life.load(Ordering::Relaxed);
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let lives = life.load(Ordering::Relaxed) == born;
        if lives && to.write_all(bytes.get(..count).unwrap()).is_err() {
            return;
        }
    }
}

fn reading(bench: &Bench) -> Host {
    let mut host = Host::configured(bench.config());
    host.discover();
    host.assign(&[(key("t", 0), at(0))]);
    assert_eq!(host.extract(&credit(1)).rows.len(), 1);
    host
}

#[test]
fn f26_the_end_of_input_ends_a_process_whose_brokers_are_silent() {
    let bench = Bench::new();
    let mut host = reading(&bench);
    bench.silence();
    host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(1000) });
    thread::sleep(Duration::from_millis(500));
    host.close_stdin();
    assert_eq!(host.wait_within(SOON).code(), Some(0));
}

#[test]
fn f26_stop_ends_a_process_whose_brokers_are_silent() {
    let bench = Bench::new();
    let mut host = reading(&bench);
    bench.silence();
    host.send_stop(StopMode::Drain);
    let started = Instant::now();
    assert_eq!(host.wait_within(SOON).code(), Some(0), "{:?}", started.elapsed());
}

#[test]
fn f26_reading_goes_on_after_connections_went_silent() {
    let bench = Bench::new();
    // A request without an answer is given up after this time instead of a minute.
    let config = json!({
        "spoof.dns": {bench.broker.as_str(): bench.relay},
        "properties.socket.timeout.ms": 2000,
    });
    let mut source = open(&bench.relay, "t", &config);
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).records(0), ["1"]);
    bench.silence();
    bench.send("2");
    let mut sink = Sink::new(usize::MAX);
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.rows.len() == 1).unwrap();
    assert_eq!(sink.records(0), ["2"]);
    assert!(source.position(0).is_some());
}
