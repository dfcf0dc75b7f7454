//! Tests of letters against librdkafka's mock broker.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};

use super::*;
use crate::store::{StoreError, StoreErrorKind};

type Record = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>);

/// Everything in partition 0 of a topic, up to so many records.
fn records(servers: &str, topic: &str, count: usize) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "tests")
        .set_log_level(RDKafkaLogLevel::Error)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut found = Vec::new();
    while found.len() < count {
        assert!(Instant::now() < deadline, "{} of {count}", found.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|it| (it.key.to_owned(), it.value.map(<[u8]>::to_vec))).collect();
        found.push((
            message.key().map(<[u8]>::to_vec),
            message.payload().map(<[u8]>::to_vec),
            headers,
        ));
    }
    found
}

fn letter(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> Letter {
    Letter {
        split: r#"{"partition":3,"topic":"it's"}"#.to_owned(),
        position: r#"{"offset":41}"#.to_owned(),
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
            .collect(),
        code: "ROW_REFUSED".to_owned(),
        reason: "Duplicate entry".to_owned(),
        is_load: true,
    }
}

fn cluster() -> (MockCluster<'static, DefaultProducerContext>, DeadLetters) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("aside", 1, 1).unwrap();
    let letters = DeadLetters {
        topic: "aside".to_owned(),
        servers: cluster.bootstrap_servers(),
        client: Vec::new(),
        has_context: true,
        is_own: false,
    };
    (cluster, letters)
}

fn put(producer: &mut Producer, letters: &[Letter]) -> Result<bool, StoreError> {
    producer.put(letters, PUT_WITHIN, &|| false)
}

fn sender() -> Sender {
    Sender { pipeline: "p".to_owned(), task: 2 }
}

/// Null, empty, every byte, headers twice, with no value, with hostile names: what comes out is what went in.
#[test]
fn records_are_unchanged_to_the_byte_and_say_why() {
    let (_cluster, to) = cluster();
    let every: Vec<u8> = (0..=255).collect();
    let hostile: [(&str, Option<&[u8]>); 4] =
        [("a", Some(&every)), ("a", None), ("nul\0 \n';--", Some(b"")), ("", Some(b"x"))];
    let letters = [
        letter(None, None, &[]),
        letter(Some(b""), Some(b""), &[]),
        letter(Some(&every), Some(&every), &hostile),
    ];
    let mut producer = Producer::new(to.clone(), sender());
    producer.check().unwrap();
    put(&mut producer, &letters).unwrap();
    let found = records(&to.servers, "aside", 3);
    for (letter, (key, value, headers)) in letters.iter().zip(&found) {
        assert_eq!((key, value), (&letter.key, &letter.value));
        let (own, why) = headers.split_at(letter.headers.len());
        let cut = |name: &str| name.split('\0').next().unwrap().to_owned();
        // The client that reads here ends a name at its NUL; the bytes behind it are on the broker.
        let wanted: Vec<Header> =
            letter.headers.iter().map(|(name, value)| (cut(name), value.clone())).collect();
        assert_eq!(own, wanted);
        let why: Vec<(String, String)> = why
            .iter()
            .map(|(name, value)| (name.clone(), String::from_utf8(value.clone().unwrap()).unwrap()))
            .collect();
        let has = |name: &str, value: &str| why.contains(&(name.to_owned(), value.to_owned()));
        assert!(has("__connect.errors.topic", "it's"), "{why:?}");
        assert!(has("__connect.errors.partition", "3") && has("__connect.errors.offset", "41"));
        assert!(
            has("__connect.errors.connector.name", "p") && has("__connect.errors.task.id", "2")
        );
        assert!(has("__connect.errors.stage", "TASK_PUT"));
        assert!(has("__connect.errors.exception.message", "Duplicate entry"));
        assert!(has("ErrorInfo", "Error: ROW_REFUSED, Message: Duplicate entry"));
    }
}

#[test]
fn without_context_a_record_is_what_it_was() {
    let (_cluster, to) = cluster();
    let to = DeadLetters { has_context: false, ..to };
    let mut producer = Producer::new(to.clone(), sender());
    put(&mut producer, &[letter(Some(b"k"), Some(b"v"), &[("h", Some(b"1"))])]).unwrap();
    let found = records(&to.servers, "aside", 1);
    let headers = vec![("h".to_owned(), Some(b"1".to_vec()))];
    assert_eq!(found, [(Some(b"k".to_vec()), Some(b"v".to_vec()), headers)]);
}

/// What the broker does not acknowledge is an error; the next attempt is one of its own.
#[test]
fn a_letter_that_is_not_acknowledged_is_an_error() {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    let (cluster, to) = cluster();
    let mut producer = Producer::new(to.clone(), sender());
    put(&mut producer, &[letter(Some(b"k"), Some(b"1"), &[])]).unwrap();
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE];
    cluster.request_errors(RDKafkaApiKey::Produce, &refused);
    let error = put(&mut producer, &[letter(Some(b"k"), Some(b"2"), &[])]).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    assert!(error.to_string().contains(r#"{"offset":41}"#), "{error}");
    let denied = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    cluster.request_errors(RDKafkaApiKey::Produce, &denied);
    let error = put(&mut producer, &[letter(Some(b"k"), Some(b"3"), &[])]).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Auth, "{error}");
    put(&mut producer, &[letter(Some(b"k"), Some(b"4"), &[])]).unwrap();
    let values: Vec<_> = records(&to.servers, "aside", 2).into_iter().map(|it| it.1).collect();
    assert_eq!(values, [Some(b"1".to_vec()), Some(b"4".to_vec())]);
}

#[test]
fn a_wrong_setting_or_server_is_told_before_anything_is_read() {
    let (_cluster, to) = cluster();
    let wrong = vec![("security.protocol".to_owned(), "shout".to_owned())];
    let error = Producer::new(DeadLetters { client: wrong, ..to.clone() }, sender()).check();
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Config);
    let nobody = DeadLetters { servers: "127.0.0.1:1".to_owned(), ..to };
    let error = Producer::new(nobody, sender()).check().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Transient);
    assert!(error.to_string().contains("dead-letter topic aside"), "{error}");
}

