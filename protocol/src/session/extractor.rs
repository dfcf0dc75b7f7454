//! The extractor's half: judges what the host sends and keeps the open requests in order.

use std::collections::VecDeque;

use bytes::Bytes;

use super::State;
use crate::avro::Marker;
use crate::error::{Code, Failure};
use crate::limits::{
    CREDITS_MAX, DATA_FRAME_BYTES_MIN, EXTRACT_BYTES_MAX, EXTRACT_INTERVAL_MS_MAX,
    EXTRACT_ROWS_MAX, PARTS_MAX, REFUSED_MAX,
};
use crate::message::{
    Assign, Commit, Configure, Empty, Extract, GetOffsets, Hello, PROTOCOL, Stop, Update, decode,
};
use crate::wire::{FLAG_SENSITIVE, Frame, Head, Kind, NONE};

/// What the host asks for.
#[derive(Debug)]
pub enum Request {
    /// Answer HELLO_OK.
    Hello(Hello),
    /// Answer CONFIGURED.
    Configure(Box<Configure>),
    /// Answer CHECKED.
    Check,
    /// Answer DISCOVERED.
    Discover,
    /// Answer OFFSETS.
    GetOffsets(GetOffsets),
    /// Answer every open EXTRACT with an empty batch, then ASSIGNED.
    Assign(Assign, Marker),
    /// Answer with a batch.
    Extract(Extract),
    /// No answer.
    Commit(Commit),
    /// End this request early, if it is still open.
    Cancel(u32),
    /// Answer the open requests, then STOPPED.
    Stop(Stop),
    /// Answer PONG with the same bytes.
    Ping(Bytes),
    /// Answer UPDATED.
    Update(Update),
}

/// An open request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its sequence number: `ref` of the answer.
    pub seq: u32,
    /// What it is.
    pub kind: Kind,
}

/// The extractor's half of a session.
#[derive(Debug)]
pub struct ExtractorSession {
    state: State,
    epoch: u32,
    parts: usize,
    open: VecDeque<Open>,
}

impl Default for ExtractorSession {
    fn default() -> Self {
        Self { state: State::Start, epoch: 0, parts: 0, open: VecDeque::new() }
    }
}

impl ExtractorSession {
    /// Judges a frame of the host.
    ///
    /// # Errors
    /// A fatal failure of class protocol: the session cannot go on.
    pub fn receive(&mut self, frame: &Frame) -> Result<Request, Failure> {
        let kind = frame.head.kind;
        let Some(next) = self.state.after(kind) else {
            let text = format!("{} must not come in state {:?}", kind.name(), self.state);
            return Err(Failure::new(Code::UnexpectedMessage, text).fatal());
        };
        let request = self.read(frame)?;
        self.state = next;
        if let Request::Assign(assign, _) = &request {
            self.epoch = frame.head.epoch;
            self.parts = assign.parts.len();
        }
        if kind.answer().is_some() {
            self.open.push_back(Open { seq: frame.seq, kind });
        }
        Ok(request)
    }

    /// The request to answer next.
    pub fn next_open(&self) -> Option<Open> {
        self.open.front().copied()
    }

    /// Whether the request is still open.
    pub fn is_open(&self, seq: u32) -> bool {
        self.open.iter().any(|open| open.seq == seq)
    }

    /// Takes the request that is answered now and gives the head of its answer. Answers are given
    /// in the order of the requests.
    pub fn answer(&mut self) -> Option<Head> {
        let open = self.open.pop_front()?;
        let kind = open.kind.answer()?;
        Some(Head::new(kind, self.epoch).answers(open.seq))
    }

    /// Takes the request that fails now and gives the head of its ERROR.
    pub fn answer_error(&mut self) -> Head {
        let reference = self.open.pop_front().map_or(NONE, |open| open.seq);
        Head::new(Kind::Error, self.epoch).answers(reference)
    }

