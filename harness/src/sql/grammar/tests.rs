//! Every statement as it is read, and errors as they are shown. Touches nothing.

use protocol::message::Start;

use super::parse;
use crate::run::{Point, Points};
use crate::sql::error::SqlError;
use crate::sql::lex::{Rules, split};
use crate::sql::statement::{
    Change, Clauses, Create, How, Offsets, RetryOptions, SourceWord, Statement, Update, Which,
};

fn read(script: &str) -> Statement {
    parsed(script).unwrap_or_else(|error| panic!("{script}: {error}"))
}

fn parsed(script: &str) -> Result<Statement, SqlError> {
    let pieces = split(script, Rules::Sqlite).map_err(|error| error.shown("x.sql", script))?;
    parse(&pieces[0]).map_err(|error| error.shown("x.sql", script))
}

fn created(script: &str) -> Create {
    match read(script) {
        Statement::Create(create) => *create,
        other => panic!("{other:?}"),
    }
}

fn one(name: &str) -> Which {
    Which::One(name.to_owned())
}

/// The statement of the documentation's example, comment and all.
const DOCUMENTED: &str = r#"
-- Create Kinesis pipeline
CREATE INFERRED PIPELINE kinesis_pipeline 
AS LOAD DATA KAFKACONNECT 'kafka-connector'
CONFIG '{
  "connector.class": "com.singlestore.kafka.connect.kinesis.KinesisSourceConnector",
  "kinesis.stream": "my-kinesis-stream",
  "tasks.max": 4
}'
CREDENTIALS '{}' -- AWS credentials are in CONFIG for Kinesis connector
FORMAT AVRO;
"#;

#[test]
fn the_documented_statement_is_read() {
    let create = created(DOCUMENTED);
    assert_eq!(create.name, "kinesis_pipeline");
    assert!(create.is_inferred && !create.or_replace && !create.if_not_exists && !create.force);
    assert_eq!(create.load.source, SourceWord::KafkaConnect);
    assert_eq!(create.load.target, "kafka-connector");
    assert_eq!(create.load.credentials.unwrap().text, "{}");
    let config = create.load.config.unwrap();
    assert!(config.text.contains("\"tasks.max\": 4"));
    assert!(DOCUMENTED.get(config.at..).is_some_and(|rest| rest.starts_with('{')));
    assert_eq!(create.load.table, None);
}

#[test]
fn create_takes_every_clause_in_any_order_and_case() {
    let create = created(
        "create or replace pipeline `a b` force as load data connector 'x' into table t batch_interval 250 \
         Max_Partitions_Per_Batch 3 MAX_RETRIES_PER_BATCH_PARTITION 0 MAX_OFFSETS_PER_BATCH_PARTITION 77 \
         RESOURCE POOL gold STOP_ON_ERROR OFF config '{\"a\":''b''}' format avro",
    );
    assert!(create.or_replace && create.force && !create.is_inferred);
    assert_eq!((create.name.as_str(), create.load.table.as_deref()), ("a b", Some("t")));
    assert_eq!(create.load.config.unwrap().text, "{\"a\":'b'}");
    assert_eq!(
        create.load.clauses,
        Clauses {
            batch_interval: Some(250),
            max_partitions_per_batch: Some(3),
            max_retries_per_batch_partition: Some(0),
            max_offsets_per_batch_partition: Some(77),
            resource_pool: Some("gold".to_owned()),
            stop_on_error: Some(false),
            ..Clauses::default()
        }
    );
    let kafka = created(
        "CREATE PIPELINE IF NOT EXISTS p AS LOAD DATA KAFKA 'h/t' INTO TABLE t FORMAT JSON",
    );
    assert!(kafka.if_not_exists);
    assert_eq!(kafka.load.source, SourceWord::Kafka);
}

