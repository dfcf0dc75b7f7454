//! The settings table: every default, every refusal, and what reaches librdkafka.

use serde_json::{Map, Value, json};

use super::*;
use crate::decode::Format;

fn settings(config: Value) -> Settings {
    let Value::Object(config) = config else { panic!("not an object") };
    Settings::from_maps(&config, &Map::new()).unwrap()
}

fn with(extra: Value) -> Settings {
    let mut config = json!({"bootstrap.servers": "b1:9092", "topics": "t"});
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    settings(config)
}

#[track_caller]
fn refused(extra: Value, code: Code, message: &str) {
    let failure = KafkaSettings::read(&with(extra)).unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (code, message));
    assert!(failure.detail.contains_key("pointer"));
}

#[track_caller]
fn invalid(key: &str, value: &str, message: &str) {
    refused(json!({key: value}), Code::ConfigInvalid, &format!("{key} = {value:?}: {message}"));
}

#[test]
fn defaults_lose_nothing() {
    let read = KafkaSettings::read(&with(json!({}))).unwrap();
    assert!(matches!(&read.topics, Selection::Named(names) if *names == ["t"]));
    assert_eq!(read.decoder.key, Format::String);
    assert_eq!(read.decoder.value, Format::Json);
    assert_eq!((read.on_gap, read.read_uncommitted), (OnGap::Error, false));
    assert!(read.warnings.is_empty());
    let config = read.client_config();
    for (key, value) in [
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("allow.auto.create.topics", "false"),
        ("enable.partition.eof", "true"),
        ("check.crcs", "true"),
        ("fetch.queue.backoff.ms", "1"),
        ("reconnect.backoff.ms", "22"),
        ("queued.max.messages.kbytes", "4194"),
        ("queued.min.messages", "8192"),
        ("fetch.message.max.bytes", "1048576"),
        ("fetch.max.bytes", "1048576"),
    ] {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
    assert_eq!(config.get("group.id"), None);
    config.create_native_config().unwrap();
}

#[test]
fn little_memory_means_small_answers() {
    let read = KafkaSettings::read(&with(json!({"kafka.memory.bytes": 4_194_304}))).unwrap();
    let config = read.client_config();
    assert_eq!(config.get("fetch.message.max.bytes"), Some("524288"));
    assert_eq!(config.get("fetch.max.bytes"), Some("524288"));
    assert_eq!(config.get("queued.max.messages.kbytes"), Some("3145"));
    assert_eq!(config.get("queued.min.messages"), Some("6144"));
    assert_eq!(config.get("receive.message.max.bytes"), Some("28311552"));
    config.create_native_config().unwrap();
}

#[test]
fn what_is_fetched_at_once_is_also_received() {
    let extra = json!({"properties.fetch.max.bytes": 152_428_800});
    let config = KafkaSettings::read(&with(extra)).unwrap().client_config();
    assert_eq!(config.get("fetch.max.bytes"), Some("152428800"));
    assert_eq!(config.get("receive.message.max.bytes"), Some("152429312"));
    config.create_native_config().unwrap();
}

#[test]
fn the_safe_consumer_is_chosen_with_a_warning() {
    let read = KafkaSettings::read(&with(json!({"consumer.batch": false}))).unwrap();
    assert!(!read.batch && read.warnings.iter().any(|line| line.contains("consumer.batch=false")));
    let config = read.client_config();
    assert_eq!(config.get("group.id"), Some("s2x-extractor"));
    assert_eq!(config.get("enable.auto.commit"), Some("false"));
    let shared = KafkaSettings { readers: Readers { queues: 16, brokers: 1 }, ..read };
    let kbytes = shared.client_config().get("queued.max.messages.kbytes").unwrap().to_owned();
    assert_eq!(kbytes, "262");
    let rotated = shared.with_credentials(&Map::new()).unwrap();
    assert_eq!(rotated.client_config().get("queued.max.messages.kbytes"), Some(kbytes.as_str()));
}

#[test]
fn topics_and_servers_are_lists_with_two_spellings() {
    let read = KafkaSettings::read(&settings(json!({
        "properties.bootstrap.servers": "b1:9092, [::1]:9093,PLAINTEXT://b3:1",
        "kafka.topic": "b, a,b,",
    })))
    .unwrap();
    assert!(matches!(&read.topics, Selection::Named(names) if *names == ["a", "b"]));
    assert_eq!(read.servers, "b1:9092,[::1]:9093,PLAINTEXT://b3:1");
    let both = json!({"kafka.topic": "other"});
    let message = "kafka.topic = \"other\": topics is set to another value";
    refused(both, Code::ConfigInvalid, message);
}

#[test]
fn missing_keys_say_what_to_write() {
    let missing = |config: Value| KafkaSettings::read(&settings(config)).unwrap_err();
    let failure = missing(json!({"topics": "t"}));
    assert_eq!(failure.code, Code::ConfigMissing);
    assert_eq!(failure.detail["pointer"], "/config/bootstrap.servers");
    let failure = missing(json!({"bootstrap.servers": "b", "topics": " , "}));
    assert_eq!(failure.code, Code::ConfigMissing);
    assert_eq!(failure.detail["pointer"], "/config/topics");
}

#[test]
fn unusable_values_say_what_is_allowed() {
    let formats = "allowed: json, string, bytes, raw, avro, avro-confluent, csv, json-schema";
    invalid("value.format", "xml", formats);
    invalid("auto.offset.reset", "none", "allowed: error, earliest, latest");
    invalid("isolation.level", "committed", "allowed: read_committed, read_uncommitted");
    invalid("kafka.memory.bytes", "1000", "allowed: a whole number from 1048576 to 1073741824");
    invalid("bootstrap.servers", "b:x", "allowed: host:port, several separated by commas");
    let name = "a topic name has 1 to 249 letters, digits, dots, underscores and hyphens; a pattern \
                belongs into topics.regex";
    invalid("topics", "a b", name);
    invalid("topics", "..", name);
}

#[test]
fn security_is_set_by_its_own_keys() {
    for (name, value) in [("security.protocol", "SASL_SSL"), ("ssl.ca.location", "/ca.pem")] {
        let message = format!("use {name} without the prefix");
        invalid(&format!("properties.{name}"), value, &message);
    }
    invalid(
        "bootstrap.servers",
        "SSL://b:9093",
        "security.protocol is PLAINTEXT; both must say the same",
    );
    let ssl = json!({"security.protocol": "SSL", "bootstrap.servers": "SSL://b:9093"});
    let read = KafkaSettings::read(&with(ssl)).unwrap();
    assert_eq!(read.client_config().get("security.protocol"), Some("ssl"));
    let unchecked = json!({"properties.enable.ssl.certificate.verification": "false"});
    assert_eq!(KafkaSettings::read(&with(unchecked)).unwrap().warnings.len(), 1);
}

#[test]
fn debug_output_shows_no_property() {
    let read = KafkaSettings::read(&with(json!({
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "me",
        "sasl.password": "hunter2",
    })))
    .unwrap();
    assert!(!format!("{read:?}").contains("hunter"));
}

#[test]
fn rotated_credentials_replace_the_old_ones() {
    let config = json!({
        "bootstrap.servers": "b",
        "topics": "t",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
    });
    let login = |password: &str| {
        let login = json!({"sasl.username": "me", "sasl.password": password});
        login.as_object().unwrap().clone()
    };
    let all = Settings::from_maps(config.as_object().unwrap(), &login("one1")).unwrap();
    let first = KafkaSettings::read(&all).unwrap();
    let second = first.with_credentials(&login("two2")).unwrap();
    assert_eq!(second.client_config().get("sasl.password"), Some("two2"));
    assert!(second.with_credentials(&Map::new()).is_err());
}

#[test]
fn owned_properties_name_what_to_use() {
    let owned = |text: &str| format!("set by the extractor: {text}");
    invalid(
        "properties.group.id",
        "g",
        &owned("partitions are assigned by the database; no consumer group is joined"),
    );
    invalid("properties.queued.max.messages.kbytes", "1", &owned("use kafka.memory.bytes"));
    invalid(
        "properties.auto.offset.reset",
        "latest",
        &owned("use auto.offset.reset without the prefix"),
    );
    invalid("properties.enable.auto.commit", "true", &owned("offsets are kept by the database"));
    invalid("properties.plugin.library.paths", "x", &owned("foreign code is never loaded"));
    invalid("properties.dr_msg_cb", "x", "callbacks cannot be set");
}

#[test]
fn java_names_point_to_ours() {
    invalid(
        "properties.max.partition.fetch.bytes",
        "1",
        "a setting of the Java client; here it is properties.fetch.message.max.bytes",
    );
    let failure = KafkaSettings::read(&with(json!({"properties.sasl.jaas.config": "user secret"})))
        .unwrap_err();
    assert_eq!(
        failure.message,
        "properties.sasl.jaas.config = ***: a setting of the Java client; here it is \
         sasl.mechanism with sasl.username and sasl.password"
    );
}

#[test]
fn librdkafka_names_what_it_does_not_know() {
    let failure =
        KafkaSettings::read(&with(json!({"properties.fetch.min.byte": "1"}))).unwrap_err();
    assert!(failure.message.starts_with("properties.fetch.min.byte = \"1\": librdkafka says: "));
    assert!(failure.message.contains("No such configuration property"), "{}", failure.message);
    let failure =
        KafkaSettings::read(&with(json!({"properties.socket.timeout.ms": "x"}))).unwrap_err();
    assert!(failure.message.starts_with("properties.socket.timeout.ms = \"x\": librdkafka says: "));
}

#[test]
fn passed_properties_arrive_and_owned_ones_stay() {
    let read = KafkaSettings::read(&with(json!({
        "properties.socket.timeout.ms": 7000, "properties.fetch.max.bytes": 2_000_000,
        "auto.offset.reset": "earliest", "isolation.level": "read_uncommitted",
    })))
    .unwrap();
    let config = read.client_config();
    assert_eq!(config.get("socket.timeout.ms"), Some("7000"));
    assert_eq!(config.get("fetch.max.bytes"), Some("2000000"));
    assert_eq!(config.get("isolation.level"), Some("read_uncommitted"));
    assert_eq!(config.get("auto.offset.reset"), Some("error"));
    assert_eq!(read.warnings.len(), 2);
}

#[test]
fn slips_get_a_hint() {
    let unknown = KafkaSettings::unknown(&with(json!({"value.fromat": "json"})));
    assert_eq!(unknown[0].to_string(), "value.fromat (did you mean value.format?)");
}

#[test]
fn the_manual_lists_every_key() {
    let manual = include_str!("../../../../KAFKA.md");
    for key in KEYS.into_iter().chain(security::KEYS) {
        assert!(manual.contains(&format!("`{key}`")), "KAFKA.md does not explain {key}");
    }
    assert!(manual.contains(&format!("`{MEMORY_BYTES_DEFAULT}`")));
}
