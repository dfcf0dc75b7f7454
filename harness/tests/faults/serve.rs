//! The same faults for pipelines that a server runs: three leaves of four tasks in one `harness serve`, which is
//! killed and started again, and goes on by itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fastrand::Rng;
use mysql::prelude::Queryable as _;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::sql::{LEAVES, create, generator, ids};
use crate::support::{Database, Pipeline, RUN_MAX, kafka, need, produce, say, seed, signal};

/// Kills of one test.
const KILLS: u32 = 15;

/// As if half a minute had passed since a server was killed: only then does the next one go on.
fn age_signs_of_life(pipeline: &Pipeline) {
    pipeline.query("UPDATE s2x_heartbeats SET beat_us = beat_us - 60000000");
}

fn is_complete(pipeline: &Pipeline, ids: &[String]) -> bool {
    let count = format!("SELECT COUNT(DISTINCT id) FROM {}", pipeline.name);
    pipeline.try_number(&count) == Some(ids.len() as u64)
}

/// One life of a pipeline, in which servers or extractors are killed while there is something to load. Answers how
/// many were killed.
fn one_round(pipeline: &Pipeline, rng: &mut Rng, kills: u32, ids: &[String]) -> u32 {
    let (mut server, mut client) = pipeline.serve();
    client.query_drop(format!("START PIPELINE {}", pipeline.name)).unwrap();
    let began = Instant::now();
    let mut spent = 0;
    while !is_complete(pipeline, ids) {
        assert!(began.elapsed() < RUN_MAX, "not loaded within {RUN_MAX:?}: {}", server.log());
        std::thread::sleep(Duration::from_millis(rng.u64(10..250)));
        assert_eq!(server.ended(), None, "the server ended by itself: {}", server.log());
        if spent == kills {
            continue;
        }
        spent += 1;
        let victims = pipeline.extractors();
        if victims.is_empty() || rng.u32(..3) == 0 {
            signal(server.pid(), Signal::SIGKILL);
            server.wait();
            age_signs_of_life(pipeline);
            (server, client) = pipeline.serve();
        } else {
            signal(victims[rng.usize(..victims.len())], Signal::SIGKILL);
        }
    }
    let deadline = Instant::now() + RUN_MAX;
    // A server that was just started may still be about to run it.
    while client.query_drop(format!("STOP PIPELINE {}", pipeline.name)).is_err() {
        assert!(Instant::now() < deadline, "it is not stopped: {}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    signal(server.pid(), Signal::SIGTERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    spent
}

fn kill_until_done(pipeline: &Pipeline, rng: &mut Rng, config: &Value, ids: &[String]) {
    let (mut kills, mut rounds) = (0, 0);
    while kills < KILLS {
        rounds += 1;
        create(pipeline, config);
        kills += one_round(pipeline, rng, KILLS - kills, ids);
        pipeline.assert_exactly_once(ids.iter().cloned());
        pipeline.assert_no_process_left();
        let loaded = "SELECT COUNT(DISTINCT leaf) FROM s2x_batches";
        assert_eq!(pipeline.try_number(loaded), Some(u64::from(LEAVES)), "every leaf has loaded");
        let name = &pipeline.name;
        pipeline.sql(&format!("DROP PIPELINE {name}"), &[]);
        pipeline.query(&format!("DELETE FROM {name}"));
    }
    say(&format!("{}: {kills} kills in {rounds} rounds", pipeline.name));
}

#[test]
fn served_leaves_killed_at_random_to_sqlite() {
    let mut rng = Rng::with_seed(seed("served_leaves_killed_at_random_to_sqlite"));
    let pipeline = Pipeline::new("served", None, &generator());
    kill_until_done(&pipeline, &mut rng, &generator(), &ids());
}

#[test]
fn served_leaves_killed_at_random_to_mariadb() {
    let test = "served_leaves_killed_at_random_to_mariadb";
    let Some(database) = Database::new(test) else { return };
    let mut rng = Rng::with_seed(seed(test));
    let pipeline = Pipeline::new("served", Some(&database.url), &generator());
    kill_until_done(&pipeline, &mut rng, &generator(), &ids());
}

/// The extractors of a topic wait when their pipeline stops, and go on with it: with what came meanwhile, once.
#[test]
fn extractors_of_kafka_wait_for_the_next_run() {
    let test = "extractors_of_kafka_wait_for_the_next_run";
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let topic = format!("t-{:08x}", fastrand::u32(..));
    let ids = produce(&bootstrap, &topic, 1_000);
    let mut config = kafka(&bootstrap, &topic);
    config["tasks.max"] = json!(2);
    config["batch.rows"] = json!(50);
    let pipeline = Pipeline::new("waits", None, &config);
    let statements = format!(
        "SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'; CREATE INFERRED PIPELINE waits \
         AS LOAD DATA KAFKACONNECT 'x' CONFIG '{config}' CREDENTIALS '{{}}' FORMAT AVRO"
    );
    pipeline.sql(&statements, &[]);
    let (mut server, mut client) = pipeline.serve();
    client.query_drop("START PIPELINE waits FOREGROUND LIMIT 1 BATCHES").unwrap();
    // PIPELINES_CURSORS: from where to where the source has records, which all are read by then.
    let cursors = || {
        pipeline.query(
            "SELECT SOURCE_PARTITION_ID, EARLIEST_OFFSET, LATEST_OFFSET, CURSOR_OFFSET FROM PIPELINES_CURSORS \
             ORDER BY SOURCE_PARTITION_ID",
        )
    };
    let before = cursors();
    client.query_drop("START PIPELINE waits FOREGROUND").unwrap();
    let after = cursors();
    assert_eq!((before.len(), after.len()), (4, 4));
    assert!(before.iter().chain(&after).all(|it| it[1] == "0"), "{before:?} {after:?}");
    assert!(after.iter().all(|it| it[2] == it[3]), "everything is read: {after:?}");
    let told: Vec<_> = before.iter().zip(&after).filter(|(it, _)| it[2] != "Null").collect();
    assert!(told.iter().any(|(it, _)| it[2] != it[3]), "not everything was read: {before:?}");
    assert!(told.iter().all(|(it, end)| it[2] == end[3]), "{before:?} {after:?}");
    let waiting: BTreeSet<i32> = pipeline.extractors().into_iter().collect();
    assert_eq!(waiting.len(), 2, "{}", server.log());
    for _ in 0..3 {
        client.query_drop("START PIPELINE waits FOREGROUND").unwrap();
        assert_eq!(pipeline.extractors().into_iter().collect::<BTreeSet<_>>(), waiting);
    }
    pipeline.assert_exactly_once(ids);
    client.query_drop("STOP PIPELINE IF RUNNING waits").unwrap();
    signal(server.pid(), Signal::SIGTERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    pipeline.assert_no_process_left();
}
