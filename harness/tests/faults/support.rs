//! What the fault tests share: a pipeline in a folder of its own, the real binaries, their
//! processes, and the look into the store afterwards.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use harness::store::{Cell, StoreUrl, connect};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use xtask::double::Double;
use xtask::kafka::Client;
use xtask::services::{Extra, Name, Services};

/// Longest time that any of these runs may take.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(240);

/// The extractor binary, built once.
pub(crate) fn extractor() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let harness = Path::new(env!("CARGO_BIN_EXE_harness"));
        let built = harness.with_file_name("extractor");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "extractor", "--bin", "extractor"]);
        if harness.components().any(|part| part.as_os_str() == "release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the extractor does not build");
        built
    })
}

/// The seed of a random test, printed so that it can be given again.
pub(crate) fn seed(test: &str) -> u64 {
    let seed = match std::env::var("SEED") {
        Ok(text) => text.parse().expect("SEED is a number"),
        Err(_) => u64::from(std::process::id()) << 20 ^ fastrand::u64(..) >> 40,
    };
    say(&format!("{test}: SEED={seed}"));
    seed
}

/// A real server that a test needs; prints why the test is skipped when it is not there.
pub(crate) fn need(variable: &str, test: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        say(&format!("skipped: {test}: {variable} is not set"));
    }
    value
}

/// Writes a line past the test runner, which swallows what the print macros write.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}

/// Real services of one test alone, for tests that stop and kill them.
pub(crate) struct Own {
    pub(crate) services: Services,
    path: PathBuf,
}

impl Own {
    pub(crate) fn start(test: &str, name: Name) -> Option<Self> {
        Self::with(test, name, &Extra::default())
    }

    /// With settings of its own.
    pub(crate) fn with(test: &str, name: Name, extra: &Extra) -> Option<Self> {
        let real = std::env::var("S2X_REAL").is_ok_and(|value| value == "1");
        let reason = if real { name.unavailable() } else { Some("S2X_REAL is not 1".to_owned()) };
        if let Some(reason) = reason {
            say(&format!("skipped: {test}: {reason}"));
            return None;
        }
        let path = std::env::temp_dir().join(format!("faults-{test}-{}", std::process::id()));
        let own = Self { services: Services::open(Some(&path)).unwrap(), path };
        own.services.up(&[name], extra).unwrap();
        Some(own)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.services.down().unwrap();
        fs::remove_dir_all(&self.path).unwrap();
    }
}

/// A topic of `rows` committed records with numbers as keys over four partitions, and aborted
/// ones between them. Gives the ids of the committed ones.
pub(crate) fn produce(bootstrap: &str, topic: &str, rows: u64) -> Vec<String> {
    let repeat = rows / 100;
    let pattern = "pattern=c100,a30 partition=rr:4 key=seq";
    for attempt in 1.. {
        let mut client = Client::start(bootstrap).unwrap();
        client.call(&format!("topic-create {topic} partitions=4")).unwrap();
        match client.call(&format!("txn {topic} {pattern} repeat={repeat}")) {
            Ok(_) => break,
            // The broker now and then refuses a transaction of a producer that did nothing wrong.
            Err(error) => assert!(
                attempt < 3 && format!("{error:#}").contains("InvalidTxnState"),
                "{error:#}"
            ),
        }
        client.call(&format!("topic-delete {topic}")).unwrap();
    }
    (0..repeat * 130).filter(|n| n % 130 < 100).map(|n| format!("\"k-{n}\"")).collect()
}

/// Configuration of a pipeline that reads a topic.
pub(crate) fn kafka(bootstrap: &str, topic: &str) -> Value {
    json!({
        "connector.class": "kafka",
        "bootstrap.servers": bootstrap,
        "topics": topic,
        "tasks.max": 2,
    })
}

/// A database on the MariaDB server of the test run, empty; dropped at the end.
pub(crate) struct Database {
    pub(crate) url: String,
    server: String,
    name: String,
}

impl Database {
    pub(crate) fn new(test: &str) -> Option<Self> {
        let server = need("MARIADB_URL", test)?;
        let name = format!("t_{}_{:08x}", std::process::id(), fastrand::u32(..));
        let (base, _) = server.rsplit_once('/').expect("MARIADB_URL names a database");
        let url = format!("{base}/{name}");
        let database = Self { url, server, name };
        database.admin(&format!("CREATE DATABASE `{}`", database.name));
        Some(database)
    }

    fn admin(&self, sql: &str) {
        let url: StoreUrl = self.server.parse().unwrap();
        connect(&url).unwrap().run(sql).unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.admin(&format!("DROP DATABASE `{}`", self.name));
        }
    }
}

/// What stands in for SingleStore, with its rows in a folder of its own.
pub(crate) struct Stand {
    pub(crate) double: Double,
    _folder: tempfile::TempDir,
}

impl Stand {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let double = Double::start(&folder.path().join("double.db")).unwrap();
        Self { double, _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        self.double.url("?compress=lz4")
    }
}

