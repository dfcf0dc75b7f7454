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
    let (time, numbers) = ("kinesis.position.timestamp", "kinesis.position.sequence.numbers");
    for (word, own, other) in [
        ("AT_TIMESTAMP", time, numbers),
        ("AT_SEQUENCE_NUMBER", numbers, time),
        ("after_sequence_number", numbers, time),
    ] {
        let of = |key: &str| if key == time { json!(5) } else { json!({"shardId-0": "7"}) };
        refused(&json!({"kinesis.position": word}), "kinesis.position", &format!("it needs {own}"));
        read(&json!({"kinesis.position": word, own: of(own)}));
        let both = json!({"kinesis.position": word, own: of(own), other: of(other)});
        refused(&both, other, "it means nothing without kinesis.position=A");
        refused(&json!({"kinesis.position": "LATEST", own: of(own)}), own, "it means nothing");
        refused(&json!({own: of(own)}), own, "it means nothing");
    }
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
    let team = Credentials::Profile { name: "team".into(), file: None };
    assert_eq!(with("aws.profile", json!("team")), team);
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
    let outside = "kinesis.deaggregate.outside";
    refused(&json!({outside: "keep"}), outside, "means nothing without");
    refused(&json!({"kinesis.deaggregate": true, outside: "all"}), outside, "allowed: keep, drop");
    refused(&json!({"kinesis.read.mode": "push"}), "kinesis.read.mode", "allowed: polling");
    refused(&json!({"on.invalid.offset": "skip"}), "on.invalid.offset", "earliest");
    let unknown = KinesisSettings::unknown(&given(&json!({"kinesis.strem": "x"})));
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].nearest.as_deref(), Some("kinesis.stream"));
}

#[test]
fn enhanced_fan_out_needs_one_consumer_of_this_stream() {
    let (mode, arn, name) = ("kinesis.read.mode", "kinesis.consumer.arn", "kinesis.consumer.name");
    let of = |stream: &str| {
        format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}/consumer/c:1")
    };
    refused(&json!({mode: "efo"}), arn, "kinesis.consumer.name");
    refused(&json!({mode: "efo", arn: of("my-kinesis-stream"), name: "c"}), name, "is set too");
    refused(&json!({mode: "efo", arn: of("other")}), arn, "a consumer of the stream other");
    for bad in
        ["c", "arn:aws:kinesis:r:0:stream/my-kinesis-stream", "arn:aws:sns:r:0:stream/s/consumer/c"]
    {
        refused(&json!({mode: "efo", arn: bad}), arn, "allowed: arn:aws:kinesis:REGION");
    }
    refused(&json!({mode: "efo", name: "a b"}), name, "1 to 128 letters");
    refused(
        &json!({mode: "efo", name: "c", "kinesis.consumer.fallback": "none"}),
        "kinesis.consumer.fallback",
        "polling",
    );
    assert_eq!(read(&json!({name: "c"})).fan_out, None, "polled unless asked for");
    let named = read(&json!({mode: "efo", name: "c"})).fan_out.unwrap();
    assert_eq!(named.consumer, ConsumerId::Name("c".into()));
    assert_eq!((named.fallback, named.silence.as_secs()), (OnUnusable::Polling, 35));
    let given = read(
        &json!({mode: "efo", arn: of("my-kinesis-stream"), "kinesis.consumer.fallback": "error"}),
    );
    let given = given.fan_out.unwrap();
    assert_eq!(given.consumer, ConsumerId::Arn(of("my-kinesis-stream")));
    assert_eq!(given.fallback, OnUnusable::Error);
}

