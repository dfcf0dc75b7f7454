//! Writes a session frame by frame, with a line for people above each.

use std::fmt::Write;

use protocol::avro::row::{ERROR_SCHEMA, STATIC_SCHEMA};
use protocol::message::*;
use protocol::wire::{FrameSealer, Head, Kind, NONE};
use protocol::{OffsetKey, OffsetValue};
use serde::Serialize;

use crate::avro::{SYNC, block, header, static_row};
use crate::text::hex;

/// A session that grows.
#[derive(Default)]
pub(crate) struct Recorder {
    text: String,
    host: FrameSealer,
    extractor: FrameSealer,
    pub(crate) epoch: u32,
    batches: u64,
}

pub(crate) fn key(name: &str) -> OffsetKey {
    OffsetKey::parse(&format!(r#"{{"gen":"{name}"}}"#)).unwrap()
}

pub(crate) fn row(row: u64) -> OffsetValue {
    OffsetValue::parse(&format!(r#"{{"row":{row}}}"#)).unwrap()
}

pub(crate) fn step(part: u32, from: u64, to: u64, rows: u64) -> Move {
    Move { part, from: row(from), to: row(to), rows, errors: 0, digest: None }
}

pub(crate) fn hello() -> Hello {
    Hello {
        protocols: vec![1, 2],
        features: vec!["commit".into()],
        limits: WireLimits::default(),
        host: Peer { name: "host".into(), version: "1".into() },
        session: "vector".into(),
        log_level: "info".into(),
    }
}

pub(crate) fn hello_ok() -> HelloOk {
    HelloOk {
        protocol: 1,
        features: vec!["commit".into()],
        limits: WireLimits::default(),
        extractor: Peer { name: "extractor".into(), version: "1".into() },
        sources: vec![SourceClass { class: "test".into(), offset_key: vec!["gen".into()] }],
    }
}

pub(crate) fn configure() -> Configure {
    let mut config = Object::new();
    config.insert("connector.class".into(), "test".into());
    Configure { config, credentials: Object::new(), settings: Settings::default() }
}

pub(crate) fn credit(max_rows: u64) -> Extract {
    Extract { max_rows, max_bytes: 1_000, max_interval_ms: 100, until: Vec::new() }
}

impl Recorder {
    /// A session with HELLO behind it.
    pub(crate) fn open() -> Self {
        let mut it = Self::default();
        let seq = it.ask(Kind::Hello, &hello());
        it.answer(Kind::HelloOk, seq, &hello_ok());
        it
    }

    /// A session with CONFIGURE behind it.
    pub(crate) fn configured() -> Self {
        let mut it = Self::open();
        let seq = it.ask(Kind::Configure, &configure());
        it.answer(Kind::Configured, seq, &Configured::default());
        it
    }

    /// A session with p0 and p1 assigned from row 0 and the fixed schemas announced.
    pub(crate) fn ready() -> Self {
        let mut it = Self::configured();
        let seq = it.assign(5, &["p0", "p1"]);
        it.answer(Kind::Assigned, seq, &Assigned { parts: 2 });
        it.schemas();
        it
    }

    /// ASSIGN of splits from row 0; what follows has the new epoch.
    pub(crate) fn assign(&mut self, epoch: u32, names: &[&str]) -> u32 {
        self.epoch = epoch;
        let parts = names.iter().map(|name| OffsetEntry { key: key(name), value: row(0) });
        let assign = Assign {
            sync: SYNC.to_string(),
            incarnation: "test-0".into(),
            parts: parts.collect(),
            refused: Vec::new(),
        };
        self.ask(Kind::Assign, &assign)
    }

    /// SCHEMA 0 and 1.
    pub(crate) fn schemas(&mut self) {
        self.schema(&header(0, ERROR_SCHEMA).encode());
        self.schema(&header(1, STATIC_SCHEMA).encode());
    }

    pub(crate) fn schema(&mut self, payload: &[u8]) {
        self.say(Head::new(Kind::Schema, self.epoch), payload);
    }

    /// A request with a JSON payload.
    pub(crate) fn ask(&mut self, kind: Kind, message: &impl Serialize) -> u32 {
        let head = Head::new(kind, self.epoch);
        let secret = matches!(kind, Kind::Configure | Kind::Update);
        self.request(if secret { head.sensitive() } else { head }, &encode(message))
    }

    /// An answer with a JSON payload.
    pub(crate) fn answer(&mut self, kind: Kind, seq: u32, message: &impl Serialize) {
        self.say(Head::new(kind, self.epoch).answers(seq), &encode(message));
    }

    /// BATCH with `count` static rows that begin at `at`; its payload length.
    pub(crate) fn rows(&mut self, extract: u32, part: u32, at: u64, count: u64) -> u64 {
        let rows: Vec<u8> = (at..at + count)
            .flat_map(|n| static_row("t", &n.to_string(), &format!(r#"{{"n":{n}}}"#)))
            .collect();
        self.batch(extract, part, 1, Operation::Insert, &block(count, &rows))
    }

    /// BATCH.
    pub(crate) fn batch(
        &mut self,
        extract: u32,
        part: u32,
        schema: u32,
        operation: Operation,
        blocks: &[u8],
    ) -> u64 {
        let payload = [&BatchPrefix { schema, operation }.encode()[..], blocks].concat();
        self.say(Head::new(Kind::Batch, self.epoch).answers(extract).part(part), &payload);
        payload.len() as u64
    }

    /// What ends a batch with these frames and moves.
    pub(crate) fn end(&mut self, reason: Reason, sizes: &[u64], moves: &[Move]) -> BatchEnd {
        self.batches += 1;
        BatchEnd {
            batch: self.batches,
            rows: moves.iter().map(|step| step.rows).sum(),
            errors: moves.iter().map(|step| step.errors).sum(),
            bytes: sizes.iter().sum(),
            frames: sizes.len() as u64,
            reason,
            offsets: moves.to_vec(),
            lag: Lag { rows: Some(7), ms: None },
            lags: Vec::new(),
            caught_up: false,
        }
    }

    /// A whole batch of static rows of one part.
    pub(crate) fn whole_batch(&mut self, extract: u32, part: u32, at: u64, count: u64) {
        let size = self.rows(extract, part, at, count);
        let end = self.end(Reason::Rows, &[size], &[step(part, at, at + count, count)]);
        self.answer(Kind::BatchEnd, extract, &end);
    }

    /// A void batch.
    pub(crate) fn void(&mut self, extract: u32) {
        let end = BatchEnd { batch: 0, lag: Lag::default(), ..self.end(Reason::Void, &[], &[]) };
        self.answer(Kind::BatchEnd, extract, &end);
    }

    /// A frame of the host; its number.
    pub(crate) fn request(&mut self, head: Head, payload: &[u8]) -> u32 {
        let seq = self.host.next_seq();
        let mut bytes = Vec::new();
        self.host.write(&head, payload, &mut bytes).unwrap();
        self.note('>', seq, &head, payload, &bytes);
        seq
    }

    /// A frame of the extractor.
    pub(crate) fn say(&mut self, head: Head, payload: &[u8]) {
        let seq = self.extractor.next_seq();
        let mut bytes = Vec::new();
        self.extractor.write(&head, payload, &mut bytes).unwrap();
        self.note('<', seq, &head, payload, &bytes);
    }

    fn note(&mut self, arrow: char, seq: u32, head: &Head, payload: &[u8], bytes: &[u8]) {
        let number = |value: u32| if value == NONE { "-".to_owned() } else { value.to_string() };
        let content = match std::str::from_utf8(payload) {
            Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
            _ => format!("{} bytes", payload.len()),
        };
        let (name, reference) = (head.kind.name(), number(head.reference));
        let line = format!(
            "# {name} seq={seq} ref={reference} epoch={} part={} {content}",
            head.epoch,
            number(head.part)
        );
        writeln!(self.text, "{}\n{arrow} {}", line.trim_end(), hex(bytes)).unwrap();
    }

    /// The file.
    pub(crate) fn file(&self, about: &str, verdict: &str) -> Vec<u8> {
        format!("# {about}\nverdict: {verdict}\n{}", self.text).into_bytes()
    }
}
