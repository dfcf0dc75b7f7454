//! The main thread: takes requests in order, asks the source, and answers in the same order.
//!
//! ```text
//!  inbox ─► session (may it come now?) ─► queue ─► one request after the other ─► outbox
//! ```
//!
//! Invariants: every request gets one answer; what comes later can cut a running request short
//! (CANCEL, ASSIGN, STOP) but never overtakes it; offsets only move by BATCH_END.

use std::collections::{BTreeSet, VecDeque};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::limits::{CONTROL_FRAME_BYTES_MAX, OFFSET_KEY_BYTES_MAX, OFFSET_VALUE_BYTES_MAX};
use protocol::message::{
    AddedSplit, BatchEnd, Partitions, Phase, Reason, StopMode, Stopped, encode,
};
use protocol::session::extractor::{ExtractorSession, Request};
use protocol::wire::{Head, Kind};
use protocol::{Code, Failure, OffsetKey, OffsetValue};
use serde::Serialize;

use crate::batch::Batch;
use crate::config::Settings;
use crate::log;
use crate::pipe::{self, Inbound, Link, OutFrame};
use crate::source::{Cancel, Source, Topology};

mod answer;
mod extract;
mod lag;
mod retry;

use lag::LagsTold;
use retry::Retry;

/// Time for the last frame to leave after STOP, when the host named none.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Splits in one PARTITIONS.
///
/// Why 64: at the longest KEYs and VALUEs, two parents each, they fit into a control frame.
const NEWS_PER_FRAME: usize = 64;

const _: () = assert!(
    NEWS_PER_FRAME * (4 * OFFSET_KEY_BYTES_MAX + OFFSET_VALUE_BYTES_MAX)
        < CONTROL_FRAME_BYTES_MAX as usize
);

/// Why the pump ends.
enum End {
    /// STOPPED may be sent: the head of the answer to STOP.
    Stopped(Head),
    /// SIGTERM, with nothing left to answer.
    Terminated,
    /// The session cannot go on: the failure and the head of its ERROR.
    Failed(Box<Failure>, Head),
}

/// A request that waits for its turn.
struct Queued {
    seq: u32,
    /// Epoch of the session when it came.
    epoch: u32,
    cancelled: bool,
    request: Request,
}

/// What the source was asked to read.
#[derive(Default)]
struct Assignment {
    epoch: u32,
    keys: Vec<OffsetKey>,
    /// Where each split stands after the last batch.
    stands: Vec<OffsetValue>,
    /// Splits that were read to their end.
    closed: BTreeSet<OffsetKey>,
    /// What the host was told of their lag.
    lags: LagsTold,
}

/// See the module.
pub struct Pump {
    link: Arc<Link>,
    log: Arc<log::Control>,
    session: ExtractorSession,
    queue: VecDeque<Queued>,
    /// The request that is worked on.
    running: Option<u32>,
    running_cancelled: bool,
    stop: Option<StopMode>,
    terminated: bool,
    source: Option<Box<dyn Source>>,
    settings: Settings,
    retry_within: Duration,
    max_frame: u32,
    /// The last ASSIGN, unless it failed.
    assignment: Option<Assignment>,
    /// What the host was not told yet.
    news: Topology,
    batch: Batch,
    retry: Option<Retry>,
    /// Answers the next EXTRACT: rows were delivered before it.
    failure: Option<Failure>,
    batches: u64,
    rows: u64,
    started: Instant,
}

impl Pump {
    /// A pump that has heard nothing yet.
    pub fn new(link: Arc<Link>, log: Arc<log::Control>) -> Self {
        Self {
            batch: Batch::new(Arc::clone(&link)),
            link,
            log,
            session: ExtractorSession::default(),
            queue: VecDeque::new(),
            running: None,
            running_cancelled: false,
            stop: None,
            terminated: false,
            source: None,
            settings: Settings::default(),
            retry_within: Duration::ZERO,
            max_frame: 0,
            assignment: None,
            retry: None,
            news: Topology::default(),
            failure: None,
            batches: 0,
            rows: 0,
            started: Instant::now(),
        }
    }

