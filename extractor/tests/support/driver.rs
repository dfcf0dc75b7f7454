//! A host for tests: the real binary, real pipes, the protocol's own host session as the judge.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a driver of tests: what fails here fails the test"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use protocol::avro::row::{ErrorRow, RowRef, for_each_row};
use protocol::avro::{Blocks, ContainerError, Marker};
use protocol::message::*;
use protocol::session::host::{Event, HostSession, Sent};
use protocol::wire::{Direction, Frame, FrameDecoder, FrameSealer, Head, Kind};
use protocol::{Failure, OffsetKey, OffsetValue};
use serde_json::{Value, json};

/// No answer takes longer on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const MARKER: Marker = Marker(*b"marker of tests!");

pub(crate) fn object(value: Value) -> Object {
    value.as_object().expect("an object").clone()
}

pub(crate) fn key(name: &str) -> OffsetKey {
    OffsetKey::from_json(&json!({"gen": name})).unwrap()
}

pub(crate) fn row_value(row: u64) -> OffsetValue {
    OffsetValue::from_json(&json!({"row": row})).unwrap()
}

pub(crate) fn hello() -> Hello {
    Hello {
        protocols: vec![1],
        features: vec!["digest".into(), "refuse".into()],
        limits: WireLimits::default(),
        host: Peer { name: "tests".into(), version: "0".into() },
        session: "5f0e".into(),
        log_level: "info".into(),
    }
}

pub(crate) fn credit(max_rows: u64) -> Extract {
    Extract { max_rows, max_bytes: 64 << 20, max_interval_ms: 2_000, until: vec![] }
}

/// A row as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) part: u32,
    pub(crate) topic: String,
    pub(crate) id: String,
    pub(crate) record: String,
}

/// An error row as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) part: u32,
    pub(crate) position: String,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) code: String,
    pub(crate) reason: String,
}

/// A batch with everything that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) end: BatchEnd,
    pub(crate) extract: u32,
    pub(crate) rows: Vec<Row>,
    pub(crate) errors: Vec<Bad>,
    /// The blocks of static rows, as they came.
    pub(crate) blocks: Vec<u8>,
    /// Rows of each frame.
    pub(crate) frame_rows: Vec<u64>,
}

/// The child and the host's half of the session.
pub(crate) struct Host {
    pub(crate) process: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: File,
    pub(crate) session: HostSession,
    decoder: FrameDecoder,
    unread: BytesMut,
    /// Every frame that came, for checks over the whole run.
    pub(crate) kinds: Vec<Kind>,
    pub(crate) logs: Vec<Log>,
    pub(crate) progress: Vec<Progress>,
    pub(crate) partitions: Vec<Partitions>,
    pub(crate) pongs: Vec<Vec<u8>>,
    /// Payload bytes of every frame, when asked for.
    pub(crate) transcript: Option<Vec<u8>>,
    epoch: u64,
}

pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_extractor"))
}

impl Host {
    pub(crate) fn spawn() -> Self {
        Self::spawn_with(&[], Stdio::inherit())
    }

    pub(crate) fn spawn_with(args: &[&str], stderr: Stdio) -> Self {
        let mut command = binary();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        Self::of(command.spawn().unwrap())
    }

    pub(crate) fn of(mut process: Child) -> Self {
        let stdin = process.stdin.take();
        let stdout = File::from(OwnedFd::from(process.stdout.take().unwrap()));
        Self {
            process,
            stdin,
            stdout,
            session: HostSession::default(),
            decoder: FrameDecoder::new(Direction::FromExtractor),
            unread: BytesMut::new(),
            kinds: Vec::new(),
            logs: Vec::new(),
            progress: Vec::new(),
            partitions: Vec::new(),
            pongs: Vec::new(),
            transcript: None,
            epoch: 0,
        }
    }

    /// A child that is configured.
    pub(crate) fn configured(config: Value) -> Self {
        let mut host = Self::spawn();
        host.greet();
        host.configure(config);
        host
    }

    /// A child with all its splits assigned from their start.
    pub(crate) fn ready(config: Value) -> Self {
        let mut host = Self::configured(config);
        let splits = host.discover().splits;
        // Children wait for their parents.
        let splits = splits.into_iter().filter(|split| split.parents.is_empty());
        let parts: Vec<_> = splits.map(|split| (split.key, row_value(0))).collect();
        host.assign(&parts);
        host
    }

    pub(crate) fn greet(&mut self) -> HelloOk {
        let sent = self.session.hello(&hello()).unwrap();
        self.send(&sent);
        match self.event() {
            Event::HelloOk(ok) => ok,
            other => panic!("no HELLO_OK: {other:?}"),
        }
    }

    pub(crate) fn configure(&mut self, config: Value) -> Configured {
        self.configure_with(config, json!({}), Settings { retry_ms: 0, ..Settings::default() })
    }