#[test]
fn the_other_statements_are_read() {
    let stop = |which, is_lenient, is_detached| Statement::Stop { which, is_lenient, is_detached };
    let background = How::Background;
    for (script, wanted) in [
        (
            "START PIPELINE p",
            Statement::Start { which: one("p"), is_lenient: false, how: background },
        ),
        (
            "start pipeline if not running p foreground",
            Statement::Start {
                which: one("p"),
                is_lenient: true,
                how: How::Foreground { batches: None },
            },
        ),
        (
            "START PIPELINE p FOREGROUND LIMIT 3 BATCHES",
            Statement::Start {
                which: one("p"),
                is_lenient: false,
                how: How::Foreground { batches: Some(3) },
            },
        ),
        (
            "START ALL PIPELINES",
            Statement::Start { which: Which::All, is_lenient: true, how: background },
        ),
        (
            "START FAILED PIPELINES",
            Statement::Start { which: Which::Failed, is_lenient: true, how: background },
        ),
        ("STOP PIPELINE p", stop(one("p"), false, false)),
        ("STOP PIPELINE IF RUNNING p", stop(one("p"), true, false)),
        ("STOP PIPELINE p DETACH", stop(one("p"), false, true)),
        ("STOP ALL PIPELINES", stop(Which::All, true, false)),
        ("DETACH PIPELINE p", Statement::Detach { name: "p".to_owned(), if_exists: false }),
        (
            "DETACH PIPELINE IF EXISTS p",
            Statement::Detach { name: "p".to_owned(), if_exists: true },
        ),
        ("FLUSH EXTRACTOR POOLS", Statement::FlushExtractors),
        ("FLUSH NODE EXTRACTOR POOLS", Statement::FlushExtractors),
        ("TEST PIPELINE p", Statement::Test { name: "p".to_owned(), limit: 1 }),
        ("TEST PIPELINE p LIMIT 25", Statement::Test { name: "p".to_owned(), limit: 25 }),
        ("DROP PIPELINE p", Statement::Drop { name: "p".to_owned(), if_exists: false }),
        ("DROP PIPELINE IF EXISTS p", Statement::Drop { name: "p".to_owned(), if_exists: true }),
        ("SHOW PIPELINES", Statement::ShowPipelines),
        ("SHOW CREATE PIPELINE p", Statement::ShowCreate { name: "p".to_owned() }),
        ("CLEAR PIPELINE ERRORS", Statement::ClearErrors),
        (
            "SHOW VARIABLES LIKE 'pipelines%'",
            Statement::ShowVariables { like: Some("pipelines%".to_owned()) },
        ),
        ("SHOW GLOBAL VARIABLES", Statement::ShowVariables { like: None }),
    ] {
        assert_eq!(read(script), wanted, "{script}");
    }
    assert!(matches!(
        read("INFER PIPELINE AS LOAD DATA KAFKACONNECT 'x' CONFIG '{}' FORMAT AVRO"),
        Statement::Infer(_)
    ));
}

#[test]
fn set_global_takes_words_numbers_and_both_quotes() {
    let Statement::SetGlobal(all) = read(
        "SET GLOBAL experimental_features_config = \"kafka_connect_enabled=true\", PIPELINES_stop_on_error=off, \
         pipelines_extractor_batch_size = 10000, pipelines_kafka_version = '2.0'",
    ) else {
        panic!("no SET GLOBAL")
    };
    let pairs: Vec<(&str, &str)> =
        all.iter().map(|it| (it.name.as_str(), it.value.as_str())).collect();
    assert_eq!(
        pairs,
        [
            ("experimental_features_config", "kafka_connect_enabled=true"),
            ("pipelines_stop_on_error", "off"),
            ("pipelines_extractor_batch_size", "10000"),
            ("pipelines_kafka_version", "2.0"),
        ]
    );
}

#[test]
fn alter_sets_offsets_and_clauses() {
    let changes = |script: &str| match read(script) {
        Statement::Alter { name, changes } => {
            assert_eq!(name, "p");
            changes
        }
        other => panic!("{other:?}"),
    };
    let start = |start| vec![Change::Offsets(Offsets::Points(Points::all(Point::At(start))))];
    assert_eq!(changes("ALTER PIPELINE p SET OFFSETS EARLIEST"), start(Start::Earliest));
    assert_eq!(changes("ALTER PIPELINE p SET OFFSETS latest"), start(Start::Latest));
    let time = start(Start::Timestamp(1_769_817_600_000));
    assert_eq!(changes("ALTER PIPELINE p SET OFFSETS TIMESTAMP 1769817600000"), time);
    assert_eq!(changes("ALTER PIPELINE p SET OFFSETS TIMESTAMP '2026-01-31T00:00:00Z'"), time);
    let json = changes("ALTER PIPELINE p SET OFFSETS '{\"0\":1}'");
    assert!(
        matches!(&json[..], [Change::Offsets(Offsets::Json(json))] if json.text == "{\"0\":1}")
    );
    let two = changes("ALTER PIPELINE p SET BATCH_INTERVAL 50 STOP_ON_ERROR OFF");
    assert_eq!(two.len(), 2);
    let key = |key: &str, value: &str| Update::Key { key: key.to_owned(), value: value.to_owned() };
    assert_eq!(
        changes(
            "ALTER PIPELINE p SET CONFIG ::tasks.max = '2' SET CREDENTIALS ::'a-b' = 'x' STOP_ON_ERROR NONE"
        ),
        [
            Change::Config(key("tasks.max", "2")),
            Change::Credentials(key("a-b", "x")),
            Change::ForgetStopOnError,
        ]
    );
    let whole = changes("ALTER PIPELINE p SET CREDENTIALS '{\"a\":\"b\"}'");
    assert!(
        matches!(&whole[..], [Change::Credentials(Update::Whole(json))] if json.text == "{\"a\":\"b\"}")
    );
    let nothing =
        changes("ALTER PIPELINE p DISABLE OUT_OF_ORDER OPTIMIZATION ENABLE OFFSETS METADATA GC");
    assert_eq!(nothing, vec![Change::Clauses(Clauses::default()); 2]);
}

