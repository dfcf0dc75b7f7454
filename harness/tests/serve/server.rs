//! A server of one test: the process, its address, clients of it, and the store behind it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable as _;
use mysql::{Conn, OptsBuilder};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a test waits for what another process does.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: String,
    /// The database on a server, to be dropped at the end, and the address to drop it by.
    made: Option<(String, String)>,
}

impl Bench {
    pub(crate) fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), store: "sqlite:s.db".to_owned(), made: None }
    }

    /// Nothing, visibly, where there is no MariaDB.
    pub(crate) fn mariadb(test: &str) -> Option<Self> {
        let Some(server) = std::env::var("MARIADB_URL").ok().filter(|url| !url.is_empty()) else {
            skipped(test, "MARIADB_URL is not set");
            return None;
        };
        let name = format!("s2x_serve_{}_{:08x}", std::process::id(), fastrand::u32(..));
        let mut bench = Self::sqlite();
        bench.store.clone_from(&server);
        assert!(bench.sql(&format!("CREATE DATABASE {name}")));
        bench.store = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
        bench.made = Some((server, name));
        Some(bench)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(arguments).args(["--store", &self.store]).current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env_remove("S2X_STORE").env_remove("S2X_SECRETS");
        command.env_remove("S2X_SERVE_PASSWORD").stdin(Stdio::null());
        command
    }

    pub(crate) fn sql(&self, sql: &str) -> bool {
        self.command(&["sql", "-e", sql]).stdout(Stdio::null()).status().unwrap().success()
    }

    /// What a server that ends at once says, and its exit code.
    pub(crate) fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(&[&["serve"], arguments].concat()).output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
    }

    pub(crate) fn serve(&self, more: &[&str]) -> Server {
        self.serve_with(more, &[])
    }

    pub(crate) fn serve_with(&self, more: &[&str], env: &[(&str, &str)]) -> Server {
        let peer = peer();
        self.start(&[&["--extractor", &peer], more].concat(), env, Stdio::inherit())
    }

    /// A server, and the file that holds what it says.
    pub(crate) fn serve_heard(&self, with_extractor: bool) -> (Server, PathBuf) {
        let path = self.folder.path().join(format!("log-{:08x}", fastrand::u32(..)));
        let log = std::fs::File::create(&path).unwrap();
        let peer = peer();
        let arguments: &[&str] = if with_extractor { &["--extractor", &peer] } else { &[] };
        (self.start(arguments, &[], log.into()), path)
    }

    /// As if half a minute had passed since a process was killed.
    pub(crate) fn age_signs_of_life(&self) {
        assert!(self.sql("UPDATE s2x_heartbeats SET beat_us = beat_us - 60000000"));
    }

    pub(crate) fn serve_without_extractor(&self, more: &[&str]) -> Server {
        self.start(more, &[], Stdio::inherit())
    }

    fn start(&self, more: &[&str], env: &[(&str, &str)], heard: Stdio) -> Server {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(more).envs(env.iter().copied()).stdout(Stdio::piped()).stderr(heard);
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let address = first.strip_prefix("listening on 127.0.0.1:").expect("the server listens");
        let port = address.split_once(',').unwrap().0.parse().unwrap();
        Server { child, port }
    }
}

/// The extractor with the test source.
fn peer() -> String {
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/peer/extractor");
    peer.canonicalize().unwrap().to_str().unwrap().to_owned()
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some((server, name)) = self.made.take() {
            self.store = server;
            self.sql(&format!("DROP DATABASE {name}"));
        }
    }
}

pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn options(&self) -> OptsBuilder {
        OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(self.port)
            .user(Some("root"))
            .prefer_socket(false)
    }

    pub(crate) fn client(&self) -> Conn {
        Conn::new(self.options()).expect("a client is let in")
    }

    /// The command line client; `None` and a word about it where there is none.
    pub(crate) fn mariadb(&self, test: &str, arguments: &[&str]) -> Option<(String, String)> {
        let port = self.port.to_string();
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-h", "127.0.0.1", "--protocol=tcp", "-P", &port]);
        let Ok(output) = command.args(arguments).stdin(Stdio::null()).output() else {
            skipped(test, "the client mariadb is not installed");
            return None;
        };
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Some((text(output.stdout), text(output.stderr)))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Ends it and gives its exit code.
    pub(crate) fn end(mut self, signal: Signal) -> i32 {
        self.signal(signal);
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn number(client: &mut Conn, sql: &str) -> u64 {
    client.query_first(sql).unwrap().unwrap()
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The server's own number of an error.
pub(crate) fn refused<T: std::fmt::Debug>(answer: mysql::Result<T>) -> (u16, String) {
    match answer {
        Err(mysql::Error::MySqlError(error)) => (error.code, error.message),
        other => panic!("an error of the server, not {other:?}"),
    }
}

pub(crate) fn skipped(test: &str, why: &str) {
    writeln!(std::io::stderr().lock(), "skipped: {test}: {why}").unwrap();
}
