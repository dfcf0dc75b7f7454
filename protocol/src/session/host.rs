//! The host's half: seals requests, and holds the extractor to the rules. What it lets pass is
//! safe to commit: counts agree, offsets chain, every block is whole and has a known schema.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;

use super::State;
use crate::avro::{ContainerHeader, Marker};
use crate::error::Failure;
use crate::limits::{CREDITS_MAX, PARTS_MAX, REFUSED_MAX};
use crate::message::{
    Assign, Assigned, BatchEnd, Checked, Commit, Configure, Configured, Discovered, Empty, Extract,
    GetOffsets, Hello, HelloOk, Log, OffsetEntry, Offsets, Operation, Partitions, Progress,
    Refused, Stop, Stopped, Update, Updated, encode,
};
use crate::offset::{OffsetKey, OffsetValue};
use crate::wire::{FrameError, FrameSealer, Head, Kind};

mod judge;

/// Why the host gives a session up, or must not send a request now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SessionError {
    /// A request that must not be sent now: a bug of the host.
    #[error("{request} must not be sent in state {state}")]
    NotNow {
        /// The request.
        request: &'static str,
        /// The state.
        state: String,
    },
    /// A request that is over a limit.
    #[error("{request} has {count} {what}, the limit is {max}")]
    OverLimit {
        /// The request.
        request: &'static str,
        /// What there is too much of.
        what: &'static str,
        /// How much.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The request does not fit into a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A payload that is not what its type says.
    #[error("{0}")]
    Payload(Failure),
    /// The extractor broke a rule of the protocol.
    #[error("extractor broke the protocol with {kind} (frame {seq}, rule {rule}): {what}")]
    Broken {
        /// The message.
        kind: &'static str,
        /// Its frame.
        seq: u32,
        /// The rule, by its name in `SPEC.md` section 7.3.
        rule: &'static str,
        /// What was seen, with the numbers.
        what: String,
    },
}

/// A request, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its sequence number.
    pub seq: u32,
    /// The whole frame.
    pub bytes: Vec<u8>,
}

/// Rows of one split: a BATCH frame that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The EXTRACT that it belongs to.
    pub extract: u32,
    /// Index of the split in ASSIGN.
    pub part: u32,
    /// Number of the schema.
    pub schema: u32,
    /// What a store does with the rows.
    pub operation: Operation,
    /// How many.
    pub count: u64,
    /// Whole container blocks.
    pub blocks: Bytes,
}

/// A batch that passed: its rows came before, its offsets may be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The EXTRACT that it answers.
    pub extract: u32,
    /// The message.
    pub end: BatchEnd,
}

/// What the extractor says.
#[derive(Clone, Debug)]
pub enum Event {
    /// Answer to HELLO.
    HelloOk(HelloOk),
    /// Answer to CONFIGURE.
    Configured(Configured),
    /// Answer to CHECK.
    Checked(Checked),
    /// Answer to DISCOVER.
    Discovered(Discovered),
    /// Answer to GET_OFFSETS.
    Offsets(Offsets),
    /// Answer to ASSIGN: data frames of the new epoch follow.
    Assigned(Assigned),
    /// Answer to UPDATE.
    Updated(Updated),
    /// A schema that rows will name.
    Schema(ContainerHeader),
    /// Rows; not to be committed before their [`Event::BatchEnd`].
    Rows(Rows),
    /// The end of a batch.
    BatchEnd(Finished),
    /// A request takes long.
    Progress(Progress),
    /// The set of splits changed.
    Partitions(Partitions),
    /// A log line.
    Log(Log),
    /// Answer to PING.
    Pong(Bytes),
    /// Answer to STOP; nothing follows.
    Stopped(Stopped),
    /// A request failed, or, with `request` `None` or `fatal`, the session.
    Failed {
        /// The request.
        request: Option<Kind>,
        /// What happened.
        failure: Failure,
    },
    /// A data frame of an older epoch: nothing to do.
    Stale,
}

