//! Pipeline SQL as a person and a script meet it: scripts through the real binary, with the Python peer as the
//! extractor of the test source, into SQLite, and into MariaDB where there is one.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

#[path = "sql/altered.rs"]
mod altered;
#[path = "sql/hostile.rs"]
mod hostile;
#[path = "sql/lifecycle.rs"]
mod lifecycle;
#[path = "sql/replace.rs"]
mod replace;

/// How long a test waits for what another process does.
const PATIENCE: Duration = Duration::from_secs(60);

struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    fn json(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{}", self.err);
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn fails(&self, code: i32, text: &str) {
        assert_eq!(self.code, code, "{}", self.err);
        assert!(self.err.contains(text), "wanted {text:?} in {}", self.err);
    }
}

struct Bench {
    folder: tempfile::TempDir,
    store: String,
    peer: String,
}

impl Bench {
    /// Nothing, visibly, where there is no Python.
    fn new(test: &str) -> Option<Self> {
        let python = ["/usr/bin/python3", "/usr/local/bin/python3"];
        if !python.iter().any(|path| Path::new(path).exists()) {
            skipped(test, "python3 not found");
            return None;
        }
        let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/peer/extractor");
        let peer = peer.canonicalize().unwrap().display().to_string();
        Some(Self { folder: tempfile::tempdir().unwrap(), store: "sqlite:s.db".to_owned(), peer })
    }

    /// Goes over to a database of its own on the server; the answer is for [`Self::leave_server`].
    fn on_server(&mut self, url: &str) -> (String, String) {
        let database = format!("s2x_sql_{}_{:08x}", std::process::id(), fastrand::u32(..));
        self.store = url.to_owned();
        let sql = format!("CREATE DATABASE {database}");
        assert_eq!(self.harness(&["sql", "-e", &sql]).code, 0);
        self.store = format!("{}/{database}", url.rsplit_once('/').unwrap().0);
        (url.to_owned(), database)
    }

    fn leave_server(&mut self, (url, database): (String, String)) {
        self.store = url;
        let sql = format!("DROP DATABASE {database}");
        assert_eq!(self.harness(&["sql", "-e", &sql]).code, 0);
    }

