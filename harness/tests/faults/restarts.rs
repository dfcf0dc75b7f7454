//! The broker or the database goes away in the middle of a run and comes back.

use std::time::Duration;

use nix::sys::signal::Signal;
use xtask::services::Name;

use crate::support::{Own, Pipeline, Stand, generated_ids, generator, kafka, produce, signal};

const ROWS: u64 = 20_000;

fn broker_goes_away(test: &str, go: fn(&Own), come_back: fn(&Own)) {
    let Some(own) = Own::start(test, Name::Kafka) else { return };
    let bootstrap = own.services.kafka_bootstrap().unwrap();
    let ids = produce(&bootstrap, "orders", ROWS);
    let pipeline = Pipeline::new("orders", None, &kafka(&bootstrap, "orders"));
    let mut run = pipeline.start(&["--until-caught-up", "--batch-rows", "50"]);
    pipeline.wait_for_rows(&mut run, 1_000);
    go(&own);
    std::thread::sleep(Duration::from_secs(2));
    come_back(&own);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    pipeline.assert_exactly_once(ids);
    pipeline.assert_no_process_left();
}

#[test]
fn broker_stops_and_starts() {
    let stop = |own: &Own| own.services.stop(Name::Kafka).unwrap();
    let start = |own: &Own| own.services.start(Name::Kafka).unwrap();
    broker_goes_away("broker_stops_and_starts", stop, start);
}

#[test]
fn broker_is_killed_and_starts() {
    let kill = |own: &Own| own.services.kill(Name::Kafka).unwrap();
    let start = |own: &Own| own.services.start(Name::Kafka).unwrap();
    broker_goes_away("broker_is_killed_and_starts", kill, start);
}

fn database_goes_away(test: &str, go: fn(&Own, &Pipeline)) {
    let Some(own) = Own::start(test, Name::Mariadb) else { return };
    let url = own.services.mariadb_url().unwrap();
    let pipeline = Pipeline::new("orders", Some(&url), &generator(4, ROWS / 4));
    let mut run = pipeline.start(&["--until-caught-up", "--batch-rows", "50"]);
    for round in 1..4 {
        pipeline.wait_for_rows(&mut run, round * 2_000);
        go(&own, &pipeline);
        std::thread::sleep(Duration::from_millis(500));
        own.services.start(Name::Mariadb).unwrap();
    }
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    pipeline.assert_exactly_once(generated_ids(4, ROWS / 4));
    pipeline.assert_no_process_left();
}

/// The extractors die while the database is away: whoever needs it waits for it, not only the loader.
#[test]
fn database_is_away_while_the_extractors_are_killed() {
    database_goes_away("database_is_away_while_the_extractors_are_killed", |own, pipeline| {
        own.services.kill(Name::Mariadb).unwrap();
        for pid in pipeline.extractors() {
            signal(pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_secs(4));
    });
}

#[test]
fn database_stops_and_starts() {
    database_goes_away("database_stops_and_starts", |own, _| {
        own.services.stop(Name::Mariadb).unwrap()
    });
}

#[test]
fn database_is_killed_and_starts() {
    database_goes_away("database_is_killed_and_starts", |own, _| {
        own.services.kill(Name::Mariadb).unwrap();
    });
}

/// Every connection is cut and nobody answers for a while, three times.
#[test]
fn the_double_of_singlestore_goes_and_comes_back() {
    let mut stand = Stand::new();
    let pipeline = Pipeline::new("orders", Some(&stand.url()), &generator(4, ROWS / 4));
    let mut run = pipeline.start(&["--until-caught-up", "--batch-rows", "50"]);
    for round in 1..4 {
        pipeline.wait_for_rows(&mut run, round * 2_000);
        stand.double.go().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        stand.double.come_back().unwrap();
    }
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    pipeline.assert_exactly_once(generated_ids(4, ROWS / 4));
    pipeline.assert_no_process_left();
}