#[test]
fn retry_options_are_read_as_documented() {
    let options = |json: &str| {
        let script = format!(
            "CREATE PIPELINE p AS LOAD DATA KAFKA 'h/t' retry_options '{json}' SKIP PARSER ERRORS INTO TABLE t \
             FORMAT JSON"
        );
        match parsed(&script) {
            Ok(Statement::Create(create)) => {
                assert!(create.load.clauses.skip_parser_errors);
                Ok(create.load.clauses.retry_options.unwrap())
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    let all = r#"{"exponential": false, "retry_interval": 50, "max_retry_interval": 70, "max_retries": 3}"#;
    assert_eq!(
        options(all).unwrap(),
        RetryOptions {
            exponential: Some(false),
            retry_interval: Some(50),
            max_retry_interval: Some(70),
            max_retries: Some(3),
        }
    );
    assert_eq!(options("{}").unwrap(), RetryOptions::default());
    for (json, why) in [
        ("[]", "expected a JSON object with exponential"),
        (r#"{"exponential": "yes"}"#, "expected a JSON object with exponential"),
        (r#"{"retries": 3}"#, "expected a JSON object with exponential"),
        (r#"{"max_retries": -1}"#, "expected a JSON object with exponential"),
        (r#"{"max_retries": 2000000}"#, "max_retries up to 1000000"),
        (r#"{"retry_interval": 9, "max_retry_interval": 8}"#, "is less than retry_interval"),
    ] {
        let error = options(json).unwrap_err();
        assert!(error.contains(why), "{json}: {error}");
    }
}

/// The line that is printed, and the excerpt below it.
fn check_error(script: &str, wanted: &str) {
    let error = parsed(script).expect_err(script);
    let shown = format!("{error}\n{}", error.excerpt().unwrap_or_default());
    assert_eq!(shown.trim_end(), wanted.trim_matches('\n'), "{script}");
}

#[test]
fn errors_name_the_place_what_was_expected_and_what_was_meant() {
    check_error(
        "ALTER PIPELINE p SET OFFSETS EARLIEST SET BATCH_INTERVAL 5 SET OFFSETS LATEST",
        "
x.sql: line 1, column 64: SET OFFSETS may be said once: put all places into one JSON
  1 | ALTER PIPELINE p SET OFFSETS EARLIEST SET BATCH_INTERVAL 5 SET OFFSETS LATEST
    |                                                                ^",
    );
    check_error(
        "CREATE INFERRED PIPELINE p AS\n  LOAD DATA KAFKACONECT 'x' CONFIG '{}' FORMAT AVRO",
        "
x.sql: line 2, column 13: expected KAFKACONNECT, CONNECTOR or KAFKA, found KAFKACONECT; did you mean KAFKACONNECT?
  2 |   LOAD DATA KAFKACONECT '·' CONFIG '··' FORMAT AVRO
    |             ^",
    );
    check_error(
        "CREATE PIPELINE p AS LOAD DATA KAFKA 'h/t' INTO TABLE t",
        "
x.sql: line 1, column 56: expected CONFIG, CREDENTIALS, FORMAT, BATCH_INTERVAL, MAX_PARTITIONS_PER_BATCH, \
MAX_RETRIES_PER_BATCH_PARTITION, MAX_OFFSETS_PER_BATCH_PARTITION, RESOURCE, RETRY_OPTIONS, SKIP, STOP_ON_ERROR, \
ENABLE or DISABLE, but the statement ends
  1 | CREATE PIPELINE p AS LOAD DATA KAFKA '···' INTO TABLE t
    |                                                        ^",
    );
    check_error(
        "START PIPELINE p FORGROUND",
        "
x.sql: line 1, column 18: expected FOREGROUND or the end of the statement, found FORGROUND; did you mean FOREGROUND?
  1 | START PIPELINE p FORGROUND
    |                  ^",
    );
    check_error(
        "ALTER PIPELINE p SET OFFSETS",
        "
x.sql: line 1, column 29: expected EARLIEST, LATEST, TIMESTAMP or a string with a JSON object, but the statement ends
  1 | ALTER PIPELINE p SET OFFSETS
    |                             ^",
    );
    check_error(
        "TEST PIPELINE p LIMIT 0",
        "
x.sql: line 1, column 23: expected a whole number from 1 to 10000
  1 | TEST PIPELINE p LIMIT 0
    |                       ^",
    );
    check_error(
        "DROP PIPELINE 'p'",
        "
x.sql: line 1, column 15: expected IF or a name, found a string
  1 | DROP PIPELINE '·'
    |               ^",
    );
}

#[test]
fn what_is_not_done_yet_is_refused_by_name() {
    for (script, text) in [
        ("PROFILE PIPELINE p", "PROFILE is not supported yet"),
        (
            "CREATE PIPELINE p AS LOAD DATA S3 'b'",
            "S3 is not supported yet; there are KAFKACONNECT",
        ),
        (
            "CREATE PIPELINE p AS LOAD DATA KAFKA 'h/t' SKIP ALL ERRORS INTO TABLE t FORMAT JSON",
            "ALL is not supported yet; SKIP PARSER ERRORS",
        ),
        (
            "CREATE PIPELINE p AS LOAD DATA KAFKA 'h/t' INTO PROCEDURE q",
            "PROCEDURE is not supported yet",
        ),
        (
            "CREATE PIPELINE p AS LOAD DATA KAFKA 'h/t' INTO TABLE t FORMAT JSON (a <- b)",
            "( is not supported yet; rows go to the columns topic, id and record",
        ),
        ("ALTER PIPELINE p SET TRANSFORM ('a')", "TRANSFORM is not supported yet"),
        ("ALTER PIPELINE p DROP PARTITION '0'", "DROP is not supported yet; a split that"),
        (
            "CREATE PIPELINE p AS LOAD DATA KAFKACONNECT 'x' INTO TABLE t FORMAT JSON",
            "LOAD DATA KAFKACONNECT needs FORMAT AVRO, not JSON",
        ),
        (
            "CREATE OR REPLACE PIPELINE IF NOT EXISTS p AS LOAD DATA KAFKA 'h/t' INTO TABLE t FORMAT JSON",
            "OR REPLACE and IF NOT EXISTS exclude each other",
        ),
        ("ALTER PIPELINE p SET OFFSETS TIMESTAMP 'soon'", "expected milliseconds since 1970 or"),
        ("START PIPELINE p FOREGROUND LIMIT 0 BATCHES", "expected a whole number from 1 to"),
    ] {
        let error = parsed(script).expect_err(script).to_string();
        assert!(error.contains(text), "{script}: {error}");
    }
}

#[test]
fn no_error_shows_what_stands_in_quotes() {
    let secret = "hunter2-hunter2";
    for script in [
        format!(
            "CREATE PIPELINE p AS LOAD DATA KAFKA 'x' CREDENTIALS '{{\"a\":\"{secret}\"}}' FORMT"
        ),
        format!("CREATE PIPELINE p AS LOAD DATA KAFKA 'x' CREDENTIALS '{{\"a\":\"{secret}\"}}"),
        format!("CREATE PIPELINE p AS LOAD DATA KAFKA \"{secret}\" \"{secret}\""),
        format!("DROP PIPELINE '{secret}'"),
        format!(
            "CREATE PIPELINE p AS LOAD DATA KAFKA 'x' CREDENTIALS '{{\n\"a\":\n\"{secret}\"}}' FORMT"
        ),
    ] {
        let error = parsed(&script).expect_err(&script);
        let shown = format!("{error}\n{}", error.excerpt().unwrap_or_default());
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn noise_never_panics() {
    let words = [
        "CREATE", "PIPELINE", "p", "AS", "LOAD", "DATA", "KAFKA", "'{}'", "CONFIG", "SET",
        "GLOBAL", "7", "OFFSETS", "ALTER", "START", "LIMIT", "BATCHES", ",", "=", "FORMAT", "JSON",
        "INTO", "TABLE", "é",
    ];
    for seed in 0..4000_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut script = "START PIPELINE ".to_owned();
        if random.bool() {
            script = "CREATE PIPELINE ".to_owned();
        }
        for _ in 0..random.usize(..14) {
            script.push_str(words[random.usize(..words.len())]);
            script.push(' ');
        }
        drop(parsed(&script));
    }
}