    /// Files of secrets beside an SQLite store, or below the home.
    fn secret_files(&self) -> Vec<PathBuf> {
        let within = |folder: PathBuf| -> Vec<PathBuf> {
            let files = folder.read_dir();
            files.map_or(Vec::new(), |all| all.map(|file| file.unwrap().path()).collect())
        };
        match self.store.starts_with("sqlite:") {
            true => within(self.folder.path().join("s.db.secrets")),
            false => within(self.folder.path().join(".local/state/s2x/secrets"))
                .into_iter()
                .flat_map(within)
                .collect(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        let store = ["--store", &self.store];
        command.args(args).args(store).current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env_remove("S2X_STORE").env_remove("S2X_SECRETS");
        command.stdin(Stdio::null());
        command
    }

    fn harness(&self, args: &[&str]) -> Done {
        let output = self.command(args).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a script from a file.
    fn script(&self, script: &str, more: &[&str]) -> Done {
        let path = self.folder.path().join("x.sql");
        std::fs::write(&path, script).unwrap();
        self.harness(&[&["sql", "-f", "x.sql", "--extractor", &self.peer], more].concat())
    }

    fn ask(&self, script: &str) -> Vec<Value> {
        self.script(script, &["--json"]).json()
    }

    fn number(&self, sql: &str) -> u64 {
        self.ask(sql)[0]["n"].as_u64().unwrap()
    }

    fn state(&self) -> String {
        self.ask("SHOW PIPELINES")[0]["State"].as_str().unwrap().to_owned()
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < until, "waited for: {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn skipped(test: &str, why: &str) {
    writeln!(std::io::stderr().lock(), "skipped: {test}: {why}").unwrap();
}

const ON: &str = "SET GLOBAL experimental_features_config = \"kafka_connect_enabled=true\";";

fn create(more: &str) -> String {
    format!(
        "{ON}\nCREATE INFERRED PIPELINE p AS LOAD DATA KAFKACONNECT 'test' -- a comment; with a semicolon\n\
         CONFIG '{{\"connector.class\": \"test\", \"test.splits\": 3, \"test.rows\": 200, \"tasks.max\": 2, \
         \"batch.rows\": 50{more}}}' CREDENTIALS '{{}}' FORMAT AVRO;\n"
    )
}

const COUNT: &str = "SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM p";

/// A life of a pipeline, in a store that is empty.
fn live(bench: &Bench) {
    let off = bench.script(&create("").replace(ON, ""), &[]);
    off.fails(78, "Kafka Connect pipelines are off; SET GLOBAL experimental_features_config");
    let made = bench.script(&create(""), &[]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.contains("pipeline p is created, stopped; START PIPELINE p"), "{}", made.out);
    assert_eq!(bench.state(), "Stopped");
    assert_eq!(bench.number(COUNT), 0, "the table is there, and empty");
    bench.script(&create(""), &[]).fails(78, "pipeline p is there already");
    let again = create("").replace("PIPELINE p", "PIPELINE IF NOT EXISTS p");
    assert!(bench.script(&again, &[]).out.contains("stays as it is"));

    // TEST shows what comes first and commits nothing, before and after rows were loaded.
    let first = bench.ask("TEST PIPELINE p LIMIT 3");
    assert_eq!(first.len(), 3);
    assert!(first[0]["topic"].is_string() && first[0]["record"].is_string(), "{first:?}");
    assert_eq!(bench.number(COUNT), 0);
    assert_eq!(bench.number("SELECT COUNT(*) AS n FROM information_schema.PIPELINES_BATCHES"), 0);
    let some = bench.script("START PIPELINE p FOREGROUND LIMIT 2 BATCHES", &[]);
    assert_eq!(some.code, 0, "{}", some.err);
    assert!(some.out.starts_with("p: 100 rows"), "{}", some.out);
    let second = bench.ask("TEST PIPELINE p LIMIT 3");
    assert_ne!(first, second, "it goes on where the pipeline stands");
    assert_eq!(bench.number(COUNT), 100);
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}"));
    assert_eq!((&all[0]["n"], &all[0]["ids"]), (&600.into(), &600.into()));
}

/// What comes after a first life: the documented queries, offsets by hand, another pipeline of the name.
fn live_on(bench: &Bench) {
    let rows = bench.ask(
        "SELECT PIPELINE_NAME, STATE, CONFIG_JSON FROM information_schema.PIPELINES WHERE PIPELINE_NAME = 'p';
         SELECT TASK_ID, COUNT(*) as offset_count FROM information_schema.PIPELINES_SOURCE_OFFSETS
         WHERE PIPELINE_NAME = 'p' GROUP BY TASK_ID ORDER BY TASK_ID;",
    );
    assert_eq!((&rows[0]["PIPELINE_NAME"], &rows[0]["STATE"]), (&"p".into(), &"Stopped".into()));
    let counts: Vec<u64> =
        rows[1..].iter().filter_map(|row| row["offset_count"].as_u64()).collect();
    assert_eq!(counts, [2, 1]);
    let shown = bench.ask("SHOW CREATE PIPELINE p");
    let text = shown[0]["Create Pipeline"].as_str().unwrap();
    assert!(
        text.starts_with("CREATE INFERRED PIPELINE `p`\nAS LOAD DATA KAFKACONNECT 'test'\n"),
        "{text}"
    );

    // By hand to the beginning: everything comes a second time, as asked.
    let altered = bench.script("ALTER PIPELINE p SET OFFSETS EARLIEST", &[]);
    assert!(altered.out.contains("3 offsets are set"), "{} {}", altered.out, altered.err);
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}"));
    assert_eq!((&all[0]["n"], &all[0]["ids"]), (&1200.into(), &600.into()));
    let json = bench.script(
        "ALTER PIPELINE p SET OFFSETS '[{\"key\": {\"gen\": \"p1\"}, \"value\": {\"row\": 190}}]'",
        &[],
    );
    assert!(json.out.contains("1 offset is set"), "{} {}", json.out, json.err);
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}"));
    assert_eq!(all[0]["n"], 1210);

    // OR REPLACE forgets the offsets and keeps the rows.
    let replaced = bench.script(&create("").replace("CREATE INF", "CREATE OR REPLACE INF"), &[]);
    assert_eq!(replaced.code, 0, "{}", replaced.err);
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}"));
    assert_eq!(all[0]["n"], 1810);
    let dropped =
        bench.script("DROP PIPELINE p; DROP PIPELINE IF EXISTS p; SHOW PIPELINES", &["--json"]);
    assert!(dropped.json().is_empty());
    bench.script("START PIPELINE p", &[]).fails(78, "no pipeline p in ");
    assert_eq!(bench.number(COUNT), 1810);
}

