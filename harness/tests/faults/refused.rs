//! Rows that the database refuses, with `errors.tolerance=all`: each is put aside as it was received, once, and
//! everything else is loaded, whatever is killed meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Database, Pipeline, generated_ids, generator, seed, signal};

/// Rows of each split.
const ROWS: u64 = 700;
const SPLITS: u32 = 3;

/// A table that refuses what `check` does not allow, whose ids are unique.
fn table(pipeline: &Pipeline, check: &str) {
    pipeline.query(&format!(
        "CREATE TABLE {} (topic TEXT, id VARCHAR(200) NOT NULL UNIQUE, record TEXT NOT NULL, CHECK ({check}))",
        pipeline.name
    ));
}

fn config() -> Value {
    let mut config = generator(SPLITS, ROWS);
    config["errors.tolerance"] = json!("all");
    config["batch.rows"] = json!(400);
    config
}

/// Ids of the rows that were put aside, and how often each is.
fn aside(pipeline: &Pipeline) -> Vec<String> {
    let sql = "SELECT CAST(raw_key AS CHAR), code, kind, CAST(raw_value AS CHAR) FROM s2x_errors ORDER BY error_id";
    let rows = pipeline.query(sql);
    for row in &rows {
        let kind = if row[1] == "ROW_REFUSED" { "Load" } else { "Transform" };
        assert_eq!(row[2], kind, "{row:?}");
        let record: Value = serde_json::from_str(&row[3]).expect("the value as it was received");
        let id: Value = serde_json::from_str(&row[0]).expect("the key as it was received");
        assert_eq!(record["row"], id["row"], "{row:?}");
    }
    rows.into_iter().map(|row| row[0].clone()).collect()
}

/// Every row is in the table or put aside, exactly once; put aside are exactly those of `is_bad`.
#[track_caller]
fn assert_each_once(pipeline: &Pipeline, is_bad: impl Fn(&str) -> bool) {
    let aside = aside(pipeline);
    let once: BTreeSet<&String> = aside.iter().collect();
    assert_eq!(once.len(), aside.len(), "a row was put aside twice");
    let expected: BTreeSet<String> = generated_ids(SPLITS, ROWS).filter(|id| is_bad(id)).collect();
    assert_eq!(once, expected.iter().collect(), "what was put aside");
    pipeline.assert_exactly_once(generated_ids(SPLITS, ROWS).filter(|id| !is_bad(id)));
    let total = pipeline.try_number("SELECT error_total FROM s2x_pipelines");
    assert_eq!(total, Some(expected.len() as u64), "the pipeline counts them");
    let shown = pipeline.try_number("SELECT COUNT(*) FROM PIPELINES_ERRORS");
    assert_eq!(shown, Some(expected.len() as u64), "the view shows them");
}

fn row_of(id: &str) -> u64 {
    let id: Value = serde_json::from_str(id).unwrap();
    id["row"].as_u64().unwrap()
}

/// A check, a key that is taken already, and records that cannot be decoded, all in one run.
fn kinds_are_mixed(store: Option<&str>) {
    let mut config = config();
    config["test.error.every"] = json!(50);
    let pipeline = Pipeline::new("refused", store, &config);
    table(&pipeline, "id NOT LIKE '%7}'");
    let taken = r#"{"gen":"p1","row":11}"#;
    pipeline.query(&format!("INSERT INTO refused VALUES ('t', '{taken}', 'before')"));
    pipeline.run(&[]);
    assert_eq!(pipeline.query("SELECT record FROM refused WHERE topic = 't'").concat(), ["before"]);
    pipeline.query("DELETE FROM refused WHERE topic = 't'");
    assert_each_once(&pipeline, |id| {
        id.ends_with("7}") || id == taken || (row_of(id) + 1).is_multiple_of(50)
    });
    let sql = "SELECT reason FROM s2x_errors WHERE code = 'ROW_REFUSED'";
    for reason in pipeline.query(sql).concat() {
        let reason = reason.to_lowercase();
        assert!(reason.contains("constraint") || reason.contains("duplicate"), "{reason}");
        assert!(!reason.contains("gen"), "a value is quoted: {reason}");
    }
}

#[test]
fn refused_rows_are_put_aside_in_sqlite() {
    kinds_are_mixed(None);
}

