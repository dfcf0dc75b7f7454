//! Full pipes, floods on standard error, a store that takes its time.

use std::time::Duration;

use harness::store::{StoreUrl, connect};
use serde_json::json;

use nix::sys::signal::Signal;

use crate::support::{Pipeline, REST, generated_ids, generator, resting_generator, signal};

/// E9: while the store waits, the extractor is neither killed nor does it lose anything. The store
/// is locked for longer than the host waits for a sign of life.
#[test]
fn e09_a_locked_store_kills_nobody() {
    let pipeline = Pipeline::new("locked", None, &resting_generator(2, 10_000));
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

/// An extractor that is killed again and again while there is nothing to read is started each time.
#[test]
fn an_idle_pipeline_outlives_its_extractors() {
    let pipeline = Pipeline::new("idle", None, &generator(1, 10));
    let mut run = pipeline.start(&["--batch-interval-ms", "100", "--tasks", "1"]);
    pipeline.wait_for_rows(&mut run, 9);
    let mut before = 0;
    for _ in 0..8 {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let pid = loop {
            assert!(std::time::Instant::now() < deadline, "{}", run.log());
            match pipeline.extractors().first() {
                Some(pid) if *pid != before => break *pid,
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        std::thread::sleep(Duration::from_millis(500));
        signal(pid, Signal::SIGKILL);
        before = pid;
    }
    assert_eq!(run.ended(), None, "{}", run.log());
    signal(run.pid(), Signal::SIGINT);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
}

/// The second Ctrl-C waits for nobody, not even for a database that lets nothing through.
#[test]
fn the_second_interrupt_does_not_wait_for_a_locked_store() {
    let pipeline = Pipeline::new("now", None, &resting_generator(2, 10_000));
    let mut run = pipeline.start(&["--batch-rows", "20"]);
    pipeline.wait_for_rows(&mut run, 200);
    let url: StoreUrl = pipeline.store.parse().unwrap();
    let mut other = connect(&url).unwrap();
    other.begin().unwrap();
    // The rest is over, and a batch waits for the store.
    std::thread::sleep(REST + Duration::from_secs(1));
    signal(run.pid(), Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(run.ended(), None, "the first one drains: {}", run.log());
    let began = std::time::Instant::now();
    signal(run.pid(), Signal::SIGINT);
    assert_eq!(run.wait(), Some(130), "{}", run.log());
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    pipeline.assert_no_process_left();
}