/// What was received for the EXTRACT that is being answered.
#[derive(Debug, Default)]
struct Tally {
    /// What came of each split.
    parts: HashMap<u32, Came>,
    total: u64,
    bytes: u64,
    frames: u64,
}

/// Rows and error rows of one split in a batch, and the CRC-32C over the datums of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Came {
    rows: u64,
    errors: u64,
    digest: u32,
}

/// What HELLO offered: the answer must stay within it.
#[derive(Debug, Default)]
struct Offered {
    protocols: Vec<u32>,
    features: Vec<String>,
    max_frame: u32,
}

/// A schema that rows may name.
#[derive(Debug)]
struct Live {
    is_keyed: bool,
    /// Length and checksum of the header: a number keeps its meaning within an epoch.
    mark: (usize, u32),
}

#[derive(Debug)]
struct OpenRequest {
    seq: u32,
    kind: Kind,
    max_bytes: u64,
    max_rows: u64,
}

/// The host's half of a session.
#[derive(Debug)]
pub struct HostSession {
    state: State,
    sealer: FrameSealer,
    epoch: u32,
    marker: Marker,
    open: VecDeque<OpenRequest>,
    /// Where each assigned split stands: the assigned value, then `to` of the last batch.
    chain: Vec<OffsetValue>,
    /// Assignments whose ASSIGNED has not come: until then frames belong to the epoch before.
    pending: VecDeque<(u32, Marker, Vec<OffsetValue>)>,
    schemas: HashMap<u32, Live>,
    offered: Offered,
    tally: Tally,
    last_batch: u64,
    /// The extractor picked the feature: its moves carry a digest.
    has_digests: bool,
    /// The extractor picked the feature: ASSIGN may name rows.
    can_refuse: bool,
}

impl Default for HostSession {
    fn default() -> Self {
        Self {
            state: State::Start,
            sealer: FrameSealer::default(),
            epoch: 0,
            marker: Marker([0; 16]),
            open: VecDeque::new(),
            chain: Vec::new(),
            pending: VecDeque::new(),
            schemas: HashMap::new(),
            offered: Offered::default(),
            tally: Tally::default(),
            last_batch: 0,
            has_digests: false,
            can_refuse: false,
        }
    }
}

impl HostSession {
    /// HELLO.
    pub fn hello(&mut self, hello: &Hello) -> Result<Sent, SessionError> {
        let sent = self.request(Head::new(Kind::Hello, 0), hello)?;
        let Hello { protocols, features, limits, .. } = hello.clone();
        self.offered = Offered { protocols, features, max_frame: limits.max_frame };
        Ok(sent)
    }

    /// CONFIGURE, marked as secret.
    pub fn configure(&mut self, configure: &Configure) -> Result<Sent, SessionError> {
        self.request(Head::new(Kind::Configure, self.epoch).sensitive(), configure)
    }

    /// CHECK.
    pub fn check(&mut self) -> Result<Sent, SessionError> {
        self.request(Head::new(Kind::Check, self.epoch), &Empty {})
    }

    /// DISCOVER.
    pub fn discover(&mut self) -> Result<Sent, SessionError> {
        self.request(Head::new(Kind::Discover, self.epoch), &Empty {})
    }

    /// GET_OFFSETS.
    pub fn get_offsets(&mut self, question: &GetOffsets) -> Result<Sent, SessionError> {
        self.request(Head::new(Kind::GetOffsets, self.epoch), question)
    }

    /// ASSIGN under a new epoch, of which the low 32 bits travel.
    pub fn assign(
        &mut self,
        epoch: u64,
        marker: Marker,
        incarnation: &str,
        parts: &[(OffsetKey, OffsetValue)],
    ) -> Result<Sent, SessionError> {
        self.assign_without(epoch, marker, incarnation, parts, &[])
    }

    /// Whether the extractor takes rows that ASSIGN names as refused.
    pub const fn can_refuse(&self) -> bool {
        self.can_refuse
    }

