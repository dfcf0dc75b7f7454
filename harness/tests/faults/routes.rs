//! Several topics into several tables, fields into columns: rows of one batch are in all of their tables or in
//! none, exactly once, whatever the tables, columns and topics are called and whatever is killed.

use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::{Value, json};

use crate::support::{Database, Pipeline, generator, kafka, seed, signal};

/// A name that ends a statement where it is not quoted.
const TABLE: &str = "t`\"'; DROP TABLE x; --";
const COLUMN: &str = "c`\"') VALUES (1); --";
/// Records of each topic.
const RECORDS: u64 = 400;

fn quoted(store: Option<&str>, name: &str) -> String {
    match store {
        None => format!("\"{}\"", name.replace('"', "\"\"")),
        Some(_) => format!("`{}`", name.replace('`', "``")),
    }
}

fn topics() -> (MockCluster<'static, DefaultProducerContext>, String) {
    let cluster = MockCluster::new(1).unwrap();
    let bootstrap = cluster.bootstrap_servers();
    let mut client = ClientConfig::new();
    let producer: BaseProducer = client.set("bootstrap.servers", &bootstrap).create().unwrap();
    for topic in ["a.b-c_d", "plain", "other"] {
        cluster.create_topic(topic, 1, 1).unwrap();
        for number in 0..RECORDS {
            let value =
                format!(r#"{{"n":{number},"deep":{{"text":"it's {number}"}},"more":[1.50]}}"#);
            let key = format!("{topic} {number}");
            let record = BaseRecord::to(topic).partition(0).key(&key).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    (cluster, bootstrap)
}

/// Kills the harness at random moments, with batches of other sizes each time: what was loaded and what comes again
/// overlap in every way.
fn run_with_kills(pipeline: &Pipeline, rng: &mut Rng, kills: u32) {
    for _ in 0..kills {
        let rows = ["7", "50", "333", "1000"][rng.usize(..4)];
        let args = ["--until-caught-up", "--retries", "1000", "--batch-rows", rows];
        let mut run = pipeline.start(&args);
        std::thread::sleep(Duration::from_millis(rng.u64(50..700)));
        signal(run.pid(), Signal::SIGKILL);
        run.wait();
    }
    pipeline.run(&["--batch-rows", "19"]);
}

fn topics_to_tables(store: Option<&str>, test: &str) {
    let mut rng = Rng::with_seed(seed(test));
    let (_cluster, bootstrap) = topics();
    let mut config = kafka(&bootstrap, "a.b-c_d,plain,other");
    config["tasks.max"] = json!(1);
    config["singlestore.tableName.a.b-c_d"] = json!(TABLE);
    config["singlestore.tableName.plain"] = json!("plain_rows");
    config[format!("singlestore.columnToField.{TABLE}.{COLUMN}")] = json!("deep.text");
    config[format!("singlestore.columnToField.{TABLE}.n")] = json!("n");
    config[format!("singlestore.columnToField.{TABLE}.more")] = json!("more");
    config["singlestore.metadata.allow"] = json!(true);
    let pipeline = Pipeline::new("routes", store, &config);
    let (table, column) = (quoted(store, TABLE), quoted(store, COLUMN));
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(78), "{}", run.log());
    assert!(run.log().contains("is missing and auto-creation is disabled"), "{}", run.log());
    pipeline.query(&format!(
        "CREATE TABLE {table} ({column} TEXT NOT NULL, n INTEGER NOT NULL PRIMARY KEY, more TEXT, \
         extra VARCHAR(9) DEFAULT 'x')"
    ));
    run_with_kills(&pipeline, &mut rng, 8);
    let rows = pipeline.query(&format!("SELECT {column}, n, more, extra FROM {table} ORDER BY n"));
    let expected: Vec<Vec<String>> = (0..RECORDS)
        .map(|n| vec![format!("it's {n}"), n.to_string(), "[1.50]".to_owned(), "x".to_owned()])
        .collect();
    assert_eq!(rows, expected);
    for (table, topic) in [("plain_rows", "plain"), ("routes", "other")] {
        let ids: Vec<String> =
            pipeline.query(&format!("SELECT id FROM {table} ORDER BY id")).concat();
        let mut expected: Vec<String> = (0..RECORDS).map(|n| format!("\"{topic} {n}\"")).collect();
        expected.sort();
        assert_eq!(ids, expected, "{table}");
    }
    // Every batch tells of each partition from where it was read, and how many rows that gave.
    let sql = "SELECT SUM(count), MIN(id) FROM kafka_connect_transaction_metadata WHERE id LIKE ";
    for topic in ["a.b-c_d", "plain", "other"] {
        let told = pipeline.query(&format!("{sql} '{topic}-0-%'"));
        assert_eq!(told, [[RECORDS.to_string(), format!("{topic}-0-0")]]);
    }
}

#[test]
fn topics_go_to_their_tables_in_sqlite() {
    topics_to_tables(None, "topics_go_to_their_tables_in_sqlite");
}

#[test]
fn topics_go_to_their_tables_in_mariadb() {
    let test = "topics_go_to_their_tables_in_mariadb";
    let Some(database) = Database::new(test) else { return };
    topics_to_tables(Some(&database.url), test);
}

/// Records go by a field; one that is named nowhere, and one that the database refuses, are put aside.
fn fields_to_tables(store: Option<&str>) {
    let mut config: Value = generator(3, 200);
    config["errors.tolerance"] = json!("all");
    config["singlestore.recordToTable.mappingField"] = json!("gen");
    config["singlestore.recordToTable.mapping.p0"] = json!("zero");
    config["singlestore.recordToTable.mapping.p1"] = json!("one");
    config["fields.whitelist"] = json!("gen,row");
    let pipeline = Pipeline::new("routes", store, &config);
    pipeline.query("CREATE TABLE zero (gen VARCHAR(9), `row` INTEGER, CHECK (`row` <> 77))");
    pipeline.query("CREATE TABLE one (`row` INTEGER PRIMARY KEY, gen VARCHAR(9))");
    pipeline.query("INSERT INTO one (`row`) VALUES (5)");
    pipeline.run(&["--batch-rows", "90"]);
    let count = |sql: &str| pipeline.try_number(sql).unwrap();
    assert_eq!(count("SELECT COUNT(DISTINCT `row`) FROM zero WHERE gen = 'p0'"), 199);
    assert_eq!(count("SELECT COUNT(*) FROM zero"), 199);
    assert_eq!(count("SELECT COUNT(*) FROM one WHERE gen = 'p1'"), 199);
    assert_eq!(count("SELECT COUNT(*) FROM one"), 200);
    let sql = "SELECT COUNT(*) FROM s2x_errors WHERE code = 'ROW_REFUSED' AND reason LIKE ";
    assert_eq!(count(&format!("{sql} '%no value that singlestore.recordToTable%'")), 200);
    assert_eq!(count("SELECT COUNT(*) FROM s2x_errors"), 202);
    assert_eq!(count("SELECT COUNT(DISTINCT CAST(raw_key AS CHAR)) FROM s2x_errors"), 202);
}

#[test]
fn fields_say_the_table_in_sqlite() {
    fields_to_tables(None);
}

#[test]
fn fields_say_the_table_in_mariadb() {
    let Some(database) = Database::new("fields_say_the_table_in_mariadb") else { return };
    fields_to_tables(Some(&database.url));
}

/// The last row of a key stays; a table without a key, or with two, is refused, and not altered.
fn rows_replace(store: Option<&str>) {
    let mut config: Value = generator(2, 300);
    config["singlestore.upsert"] = json!(true);
    config["singlestore.columnToField.routes.gen"] = json!("gen");
    config["singlestore.columnToField.routes.last"] = json!("row");
    let pipeline = Pipeline::new("routes", store, &config);
    let refused = |keys: &str, why: &str| {
        pipeline.query(&format!("CREATE TABLE routes (gen VARCHAR(9) {keys}, last INTEGER)"));
        let mut run = pipeline.start(&["--until-caught-up"]);
        assert_eq!(run.wait(), Some(78), "{}", run.log());
        assert!(run.log().contains(why), "{}", run.log());
        pipeline.query("DROP TABLE routes");
    };
    refused("", "has no primary or unique key");
    refused("PRIMARY KEY, other INTEGER UNIQUE", "has 2 unique keys");
    refused(", other INTEGER DEFAULT 1 UNIQUE", "no field goes to the key of table routes (other)");
    refused("PRIMARY KEY, other INTEGER NOT NULL", "other of table routes is NOT NULL without");
    let computed = "CREATE TABLE routes (gen VARCHAR(9) PRIMARY KEY, last INTEGER AS (1))";
    pipeline.query(computed);
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(78), "{}", run.log());
    assert!(run.log().contains("column last of table routes is computed"), "{}", run.log());
    pipeline.query("DROP TABLE routes");
    pipeline.query("CREATE TABLE routes (gen VARCHAR(9) PRIMARY KEY, last INTEGER)");
    pipeline.run(&["--batch-rows", "37"]);
    let rows = pipeline.query("SELECT gen, last FROM routes ORDER BY gen");
    assert_eq!(rows, [["p0", "299"], ["p1", "299"]]);
}

#[test]
fn rows_take_the_place_of_their_key_in_sqlite() {
    rows_replace(None);
}

#[test]
fn rows_take_the_place_of_their_key_in_mariadb() {
    let Some(database) = Database::new("rows_take_the_place_of_their_key_in_mariadb") else {
        return;
    };
    rows_replace(Some(&database.url));
}

/// A row that stops the pipeline is named, whether no table is its own or its table refuses it.
#[test]
fn a_row_that_stops_the_pipeline_is_named() {
    let mut config: Value = generator(1, 60);
    config["singlestore.recordToTable.mappingField"] = json!("row");
    for row in (0..60).filter(|row| *row != 41) {
        config[format!("singlestore.recordToTable.mapping.{row}")] = json!("rows");
    }
    config["fields.whitelist"] = json!("gen,row");
    let pipeline = Pipeline::new("routes", None, &config);
    let stops = |row: u32, why: &str| {
        let mut run = pipeline.start(&["--until-caught-up"]);
        assert_eq!(run.wait(), Some(65), "{}", run.log());
        let log = run.log();
        let place = format!("number {} of those that split", row + 1);
        assert!(
            log.contains("the database refuses the row with id") && log.contains(&place),
            "{log}"
        );
        assert!(log.contains(why) && log.contains("--on-error skip"), "{log}");
        assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM rows"), Some(0));
    };
    pipeline.query("CREATE TABLE rows (gen VARCHAR(9), `row` INTEGER)");
    stops(41, "no value that singlestore.recordToTable");
    pipeline.query("DROP TABLE rows");
    pipeline.query("CREATE TABLE rows (gen VARCHAR(9), `row` INTEGER CHECK (`row` <> 23))");
    stops(23, "CHECK constraint");
}

/// A pipeline whose rows go by a field needs no table of its own.
#[test]
fn sql_pipelines_by_a_field_need_no_table_of_their_own() {
    let config = json!({
        "connector.class": "test", "test.splits": 1, "test.rows": 5,
        "singlestore.recordToTable.mappingField": "gen",
        "singlestore.recordToTable.mapping.p0": "zero", "fields.whitelist": "row",
    });
    let pipeline = Pipeline::new("routes", None, &config);
    pipeline.query("CREATE TABLE zero (`row` INTEGER)");
    let create = format!(
        "SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'; \
         CREATE PIPELINE routes AS LOAD DATA KAFKACONNECT 'x' CONFIG '{config}' CREDENTIALS '{{}}' \
         INTO TABLE `nowhere` FORMAT AVRO"
    );
    pipeline.sql(&create, &[]);
    let made = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'nowhere'";
    assert_eq!(pipeline.try_number(made), Some(0));
}

/// The same switches in the CONFIG of pipeline SQL, and the secret of a producer in its CREDENTIALS.
#[test]
fn sql_pipelines_take_the_switches() {
    let (cluster, bootstrap) = topics();
    cluster.create_topic("aside", 1, 1).unwrap();
    let config = json!({
        "connector.class": "kafka", "bootstrap.servers": bootstrap, "topics": "plain,other",
        "errors.tolerance": "all", "errors.deadletterqueue.topic.name": "aside",
        "singlestore.tableName.other": "others", "singlestore.columnToField.others.n": "n",
        "singlestore.columnToField.into.text": "deep.text", "singlestore.columnToField.into.n": "n",
    });
    let pipeline = Pipeline::new("routes", None, &config);
    pipeline.query("CREATE TABLE \"into\" (n INTEGER CHECK (n <> 9), text TEXT)");
    let create = format!(
        "SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'; \
         CREATE PIPELINE routes AS LOAD DATA KAFKACONNECT 'x' CONFIG '{config}' \
         CREDENTIALS '{{\"producer.override.ssl.key.password\": \"canary canary\"}}' \
         INTO TABLE `into` FORMAT AVRO"
    );
    let mut run = pipeline.start_sql(&create, &[]);
    assert_eq!(run.wait(), Some(78), "{}", run.log());
    assert!(run.log().contains("Table others is missing"), "{}", run.log());
    pipeline.query("CREATE TABLE others (n INTEGER)");
    pipeline.sql(&create, &[]);
    pipeline.sql("START PIPELINE routes FOREGROUND", &[]);
    let count = |sql: &str| pipeline.try_number(sql).unwrap();
    assert_eq!(count("SELECT COUNT(DISTINCT n) FROM others"), RECORDS);
    assert_eq!(count("SELECT COUNT(*) FROM others"), RECORDS);
    assert_eq!(count("SELECT COUNT(DISTINCT text) FROM \"into\""), RECORDS - 1);
    assert_eq!(count("SELECT COUNT(*) FROM PIPELINES_ERRORS WHERE ERROR_KIND = 'Load'"), 1);
    let shown = pipeline.query("SELECT config_json, credentials FROM s2x_pipelines").concat();
    assert!(!shown.concat().contains("canary canary"), "{shown:?}");
}
