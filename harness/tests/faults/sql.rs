//! The same faults for pipelines that SQL made, with three leaves of four tasks: all of them in one process, and
//! each leaf in a process of its own.

use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    Database, Pipeline, Run, Stand, generated_ids, kafka, need, produce, say, seed, signal,
};

/// Splits of the generator: one for each task of each leaf.
const SPLITS: u32 = 12;

/// Rows of one test, over all splits.
const ROWS: u64 = 24_000;

pub(crate) const LEAVES: u32 = 3;

/// Kills of one test.
const KILLS: u32 = 25;

pub(crate) fn generator() -> Value {
    json!({
        "connector.class": "test", "test.splits": SPLITS, "test.rows": ROWS / u64::from(SPLITS), "tasks.max": 4,
        "batch.rows": 61,
    })
}

pub(crate) fn ids() -> Vec<String> {
    generated_ids(SPLITS, ROWS / u64::from(SPLITS)).collect()
}

/// Makes the pipeline by SQL, for three leaves.
pub(crate) fn create(pipeline: &Pipeline, config: &Value) {
    let statements = format!(
        "SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'; \
         CREATE INFERRED PIPELINE {} AS LOAD DATA KAFKACONNECT 'x' CONFIG '{config}' \
         CREDENTIALS '{{}}' MAX_RETRIES_PER_BATCH_PARTITION 1000 FORMAT AVRO",
        pipeline.name
    );
    pipeline.sql(&statements, &["--leaves", &LEAVES.to_string()]);
}

/// Kills one of the harnesses or of their extractors.
fn kill_one(pipeline: &Pipeline, rng: &mut Rng, runs: &mut [Run]) {
    let victims = pipeline.extractors();
    if victims.is_empty() || rng.u32(..3) == 0 {
        let run = &mut runs[rng.usize(..runs.len())];
        signal(run.pid(), Signal::SIGKILL);
        run.wait();
    } else {
        signal(victims[rng.usize(..victims.len())], Signal::SIGKILL);
    }
}

/// Runs every leaf, kills at random, and starts again what was killed, until everything is read. Answers how
/// many were killed.
fn one_round(pipeline: &Pipeline, rng: &mut Rng, kills: u32, leaves: &Leaves<'_>) -> u32 {
    let mut runs: Vec<Run> = (0..leaves.processes).map(leaves.start).collect();
    let mut spent = 0;
    loop {
        std::thread::sleep(Duration::from_millis(rng.u64(10..250)));
        let mut ended = 0;
        for (index, run) in runs.iter_mut().enumerate() {
            match run.ended() {
                Some(0) => ended += 1,
                Some(-1) => *run = (leaves.start)(index),
                Some(code) => panic!("harness ended with {code}: {}", run.log()),
                None => {}
            }
        }
        if ended == runs.len() {
            return spent;
        }
        if spent < kills && ended == 0 {
            kill_one(pipeline, rng, &mut runs);
            spent += 1;
        }
    }
}

/// How the leaves of a pipeline are run.
struct Leaves<'s> {
    processes: usize,
    start: &'s dyn Fn(usize) -> Run,
}

/// Rounds from nothing until enough was killed, however fast a round is; after each, every row is there once.
fn kill_until_done(
    pipeline: &Pipeline,
    rng: &mut Rng,
    config: &Value,
    ids: &[String],
    leaves: &Leaves<'_>,
) {
    let (mut kills, mut rounds) = (0, 0);
    while kills < KILLS {
        rounds += 1;
        create(pipeline, config);
        kills += one_round(pipeline, rng, KILLS - kills, leaves);
        pipeline.assert_exactly_once(ids.iter().cloned());
        pipeline.assert_no_process_left();
        let loaded = "SELECT COUNT(DISTINCT leaf) FROM s2x_batches";
        assert_eq!(pipeline.try_number(loaded), Some(u64::from(LEAVES)), "every leaf has loaded");
        let name = &pipeline.name;
        pipeline.sql(&format!("STOP PIPELINE IF RUNNING {name}; DROP PIPELINE {name}"), &[]);
        pipeline.query(&format!("DELETE FROM {name}"));
    }
    say(&format!("{}: {kills} kills in {rounds} rounds", pipeline.name));
}

