//! Records that are put aside into a Kafka topic: as they were received, acknowledged before their batch is
//! committed, and never missing there, whatever is killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::signal::Signal;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};
use xtask::kafka::Client;

use crate::support::{Pipeline, kafka, need, seed, signal};

/// Records of the source topic, in one partition.
const RECORDS: u64 = 900;

/// A record of the source topic: not JSON where its number ends with 3, refused by the table where it ends with 7.
fn value(number: u64) -> Vec<u8> {
    match number % 10 {
        3 => format!("\u{0}\u{ff}not json {number}").into_bytes(),
        7 => format!("{{\"refuse\":{number}}}").into_bytes(),
        _ => format!("{{\"number\":{number}}}").into_bytes(),
    }
}

fn is_bad(number: u64) -> bool {
    [3, 7].contains(&(number % 10))
}

fn fill(bootstrap: &str, topic: &str) {
    let mut client = ClientConfig::new();
    let producer: BaseProducer = client.set("bootstrap.servers", bootstrap).create().unwrap();
    for number in 0..RECORDS {
        let (key, value) = (format!("key {number}"), value(number));
        let header = |key, value| Header { key, value };
        let headers = OwnedHeaders::new()
            .insert(header("number", Some(&number.to_le_bytes()[..])))
            .insert(header("number", None))
            .insert(header("it's \"\n", Some(&b""[..])));
        let record = BaseRecord::to(topic).partition(0).key(&key).payload(&value).headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
}

/// What a record is, headers that say why left out.
type Letter = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

/// Everything in a topic of one partition.
fn letters(bootstrap: &str, topic: &str) -> Vec<(Letter, BTreeMap<String, String>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "tests")
        .set("enable.partition.eof", "true")
        .set_log_level(RDKafkaLogLevel::Error)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut found = Vec::new();
    loop {
        assert!(Instant::now() < deadline);
        let message = match consumer.poll(Duration::from_millis(100)) {
            None => continue,
            Some(Err(KafkaError::PartitionEOF(_))) => return found,
            Some(message) => message.unwrap(),
        };
        let mut own = Vec::new();
        let mut why = BTreeMap::new();
        for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
            let value = header.value.map(<[u8]>::to_vec);
            if ["number", "it's \"\n"].contains(&header.key) {
                own.push((header.key.to_owned(), value));
            } else {
                why.insert(header.key.to_owned(), String::from_utf8(value.unwrap()).unwrap());
            }
        }
        let key = message.key().map(<[u8]>::to_vec);
        found.push(((key, message.payload().map(<[u8]>::to_vec), own), why));
    }
}

fn expected(number: u64) -> Letter {
    let own = vec![
        ("number".to_owned(), Some(number.to_le_bytes().to_vec())),
        ("number".to_owned(), None),
        ("it's \"\n".to_owned(), Some(Vec::new())),
    ];
    (Some(format!("key {number}").into_bytes()), Some(value(number)), own)
}

fn config(bootstrap: &str, topic: &str, aside: &str) -> Value {
    let mut config = kafka(bootstrap, topic);
    config["errors.tolerance"] = json!("all");
    config["errors.deadletterqueue.topic.name"] = json!(aside);
    config["batch.rows"] = json!(100);
    config["tasks.max"] = json!(1);
    config
}

fn picky(pipeline: &Pipeline) {
    pipeline.query(&format!(
        "CREATE TABLE {} (topic TEXT, id TEXT, record TEXT, CHECK (record NOT LIKE '%refuse%'))",
        pipeline.name
    ));
}

/// Every bad record is in the topic as it was received, and why; in the catalogue exactly once; and every other one
/// in the table exactly once.
#[track_caller]
fn assert_all_is_there(pipeline: &Pipeline, bootstrap: &str, aside: &str) {
    let bad: BTreeSet<u64> = (0..RECORDS).filter(|number| is_bad(*number)).collect();
    let mut came = BTreeSet::new();
    for (letter, why) in letters(bootstrap, aside) {
        let number: u64 = why["__connect.errors.offset"].parse().unwrap();
        assert_eq!(letter, expected(number));
        let stage = if number % 10 == 7 { "TASK_PUT" } else { "TRANSFORMATION" };
        assert_eq!(why["__connect.errors.stage"], stage);
        assert!(why["ErrorInfo"].starts_with("Error: "), "{why:?}");
        came.insert(number);
    }
    assert_eq!(came, bad);
    let sql = "SELECT position FROM s2x_errors WHERE batch_id IN (SELECT batch_id FROM s2x_batches WHERE state = 'Succeeded')";
    let mut places: Vec<String> = pipeline.query(sql).concat();
    places.sort();
    let mut wanted: Vec<String> = bad.iter().map(|it| format!("{{\"offset\":{it}}}")).collect();
    wanted.sort();
    assert_eq!(places, wanted);
    let ids = (0..RECORDS).filter(|it| !is_bad(*it)).map(|it| format!("\"key {it}\""));
    pipeline.assert_exactly_once(ids);
}

