//! `harness demo` with the real extractor, a broker inside the process and an SQLite file.
//!
//! The extractor's binary is looked for beside the harness's, where a build of the workspace puts it;
//! without it the tests are skipped, visibly.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const HARNESS: &str = env!("CARGO_BIN_EXE_harness");

/// A folder for the demo, or the reason why a test is skipped.
fn bench(test: &str) -> Option<tempfile::TempDir> {
    if !Path::new(HARNESS).with_file_name("extractor").exists() {
        let why = "the extractor is not built (cargo build -p extractor)";
        writeln!(std::io::stderr().lock(), "skipped: {test}: {why}").unwrap();
        return None;
    }
    Some(tempfile::tempdir().unwrap())
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(HARNESS);
    command.args(args).current_dir(folder).env_remove("S2X_STORE").stdin(Stdio::null());
    command
}

fn json(out: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(out.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_record_is_in_the_table_once() {
    let Some(folder) = bench("every_record_is_in_the_table_once") else { return };
    // More than the broker keeps (5 MiB per partition): without pacing, records would be lost.
    let args = ["demo", "--json", "--rows", "150000", "--partitions", "2", "--tasks", "2"];
    for name in ["demo", "demo_2"] {
        let output = command(folder.path(), &args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}");
        let last = json(&output.stdout).pop().unwrap();
        assert_eq!(last["event"], "demo");
        assert_eq!(last["pipeline"], name, "a second demo leaves the first alone");
        for field in ["produced", "rows", "distinct_ids"] {
            assert_eq!(last[field], 150_000, "{field}: {last}");
        }
        assert_eq!((&last["exact"], &last["complete"]), (&true.into(), &true.into()));
    }
    let sql = "SELECT (SELECT COUNT(*) FROM demo) + (SELECT COUNT(*) FROM demo_2) AS n";
    let args = ["sql", "--store", "sqlite:s2x-demo.db", "--json", "-e", sql];
    let output = command(folder.path(), &args).output().unwrap();
    assert_eq!(json(&output.stdout)[0]["n"], 300_000);
}

#[test]
fn the_end_is_for_people() {
    let Some(folder) = bench("the_end_is_for_people") else { return };
    let output = command(folder.path(), &["demo", "--rows", "5000"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "demo: 5,000 rows, ",
        "extractor memory peak ",
        "Exactly once: 5,000 produced, 5,000 rows, 5,000 distinct ids.",
        "topic   id",
        "{\"partition\":7,\"topic\":\"orders\"}",
        " offsets demo --store sqlite:s2x-demo.db\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The command that it names works as it stands.
    let line = text.lines().find(|line| line.contains("SELECT COUNT(*)")).unwrap();
    let shell = Command::new("sh").args(["-c", line]).current_dir(folder.path()).output().unwrap();
    let shown = String::from_utf8(shell.stdout).unwrap();
    assert_eq!(shown.lines().last().unwrap().trim(), "5000", "{line}");
}

/// The server is an example, which `cargo test` builds unless it is told one test's name.
#[test]
fn every_record_of_a_stream_is_in_the_table_once_and_in_order() {
    const TEST: &str = "every_record_of_a_stream_is_in_the_table_once_and_in_order";
    let Some(folder) = bench(TEST) else { return };
    if !Path::new(HARNESS).with_file_name("examples").join("kinesis_server").exists() {
        let why = "the server is not built (cargo build -p harness --example kinesis_server)";
        writeln!(std::io::stderr().lock(), "skipped: {TEST}: {why}").unwrap();
        return;
    }
    let args = ["demo", "kinesis", "--json", "--rows", "20000", "--shards", "3"];
    let output = command(folder.path(), &args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let events = json(&output.stdout);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("shardId-000000000000 was split in two after 10,000 records"), "{told}");
    let last = events.last().unwrap();
    for field in ["produced", "rows", "distinct_ids"] {
        assert_eq!(last[field], 20_000, "{field}: {last}");
    }
    assert_eq!((&last["exact"], &last["complete"]), (&true.into(), &true.into()), "{last}");
    assert_eq!(last["disordered"], 0, "{last}");
    // The shard that was split is closed, and its two children were read.
    let sql = "SELECT COUNT(*) AS n, SUM(value_text LIKE '%shardEnd%') AS ends FROM s2x_offsets";
    let args = ["sql", "--store", "sqlite:s2x-demo.db", "--json", "-e", sql];
    let output = command(folder.path(), &args).output().unwrap();
    let offsets = &json(&output.stdout)[0];
    assert_eq!((&offsets["n"], &offsets["ends"]), (&5.into(), &1.into()));
}

#[test]
fn ended_early_it_says_what_is_there() {
    let Some(folder) = bench("ended_early_it_says_what_is_there") else { return };
    if !Path::new("/bin/kill").exists() {
        writeln!(std::io::stderr().lock(), "skipped: there is no /bin/kill").unwrap();
        return;
    }
    let args = ["demo", "--json", "--rows", "50000000"];
    let mut child = command(folder.path(), &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The first commit may hold offsets only: a broker that is slow to take the first record.
    let has_rows = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["event"] == "committed" && event["rows"].as_u64().unwrap() > 0
    };
    assert!(lines.by_ref().any(|line| has_rows(&line)));
    let pid = child.id().to_string();
    assert!(Command::new("/bin/kill").args(["-INT", &pid]).status().unwrap().success());
    let last: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{last}");
    assert_eq!(last["event"], "demo");
    assert_eq!((&last["exact"], &last["complete"]), (&true.into(), &false.into()), "{last}");
    assert!(last["rows"].as_u64().unwrap() > 0);
    assert_eq!(last["rows"], last["distinct_ids"]);
}
