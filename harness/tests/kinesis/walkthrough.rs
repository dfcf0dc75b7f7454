//! The documentation's page from top to bottom (`documented.md`): every statement through `harness sql`, every
//! output that the page shows compared. The page's CONFIG runs as it stands; only where the server is, is put in.
//!
//! Put aside in outputs: sequence numbers and times, which are the server's; the order of rows where the page
//! asks for none; `kinesis-data-stream`, which the page's outputs show for the stream that its CONFIG calls
//! `my-kinesis-stream`.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::server::{STREAM, Server, shard};
use crate::support::{self, Database, say};

const PIPELINE: &str = "kinesis_pipeline";

/// How long the test waits for what another process does.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the page shows, in the order in which it was put.
const RECORDS: [(&str, u64, &str); 3] =
    [("user-b", 2, "second"), ("user-c", 4, "fourth"), ("user-b", 5, "fifth")];

/// Columns that the page computes with statements that only SingleStore knows, as these stores compute them.
const SQLITE_COLUMNS: [&str; 4] = [
    "customer_id INT AS (json_extract(record, '$.customer_id'))",
    "partition_key TEXT AS (json_extract(record, '$.partitionKey'))",
    "seq BIGINT AS (JSON_EXTRACT_BIGINT(FROM_BASE64(json_extract(record, '$.data')), 'seq'))",
    "msg TEXT AS (JSON_EXTRACT_STRING(FROM_BASE64(json_extract(record, '$.data')), 'msg'))",
];
const MARIADB_COLUMNS: [&str; 4] = [
    "customer_id INT AS (JSON_VALUE(record, '$.customer_id')) PERSISTENT",
    "partition_key VARCHAR(128) AS (JSON_VALUE(record, '$.partitionKey')) PERSISTENT",
    "seq BIGINT AS (JSON_VALUE(FROM_BASE64(JSON_VALUE(record, '$.data')), '$.seq')) PERSISTENT",
    "msg VARCHAR(512) AS (JSON_VALUE(FROM_BASE64(JSON_VALUE(record, '$.data')), '$.msg')) PERSISTENT",
];

/// One fence of the page: its label, its text, and the output that it shows.
struct Block {
    label: String,
    text: String,
    output: Option<String>,
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let page = include_str!("documented.md");
    for fence in page.split("\n```").skip(1).step_by(2) {
        let (label, text) = fence.split_once('\n').unwrap();
        match label {
            "output" => blocks.last_mut().unwrap().output = Some(text.to_owned()),
            _ => {
                blocks.push(Block { label: label.to_owned(), text: text.to_owned(), output: None })
            }
        }
    }
    blocks
}

/// Rows of an output: columns in their order, and cells as text.
type Shown = (Vec<String>, Vec<Vec<String>>);

/// The table of an output.
fn table(output: &str) -> Shown {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = output.lines().map(str::trim).filter(|line| line.starts_with('|')).map(cells);
    (lines.next().unwrap(), lines.collect())
}

/// A cell without what is the server's own: a sequence number or a time that is one becomes a word.
fn masked(column: &str, cell: &str) -> String {
    let is_number = !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
    match column {
        "seq_no" | "sequence_number" if is_number => "SEQUENCE".to_owned(),
        "arrival_ts_ms" if is_number && cell.len() == 13 => "TIME".to_owned(),
        "record" => {
            let mut record: Map<String, Value> = serde_json::from_str(cell).unwrap();
            let text = |record: &Map<String, Value>, key: &str| {
                record[key].as_str().map_or_else(|| record[key].to_string(), str::to_owned)
            };
            let sequence = masked("seq_no", &text(&record, "sequenceNumber"));
            assert!(record["approximateArrivalTimestamp"].is_u64(), "{cell}");
            let time = masked("arrival_ts_ms", &text(&record, "approximateArrivalTimestamp"));
            record.insert("sequenceNumber".to_owned(), sequence.into());
            record.insert("approximateArrivalTimestamp".to_owned(), time.into());
            Value::Object(record).to_string().replace("kinesis-data-stream", STREAM)
        }
        "stream_name" => cell.replace("kinesis-data-stream", STREAM),
        _ => cell.to_owned(),
    }
}

