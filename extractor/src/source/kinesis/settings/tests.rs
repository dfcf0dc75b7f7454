//! Tests of the settings table: the documented CONFIG, every default, every range.

use serde_json::{Map, Value, json};

use super::*;
use protocol::Code;

/// CONFIG of the documented example.
fn documented() -> Value {
    json!({
        "connector.class": "com.singlestore.kafka.connect.kinesis.KinesisSourceConnector",
        "aws.access.key.id": "<aws_access_key>",
        "aws.secret.access.key": "<aws_secret_key>",
        "aws.session.token": "<aws_session_token>",
        "kafka.topic": "kinesis-topic",
        "kinesis.stream": "my-kinesis-stream",
        "kinesis.region": "us-east-1",
        "tasks.max": 4
    })
}

fn given(changes: &Value) -> Settings {
    let mut config = documented().as_object().unwrap().clone();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            config.remove(key);
        } else {
            config.insert(key.clone(), value.clone());
        }
    }
    Settings::from_maps(&config, &Map::new()).unwrap()
}

fn read(changes: &Value) -> KinesisSettings {
    KinesisSettings::read(&given(changes)).unwrap()
}

#[track_caller]
fn refused(changes: &Value, key: &str, reason: &str) {
    let failure = KinesisSettings::read(&given(changes)).unwrap_err();
    assert!(matches!(failure.code, Code::ConfigInvalid | Code::ConfigMissing), "{failure}");
    assert_eq!(failure.detail["pointer"], format!("/config/{key}"), "{failure}");
    assert!(failure.message.contains(reason), "{failure}");
}

#[test]
fn the_documented_config_is_taken_as_it_is() {
    let settings = read(&json!({}));
    assert_eq!(settings.stream, "my-kinesis-stream");
    assert_eq!(settings.topic, "kinesis-topic");
    assert_eq!(settings.region, "us-east-1");
    let Credentials::Static { id, secret, token } = &settings.credentials else { panic!() };
    assert_eq!((id.as_str(), secret.as_str()), ("<aws_access_key>", "<aws_secret_key>"));
    assert_eq!(token.as_deref(), Some("<aws_session_token>"));
    assert_eq!(KinesisSettings::unknown(&given(&json!({}))), []);
    assert_eq!(settings.warnings, Vec::<String>::new());
    assert!(settings.wants("shardId-000000000007"));
}

#[test]
fn both_spellings_are_the_same() {
    for region in ["US_EAST_1", "us-east-1", "Us_East_1"] {
        assert_eq!(read(&json!({"kinesis.region": region})).region, "us-east-1");
    }
    assert_eq!(read(&json!({"kinesis.region": "US_GOV_WEST_1"})).region, "us-gov-west-1");
    assert_eq!(read(&json!({"kinesis.region": null})).region, "us-east-1");
    let older = json!({"aws.secret.access.key": null, "aws.secret.key.id": "<aws_secret_key>"});
    assert_eq!(read(&older).credentials, read(&json!({})).credentials);
    refused(&json!({"aws.secret.key.id": "other"}), "aws.secret.key.id", "another value");
    refused(&json!({"kinesis.region": "here"}), "kinesis.region", "us-east-1 or US_EAST_1");
    refused(&json!({"kinesis.region": "us east 1"}), "kinesis.region", "a region");
}

#[test]
fn the_older_connector_keeps_its_defaults_and_ranges() {
    let older = read(&json!({"connector.class": OLDER_CLASS}));
    assert_eq!(older.record_limit, 500);
    assert_eq!(older.idle_max, Duration::from_secs(5));
    assert_eq!(older.throttle_max, Duration::from_secs(10));
    let ours = read(&json!({}));
    assert_eq!((ours.record_limit, ours.idle_max), (10_000, Duration::from_secs(1)));
    assert_eq!(ours.throttle_max, Duration::from_secs(10));

    assert_eq!(read(&json!({"kinesis.record.limit": "1"})).record_limit, 1);
    assert_eq!(read(&json!({"kinesis.record.limit": 10000})).record_limit, 10_000);
    for bad in [json!(0), json!(10_001), json!("many"), json!(1.5)] {
        refused(&json!({"kinesis.record.limit": bad}), "kinesis.record.limit", "from 1 to 10000");
    }
    for key in ["kinesis.empty.records.backoff.ms", "kinesis.throughput.exceeded.backoff.ms"] {
        refused(&json!({key: 499}), key, "from 500");
        read(&json!({key: 500}));
    }
    read(&json!({"kinesis.position": "LATEST"}));
    read(&json!({"kinesis.position": "trim_horizon"}));
    refused(&json!({"kinesis.position": "NOW"}), "kinesis.position", "allowed: TRIM_HORIZON");
    let place = "AFTER_SEQUENCE_NUMBER";
    refused(&json!({"kinesis.position": place}), "kinesis.position", "set the offset");
}