#[test]
fn refused_rows_are_put_aside_in_mariadb() {
    let test = "refused_rows_are_put_aside_in_mariadb";
    let Some(database) = Database::new(test) else { return };
    kinds_are_mixed(Some(&database.url));
}

/// LOAD DATA LOCAL cuts and skips where an insert refuses: not one row is lost or changed.
#[test]
fn refused_rows_are_put_aside_by_load_data() {
    let test = "refused_rows_are_put_aside_by_load_data";
    let Some(database) = Database::new(test) else { return };
    let url = format!("{}?load=load-data", database.url);
    let pipeline = Pipeline::new("refused", Some(&url), &config());
    // Ids of rows from 100 on are one character too long.
    let sql =
        "CREATE TABLE refused (topic TEXT, id VARCHAR(21) NOT NULL UNIQUE, record TEXT NOT NULL)";
    pipeline.query(sql);
    pipeline.run(&[]);
    assert_each_once(&pipeline, |id| row_of(id) >= 100);
}

/// More rows than one assignment names, in every split.
#[test]
fn a_table_that_takes_nothing_holds_nothing_up() {
    let pipeline = Pipeline::new("refused", None, &config());
    table(&pipeline, "id = 'never'");
    pipeline.run(&["--batch-rows", "1000"]);
    assert_each_once(&pipeline, |_| true);
}

/// Without the tolerance, the pipeline stops with the row's name, and nothing of its batch is there.
#[test]
fn without_tolerance_the_first_refused_row_stops_the_pipeline() {
    let mut config = config();
    config["errors.tolerance"] = json!("none");
    let pipeline = Pipeline::new("refused", None, &config);
    table(&pipeline, r#"id <> '{"gen":"p0","row":0}'"#);
    let mut run = pipeline.start(&["--until-caught-up", "--tasks", "1"]);
    assert_eq!(run.wait(), Some(65), "{}", run.log());
    assert!(run.log().contains(r#"the row with id {"gen":"p0","row":0}"#), "{}", run.log());
    assert!(run.log().contains("errors.tolerance=all"), "{}", run.log());
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM refused"), Some(0));
}

/// kill -9 of harness and extractor at random moments: rows and error rows are there exactly once.
fn killed_at_random(store: Option<&str>, test: &str) {
    const KILLS: u32 = 25;
    let mut rng = Rng::with_seed(seed(test));
    let mut config = config();
    config["test.error.every"] = json!(41);
    let pipeline = Pipeline::new("refused", store, &config);
    table(&pipeline, "id NOT LIKE '%3}' AND id NOT LIKE '%69_}'");
    let is_bad = |id: &str| {
        let row = row_of(id);
        row % 10 == 3 || row >= 690 || (row + 1).is_multiple_of(41)
    };
    let mut kills = 0;
    while kills < KILLS {
        let rows = ["13", "100", "350"][rng.usize(..3)];
        let args = ["--until-caught-up", "--batch-rows", rows, "--retries", "1000"];
        let mut run = pipeline.start(&args);
        loop {
            std::thread::sleep(Duration::from_millis(rng.u64(5..150)));
            match run.ended() {
                Some(0) => {
                    assert_each_once(&pipeline, is_bad);
                    pipeline.drop_pipeline();
                    pipeline.query("DELETE FROM refused");
                    pipeline.query("DELETE FROM s2x_errors");
                    run = pipeline.start(&args);
                }
                Some(-1) => break,
                Some(code) => panic!("harness ended with {code}: {}", run.log()),
                None => {
                    let victims = pipeline.extractors();
                    let is_harness = rng.bool() || victims.is_empty();
                    let victim =
                        if is_harness { run.pid() } else { victims[rng.usize(..victims.len())] };
                    signal(victim, Signal::SIGKILL);
                    kills += 1;
                    if is_harness {
                        run.wait();
                        break;
                    }
                }
            }
        }
    }
    pipeline.run(&["--batch-rows", "100"]);
    assert_each_once(&pipeline, is_bad);
    pipeline.assert_no_process_left();
}

#[test]
fn killed_at_random_with_refused_rows_to_sqlite() {
    killed_at_random(None, "killed_at_random_with_refused_rows_to_sqlite");
}

#[test]
fn killed_at_random_with_refused_rows_to_mariadb() {
    let test = "killed_at_random_with_refused_rows_to_mariadb";
    let Some(database) = Database::new(test) else { return };
    killed_at_random(Some(&database.url), test);
}
