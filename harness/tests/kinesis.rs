//! The documented Kinesis pipeline through the real binaries: the page of the documentation from top to
//! bottom (`walkthrough`), rows and offsets against what was put, reshards and kill -9 under load. The server
//! is ferrokinesis, inside this process.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

#[path = "../../extractor/tests/kinesis_support/canned.rs"]
mod canned;
#[path = "kinesis/namespaces.rs"]
mod namespaces;
#[path = "../../extractor/tests/kinesis_support/server.rs"]
mod server;
#[expect(dead_code, reason = "shared with the fault tests, of which this uses a part")]
#[path = "faults/support.rs"]
mod support;
#[path = "kinesis/switch.rs"]
mod switch;
#[path = "kinesis/walkthrough.rs"]
mod walkthrough;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

// What `server.rs` names, which the extractor's tests use as well.
use aws_sdk_kinesis as _;
use aws_smithy_http_client as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use ferrokinesis as _;
use harness::catalogue::Catalogue;
use harness::store::StoreUrl;
use mysql::prelude::Queryable as _;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio as _;

use server::{STREAM, Server, shard};
use support::{Pipeline, RUN_MAX, say, seed, signal};

/// The documented CONFIG, and where the server is.
fn documented(server: &Server) -> Value {
    json!({
        "connector.class": "com.singlestore.kafka.connect.kinesis.KinesisSourceConnector",
        "aws.access.key.id": "<aws_access_key>",
        "aws.secret.access.key": "<aws_secret_key>",
        "aws.session.token": "<aws_session_token>",
        "kafka.topic": "kinesis-topic",
        "kinesis.stream": STREAM,
        "kinesis.region": "us-east-1",
        "tasks.max": 4,
        "kinesis.endpoint": server.url
    })
}

/// What the table holds: topic, id and record, in the order of loading.
fn rows(pipeline: &Pipeline) -> Vec<(String, Value, Value)> {
    let sql = format!("SELECT topic, id, record FROM {} ORDER BY rowid", pipeline.name);
    let json = |text: &str| serde_json::from_str(text).unwrap();
    let rows = pipeline.query(&sql);
    rows.into_iter().map(|row| (row[0].clone(), json(&row[1]), json(&row[2]))).collect()
}