#[test]
fn a_pipeline_lives_its_life_in_sqlite() {
    let Some(bench) = Bench::new("a_pipeline_lives_its_life_in_sqlite") else { return };
    live(&bench);
    live_on(&bench);
}

#[test]
fn a_pipeline_lives_its_life_in_mariadb() {
    const NAME: &str = "a_pipeline_lives_its_life_in_mariadb";
    let Some(mut bench) = Bench::new(NAME) else { return };
    let Ok(url) = std::env::var("MARIADB_URL") else {
        return skipped(NAME, "MARIADB_URL is not set");
    };
    let server = bench.on_server(&url);
    live(&bench);
    live_on(&bench);
    // The functions, as the documentation's queries use them.
    let rows = bench.harness(&["sql", "--create-functions", "--json", "-e", FUNCTIONS]).json();
    check_functions(&rows[0]);
    bench.leave_server(server);
}

const FUNCTIONS: &str = "SELECT JSON_EXTRACT_STRING('{\"a\":\"x\"}', 'a') AS s, \
     JSON_EXTRACT_STRING('{\"a\":null}', 'a') AS n, JSON_EXTRACT_STRING('no json', 'a') AS bad, \
     JSON_EXTRACT_BIGINT('{\"a\":1775700271554}', 'a') AS i, JSON_EXTRACT_BIGINT('{\"a\":\"7\"}', 'a') AS t, \
     JSON_EXTRACT_BIGINT(FROM_BASE64(JSON_EXTRACT_STRING('{\"data\":\"eyJzZXEiOjQsIm1zZyI6ImZvdXJ0aCJ9\"}', \
     'data')), 'seq') AS seq, JSON_EXTRACT_STRING(FROM_BASE64('eyJzZXEiOjQsIm1zZyI6ImZvdXJ0aCJ9'), 'msg') AS msg";

fn check_functions(row: &Value) {
    let wanted = serde_json::json!({
        "s": "x", "n": null, "bad": null, "i": 1_775_700_271_554_u64, "t": null, "seq": 4, "msg": "fourth"
    });
    assert_eq!(*row, wanted);
}

#[test]
fn functions_are_there_in_sqlite() {
    let Some(bench) = Bench::new("functions_are_there_in_sqlite") else { return };
    std::fs::write(bench.folder.path().join("s.db"), "").unwrap();
    check_functions(&bench.ask(FUNCTIONS)[0]);
}

#[test]
fn variables_are_kept_and_shown() {
    let Some(bench) = Bench::new("variables_are_kept_and_shown") else { return };
    assert_eq!(bench.script(ON, &[]).code, 0, "a variable makes the store");
    let shown = bench.script("SHOW VARIABLES LIKE 'experimental_features_config'", &["--json"]);
    assert_eq!(
        shown.out,
        "{\"Value\":\"kafka_connect_enabled=true\",\"Variable_name\":\"experimental_features_config\"}\n"
    );
    let set = bench.script(
        "SET GLOBAL pipelines_extractor_batch_size = 10000;
         SET GLOBAL pipelines_extractor_max_batch_interval_ms = 1000; SET GLOBAL pipelines_kafka_version = '3'",
        &[],
    );
    assert!(
        set.out.contains("pipelines_kafka_version is 3, which nothing here reads"),
        "{}",
        set.out
    );
    assert_eq!(bench.ask("SHOW VARIABLES LIKE 'pipelines%'").len(), 12);
    assert!(bench.ask("SHOW VARIABLES LIKE 'max%'").is_empty());
    let wrong = bench.script("SELECT 1;\nSET GLOBAL pipelines_stop_on_eror = ON", &[]);
    wrong.fails(
        78,
        "error: x.sql: line 2, column 12: there is no variable pipelines_stop_on_eror; \
         did you mean pipelines_stop_on_error?\n  2 | SET GLOBAL pipelines_stop_on_eror = ON\n    |            ^",
    );
    assert_eq!(wrong.out, "1\n-\n1\n", "what stands before is done");
    bench.script("CREATE PIPELIN p", &[]).fails(78, "; did you mean PIPELINE?");
    bench.script("CREATE INFERED PIPELINE p", &[]).fails(78, "; did you mean INFERRED?");
}

