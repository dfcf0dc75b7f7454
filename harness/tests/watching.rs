//! Seeing pipelines run: numbers over HTTP, `harness status`, the audit log, the manual page, and the examples
//! for systemd and Kubernetes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

#[path = "serve/python.rs"]
mod python;
#[expect(dead_code, reason = "shared with the fault tests, of which this uses a part")]
#[path = "faults/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use support::{Pipeline, Run, say, signal};

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

/// Where the run says that it answers.
fn address(run: &Run) -> String {
    let find = || {
        let log = run.log();
        let rest = log.split_once("metrics at http://")?.1.to_owned();
        Some(rest.split_once("/metrics")?.0.to_owned())
    };
    wait_until("the address of the metrics", || find().is_some());
    find().unwrap()
}

/// Status and body of an answer; 0 where the connection was closed without one.
fn ask(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A request that is too large is answered before it is read, and the rest of it may meet a reset.
    let _refused = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    // A peer that closes early resets what it did not read.
    let _reset = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status, body)
}

fn get(address: &str, path: &str) -> (u16, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// The rules of the format that a collector holds to: every sample has its type above it, no series comes
/// twice, and the text has its end.
fn check_text(text: &str) {
    let (mut types, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let (last, lines) =
        text.lines().collect::<Vec<_>>().split_last().map(|(l, r)| (*l, r.to_vec())).unwrap();
    assert_eq!(last, "# EOF");
    for line in lines {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(types.insert(rest.split(' ').next().unwrap().to_owned()), "twice: {line}");
        } else if !line.starts_with('#') {
            let (series, number) = line.rsplit_once(' ').unwrap();
            number.parse::<f64>().unwrap();
            let name = series.split('{').next().unwrap();
            let family = ["_total", "_info"].iter().find_map(|end| name.strip_suffix(end));
            assert!(types.contains(family.unwrap_or(name)), "no type: {line}");
            assert!(seen.insert(series.to_owned()), "twice: {line}");
        }
    }
}

/// The text as the library of another project reads it.
fn check_with_python(test: &str, text: &str) {
    const SCRIPT: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        print(sum(len(family.samples) for family in parse(sys.stdin.read())))";
    let Some(python) = python::python_with("prometheus_client") else {
        say(&format!("skipped: {test}: the second parser needs python3 with prometheus_client"));
        return;
    };
    let mut python = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), samples.to_string());
}

#[test]
fn numbers_are_answered_during_a_run_and_after_an_error() {
    let pipeline = resting("scraped");
    let mut run = pipeline.start(&["--metrics", "127.0.0.1:0"]);
    let address = address(&run);
    assert_eq!(get(&address, "/healthz"), (200, "ok\n".to_owned()));
    let scrape = || get(&address, "/metrics").1;
    let rows = "s2x_rows_total{pipeline=\"scraped\"}";
    wait_until("600 rows", || value(&scrape(), rows) == Some(600.0));
    let memory = "s2x_extractor_memory_bytes{pipeline=\"scraped\"}";
    wait_until("the memory", || value(&scrape(), memory).unwrap() > 1e6);
    let text = scrape();
    check_text(&text);
    check_with_python("numbers_are_answered_during_a_run_and_after_an_error", &text);
    assert_eq!(value(&text, "s2x_tasks{pipeline=\"scraped\"}"), Some(2.0), "{text}");
    assert_eq!(value(&text, "s2x_splits{pipeline=\"scraped\"}"), Some(2.0), "{text}");
    assert!(value(&text, "s2x_batches_total{pipeline=\"scraped\"}").unwrap() >= 2.0, "{text}");
    let lag = "s2x_lag_records{pipeline=\"scraped\",split=\"{\\\"gen\\\":\\\"p0\\\"}\"} 700\n";
    assert!(text.contains(lag), "{text}");
    let commit = value(&text, "s2x_last_commit_timestamp_seconds{pipeline=\"scraped\"}").unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((0.0..300.0).contains(&(now - commit)), "{commit} {now}");
    assert_eq!(get(&address, "/readyz"), (200, "ready\n".to_owned()));

    // An extractor is killed; nothing is committed after it, so that the trouble stays.
    let victim = pipeline.extractors()[0];
    signal(victim, Signal::SIGKILL);
    wait_until("trouble", || get(&address, "/readyz").0 == 503);
    let (_, why) = get(&address, "/readyz");
    assert!(why.starts_with("scraped is waiting: task ") && why.contains("SIGKILL"), "{why}");
    let restarts = "s2x_extractor_restarts_total{pipeline=\"scraped\"}";
    wait_until("a restart", || value(&scrape(), restarts) == Some(1.0));
    let text = scrape();
    check_text(&text);
    check_with_python("numbers_are_answered_during_a_run_and_after_an_error", &text);
    let retries = "s2x_retries_total{pipeline=\"scraped\",of=\"source\"}";
    assert_eq!(value(&text, retries), Some(1.0), "{text}");
    assert_eq!(value(&text, "s2x_state{pipeline=\"scraped\",state=\"waiting\"}"), Some(1.0));
    assert_eq!(get(&address, "/healthz").0, 200, "it lives all the same");
    signal(run.pid(), Signal::SIGTERM);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
}