/// What `s2x_offsets` holds, by KEY.
fn offsets(pipeline: &Pipeline) -> BTreeMap<String, String> {
    let rows = pipeline.query("SELECT key_text, value_text FROM s2x_offsets");
    rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

fn payload(record: &Value) -> String {
    String::from_utf8(STANDARD.decode(record["data"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn the_documented_pipeline_loads_what_was_put() {
    let server = Server::start(4);
    let put: Vec<(String, String)> =
        (0..200).map(|n| (format!("user-{}", n % 9), format!("{{\"seq\":{n}}}"))).collect();
    let sent = server.put(&put);
    let pipeline = Pipeline::new("kinesis_pipeline", None, &documented(&server));
    pipeline.run(&[]);

    let rows = rows(&pipeline);
    let by_payload: BTreeMap<String, &(String, Value, Value)> =
        rows.iter().map(|row| (payload(&row.2), row)).collect();
    assert_eq!((rows.len(), by_payload.len()), (200, 200));
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for ((key, text), sent) in put.iter().zip(&sent) {
        let (topic, id, record) = by_payload[text];
        assert_eq!(topic, "kinesis-topic");
        assert_eq!(*id, json!({"partitionKey": key}));
        let arrival = record["approximateArrivalTimestamp"].as_i64().unwrap();
        let expected = json!({
            "approximateArrivalTimestamp": arrival,
            "data": STANDARD.encode(text),
            "partitionKey": key,
            "sequenceNumber": sent.sequence,
            "shardId": sent.shard,
            "streamName": STREAM,
        });
        assert_eq!(*record, expected);
        // A later number of a shard is larger; all have the same number of digits.
        last.entry(sent.shard.clone())
            .and_modify(|last| *last = last.clone().max(sent.sequence.clone()))
            .or_insert_with(|| sent.sequence.clone());
    }
    for (shard, sequence) in &last {
        let value = &offsets(&pipeline)[&format!("{{\"shardId\":\"{shard}\"}}")];
        assert_eq!(*value, format!("{{\"sequenceNumber\":\"{sequence}\"}}"));
    }

    // Nothing new: nothing comes again. Something new: only that.
    pipeline.run(&[]);
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM kinesis_pipeline"), Some(200));
    server.put(&[("user-c".to_owned(), "{\"seq\":200}".to_owned())]);
    pipeline.run(&[]);
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM kinesis_pipeline"), Some(201));
    pipeline.assert_no_process_left();
}

/// The five start positions by `kinesis.position`, and the same by `start`; what lacks its place names
/// it, and leaves nothing behind.
#[test]
fn the_five_start_positions_begin_where_they_say() {
    let server = Server::start(1);
    let put: Vec<_> = (0..10).map(|n| ("user".to_owned(), n.to_string())).collect();
    let sent = server.put(&put);
    // The arrival of these is a whole second before what comes after the pause.
    std::thread::sleep(Duration::from_millis(2_100));
    let fifth = sent[4].sequence.as_str();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let ms = u64::try_from(now.as_millis()).unwrap() - 1_000;
    server.put(&[("user".to_owned(), "10".to_owned())]);
    let shard_0 = shard(0);
    let place = |word: &str, more: Value| {
        let mut all = json!({"kinesis.position": word});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let numbers = json!({"kinesis.position.sequence.numbers": {shard_0.as_str(): fifth}});
    let time = json!({"kinesis.position.timestamp": ms});
    let starts = |place: Value| json!({"start": {shard_0.as_str(): place}});
    for (case, (keys, first)) in [
        (place("TRIM_HORIZON", json!({})), 0),
        (place("AT_SEQUENCE_NUMBER", numbers.clone()), 4),
        (place("AFTER_SEQUENCE_NUMBER", numbers.clone()), 5),
        (place("AT_TIMESTAMP", time), 10),
        (starts(json!({"atSequenceNumber": fifth})), 4),
        (starts(json!({"afterSequenceNumber": fifth})), 5),
        (starts(json!(format!("timestamp:{ms}"))), 10),
        (starts(json!("earliest")), 0),
    ]
    .into_iter()
    .enumerate()
    {
        let mut config = documented(&server);
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let pipeline = Pipeline::new(&format!("starts_{case}"), None, &config);
        pipeline.run(&[]);
        let came: Vec<_> = rows(&pipeline).iter().map(|row| payload(&row.2)).collect();
        let wanted: Vec<_> = (first..11).map(|n| n.to_string()).collect();
        assert_eq!(came, wanted, "{keys}");
    }
    // LATEST of a stream whose newest record is older than the pin's margin.
    std::thread::sleep(Duration::from_millis(3_100));
    let mut config = documented(&server);
    config["kinesis.position"] = json!("LATEST");
    let pipeline = Pipeline::new("starts_latest", None, &config);
    pipeline.run(&[]);
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM starts_latest"), Some(0));
    server.put(&[("user".to_owned(), "11".to_owned())]);
    pipeline.run(&[]);
    assert_eq!(payload(&rows(&pipeline)[0].2), "11");
}

/// What the service says of each shard (`MillisBehindLatest`) is in the status, and stays there when
/// nothing runs any more.
#[test]
fn the_status_tells_how_far_each_shard_is_behind() {
    let server = canned::Canned::start(|operation, input| match operation {
        "ListShards" => {
            let shards: Vec<_> = (0..3).map(|n| canned::shard_json(n, None, false)).collect();
            Some(canned::Answer::Ok(json!({"Shards": shards})))
        }
        "GetRecords" => {
            let iterator = input["ShardIterator"].as_str().unwrap();
            let shard = (0..3).find(|n| iterator.contains(&shard(*n))).unwrap();
            let behind = [0, 90_000, 5_000][shard as usize];
            let first = iterator.starts_with("of ");
            let mut page = canned::page(if first { &[1] } else { &[] }, behind);
            page["NextShardIterator"] = json!(format!("after {}", self::shard(shard)));
            Some(canned::Answer::Ok(page))
        }
        _ => None,
    });
    let config = json!({
        "connector.class": "kinesis", "kinesis.stream": STREAM, "kinesis.endpoint": server.url,
        "aws.access.key.id": "A", "aws.secret.access.key": "s",
    });
    let pipeline = Pipeline::new("behind", None, &config);
    let status = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(["status", "behind", "--store", &pipeline.store]).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut run = pipeline.start(&[]);
    let started = Instant::now();
    let sql = "SELECT COUNT(*) FROM s2x_lags WHERE lag_ms IS NOT NULL";
    while pipeline.try_number(sql) != Some(3) {
        assert!(started.elapsed() < RUN_MAX, "{}", run.log());
        assert_eq!(run.ended(), None, "{}", run.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    signal(run.pid(), Signal::SIGTERM);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    let json: Value = serde_json::from_str(&status(&["--json"])).unwrap();
    let lag = &json["lag"];
    assert_eq!(
        (&lag["ms"], &lag["rows"], &lag["unread"]),
        (&json!(90_000), &Value::Null, &json!(0))
    );
    let splits = lag["splits"].as_array().unwrap();
    let each = splits.iter().map(|it| (it["key"]["shardId"].clone(), it["ms"].clone()));
    let wanted = [(1, 90_000), (2, 5_000), (0, 0)].map(|(n, ms)| (json!(shard(n)), json!(ms)));
    assert_eq!(each.collect::<Vec<_>>(), wanted, "the farthest first");
    let text = status(&[]);
    assert!(text.contains("1 min 30 s") && text.contains(&shard(2)), "{text}");
    pipeline.assert_no_process_left();
}

/// A shard without a number is named, and nothing of the start is written down.
#[test]
fn a_shard_that_the_numbers_do_not_name_is_told() {
    let server = Server::start(2);
    let sent = server.put(&[("user-c".to_owned(), "{}".to_owned())]);
    let mut config = documented(&server);
    config["kinesis.position"] = json!("AT_SEQUENCE_NUMBER");
    let named = sent[0].shard.as_str();
    config["kinesis.position.sequence.numbers"] = json!({named: sent[0].sequence});
    let pipeline = Pipeline::new("unnamed", None, &config);
    let mut refused = pipeline.start(&["--until-caught-up"]);
    assert_eq!(refused.wait(), Some(78), "{}", refused.log());
    let missing = if named == shard(0) { shard(1) } else { shard(0) };
    let log = refused.log();
    assert!(log.contains("no place is named for 1 of") && log.contains(&missing), "{log}");
    assert_eq!(offsets(&pipeline), BTreeMap::new());

    config.as_object_mut().unwrap().remove("kinesis.position.sequence.numbers");
    pipeline.configure(&config);
    let mut refused = pipeline.start(&["--until-caught-up"]);
    assert_eq!(refused.wait(), Some(78), "{}", refused.log());
    let log = refused.log();
    assert!(log.contains("it needs kinesis.position.sequence.numbers"), "{log}");
    pipeline.assert_no_process_left();
}

/// A shard that aged out before it was read to its end: the next run stops, and goes on only where the
/// setting allows that. Nothing is forgotten, no run is without end (E11).
#[test]
fn e11_a_shard_that_aged_out_unread_stops_the_pipeline_unless_wanted() {
    let server = Server::start(1);
    server.put(&[("user-c".to_owned(), "{}".to_owned())]);
    let pipeline = Pipeline::new("kinesis_pipeline", None, &documented(&server));
    pipeline.run(&[]);
    let gone = format!("{{\"shardId\":\"{}\"}}", shard(9));
    let url: StoreUrl = pipeline.store.parse().unwrap();
    let mut catalogue = Catalogue::open(Arc::new(url)).unwrap();
    let id = catalogue.pipeline(&pipeline.name).unwrap().unwrap().id;
    let unread = r#"{"sequenceNumber":"49590338271490256608559692538361571095921575989136588898"}"#;
    catalogue.insert_splits(id, &[(gone.as_str(), unread)]).unwrap();
    server.put(&[("user-c".to_owned(), "{}".to_owned())]);

    let mut refused = pipeline.start(&["--until-caught-up"]);
    assert_eq!(refused.wait(), Some(65), "{}", refused.log());
    let log = refused.log();
    assert!(log.contains("OFFSET_OUT_OF_RANGE") && log.contains(&shard(9)), "{log}");
    assert_eq!(offsets(&pipeline)[&gone], unread);

    let mut config = documented(&server);
    config["on.invalid.offset"] = json!("earliest");
    pipeline.configure(&config);
    pipeline.run(&[]);
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM kinesis_pipeline"), Some(2));
    assert!(offsets(&pipeline)[&gone].contains("shardEnd"), "{:?}", offsets(&pipeline));
    pipeline.assert_no_process_left();
}

/// Every number once; for each key in the order in which they were put.
fn assert_once_in_order(pipeline: &Pipeline, count: u32) {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    for (_, id, record) in rows(pipeline) {
        let number: u32 = payload(&record).parse().unwrap();
        assert!(seen.insert(number), "{number} came twice");
        let before = last.insert(id["partitionKey"].as_str().unwrap().to_owned(), number);
        assert!(before.is_none_or(|before| before < number), "{id}: {before:?}, then {number}");
    }
    let lost: Vec<u32> = (0..count).filter(|number| !seen.contains(number)).take(5).collect();
    assert!(lost.is_empty() && seen.len() == count as usize, "{} rows, lost {lost:?}", seen.len());
}

/// Splits and merges under load, the extractor and the harness killed at random moments.
#[test]
fn reshards_under_load_with_kills_lose_and_repeat_nothing() {
    const ROUNDS: u32 = 5;
    const ROWS: u32 = 600;
    let mut rng = Rng::with_seed(seed("reshards_under_load_with_kills_lose_and_repeat_nothing"));
    let server = Server::start(1);
    let mut config = documented(&server);
    config["kinesis.empty.records.backoff.ms"] = json!(500);
    config["kinesis.shards.refresh.ms"] = json!(1000);
    config["kinesis.record.limit"] = json!(40);
    config["tasks.max"] = json!(2);
    let pipeline = Pipeline::new("reshards", None, &config);
    let args = ["--batch-rows", "37", "--retries", "1000"];
    let mut run = pipeline.start(&args);
    let reshards: [fn(&Server); ROUNDS as usize] = [
        |server| server.split(&shard(0)),
        |server| server.merge(&shard(1), &shard(2)),
        |server| server.split(&shard(3)),
        |server| server.split(&shard(5)),
        |server| server.merge(&shard(4), &shard(6)),
    ];
    let (mut count, mut kills) = (0, 0);
    let mut batch = |server: &Server| {
        let records: Vec<_> =
            (count..count + ROWS / 2).map(|n| (format!("key-{}", n % 11), n.to_string())).collect();
        server.put(&records);
        count += ROWS / 2;
    };
    for reshard in reshards {
        batch(&server);
        reshard(&server);
        batch(&server);
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(rng.u64(50..700)));
            let victims = pipeline.extractors();
            let victim = match victims.is_empty() || rng.u32(..4) == 0 {
                true => run.pid(),
                false => victims[rng.usize(..victims.len())],
            };
            signal(victim, Signal::SIGKILL);
            kills += 1;
            std::thread::sleep(Duration::from_millis(20));
            match run.ended() {
                None => {}
                Some(-1) => run = pipeline.start(&args),
                Some(code) => panic!("harness ended with {code}: {}", run.log()),
            }
        }
    }
    let started = Instant::now();
    let sql = "SELECT COUNT(*) FROM reshards";
    while pipeline.try_number(sql).is_none_or(|rows| rows < u64::from(count)) {
        assert!(started.elapsed() < RUN_MAX, "{:?} of {count}", pipeline.try_number(sql));
        assert_eq!(run.ended(), None, "{}", run.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    // What would come twice comes now.
    std::thread::sleep(Duration::from_secs(2));
    signal(run.pid(), Signal::SIGTERM);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    say(&format!("reshards: {kills} kills"));
    assert_once_in_order(&pipeline, count);
    let ends = offsets(&pipeline).into_values().filter(|value| value.contains("shardEnd")).count();
    assert_eq!(ends, 7, "{:?}", offsets(&pipeline));
    pipeline.assert_no_process_left();
}

/// The example of the manual for keys that are in the environment, as it stands there: they sign, and
/// neither what the harness says nor the store has them.
#[test]
fn keys_of_the_environment_reach_the_extractor_by_references() {
    let manual = include_str!("../../extractor/KINESIS.md");
    let example = manual.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = example.into_iter().find(|text| text.contains("${env:AWS_ACCESS_KEY_ID}"));
    let mut file: Value = serde_json::from_str(example.expect("no example")).unwrap();

    let server = canned::Canned::start(|operation, input| {
        let first = input["ShardIterator"].as_str().is_some_and(|it| it.starts_with("of "));
        let is_first = operation == "GetRecords" && first;
        is_first.then(|| canned::Answer::Ok(canned::page(&[1, 2], 60_000)))
    });
    file["config"]["kinesis.endpoint"] = json!(server.url);
    let pipeline = Pipeline::new("events", None, &file["config"]);
    std::fs::write(pipeline.file(), file.to_string()).unwrap();
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_harness"))
        .arg("run")
        .arg(pipeline.file())
        .args(["--until-caught-up", "--store", &pipeline.store, "--extractor"])
        .arg(&pipeline.extractor)
        .env("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT")
        .env("AWS_SECRET_ACCESS_KEY", "canary-of-the-secret")
        .env("AWS_SESSION_TOKEN", "canary-of-the-token")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM events"), Some(2));
    let calls = server.calls("GetRecords");
    assert!(!calls.is_empty());
    for call in calls {
        assert!(call.signed.contains("Credential=AKIDENVIRONMENT/"), "{}", call.signed);
        assert_eq!(call.token, "canary-of-the-token");
    }
    assert!(!said.contains("canary"), "{said}");
    let file = pipeline.store.trim_start_matches("sqlite:");
    let files = [file.to_owned(), format!("{file}-wal")];
    let stored: Vec<u8> =
        files.iter().flat_map(|it| std::fs::read(it).unwrap_or_default()).collect();
    let has = |text: &str| stored.windows(text.len()).any(|piece| piece == text.as_bytes());
    assert!(has("kinesis.stream"), "the configuration is there");
    assert!(!has("canary"), "and its secrets are not");
    pipeline.assert_no_process_left();
}

/// The extractors of a stream wait when their run ends, and read on with the next one: each record once.
#[test]
fn extractors_of_kinesis_wait_for_the_next_run() {
    let server = Server::start(4);
    let config = documented(&server);
    let pipeline = Pipeline::new("waits", None, &config);
    let statements = format!(
        "SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'; CREATE INFERRED PIPELINE waits \
         AS LOAD DATA KAFKACONNECT 'x' CONFIG '{config}' CREDENTIALS '{{}}' FORMAT AVRO"
    );
    pipeline.sql(&statements, &[]);
    let (mut serve, mut client) = pipeline.serve();
    let mut waiting: Option<BTreeSet<i32>> = None;
    for round in 0..3 {
        let key = |n: u32| (format!("user-{}", round * 100 + n), format!("{{\"seq\":{n}}}"));
        server.put(&(0..100).map(key).collect::<Vec<_>>());
        client.query_drop("START PIPELINE waits FOREGROUND").unwrap();
        let now: BTreeSet<i32> = pipeline.extractors().into_iter().collect();
        assert_eq!(now.len(), 4, "{}", serve.log());
        assert_eq!(waiting.get_or_insert_with(|| now.clone()), &now);
    }
    pipeline.assert_exactly_once((0..300).map(|n| format!("{{\"partitionKey\":\"user-{n}\"}}")));
    signal(serve.pid(), Signal::SIGTERM);
    assert_eq!(serve.wait(), Some(0), "{}", serve.log());
    pipeline.assert_no_process_left();
}
