//! Two harnesses on one pipeline, and a pipeline that is dropped and created again under a zombie.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{
    Database, Pipeline, freeze, generated_ids, generator, kafka, need, produce, signal,
};

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

/// E10: a topic is deleted and created again, with more records than before, while nobody reads it. Its
/// offsets look right and mean other records.
#[test]
fn e10_a_topic_is_created_again_between_two_runs() {
    let test = "e10_a_topic_is_created_again_between_two_runs";
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let topic = format!("t-{:08x}", fastrand::u32(..));
    let ids = produce(&bootstrap, &topic, 1_000);
    let pipeline = Pipeline::new("twice", None, &kafka(&bootstrap, &topic));
    pipeline.run(&[]);
    let mut client = xtask::kafka::Client::start(&bootstrap).unwrap();
    client.call(&format!("topic-delete {topic}")).unwrap();
    produce(&bootstrap, &topic, 2_000);
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(69), "{}", run.log());
    assert!(run.log().contains("SOURCE_RECREATED"), "{}", run.log());
    pipeline.assert_exactly_once(ids);
}

/// A topic that is added to the pipeline is read from its beginning; the other one goes on.
#[test]
fn a_topic_is_added_between_two_runs() {
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", "a_topic_is_added_between_two_runs") else {
        return;
    };
    let [one, two] = [1, 2].map(|n| format!("t{n}-{:08x}", fastrand::u32(..)));
    produce(&bootstrap, &one, 500);
    let pipeline = Pipeline::new("grows", None, &kafka(&bootstrap, &one));
    pipeline.run(&[]);
    produce(&bootstrap, &two, 700);
    pipeline.configure(&kafka(&bootstrap, &format!("{one},{two}")));
    pipeline.run(&[]);
    for (topic, rows) in [(one, 500), (two, 700)] {
        let sql = format!("SELECT COUNT(DISTINCT id) FROM grows WHERE topic = '{topic}'");
        assert_eq!(pipeline.try_number(&sql), Some(rows), "{topic}");
    }
}
