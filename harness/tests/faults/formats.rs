//! What a pipeline over Kafka makes of records whose schemas a registry keeps, from the broker to the
//! table. The registry is a double of our own by the published API.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
// The double, which the extractor's tests have too, serves TLS.
use rustls as _;
use serde_json::{Value, json};

use crate::registry::{Fault, Registry};
use crate::support::{Pipeline, kafka};

struct Bench {
    _cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
    bootstrap: String,
    registry: Registry,
}

impl Bench {
    fn new() -> Self {
        let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        let bootstrap = cluster.bootstrap_servers();
        let mut client = ClientConfig::new();
        let producer = client.set("bootstrap.servers", &bootstrap).create().unwrap();
        Self { _cluster: cluster, producer, bootstrap, registry: Registry::start() }
    }

    fn send(&self, partition: i32, key: &[u8], value: Option<&[u8]>) {
        let mut record = BaseRecord::<[u8], [u8]>::to("t").partition(partition).key(key);
        record.payload = value;
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.producer.flush(Duration::from_secs(20)).unwrap();
    }

    fn config(&self) -> Value {
        let mut config = kafka(&self.bootstrap, "t");
        let avro = "io.confluent.connect.avro.AvroConverter";
        config["key.converter"] = avro.into();
        config["key.converter.schema.registry.url"] = self.registry.url().into();
        config["value.converter"] = avro.into();
        config["value.converter.schema.registry.url"] = self.registry.url().into();
        config["schema.registry.unknown.wait.ms"] = 0.into();
        config
    }
}

fn framed(id: u8, datum: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, id][..], datum].concat()
}

/// A key and values of two schemas, a tombstone, a record whose id nobody knows: the good ones are rows,
/// the bad one stops the pipeline or is written down, and an outage skips nothing.
#[test]
fn f29_registry_avro_reaches_the_table_and_an_outage_skips_nothing() {
    let bench = Bench::new();
    let record = |name: &str, kind: &Value| json!({"type": "record", "name": "row", "fields": [{"name": name, "type": kind}]});
    bench.registry.avro(1, &record("id", &json!("long")));
    bench.registry.avro(2, &record("text", &json!(["null", "string"])));
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 78, "scale": 39});
    bench.registry.avro(3, &record("sum", &decimal));
    let widest = [&[0x42][..], &[0xff; 33]].concat();
    bench.send(0, &framed(1, b"\x02"), Some(&framed(2, b"\x02\x04ab")));
    bench.send(0, &framed(1, b"\x04"), Some(&framed(9, b"\x02")));
    bench.send(0, &framed(1, b"\x06"), Some(&framed(3, &widest)));
    bench.send(1, &framed(1, b"\x08"), None);
    let mut brief = bench.config();
    brief["retry.attempts"] = 0.into();
    brief["retry.away.ms"] = 500.into();
    brief["errors.tolerance"] = "all".into();
    let pipeline = Pipeline::new("typed", None, &brief);
    bench.registry.fail(Some(Fault::Status(503)));
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(75), "{}", run.log());
    assert!(run.log().contains("answers 503"), "{}", run.log());
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM typed"), Some(0));
    bench.registry.fail(None);
    pipeline.configure(&bench.config());
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(65), "{}", run.log());
    assert!(run.log().contains("schema id 9 is unknown"), "{}", run.log());
    let mut config = bench.config();
    config["errors.tolerance"] = "all".into();
    pipeline.configure(&config);
    pipeline.run(&[]);
    let rows = pipeline.query("SELECT id, record FROM typed ORDER BY id");
    let least = format!("0.{:0>39}", 1);
    assert_eq!(
        rows,
        [
            [r#"{"id":1}"#, r#"{"text":"ab"}"#].map(str::to_owned),
            [r#"{"id":3}"#.to_owned(), format!(r#"{{"sum":"-{least}"}}"#)],
            [r#"{"id":4}"#, "null"].map(str::to_owned),
        ]
    );
    let errors = pipeline.query("SELECT BATCH_EARLIEST_OFFSET, ERROR_CODE FROM PIPELINES_ERRORS");
    assert_eq!(errors.last().unwrap(), &[r#"{"offset":1}"#, "DECODE_FAILED"]);
}

/// What needs no registry: a schema that is an object of the pipeline's file, and CSV.
#[test]
fn raw_avro_and_csv_reach_the_table() {
    let bench = Bench::new();
    let mut config = kafka(&bench.bootstrap, "t");
    config["key.format"] = "avro".into();
    config["key.avro.schema"] =
        json!({"type": "record", "name": "row", "fields": [{"name": "region", "type": "string"}]});
    config["value.format"] = "csv".into();
    config["value.csv.columns"] = "region STRING NOT NULL, pv BIGINT, uv BIGINT".into();
    bench.send(0, b"\x10eu, west", Some(b"\"eu, west\",7,"));
    bench.send(1, b"\x04us", None);
    let pipeline = Pipeline::new("plain", None, &config);
    pipeline.run(&[]);
    assert_eq!(
        pipeline.query("SELECT id, record FROM plain ORDER BY id"),
        [
            [r#"{"region":"eu, west"}"#, r#"{"region":"eu, west","pv":7,"uv":null}"#],
            [r#"{"region":"us"}"#, "null"]
        ]
    );
}
