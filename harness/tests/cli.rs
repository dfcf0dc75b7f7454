//! The `harness` program as a person and a script meet it: its output, its errors, its exit codes.
//!
//! Runs the real binary. Runs of pipelines use the Python peer as the extractor and are skipped,
//! visibly, where there is no Python.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(args).current_dir(self.folder.path()).env_remove("S2X_STORE");
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        done(&mut self.command(args))
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Checks the exit code, and that the error is one line with this text and no colour.
    fn fails(&self, args: &[&str], code: i32, text: &str) {
        check_failure(&self.run(args), args, code, text);
    }

    /// A pipeline of the test source.
    fn pipeline(&self, more: &str) {
        let text = format!(
            r#"{{"name": "p", "config": {{"connector.class": "test", "store": "sqlite:s.db",
               "test.splits": 3, "test.rows": 200, "tasks.max": 2, "batch.rows": 50{more}}}}}"#
        );
        self.write("p.json", &text);
    }
}

fn done(command: &mut Command) -> Done {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn check_failure(done: &Done, args: &[&str], code: i32, text: &str) {
    assert_eq!(done.code, code, "{args:?}: {}", done.err);
    let errors: Vec<&str> = done.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{args:?}: {}", done.err);
    assert!(errors[0].contains(text), "{args:?}: wanted {text:?} in {}", done.err);
    assert!(!done.err.contains('\u{1b}'), "no colour without a terminal: {:?}", done.err);
}

/// The Python peer, or the reason why a test is skipped.
fn peer(test: &str) -> Option<String> {
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"];
    if !python.iter().any(|path| Path::new(path).exists()) {
        writeln!(std::io::stderr().lock(), "skipped: {test}: python3 not found").unwrap();
        return None;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/peer/extractor");
    Some(path.canonicalize().unwrap().display().to_string())
}

#[test]
fn help_names_every_command_and_every_exit_code() {
    let bench = Bench::new();
    let help = bench.run(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for command in [
        "run",
        "doctor",
        "status",
        "batches",
        "offsets",
        "errors",
        "set-offsets",
        "audit",
        "set-leaves",
        "drop",
        "ddl",
        "sql",
        "demo",
        "completions",
        "man",
    ] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}: {}", help.out);
        let one = bench.run(&[command, "--help"]);
        assert_eq!(one.code, 0);
        assert!(one.out.contains("Example") && one.out.contains("harness "), "{}", one.out);
    }
    for code in [0, 64, 65, 66, 69, 70, 71, 75, 76, 77, 78, 79, 130] {
        assert!(help.out.contains(&format!("{code:>5}  ")), "{code}: {}", help.out);
    }
    let nothing = bench.run(&[]);
    assert_eq!((nothing.code, nothing.out.as_str()), (64, ""));
    assert!(nothing.err.contains("Usage: harness <COMMAND>"), "{}", nothing.err);
    assert!(bench.run(&["--version"]).out.starts_with("harness 0."));
}

#[test]
fn wrong_calls_end_with_64() {
    let bench = Bench::new();
    for (args, text) in [
        (&["run"][..], "<FILE>"),
        (&["run", "p.json", "--taskz", "3"], "--taskz"),
        (&["run", "p.json", "--tasks", "0"], "expected a whole number from 1 to 1024"),
        (&["run", "p.json", "--leaf", "3/3"], "expected I/N with I from 0 to N-1"),
        (&["run", "p.json", "--leaf", "x"], "expected I/N"),
        (&["run", "p.json", "--leaf", "0/2", "--leaves", "2"], "cannot be used with"),
        (&["run", "p.json", "--batches", "0"], "--batches"),
        (&["run", "p.json", "--start", "soon"], "expected earliest, latest, timestamp:"),
        (&["run", "p.json", "--on-error", "shrug"], "shrug"),
        (&["nonsense"], "nonsense"),
        (&["set-offsets", "p", "--store", "sqlite:s.db"], "required arguments"),
        (&["set-offsets", "p", "{\"gen\":\"p0\"}"], "{\"gen\":\"p0\"} has none"),
        (&["set-offsets", "p", "7", "{\"row\":7}"], "offset KEY is not a JSON object"),
        (&["set-offsets", "p", "{\"gen\":\"p0\"}", "null"], "offset VALUE is not a JSON object"),
        (&["set-leaves", "p", "0"], "expected a whole number from 1 to"),
        (&["status"], "no store: give --store, or set S2X_STORE"),
        (&["ddl", "--dialect", "oracle", "t"], "oracle"),
        (&["completions", "tcsh"], "tcsh"),
    ] {
        bench.fails(args, 64, text);
    }
}

#[test]
fn bad_pipeline_files() {
    let bench = Bench::new();
    bench.fails(
        &["run", "none.json"],
        66,
        "cannot read the pipeline file none.json: it does not exist",
    );
    bench.fails(&["run", "."], 66, "it is a folder");
    bench.write("bad.json", "{\n  \"name\": \"p\",\n  \"config\": {\"a\" 1}\n}");
    bench.fails(&["run", "bad.json"], 78, "bad.json:3:18: not valid JSON: expected `:`");
    bench.write("bad.properties", "name=p\nconnector.class=test\nname=q\n");
    bench.fails(&["run", "bad.properties"], 78, "bad.properties:3:1: name is set a second time");
    bench.write("few.json", r#"{"name": "p", "connector.class": "test"}"#);
    bench.fails(&["run", "few.json"], 78, "store is missing: give --store, set S2X_STORE");
    bench.pipeline(r#", "tasks.max": 2"#);
    bench.fails(&["run", "p.json"], 78, "duplicate key");
    bench.pipeline(r#", "x": "${env:S2X_TEST_GONE}""#);
    bench.fails(&["run", "p.json"], 78, "the environment variable S2X_TEST_GONE is not set");
}

#[test]
fn extractors_that_are_none() {
    let bench = Bench::new();
    bench.pipeline("");
    bench.fails(
        &["run", "p.json", "--extractor", "./gone"],
        78,
        "the extractor ./gone does not exist; build it with `cargo build --release -p extractor`",
    );
    bench.write("data.txt", "");
    bench.fails(&["run", "p.json", "--extractor", "data.txt"], 78, "is not executable");
    // A program that prints to stdout what is no frame.
    bench.fails(&["run", "p.json", "--extractor", "/bin/echo"], 76, "");
}

#[test]
fn stores_that_cannot_work() {
    let bench = Bench::new();
    bench.pipeline("");
    let ls = ["run", "p.json", "--extractor", "/bin/echo", "--store"];
    let with = |store: &'static str| [&ls[..], &[store]].concat();
    bench.fails(&with("oracle:x"), 78, "its scheme is none of sqlite, mysql, mariadb");
    bench.fails(&with("sqlite:gone/s.db"), 78, "the folder gone does not exist");
    bench.write("text.db", "this is no database, and long enough to be looked at as one");
    bench.fails(&with("sqlite:text.db"), 78, "is not an SQLite database");
    // Nothing listens on port 1 of this machine.
    bench.fails(
        &["sql", "--store", "mysql://root@127.0.0.1:1/d", "-e", "SELECT 1"],
        75,
        "127.0.0.1:1",
    );

    let other = bench.run(&["sql", "--store", "sqlite:s.db", "-e", "SELECT 1"]);
    assert_eq!(other.code, 78);
    assert!(other.err.contains("s.db does not exist"), "reading makes no file: {}", other.err);
    bench.write("s.db", "");
    let made = bench.run(&["sql", "--store", "sqlite:s.db", "-e", "CREATE TABLE p (a INT, b INT)"]);
    assert_eq!((made.code, made.out.as_str()), (0, "done, 0 rows changed\n"));
    bench.fails(&ls[..4], 78, "table p has columns (a, b); wanted (topic, id, record)");
    bench.fails(&["sql", "--store", "sqlite:s.db", "-e", "SELEC 1"], 78, "syntax error");
    bench.fails(&["status", "--store", "sqlite:text.db"], 78, "is not an SQLite database");
}

#[test]
fn a_password_in_an_argument_is_refused() {
    let bench = Bench::new();
    bench.pipeline("");
    let url = "mysql://root:hunter2@127.0.0.1:1/d";
    for args in [
        &["run", "p.json", "--extractor", "/bin/echo", "--store", url][..],
        &["sql", "--store", url, "-e", "SELECT 1"],
        &["status", "--store", url],
    ] {
        let done = bench.run(args);
        check_failure(&done, args, 64, "--store must not have a password");
        assert!(done.err.contains("\nhint: set S2X_STORE to the address"), "{}", done.err);
        assert!(!done.err.contains("hunter2"), "{}", done.err);
    }
    // By environment and by file it is taken, and shown nowhere.
    let sql = ["sql", "-e", "SELECT 1"];
    let by_environment = done(bench.command(&sql).env("S2X_STORE", url));
    check_failure(&by_environment, &sql, 75, "127.0.0.1:1");
    assert!(!by_environment.err.contains("hunter2"), "{}", by_environment.err);
    let args = [
        "sql",
        "-e",
        "SELECT 1",
        "--store",
        "mysql://root@127.0.0.1:1/d",
        "--store-password-file",
        "pw",
    ];
    bench.fails(&args, 78, "read the password file pw: No such file");
    bench.write("pw", "hunter2\n");
    bench.fails(&args, 75, "127.0.0.1:1");
}

#[test]
fn a_store_can_be_full_or_read_only() {
    let bench = Bench::new();
    bench.pipeline("");
    let store = "sqlite:/proc/s2x.db";
    let args = ["run", "p.json", "--extractor", "/bin/echo", "--store", store];
    let done = bench.run(&args);
    assert!([71, 78].contains(&done.code), "{}: {}", done.code, done.err);
    check_failure(&done, &args, done.code, "/proc");
}

#[test]
fn statements_answer_with_tables_and_json() {
    let bench = Bench::new();
    bench.write("s.db", "");
    let store = ["sql", "--store", "sqlite:s.db", "-e"];
    let sql = |more: &[&'static str]| bench.run(&[&store[..], more].concat());
    sql(&["CREATE TABLE t (a INT, b TEXT)"]);
    let inserted = sql(&["INSERT INTO t VALUES (1, 'x'), (20, NULL)"]);
    assert_eq!(inserted.out, "done, 2 rows changed\n");
    let table = sql(&["SELECT * FROM t ORDER BY a"]);
    assert_eq!(table.out, " a  b\n--  ----\n 1  x\n20  NULL\n");
    assert_eq!(table.err, "");
    let json = sql(&["SELECT * FROM t ORDER BY a", "--json"]);
    assert_eq!(json.out, "{\"a\":1,\"b\":\"x\"}\n{\"a\":20,\"b\":null}\n");
    let two = sql(&["SELECT 1 AS n", "-e", "SELECT 2 AS n"]);
    assert_eq!(two.out, "n\n-\n1\nn\n-\n2\n");
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let bench = Bench::new();
    bench.write("s.db", "");
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) \
                SELECT i, 'some text to fill the pipe' AS t FROM n";
    let mut command = bench.command(&["sql", "--store", "sqlite:s.db", "--json", "-e", many]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "{\"i\":1,\"t\":\"some text to fill the pipe\"}\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn ddl_is_that_of_the_store() {
    let bench = Bench::new();
    let text = bench.run(&["ddl", "--dialect", "singlestore", "orders"]);
    assert_eq!(text.code, 0);
    assert!(text.out.starts_with("CREATE TABLE `orders` (\n`topic` TEXT"), "{}", text.out);
    assert!(text.out.contains("SHARD KEY ()"));
    let text = bench.run(&["ddl", "--dialect", "sqlite", "o\"x"]);
    assert!(text.out.starts_with("CREATE TABLE \"o\"\"x\" ("), "{}", text.out);
}

#[test]
fn completions_know_the_commands() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = bench.run(&["completions", shell]);
        assert_eq!(text.code, 0);
        for word in [
            "harness",
            "completions",
            "offsets",
            "until-caught-up",
            "set-offsets",
            "set-leaves",
            "reset-incarnation",
        ] {
            assert!(text.out.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_one() {
    let Some(peer) = peer("an_unknown_key_is_named_with_the_nearest_one") else { return };
    let bench = Bench::new();
    for (key, nearest) in [("test.sead", "test.seed"), ("batch.row", "batch.rows")] {
        bench.pipeline(&format!(r#", "{key}": 1"#));
        let args = ["run", "p.json", "--extractor", &peer];
        let done = bench.run(&args);
        check_failure(&done, &args, 78, key);
        assert!(done.err.contains(nearest), "{}", done.err);
    }
}

/// E12: a secret of the pipeline is in no byte of the database, whatever became of the run.
#[test]
fn e12_no_secret_reaches_the_database() {
    let Some(peer) = peer("e12_no_secret_reaches_the_database") else { return };
    let bench = Bench::new();
    bench.pipeline(r#", "test.password": "canary-4711""#);
    let done = bench.run(&["run", "p.json", "--extractor", &peer]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(!done.err.contains("canary-4711"), "{}", done.err);
    let files = ["s.db", "s.db-wal"].map(|name| bench.folder.path().join(name));
    let stored: Vec<u8> =
        files.iter().flat_map(|it| std::fs::read(it).unwrap_or_default()).collect();
    assert!(stored.windows(8).any(|piece| piece == b"test.pas"), "the configuration is there");
    assert!(!stored.windows(11).any(|piece| piece == b"canary-4711"), "and its secret is not");
}

#[test]
fn a_run_as_json_and_what_the_catalogue_knows_then() {
    let Some(peer) = peer("a_run_as_json_and_what_the_catalogue_knows_then") else { return };
    let bench = Bench::new();
    bench.pipeline(r#", "db.password": "hunter2""#);
    let args = ["run", "p.json", "--extractor", &peer, "--until-caught-up", "--json"];
    // The test source does not know the key; the error must not show its value.
    let done = bench.run(&args);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(!done.err.contains("hunter2") && !done.out.contains("hunter2"));
    let last = done.json().pop().unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&Value::from("failed"), &Value::from(78)));

    bench.pipeline("");
    let done = bench.run(&args);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.err, "", "with --json nothing but errors goes to stderr");
    let events = done.json();
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events[0]["store"], "sqlite:s.db");
    let committed: u64 = events
        .iter()
        .filter(|event| event["event"] == "committed")
        .map(|event| event["rows"].as_u64().unwrap())
        .sum();
    assert_eq!(committed, 600);
    let summary = events.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["rows"], 600);
    assert_eq!(summary["caught_up"], true);
    assert!(summary["extractor_peak_bytes"].as_u64().unwrap() > 0);

    let store = ["--store", "sqlite:s.db", "--json"];
    let ask = |args: &[&'static str]| bench.run(&[args, &store[..]].concat()).json();
    let status = ask(&["status", "p"]);
    assert_eq!(status.len(), 1);
    assert_eq!((&status[0]["state"], &status[0]["rows"]), (&"Stopped".into(), &600.into()));
    assert_eq!(status[0]["config"]["test.splits"], 3);
    let offsets = ask(&["offsets", "p"]);
    assert_eq!(offsets.len(), 3);
    assert!(offsets.iter().all(|split| split["value"]["row"] == 200), "{offsets:?}");
    let batches = ask(&["batches", "p", "-n", "2"]);
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0]["state"], "Succeeded");
    assert!(ask(&["errors", "p"]).is_empty());
    assert_eq!(ask(&["sql", "-e", "SELECT COUNT(DISTINCT id) AS n FROM p"])[0]["n"], 600);

    bench.fails(
        &["status", "q", "--store", "sqlite:s.db"],
        78,
        "no pipeline q in sqlite:s.db; there are: p",
    );
    let dropped = bench.run(&["drop", "p", "--store", "sqlite:s.db"]);
    assert_eq!(
        dropped.out,
        "dropped p and its offsets; the table p keeps its rows: the next run of a pipeline of this name \
         reads from the start and adds to them\n"
    );
    bench.fails(&["offsets", "p", "--store", "sqlite:s.db"], 78, "there are none");
    assert_eq!(ask(&["sql", "-e", "SELECT COUNT(*) AS n FROM p"])[0]["n"], 600);
}

#[test]
fn plain_lines_and_quiet() {
    let Some(peer) = peer("plain_lines_and_quiet") else { return };
    let bench = Bench::new();
    bench.pipeline("");
    let args = ["run", "p.json", "--extractor", &peer, "--until-caught-up"];
    let done = bench.run(&args);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.starts_with("p: 600 rows, "), "{}", done.out);
    assert!(done.err.contains("p: into the table p of sqlite:s.db\n"), "{}", done.err);
    assert!(done.err.contains("p: 600 rows, "), "the last line of progress: {}", done.err);
    assert!(!done.err.contains('\u{1b}'), "{:?}", done.err);
    // All is read: another run adds nothing, and says nothing when asked to be quiet.
    let again = bench.run(&[&args[..], &["--quiet"]].concat());
    assert_eq!((again.code, again.out.as_str(), again.err.as_str()), (0, "", ""));
    let started = bench.run(&[&args[..], &["--quiet", "--start", "earliest"]].concat());
    let told = "pipeline \"p\" already has offsets; start is not used";
    assert!(started.code == 0 && started.err.contains(told), "{}", started.err);
    let rows = bench.run(&["sql", "--store", "sqlite:s.db", "-e", "SELECT COUNT(*) AS n FROM p"]);
    assert_eq!(rows.out, "  n\n---\n600\n");
}

#[test]
fn error_rows_stop_or_are_skipped() {
    let Some(peer) = peer("error_rows_stop_or_are_skipped") else { return };
    let bench = Bench::new();
    bench.pipeline(r#", "test.error.every": 100"#);
    let args = ["run", "p.json", "--extractor", &peer, "--until-caught-up"];
    bench.fails(&args, 65, "");
    let done = bench.run(&[&args[..], &["--on-error", "skip"]].concat());
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains(" error rows"), "{}", done.out);
    let store = ["--store", "sqlite:s.db", "--json"];
    let errors = bench.run(&[&["errors", "p"][..], &store].concat()).json();
    let skipped: Vec<&Value> = errors.iter().filter(|error| error["kind"] == "Transform").collect();
    assert_eq!(skipped.len(), 6, "{errors:?}");
    assert!(skipped.iter().all(|error| error["code"] == "DECODE_FAILED"), "{errors:?}");
    let rows =
        bench.run(&[&["sql", "-e", "SELECT COUNT(*) AS n FROM p"][..], &store].concat()).json();
    assert_eq!(rows[0]["n"], 594);
}

/// Starts a slow run, waits until something is committed, and sends `signals`.
fn interrupted(bench: &Bench, peer: &str, signals: &[&str]) -> (i32, Vec<Value>) {
    let args = ["run", "p.json", "--extractor", peer, "--json"];
    let mut child =
        bench.command(&args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut events: Vec<Value> = Vec::new();
    for line in lines.by_ref() {
        events.push(serde_json::from_str(&line).unwrap());
        let is_committed = events.last().unwrap()["event"] == "committed";
        if is_committed {
            break;
        }
    }
    for signal in signals {
        let pid = child.id().to_string();
        let sent = Command::new("/bin/kill").args([*signal, pid.as_str()]).status().unwrap();
        assert!(sent.success());
        // The answer to the first one is read before the next is sent.
        for line in lines.by_ref() {
            events.push(serde_json::from_str(&line).unwrap());
            if events.last().unwrap()["event"] == "note" {
                break;
            }
        }
    }
    events.extend(lines.map(|line| serde_json::from_str::<Value>(&line).unwrap()));
    (child.wait().unwrap().code().unwrap_or(-1), events)
}

#[test]
fn the_first_signal_drains_and_the_second_ends_at_once() {
    let Some(peer) = peer("the_first_signal_drains_and_the_second_ends_at_once") else { return };
    if !PathBuf::from("/bin/kill").exists() {
        writeln!(std::io::stderr().lock(), "skipped: there is no /bin/kill").unwrap();
        return;
    }
    let bench = Bench::new();
    bench.pipeline(r#", "test.throttle.ms": 20, "batch.interval.ms": 100"#);
    let (code, events) = interrupted(&bench, &peer, &["-INT"]);
    assert_eq!(code, 0, "{events:?}");
    let summary = events.last().unwrap();
    assert_eq!(summary["event"], "summary", "{events:?}");
    let count = bench.run(&[
        "sql",
        "--store",
        "sqlite:s.db",
        "--json",
        "-e",
        "SELECT COUNT(*) AS n FROM p",
    ]);
    assert_eq!(count.json()[0]["n"], summary["rows"], "what was committed is there");

    let bench = Bench::new();
    bench.pipeline(r#", "test.stall.at": 100, "test.stall.ms": 60000"#);
    let (code, events) = interrupted(&bench, &peer, &["-TERM", "-TERM"]);
    assert_eq!(code, 130, "{events:?}");
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"failed".into(), &130.into()), "{events:?}");
}

#[test]
fn offsets_are_set_by_hand() {
    let Some(peer) = peer("offsets_are_set_by_hand") else { return };
    let bench = Bench::new();
    bench.pipeline("");
    let run = ["run", "p.json", "--extractor", &peer, "--until-caught-up", "--quiet"];
    assert_eq!(bench.run(&run).code, 0);
    let store = ["--store", "sqlite:s.db"];
    let set = |more: &[&'static str]| [&["set-offsets", "p"], &store[..], more].concat();
    bench.fails(
        &set(&[r#"{"gen":"p7"}"#, r#"{"row":7}"#]),
        78,
        r#"pipeline p has no split {"gen":"p7"}; it has: {"gen":"p0"}, {"gen":"p1"}"#,
    );
    bench.fails(&set(&["--from-file", "none"]), 66, "cannot read the file of offsets none");
    bench.write("bad", "{\"key\":{\"gen\":\"p0\"}}\n");
    bench.fails(&set(&["--from-file", "bad"]), 78, "bad:1: missing field `value`");

    let done = bench.run(&set(&[r#"{ "gen": "p0" }"#, r#"{"row":190}"#]));
    assert_eq!((done.code, done.out.as_str()), (0, "{\"gen\":\"p0\"} {\"row\":190}\n"));
    let count = || {
        let sql = "SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM p";
        let answer = bench.run(&[&["sql", "--json", "-e", sql], &store[..]].concat()).json();
        (answer[0]["n"].as_u64().unwrap(), answer[0]["ids"].as_u64().unwrap())
    };
    assert_eq!(bench.run(&run).code, 0);
    assert_eq!(count(), (610, 600), "the ten rows behind it were read again");

    // What `offsets --json` prints is what `--from-file` reads.
    let offsets = bench.run(&[&["offsets", "p", "--json"], &store[..]].concat());
    bench.write("o.jsonl", &offsets.out.replace("\"row\":200", "\"row\":199"));
    assert_eq!(bench.run(&set(&["--from-file", "o.jsonl"])).code, 0);
    assert_eq!(bench.run(&run).code, 0);
    assert_eq!(count(), (613, 600));
}

#[test]
fn a_source_that_was_created_again_is_taken_on_demand() {
    let Some(peer) = peer("a_source_that_was_created_again_is_taken_on_demand") else { return };
    let bench = Bench::new();
    bench.pipeline("");
    let run = ["run", "p.json", "--extractor", &peer, "--until-caught-up", "--quiet"];
    assert_eq!(bench.run(&run).code, 0);
    // Another seed is another life of the test source.
    bench.pipeline(r#", "test.seed": 7"#);
    bench.fails(&run, 69, "harness set-offsets --reset-incarnation");
    let zero = r#"{"row":0}"#;
    let pairs = [r#"{"gen":"p0"}"#, zero, r#"{"gen":"p1"}"#, zero, r#"{"gen":"p2"}"#, zero];
    let set = [&["set-offsets", "p", "--store", "sqlite:s.db"], &pairs[..]].concat();
    assert_eq!(bench.run(&set).code, 0);
    bench.fails(&run, 69, "was deleted and created again");
    assert_eq!(bench.run(&[&set[..], &["--reset-incarnation"]].concat()).code, 0);
    let done = bench.run(&run);
    assert_eq!(done.code, 0, "{}", done.err);
    let sql = ["sql", "--store", "sqlite:s.db", "-e", "SELECT COUNT(DISTINCT record) AS n FROM p"];
    assert_eq!(bench.run(&sql).out, "   n\n----\n1200\n");
}

#[test]
fn leaves_are_changed_on_purpose() {
    let Some(peer) = peer("leaves_are_changed_on_purpose") else { return };
    let bench = Bench::new();
    bench.pipeline("");
    let run = ["run", "p.json", "--extractor", &peer, "--until-caught-up", "--quiet"];
    assert_eq!(bench.run(&run).code, 0);
    let three = [&run[..], &["--leaves", "3"]].concat();
    bench.fails(&three, 78, "harness set-leaves p 3");
    let done = bench.run(&["set-leaves", "p", "3", "--store", "sqlite:s.db"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.starts_with("p is shared by 3 leaves now, before 1; "), "{}", done.out);
    assert_eq!(bench.run(&three).code, 0);
    bench.fails(&run, 78, "harness set-leaves p 1");
}

#[test]
fn a_row_that_the_database_refuses_is_named_with_its_place_and_a_way_past_it() {
    let test = "a_row_that_the_database_refuses_is_named_with_its_place_and_a_way_past_it";
    let Some(peer) = peer(test) else { return };
    let bench = Bench::new();
    bench.pipeline("");
    bench.write("s.db", "");
    let store = ["--store", "sqlite:s.db"];
    let table = "CREATE TABLE p (topic TEXT, id TEXT CHECK (id NOT LIKE '%p1%row\":7}'), \
                 record TEXT)";
    assert_eq!(bench.run(&[&["sql", "-e", table], &store[..]].concat()).code, 0);
    let run = ["run", "p.json", "--extractor", &peer, "--until-caught-up"];
    let done = bench.run(&run);
    check_failure(
        &done,
        &run,
        65,
        r#"the row with id {"gen":"p1","row":7} of topic test, number 8 "#,
    );
    for text in [
        r#"of those that split {"gen":"p1"} gave from {"row":0} to {"row":"#,
        "--batch-rows 1",
        "harness set-offsets",
        "put aside into the errors table with --on-error skip (errors.tolerance=all)",
    ] {
        assert!(done.err.contains(text), "wanted {text:?} in {}", done.err);
    }
    // What the message says is what helps.
    let stepped = bench.run(&[&run[..], &["--batch-rows", "1"]].concat());
    check_failure(
        &stepped,
        &run,
        65,
        r#"number 1 of those that split {"gen":"p1"} gave from {"row":7}"#,
    );
    let set = ["set-offsets", "p", r#"{"gen":"p1"}"#, r#"{"row":8}"#];
    assert_eq!(bench.run(&[&set[..], &store[..]].concat()).code, 0);
    assert_eq!(bench.run(&run).code, 0);
    let sql = ["sql", "--json", "-e", "SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM p"];
    let counts = &bench.run(&[&sql[..], &store[..]].concat()).json()[0];
    assert_eq!((&counts["n"], &counts["ids"]), (&599.into(), &599.into()));
}

#[test]
fn a_cut_list_says_so_and_offsets_are_not_cut() {
    let Some(peer) = peer("a_cut_list_says_so_and_offsets_are_not_cut") else { return };
    let bench = Bench::new();
    bench.write(
        "p.properties",
        "name=p\nconnector.class=test\nstore=sqlite:s.db\ntest.splits=30\ntest.rows=40\n\
         tasks.max=1\nbatch.rows=30\n",
    );
    let run = ["run", "p.properties", "--extractor", &peer, "--until-caught-up", "--quiet"];
    let done = bench.run(&run);
    assert_eq!(done.code, 0, "{}", done.err);
    let list = |args: &[&str]| bench.run(&[args, &["--store", "sqlite:s.db"]].concat());
    let offsets = list(&["offsets", "p"]);
    assert_eq!((offsets.out.lines().count(), offsets.err.as_str()), (32, ""));
    let few = list(&["offsets", "p", "--json", "-n", "7"]);
    assert_eq!((few.json().len(), few.err.as_str()), (7, "23 more; -n 30 shows all\n"));
    let all = list(&["batches", "p", "-n", "100000", "--json"]);
    assert_eq!(all.err, "");
    let batches = all.json().len();
    assert!(batches > 20, "{batches}");
    let cut = list(&["batches", "p"]);
    assert_eq!(cut.out.lines().count(), 22);
    assert_eq!(cut.err, format!("{} more; -n {batches} shows all\n", batches - 20));
}

#[test]
fn a_run_whose_lines_nobody_reads_ends() {
    let Some(peer) = peer("a_run_whose_lines_nobody_reads_ends") else { return };
    let bench = Bench::new();
    bench.pipeline(r#", "test.throttle.ms": 5, "batch.interval.ms": 100"#);
    let mut command = bench.command(&["run", "p.json", "--extractor", &peer, "--json"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("\"started\""), "{first}");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if std::time::Instant::now() > until {
            child.kill().unwrap();
            panic!("the run goes on without a reader");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
    let state = bench.run(&["status", "p", "--store", "sqlite:s.db", "--json"]).json();
    assert_eq!(state[0]["state"], "Stopped", "it ended in order");
}

#[test]
fn why_a_pipeline_stopped_is_among_its_errors() {
    let Some(peer) = peer("why_a_pipeline_stopped_is_among_its_errors") else { return };
    let bench = Bench::new();
    bench.pipeline(r#", "test.error.every": 100"#);
    bench.fails(&["run", "p.json", "--extractor", &peer, "--until-caught-up"], 65, "");
    let list = |args: &[&str]| bench.run(&[args, &["--store", "sqlite:s.db"]].concat());
    let status = list(&["status", "p", "--json"]).json();
    let reason = status[0]["error"].as_str().unwrap();
    let told = format!("p: stopped by itself: {reason}\n");
    let errors = list(&["errors", "p"]);
    assert!(errors.code == 0 && errors.out.ends_with(&told), "{}", errors.out);
    let errors = list(&["errors", "p", "--json"]);
    assert_eq!((errors.json().len(), errors.err), (0, told));
}

#[test]
fn a_pipeline_file_that_cannot_work_is_told_as_json_too() {
    let bench = Bench::new();
    bench.write(
        "p.json",
        "{\"name\": \"p\", \"connector.class\": \"test\",\n \"stroe\": \"sqlite:s.db\"}",
    );
    let args = ["run", "p.json", "--json"];
    let done = bench.run(&args);
    let text = "p.json: store is missing: did you mean \"store\"? you wrote \"stroe\" in line 2";
    check_failure(&done, &args, 78, text);
    let events = done.json();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0]["event"], &events[0]["exit"]), (&"failed".into(), &78.into()));
    assert_eq!(events[0]["message"], text);
}

#[test]
fn help_fits_its_command_and_numbers_are_in_words() {
    let bench = Bench::new();
    for command in ["batches", "offsets", "errors"] {
        let help = bench.run(&[command, "--help"]).out;
        let examples = help.split("Examples:").nth(1).unwrap();
        let lines: Vec<&str> = examples.lines().filter(|line| line.contains("harness ")).collect();
        assert!(!lines.is_empty(), "{help}");
        assert!(lines.iter().all(|line| line.contains(&format!("harness {command} "))), "{help}");
    }
    assert!(bench.run(&["demo", "--help"]).out.contains("sqlite:s2x-demo.db"));
    let help = bench.run(&["run", "--help"]).out;
    assert!(help.contains("?load=load-data"), "{help}");
    assert!(!help.contains("[:password]"), "no password belongs into an argument: {help}");
    bench.fails(&["run", "p.json", "--batches", "0"], 64, "expected a whole number from 1 on");
    bench.fails(&["batches", "p", "-n", "x"], 64, "expected a whole number from 1 to 1000000");
    bench.fails(&["demo", "--partitions", "900"], 64, "expected a whole number from 1 to 256");
    let hint = |args: &[&str]| bench.run(args).err.lines().nth(1).unwrap_or_default().to_owned();
    assert_eq!(hint(&["run", "p.json", "--tasks", "0"]), "hint: see harness run --help");
    assert!(hint(&["sql"]).ends_with("; see harness sql --help"), "{}", hint(&["sql"]));
    assert!(hint(&["nonsense"]).ends_with("see harness --help"), "{}", hint(&["nonsense"]));
    for statement in ["", " ;\n"] {
        bench.fails(&["sql", "-e", statement], 64, "the statement is empty");
    }
}