    pub(crate) fn configure_with(
        &mut self,
        config: Value,
        credentials: Value,
        settings: Settings,
    ) -> Configured {
        self.send_configure(config, credentials, settings);
        match self.event() {
            Event::Configured(done) => done,
            other => panic!("no CONFIGURED: {other:?}"),
        }
    }

    pub(crate) fn send_configure(&mut self, config: Value, credentials: Value, settings: Settings) {
        let mut config = object(config);
        config.entry("connector.class").or_insert(json!("test"));
        let configure = Configure { config, credentials: object(credentials), settings };
        let sent = self.session.configure(&configure).unwrap();
        self.send(&sent);
    }

    pub(crate) fn discover(&mut self) -> Discovered {
        let sent = self.session.discover().unwrap();
        self.send(&sent);
        match self.event() {
            Event::Discovered(discovered) => discovered,
            other => panic!("no DISCOVERED: {other:?}"),
        }
    }

    pub(crate) fn offsets(&mut self, start: Start, keys: &[OffsetKey]) -> Vec<OffsetValue> {
        let sent = self.session.get_offsets(&GetOffsets { start, keys: keys.to_vec() }).unwrap();
        self.send(&sent);
        match self.event() {
            Event::Offsets(offsets) => offsets.offsets.into_iter().map(|o| o.value).collect(),
            other => panic!("no OFFSETS: {other:?}"),
        }
    }

    pub(crate) fn send_assign(&mut self, parts: &[(OffsetKey, OffsetValue)]) {
        self.epoch += 1;
        let sent = self.session.assign(self.epoch, MARKER, "", parts).unwrap();
        self.send(&sent);
    }

    /// Assigns and waits for both schemas.
    pub(crate) fn assign(&mut self, parts: &[(OffsetKey, OffsetValue)]) {
        self.send_assign(parts);
        self.assigned();
    }

    /// Assigns and names rows that are to come as error rows.
    pub(crate) fn assign_without(
        &mut self,
        parts: &[(OffsetKey, OffsetValue)],
        refused: &[Refused],
    ) {
        self.epoch += 1;
        let sent = self.session.assign_without(self.epoch, MARKER, "", parts, refused).unwrap();
        self.send(&sent);
        self.assigned();
    }

    pub(crate) fn assigned(&mut self) {
        loop {
            match self.event() {
                Event::Assigned(_) => break,
                Event::BatchEnd(finished) => assert_eq!(finished.end.reason, Reason::Void),
                Event::Rows(_) | Event::Stale => {}
                other => panic!("no ASSIGNED: {other:?}"),
            }
        }
        for _ in 0..2 {
            assert!(matches!(self.event(), Event::Schema(_)));
        }
    }

    pub(crate) fn send_extract(&mut self, extract: &Extract) -> u32 {
        let sent = self.session.extract(extract).unwrap();
        self.send(&sent);
        sent.seq
    }

    pub(crate) fn extract(&mut self, extract: &Extract) -> Batch {
        self.send_extract(extract);
        self.batch()
    }

    /// Everything up to the next BATCH_END.
    pub(crate) fn batch(&mut self) -> Batch {
        self.try_batch().unwrap_or_else(|failure| panic!("EXTRACT failed: {failure}"))
    }

    pub(crate) fn try_batch(&mut self) -> Result<Batch, Failure> {
        let (mut rows, mut errors) = (Vec::new(), Vec::new());
        let (mut blocks, mut frame_rows) = (Vec::new(), Vec::new());
        loop {
            match self.event() {
                Event::Rows(came) => {
                    frame_rows.push(came.count);
                    read_rows(&came, &mut rows, &mut errors);
                    if came.operation == Operation::Insert {
                        blocks.extend_from_slice(&came.blocks);
                    }
                }
                Event::BatchEnd(finished) => {
                    let (end, extract) = (finished.end, finished.extract);
                    return Ok(Batch { end, extract, rows, errors, blocks, frame_rows });
                }
                Event::Failed { failure, .. } => return Err(failure),
                other => panic!("no part of a batch: {other:?}"),
            }
        }
    }

    pub(crate) fn send_stop(&mut self, mode: StopMode) {
        let sent = self.session.stop(Stop { mode, deadline_ms: 5_000 }).unwrap();
        self.send(&sent);
    }

    /// Stops the child and waits for its end.
    pub(crate) fn stop(mut self) -> Stopped {
        self.send_stop(StopMode::Drain);
        match self.event() {
            Event::Stopped(stopped) => {
                assert_eq!(self.wait().code(), Some(0));
                stopped
            }
            other => panic!("no STOPPED: {other:?}"),
        }
    }

