//! Two harnesses on one pipeline, and a pipeline that is dropped and created again under a zombie.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{
    Database, Pipeline, Stand, freeze, generated_ids, generator, kafka, need, produce,
    resting_generator, signal,
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

#[test]
fn two_harnesses_race_on_the_double_of_singlestore() {
    let stand = Stand::new();
    race(Some(&stand.url()));
}

/// A harness is frozen in the middle of its run; another one takes over and finishes; the first
/// one wakes up. Everything that it still holds is refused.
#[test]
fn a_frozen_harness_wakes_up_too_late() {
    let pipeline = Pipeline::new("frozen", None, &resting_generator(2, ROWS / 2));
    let args = ["--until-caught-up", "--batch-rows", "20"];
    let mut zombie = pipeline.start(&args);
    pipeline.wait_for_rows(&mut zombie, 200);
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
    let pipeline = Pipeline::new("again", None, &resting_generator(2, ROWS / 2));
    let mut zombie = pipeline.start(&["--batch-rows", "20"]);
    // In the middle of its work: one that has nothing left to commit is not fenced.
    pipeline.wait_for_rows(&mut zombie, 200);
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

/// A partition that one leaf finds belongs to another one, which reads it without a restart.
#[test]
fn a_new_partition_is_read_by_the_leaf_that_owns_it() {
    let test = "a_new_partition_is_read_by_the_leaf_that_owns_it";
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let topic = format!("t-{:08x}", fastrand::u32(..));
    let mut client = xtask::kafka::Client::start(&bootstrap).unwrap();
    client.call(&format!("topic-create {topic} partitions=1")).unwrap();
    client.call(&format!("produce {topic} count=10 key=seq")).unwrap();
    let pipeline = Pipeline::new("leaves", None, &kafka(&bootstrap, &topic));
    let leaf =
        |n: &str| pipeline.start(&["--leaf", n, "--tasks", "1", "--batch-interval-ms", "200"]);
    let mut runs = [leaf("0/2"), leaf("1/2")];
    pipeline.wait_for_rows(&mut runs[0], 9);
    client.call(&format!("partitions-add {topic} total=4")).unwrap();
    client.call(&format!("produce {topic} count=40 start=10 partition=rr:4 key=seq")).unwrap();
    pipeline.wait_for_rows(&mut runs[0], 49);
    assert_eq!(runs[1].ended(), None, "{}", runs[1].log());
    for run in &runs {
        signal(run.pid(), Signal::SIGINT);
    }
    for run in &mut runs {
        assert_eq!(run.wait(), Some(0), "{}", run.log());
    }
    pipeline.assert_exactly_once((0..50).map(|n| format!("\"k-{n}\"")));
    let owners = "SELECT COUNT(DISTINCT TASK_ID) FROM PIPELINES_SOURCE_OFFSETS";
    assert_eq!(pipeline.try_number(owners), Some(2));
}

/// A topic that is taken out of the pipeline stays where it is; the others go on.
#[test]
fn a_topic_is_taken_out_between_two_runs() {
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", "a_topic_is_taken_out_between_two_runs") else {
        return;
    };
    let [one, two] = [1, 2].map(|n| format!("t{n}-{:08x}", fastrand::u32(..)));
    produce(&bootstrap, &one, 500);
    produce(&bootstrap, &two, 700);
    let pipeline = Pipeline::new("shrinks", None, &kafka(&bootstrap, &format!("{one},{two}")));
    pipeline.run(&[]);
    pipeline.configure(&kafka(&bootstrap, &two));
    let mut run = pipeline.start(&["--until-caught-up"]);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    assert!(run.log().contains("is not part of the pipeline any more"), "{}", run.log());
    assert_eq!(pipeline.try_number("SELECT COUNT(*) FROM shrinks"), Some(1200));
}
