//! What a pipeline over Kafka reads: topics that come up, starts of partitions, bounded runs.

use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::{Value, json};
use xtask::kafka::Client;

use crate::support::{Pipeline, kafka, need, signal};

/// A topic of so many records per partition, numbered over all of them in turn.
fn topic(client: &mut Client, name: &str, partitions: u64, each: u64) {
    client.call(&format!("topic-create {name} partitions={partitions}")).unwrap();
    fill(client, name, partitions, 0, each);
}

fn fill(client: &mut Client, name: &str, partitions: u64, first: u64, each: u64) {
    let (count, start) = (partitions * each, partitions * first);
    let call =
        format!("produce {name} count={count} start={start} partition=rr:{partitions} key=seq");
    client.call(&call).unwrap();
}

fn matching(bootstrap: &str, pattern: &str) -> Value {
    let mut config = kafka(bootstrap, "");
    let map = config.as_object_mut().unwrap();
    map.remove("topics");
    map.insert("topics.regex".to_owned(), pattern.into());
    config
}

fn rows_of(pipeline: &Pipeline, topic: &str) -> Option<u64> {
    let sql = format!("SELECT COUNT(*) FROM {} WHERE topic = '{topic}'", pipeline.name);
    pipeline.try_number(&sql)
}

/// F21: topics that match and come up while the pipeline runs are read from their beginning, and
/// are known from then on: one that is created again is noticed by the next run.
#[test]
fn f21_e10_a_topic_that_comes_up_is_read_and_known() {
    let test = "f21_e10_a_topic_that_comes_up_is_read_and_known";
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let tag = format!("m{:08x}", fastrand::u32(..));
    let name = |n: &str| format!("{tag}-{n}");
    let mut client = Client::start(&bootstrap).unwrap();
    topic(&mut client, &name("1"), 2, 50);
    topic(&mut client, &format!("x{tag}-3"), 1, 10);
    let pipeline = Pipeline::new("grows", None, &matching(&bootstrap, &format!("{tag}-.*")));
    let mut run = pipeline.start(&["--batch-interval-ms", "200"]);
    pipeline.wait_for_rows(&mut run, 99);
    topic(&mut client, &name("2"), 3, 40);
    pipeline.wait_for_rows(&mut run, 219);
    signal(run.pid(), Signal::SIGINT);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    assert_eq!(rows_of(&pipeline, &name("1")), Some(100));
    assert_eq!(rows_of(&pipeline, &name("2")), Some(120));
    assert_eq!(rows_of(&pipeline, &format!("x{tag}-3")), Some(0));
    client.call(&format!("topic-delete {}", name("2"))).unwrap();
    topic(&mut client, &name("2"), 3, 80);
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(69), "{}", run.log());
    assert!(run.log().contains("SOURCE_RECREATED"), "{}", run.log());
    assert_eq!(rows_of(&pipeline, &name("2")), Some(120));
}

/// A topic that matched and is deleted is told: by an error while it is read, by a warning at the
/// next start, which goes on without it.
#[test]
fn a_matched_topic_that_vanishes_is_told() {
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", "a_matched_topic_that_vanishes_is_told") else {
        return;
    };
    let tag = format!("v{:08x}", fastrand::u32(..));
    let [one, two] = [1, 2].map(|n| format!("{tag}-{n}"));
    let mut client = Client::start(&bootstrap).unwrap();
    topic(&mut client, &one, 1, 50);
    topic(&mut client, &two, 1, 50);
    let pipeline = Pipeline::new("loses", None, &matching(&bootstrap, &format!("{tag}-.")));
    let mut run = pipeline.start(&["--batch-interval-ms", "200"]);
    pipeline.wait_for_rows(&mut run, 99);
    client.call(&format!("topic-delete {two}")).unwrap();
    assert_eq!(run.wait(), Some(69), "{}", run.log());
    assert!(run.log().contains(&format!("topic {two}")), "{}", run.log());
    fill(&mut client, &one, 1, 50, 10);
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    assert!(run.log().contains("is not part of the pipeline any more"), "{}", run.log());
    assert_eq!(rows_of(&pipeline, &one), Some(60));
    // What was left out is looked at when it is there again: here, it is another topic.
    let mut run = pipeline.start(&["--batch-interval-ms", "200"]);
    fill(&mut client, &one, 1, 60, 10);
    pipeline.wait_for_rows(&mut run, 109);
    topic(&mut client, &two, 1, 10);
    assert_eq!(run.wait(), Some(69), "{}", run.log());
    assert!(run.log().contains("SOURCE_RECREATED"), "{}", run.log());
    assert_eq!(rows_of(&pipeline, &two), Some(50));
}

/// Each partition starts where the file says, and the run ends where it says, with exit code 0.
#[test]
fn partitions_start_and_end_where_the_file_says() {
    let test = "partitions_start_and_end_where_the_file_says";
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let name = format!("b-{:08x}", fastrand::u32(..));
    topic(&mut Client::start(&bootstrap).unwrap(), &name, 4, 100);
    let of = |partition: u32| format!("{name}/{partition}");
    let mut config = kafka(&bootstrap, &name);
    let map = config.as_object_mut().unwrap();
    map.insert("start".into(), json!({ of(0): 5, of(1): -30, of(2): "latest" }));
    map.insert("end".into(), json!({ of(0): 20, of(1): "latest", of(3): 7 }));
    let pipeline = Pipeline::new("bounded", None, &config);
    let mut run = pipeline.start(&[]);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    // The producer deals record n to partition n % 4, where it has offset n / 4.
    let ids = |partition: u32, offsets: std::ops::Range<u32>| {
        offsets.map(move |offset| format!("\"k-{}\"", offset * 4 + partition))
    };
    pipeline.assert_exactly_once(ids(0, 5..20).chain(ids(1, 70..100)).chain(ids(3, 0..7)));
    pipeline.assert_no_process_left();
}

