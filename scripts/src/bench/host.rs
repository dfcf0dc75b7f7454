//! The smallest host there can be: it drives one extractor and throws the rows away.
//!
//! May touch: one child process and its pipes. Invariants: every frame is judged by the protocol's
//! own host session; a silent extractor is an error after a while; the child never outlives this.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use protocol::avro::Marker;
use protocol::message::{
    Configure, Extract, GetOffsets, Hello, Operation, PartValue, Peer, Settings, Start, Stop,
    StopMode, WireLimits,
};
use protocol::session::host::{Event, HostSession, Sent, SessionError};
use protocol::wire::{Direction, FrameDecoder};
use protocol::{OffsetKey, OffsetValue};
use serde_json::{Map, Value, json};

mod source;

/// Why: no answer takes longer, and PROGRESS comes every few seconds.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What one read takes at most: the size of a pipe that was widened.
const READ_BYTES: usize = 1 << 20;

/// Credits in flight, as in `harness run`.
const CREDITS: usize = 2;

/// The credit that `harness run` gives by default.
pub(super) const CREDIT: Extract =
    Extract { max_rows: 10_000, max_bytes: 16 << 20, max_interval_ms: 1_000, until: Vec::new() };

/// An extractor and the host's half of the session.
pub(super) struct Host {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    session: HostSession,
    decoder: FrameDecoder,
    unread: BytesMut,
    /// Where each split ends; it is not read further.
    ends: Vec<PartValue>,
}

/// What is read, and from where to where.
struct Assignment {
    incarnation: String,
    parts: Vec<(OffsetKey, OffsetValue)>,
    ends: Vec<PartValue>,
}

/// What came before it was told to stop.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Received {
    pub(super) rows: u64,
    pub(super) wall: Duration,
}