#[test]
fn e12_secrets_of_sql_reach_no_database_and_go_with_their_pipeline() {
    let Some(bench) = Bench::new("e12_secrets_of_sql_reach_no_database_and_go_with_their_pipeline")
    else {
        return;
    };
    let canary = "canary-6f1e0d9c";
    let script = create(&format!(", \"test.password\": \"{canary}\""))
        .replace("CREATE INF", "CREATE OR REPLACE INF");
    // The source does not know the key: nothing is made, nothing is left, and nothing is shown.
    let refused = bench.script(&script, &[]);
    refused.fails(78, "unknown key \"test.password\"");
    let files = || bench.secret_files();
    assert!(files().is_empty(), "{:?}", files());
    assert!(!refused.err.contains(canary) && !refused.out.contains(canary));

    let script = create("").replace("'{}'", &format!("'{{\"test.password\": \"{canary}\"}}'"));
    let made = bench.script(&script, &[]);
    assert_eq!(made.code, 0, "{}", made.err);
    let kept = files();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let all = bench.script(
        "START PIPELINE p FOREGROUND; SHOW CREATE PIPELINE p; SELECT * FROM information_schema.PIPELINES;
         SELECT * FROM s2x_pipelines",
        &[],
    );
    assert_eq!(all.code, 0, "{}", all.err);
    for text in [&made.out, &made.err, &all.out, &all.err] {
        assert!(!text.contains(canary), "{text}");
    }
    for file in bench.folder.path().read_dir().unwrap() {
        let path = file.unwrap().path();
        if path.is_file() && path.file_name().unwrap() != "x.sql" {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
    // `harness drop` takes them along as DROP PIPELINE does.
    assert_eq!(bench.harness(&["drop", "p"]).code, 0);
    assert!(files().is_empty());
}

/// Whatever is done in a copy of a store, the original keeps its secrets.
#[test]
fn a_copy_of_a_store_leaves_the_secrets_of_the_original() {
    const NAME: &str = "a_copy_of_a_store_leaves_the_secrets_of_the_original";
    let Some(mut bench) = Bench::new(NAME) else { return };
    let script = create("").replace("'{}'", "'{\"a\": \"canary-5521\"}'");
    assert_eq!(bench.script(&script, &[]).code, 0);
    let kept = bench.secret_files();
    assert_eq!(kept.len(), 1);
    let path = |name: &str| bench.folder.path().join(name);
    for name in ["one.db", "two.db", "three.db"] {
        std::fs::copy(path("s.db"), path(name)).unwrap();
    }
    let told = format!("the file of secrets {} stays", kept[0].display());
    let replace = script.replace("CREATE INF", "CREATE OR REPLACE INF");
    let alter = "ALTER PIPELINE p SET CREDENTIALS ::a = 'canary-5522'".to_owned();
    for (name, script) in
        [("one", "DROP PIPELINE p".to_owned()), ("two", replace), ("three", alter)]
    {
        bench.store = format!("sqlite:{name}.db");
        let done = bench.script(&script, &[]);
        assert_eq!(done.code, 0, "{name}: {}", done.err);
        assert!(done.err.contains(&told), "{name}: {}", done.err);
        // The next opening tidies up, and leaves it too.
        bench.ask("SHOW PIPELINES");
        assert!(kept[0].exists(), "{name}");
    }
    bench.store = "sqlite:s.db".to_owned();
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}"));
    assert_eq!(all[0]["n"], 600);
    assert_eq!(bench.script("DROP PIPELINE p", &[]).code, 0);
    assert!(!kept[0].exists());
}

/// A pipeline whose source has more than the test reads.
fn endless() -> String {
    create("").replace("\"test.rows\": 200", "\"test.rows\": 100000000")
}

#[test]
fn background_runs_go_on_beside_the_statements() {
    let Some(bench) = Bench::new("background_runs_go_on_beside_the_statements") else { return };
    let script = format!("{}START PIPELINE p;", create(""));
    let done = bench.script(&format!("{script}{COUNT}"), &["--until-caught-up"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(bench.number(COUNT), 600);
    let states = bench.ask("START PIPELINE p; SHOW PIPELINES; STOP PIPELINE p; SHOW PIPELINES");
    let states: Vec<&str> = states.iter().filter_map(|row| row["State"].as_str()).collect();
    assert_eq!(states, ["Running", "Stopped"]);
    bench
        .script("STOP PIPELINE p", &[])
        .fails(78, "pipeline p is not running, its state is Stopped");
    assert_eq!(bench.script("STOP PIPELINE IF RUNNING p", &[]).code, 0);
    // A statement that fails ends what was started, in order.
    bench.script("START PIPELINE p; SELEC 1", &[]).fails(78, "syntax error");
    assert_eq!(bench.state(), "Stopped");
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_pipeline_is_stopped_from_elsewhere() {
    let Some(bench) = Bench::new("a_pipeline_is_stopped_from_elsewhere") else { return };
    assert_eq!(bench.script(&endless(), &[]).code, 0);
    let args = ["sql", "-e", "START PIPELINE p", "--extractor", &bench.peer];
    let mut command = bench.command(&args);
    let mut run = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    bench.wait_until("rows", || bench.number(COUNT) > 0);
    assert_eq!(bench.state(), "Running");
    bench.script("START PIPELINE p", &[]).fails(78, "pipeline p is running already");
    assert_eq!(bench.script("START PIPELINE IF NOT RUNNING p", &[]).code, 0);
    let stopped = bench.script("STOP PIPELINE p", &[]);
    assert!(stopped.out.contains("a process that runs it ends within seconds"), "{}", stopped.out);
    let mut code = None;
    let until = Instant::now() + PATIENCE;
    while code.is_none() && Instant::now() < until {
        code = run.0.try_wait().unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(code.and_then(|status| status.code()), Some(0));
    let counts = &bench.ask(COUNT)[0];
    assert_eq!(counts["n"], counts["ids"], "each row once");
    assert_eq!(bench.state(), "Stopped");
}

#[test]
fn files_and_sql_do_not_mix() {
    let Some(bench) = Bench::new("files_and_sql_do_not_mix") else { return };
    assert_eq!(bench.script(&create(""), &[]).code, 0);
    let file = |name: &str| {
        let text = format!(
            r#"{{"name": "{name}", "connector.class": "test", "test.rows": 10, "table": "p"}}"#
        );
        std::fs::write(bench.folder.path().join("p.json"), text).unwrap();
        bench.harness(&["run", "p.json", "--extractor", &bench.peer, "--until-caught-up"])
    };
    file("p").fails(78, "pipeline \"p\" was created by SQL");
    assert_eq!(file("q").code, 0);
    bench
        .script("START PIPELINE q", &[])
        .fails(78, "pipeline q was created by harness run from a file");
}

#[test]
fn nothing_is_made_for_a_pipeline_that_cannot_work() {
    let Some(bench) = Bench::new("nothing_is_made_for_a_pipeline_that_cannot_work") else { return };
    bench.script(&create(", \"test.rowz\": 3"), &[]).fails(78, "unknown key \"test.rowz\"");
    bench
        .script(&create(", \"batch.bytes\": 3"), &[])
        .fails(78, "batch.bytes: expected a whole number from");
    let named = create("").replace("INFERRED ", "").replace("CREDENTIALS '{}'", "INTO TABLE t");
    bench
        .script(&named, &[])
        .fails(78, "there is no table t; create it first, or use CREATE INFERRED PIPELINE");
    assert!(bench.ask("SHOW PIPELINES").is_empty());
    bench.script("SELECT * FROM p", &[]).fails(78, "no such table: p");
    // FORCE makes it in spite of what the source says.
    let forced = create(", \"test.rowz\": 3").replace("PIPELINE p", "PIPELINE p FORCE");
    let done = bench.script(&forced, &[]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("p is created in spite of that"), "{}", done.err);
    bench.script("START PIPELINE p", &[]).fails(78, "unknown key \"test.rowz\"");
    let infer = bench.ask("INFER PIPELINE AS LOAD DATA KAFKACONNECT 'x' CONFIG '{\"a.password\":\"pw-pw\"}' FORMAT AVRO");
    let text = infer[0]["Inferred"].as_str().unwrap();
    assert!(
        text.contains("CREATE TABLE \"infer_example_table\" (") && !text.contains("pw-pw"),
        "{text}"
    );
    assert!(
        text.contains(";\nCREATE PIPELINE `infer_example_pipeline`\nAS LOAD DATA KAFKACONNECT 'x'"),
        "{text}"
    );
}