/// The current end is pinned before the first row: a run that is killed and started again ends
/// where the first one would have, whatever was written meanwhile.
#[test]
fn e05_a_bounded_run_that_is_killed_keeps_its_ends() {
    let test = "e05_a_bounded_run_that_is_killed_keeps_its_ends";
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let name = format!("k-{:08x}", fastrand::u32(..));
    let mut client = Client::start(&bootstrap).unwrap();
    topic(&mut client, &name, 4, 2_000);
    let pipeline = Pipeline::new("killed", None, &kafka(&bootstrap, &name));
    let mut run = pipeline.start(&["--end", "latest", "--batch-rows", "20"]);
    pipeline.wait_for_rows(&mut run, 100);
    signal(run.pid(), Signal::SIGKILL);
    run.wait();
    fill(&mut client, &name, 4, 2_000, 500);
    let mut run = pipeline.start(&["--end", "latest"]);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    pipeline.assert_exactly_once((0..8_000).map(|n| format!("\"k-{n}\"")));
    pipeline.assert_no_process_left();
}

/// A broker in this process with a topic of one value per record, for each partition.
fn mock(values: &[&[&[u8]]]) -> (MockCluster<'static, DefaultProducerContext>, String) {
    let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
    cluster.create_topic("t", i32::try_from(values.len()).unwrap(), 1).unwrap();
    let bootstrap = cluster.bootstrap_servers();
    let mut client = ClientConfig::new();
    let producer: BaseProducer = client.set("bootstrap.servers", &bootstrap).create().unwrap();
    for (partition, values) in (0..).zip(values) {
        for value in *values {
            let record = BaseRecord::<str, [u8]>::to("t").partition(partition).payload(*value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    (cluster, bootstrap)
}

/// An end before the start is said for its partition; the others are read.
#[test]
fn an_end_before_the_start_is_told() {
    let (_cluster, bootstrap) = mock(&[&[b"1", b"2", b"3"], &[b"4", b"5"]]);
    let mut config = kafka(&bootstrap, "t");
    config["start"] = json!({"t/0": 2, "t/1": 1});
    config["end"] = json!({"t/0": 1, "t/1": 2});
    let pipeline = Pipeline::new("behind", None, &config);
    let mut run = pipeline.start(&[]);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    let told = "stands at {\"offset\":2}, behind its end {\"offset\":1}: nothing of it is read";
    assert_eq!(run.log().matches(told).count(), 1, "{}", run.log());
    assert_eq!(run.log().matches("behind its end").count(), 1, "{}", run.log());
    assert_eq!(pipeline.query("SELECT record FROM behind").concat(), ["5"]);
}

/// A first run cannot begin while a partition has no leader: it ends with its name and writes
/// nothing, and the next one reads everything.
#[test]
fn e05_a_first_run_without_a_leader_begins_nothing() {
    let (cluster, bootstrap) = mock(&[&[b"1"], &[b"2"]]);
    cluster.partition_leader("t", 1, None).unwrap();
    let pipeline = Pipeline::new("away", None, &kafka(&bootstrap, "t"));
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(75), "{}", run.log());
    assert!(run.log().contains("no leader for topic t partition 1:"), "{}", run.log());
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM PIPELINES_SOURCE_OFFSETS"), Some(0));
    cluster.partition_leader("t", 1, Some(1)).unwrap();
    pipeline.run(&[]);
    let rows = pipeline.query("SELECT record FROM away ORDER BY record");
    assert_eq!(rows.concat(), ["1", "2"]);
}

/// F29: a record that is framed for a schema registry stops the pipeline with its position and the
/// schema id, or is written down while its neighbours, in its partition and in others, are loaded.
#[test]
fn f29_a_record_framed_for_a_registry_holds_up_no_neighbour() {
    let poison = b"\0\0\0\0\x07\x08abcd";
    let (_cluster, bootstrap) = mock(&[&[b"1", poison, b"3"], &[b"4", b"5", b"6"]]);
    let pipeline = Pipeline::new("poisoned", None, &kafka(&bootstrap, "t"));
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(65), "{}", run.log());
    for told in ["schema id 7", r#"{"offset":1}"#, r#"{"partition":0,"topic":"t"}"#] {
        assert!(run.log().contains(told), "{told}: {}", run.log());
    }
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM poisoned WHERE record = '3'"), Some(0));
    let mut config = kafka(&bootstrap, "t");
    config["errors.tolerance"] = "all".into();
    pipeline.configure(&config);
    pipeline.run(&[]);
    let rows = pipeline.query("SELECT record FROM poisoned ORDER BY record");
    assert_eq!(rows.concat(), ["1", "3", "4", "5", "6"]);
    let sql = "SELECT BATCH_EARLIEST_OFFSET, ERROR_CODE, ERROR_MESSAGE FROM PIPELINES_ERRORS \
               WHERE ERROR_KIND = 'transform' OR ERROR_CODE = 'DECODE_FAILED'";
    let errors = pipeline.query(sql);
    let last = errors.last().unwrap();
    assert_eq!(last[..2], [r#"{"offset":1}"#, "DECODE_FAILED"]);
    assert!(last[2].contains("(schema id 7)"), "{errors:?}");
}