#[test]
fn shards_are_chosen_by_a_pattern_found_anywhere() {
    let settings = read(&json!({"kinesis.shard.id": "SHARDID-.*[02]$"}));
    assert!(settings.wants("shardId-000000000000") && settings.wants("shardId-000000000012"));
    assert!(!settings.wants("shardId-000000000001"));
    refused(&json!({"kinesis.shard.id": "("}), "kinesis.shard.id", "regular expression");
}

#[test]
fn credentials_are_whole_and_never_shown() {
    let none = json!({
        "aws.access.key.id": null, "aws.secret.access.key": null, "aws.session.token": null,
    });
    refused(&none, "aws.access.key.id", "aws.use.default.chain=true");
    refused(&json!({"aws.secret.access.key": null}), "aws.secret.access.key", "needs it");
    refused(
        &json!({"aws.access.key.id": null}),
        "aws.access.key.id",
        "aws.secret.access.key needs",
    );
    let with = |key: &str, value: Value| {
        let mut map = none.clone();
        map[key] = value;
        read(&map).credentials
    };
    assert_eq!(with("aws.use.default.chain", json!(true)), Credentials::Chain);
    assert_eq!(with("aws.profile", json!("team")), Credentials::Profile("team".into()));
    refused(&json!({"aws.profile": "team"}), "aws.profile", "aws.access.key.id is set too");
    let shown = format!("{:?}", read(&json!({})));
    assert!(!shown.contains("secret_key") && !shown.contains("session_token"), "{shown}");
    // CREDENTIALS win over CONFIG.
    let credentials = json!({"aws.secret.access.key": "other"});
    let config = documented();
    let merged =
        Settings::from_maps(config.as_object().unwrap(), credentials.as_object().unwrap()).unwrap();
    let Credentials::Static { secret, .. } = KinesisSettings::read(&merged).unwrap().credentials
    else {
        panic!()
    };
    assert_eq!(secret, "other");
}

#[test]
fn what_can_not_work_is_named() {
    refused(&json!({"kinesis.stream": null}), "kinesis.stream", "names the stream");
    refused(&json!({"kinesis.stream": "a b"}), "kinesis.stream", "1 to 128 letters");
    refused(&json!({"kinesis.endpoint": "localhost:1"}), "kinesis.endpoint", "http://HOST:PORT");
    refused(&json!({"kinesis.endpoint": "http://u@h"}), "kinesis.endpoint", "http://HOST:PORT");
    let both = json!({"kinesis.endpoint": "https://h", "kinesis.fips": true});
    refused(&both, "kinesis.fips", "names the endpoint already");
    refused(&json!({"kinesis.memory.bytes": 1}), "kinesis.memory.bytes", "from 16777216");
    refused(&json!({"kinesis.deaggregate": true}), "kinesis.deaggregate", "as they are");
    refused(&json!({"kinesis.read.mode": "efo"}), "kinesis.read.mode", "allowed: polling");
    refused(&json!({"on.invalid.offset": "skip"}), "on.invalid.offset", "earliest");
    let unknown = KinesisSettings::unknown(&given(&json!({"kinesis.strem": "x"})));
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].nearest.as_deref(), Some("kinesis.stream"));
}

#[test]
fn the_topic_defaults_to_the_stream() {
    assert_eq!(read(&json!({"kafka.topic": null})).topic, "my-kinesis-stream");
}

#[test]
fn loss_and_plain_text_are_warned_about() {
    let settings = read(&json!({
        "on.invalid.offset": "earliest", "kinesis.endpoint": "http://127.0.0.1:4567",
    }));
    assert_eq!(settings.warnings.len(), 2, "{:?}", settings.warnings);
}

#[test]
fn every_key_is_explained() {
    let manual = include_str!("../../../../KINESIS.md");
    for key in KEYS {
        assert!(manual.contains(&format!("`{key}`")), "KINESIS.md does not explain {key}");
    }
}
