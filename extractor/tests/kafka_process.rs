//! The process over Kafka, against librdkafka's mock cluster. F26: connections that went silent; it
//! ends at once while brokers answer nothing, and goes on when they answer again. F29: settings of a
//! schema registry that are not understood, and records of one that were declared otherwise.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[expect(dead_code, reason = "sessions use the rest of the driver")]
#[path = "support/driver.rs"]
mod driver;
#[path = "kafka_support/support.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use extractor::source::Source;
use protocol::Code;
use protocol::message::{Extract, Settings, StopMode};
use protocol::session::host::Event;
use rdkafka::ClientConfig;
use rdkafka::message::ToBytes;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::{Value, json};

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

    fn send(&self, value: &(impl ToBytes + ?Sized)) {
        let record = BaseRecord::<str, _>::to("t").partition(0).payload(value);
        self.producer.send(record).map_err(|(e, _)| e).unwrap();
        self.producer.flush(Duration::from_secs(10)).unwrap();
    }

    /// Every connection to the broker goes through the relay.
    fn config(&self) -> Value {
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

/// A server that takes connections and never answers, and how many it took.
fn silent_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    thread::spawn(move || {
        let mut held = Vec::new();
        for client in listener.incoming() {
            seen.fetch_add(1, Ordering::Relaxed);
            held.push(client);
        }
    });
    (address, count)
}

#[test]
fn f29_a_setting_of_a_registry_that_is_not_understood_is_refused_by_name_and_never_asked() {
    let (registry, connections) = silent_server();
    let url = format!("http://joe:s3cr3t@{registry}");
    let config = |key: &str, value: &str| {
        let mut config = json!({
            "connector.class": "kafka", "bootstrap.servers": registry, "topics": "t",
        });
        config.as_object_mut().unwrap().insert(key.to_owned(), value.into());
        config
    };
    let apicurio = "io.apicurio.registry.utils.converter.AvroConverter";
    let (empty, credentials) = (json!({}), json!({"schema.registry.url": url}));
    for (config, credentials, key) in [
        (config("value.converter", apicurio), &empty, "value.converter"),
        (config("value.format", "protobuf"), &empty, "value.format"),
        (config("schema.registry.url", &url), &empty, "schema.registry.url"),
        (
            config("value.converter.apicurio.registry.url", &url),
            &empty,
            "value.converter.apicurio.registry.url",
        ),
        (config("client.id", "c"), &credentials, "schema.registry.url"),
    ] {
        let mut host = Host::spawn();
        host.greet();
        host.send_configure(config, credentials.clone(), Settings::default());
        let answer = host.event();
        let Event::Failed { failure, .. } = answer else { panic!("{key} is taken: {answer:?}") };
        assert_eq!(failure.code, Code::ConfigInvalid, "{failure}");
        assert!(failure.message.starts_with(key), "{failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
        assert_eq!(host.wait().code(), Some(78));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0, "the server was asked");
    // It does count: a process that is told nothing of a registry does connect.
    let mut host = Host::spawn();
    host.greet();
    let settings = Settings { retry_ms: 0, ..Settings::default() };
    host.configure_with(config("value.format", "json"), json!({}), settings);
    while connections.load(Ordering::Relaxed) == 0 {
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn f29_a_record_framed_for_a_registry_is_an_error_row_among_its_neighbours() {
    // Avro of one string behind the framing of schema 7; its length makes the second no UTF-8.
    for (format, framed, code) in [
        ("json", b"\0\0\0\0\x07\x08abcd".as_slice(), "DECODE_FAILED"),
        ("string", b"\0\0\0\0\x07\xc8\x01abcd", "INVALID_UTF8"),
    ] {
        let bench = Bench::new();
        bench.send(framed);
        bench.send("3");
        let mut config = bench.config();
        config.as_object_mut().unwrap().insert("value.format".to_owned(), format.into());
        let mut host = Host::configured(config);
        host.discover();
        host.assign(&[(key("t", 0), at(0))]);
        let batch = host.extract(&credit(3));
        let records: Vec<_> = batch.rows.iter().map(|row| row.record.as_str()).collect();
        let text = |number| if format == "json" { number } else { format!("\"{number}\"") };
        assert_eq!(records, [text("1".to_owned()), text("3".to_owned())]);
        assert_eq!(batch.errors.len(), 1, "{:?}", batch.errors);
        let bad = &batch.errors[0];
        assert_eq!(bad.code, code);
        assert_eq!(bad.position, r#"{"offset":1}"#);
        assert!(bad.reason.contains("schema registry (schema id 7)"), "{}", bad.reason);
        assert_eq!(bad.value.as_deref(), Some(framed));
        let to = batch.end.offsets[0].to.to_map();
        assert_eq!(to["offset"], 3);
    }
}
