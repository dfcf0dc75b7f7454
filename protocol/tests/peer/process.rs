//! The Python extractor as a child process, and a host for it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use protocol::avro::Marker;
use protocol::message::{Configure, Extract, Hello, Object, PartValue, Settings, WireLimits};
use protocol::session::host::{Event, Finished, HostSession, Rows, Sent, SessionError};
use protocol::wire::{Direction, Frame, FrameDecoder};
use protocol::{Failure, OffsetKey, OffsetValue};
use serde_json::{Value, json};

/// Longer than anything that a healthy peer needs, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const MARKER: Marker = Marker([0x5a; 16]);

/// Whether there is a Python to run; a test that cannot run says so.
pub(crate) fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        println!("skipped: python3 not found");
    }
    found
}

fn command() -> Command {
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peer/extractor"));
    command
}

/// Runs the program by hand: nothing is a pipe to a host.
pub(crate) fn run_by_hand() -> std::process::Output {
    command().stdin(Stdio::null()).output().unwrap()
}

/// `testdata` at the top of the repository.
pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("testdata")
}

/// Whether the peer agrees with all vectors in a folder, and what it says.
pub(crate) fn check_vectors(folder: &Path) -> (bool, String) {
    let output = Command::new("python3")
        .args(["-B", "-m", "peer", "vectors"])
        .arg(folder)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Copies the folders of vectors.
pub(crate) fn copy_folders(from: &Path, to: &Path) {
    for folder in ["avro", "frames", "offsets", "rows", "sessions"] {
        std::fs::create_dir_all(to.join(folder)).unwrap();
        for entry in std::fs::read_dir(from.join(folder)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(folder).join(entry.file_name())).unwrap();
        }
    }
}

/// A child and the host's half of its session.
pub(crate) struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    chunks: Receiver<Vec<u8>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    decoder: FrameDecoder,
    unread: BytesMut,
    pub(crate) host: HostSession,
    /// Rows of the last batch.
    pub(crate) rows: Vec<Rows>,
}

impl Peer {
    /// Starts the program.
    pub(crate) fn spawn() -> Self {
        let mut child = command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        // Two chunks: a slow host must be felt by the child.
        let (to_host, chunks) = sync_channel(2);
        std::thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            while let Ok(count) = stdout.read(&mut chunk) {
                if count == 0 || to_host.send(chunk[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).unwrap();
            text
        });
        Self {
            stdin: child.stdin.take(),
            child,
            chunks,
            stderr: Some(stderr),
            decoder: FrameDecoder::new(Direction::FromExtractor),
            unread: BytesMut::new(),
            host: HostSession::default(),
            rows: Vec::new(),
        }
    }

    /// Starts the program and configures the test source.
    pub(crate) fn configured(config: Value) -> Self {
        let mut peer = Self::spawn();
        let sent = peer.host.hello(&hello()).unwrap();
        peer.write(&sent.bytes);
        assert!(matches!(peer.event(), Event::HelloOk(hello) if hello.protocol == 1));
        let Value::Object(mut config) = config else { panic!("config is an object") };
        config.insert("connector.class".to_owned(), json!("test"));
        let credentials = Object::new();
        let settings = Settings { retry_ms: 300, ..Settings::default() };
        let sent = peer.host.configure(&Configure { config, credentials, settings }).unwrap();
        peer.write(&sent.bytes);
        let Event::Configured(configured) = peer.event() else { panic!("no CONFIGURED") };
        assert_eq!(configured.unknown_config, []);
        peer
    }

    /// Assigns splits of the test source by name.
    pub(crate) fn assign(&mut self, epoch: u64, parts: &[(&str, &str)]) {
        let parts: Vec<_> = parts.iter().map(|(name, at)| (key(name), value(at))).collect();
        let sent = self.host.assign(epoch, MARKER, "test-0", &parts).unwrap();
        self.write(&sent.bytes);
    }

    pub(crate) fn wait_assigned(&mut self) {
        let event = self.event();
        assert!(matches!(event, Event::Assigned(_)), "{event:?}");
    }

    /// Gives a credit.
    pub(crate) fn extract(&mut self, max_rows: u64, ms: u64, until: &[(u32, &str)]) -> u32 {
        let until = until.iter().map(|(part, at)| PartValue { part: *part, value: value(at) });
        let extract =
            Extract { max_rows, max_bytes: 1 << 20, max_interval_ms: ms, until: until.collect() };
        let sent = self.host.extract(&extract).unwrap();
        self.write(&sent.bytes);
        sent.seq
    }

    /// Reads up to the end of a batch; its rows are in `rows`.
    pub(crate) fn batch(&mut self) -> Finished {
        self.rows.clear();
        loop {
            match self.event() {
                Event::BatchEnd(end) => return end,
                Event::Rows(rows) => self.rows.push(rows),
                Event::Schema(_) | Event::Stale | Event::Progress(_) => {}
                other => panic!("{other:?} instead of a batch"),
            }
        }
    }

    /// Reads the ERROR that answers a request or ends the session.
    pub(crate) fn failure(&mut self) -> Failure {
        loop {
            match self.event() {
                Event::Failed { failure, .. } => return failure,
                Event::Rows(_) | Event::Schema(_) | Event::Progress(_) => {}
                other => panic!("{other:?} instead of ERROR"),
            }
        }
    }

    /// The next event other than SCHEMA; everything is judged on the way.
    pub(crate) fn event(&mut self) -> Event {
        loop {
            let frame = self.frame().expect("a frame before the end of the stream");
            match self.host.receive(&frame) {
                Ok(Event::Schema(_)) => {}
                Ok(event) => return event,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.unread).unwrap() {
                return Some(frame);
            }
            match self.chunks.recv_timeout(PATIENCE) {
                Ok(chunk) => self.unread.extend_from_slice(&chunk),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("the peer says nothing"),
            }
        }
    }

    pub(crate) fn send(&mut self, sent: Result<Sent, SessionError>) -> u32 {
        let sent = sent.unwrap();
        self.write(&sent.bytes);
        sent.seq
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Closes stdin and tells how long the process lives on.
    pub(crate) fn close(&mut self) -> (ExitStatus, Duration) {
        drop(self.stdin.take());
        let start = Instant::now();
        (self.wait(), start.elapsed())
    }

    /// Waits for the end of the process. What it still writes is not read.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("the peer does not end");
    }

    /// What it wrote for people; after its end.
    pub(crate) fn stderr(&mut self) -> Vec<u8> {
        self.stderr.take().unwrap().join().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A failed test must not leave a process behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn hello() -> Hello {
    Hello {
        protocols: vec![1],
        features: vec!["digest".into(), "unheard-of".into()],
        limits: WireLimits::default(),
        host: protocol::message::Peer::default(),
        session: "peer test".into(),
        log_level: "info".into(),
    }
}

pub(crate) fn key(name: &str) -> OffsetKey {
    OffsetKey::parse(&json!({ "gen": name }).to_string()).unwrap()
}

pub(crate) fn value(text: &str) -> OffsetValue {
    OffsetValue::parse(text).unwrap()
}