/// A pipeline in a folder of its own.
pub(crate) struct Pipeline {
    dir: tempfile::TempDir,
    pub(crate) name: String,
    pub(crate) store: String,
    /// A copy of the extractor under a name that nobody else uses: what still runs under it is
    /// ours.
    pub(crate) extractor: PathBuf,
    runs: std::cell::Cell<u32>,
}

impl Pipeline {
    /// A pipeline whose configuration is `config`; `store` `None` is a SQLite file.
    pub(crate) fn new(name: &str, store: Option<&str>, config: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join(format!("extractor-{:08x}", fastrand::u32(..)));
        fs::hard_link(extractor(), &copy)
            .or_else(|_| fs::copy(extractor(), &copy).map(|_| ()))
            .unwrap();
        let sqlite = format!("sqlite:{}", dir.path().join("store.db").display());
        let pipeline = Self {
            store: store.map_or(sqlite, ToOwned::to_owned),
            dir,
            name: name.to_owned(),
            extractor: copy,
            runs: std::cell::Cell::new(0),
        };
        pipeline.configure(config);
        pipeline
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&self, config: &Value) {
        let file = json!({ "name": self.name, "config": config });
        fs::write(self.file(), file.to_string()).unwrap();
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("pipeline.json")
    }

    /// Starts `harness run` with more arguments.
    pub(crate) fn start(&self, args: &[&str]) -> Run {
        self.runs.set(self.runs.get() + 1);
        let log = self.dir.path().join(format!("run-{}.log", self.runs.get()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command
            .arg("run")
            .arg(self.file())
            .args(["--store", &self.store, "--extractor"])
            .arg(&self.extractor)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        Run { child: command.spawn().unwrap(), log }
    }

    /// Starts `harness sql` with these statements and more arguments.
    pub(crate) fn start_sql(&self, statements: &str, args: &[&str]) -> Run {
        self.start_sql_by(&[], statements, args)
    }

    /// The same, started by another program, which is given with its arguments and becomes the harness.
    pub(crate) fn start_sql_by(&self, by: &[String], statements: &str, args: &[&str]) -> Run {
        self.runs.set(self.runs.get() + 1);
        let log = self.dir.path().join(format!("run-{}.log", self.runs.get()));
        let harness = env!("CARGO_BIN_EXE_harness").to_owned();
        let mut words = by.iter().chain([&harness]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(["sql", "-e", statements, "--store", &self.store, "--extractor"])
            .arg(&self.extractor)
            .args(args)
            .env("S2X_SECRETS", self.dir.path().join("secrets"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        Run { child: command.spawn().unwrap(), log }
    }

    /// Starts `harness serve`, and waits until it listens.
    pub(crate) fn serve(&self) -> (Run, mysql::Conn) {
        self.runs.set(self.runs.get() + 1);
        let log = self.dir.path().join(format!("run-{}.log", self.runs.get()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--store", &self.store, "--extractor"])
            .arg(&self.extractor)
            .env("S2X_SECRETS", self.dir.path().join("secrets"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let run = Run { child, log };
        let port =
            first.strip_prefix("listening on 127.0.0.1:").and_then(|it| it.split(',').next());
        let port = port.and_then(|it| it.parse().ok());
        let options = mysql::OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(port.unwrap_or_else(|| panic!("it does not listen: {}", run.log())))
            .user(Some("root"))
            .prefer_socket(false);
        (run, mysql::Conn::new(options).unwrap())
    }

    /// Runs statements to their end.
    #[track_caller]
    pub(crate) fn sql(&self, statements: &str, args: &[&str]) {
        let mut run = self.start_sql(statements, args);
        assert_eq!(run.wait(), Some(0), "{}", run.log());
    }

    /// Runs until caught up.
    pub(crate) fn run(&self, args: &[&str]) {
        let args: Vec<&str> = ["--until-caught-up"].iter().chain(args).copied().collect();
        let mut run = self.start(&args);
        assert_eq!(run.wait(), Some(0), "{}", run.log());
    }

    /// Answers of a query, as text.
    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let url: StoreUrl = self.store.parse().unwrap();
        let rows = connect(&url).unwrap().run(sql).unwrap();
        rows.rows.iter().map(|row| row.0.iter().map(text).collect()).collect()
    }

    /// One number, or nothing while the store is away or has no such table.
    pub(crate) fn try_number(&self, sql: &str) -> Option<u64> {
        let url: StoreUrl = self.store.parse().unwrap();
        let rows = connect(&url).ok()?.run(sql).ok()?;
        text(rows.rows.first()?.0.first()?).parse().ok()
    }

    /// Waits until more than `rows` rows are in the table, and more are to come.
    pub(crate) fn wait_for_rows(&self, run: &mut Run, rows: u64) {
        let sql = format!("SELECT COUNT(*) FROM {}", self.name);
        let waits = || self.try_number(&sql).is_none_or(|count| count <= rows);
        while waits() {
            // One that has loaded everything since the question has not ended too early.
            let ended = run.ended();
            assert!(ended.is_none() || !waits(), "too early: {ended:?} {}", run.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Drops the pipeline; its table stays.
    pub(crate) fn drop_pipeline(&self) {
        let dropped = Command::new(env!("CARGO_BIN_EXE_harness"))
            .args(["drop", &self.name, "--store", &self.store])
            .output()
            .unwrap();
        assert!(dropped.status.success(), "{}", String::from_utf8_lossy(&dropped.stderr));
    }

    /// Every id in the table, with how often it is there.
    fn ids(&self) -> BTreeMap<String, u64> {
        let sql = format!("SELECT id, COUNT(*) FROM {} GROUP BY id", self.name);
        self.query(&sql).into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
    }

    /// Every one of these ids is there exactly once, and nothing else.
    #[track_caller]
    pub(crate) fn assert_exactly_once(&self, expected: impl IntoIterator<Item = String>) {
        let ids = self.ids();
        let expected: std::collections::BTreeSet<String> = expected.into_iter().collect();
        let lost: Vec<_> = expected.iter().filter(|id| !ids.contains_key(*id)).take(5).collect();
        let doubled: Vec<_> = ids.iter().filter(|(_, count)| **count != 1).take(5).collect();
        let strange: Vec<_> = ids.keys().filter(|id| !expected.contains(*id)).take(5).collect();
        let logs = self.logs();
        assert!(
            lost.is_empty() && doubled.is_empty() && strange.is_empty(),
            "lost {lost:?} doubled {doubled:?} strange {strange:?}; {} of {} ids\n{logs}",
            ids.len(),
            expected.len()
        );
    }

    /// No extractor of this pipeline is left.
    #[track_caller]
    pub(crate) fn assert_no_process_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.extractors().is_empty() {
            assert!(Instant::now() < deadline, "left: {:?}", self.extractors());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Process ids of the extractors of this pipeline.
    pub(crate) fn extractors(&self) -> Vec<i32> {
        let name = self.extractor.to_str().unwrap();
        let runs = |pid: &i32| {
            let args = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            args.split(|byte| *byte == 0).next() == Some(name.as_bytes())
        };
        pids().filter(runs).collect()
    }

    fn logs(&self) -> String {
        let last = self.runs.get();
        let file = self.dir.path().join(format!("run-{last}.log"));
        fs::read_to_string(file).unwrap_or_default()
    }
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// A running harness.
pub(crate) struct Run {
    child: Child,
    log: PathBuf,
}

impl Run {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The exit code, once it has ended; -1 when a signal ended it.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + RUN_MAX;
        while Instant::now() < deadline {
            if let Some(code) = self.ended() {
                return Some(code);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Sends a signal to a process that may be gone.
pub(crate) fn signal(pid: i32, signal: Signal) {
    let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// Freezes a harness between two transactions: a frozen one that holds SQLite's write lock would
/// let nobody else work, which is the file's doing and not what these tests look at.
pub(crate) fn freeze(pipeline: &Pipeline, run: &Run) {
    let path = pipeline.store.strip_prefix("sqlite:").unwrap();
    let is_free = || {
        let file = rusqlite::Connection::open(path).unwrap();
        file.busy_timeout(Duration::ZERO).unwrap();
        file.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok()
    };
    for _ in 0..1000 {
        signal(run.pid(), Signal::SIGSTOP);
        wait_until_stopped(run.pid());
        if is_free() {
            return;
        }
        signal(run.pid(), Signal::SIGCONT);
        std::thread::sleep(Duration::from_millis(3));
    }
    panic!("the harness is always in a transaction");
}

/// A thread that is in the kernel when the signal comes stops a moment later, perhaps with the lock.
fn wait_until_stopped(pid: i32) {
    let is_stopped = |stat: String| stat.rsplit(')').next().unwrap_or("").trim().starts_with('T');
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat"));
    while !threads().all(|thread| stat(thread.unwrap()).is_ok_and(is_stopped)) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Configuration of the test source.
pub(crate) fn generator(splits: u32, rows: u64) -> Value {
    json!({ "connector.class": "test", "test.splits": splits, "test.rows": rows, "tasks.max": 2 })
}

/// The same, resting for three seconds in the middle: a test that waits for more than 200 rows and
/// then acts comes before the rest of the rows, however fast the machine is.
pub(crate) fn resting_generator(splits: u32, rows: u64) -> Value {
    let mut config = generator(splits, rows);
    config["test.stall.at"] = json!(300);
    config["test.stall.ms"] = json!(REST.as_millis());
    config
}

/// How long a resting generator rests.
pub(crate) const REST: Duration = Duration::from_secs(3);

/// The ids of the test source's rows.
pub(crate) fn generated_ids(splits: u32, rows: u64) -> impl Iterator<Item = String> {
    (0..splits).flat_map(move |split| {
        (0..rows).map(move |row| format!(r#"{{"gen":"p{split}","row":{row}}}"#))
    })
}
