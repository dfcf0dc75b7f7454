//! Pipeline files: good ones, every bad input with its place, and that no secret gets out.

mod sink;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use protocol::message::Start;
use serde_json::json;

use super::*;
use crate::exit::Exit;
use crate::run::{BatchLimits, OnError, Plan, Point, Points, Retry, Share, Until};

const CONNECT: &str = r#"{
  "name": "orders",
  "config": {
    "connector.class": "kafka",
    "bootstrap.servers": "127.0.0.1:9092",
    "topics": "orders",
    "tasks.max": "2",
    "store": "sqlite:orders.db"
  },
  "credentials": {"properties.sasl.password": "hunter2hunter2"}
}"#;

fn env(name: &str) -> Option<OsString> {
    let value = match name {
        "BROKERS" => "b1:9092",
        "DB_PASSWORD" => "clear-text",
        "MANY" => "not-a-number",
        _ => return None,
    };
    Some(OsString::from(value))
}

fn surroundings() -> Surroundings<'static> {
    // A program that is surely there stands for the extractor: planning only looks for it.
    Surroundings { env: &env, program_folder: Some(PathBuf::from("/nowhere")) }
}

fn with(overrides: Overrides) -> Overrides {
    Overrides { extractor: Some(PathBuf::from("/bin/sh")), ..overrides }
}

fn read(path: &str, text: &str) -> Result<Plan, PipelineError> {
    let document = Document::parse(path, text, &env)?;
    plan(&document, &with(Overrides::default()), &surroundings())
}

fn error(path: &str, text: &str) -> String {
    read(path, text).expect_err("must be refused").to_string()
}

/// A flat file with one more line, so that its place is known.
fn with_line(line: &str) -> String {
    format!(
        "{{\n\"name\": \"p\", \"connector.class\": \"test\", \"store\": \"sqlite:a\",\n{line}\n}}"
    )
}

fn at(start: Start) -> Points {
    Points::all(Point::At(start))
}

#[test]
fn connects_own_shape() {
    let plan = read("orders.json", CONNECT).unwrap();
    assert_eq!((plan.name.as_str(), plan.table.as_str()), ("orders", "orders"));
    assert_eq!(plan.store.to_string(), "sqlite:orders.db");
    assert_eq!(plan.share, Share { leaves: 1, leaf: None, tasks: 2 });
    assert_eq!(plan.extractor.program, PathBuf::from("/bin/sh"));
    let config = json!({
        "connector.class": "kafka", "bootstrap.servers": "127.0.0.1:9092", "topics": "orders"
    });
    assert_eq!(serde_json::Value::Object(plan.source.config), config);
    let credentials = json!({"properties.sasl.password": "hunter2hunter2"});
    assert_eq!(serde_json::Value::Object(plan.source.credentials), credentials);
}

#[test]
fn defaults_are_those_of_the_contract() {
    let text = r#"{"name":"p","connector.class":"test","store":"mysql://u@h/d"}"#;
    let plan = read("p.json", text).unwrap();
    assert_eq!(plan.limits, BatchLimits::default());
    assert_eq!(plan.retry, Retry::default());
    assert_eq!(plan.share, Share { leaves: 1, leaf: None, tasks: 4 });
    assert_eq!((plan.start, plan.until), (None, Until::Stopped));
    assert_eq!(plan.on_error, OnError::Stop);
}

