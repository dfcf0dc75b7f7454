//! Two harnesses on one pipeline, and a pipeline that is dropped and created again under a zombie.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Database, Pipeline, freeze, generated_ids, generator, signal};

const ROWS: u64 = 10_000;

fn race(store: Option<&str>) {
    let pipeline = Pipeline::new("race", store, &generator(4, ROWS / 4));
    let args = ["--until-caught-up", "--batch-rows", "20"];
    let mut runs = [pipeline.start(&args), pipeline.start(&args)];
    let codes: Vec<Option<i32>> = runs.iter_mut().map(crate::support::Run::wait).collect();
    // One may be fenced; what it loses the other one loads.
    for (code, run) in codes.iter().zip(&runs) {
        assert!(matches!(code, Some(0 | 79)), "ended with {code:?}: {}", run.log());
    }
    assert!(codes.contains(&Some(0)), "both were fenced");
    pipeline.assert_exactly_once(generated_ids(4, ROWS / 4));
    pipeline.assert_no_process_left();
}

#[test]
fn two_harnesses_race_on_sqlite() {
    race(None);
}

#[test]
fn two_harnesses_race_on_mariadb() {
    let Some(database) = Database::new("two_harnesses_race_on_mariadb") else { return };
    race(Some(&database.url));
}

/// A harness is frozen in the middle of its run; another one takes over and finishes; the first
/// one wakes up. Everything that it still holds is refused.
#[test]
fn a_frozen_harness_wakes_up_too_late() {
    let pipeline = Pipeline::new("frozen", None, &generator(2, ROWS / 2));
    let args = ["--until-caught-up", "--batch-rows", "20"];
    let mut zombie = pipeline.start(&args);
    std::thread::sleep(Duration::from_millis(300));
    freeze(&pipeline, &zombie);
    pipeline.run(&[]);
    signal(zombie.pid(), Signal::SIGCONT);
    assert!(matches!(zombie.wait(), Some(0 | 79)), "{}", zombie.log());
    pipeline.assert_exactly_once(generated_ids(2, ROWS / 2));
    pipeline.assert_no_process_left();
}

/// E4: the zombie's offsets have the values that the new pipeline of the same name stands at.
#[test]
fn e04_a_pipeline_is_created_again_under_a_zombie() {
    let pipeline = Pipeline::new("again", None, &generator(2, ROWS / 2));
    let mut zombie = pipeline.start(&["--batch-rows", "20"]);
    std::thread::sleep(Duration::from_millis(300));
    freeze(&pipeline, &zombie);
    pipeline.drop_pipeline();
    pipeline.query("DELETE FROM again");
    let mut fresh = pipeline.start(&["--until-caught-up", "--batch-rows", "20"]);
    std::thread::sleep(Duration::from_millis(100));
    signal(zombie.pid(), Signal::SIGCONT);
    assert_eq!(fresh.wait(), Some(0), "{}", fresh.log());
    assert!(zombie.wait().is_some_and(|code| code != 0), "{}", zombie.log());
    pipeline.assert_exactly_once(generated_ids(2, ROWS / 2));
    pipeline.assert_no_process_left();
}
