//! Real services, once through: up, data, restart, kill, down. Runs with `S2X_REAL=1`; a run
//! without it, or without the programs, says "skipped" and why.
//!
//! Starts its own services in a folder of its own and leaves none.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use xtask::kafka::Client;
use xtask::services::{Extra, Identity, Name, Services};

/// Brings everything down, also when the test fails.
struct Own {
    services: Services,
    path: PathBuf,
}

impl Own {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("xtask-real-{name}-{}", std::process::id()));
        Self { services: Services::open(Some(&path)).unwrap(), path }
    }

    fn process(&self, name: Name) -> Identity {
        self.services.state().unwrap().services[&name].running().unwrap().clone()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.services.down().unwrap();
        std::fs::remove_dir_all(&self.path).unwrap();
    }
}

fn skipped(test: &str, name: Name) -> bool {
    let reason = if std::env::var("S2X_REAL").is_ok_and(|value| value == "1") {
        name.unavailable()
    } else {
        Some("S2X_REAL is not 1".to_owned())
    };
    if let Some(reason) = &reason {
        // Not `eprintln`, which the test runner captures: a skip must be seen.
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {test}: {reason}").unwrap();
    }
    reason.is_some()
}

fn visible(client: &mut Client, topic: &str) -> u64 {
    client.call(&format!("count {topic}")).unwrap()["count"].as_u64().unwrap()
}

#[test]
fn kafka_keeps_address_and_data() {
    if skipped("kafka_keeps_address_and_data", Name::Kafka) {
        return;
    }
    let own = Own::new("kafka");
    own.services.up(&[Name::Kafka], &Extra::default()).unwrap();
    let address = own.services.kafka_bootstrap().unwrap();
    let mut client = Client::start(&address).unwrap();
    client.call("topic-create orders partitions=2").unwrap();
    client.call("txn orders partition=0 pattern=c10,a5,c3,a2").unwrap();
    assert_eq!(visible(&mut client, "orders"), 13);
    let all = client.call("count orders isolation=read_uncommitted").unwrap();
    assert_eq!(all["count"], 20);

    own.services.restart(Name::Kafka).unwrap();
    assert_eq!(own.services.kafka_bootstrap().unwrap(), address);
    assert_eq!(visible(&mut client, "orders"), 13);

    let killed = own.process(Name::Kafka);
    own.services.kill(Name::Kafka).unwrap();
    assert!(!killed.is_alive());
    own.services.start(Name::Kafka).unwrap();
    assert_eq!(visible(&mut client, "orders"), 13);

    let error = client.call("produce orders cuont=1").unwrap_err().to_string();
    assert!(error.contains("cuont"), "{error}");
    let error = client.call("describe nothing").unwrap_err().to_string();
    assert!(error.contains("UnknownTopicOrPartition"), "{error}");
    drop(client);
    let last = own.process(Name::Kafka);
    own.services.down().unwrap();
    assert!(!last.is_alive());
    own.services.kafka_bootstrap().unwrap_err();
}

#[test]
fn kafka_client_makes_what_tests_need() {
    if skipped("kafka_client_makes_what_tests_need", Name::Kafka) {
        return;
    }
    let own = Own::new("client");
    own.services.up(&[Name::Kafka], &Extra::default()).unwrap();
    let mut client = Client::start(&own.services.kafka_bootstrap().unwrap()).unwrap();
    let mut call = |command: &str| client.call(command).unwrap();

    call("topic-create all max.message.bytes=9000000");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let made = call(&format!("produce all count=10 codec={codec} size=500"));
        assert_eq!(made["partitions"][0]["count"], 10, "{codec}");
    }
    call("produce all key=null value=null");
    call("produce all key=empty value=empty");
    call("produce all size=8388608");
    assert_eq!(call("count all")["count"], 53);

    assert_eq!(call("delete-records all partition=0 before=7")["low"], 7);
    assert_eq!(call("describe all")["partitions"][0]["earliest"], 7);
    call("partitions-add all total=3");
    assert_eq!(call("describe all")["partitions"].as_array().unwrap().len(), 3);

    call("txn all partition=1 pattern=c1,o2 id=left");
    let place = call("describe all")["partitions"][1].clone();
    assert!(place["stable"].as_u64() < place["latest"].as_u64(), "{place}");
    call("txn-end left commit");
    assert_eq!(call("count all partition=1")["count"], 3);

    let before = call("describe all")["id"].clone();
    call("topic-delete all");
    assert_ne!(call("topic-create all")["id"], before, "a new topic has a new id");
}

#[test]
fn mariadb_keeps_address_and_data() {
    if skipped("mariadb_keeps_address_and_data", Name::Mariadb) {
        return;
    }
    let own = Own::new("mariadb");
    let extra = Extra { mariadb: vec!["--max-allowed-packet=2M".to_owned()], ..Extra::default() };
    own.services.up(&[Name::Mariadb], &extra).unwrap();
    let url = own.services.mariadb_url().unwrap();
    let query = |text: &str| -> Result<String> {
        let port = url.trim_end_matches("/s2x").rsplit(':').next().context("no port")?;
        let mut mariadb = Command::new("mariadb");
        mariadb.args(["--no-defaults", "--protocol=tcp", "-h127.0.0.1", "-uroot", "-N", "s2x"]);
        let out = mariadb.arg(format!("-P{port}")).args(["-e", text]).output()?;
        Ok(String::from_utf8(out.stdout)?.trim().to_owned())
    };
    query("create table t (a int); insert into t values (1), (2)").unwrap();
    own.services.kill(Name::Mariadb).unwrap();
    assert_eq!(query("select count(*) from t").unwrap(), "");
    own.services.start(Name::Mariadb).unwrap();
    assert_eq!(own.services.mariadb_url().unwrap(), url);
    assert_eq!(query("select count(*) from t").unwrap(), "2");
    own.services.restart(Name::Mariadb).unwrap();
    let settings = query("select @@max_allowed_packet, @@bind_address, @@local_infile").unwrap();
    assert_eq!(settings, "2097152\t127.0.0.1\t1");
    let charset = "select default_character_set_name from information_schema.schemata \
                   where schema_name = 's2x'";
    assert_eq!(query(charset).unwrap(), "utf8mb4");
}

#[test]
fn kinesis_answers_at_its_address_and_nowhere_else() {
    if skipped("kinesis_answers_at_its_address_and_nowhere_else", Name::Kinesis) {
        return;
    }
    let own = Own::new("kinesis");
    own.services.up(&[Name::Kinesis], &Extra::default()).unwrap();
    let url = own.services.kinesis_endpoint().unwrap();
    let address = url.strip_prefix("http://").unwrap().to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    // The whole of 127.0.0.0/8 is this machine: who listens everywhere answers here too.
    let port = address.rsplit(':').next().unwrap();
    assert!(std::net::TcpStream::connect(format!("127.0.0.2:{port}")).is_err());
    own.services.restart(Name::Kinesis).unwrap();
    assert_eq!(own.services.kinesis_endpoint().unwrap(), url);
    own.services.stop(Name::Kinesis).unwrap();
    assert!(std::net::TcpStream::connect(&address).is_err());
}