#[test]
fn aggregates_are_left_whole_unless_asked_for() {
    assert_eq!(read(&json!({})).deaggregate, None);
    assert_eq!(read(&json!({"kinesis.deaggregate": "true"})).deaggregate, Some(Outside::Keep));
    let drop = json!({"kinesis.deaggregate": true, "kinesis.deaggregate.outside": "drop"});
    assert_eq!(read(&drop).deaggregate, Some(Outside::Drop));
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
fn a_stream_may_be_named_by_its_arn() {
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/events";
    let settings = read(&json!({
        "kinesis.stream": null, "kinesis.region": null, "kafka.topic": null,
        "kinesis.stream.arn": arn,
    }));
    assert_eq!(settings.stream_arn.as_deref(), Some(arn));
    assert_eq!((settings.stream.as_str(), settings.region.as_str()), ("events", "eu-west-1"));
    assert_eq!(settings.topic, "events");
    let same = json!({
        "kinesis.stream.arn": arn, "kinesis.stream": "events", "kinesis.region": "EU_WEST_1",
    });
    assert_eq!(read(&same).region, "eu-west-1");
    let other = json!({"kinesis.stream.arn": arn, "kinesis.region": "eu-west-1"});
    refused(&other, "kinesis.stream", "kinesis.stream.arn says events");
    let other = json!({"kinesis.stream.arn": arn, "kinesis.stream": "events"});
    refused(&other, "kinesis.region", "kinesis.stream.arn says eu-west-1");
    let gov = "arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/events";
    read(&json!({"kinesis.stream.arn": gov, "kinesis.stream": null, "kinesis.region": null}));
    for wrong in [
        "events",
        "arn:aws:kinesis:eu-west-1:123456789012:events",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/events/consumer/c:1",
        "arn:aws:kinesis::123456789012:stream/events",
        "arn:aws:kinesis:eu-west-1:12345:stream/events",
        "arn:aws:dynamodb:eu-west-1:123456789012:stream/events",
    ] {
        let wrong = json!({"kinesis.stream.arn": wrong, "kinesis.region": null});
        refused(&wrong, "kinesis.stream.arn", "arn:aws:kinesis:REGION:ACCOUNT:stream/NAME");
    }
}

const ROLE: &str = "arn:aws:iam::123456789012:role/team/reader";

#[test]
fn a_role_is_read_whole() {
    let role = read(&json!({
        "aws.role.arn": ROLE, "aws.role.external.id": "theirs", "aws.role.session.name": "me",
        "aws.role.session.seconds": "900", "aws.sts.region": "EU_WEST_1",
        "aws.sts.endpoint": "https://sts.example",
    }));
    let wanted = Role {
        arn: ROLE.into(),
        external_id: Some("theirs".into()),
        session_name: "me".into(),
        session: Duration::from_secs(900),
        endpoint: Some("https://sts.example".into()),
        region: "eu-west-1".into(),
    };
    assert_eq!(role.role, Some(wanted));
    let role = read(&json!({"aws.role.arn": ROLE, "kinesis.region": "eu-north-1"})).role.unwrap();
    assert_eq!((role.region.as_str(), role.session.as_secs()), ("eu-north-1", 3600));
    assert_eq!((role.session_name.as_str(), role.external_id), ("extractor", None));
    refused(&json!({"aws.role.external.id": "x1"}), "aws.role.arn", "external.id needs it");
    for (key, wrong) in [
        ("aws.role.arn", "arn:aws:iam::123456789012:user/reader"),
        ("aws.role.arn", "reader"),
        ("aws.role.external.id", "a b"),
        ("aws.role.external.id", "x"),
        ("aws.role.session.name", "a/b"),
        ("aws.role.session.seconds", "899"),
        ("aws.role.session.seconds", "43201"),
        ("aws.sts.endpoint", "sts"),
        ("aws.sts.region", "here"),
    ] {
        let mut map = json!({"aws.role.arn": ROLE});
        map[key] = json!(wrong);
        refused(&map, key, "allowed");
    }
}

#[test]
fn one_place_says_where_credentials_come_from() {
    let none = json!({
        "aws.access.key.id": null, "aws.secret.access.key": null, "aws.session.token": null,
    });
    let with = |more: Value| {
        let mut map = none.clone();
        map.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        map
    };
    let metadata = with(json!({"aws.instance.metadata.endpoint": "http://169.254.169.254"}));
    let endpoint = "http://169.254.169.254".to_owned();
    assert_eq!(read(&metadata).credentials, Credentials::Instance { endpoint });
    let url = "aws.container.credentials.url";
    for good in [
        "http://169.254.170.2/v2/credentials/x",
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials",
        "http://127.0.0.1:8080/x",
        "http://[::1]:80/x",
        "https://anywhere.example/x",
    ] {
        let credentials = read(&with(json!({url: good}))).credentials;
        assert_eq!(credentials, Credentials::Container { url: good.into(), token_file: None });
    }
    for bad in ["http://example.com/", "http://169.254.170.2.example.com/", "ftp://127.0.0.1/"] {
        refused(&with(json!({url: bad})), url, "allowed");
    }
    let web = json!({"aws.web.identity.token.file": "/token"});
    refused(&with(web.clone()), "aws.role.arn", "token.file needs it");
    let mut web_role = with(web);
    web_role["aws.role.arn"] = json!(ROLE);
    assert_eq!(
        read(&web_role).credentials,
        Credentials::WebIdentity { token_file: "/token".into() }
    );
    web_role["aws.role.external.id"] = json!("theirs");
    refused(&web_role, "aws.role.external.id", "not told an external id");
    for (key, needed) in [("aws.profile.file", "aws.profile"), ("aws.container.token.file", url)] {
        let file = json!({key: "/f"});
        refused(&with(file), needed, "needs it");
    }
    for key in ["aws.profile.file", "aws.web.identity.token.file"] {
        let file = with(json!({"aws.profile": "p", "aws.role.arn": ROLE, key: "here"}));
        let mut file = file;
        if key != "aws.profile.file" {
            file["aws.profile"] = Value::Null;
        }
        refused(&file, key, "a whole path");
    }
    let both = json!({"aws.instance.metadata.endpoint": "http://h", "aws.profile": "p"});
    refused(&with(both), "aws.instance.metadata.endpoint", "aws.profile is set too");
}

/// The manual's table is the one that is enforced: every key is there, what it says is the default
/// is what a missing key means, and its ranges and words are the ones that are taken.
mod manual {
    use super::*;

    const MANUAL: &str = include_str!("../../../../KINESIS.md");

    struct Row {
        keys: Vec<&'static str>,
        default: &'static str,
        values: &'static str,
    }

    fn ticked(text: &'static str) -> Vec<&'static str> {
        text.split('`').skip(1).step_by(2).collect()
    }

    fn rows() -> Vec<Row> {
        let table = MANUAL.split("|---|---|---|---|\n").nth(1).unwrap();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        rows.map(|line| {
            let cells: Vec<&str> = line.split('|').skip(1).map(str::trim).collect();
            Row { keys: ticked(cells[0]), default: cells[1], values: cells[2] }
        })
        .collect()
    }

    /// What `key` needs beside it.
    fn beside(key: &str) -> Value {
        if key.starts_with("aws.role.") || key.starts_with("aws.sts.") {
            return json!({"aws.role.arn": ROLE});
        }
        match key {
            "kinesis.deaggregate.outside" => json!({"kinesis.deaggregate": true}),
            "kinesis.read.mode" => json!({"kinesis.consumer.name": "reader"}),
            "kinesis.consumer.fallback"
            | "kinesis.subscribe.silence.ms"
            | "kinesis.subscribe.interval.ms" => {
                json!({"kinesis.read.mode": "efo", "kinesis.consumer.name": "reader"})
            }
            _ => json!({}),
        }
    }

    fn with(key: &str, value: Value) -> Value {
        let mut map = beside(key);
        let word = value.as_str().unwrap_or_default().to_ascii_uppercase();
        // A start that needs a place has one.
        match (key, word.as_str()) {
            ("kinesis.position", "AT_TIMESTAMP") => map["kinesis.position.timestamp"] = json!(0),
            ("kinesis.position", "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER") => {
                map["kinesis.position.sequence.numbers"] = json!({"shardId-0": "7"});
            }
            _ => {}
        }
        map[key] = value;
        map
    }

    fn shown(changes: &Value) -> String {
        let mut settings = read(changes);
        settings.warnings.clear();
        format!("{settings:?}")
    }

    #[test]
    fn every_key_is_explained_and_nothing_else() {
        let mut explained: Vec<&str> = rows().into_iter().flat_map(|row| row.keys).collect();
        // The other name of a key stands in its explanation.
        explained.push("aws.secret.key.id");
        explained.sort_unstable();
        let mut known: Vec<&str> = keys().chain(COMMON_KEYS).collect();
        known.sort_unstable();
        assert_eq!(explained, known);
        assert!(MANUAL.contains("`aws.secret.key.id`"));
    }

    #[test]
    fn defaults_are_what_a_missing_key_means() {
        let mut count = 0;
        for row in rows() {
            let Some(default) = ticked(row.default).into_iter().next() else { continue };
            for key in row.keys {
                let mut absent = beside(key);
                absent[key] = Value::Null;
                assert_eq!(shown(&absent), shown(&with(key, json!(default))), "{key}");
                if let Some((_, older)) = row.default.split_once("(older class: ") {
                    let older = json!({
                        "connector.class": OLDER_CLASS, key: ticked(older)[0],
                    });
                    let absent = json!({"connector.class": OLDER_CLASS, key: null});
                    assert_eq!(shown(&absent), shown(&older), "{key}");
                }
                count += 1;
            }
        }
        assert!(count > 15, "{count}");
    }

    #[test]
    fn ranges_and_words_are_the_ones_that_are_taken() {
        let (mut ranges, mut words) = (0, 0);
        for row in rows() {
            let numbers: Vec<u64> =
                row.values.split(" to ").filter_map(|text| text.parse().ok()).collect();
            let choices = ticked(row.values);
            for key in row.keys {
                if let [first, last] = numbers[..] {
                    for good in [json!(first), json!(last), json!(first.to_string())] {
                        shown(&with(key, good));
                    }
                    for bad in [json!(first - 1), json!(last + 1), json!(-1), json!("1.5")] {
                        refused(&with(key, bad), key, "allowed: a whole number from");
                    }
                    ranges += 1;
                } else if choices.len() > 1
                    && row.values.starts_with('`')
                    && key != "connector.class"
                {
                    for word in &choices {
                        let upper = word.to_ascii_uppercase();
                        if word.contains("://") {
                            continue;
                        }
                        let result = KinesisSettings::read(&given(&with(key, json!(word))));
                        let other = KinesisSettings::read(&given(&with(key, json!(upper))));
                        assert_eq!(result.is_ok(), other.is_ok(), "{key} = {word}");
                        assert!(result.is_ok(), "{key} = {word}: {:?}", result.err());
                    }
                    refused(&with(key, json!("no-such-word")), key, "allowed");
                    words += 1;
                }
            }
        }
        assert!(ranges >= 9 && words >= 6, "{ranges} ranges, {words} lists of words");
    }
}
