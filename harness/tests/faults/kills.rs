//! kill -9 of extractor and harness at random moments.

use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;

use crate::support::{
    Database, Pipeline, Run, Stand, generated_ids, generator, kafka, need, produce, say, seed,
    signal,
};

/// Rows of one kill test, over all splits.
const ROWS: u64 = 50_000;

/// What the killer does in one test.
struct Plan {
    kills: u32,
    /// Rows per batch; one is drawn for each start of the harness.
    batch_rows: [&'static str; 3],
}

/// Kills extractor or harness until `plan.kills` are spent, starting the harness again each time,
/// and lets the last run finish. A run that is through early starts again from nothing.
fn kill_until_done(pipeline: &Pipeline, rng: &mut Rng, plan: &Plan, ids: &[String]) {
    let mut kills = 0;
    let mut rounds = 0;
    while kills < plan.kills || rounds == 0 {
        rounds += 1;
        if rounds > 1 {
            forget(pipeline);
        }
        kills += one_round(pipeline, rng, plan, plan.kills.saturating_sub(kills));
        pipeline.assert_exactly_once(ids.iter().cloned());
        pipeline.assert_no_process_left();
    }
    say(&format!("{}: {kills} kills in {rounds} rounds", pipeline.name));
}

/// Runs the pipeline once from its start to its end with up to `kills` kills on the way.
fn one_round(pipeline: &Pipeline, rng: &mut Rng, plan: &Plan, kills: u32) -> u32 {
    let mut spent = 0;
    let mut run = start(pipeline, rng, plan);
    loop {
        std::thread::sleep(Duration::from_millis(rng.u64(5..120)));
        match run.ended() {
            Some(0) => return spent,
            Some(-1) => run = start(pipeline, rng, plan),
            Some(code) => panic!("harness ended with {code}: {}", run.log()),
            None if spent >= kills => {
                assert_eq!(run.wait(), Some(0), "{}", run.log());
                return spent;
            }
            None => {
                let victims = pipeline.extractors();
                let victim = if rng.bool() || victims.is_empty() {
                    run.pid()
                } else {
                    victims[rng.usize(..victims.len())]
                };
                signal(victim, Signal::SIGKILL);
                spent += 1;
                if victim == run.pid() {
                    run.wait();
                }
            }
        }
    }
}

fn start(pipeline: &Pipeline, rng: &mut Rng, plan: &Plan) -> Run {
    let rows = plan.batch_rows[rng.usize(..plan.batch_rows.len())];
    let args = ["--until-caught-up", "--batch-rows", rows, "--retries", "1000"];
    pipeline.start(&args)
}

/// Drops the pipeline and empties its table.
fn forget(pipeline: &Pipeline) {
    pipeline.drop_pipeline();
    pipeline.query(&format!("DELETE FROM {}", pipeline.name));
}

/// Kills of one test; the six tests together make 360.
const PLAN: Plan = Plan { kills: 60, batch_rows: ["37", "500", "4000"] };

#[test]
fn killed_at_random_generator_to_sqlite() {
    let mut rng = Rng::with_seed(seed("killed_at_random_generator_to_sqlite"));
    let pipeline = Pipeline::new("kills", None, &generator(4, ROWS / 4));
    let ids: Vec<String> = generated_ids(4, ROWS / 4).collect();
    kill_until_done(&pipeline, &mut rng, &PLAN, &ids);
}

#[test]
fn killed_at_random_generator_to_mariadb() {
    let test = "killed_at_random_generator_to_mariadb";
    let Some(database) = Database::new(test) else { return };
    let mut rng = Rng::with_seed(seed(test));
    let pipeline = Pipeline::new("kills", Some(&database.url), &generator(4, ROWS / 4));
    let ids: Vec<String> = generated_ids(4, ROWS / 4).collect();
    kill_until_done(&pipeline, &mut rng, &PLAN, &ids);
}

#[test]
fn killed_at_random_kafka_to_sqlite() {
    let test = "killed_at_random_kafka_to_sqlite";
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let mut rng = Rng::with_seed(seed(test));
    let topic = format!("t-{:08x}", fastrand::u32(..));
    let ids = produce(&bootstrap, &topic, ROWS);
    let pipeline = Pipeline::new("kills", None, &kafka(&bootstrap, &topic));
    kill_until_done(&pipeline, &mut rng, &PLAN, &ids);
}

#[test]
fn killed_at_random_kafka_to_mariadb() {
    let test = "killed_at_random_kafka_to_mariadb";
    let Some(database) = Database::new(test) else { return };
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let mut rng = Rng::with_seed(seed(test));
    let topic = format!("t-{:08x}", fastrand::u32(..));
    let ids = produce(&bootstrap, &topic, ROWS);
    let pipeline = Pipeline::new("kills", Some(&database.url), &kafka(&bootstrap, &topic));
    kill_until_done(&pipeline, &mut rng, &PLAN, &ids);
}

#[test]
fn killed_at_random_generator_to_the_double_of_singlestore() {
    let stand = Stand::new();
    let mut rng = Rng::with_seed(seed("killed_at_random_generator_to_the_double_of_singlestore"));
    let pipeline = Pipeline::new("kills", Some(&stand.url()), &generator(4, ROWS / 4));
    let ids: Vec<String> = generated_ids(4, ROWS / 4).collect();
    kill_until_done(&pipeline, &mut rng, &PLAN, &ids);
}

#[test]
fn killed_at_random_kafka_to_the_double_of_singlestore() {
    let test = "killed_at_random_kafka_to_the_double_of_singlestore";
    let Some(bootstrap) = need("KAFKA_BOOTSTRAP", test) else { return };
    let stand = Stand::new();
    let mut rng = Rng::with_seed(seed(test));
    let topic = format!("t-{:08x}", fastrand::u32(..));
    let ids = produce(&bootstrap, &topic, ROWS);
    let pipeline = Pipeline::new("kills", Some(&stand.url()), &kafka(&bootstrap, &topic));
    kill_until_done(&pipeline, &mut rng, &PLAN, &ids);
}
