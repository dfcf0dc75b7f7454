//! `spoof.dns` against librdkafka's mock cluster: a name that nobody resolves, and an advertised
//! address that is reached over a relay.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kafka_support/relay.rs"]
mod relay;
#[path = "kafka_support/support.rs"]
mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use extractor::source::{Cancel, Source};
use protocol::Code;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::json;

use relay::relay;
use support::*;

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Cluster {
    let cluster: Cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let mut config = ClientConfig::new();
    let producer: BaseProducer =
        config.set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    let record = BaseRecord::<str, str>::to("t").partition(0).payload("1");
    producer.send(record).map_err(|(e, _)| e).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    cluster
}

#[test]
fn a_bootstrap_name_is_reached_elsewhere() {
    let cluster = cluster();
    let servers = cluster.bootstrap_servers();
    let mut source = open("kafka.invalid:9092", "t", &json!({}));
    let failure = source.discover(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::Dns, "without the table: {failure}");
    let table = json!({"spoof.dns": {"kafka.invalid:9092": servers}});
    let mut source = open("kafka.invalid:9092", "t", &table);
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).records(0), ["1"]);
}

#[test]
fn an_advertised_address_is_reached_elsewhere() {
    let cluster = cluster();
    let servers = cluster.bootstrap_servers();
    let (elsewhere, count) = relay(servers.clone());
    // `localhost` is not in the table, the address that the broker advertises is.
    let table = json!({"spoof.dns": json!({servers.as_str(): elsewhere}).to_string()});
    let port = servers.rsplit_once(':').unwrap().1;
    let mut source = open(&format!("localhost:{port}"), "t", &table);
    assign(&mut source, &[(key("t", 0), at(0))]);
    assert_eq!(read_all(&mut source).records(0), ["1"]);
    assert!(count.load(Ordering::Relaxed) > 0, "records came past the relay");
}
