//! F29: records whose schemas a registry keeps, against librdkafka's mock cluster and a double of a
//! registry that follows the published API: outage, silence, unknown ids, ids that appear later,
//! references, logins, TLS. No registry that somebody else wrote is run here.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[expect(dead_code, reason = "sessions use the rest of the driver")]
#[path = "support/driver.rs"]
mod driver;
#[path = "kafka_support/registry.rs"]
mod registry;
#[path = "kafka_support/support.rs"]
mod support;

use std::time::{Duration, Instant};

use extractor::source::kafka::KafkaSource;
use extractor::source::{Cancel, Polled, Source};
use protocol::message::{Extract, StopMode};
use protocol::session::host::Event;
use protocol::{Class, Code};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::{Map, Value, json};

use driver::{Host, credit};
use registry::{Asked, Fault, Registry, references_of, tls_path};
use support::{LIMIT, Sink, assign, at, key, open, poll_until, read_all, read_failure};

struct Bench {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
    registry: Registry,
}

/// A record with one int, in Avro behind the id of its schema.
fn framed(id: u32, number: u8) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), &[number * 2]].concat()
}

fn int_schema(name: &str) -> Value {
    json!({"type": "record", "name": "envelope", "fields": [{"name": name, "type": "int"}]})
}

impl Bench {
    fn new() -> Self {
        Self::with(Registry::start())
    }

