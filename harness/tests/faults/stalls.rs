//! Full pipes, floods on standard error, a store that takes its time.

use std::time::Duration;

use harness::store::{StoreUrl, connect};
use serde_json::json;

use crate::support::{Pipeline, generated_ids, generator};

/// E9: while the store waits, the extractor is neither killed nor does it lose anything. The store
/// is locked for longer than the host waits for a sign of life.
#[test]
fn e09_a_locked_store_kills_nobody() {
    let pipeline = Pipeline::new("locked", None, &generator(2, 10_000));
    let mut run = pipeline.start(&["--until-caught-up", "--batch-rows", "20"]);
    pipeline.wait_for_rows(&mut run, 200);
    let url: StoreUrl = pipeline.store.parse().unwrap();
    let mut other = connect(&url).unwrap();
    other.begin().unwrap();
    let before = pipeline.extractors();
    assert!(!before.is_empty(), "{}", run.log());
    std::thread::sleep(Duration::from_secs(18));
    assert_eq!(run.ended(), None, "{}", run.log());
    assert_eq!(pipeline.extractors(), before, "{}", run.log());
    other.rollback().unwrap();
    drop(other);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    pipeline.assert_exactly_once(generated_ids(2, 10_000));
}

#[test]
fn a_flood_on_stderr_does_not_stop_the_rows() {
    let mut config = generator(2, 5_000);
    config["test.stderr.flood"] = json!(1_000_000);
    let pipeline = Pipeline::new("flood", None, &config);
    pipeline.run(&["--batch-rows", "100"]);
    pipeline.assert_exactly_once(generated_ids(2, 5_000));
    pipeline.assert_no_process_left();
}

#[test]
fn a_print_in_the_extractor_is_harmless() {
    let mut config = generator(1, 1_000);
    config["test.print"] = json!(true);
    let pipeline = Pipeline::new("print", None, &config);
    pipeline.run(&[]);
    pipeline.assert_exactly_once(generated_ids(1, 1_000));
}