#[test]
fn hostile_peers_get_nowhere_and_hold_nobody_up() {
    let pipeline = resting("hostile");
    let run = pipeline.start(&["--metrics", "127.0.0.1:0"]);
    let address = address(&run);
    assert_eq!(get(&address, "/").0, 404);
    assert_eq!(get(&address, "/metrics/..%2f..%2fetc%2fpasswd").0, 404);
    assert_eq!(
        ask(&address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").0,
        405
    );
    for noise in [
        "\0\u{1}\u{2}\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X-A: b\r\n".repeat(5000)),
    ] {
        let (status, body) = ask(&address, &noise);
        assert!(status != 200 && !body.contains("s2x_"), "{status} {body}");
    }
    // Peers that send nothing take all the room there is, and the oldest of them goes for whoever asks.
    let silent: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(&address).unwrap()).collect();
    assert_eq!(get(&address, "/healthz").0, 200);
    assert_eq!(get(&address, "/metrics").0, 200);
    drop(silent);
    drop(run);

    // The same address twice, and one beyond loopback without a token, are refused before anything runs.
    let refused = |args: &[&str], text: &str| {
        let mut run = pipeline.start(args);
        assert_eq!(run.wait(), Some(78), "{}", run.log());
        assert!(run.log().contains(text), "{}", run.log());
    };
    refused(&["--metrics", "0.0.0.0:0"], "an address beyond loopback needs --metrics-token-file");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refused(&["--metrics", &port], "cannot answer metrics at 127.0.0.1:");
}

#[test]
fn beyond_loopback_the_numbers_are_for_those_with_the_token() {
    let pipeline = resting("guarded");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "canary-of-the-token\n").unwrap();
    let file = path.to_str().unwrap();
    let run = pipeline.start(&["--metrics", "0.0.0.0:0", "--metrics-token-file", file]);
    let address = address(&run).replace("0.0.0.0", "127.0.0.1");
    let with = |token: &str| {
        ask(&address, &format!("GET /metrics HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n"))
    };
    assert_eq!(get(&address, "/metrics").0, 401);
    assert_eq!(with("canary-of-the-toke").0, 401);
    let (status, text) = with("canary-of-the-token");
    assert!(status == 200 && text.contains("s2x_rows_total"), "{status} {text}");
    assert_eq!(get(&address, "/healthz").0, 200, "a probe needs none");
    wait_until("ready", || get(&address, "/readyz") == (200, "ready\n".to_owned()));
    assert!(!run.log().contains("canary"), "{}", run.log());
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

#[test]
fn a_locked_store_is_told_as_soon_as_it_can_be() {
    let pipeline = Pipeline::new("locked", None, &support::resting_generator(1, 1000));
    let mut run = pipeline.start(&["--metrics", "127.0.0.1:0"]);
    let address = address(&run);
    pipeline.wait_for_rows(&mut run, 200);
    let file = rusqlite::Connection::open(pipeline.store.trim_start_matches("sqlite:")).unwrap();
    file.busy_timeout(PATIENCE).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    wait_until("trouble", || get(&address, "/readyz").0 == 503);
    let (_, why) = get(&address, "/readyz");
    assert!(why.contains("is locked by another process"), "{why}");
    file.execute_batch("COMMIT").unwrap();
    wait_until("the way out", || get(&address, "/readyz").0 == 200);
    let text = get(&address, "/metrics").1;
    assert!(
        value(&text, "s2x_retries_total{pipeline=\"locked\",of=\"store\"}").unwrap() >= 1.0,
        "{text}"
    );
    signal(run.pid(), Signal::SIGTERM);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
}