/// A broker that is slow is waited for in pieces, without a letter twice; one that nobody waits for any more is not.
#[test]
fn letters_under_way_are_gone_on_with() {
    let (cluster, to) = cluster();
    let mut producer = Producer::new(to.clone(), sender());
    let one = [letter(Some(b"k"), Some(b"1"), &[])];
    cluster.broker_round_trip_time(1, Duration::from_millis(1500)).unwrap();
    assert_eq!(producer.put(&one, Duration::ZERO, &|| false), Ok(false));
    assert_eq!(put(&mut producer, &one), Ok(true));
    let two = [letter(Some(b"k"), Some(b"2"), &[])];
    cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert_eq!(put(&mut producer, &two), Ok(true));
    let values: Vec<_> = records(&to.servers, "aside", 2).into_iter().map(|it| it.1).collect();
    assert_eq!(values, [Some(b"1".to_vec()), Some(b"2".to_vec())]);
    cluster.broker_down(1).unwrap();
    let error = producer.put(&two, PUT_WITHIN, &|| true).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Transient, "{error}");
}

/// A record that an error row could not hold is never sent without its value; one that has none is sent as it is.
#[test]
fn what_was_left_out_is_no_tombstone() {
    let (_cluster, to) = cluster();
    let mut producer = Producer::new(to.clone(), sender());
    let reason = format!("Duplicate entry {PARTS_LEFT_OUT}70000000 bytes)");
    let cut = Letter { reason, ..letter(Some(b"k"), None, &[]) };
    let error = producer
        .put(&[letter(Some(b"k"), Some(b"1"), &[]), cut], PUT_WITHIN, &|| false)
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    assert!(error.to_string().contains(r#"{"offset":41}"#), "{error}");
    assert_eq!(put(&mut producer, &[letter(Some(b"t"), None, &[])]), Ok(true));
    let found = records(&to.servers, "aside", 1);
    assert_eq!((found[0].0.as_deref(), &found[0].1), (Some(&b"t"[..]), &None));
}