/// A store, and how the page's statements are run on it.
struct Bench {
    folder: tempfile::TempDir,
    store: String,
}

impl Bench {
    fn command(&self, script: &str, args: &[&str]) -> Command {
        let file = self.folder.path().join(format!("{:08x}.sql", fastrand::u32(..)));
        std::fs::write(&file, script).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(["sql", "--store", &self.store, "--extractor"]).arg(support::extractor());
        command.arg("-f").arg(file).args(args).current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env_remove("S2X_STORE").env_remove("S2X_SECRETS");
        command.stdin(Stdio::null());
        command
    }

    /// What a script prints, or what it says where it fails.
    fn run(&self, script: &str, args: &[&str]) -> Result<String, String> {
        let output = self.command(script, args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn rows(&self, script: &str) -> Vec<Map<String, Value>> {
        let out = self.run(script, &["--json"]).unwrap_or_else(|error| panic!("{script}: {error}"));
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a query answers: the names in their order of the table for people, the cells of the JSON.
    fn shown(&self, script: &str) -> Shown {
        let text = self.run(script, &[]).unwrap_or_else(|error| panic!("{script}: {error}"));
        let columns: Vec<String> =
            text.lines().next().unwrap().split_whitespace().map(str::to_owned).collect();
        let cell = |row: &Map<String, Value>, column: &String| {
            row[column].as_str().map_or_else(|| row[column].to_string(), str::to_owned)
        };
        let rows = self.rows(script);
        let rows = rows.iter().map(|row| columns.iter().map(|it| cell(row, it)).collect());
        (columns.clone(), rows.collect())
    }

    fn add(&self, column: &str) {
        self.run(&format!("ALTER TABLE {PIPELINE} ADD COLUMN {column}"), &[]).unwrap();
    }

    fn wait_for_rows(&self, count: usize) {
        let until = Instant::now() + PATIENCE;
        let sql = format!("SELECT COUNT(*) AS n FROM {PIPELINE}");
        while self.rows(&sql)[0]["n"] != count {
            assert!(Instant::now() < until, "waited for {count} rows");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The process in which the page's pipeline runs.
struct Running(Child);

impl Running {
    /// Its exit code.
    fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The statement as it is run: the page's words for "the pipeline" become its name; CONFIG says where the
/// server is.
fn filled(text: &str, server: &Server) -> String {
    let endpoint = format!("\"tasks.max\": 4,\n  \"kinesis.endpoint\": \"{}\"", server.url);
    text.replace("<pipeline_table>", PIPELINE)
        .replace("<pipeline_name>", PIPELINE)
        .replace("<kafkaconnect-pipeline>", PIPELINE)
        .replace("kafkaconnect-pipeline", PIPELINE)
        .replace("\"tasks.max\": 4", &endpoint)
}

/// Statements of the page about a pipeline that the page makes further down.
fn is_early(text: &str) -> bool {
    text.contains("<pipeline_") || text.contains("kafkaconnect-pipeline")
}

fn check_output(bench: &Bench, script: &str, output: &str) {
    let (columns, wanted) = table(output);
    let (found_columns, found) = bench.shown(script);
    assert_eq!(found_columns, columns, "{script}");
    let all = |rows: Vec<Vec<String>>| -> Vec<Vec<String>> {
        let mask = |row: Vec<String>| {
            row.iter().zip(&columns).map(|(cell, name)| masked(name, cell)).collect()
        };
        let mut rows: Vec<Vec<String>> = rows.into_iter().map(mask).collect();
        if !script.contains("ORDER BY") {
            rows.sort();
        }
        rows
    };
    assert_eq!(all(found), all(wanted), "{script}");
}

/// What the early statements show once the pipeline is there: the page shows no outputs for them.
fn check_early(bench: &Bench, script: &str) {
    let found = bench.rows(script);
    if script.contains("CONFIG_JSON") {
        assert_eq!(found[0]["STATE"], "Running");
        let config: Value =
            serde_json::from_str(found[0]["CONFIG_JSON"].as_str().unwrap()).unwrap();
        assert_eq!((&config["kinesis.stream"], &config["tasks.max"]), (&json!(STREAM), &json!(4)));
        assert_eq!(config["aws.secret.access.key"], "***");
    } else if script.contains("offset_count") {
        assert_eq!(Value::from(found), json!([{"TASK_ID": 0, "offset_count": 1}]));
    } else {
        let columns = ["DATABASE_NAME", "PIPELINE_NAME", "BATCH_ID", "TASK_ID", "KEY", "VALUE"];
        assert_eq!(bench.shown(script).0, columns);
        assert_eq!(found[0]["KEY"], format!("{{\"shardId\":\"{}\"}}", shard(0)));
        let value: BTreeMap<String, String> =
            serde_json::from_str(found[0]["VALUE"].as_str().unwrap()).unwrap();
        assert_eq!(value.keys().collect::<Vec<_>>(), ["sequenceNumber"]);
    }
}

/// Runs the page. `columns`: how this store computes what the page computes with SingleStore's own words.
fn walk(bench: &Bench, test: &str, columns: &[&str; 4]) {
    let server = Server::start(1);
    let put = |(key, seq, msg): (&str, u64, &str)| {
        server.put(&[(key.to_owned(), format!(r#"{{"seq":{seq},"msg":"{msg}"}}"#))]);
    };
    RECORDS.into_iter().for_each(put);
    let mut early = Vec::new();
    let mut run = None;
    let mut only_singlestore = 0;
    let mut outputs = 0;
    for block in blocks() {
        let script = filled(&block.text, &server);
        match (block.label.as_str(), &block.output) {
            ("sql syntax", _) => {}
            ("sql ddl", _) => {
                let mut ddl = Command::new(env!("CARGO_BIN_EXE_harness"));
                ddl.args(["ddl", PIPELINE, "--dialect", "singlestore"]);
                let shown = String::from_utf8(ddl.output().unwrap().stdout).unwrap();
                assert_eq!(shown.trim_end(), block.text.trim_end());
            }
            ("sql singlestore", _) if is_early(&block.text) => early.push((true, script)),
            ("sql singlestore", _) => {
                only_singlestore += refused_by_the_store(bench, test, &script)
            }
            ("sql", None) if is_early(&block.text) => early.push((false, script)),
            ("sql", None) if script.contains("START PIPELINE") => {
                let mut command = bench.command(&script, &[]);
                let log = std::fs::File::create(bench.folder.path().join("run.log")).unwrap();
                command.stdout(log.try_clone().unwrap()).stderr(log);
                run = Some(Running(command.spawn().unwrap()));
                wait_for_table(bench);
                bench.wait_for_rows(RECORDS.len());
            }
            ("sql", None) => drop(bench.run(&script, &[]).unwrap()),
            ("sql", Some(output)) => {
                if script.contains("WHERE seq > 3") {
                    columns.iter().skip(1).for_each(|column| bench.add(column));
                }
                check_output(bench, &script, output);
                outputs += 1;
            }
            (label, _) => panic!("a fence of the page has the label {label}"),
        }
    }
    assert_eq!(outputs, 5, "the outputs of the page");
    for (is_singlestores, script) in early {
        match is_singlestores {
            true => only_singlestore += refused_by_the_store(bench, test, &script),
            false if script.contains("CREATE INDEX") => {
                bench.add(columns[0]);
                bench.run(&script, &[]).unwrap();
            }
            false => check_early(bench, &script),
        }
    }
    assert_eq!(only_singlestore, 4, "statements that only SingleStore knows");
    // The pipeline goes on loading into the table that has more columns now.
    put(("user-d", 6, "sixth"));
    bench.wait_for_rows(RECORDS.len() + 1);
    let rows = bench.rows(&format!("SELECT seq, msg FROM {PIPELINE} WHERE seq > 3 ORDER BY seq"));
    let seqs: Vec<&Value> = rows.iter().map(|row| &row["seq"]).collect();
    assert_eq!(seqs, [4, 5, 6]);
    lifecycle(bench, &mut run.unwrap());
}

/// Each statement on its own: the store says no, and the test says which.
fn refused_by_the_store(bench: &Bench, test: &str, script: &str) -> u32 {
    let mut count = 0;
    for statement in script.split(";").filter(|text| !text.trim().is_empty()) {
        let error = bench.run(statement, &[]).expect_err("a statement that only SingleStore knows");
        // SQLite's parser, or MariaDB's: no data type AS.
        let is_unknown =
            ["syntax error", "error in your SQL syntax", "'AS'", "error in generated column"];
        assert!(is_unknown.iter().any(|it| error.contains(it)), "{statement}: {error}");
        let shown = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        say(&format!(
            "{test}: only SingleStore knows: {shown} ({})",
            error.lines().next().unwrap()
        ));
        count += 1;
    }
    count
}

/// The views are there with the first statement; the table comes with CREATE.
fn wait_for_table(bench: &Bench) {
    let until = Instant::now() + PATIENCE;
    while bench.run(&format!("SELECT 1 FROM {PIPELINE}"), &[]).is_err() {
        let log = || std::fs::read_to_string(bench.folder.path().join("run.log")).unwrap();
        assert!(Instant::now() < until, "waited for the table: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the page names and shows no statement for: the states, batches, errors, and the end.
fn lifecycle(bench: &Bench, run: &mut Running) {
    let is_pipeline = format!("WHERE PIPELINE_NAME = '{PIPELINE}'");
    let batches = bench.rows(&format!(
        "SELECT BATCH_ID, BATCH_STATE, ROWS_STREAMED, BATCH_TIME, START_TIME FROM \
         information_schema.PIPELINES_BATCHES_SUMMARY {is_pipeline} ORDER BY BATCH_ID"
    ));
    let streamed: u64 = batches.iter().filter_map(|row| row["ROWS_STREAMED"].as_u64()).sum();
    assert_eq!(streamed, 4, "{batches:?}");
    assert!(batches.iter().all(|row| row["BATCH_STATE"] == "Succeeded"), "{batches:?}");
    let errors =
        bench.rows(&format!("SELECT * FROM information_schema.PIPELINES_ERRORS {is_pipeline}"));
    assert_eq!(errors.len(), 0);
    let cursors =
        bench.rows(&format!("SELECT * FROM information_schema.PIPELINES_CURSORS {is_pipeline}"));
    assert_eq!((cursors.len(), &cursors[0]["SOURCE_TYPE"]), (1, &json!("KINESIS")));
    assert_eq!(cursors[0]["SOURCE_PARTITION_ID"], shard(0));

    let state = || bench.rows("SHOW PIPELINES")[0]["State"].as_str().unwrap().to_owned();
    assert_eq!(state(), "Running");
    bench.run(&format!("STOP PIPELINE {PIPELINE}"), &[]).unwrap();
    assert_eq!(run.ended(), Some(0));
    assert_eq!(state(), "Stopped");
    bench.run(&format!("ALTER PIPELINE {PIPELINE} SET OFFSETS EARLIEST"), &[]).unwrap();
    bench.run(&format!("START PIPELINE {PIPELINE} FOREGROUND"), &[]).unwrap();
    bench.wait_for_rows(8);
    let dropped = format!("DROP PIPELINE {PIPELINE}; SHOW PIPELINES");
    assert_eq!(bench.rows(&dropped), Vec::new());
    bench.wait_for_rows(8);
}

#[test]
fn the_documented_page_runs_from_top_to_bottom_on_sqlite() {
    let bench = Bench { folder: tempfile::tempdir().unwrap(), store: "sqlite:page.db".to_owned() };
    std::fs::write(bench.folder.path().join("page.db"), "").unwrap();
    walk(&bench, "the_documented_page_runs_from_top_to_bottom_on_sqlite", &SQLITE_COLUMNS);
}

#[test]
fn the_documented_page_runs_from_top_to_bottom_on_mariadb() {
    let test = "the_documented_page_runs_from_top_to_bottom_on_mariadb";
    let Some(database) = Database::new(test) else { return };
    let bench = Bench { folder: tempfile::tempdir().unwrap(), store: database.url.clone() };
    // What the page's queries call, on a server that does not have it.
    bench.run("SELECT 1", &["--create-functions"]).unwrap();
    walk(&bench, test, &MARIADB_COLUMNS);
}