#[test]
fn what_was_done_is_written_down_without_secrets() {
    let pipeline = Pipeline::new("p", None, &support::generator(1, 10));
    let sql = |script: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(["sql", "-e", script, "--store", &pipeline.store, "--extractor"]);
        command.arg(&pipeline.extractor).stdin(Stdio::null()).output().unwrap()
    };
    let create = "SET GLOBAL experimental_features_config = \"kafka_connect_enabled=true\"; \
         CREATE INFERRED PIPELINE q AS LOAD DATA KAFKACONNECT 'x' CONFIG '{\"connector.class\": \"test\", \
         \"test.topic\": \"canary-of-credentials\", \"test.rows\": 10}' \
         CREDENTIALS '{\"test.password\": \"canary-of-credentials\"}' /* canary-of-a-comment */ FORMAT AVRO";
    let made = sql(create);
    // The source may refuse the key; that it was tried is written down in any case.
    let is_made = made.status.success();
    assert!(!sql("START PIPELINE nobody").status.success());
    assert!(!sql("START PIPELIN nobody").status.success(), "what cannot be read was not done");
    assert!(sql("SHOW PIPELINES").status.success());
    pipeline.run(&[]);
    let splits = json_lines(&pipeline, &["offsets", "p"]);
    let (key, value) = (splits[0]["key"].to_string(), splits[0]["value"].to_string());
    out(&pipeline, &["set-offsets", "p", &key, &value]);
    out(&pipeline, &["set-leaves", "p", "1"]);
    out(&pipeline, &["drop", "p"]);
    let entries = json_lines(&pipeline, &["audit"]);
    let told: Vec<(&str, &str)> = entries
        .iter()
        .rev()
        .map(|entry| (entry["outcome"].as_str().unwrap(), entry["statement"].as_str().unwrap()))
        .collect();
    let set = format!("set-offsets p {key} {value}");
    assert_eq!(
        told[0],
        ("done", "SET GLOBAL experimental_features_config = \"kafka_connect_enabled=true\"")
    );
    assert_eq!(told[1].0 == "done", is_made);
    assert_eq!(
        told[1].1,
        "CREATE INFERRED PIPELINE q AS LOAD DATA KAFKACONNECT 'x' CONFIG '{\"connector.class\":\"test\",\
         \"test.rows\":10,\"test.topic\":\"***\"}' CREDENTIALS '***' FORMAT AVRO"
    );
    assert_eq!(
        told[2..],
        [
            ("failed", "START PIPELINE nobody"),
            ("done", set.as_str()),
            ("done", "set-leaves p 1"),
            ("done", "drop p")
        ]
    );
    let failed = entries.iter().find(|entry| entry["outcome"] == "failed").unwrap();
    assert!(failed["error"].as_str().unwrap().contains("no pipeline nobody"), "{failed}");
    let me = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    assert!(entries.iter().all(|entry| entry["user"] == me.as_str()), "{entries:?}");
    assert!(entries.iter().all(|entry| entry["ended"].is_string()), "{entries:?}");
    let text = out(&pipeline, &["audit", "-n", "2"]);
    assert!(text.contains("drop p") && text.lines().count() == 4, "{text}");

    let file = pipeline.store.trim_start_matches("sqlite:");
    for path in [file.to_owned(), format!("{file}-wal")] {
        let bytes = fs::read(path).unwrap_or_default();
        assert!(!bytes.windows(9).any(|piece| piece == b"canary-of"), "a secret is in the store");
    }
}

#[test]
fn a_server_keeps_signs_of_life_and_the_audit_log_too() {
    let Some(database) = support::Database::new("watching_server") else { return };
    let config = json!({
        "connector.class": "test", "test.splits": 2, "test.rows": 1000, "tasks.max": 2,
        "test.stall.at": 300, "test.stall.ms": 3_600_000
    });
    let pipeline = Pipeline::new("served", Some(&database.url), &config);
    let mut run = pipeline.start(&[]);
    let status = || json_lines(&pipeline, &["status", "served"]).remove(0);
    wait_until("600 rows", || pipeline.try_number("SELECT COUNT(*) FROM served") == Some(600));
    wait_until("the memory", || status()["memory_bytes"].as_u64().unwrap() > 1_000_000);
    let now = status();
    assert_eq!(
        (&now["is_alive"], &now["processes"][0]["health"]),
        (&json!(true), &json!("running"))
    );
    pipeline.query("UPDATE s2x_heartbeats SET beat_us = beat_us + 3600000000");
    assert_eq!(status()["is_alive"], true, "a clock that was set back makes nobody old");
    signal(run.pid(), Signal::SIGTERM);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    assert_eq!(status()["processes"], json!([]));
    out(&pipeline, &["set-leaves", "served", "2"]);
    let entry = json_lines(&pipeline, &["audit"]).remove(0);
    let told = (&entry["outcome"], &entry["statement"]);
    assert_eq!(told, (&json!("done"), &json!("set-leaves served 2")));
    assert!(entry["database_user"].as_str().unwrap().contains('@'), "{entry}");
}

