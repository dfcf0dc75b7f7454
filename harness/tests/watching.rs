//! Seeing pipelines run: `harness status`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

#[expect(dead_code, reason = "shared with the fault tests, of which this uses a part")]
#[path = "faults/support.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use support::{Pipeline, signal};

/// How long a test waits for what another process does.
const PATIENCE: Duration = Duration::from_secs(240);

/// A pipeline that loads 300 rows of each of two splits and then has nothing more for an hour.
fn resting(name: &str) -> Pipeline {
    Pipeline::new(
        name,
        None,
        &json!({
            "connector.class": "test", "test.splits": 2, "test.rows": 1000, "tasks.max": 2,
            "test.stall.at": 300, "test.stall.ms": 3_600_000
        }),
    )
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `harness` with the pipeline's store.
fn harness(pipeline: &Pipeline, args: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command.args(args).args(["--store", &pipeline.store]).stdin(Stdio::null()).output().unwrap()
}

fn out(pipeline: &Pipeline, args: &[&str]) -> String {
    let output = harness(pipeline, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json_lines(pipeline: &Pipeline, args: &[&str]) -> Vec<Value> {
    let text = out(pipeline, &[args, &["--json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn status_tells_what_the_process_knows_and_that_it_was_killed() {
    let pipeline = resting("watched");
    let run = pipeline.start(&[]);
    let status = || json_lines(&pipeline, &["status", "watched"]).remove(0);
    pipeline.try_number("SELECT COUNT(*) FROM watched");
    wait_until("600 rows", || pipeline.try_number("SELECT COUNT(*) FROM watched") == Some(600));
    wait_until("the memory", || status()["memory_bytes"].as_u64().unwrap() > 1_000_000);
    let now = status();
    assert_eq!((&now["state"], &now["is_alive"]), (&json!("Running"), &json!(true)));
    let process = &now["processes"][0];
    assert_eq!(
        (&process["health"], &process["reason"]),
        (&json!("running"), &Value::Null),
        "{now}"
    );
    assert!(process["age_ms"].as_u64().unwrap() < 60_000, "{now}");
    assert!(out(&pipeline, &["status"]).contains("Running  "), "{}", out(&pipeline, &["status"]));

    signal(run.pid(), Signal::SIGKILL);
    drop(run);
    // As if a minute had passed.
    pipeline.query("UPDATE s2x_heartbeats SET beat_us = beat_us - 60000000");
    let now = status();
    assert_eq!((&now["state"], &now["is_alive"]), (&json!("Running"), &json!(false)));
    let text = out(&pipeline, &["status"]);
    assert!(text.contains("Running (silent)"), "{text}");
    assert!(text.contains("watched: no sign of life since 20"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour without a terminal: {text:?}");

    pipeline.configure(&support::generator(2, 1000));
    pipeline.run(&[]);
    let now = status();
    assert_eq!((&now["state"], &now["processes"]), (&json!("Stopped"), &json!([])), "{now}");
    assert_eq!((&now["lag"]["rows"], &now["lag"]["unread"]), (&json!(0), &json!(0)), "{now}");
    assert!(!out(&pipeline, &["status"]).contains("sign of life"));
    let watch = harness(&pipeline, &["status", "--watch"]);
    assert_eq!(watch.status.code(), Some(64));
}