    /// Low 32 bits of the current epoch.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    fn read(&self, frame: &Frame) -> Result<Request, Failure> {
        let (kind, payload) = (frame.head.kind, &frame.payload[..]);
        let secret = matches!(kind, Kind::Configure | Kind::Update);
        if secret && frame.head.flags & FLAG_SENSITIVE == 0 {
            return Err(refuse(kind, "lacks the SENSITIVE flag".to_owned()));
        }
        Ok(match kind {
            Kind::Hello => Request::Hello(check_hello(decode(kind, payload)?)?),
            Kind::Configure => Request::Configure(Box::new(decode(kind, payload)?)),
            Kind::Check => decode::<Empty>(kind, payload).map(|_| Request::Check)?,
            Kind::Discover => decode::<Empty>(kind, payload).map(|_| Request::Discover)?,
            Kind::GetOffsets => Request::GetOffsets(decode(kind, payload)?),
            Kind::Assign => {
                let assign: Assign = decode(kind, payload)?;
                let marker = check_assign(&assign)?;
                Request::Assign(assign, marker)
            }
            Kind::Extract => {
                self.check_credit(frame)?;
                let extract: Extract = decode(kind, payload)?;
                Request::Extract(check_extract(extract, self.parts)?)
            }
            Kind::Commit => Request::Commit(decode(kind, payload)?),
            Kind::Cancel => {
                decode::<Empty>(kind, payload).map(|_| Request::Cancel(frame.head.reference))?
            }
            Kind::Stop => Request::Stop(decode(kind, payload)?),
            Kind::Ping => Request::Ping(frame.payload.clone()),
            Kind::Update => Request::Update(decode(kind, payload)?),
            // The state machine lets no frame of the extractor pass.
            other => return Err(refuse(other, "is not for the extractor".to_owned())),
        })
    }

    fn check_credit(&self, frame: &Frame) -> Result<(), Failure> {
        if frame.head.epoch != self.epoch {
            let text = format!("has epoch {}, the assignment has {}", frame.head.epoch, self.epoch);
            return Err(refuse(Kind::Extract, text));
        }
        let credits = self.open.iter().filter(|open| open.kind == Kind::Extract).count();
        if credits >= CREDITS_MAX {
            return Err(refuse(Kind::Extract, format!("is one more than {CREDITS_MAX} open")));
        }
        Ok(())
    }
}

fn refuse(kind: Kind, text: String) -> Failure {
    Failure::new(Code::BadPayload, format!("{} {text}", kind.name())).fatal()
}

fn check_hello(hello: Hello) -> Result<Hello, Failure> {
    if !hello.protocols.contains(&PROTOCOL) {
        let text =
            format!("host offers protocols {:?}, this side speaks {PROTOCOL}", hello.protocols);
        return Err(Failure::new(Code::VersionMismatch, text).fatal());
    }
    if hello.limits.max_frame < DATA_FRAME_BYTES_MIN {
        let text = format!("max_frame is under the minimum {DATA_FRAME_BYTES_MIN}");
        return Err(refuse(Kind::Hello, text));
    }
    Ok(hello)
}

fn check_assign(assign: &Assign) -> Result<Marker, Failure> {
    if assign.parts.len() > PARTS_MAX {
        let text = format!("has {} splits, the limit is {PARTS_MAX}", assign.parts.len());
        return Err(refuse(Kind::Assign, text));
    }
    let mut keys: Vec<&str> = assign.parts.iter().map(|part| part.key.as_str()).collect();
    keys.sort_unstable();
    if let Some([twice, _]) = keys.array_windows().find(|[a, b]| a == b) {
        return Err(refuse(Kind::Assign, format!("names the split {twice} twice")));
    }
    if assign.refused.len() > REFUSED_MAX {
        let text =
            format!("names {} refused rows, the limit is {REFUSED_MAX}", assign.refused.len());
        return Err(refuse(Kind::Assign, text));
    }
    let places = || assign.refused.iter().map(|it| (it.part, it.row));
    let is_in_order = places().zip(places().skip(1)).all(|(a, b)| a < b);
    let parts = assign.parts.len();
    if !is_in_order || places().any(|(part, _)| part as usize >= parts) {
        let text = format!("refused rows are not in order, or of no part of {parts}");
        return Err(refuse(Kind::Assign, text));
    }
    Marker::from_hex(&assign.sync)
        .ok_or_else(|| refuse(Kind::Assign, "sync is not 32 hexadecimal digits".to_owned()))
}

fn check_extract(extract: Extract, parts: usize) -> Result<Extract, Failure> {
    let ranges = [
        ("max_rows", extract.max_rows, EXTRACT_ROWS_MAX),
        ("max_bytes", extract.max_bytes, EXTRACT_BYTES_MAX),
        ("max_interval_ms", extract.max_interval_ms, EXTRACT_INTERVAL_MS_MAX),
    ];
    for (name, value, max) in ranges {
        if value == 0 || value > max {
            return Err(refuse(Kind::Extract, format!("{name} is {value}, not in 1..={max}")));
        }
    }
    if let Some(stranger) = extract.until.iter().find(|until| until.part as usize >= parts) {
        return Err(refuse(
            Kind::Extract,
            format!("until names part {} of {parts}", stranger.part),
        ));
    }
    Ok(extract)
}