fn program(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_harness")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a checker with a text on its standard input; what it says of it, or `None`, visibly, where there is
/// no such program.
fn checked(test: &str, program: &str, args: &[&str], text: &str) -> Option<std::process::Output> {
    let spawned = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        say(&format!("skipped: {test}: {program} is not installed"));
        return None;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn the_manual_page_has_every_command_and_completions_are_scripts() {
    let page = program(&["man"]);
    assert!(page.contains(".TH harness 1"), "{page}");
    let help = program(&["--help"]);
    let commands = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help" && commands.contains(&format!("\n  {name} "))) {
        assert!(page.contains(&format!(".SH \"HARNESS {}\"\n", name.to_uppercase())), "{name}");
    }
    assert!(page.contains("Exit codes:"), "{page}");
    let test = "the_manual_page_has_every_command_and_completions_are_scripts";
    if let Some(output) =
        checked(test, "groff", &["-K", "utf8", "-man", "-Tutf8", "-W", "break", "-z"], &page)
    {
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "groff");
    }
    for (shell, args) in [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["-n"])] {
        let script = program(&["completions", shell]);
        assert!(script.contains("doctor"), "{script}");
        if let Some(output) = checked(test, shell, &args, &script) {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    for shell in ["elvish", "powershell"] {
        assert!(program(&["completions", shell]).contains("set-offsets"));
    }
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_unit_for_systemd_is_one() {
    let unit = example("harness@.service")
        .replace("/usr/local/bin/harness", env!("CARGO_BIN_EXE_harness"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("harness@orders.service");
    fs::write(&path, &unit).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    let Ok(output) = verified else {
        say("skipped: the_unit_for_systemd_is_one: systemd-analyze is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("harness@"), "{said}");
    // What it starts is a call that the program knows; the codes that end it for good are its own.
    let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    for word in line.split(' ').filter(|word| word.starts_with("--")) {
        assert!(program(&["run", "--help"]).contains(word), "{word}");
    }
    let codes =
        unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
    let help = program(&["--help"]);
    assert!(codes.split(' ').all(|code| help.contains(&format!("\n  {code:>3}  "))), "{codes}");
}

#[test]
fn the_manifest_for_kubernetes_is_yaml_that_fits_itself() {
    const SCRIPT: &str =
        "import json, sys, yaml\nprint(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let test = "the_manifest_for_kubernetes_is_yaml_that_fits_itself";
    let Some(python) = python::python_with("yaml") else {
        say(&format!("skipped: {test}: python3 has no yaml"));
        return;
    };
    let output = checked(test, python, &["-c", SCRIPT], &example("kubernetes.yaml")).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let of = |kind: &str| all.iter().find(|it| it["kind"] == kind).unwrap();
    let set = &of("StatefulSet")["spec"];
    let pod = &set["template"]["spec"];
    let container = &pod["containers"][0];
    let args: Vec<&str> =
        container["args"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(args.contains(&format!("$(LEAF)/{}", set["replicas"]).as_str()), "{args:?}");
    let help = program(&["run", "--help"]);
    assert!(args.iter().filter(|it| it.starts_with("--")).all(|it| help.contains(*it)), "{args:?}");
    let file: Value =
        serde_json::from_str(of("ConfigMap")["data"]["orders.json"].as_str().unwrap()).unwrap();
    let port = container["ports"][0]["containerPort"].to_string();
    assert_eq!(file["config"]["metrics"], format!("0.0.0.0:{port}").as_str());
    let token = of("Secret")["stringData"]["metrics-token"].as_str().unwrap();
    assert!(token.len() >= 16, "the program refuses shorter ones");
    assert_eq!(set["selector"]["matchLabels"], set["template"]["metadata"]["labels"]);
    assert_eq!(set["serviceName"], of("Service")["metadata"]["name"]);
    let mounts = container["volumeMounts"].as_array().unwrap();
    let volumes: Vec<&Value> =
        pod["volumes"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert!(mounts.iter().all(|it| volumes.contains(&&it["name"])), "{volumes:?}");
}