impl Host {
    /// Starts an extractor and waits for its answer to HELLO.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let input = child.stdin.take().context("the extractor has no stdin")?;
        let output = child.stdout.take().context("the extractor has no stdout")?;
        let mut host = Self {
            child,
            input,
            output,
            session: HostSession::default(),
            decoder: FrameDecoder::new(Direction::FromExtractor),
            unread: BytesMut::new(),
            ends: Vec::new(),
        };
        let hello = Hello {
            protocols: vec![protocol::message::PROTOCOL],
            features: Vec::new(),
            limits: WireLimits::default(),
            host: Peer { name: "bench".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            session: "bench".to_owned(),
            log_level: "warn".to_owned(),
        };
        let sent = host.session.hello(&hello);
        host.send(sent)?;
        match host.event()? {
            Event::HelloOk(_) => Ok(host),
            other => bail!("the extractor answered HELLO with {other:?}"),
        }
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads a topic whose partitions it learns first; the time counts from the assignment.
    pub(super) fn read_topic(
        &mut self,
        bootstrap: &str,
        topic: &str,
        rows: u64,
        patience: Duration,
    ) -> Result<Received> {
        let assignment = self.prepare(bootstrap, topic)?;
        let begun = Instant::now();
        self.begin(&assignment)?;
        // The last batch ends when the last record is in it, and not after its interval.
        self.ends = assignment.ends;
        let received = self.read(rows, patience)?;
        Ok(Received { wall: begun.elapsed(), ..received })
    }

    /// Has it read every partition of a topic from the start.
    pub(super) fn assign(&mut self, bootstrap: &str, topic: &str) -> Result<()> {
        let assignment = self.prepare(bootstrap, topic)?;
        self.begin(&assignment)
    }

    fn prepare(&mut self, bootstrap: &str, topic: &str) -> Result<Assignment> {
        let config = json!({
            "connector.class": "kafka", "bootstrap.servers": bootstrap, "topics": topic,
        });
        let configure = Configure {
            config: config.as_object().cloned().unwrap_or_default(),
            credentials: Map::<String, Value>::new(),
            settings: Settings { pipeline: "bench".to_owned(), ..Settings::default() },
        };
        let sent = self.session.configure(&configure);
        self.ask(sent, |event| matches!(event, Event::Configured(_)))?;
        let sent = self.session.discover();
        let found = self.ask(sent, |event| matches!(event, Event::Discovered(_)))?;
        let Event::Discovered(found) = found else { bail!("no answer to DISCOVER") };
        let keys: Vec<_> = found.splits.iter().map(|split| split.key.clone()).collect();
        let parts = self.offsets(Start::Earliest, keys.clone())?;
        let ends = (0..).zip(self.offsets(Start::Latest, keys)?);
        let ends = ends.map(|(part, (_, value))| PartValue { part, value }).collect();
        Ok(Assignment { incarnation: found.incarnation, parts, ends })
    }

    fn offsets(
        &mut self,
        start: Start,
        keys: Vec<OffsetKey>,
    ) -> Result<Vec<(OffsetKey, OffsetValue)>> {
        let sent = self.session.get_offsets(&GetOffsets { start, keys });
        let offsets = self.ask(sent, |event| matches!(event, Event::Offsets(_)))?;
        let Event::Offsets(offsets) = offsets else { bail!("no answer to GET_OFFSETS") };
        Ok(offsets.offsets.into_iter().map(|entry| (entry.key, entry.value)).collect())
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<()> {
        let marker = Marker(*b"marker of bench!");
        let Assignment { incarnation, parts, .. } = assignment;
        let sent = self.session.assign(1, marker, incarnation, parts);
        self.ask(sent, |event| matches!(event, Event::Assigned(_)))?;
        Ok(())
    }

    /// Reads until `rows` have come, or `patience` is over.
    pub(super) fn read(&mut self, rows: u64, patience: Duration) -> Result<Received> {
        let begun = Instant::now();
        let mut received = Received::default();
        for _ in self.session.credits()..CREDITS {
            self.credit()?;
        }
        while received.rows < rows && begun.elapsed() < patience {
            match self.event()? {
                Event::Rows(rows) if rows.operation == Operation::Error => {
                    bail!("{} records became error rows", rows.count)
                }
                Event::Rows(rows) => received.rows += rows.count,
                Event::BatchEnd(_) => self.credit()?,
                _ => {}
            }
        }
        received.wall = begun.elapsed();
        Ok(received)
    }

    /// Reads for `time` and tells how many rows came in each `moment` of it.
    pub(super) fn read_moments(&mut self, time: Duration, moment: Duration) -> Result<Vec<u32>> {
        let begun = Instant::now();
        let count = time.as_nanos().div_ceil(moment.as_nanos().max(1));
        let mut moments = vec![0_u32; usize::try_from(count).context("count moments")?];
        for _ in self.session.credits()..CREDITS {
            self.credit()?;
        }
        while begun.elapsed() < time {
            match self.event()? {
                Event::Rows(rows) => {
                    let at = begun.elapsed().as_nanos() / moment.as_nanos().max(1);
                    let slot = usize::try_from(at).ok().and_then(|at| moments.get_mut(at));
                    if let Some(slot) = slot {
                        *slot += u32::try_from(rows.count).unwrap_or(u32::MAX);
                    }
                }
                Event::BatchEnd(_) => self.credit()?,
                _ => {}
            }
        }
        Ok(moments)
    }

    /// Ends it in the middle of its work.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().context("kill the extractor")?;
        self.child.wait().context("wait for the extractor")?;
        Ok(())
    }

    /// Ends the session as a host does.
    pub(super) fn stop(mut self) -> Result<()> {
        let sent = self.session.stop(Stop { mode: StopMode::Now, deadline_ms: 5_000 });
        self.ask(sent, |event| matches!(event, Event::Stopped(_)))?;
        self.child.wait().context("wait for the extractor")?;
        Ok(())
    }

    fn credit(&mut self) -> Result<()> {
        let sent = self.session.extract(&Extract { until: self.ends.clone(), ..CREDIT });
        self.send(sent)
    }

    fn ask(
        &mut self,
        sent: Result<Sent, SessionError>,
        is_answer: fn(&Event) -> bool,
    ) -> Result<Event> {
        self.send(sent)?;
        loop {
            let event = self.event()?;
            if is_answer(&event) {
                return Ok(event);
            }
        }
    }

    fn send(&mut self, sent: Result<Sent, SessionError>) -> Result<()> {
        let sent = sent.context("drive the extractor")?;
        self.input.write_all(&sent.bytes).context("write to the extractor")
    }

    /// The next event; a failure that the extractor reports is an error.
    fn event(&mut self) -> Result<Event> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.unread)? {
                return match self.session.receive(&frame)? {
                    Event::Failed { failure, .. } => bail!("the extractor says: {failure}"),
                    event => Ok(event),
                };
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let wait = PollTimeout::try_from(SILENCE_MAX).context("wait for the extractor")?;
        let mut ready = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, wait).context("wait for the extractor")? == 0 {
            bail!("the extractor said nothing for {SILENCE_MAX:?}");
        }
        let old = self.unread.len();
        self.unread.resize(old + READ_BYTES, 0);
        let room = self.unread.get_mut(old..).unwrap_or_default();
        let count = self.output.read(room).context("read from the extractor")?;
        self.unread.truncate(old + count);
        if count == 0 {
            bail!("the extractor ended in the middle of the session");
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It has ended already after `stop`.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