    /// ASSIGN that names rows which come as error rows instead.
    pub fn assign_without(
        &mut self,
        epoch: u64,
        marker: Marker,
        incarnation: &str,
        parts: &[(OffsetKey, OffsetValue)],
        refused: &[Refused],
    ) -> Result<Sent, SessionError> {
        let refused_max = if self.can_refuse { REFUSED_MAX } else { 0 };
        if refused.len() > refused_max {
            let (request, what, count) = ("ASSIGN", "refused rows", refused.len());
            return Err(SessionError::OverLimit { request, what, count, max: refused_max });
        }
        if parts.len() > PARTS_MAX {
            let (request, what, count) = ("ASSIGN", "splits", parts.len());
            return Err(SessionError::OverLimit { request, what, count, max: PARTS_MAX });
        }
        let [.., a, b, c, d] = epoch.to_be_bytes();
        let epoch = u32::from_be_bytes([a, b, c, d]);
        let entries = parts.iter().cloned();
        let assign = Assign {
            sync: marker.to_string(),
            incarnation: incarnation.to_owned(),
            parts: entries.map(|(key, value)| OffsetEntry { key, value }).collect(),
            refused: refused.to_vec(),
        };
        let sent = self.request(Head::new(Kind::Assign, epoch), &assign)?;
        let chain = parts.iter().map(|(_, value)| value.clone()).collect();
        self.pending.push_back((epoch, marker, chain));
        Ok(sent)
    }

    /// EXTRACT: one credit. Sent after ASSIGN, it may be sent before ASSIGNED.
    pub fn extract(&mut self, extract: &Extract) -> Result<Sent, SessionError> {
        if self.credits() >= CREDITS_MAX {
            let (request, what, count) = ("EXTRACT", "open credits", self.credits() + 1);
            return Err(SessionError::OverLimit { request, what, count, max: CREDITS_MAX });
        }
        let epoch = self.pending.back().map_or(self.epoch, |(epoch, ..)| *epoch);
        let sent = self.request(Head::new(Kind::Extract, epoch), extract)?;
        if let Some(open) = self.open.back_mut() {
            open.max_bytes = extract.max_bytes;
            open.max_rows = extract.max_rows;
        }
        Ok(sent)
    }

    /// COMMIT, for information.
    pub fn commit(&mut self, commit: Commit) -> Result<Sent, SessionError> {
        self.request(Head::new(Kind::Commit, self.epoch), &commit)
    }

    /// CANCEL of the request with this number.
    pub fn cancel(&mut self, seq: u32) -> Result<Sent, SessionError> {
        self.request(Head::new(Kind::Cancel, self.epoch).answers(seq), &Empty {})
    }

    /// STOP.
    pub fn stop(&mut self, stop: Stop) -> Result<Sent, SessionError> {
        self.request(Head::new(Kind::Stop, self.epoch), &stop)
    }

    /// UPDATE, marked as secret.
    pub fn update(&mut self, update: &Update) -> Result<Sent, SessionError> {
        self.request(Head::new(Kind::Update, self.epoch).sensitive(), update)
    }

    /// PING.
    pub fn ping(&mut self, payload: &[u8]) -> Result<Sent, SessionError> {
        self.seal(Head::new(Kind::Ping, self.epoch), payload)
    }

    /// Open EXTRACT requests.
    pub fn credits(&self) -> usize {
        self.open.iter().filter(|open| open.kind == Kind::Extract).count()
    }

    /// Whether a request waits for its answer.
    pub fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    fn request(&mut self, head: Head, message: &impl Serialize) -> Result<Sent, SessionError> {
        self.seal(head, &encode(message))
    }

    fn seal(&mut self, head: Head, payload: &[u8]) -> Result<Sent, SessionError> {
        let Some(next) = self.state.after(head.kind) else {
            let state = format!("{:?}", self.state);
            return Err(SessionError::NotNow { request: head.kind.name(), state });
        };
        let seq = self.sealer.next_seq();
        let mut bytes = Vec::new();
        self.sealer.write(&head, payload, &mut bytes)?;
        self.state = next;
        if head.kind.answer().is_some() {
            self.open.push_back(OpenRequest { seq, kind: head.kind, max_bytes: 0, max_rows: 0 });
        }
        Ok(Sent { seq, bytes })
    }
}