#[test]
fn a_file_with_one_writer_has_one_task_unless_more_are_set() {
    let tasks = |more: &str, overrides: &Overrides| {
        let text = format!(
            r#"{{"name":"p","connector.class":"test","store":"sqlite:a"{more},"extractor.path":"/bin/sh"}}"#
        );
        let document = Document::parse("p.json", &text, &env).unwrap();
        plan(&document, overrides, &surroundings()).unwrap().share.tasks
    };
    let four = Overrides { tasks: Some(4), ..Overrides::default() };
    let server = Some("mysql://u@h/d".parse().unwrap());
    let server = Overrides { store: server, ..Overrides::default() };
    assert_eq!(tasks("", &Overrides::default()), 1);
    assert_eq!(tasks(r#","tasks.max":3"#, &Overrides::default()), 3);
    assert_eq!(tasks("", &four), 4);
    assert_eq!(tasks("", &server), 4, "the command line names another store");
}

#[test]
fn the_kinesis_connector_s_position_is_a_start() {
    let start = |keys: &str| {
        let text = format!(r#"{{"name":"p","connector.class":"test","store":"sqlite:a",{keys}}}"#);
        read("p.json", &text).unwrap().start
    };
    assert_eq!(start(r#""kinesis.position":"LATEST""#), Some(at(Start::Latest)));
    assert_eq!(start(r#""kinesis.position":"TRIM_HORIZON""#), None);
    let both = r#""kinesis.position":"LATEST","start":"timestamp:5""#;
    assert_eq!(start(both), Some(at(Start::Timestamp(5))));
    let time = |time: &str| {
        start(&format!(r#""kinesis.position":"at_timestamp","kinesis.position.timestamp":{time}"#))
    };
    assert_eq!(time("5"), Some(at(Start::Timestamp(5))));
    assert_eq!(time(r#""1970-01-01T00:00:01Z""#), Some(at(Start::Timestamp(1000))));
    let numbers = |word: &str, numbers: &str| {
        let key = "kinesis.position.sequence.numbers";
        let start = start(&format!(r#""kinesis.position":"{word}","{key}":{numbers}"#)).unwrap();
        assert_eq!(start.others, None, "a shard that is not named has no start");
        let named = start.named.into_iter().map(|(key, point)| (key.as_str().to_owned(), point));
        named.collect::<Vec<_>>()
    };
    let value = |text: &str| Point::Value(protocol::OffsetValue::parse(text).unwrap());
    let key = r#"{"shardId":"shardId-0"}"#.to_owned();
    let begins = value(r#"{"position":"AT_SEQUENCE_NUMBER","sequenceNumber":"7"}"#);
    let map = r#"{"shardId-0": "7"}"#;
    assert_eq!(numbers("AT_SEQUENCE_NUMBER", map), [(key.clone(), begins)]);
    let text = serde_json::Value::from(map).to_string();
    let goes_on = value(r#"{"sequenceNumber":"7"}"#);
    assert_eq!(numbers("AFTER_SEQUENCE_NUMBER", &text), [(key, goes_on)]);
    // The extractor refuses a word without its place; a place that is none is refused here.
    assert_eq!(start(r#""kinesis.position":"AT_TIMESTAMP""#), None);
    for (word, place) in [
        ("AT_TIMESTAMP", r#""kinesis.position.timestamp":"yesterday""#),
        ("AT_SEQUENCE_NUMBER", r#""kinesis.position.sequence.numbers":{"shardId-0": 7}"#),
    ] {
        let text = format!(
            r#"{{"name":"p","connector.class":"test","store":"sqlite:a","kinesis.position":"{word}",{place}}}"#
        );
        let error = read("p.json", &text).unwrap_err().to_string();
        assert!(error.contains("kinesis.position.") && error.contains("expected"), "{error}");
    }
}

#[test]
fn every_key_of_the_harness_is_read() {
    let text = r#"{
        "name": "p", "connector.class": "test", "store": "sqlite:a", "table": "t",
        "tasks.max": 3, "leaves": "2", "pipelines_extractor_batch_size": 500,
        "batch.bytes": 70000, "pipelines_extractor_max_batch_interval_ms": "250",
        "start": "timestamp:2026-01-31T00:00:00+01:00", "end": "latest", "errors.tolerance": "all",
        "extractor.path": "/bin/sh", "retry.attempts": 0, "store.retry.ms": 1500,
        "test.rows": 7, "nested": {"a": [1]}
    }"#;
    let document = Document::parse("p.json", text, &env).unwrap();
    let plan = plan(&document, &Overrides::default(), &surroundings()).unwrap();
    assert_eq!(plan.table, "t");
    assert_eq!(plan.share, Share { leaves: 2, leaf: None, tasks: 3 });
    assert_eq!((plan.limits.rows, plan.limits.bytes), (500, 70_000));
    assert_eq!(plan.limits.interval, Duration::from_millis(250));
    assert_eq!(plan.start, Some(at(Start::Timestamp(1_769_814_000_000))));
    assert_eq!(plan.end, Some(at(Start::Latest)));
    assert_eq!(plan.on_error, OnError::Skip);
    assert_eq!(
        plan.retry,
        Retry { attempts: 0, away: Duration::from_millis(1500), ..Retry::default() }
    );
    let kept = json!({"connector.class": "test", "test.rows": 7, "nested": {"a": [1]}});
    assert_eq!(serde_json::Value::Object(plan.source.config), kept);
}

#[test]
fn a_run_that_ends_when_caught_up_cuts_batches_sooner_unless_told() {
    let interval = |settings: &str, until: Option<Until>, flag: Option<u64>| {
        let text =
            format!(r#"{{"name":"p","connector.class":"test","store":"sqlite:a"{settings}}}"#);
        let document = Document::parse("p.json", &text, &env).unwrap();
        let overrides = with(Overrides { until, batch_interval_ms: flag, ..Overrides::default() });
        plan(&document, &overrides, &surroundings()).unwrap().limits.interval.as_millis()
    };
    let set = r#","batch.interval.ms":700"#;
    assert_eq!(interval("", None, None), 1000);
    assert_eq!(interval("", Some(Until::Batches(3)), None), 1000);
    assert_eq!(interval("", Some(Until::CaughtUp), None), 100);
    assert_eq!(interval(set, Some(Until::CaughtUp), None), 700);
    assert_eq!(interval(set, Some(Until::CaughtUp), Some(900)), 900);
}

#[test]
fn the_command_line_wins() {
    let overrides = with(Overrides {
        store: Some("sqlite:other.db".parse().unwrap()),
        table: Some("t2".to_owned()),
        tasks: Some(9),
        leaf: Some((1, 3)),
        batch_rows: Some(11),
        start: Some(at(Start::Latest)),
        on_error: Some(OnError::Skip),
        retries: Some(1),
        until: Some(Until::CaughtUp),
        ..Overrides::default()
    });
    let document = Document::parse("p.json", CONNECT, &env).unwrap();
    let plan = plan(&document, &overrides, &surroundings()).unwrap();
    assert_eq!(plan.store.to_string(), "sqlite:other.db");
    assert_eq!(plan.table, "t2");
    assert_eq!(plan.share, Share { leaves: 3, leaf: Some(1), tasks: 9 });
    assert_eq!((plan.limits.rows, plan.start), (11, Some(at(Start::Latest))));
    assert_eq!((plan.on_error, plan.retry.attempts), (OnError::Skip, 1));
    assert_eq!(plan.until, Until::CaughtUp);
}

#[test]
fn properties_with_escapes_and_continuation_lines() {
    let text = "# comment \\\n! another\r\n\nname = or\\u0064ers\nconnector.class: kafka\n\
        topics a,\\\n   b,\\\n\tc\nstore=sqlite\\:x.db\nkey\\ with\\=odd = v\\\\w\\tq\\\n\n\
        empty=\npair=\\uD83D\\uDE00";
    let plan = read("p.properties", text).unwrap();
    assert_eq!(plan.name, "orders");
    assert_eq!(plan.store.to_string(), "sqlite:x.db");
    let config = json!({
        "connector.class": "kafka", "topics": "a,b,c", "key with=odd": "v\\w\tq", "empty": "",
        "pair": "😀"
    });
    assert_eq!(serde_json::Value::Object(plan.source.config), config);
}

#[test]
fn bad_properties_are_refused_with_their_place() {
    let check = |text: &str, wanted: &str| assert_eq!(error("p.properties", text), wanted);
    check("a=1\nb=2\n  a=3", "p.properties:3:3: a is set a second time; the first is in line 1");
    check("a=1\n=2", "p.properties:2:1: a key is expected before the = sign");
    check("a=\\u00g1", "p.properties:1:3: \\u must be followed by four hex digits of a character");
    check("a=\\uDE00", "p.properties:1:3: \\u must be followed by four hex digits of a character");
    check(
        "name=x\na=b\\",
        "p.properties:2:4: the last line ends with a backslash, so another line is expected",
    );
    check(
        "# nothing\n",
        "p.properties:1:1: the file has no key; expected lines such as name=orders",
    );
}

#[test]
fn bad_json_is_refused_with_its_place() {
    let check = |text: &str, wanted: &str| {
        let error = error("p.json", text);
        assert!(error.starts_with(wanted), "{error}");
    };
    check("{\n  \"name\": \"a\",\n  oops\n}", "p.json:3:3: not valid JSON: key must be a string");
    check("{\"a\": 1, \"a\": 2}", "p.json:1:");
    check("{\"name\": \"a\"", "p.json:1:12: not valid JSON: EOF while parsing");
    check("", "p.json:1:1: the file is empty; expected {\"name\"");
    check("\n [1]", "p.json:2:2: expected an object");
    check(
        "{\"config\": {},\n \"confg\": {}}",
        "p.json:2:11: beside config only name and credentials are known, not confg; did you mean \
         config?",
    );
    check("{\"name\": \"a\",\n\"credentials\": 3}", "p.json:2:16: credentials: expected an object");
    check("{\"name\":\"a\",\"config\":{\"name\":\"b\"}}", "p.json:1:");
}

#[test]
fn bad_values_are_refused_with_their_place() {
    let check = |line: &str, wanted: &str| {
        let error = error("p.json", &with_line(line));
        assert!(error.contains(wanted), "{error}");
    };
    check(
        r#""tasks.max": "many""#,
        "p.json:3:14: tasks.max: expected a whole number from 1 to 1024, not many",
    );
    check(r#""tasks.max": 0"#, "tasks.max: expected a whole number from 1 to 1024, not 0");
    check(r#""tasks.max": 1.5"#, "expected a whole number from 1 to 1024, not 1.5");
    check(r#""tasks.max": null"#, "tasks.max: expected text");
    check(r#""start": "yesterday""#, "start: expected earliest, latest, timestamp:MILLISECONDS");
    check(r#""errors.tolerance": "some""#, "expected none or all, not some");
    check(r#""table": " ""#, "table: it is empty; set it or leave it out");
    check(
        r#""batch.rows": 5, "pipelines_extractor_batch_size": 6"#,
        "means the same and is set otherwise; keep one",
    );
}

#[test]
fn missing_keys_say_what_to_write() {
    let check = |text: &str, wanted: &str| {
        let error = error("p.json", text);
        assert!(error.starts_with(wanted), "{error}");
    };
    check(r#"{"connector.class": "x"}"#, "p.json: name is missing: add \"name\"");
    check(r#"{"name": "x"}"#, "p.json: connector.class is missing: add");
    check(
        r#"{"name": "x", "connector.class": "x"}"#,
        "p.json: store is missing: give --store, set S2X_STORE, or add it; accepted: sqlite:PATH",
    );
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &std::path::Path| {
        load(path, &Overrides::default(), &surroundings()).expect_err("must be refused")
    };
    let missing = load(&folder.path().join("none.json"));
    assert_eq!(missing.exit(), Exit::NoInput);
    assert!(missing.to_string().contains("it does not exist; name a .json or .properties file"));
    assert!(load(folder.path()).to_string().contains("it is a folder"));

    let big = folder.path().join("big.json");
    std::fs::write(&big, vec![b' '; usize::try_from(PIPELINE_FILE_BYTES_MAX).unwrap() + 1])
        .unwrap();
    assert!(load(&big).to_string().contains("larger than 1048576 bytes"));

    let latin = folder.path().join("latin.properties");
    std::fs::write(&latin, b"name=a\nx=\xe9\n").unwrap();
    let error = load(&latin);
    assert!(
        error
            .to_string()
            .ends_with("latin.properties:2:1: not UTF-8 at byte 9; save the file as UTF-8")
    );
    assert_eq!(error.exit(), Exit::Config);
}

#[test]
fn references_are_resolved_and_missing_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "from-a-file\n").unwrap();
    let keys = folder.path().join("keys.properties");
    std::fs::write(&keys, "a=1\nwanted=from-a-key\n").unwrap();
    let text = with_line(&format!(
        r#""bootstrap.servers": "${{env:BROKERS}},b2", "x": "${{file:{}}}", "y": "${{file:{}:wanted}}",
           "z": "${{topic}} and ${{a b:c}}""#,
        secret.display(),
        keys.display(),
    ));
    let config = read("p.json", &text).unwrap().source.config;
    assert_eq!(config["bootstrap.servers"], "b1:9092,b2");
    assert_eq!(config["x"], "from-a-file");
    assert_eq!(config["y"], "from-a-key");
    assert_eq!(config["z"], "${topic} and ${a b:c}");

    let check = |value: &str, wanted: &str| {
        let error = error("p.json", &with_line(&format!("\"topics\": \"{value}\"")));
        assert!(error.contains(wanted), "{error}");
    };
    check(
        "${env:GONE}",
        "p.json:3:11: topics: the reference ${env:GONE}: the environment variable GONE is not set",
    );
    check("${file:/nowhere/x}", "the reference ${file:/nowhere/x}: there is no file /nowhere/x");
    check("${vault:x}", "the reference ${vault:x}: there are ${env:NAME}, ${file:/path}");
    check("a${env:BROKERS", "the reference ${env:… has no closing brace");
    check(&format!("${{file:{}:gone}}", keys.display()), "has no key gone");
}

#[test]
fn a_resolved_value_is_in_no_error() {
    let error = error("p.json", &with_line(r#""tasks.max": "${env:MANY}""#));
    assert!(error.ends_with("not ${env:MANY}"), "{error}");
}

#[test]
fn secrets_are_shown_nowhere() {
    let text = r#"{
      "name": "p",
      "config": {
        "connector.class": "kafka",
        "store": "mysql://root:${env:DB_PASSWORD}@h/d",
        "aws.secret.access.key": "AKIA-secret-1",
        "properties.ssl.key.pem": "PEM-secret-2",
        "basic.auth.user.info": "user:secret-3",
        "schema.registry.url": "http://joe:secret-4@reg:8081/x",
        "copied": "the hunter2hunter2 again",
        "nested": {"password": "secret-5", "kept": "shown"},
        "list": ["x://u:secret-6@h"],
        "topics": "visible"
      },
      "credentials": {"whatever": "hunter2hunter2"}
    }"#;
    let document = Document::parse("p.json", text, &env).unwrap();
    let plan = plan(&document, &with(Overrides::default()), &surroundings()).unwrap();
    let shown = [
        format!("{document:?}"),
        format!("{plan:?}"),
        plan.source.redacted_json.clone(),
        format!("{:?}", document.config),
    ];
    for text in &shown {
        for secret in [
            "secret-1",
            "secret-2",
            "secret-3",
            "secret-4",
            "secret-5",
            "secret-6",
            "hunter2",
            "clear-text",
        ] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let redacted: serde_json::Value = serde_json::from_str(&plan.source.redacted_json).unwrap();
    assert_eq!(redacted["topics"], "visible");
    assert_eq!(redacted["aws.secret.access.key"], REDACTED);
    assert_eq!(redacted["schema.registry.url"], "http://joe:***@reg:8081/x");
    assert_eq!(redacted["copied"], "the *** again");
    assert_eq!(redacted["nested"], json!({"password": "***", "kept": "shown"}));
    assert_eq!(
        plan.source.config["aws.secret.access.key"], "AKIA-secret-1",
        "the extractor needs it"
    );
}

#[test]
fn a_mistyped_key_has_a_nearest_one() {
    let check = |word: &str, wanted: Option<&str>| {
        assert_eq!(nearest_key(word).as_deref(), wanted, "{word}");
    };
    check("task.max", Some("tasks.max"));
    check("tasks.mx", Some("tasks.max"));
    check("batch.row", Some("batch.rows"));
    check("error.tolerance", Some("errors.tolerance"));
    check("pipelines_extractor_batchsize", Some("pipelines_extractor_batch_size"));
    check("bootstrap.servers", None);
    check("topics", None);
}

#[test]
fn keys_have_distinct_names() {
    let mut names: Vec<&str> = KEYS
        .iter()
        .flat_map(|key| [key.name].into_iter().chain(key.aliases.iter().copied()))
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_start_and_an_end_may_be_maps() {
    let written = [
        (
            "p.json",
            r#"{"name":"p","connector.class":"test","store":"sqlite:a",
            "start":{"t/0":5,"t/1":-7},"end":{"t/0":9}}"#,
        ),
        (
            "p.properties",
            "name=p\nconnector.class=test\nstore=sqlite:a\n\
            start={\"t/0\": 5, \"t/1\": -7}\nend={\"t/0\": 9}\n",
        ),
    ];
    for (path, text) in written {
        let plan = read(path, text).unwrap();
        assert_eq!(plan.start, Some(parse_start(r#"{"t/0":5,"t/1":-7}"#).unwrap()), "{path}");
        assert_eq!(plan.end, Some(parse_end(r#"{"t/0":9}"#).unwrap()), "{path}");
    }
    let last = r#"{"name":"p","connector.class":"test","store":"sqlite:a","start":-7}"#;
    assert_eq!(read("p.json", last).unwrap().start, Some(Points::all(Point::Last(7))));
}

#[test]
fn an_end_excludes_another_way_to_end() {
    let text = r#"{"name":"p","connector.class":"test","store":"sqlite:a","end":"latest"}"#;
    let document = Document::parse("p.json", text, &env).unwrap();
    let overrides = with(Overrides { until: Some(Until::CaughtUp), ..Overrides::default() });
    let error = plan(&document, &overrides, &surroundings()).unwrap_err().to_string();
    assert!(error.contains("no end beside --until-caught-up"), "{error}");
}

#[test]
fn the_extractor_is_looked_for_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let document = Document::parse(
        "p.json",
        r#"{"name":"p","connector.class":"test","store":"sqlite:a"}"#,
        &env,
    )
    .unwrap();
    let path = |name: &str| {
        let both = format!("relative:{}", "/nowhere/bin");
        (name == "PATH").then(|| OsString::from(both))
    };
    let surroundings = Surroundings { env: &path, program_folder: Some(folder.path().to_owned()) };
    let find = |overrides: &Overrides| plan(&document, overrides, &surroundings);

    let error = find(&Overrides::default()).unwrap_err();
    assert_eq!(error.exit(), Exit::Config);
    let error = error.to_string();
    let beside = folder.path().join("extractor");
    assert!(error.contains(&beside.display().to_string()), "{error}");
    assert!(error.contains("/nowhere/bin/extractor"), "{error}");
    assert!(error.contains("cargo build --release -p extractor"), "{error}");
    assert!(!error.contains("relative"), "a relative folder of PATH is not searched: {error}");

    std::fs::write(&beside, "").unwrap();
    let named = Overrides { extractor: Some(beside.clone()), ..Overrides::default() };
    assert!(find(&named).unwrap_err().to_string().contains("is not executable"));
    std::os::unix::fs::symlink("/bin/sh", folder.path().join("sh")).unwrap();
    std::fs::remove_file(&beside).unwrap();
    std::os::unix::fs::symlink("/bin/sh", &beside).unwrap();
    assert_eq!(find(&Overrides::default()).unwrap().extractor.program, beside);
    let named = Overrides { extractor: Some(PathBuf::from("/nowhere/e")), ..Overrides::default() };
    assert!(find(&named).unwrap_err().to_string().contains("/nowhere/e does not exist"));
}