/// All leaves in one process. One that was killed left the state Running, which STOP takes back.
fn in_one_process(pipeline: &Pipeline, rng: &mut Rng) {
    let statements =
        format!("STOP PIPELINE IF RUNNING {0}; START PIPELINE {0} FOREGROUND", pipeline.name);
    let leaves = Leaves { processes: 1, start: &|_| pipeline.start_sql(&statements, &[]) };
    kill_until_done(pipeline, rng, &generator(), &ids(), &leaves);
}

/// Each leaf in a process of its own.
fn in_processes(pipeline: &Pipeline, rng: &mut Rng, config: &Value, ids: &[String]) {
    let statements = format!("START PIPELINE {}", pipeline.name);
    let start = |leaf: usize| {
        let leaf = format!("{leaf}/{LEAVES}");
        pipeline.start_sql(&statements, &["--until-caught-up", "--leaf", &leaf])
    };
    let leaves = Leaves { processes: LEAVES as usize, start: &start };
    kill_until_done(pipeline, rng, config, ids, &leaves);
}

#[test]
fn sql_leaves_killed_at_random_in_one_process_to_sqlite() {
    let mut rng = Rng::with_seed(seed("sql_leaves_killed_at_random_in_one_process_to_sqlite"));
    let pipeline = Pipeline::new("leaves", None, &generator());
    in_one_process(&pipeline, &mut rng);
}

#[test]
fn sql_leaves_killed_at_random_in_processes_to_sqlite() {
    let mut rng = Rng::with_seed(seed("sql_leaves_killed_at_random_in_processes_to_sqlite"));
    let pipeline = Pipeline::new("leaves", None, &generator());
    in_processes(&pipeline, &mut rng, &generator(), &ids());
}

#[test]
fn sql_leaves_killed_at_random_in_one_process_to_mariadb() {
    let test = "sql_leaves_killed_at_random_in_one_process_to_mariadb";
    let Some(database) = Database::new(test) else { return };
    let mut rng = Rng::with_seed(seed(test));
    let pipeline = Pipeline::new("leaves", Some(&database.url), &generator());
    in_one_process(&pipeline, &mut rng);
}

#[test]
fn sql_leaves_killed_at_random_in_processes_to_mariadb() {
    let test = "sql_leaves_killed_at_random_in_processes_to_mariadb";
    let Some(database) = Database::new(test) else { return };
    let mut rng = Rng::with_seed(seed(test));
    let pipeline = Pipeline::new("leaves", Some(&database.url), &generator());
    in_processes(&pipeline, &mut rng, &generator(), &ids());
}

#[test]
fn sql_leaves_killed_at_random_in_processes_to_the_double_of_singlestore() {
    let test = "sql_leaves_killed_at_random_in_processes_to_the_double_of_singlestore";
    let stand = Stand::new();
    let mut rng = Rng::with_seed(seed(test));
    let pipeline = Pipeline::new("leaves", Some(&stand.url()), &json!({}));
    in_processes(&pipeline, &mut rng, &generator(), &ids());
}

#[test]
fn sql_leaves_killed_at_random_kafka_to_mariadb() {
    let test = "sql_leaves_killed_at_random_kafka_to_mariadb";
    let Some(database) = Database::new(test) else { return };
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let mut rng = Rng::with_seed(seed(test));
    let topic = format!("t-{:08x}", fastrand::u32(..));
    let ids = produce(&bootstrap, &topic, 10_000);
    let mut config = kafka(&bootstrap, &topic);
    config["tasks.max"] = json!(4);
    config["batch.rows"] = json!(61);
    let pipeline = Pipeline::new("leaves", Some(&database.url), &config);
    in_processes(&pipeline, &mut rng, &config, &ids);
}

/// Two that run the same leaf: one is fenced, and every row is there once.
#[test]
fn sql_a_second_copy_of_a_leaf_is_fenced() {
    let pipeline = Pipeline::new("copies", None, &generator());
    create(&pipeline, &generator());
    let statements = format!("START PIPELINE {}", pipeline.name);
    let start =
        |leaf: &str| pipeline.start_sql(&statements, &["--until-caught-up", "--leaf", leaf]);
    let mut runs = ["0/3", "1/3", "1/3", "2/3"].map(start);
    let codes = runs.each_mut().map(Run::wait);
    for (code, run) in codes.iter().zip(&runs) {
        assert!(matches!(code, Some(0 | 79)), "ended with {code:?}: {}", run.log());
    }
    assert!(codes[1] == Some(0) || codes[2] == Some(0), "both copies were fenced: {codes:?}");
    pipeline.assert_exactly_once(ids());
    pipeline.assert_no_process_left();
}