    /// Serves the host until the process ends.
    pub fn run(mut self) -> ExitCode {
        let Err(end) = self.serve();
        let wait = self.link.board.time_left().unwrap_or(LEAVE_WITHIN);
        match end {
            End::Failed(failure, head) => self.link.fail(*failure, head),
            End::Stopped(head) => {
                let stopped = Stopped {
                    batches: self.batches,
                    rows: self.rows,
                    uptime_ms: millis(self.started.elapsed()),
                    max_rss_bytes: pipe::peak_rss_bytes(),
                };
                self.link.leave(OutFrame::control(head, &encode(&stopped)), wait)
            }
            End::Terminated => {
                let failure = Failure::new(Code::Stopping, "the process was told to end (SIGTERM)");
                self.link.fail(failure, Head::new(Kind::Error, self.session.epoch()))
            }
        }
    }

    fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            self.receive()?;
            if let Some(next) = self.queue.pop_front() {
                let seq = next.seq;
                self.handle(next)?;
                self.link.inbox.release(seq);
            } else if self.terminated {
                return Err(End::Terminated);
            } else {
                let inbound = self.link.inbox.take();
                self.accept(inbound)?;
            }
        }
    }

    /// Takes everything that came, without waiting.
    fn receive(&mut self) -> Result<(), End> {
        while let Some(inbound) = self.link.inbox.try_take() {
            self.accept(inbound)?;
        }
        Ok(())
    }

    fn accept(&mut self, inbound: Inbound) -> Result<(), End> {
        let Inbound::Frame(frame) = inbound else {
            self.terminated = true;
            self.stop.get_or_insert(StopMode::Drain);
            return Ok(());
        };
        let request = self.session.receive(&frame).map_err(|failure| {
            End::Failed(Box::new(failure), Head::new(Kind::Error, self.session.epoch()))
        })?;
        match &request {
            Request::Cancel(seq) => {
                self.running_cancelled |= self.running == Some(*seq);
                for queued in self.queue.iter_mut().filter(|queued| queued.seq == *seq) {
                    queued.cancelled = true;
                }
                self.link.inbox.release(frame.seq);
                return Ok(());
            }
            Request::Commit(commit) => {
                tracing::debug!(batch = commit.batch, "host made batch durable");
                self.link.inbox.release(frame.seq);
                return Ok(());
            }
            Request::Stop(stop) if stop.mode == StopMode::Now || self.stop.is_none() => {
                self.stop = Some(stop.mode);
            }
            _ => {}
        }
        let epoch = self.session.epoch();
        self.queue.push_back(Queued { seq: frame.seq, epoch, cancelled: false, request });
        Ok(())
    }

    /// Whether an ASSIGN waits, which voids every credit before it.
    fn assign_waits(&self) -> bool {
        self.queue.iter().any(|queued| matches!(queued.request, Request::Assign(..)))
    }

    /// Answers the oldest request.
    fn answer(&mut self, epoch: u32, message: &impl Serialize) {
        let payload = encode(message);
        if payload.len() > CONTROL_FRAME_BYTES_MAX as usize {
            let text = format!(
                "answer has {} bytes, the limit is {CONTROL_FRAME_BYTES_MAX}: too many splits for \
                 one task",
                payload.len()
            );
            self.answer_error(epoch, Failure::new(Code::BufferLimit, text));
            return;
        }
        if let Some(mut head) = self.session.answer() {
            head.epoch = epoch;
            self.link.outbox.push(OutFrame::control(head, &payload));
        }
    }

    /// Answers the oldest request with ERROR.
    fn answer_error(&mut self, epoch: u32, failure: Failure) {
        let mut head = self.session.answer_error();
        head.epoch = epoch;
        // Only a session ends a process; a request leaves it as it was.
        let failure = Failure { fatal: false, ..self.link.redactor.failure(failure) };
        tracing::debug!(code = failure.code.name(), "request failed: {}", failure.message);
        self.link.outbox.push(OutFrame::control(head, &encode(&failure)));
    }

    /// Ends the session because the oldest request failed for good.
    fn end_with(&mut self, epoch: u32, failure: Failure) -> End {
        let mut head = self.session.answer_error();
        head.epoch = epoch;
        End::Failed(Box::new(failure), head)
    }

    /// Runs a call of the source that may block, and answers when it fails.
    fn call<T>(
        &mut self,
        item: &Queued,
        phase: Phase,
        call: impl FnOnce(&mut dyn Source, &Cancel) -> Result<T, Failure>,
    ) -> Result<Option<T>, End> {
        self.begin(item, phase);
        // A CANCEL that came before `begin` is in the inbox; one that comes after sets the token.
        self.receive()?;
        let token = self.link.board.cancel_token();
        let refused = self.refusal();
        let result = match (refused, self.source.as_deref_mut()) {
            (Some(failure), _) => Err(failure),
            (None, Some(source)) => call(source, &token),
            (None, None) => Err(Failure::new(Code::Bug, "no source although configured")),
        };
        self.receive()?;
        let result = match result {
            Err(failure) if failure.code == Code::Cancelled => {
                Err(self.refusal().unwrap_or(failure))
            }
            other => other,
        };
        self.end();
        match result {
            Ok(value) => Ok(Some(value)),
            Err(failure) => {
                self.answer_error(item.epoch, failure);
                Ok(None)
            }
        }
    }

    /// Why the running request is not worth its answer.
    fn refusal(&self) -> Option<Failure> {
        if self.stop.is_some() {
            return Some(Failure::new(Code::Stopping, "the session is stopping"));
        }
        let cancelled = || Failure::new(Code::Cancelled, "cancelled by the host");
        self.running_cancelled.then(cancelled)
    }

    fn begin(&mut self, item: &Queued, phase: Phase) {
        self.running = Some(item.seq);
        self.running_cancelled = item.cancelled;
        self.link.board.begin(item.seq, item.epoch, phase);
    }

    fn end(&mut self) {
        self.running = None;
        self.link.board.end();
    }

    /// Notes which splits came and went.
    fn take_news(&mut self) {
        let Some(news) = self.source.as_deref_mut().and_then(Source::topology) else { return };
        if let Some(assignment) = &mut self.assignment {
            assignment.closed.extend(news.closed.iter().cloned());
        }
        self.news.closed.extend(news.closed);
        self.news.added.extend(news.added);
    }

    /// Tells the host which splits came and went, after the batch in which they did. The source
    /// says each only once, so what could not be told yet is kept, over voids and assignments.
    fn report_news(&mut self) {
        let Some(assignment) = &self.assignment else { return };
        let head = Head::new(Kind::Partitions, assignment.epoch);
        let news = std::mem::take(&mut self.news);
        let mut closed = news.closed.chunks(NEWS_PER_FRAME);
        let mut added = news.added.chunks(NEWS_PER_FRAME);
        loop {
            let (gone, come) =
                (closed.next().unwrap_or_default(), added.next().unwrap_or_default());
            if gone.is_empty() && come.is_empty() {
                return;
            }
            let come = come.iter().cloned().map(|(split, value)| AddedSplit {
                key: split.key,
                parents: split.parents,
                value,
            });
            let payload = encode(&Partitions { closed: gone.to_vec(), added: come.collect() });
            self.link.outbox.push(OutFrame::control(head, &payload));
        }
    }
}

/// What answers a credit that ASSIGN or STOP made void.
fn void() -> BatchEnd {
    BatchEnd {
        batch: 0,
        rows: 0,
        errors: 0,
        bytes: 0,
        frames: 0,
        reason: Reason::Void,
        offsets: Vec::new(),
        lag: protocol::message::Lag::default(),
        lags: Vec::new(),
        caught_up: false,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