    fn with(registry: Registry) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        let producer =
            config.set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
        Self { cluster, producer, registry }
    }

    fn send(&self, value: &[u8]) {
        let record = BaseRecord::<[u8], [u8]>::to("t").partition(0).payload(value);
        self.producer.send(record).map_err(|(e, _)| e).unwrap();
        self.producer.flush(Duration::from_secs(10)).unwrap();
    }

    fn config(&self, more: &Value) -> Value {
        let mut config = json!({
            "connector.class": "kafka", "bootstrap.servers": self.cluster.bootstrap_servers(),
            "topics": "t", "value.format": "avro-confluent",
            "schema.registry.url": self.registry.url(), "schema.registry.timeout.ms": 500,
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    }

    fn open(&self, more: &Value) -> KafkaSource {
        let mut source = open(&self.cluster.bootstrap_servers(), "t", &self.config(more));
        assign(&mut source, &[(key("t", 0), at(0))]);
        source
    }
}

/// Waits for one record more.
fn read_one(source: &mut KafkaSource) -> String {
    let mut sink = Sink::new(usize::MAX);
    poll_until(source, &mut sink, LIMIT, |sink, _| !sink.rows.is_empty()).unwrap();
    sink.rows.pop().unwrap().record
}

#[test]
fn f29_registry_avro_becomes_json_and_each_schema_is_asked_for_once() {
    let bench = Bench::new();
    bench.registry.avro(1, &int_schema("a"));
    bench.registry.avro(70_000, &int_schema("b"));
    let mut expected = Vec::new();
    for number in 0..20 {
        bench.send(&framed(if number % 2 == 0 { 1 } else { 70_000 }, number));
        let name = if number % 2 == 0 { "a" } else { "b" };
        expected.push(format!("{{\"{name}\":{number}}}"));
    }
    let mut source = bench.open(&json!({}));
    assert_eq!(read_all(&mut source).records(0), expected);
    let paths: Vec<_> = bench.registry.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/schemas/ids/1", "/schemas/ids/70000"]);
}

/// Keys and values each have their own format, and a null stays null.
#[test]
fn f29_keys_have_their_own_schema_and_tombstones_are_null() {
    let bench = Bench::new();
    bench.registry.avro(
        1,
        &json!({"type": "record", "name": "row", "fields": [
        {"name": "a", "type": "int"}]}),
    );
    let key_bytes = framed(1, 1);
    let record = BaseRecord::<[u8], [u8]>::to("t").partition(0).key(&key_bytes);
    bench.producer.send(record).map_err(|(e, _)| e).unwrap();
    let record = BaseRecord::<[u8], [u8]>::to("t").partition(0).key(&key_bytes);
    bench.producer.send(record.payload(b"[1.0]")).map_err(|(e, _)| e).unwrap();
    bench.producer.flush(Duration::from_secs(10)).unwrap();
    let mut source = bench.open(&json!({"key.format": "avro-confluent", "value.format": "json"}));
    let sink = read_all(&mut source);
    let ids: Vec<_> = sink.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!((ids, sink.records(0)), (vec![r#"{"a":1}"#; 2], vec!["null", "[1.0]"]));
}

#[test]
fn f29_a_burst_of_errors_is_waited_out() {
    let bench = Bench::new();
    bench.registry.avro(1, &int_schema("a"));
    bench.registry.fail_next(&[Fault::Status(500), Fault::Close]);
    bench.send(&framed(1, 7));
    let mut source = bench.open(&json!({}));
    assert_eq!(read_all(&mut source).records(0), [r#"{"a":7}"#]);
    assert_eq!(bench.registry.count("/schemas/ids/1"), 3);
}

/// An outage is a failure of the pipeline that can be tried again, and never an error of the record.
#[test]
fn f29_an_outage_skips_nothing_and_is_over_when_it_is_over() {
    let bench = Bench::new();
    bench.registry.avro(1, &int_schema("a"));
    bench.send(&framed(1, 7));
    for (fault, code) in [
        (Fault::Status(503), Code::SourceUnavailable),
        (Fault::Status(429), Code::SourceThrottled),
        (Fault::Close, Code::SourceUnavailable),
        (Fault::Hang, Code::Timeout),
    ] {
        bench.registry.fail(Some(fault));
        let mut source = bench.open(&json!({}));
        let (sink, failure) = read_failure(&mut source);
        assert_eq!((failure.code, failure.class), (code, Class::Transient), "{failure}");
        assert!(sink.rows.is_empty() && sink.errors.is_empty(), "{sink:?}");
        assert_eq!(support::position(&source, 0), 0);
        assert!(failure.message.contains(&bench.registry.address), "{failure}");
        bench.registry.fail(None);
        assert_eq!(read_all(&mut source).records(0), [r#"{"a":7}"#], "{fault:?}");
    }
}

#[test]
fn f29_an_outage_after_the_schema_was_found_is_no_matter() {
    let bench = Bench::new();
    bench.registry.avro(1, &int_schema("a"));
    bench.send(&framed(1, 1));
    let mut source = bench.open(&json!({}));
    assert_eq!(read_all(&mut source).records(0), [r#"{"a":1}"#]);
    bench.registry.fail(Some(Fault::Hang));
    bench.send(&framed(1, 2));
    assert_eq!(read_one(&mut source), r#"{"a":2}"#);
    // New credentials keep what was found, and so does a new assignment.
    source.rotate(&Map::new()).unwrap();
    bench.send(&framed(1, 3));
    assert_eq!(read_one(&mut source), r#"{"a":3}"#);
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).rows.len(), 3);
    assert_eq!(bench.registry.asked().len(), 1);
}

/// A record whose id nobody knows is an error row between its neighbours, and asks for nothing again.
#[test]
fn f29_an_unknown_id_is_an_error_row_and_no_storm() {
    let bench = Bench::new();
    bench.registry.avro(1, &int_schema("a"));
    for id in [1, 9, 1, 9, 9, 8, 1] {
        bench.send(&framed(id, 1));
    }
    let mut source = bench.open(&json!({"schema.registry.unknown.wait.ms": 700}));
    let began = Instant::now();
    let sink = read_all(&mut source);
    assert!(began.elapsed() >= Duration::from_millis(700), "it was not waited for");
    assert_eq!(sink.records(0), [r#"{"a":1}"#; 3]);
    assert_eq!(sink.errors.len(), 4);
    let address = &bench.registry.address;
    assert_eq!(
        sink.errors[0].reason,
        format!("value cannot be read: schema id 9 is unknown to the schema registry {address}")
    );
    assert_eq!(
        (sink.errors[0].code.as_str(), &*sink.errors[0].position),
        ("DECODE_FAILED", r#"{"offset":1}"#)
    );
    assert_eq!(sink.errors[0].value.as_deref(), Some(&*framed(9, 1)));
    assert_eq!(support::position(&source, 0), 7);
    // The first was asked for again while it was waited for; the next unknown one was not.
    assert_eq!(bench.registry.count("/schemas/ids/9"), 2);
    assert_eq!(bench.registry.count("/schemas/ids/8"), 1);
}

#[test]
fn f29_an_id_that_appears_later_is_read() {
    let bench = Bench::new();
    bench.send(&framed(5, 3));
    let mut source = bench.open(&json!({"schema.registry.unknown.wait.ms": 600_000}));
    let mut sink = Sink::new(usize::MAX);
    let mut added = false;
    let done = |sink: &Sink, _| {
        if !added && bench.registry.count("/schemas/ids/5") > 1 {
            assert!(sink.rows.is_empty() && sink.errors.is_empty());
            bench.registry.avro(5, &int_schema("late"));
            added = true;
        }
        !sink.rows.is_empty()
    };
    poll_until(&mut source, &mut sink, LIMIT, done).unwrap();
    assert_eq!(sink.records(0), [r#"{"late":3}"#]);
}

#[test]
fn f29_references_three_deep_are_followed_and_a_circle_is_refused() {
    let bench = Bench::new();
    let record = |name: &str, of: &str| json!({"type": "record", "name": name, "fields": [{"name": "x", "type": of}]});
    let registry = &bench.registry;
    registry.subject("c/d", 3, &record("C", "int"), &[]);
    registry.subject("c%2Fd", 3, &record("C", "int"), &[]);
    registry.subject("b", 1, &record("B", "C"), &[("C", "c/d", 3)]);
    registry.subject("a", 2, &record("A", "B"), &[("B", "b", 1), ("C", "c/d", 3)]);
    registry.keep(
        1,
        json!({"schema": record("Top", "A").to_string(), "schemaType": "AVRO",
            "references": references_of(&[("A", "a", 2)]), "metadata": {"new": true}}),
    );
    registry.subject("round", 1, &record("R", "S"), &[("S", "again", 1)]);
    registry.subject("again", 1, &record("S", "R"), &[("R", "round", 1)]);
    registry.keep(
        2,
        json!({"schema": record("Top", "R").to_string(),
            "references": references_of(&[("R", "round", 1)])}),
    );
    registry.keep(
        3,
        json!({"schema": record("Top", "N").to_string(),
            "references": references_of(&[("N", "nowhere", 1)])}),
    );
    for id in [1, 2, 3, 1] {
        bench.send(&framed(id, 4));
    }
    let mut source = bench.open(&json!({"schema.registry.unknown.wait.ms": 0}));
    let sink = read_all(&mut source);
    assert_eq!(sink.records(0), [r#"{"x":{"x":{"x":{"x":4}}}}"#; 2]);
    let reasons: Vec<_> = sink.errors.iter().map(|error| error.reason.as_str()).collect();
    assert_eq!(
        reasons[0],
        "value cannot be read: schema id 2 cannot be used: its references go in a circle at \
         \"round\" version 1"
    );
    assert!(
        reasons[1].contains("\"nowhere\" version 1, a reference of schema id 3"),
        "{reasons:?}"
    );
    assert_eq!(bench.registry.count("/subjects/c%2Fd/versions/3?deleted=true"), 1);
}

#[test]
fn f29_what_is_not_as_declared_is_an_error_row_with_its_byte() {
    let bench = Bench::new();
    bench.registry.avro(1, &int_schema("a"));
    bench.registry.keep(2, json!({"schema": "syntax = \"proto3\";", "schemaType": "PROTOBUF"}));
    bench.registry.keep(3, json!({"schema": "{\"type\":\"recrod\"}"}));
    bench.registry.keep(4, json!({"schema": "\"int\"", "schemaType": "XML"}));
    let whole = framed(1, 1);
    for value in [
        &whole[..],
        b"",
        b"\0\0\0",
        b"{}",
        &whole[..5],
        b"\0\0\0\0\x01\x02\x02",
        b"\0\0\0\0\x02\x02",
        b"\0\0\0\0\x03\x02",
        b"\0\0\0\0\x04\x02",
        &whole,
    ] {
        bench.send(value);
    }
    let mut source = bench.open(&json!({}));
    let sink = read_all(&mut source);
    assert_eq!(sink.records(0), [r#"{"a":1}"#; 2]);
    let reasons: Vec<_> = sink.errors.iter().map(|error| error.reason.as_str()).collect();
    let frame = "is not framed for a schema registry: expected a zero byte and a schema id of four";
    for (reason, expected) in reasons.iter().zip([
        format!("value of 0 bytes {frame} at byte 0"),
        format!("value of 3 bytes {frame} at byte 3"),
        format!("value of 2 bytes {frame} at byte 0"),
        "value of 5 bytes is not AVRO of schema id 1: expected the end of a number at byte 5"
            .into(),
        "value of 7 bytes is not AVRO of schema id 1: expected the end at byte 6".into(),
        "value cannot be read: schema id 2 is PROTOBUF, and AVRO was declared".into(),
        "value cannot be read: schema id 3 cannot be used: it is no Avro schema".into(),
        "value cannot be read: schema id 4 cannot be used: its schemaType is none of".into(),
    ]) {
        assert!(reason.starts_with(&*expected), "{reason} is not {expected}");
    }
    assert_eq!(reasons.len(), 8);
}

/// What is wrong with the settings stops the pipeline at once, and no record is at fault.
#[test]
fn f29_a_wrong_login_or_address_is_told_and_no_secret_is() {
    let bench = Bench::new();
    bench.registry.avro(1, &int_schema("a"));
    bench.send(&framed(1, 5));
    let info = "schema.registry.basic.auth.user.info";
    bench.registry.want("Basic am9lOnMzY3IzdA==");
    for (more, fault, code, told) in [
        (json!({}), None, Code::AuthFailed, "(401)"),
        (json!({info: "joe:wr0ng"}), None, Code::AuthFailed, "(401)"),
        (json!({}), Some(Fault::Status(403)), Code::PermissionDenied, "(403)"),
        (json!({}), Some(Fault::Status(404)), Code::ConfigInvalid, "(404) is no schema registry"),
        (json!({}), Some(Fault::Garbage), Code::ConfigInvalid, "(200) is no schema registry"),
        (json!({}), Some(Fault::Status(302)), Code::ConfigInvalid, "sends elsewhere (302)"),
    ] {
        bench.registry.fail(fault);
        let mut source = bench.open(&more);
        let (sink, failure) = read_failure(&mut source);
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(told), "{failure}");
        assert!(!failure.message.contains("wr0ng"), "{failure}");
        assert!(sink.errors.is_empty(), "{sink:?}");
        assert_eq!(failure.part, Some(0), "{failure:?}");
    }
    bench.registry.fail(None);
    for more in [
        json!({info: "joe:s3cr3t"}),
        json!({"schema.registry.username": "joe", "schema.registry.password": "s3cr3t"}),
    ] {
        assert_eq!(read_all(&mut bench.open(&more)).records(0), [r#"{"a":5}"#]);
    }
    bench.registry.want("Bearer t0ken");
    let mut source = bench.open(&json!({"schema.registry.bearer.auth.token": "t0ken"}));
    assert_eq!(read_all(&mut source).records(0), [r#"{"a":5}"#]);
    let last = bench.registry.asked().pop();
    let (path, authorization) = ("/schemas/ids/1".to_owned(), Some("Bearer t0ken".to_owned()));
    assert_eq!(last, Some(Asked { path, authorization }));
}

#[test]
fn f29_tls_wants_the_authority_and_the_certificate_of_the_client() {
    let bench = Bench::with(Registry::start_tls());
    bench.registry.avro(1, &int_schema("a"));
    bench.send(&framed(1, 5));
    let ca = "schema.registry.ssl.ca.location";
    let pair = json!({
        "schema.registry.ssl.certificate.location": tls_path("client.pem"),
        "schema.registry.ssl.key.location": tls_path("client.key"),
    });
    let with = |authority: &str| {
        let mut config = pair.clone();
        config.as_object_mut().unwrap().insert(ca.to_owned(), tls_path(authority).into());
        config
    };
    let texts = json!({
        "schema.registry.ssl.ca.pem": std::fs::read_to_string(tls_path("ca.pem")).unwrap(),
        "schema.registry.ssl.certificate.pem":
            std::fs::read_to_string(tls_path("client.pem")).unwrap(),
        "schema.registry.ssl.key.pem": std::fs::read_to_string(tls_path("client.key")).unwrap(),
    });
    for more in [with("ca.pem"), texts] {
        assert_eq!(read_all(&mut bench.open(&more)).records(0), [r#"{"a":5}"#]);
    }
    for (more, what) in [
        (pair.clone(), "the public authorities"),
        (with("other.pem"), "another authority"),
        (json!({ca: tls_path("ca.pem")}), "no certificate of the client"),
    ] {
        let (sink, failure) = read_failure(&mut bench.open(&more));
        assert_eq!(failure.code, Code::TlsHandshake, "{what}: {failure}");
        assert!(failure.message.contains("fails in TLS"), "{what}: {failure}");
        assert!(!failure.message.contains("PRIVATE"), "{failure}");
        assert!(sink.rows.is_empty() && sink.errors.is_empty(), "{what}");
    }
}

/// Of several addresses the next one is asked where one does not answer.
#[test]
fn f29_another_address_of_the_registry_is_asked() {
    let bench = Bench::new();
    bench.registry.avro(1, &int_schema("a"));
    bench.send(&framed(1, 6));
    // Nothing listens on port 1 of this machine.
    let both = format!("http://127.0.0.1:1, {}/", bench.registry.url());
    let mut source = bench.open(&json!({"schema.registry.url": both}));
    assert_eq!(read_all(&mut source).records(0), [r#"{"a":6}"#]);
    assert_eq!(bench.registry.count("/schemas/ids/1"), 1);
}

/// A registry that does not answer holds up rows, and nothing else: PING, STOP and the end.
#[test]
fn f29_a_silent_registry_blocks_no_ping_and_no_stop() {
    let bench = Bench::new();
    bench.registry.fail(Some(Fault::Hang));
    bench.send(&framed(1, 5));
    let config = bench.config(&json!({"schema.registry.timeout.ms": 60_000}));
    let mut host = Host::configured(config);
    host.discover();
    host.assign(&[(key("t", 0), at(0))]);
    host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(10) });
    bench.registry.wait_for(1);
    let ping = host.session.ping(b"x").unwrap();
    host.send(&ping);
    loop {
        match host.any_event() {
            Event::Pong(_) => break,
            Event::Log(_) | Event::Progress(_) => {}
            other => panic!("no PONG: {other:?}"),
        }
    }
    host.send_stop(StopMode::Drain);
    assert_eq!(host.wait_within(Duration::from_secs(2)).code(), Some(0));
}

#[test]
fn f29_check_asks_the_registry() {
    let bench = Bench::new();
    bench.registry.want("Bearer t0ken");
    let mut source = open(&bench.cluster.bootstrap_servers(), "t", &bench.config(&json!({})));
    let failure = source.check(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::AuthFailed, "{failure}");
    let token = json!({"schema.registry.bearer.auth.token": "t0ken"});
    let mut source = open(&bench.cluster.bootstrap_servers(), "t", &bench.config(&token));
    let probes = source.check(&Cancel::default()).unwrap();
    assert!(probes.iter().any(|probe| probe.name.starts_with("schema registry")), "{probes:?}");
}

/// Raw Avro, the Connect envelope and JSON behind a schema id need no registry.
#[test]
fn formats_without_a_registry() {
    let bench = Bench::new();
    let read = |value: &[u8], config: &Value| {
        bench.send(value);
        let mut config = config.clone();
        let map = config.as_object_mut().unwrap();
        map.insert("auto.offset.reset".to_owned(), "earliest".into());
        let servers = bench.cluster.bootstrap_servers();
        let mut source = open(&servers, "t", &config);
        assign(&mut source, &[(key("t", 0), at(0))]);
        let mut sink = Sink::new(usize::MAX);
        let done = |_: &Sink, polled| polled == Polled::Idle { caught_up: true };
        poll_until(&mut source, &mut sink, LIMIT, done).unwrap();
        sink.rows.pop().unwrap().record
    };
    let avro = json!({"value.format": "avro", "value.avro.schema": int_schema("a")});
    assert_eq!(read(b"\x0e", &avro), r#"{"a":7}"#);
    let envelope = json!({"value.converter": "org.apache.kafka.connect.json.JsonConverter"});
    let value = br#"{"schema":{"type":"int64"},"payload": 12345678901234567890.10 }"#;
    assert_eq!(read(value, &envelope), "12345678901234567890.10");
    let framed = json!({"value.format": "json-schema"});
    assert_eq!(read(b"\0\0\0\0\x09{\"n\":1.00}", &framed), r#"{"n":1.00}"#);
    let csv = json!({"value.format": "csv", "value.csv.columns": "region, pv BIGINT, uv BIGINT"});
    assert_eq!(read(b"\"eu, west\",7,", &csv), r#"{"region":"eu, west","pv":7,"uv":null}"#);
    assert!(bench.registry.asked().is_empty());
}