    pub(crate) fn send(&mut self, sent: &Sent) {
        self.write(&sent.bytes);
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Waits until the child has read all that was written to it, and could act on it.
    pub(crate) fn wait_until_read(&self) {
        let stdin = self.stdin.as_ref().unwrap();
        let deadline = Instant::now() + PATIENCE;
        // A pipe of one page takes more only when it is empty.
        while fcntl(stdin, FcntlArg::F_SETPIPE_SZ(1)).is_err() {
            assert!(Instant::now() < deadline, "the child does not read");
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLOUT)];
        assert!(poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()).unwrap() > 0);
        // What was read is acted on by the thread that read it.
        std::thread::sleep(Duration::from_millis(100));
    }

    /// The next event that answers or carries something; LOG, PROGRESS, PONG and PARTITIONS are
    /// put aside.
    pub(crate) fn event(&mut self) -> Event {
        // PROGRESS alone must not keep a test alive.
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "nothing came; saw {:?}", self.kinds);
            let frame =
                self.frame().unwrap_or_else(|| panic!("stream ended; saw {:?}", self.kinds));
            match self.session.receive(&frame).unwrap() {
                Event::Log(log) => self.logs.push(log),
                Event::Progress(progress) => self.progress.push(progress),
                Event::Partitions(news) => self.partitions.push(news),
                Event::Pong(bytes) => self.pongs.push(bytes.to_vec()),
                event => return event,
            }
        }
    }

    /// The next event, whatever it is.
    pub(crate) fn any_event(&mut self) -> Event {
        let frame = self.frame().expect("a frame");
        self.session.receive(&frame).unwrap()
    }

    /// The next failure, from a child that may know no session at all.
    pub(crate) fn raw_failure(&mut self) -> Failure {
        loop {
            let frame = self.frame().expect("an ERROR");
            if frame.head.kind == Kind::Error {
                return decode(Kind::Error, &frame.payload).unwrap();
            }
        }
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.unread).unwrap() {
                self.kinds.push(frame.head.kind);
                if let Some(transcript) = &mut self.transcript {
                    transcript.extend_from_slice(&frame.payload);
                    transcript.push(b'\n');
                }
                return Some(frame);
            }
            assert!(Instant::now() < deadline, "nothing came; saw {:?}", self.kinds);
            if self.readable(Duration::from_millis(200)) && self.read_some(1 << 16) == 0 {
                self.decoder.end(&self.unread).unwrap();
                return None;
            }
        }
    }

    pub(crate) fn readable(&self, wait: Duration) -> bool {
        let mut fds = [PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::try_from(wait).unwrap()).unwrap() > 0
    }

    /// Reads at most `max` bytes into the buffer.
    pub(crate) fn read_some(&mut self, max: usize) -> usize {
        let mut chunk = vec![0; max];
        let count = self.stdout.read(&mut chunk).unwrap();
        self.unread.extend_from_slice(&chunk[..count]);
        count
    }

    /// Holds the extractor to a smaller limit for data frames.
    pub(crate) fn limit_frames(&mut self, bytes: u32) {
        self.decoder.limit_data(bytes);
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.wait_within(PATIENCE)
    }

    pub(crate) fn wait_within(&mut self, time: Duration) -> ExitStatus {
        wait_within(&mut self.process, time)
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            drop(self.process.kill());
            drop(self.process.wait());
        }
    }
}

/// The exit of a child, which must come in time.
pub(crate) fn wait_within(process: &mut Child, time: Duration) -> ExitStatus {
    let deadline = Instant::now() + time;
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            assert_eq!(status.signal(), None, "killed by a signal");
            return status;
        }
        assert!(Instant::now() < deadline, "process {} still runs", process.id());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read_rows(came: &protocol::session::host::Rows, rows: &mut Vec<Row>, errors: &mut Vec<Bad>) {
    let part = came.part;
    for block in Blocks::new(&came.blocks, MARKER) {
        let block = block.unwrap();
        if came.operation == Operation::Error {
            for_each_row::<_, ContainerError>(&block, ErrorRow::read, |row| {
                errors.push(Bad {
                    part,
                    position: row.position.to_owned(),
                    value: row.value.map(<[u8]>::to_vec),
                    code: row.code.to_owned(),
                    reason: row.reason.to_owned(),
                });
                Ok(())
            })
            .unwrap();
        } else {
            for_each_row::<_, ContainerError>(&block, RowRef::read, |row| {
                let [topic, id, record] = [row.topic, row.id, row.record].map(ToOwned::to_owned);
                rows.push(Row { part, topic, id, record });
                Ok(())
            })
            .unwrap();
        }
    }
}

/// A whole frame of the host, whatever its payload is.
pub(crate) fn raw_frame(sealer: &mut FrameSealer, head: Head, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let header = sealer.seal(&head, length, crc32c::crc32c(payload));
    [&header[..], payload].concat()
}