/// Kills harness and extractor, so many times, and then runs to the end.
fn run_with_kills(pipeline: &Pipeline, rng: &mut Rng, kills: u32) {
    for _ in 0..kills {
        let mut run = pipeline.start(&["--until-caught-up", "--retries", "1000"]);
        std::thread::sleep(Duration::from_millis(rng.u64(100..900)));
        if rng.bool() {
            pipeline.extractors().into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
            std::thread::sleep(Duration::from_millis(rng.u64(5..300)));
        }
        signal(run.pid(), Signal::SIGKILL);
        run.wait();
    }
    pipeline.run(&[]);
}

fn mock() -> (MockCluster<'static, DefaultProducerContext>, String) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    cluster.create_topic("aside", 1, 1).unwrap();
    let bootstrap = cluster.bootstrap_servers();
    fill(&bootstrap, "t");
    (cluster, bootstrap)
}

#[test]
fn letters_reach_a_topic_as_they_were_received() {
    let (_cluster, bootstrap) = mock();
    let pipeline = Pipeline::new("letters", None, &config(&bootstrap, "t", "aside"));
    picky(&pipeline);
    pipeline.run(&[]);
    assert_all_is_there(&pipeline, &bootstrap, "aside");
    // Nothing was interrupted: nothing is there twice.
    assert_eq!(letters(&bootstrap, "aside").len() as u64, RECORDS / 5);
}

#[test]
fn letters_survive_kills_on_the_mock() {
    let mut rng = Rng::with_seed(seed("letters_survive_kills_on_the_mock"));
    let (_cluster, bootstrap) = mock();
    let pipeline = Pipeline::new("letters", None, &config(&bootstrap, "t", "aside"));
    picky(&pipeline);
    run_with_kills(&pipeline, &mut rng, 6);
    assert_all_is_there(&pipeline, &bootstrap, "aside");
}

#[test]
fn letters_survive_kills_on_kafka() {
    let test = "letters_survive_kills_on_kafka";
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let mut rng = Rng::with_seed(seed(test));
    let topic = format!("t-{:08x}", fastrand::u32(..));
    let aside = format!("{topic}.aside_it-s");
    let mut client = Client::start(&bootstrap).unwrap();
    for topic in [&topic, &aside] {
        client.call(&format!("topic-create {topic} partitions=1")).unwrap();
    }
    fill(&bootstrap, &topic);
    let pipeline = Pipeline::new("letters", None, &config(&bootstrap, &topic, &aside));
    picky(&pipeline);
    run_with_kills(&pipeline, &mut rng, 6);
    assert_all_is_there(&pipeline, &bootstrap, &aside);
}

/// A batch whose letters are refused is not committed: nothing of it is in the table, and the next run goes on
/// before it.
#[test]
fn a_refused_letter_holds_its_batch_back() {
    let (cluster, bootstrap) = mock();
    let pipeline = Pipeline::new("letters", None, &config(&bootstrap, "t", "aside"));
    picky(&pipeline);
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 8],
    );
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(78), "{}", run.log());
    assert!(run.log().contains("dead-letter topic aside"), "{}", run.log());
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM letters"), Some(0));
    assert_eq!(
        pipeline.try_number("SELECT COUNT(*) FROM s2x_errors WHERE code <> 'config'"),
        Some(0)
    );
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    pipeline.run(&[]);
    assert_all_is_there(&pipeline, &bootstrap, "aside");
}

/// A topic that cannot be reached is told before anything is read.
#[test]
fn a_topic_out_of_reach_ends_the_run_at_its_start() {
    let (_cluster, bootstrap) = mock();
    let mut config = config(&bootstrap, "t", "aside");
    config["errors.deadletterqueue.bootstrap.servers"] = json!("127.0.0.1:1");
    let pipeline = Pipeline::new("letters", None, &config);
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(75), "{}", run.log());
    assert!(run.log().contains("dead-letter topic aside on 127.0.0.1:1"), "{}", run.log());
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM letters"), Some(0));
}

/// A source whose first answer takes longer than a batch may wait, and more refused rows than one assignment names:
/// batches that end empty meanwhile are no progress, and no end of the split that is read alone.
#[test]
fn a_slow_source_does_not_hold_up_what_is_put_aside() {
    let (cluster, bootstrap) = mock();
    cluster.broker_round_trip_time(1, Duration::from_millis(400)).unwrap();
    let mut config = kafka(&bootstrap, "t");
    config["errors.tolerance"] = json!("all");
    config["value.format"] = json!("bytes");
    config["batch.rows"] = json!(5000);
    config["tasks.max"] = json!(1);
    let pipeline = Pipeline::new("letters", None, &config);
    let sql = "CREATE TABLE letters (topic TEXT, id TEXT, record TEXT, CHECK (id = 'never'))";
    pipeline.query(sql);
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM s2x_errors"), Some(RECORDS));
}

/// A pattern takes the topic that bad records go to: each would come again and again.
#[test]
fn a_topic_that_the_pipeline_reads_by_a_pattern_is_refused() {
    let (_cluster, bootstrap) = mock();
    let mut config = config(&bootstrap, "t", "aside");
    config.as_object_mut().unwrap().remove("topics");
    config["topics.regex"] = json!("t|asid.");
    let pipeline = Pipeline::new("letters", None, &config);
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(78), "{}", run.log());
    assert!(run.log().contains("the pipeline reads aside itself"), "{}", run.log());
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM letters"), Some(0));
    assert!(letters(&bootstrap, "aside").is_empty());
}
