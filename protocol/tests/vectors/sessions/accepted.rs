//! Sessions that must be accepted, now and by every later version.

use protocol::avro::ErrorRow;
use protocol::avro::row::STATIC_SCHEMA;
use protocol::message::*;
use protocol::wire::{Head, Kind};
use protocol::{Code, Failure, OffsetValue};

use super::recorder::{Recorder, credit, key, row, step};
use crate::avro::{block, header, static_row};

type File = (String, Vec<u8>);

fn accept(name: &str, about: &str, session: &Recorder) -> File {
    (format!("accept-{name}.s2x"), session.file(about, "accept"))
}

fn value(text: &str) -> OffsetValue {
    OffsetValue::parse(text).unwrap()
}

fn error_rows() -> Vec<u8> {
    let mut rows = Vec::new();
    let error = ErrorRow {
        split: r#"{"gen":"p0"}"#,
        position: r#"{"row":3}"#,
        value: Some(b"\xff"),
        code: "DECODE_FAILED",
        reason: "no JSON",
        ..ErrorRow::default()
    };
    error.write(&mut rows);
    block(1, &rows)
}

/// HELLO to STOPPED with two credits open, an error row, and a credit that is drained.
fn whole() -> Recorder {
    let mut it = Recorder::configured();
    let seq = it.ask(Kind::Check, &Empty {});
    let checks = vec![CheckLine { name: "test source".into(), ms: 0 }];
    it.answer(Kind::Checked, seq, &Checked { checks });
    let seq = it.ask(Kind::Discover, &Empty {});
    let split = |name| Split { key: key(name), parents: vec![], closed: false };
    let splits = vec![split("p0"), split("p1")];
    it.answer(Kind::Discovered, seq, &Discovered { incarnation: "test-0".into(), splits });
    let seq =
        it.ask(Kind::GetOffsets, &GetOffsets { start: Start::Earliest, keys: vec![key("p0")] });
    let offsets = vec![OffsetEntry { key: key("p0"), value: row(0) }];
    it.answer(Kind::Offsets, seq, &Offsets { offsets });
    let seq = it.assign(5, &["p0", "p1"]);
    it.answer(Kind::Assigned, seq, &Assigned { parts: 2 });
    it.schemas();
    let (first, second) = (it.ask(Kind::Extract, &credit(10)), it.ask(Kind::Extract, &credit(10)));
    let sizes = [
        it.rows(first, 0, 0, 2),
        it.batch(first, 0, 0, Operation::Error, &error_rows()),
        it.rows(first, 1, 0, 3),
        it.rows(first, 0, 2, 1),
    ];
    let moves = [Move { errors: 1, ..step(0, 0, 4, 3) }, step(1, 0, 3, 3)];
    let end = it.end(Reason::Interval, &sizes, &moves);
    it.answer(Kind::BatchEnd, first, &end);
    it.ask(Kind::Commit, &Commit { batch: 1 });
    it.whole_batch(second, 0, 4, 10);
    let third = it.ask(Kind::Extract, &credit(10));
    let stop = it.ask(Kind::Stop, &Stop { mode: StopMode::Drain, deadline_ms: 5_000 });
    let end = it.end(Reason::Stop, &[], &[]);
    it.answer(Kind::BatchEnd, third, &end);
    let stopped = Stopped { batches: 3, rows: 16, uptime_ms: 1_234, max_rss_bytes: 20_000_000 };
    it.answer(Kind::Stopped, stop, &stopped);
    it
}

/// ASSIGN while rows are on their way: voids, then frames of the old epoch that are dropped.
fn assigned_again() -> Recorder {
    let mut it = Recorder::ready();
    let (first, second) = (it.ask(Kind::Extract, &credit(10)), it.ask(Kind::Extract, &credit(10)));
    it.rows(first, 0, 0, 2);
    let assign = it.assign(u32::MAX, &["p1"]);
    let third = it.ask(Kind::Extract, &credit(10));
    it.epoch = 5;
    // A void may still carry the epoch before.
    it.void(first);
    it.epoch = u32::MAX;
    it.void(second);
    it.answer(Kind::Assigned, assign, &Assigned { parts: 1 });
    it.epoch = 5;
    it.rows(first, 0, 2, 2);
    it.schema(b"of the old epoch, so nobody looks at it");
    it.epoch = u32::MAX;
    it.schemas();
    it.whole_batch(third, 0, 0, 1);
    it
}

/// Several live schemas; upserts and deletes of keyed rows.
fn typed() -> Recorder {
    let mut it = Recorder::ready();
    let keyed = |schema, topic: &str| {
        let key_columns = vec!["topic".to_owned(), "id".to_owned()];
        let topic = Some(topic.to_owned());
        protocol::avro::ContainerHeader { topic, key_columns, ..header(schema, STATIC_SCHEMA) }
    };
    it.schema(&keyed(2, "a").encode());
    it.schema(&keyed(3, "b").encode());
    // The same again is nothing new.
    it.schema(&keyed(3, "b").encode());
    let extract = it.ask(Kind::Extract, &credit(10));
    let rows =
        |count: u64| block(count, &static_row("t", "1", "{}").repeat(count.try_into().unwrap()));
    let sizes = [
        it.batch(extract, 0, 2, Operation::Delete, &rows(1)),
        it.batch(extract, 0, 2, Operation::Upsert, &[rows(2), rows(1)].concat()),
        it.batch(extract, 1, 3, Operation::Upsert, &rows(1)),
        it.rows(extract, 1, 0, 1),
    ];
    let end = it.end(Reason::Bytes, &sizes, &[step(0, 0, 4, 4), step(1, 0, 9, 2)]);
    it.answer(Kind::BatchEnd, extract, &end);
    // Between batches another schema may come.
    it.schema(&keyed(4, "c").encode());
    it
}

/// Requests that fail and a session that goes on.
fn failures() -> Recorder {
    let mut it = Recorder::configured();
    let seq = it.ask(Kind::Check, &Empty {});
    it.answer(Kind::Error, seq, &Failure::new(Code::SourceUnavailable, "no answer"));
    let seq = it.ask(Kind::Discover, &Empty {});
    it.request(Head::new(Kind::Cancel, 0).answers(seq), b"{}");
    it.answer(Kind::Error, seq, &Failure::new(Code::Cancelled, "cancelled"));
    let assign = it.assign(5, &["p0"]);
    let extract = it.ask(Kind::Extract, &credit(10));
    let failure = Failure::new(Code::OffsetOutOfRange, "row 0 is gone").at(0, Some(row(0)));
    it.answer(Kind::Error, assign, &failure);
    it.void(extract);
    let assign = it.assign(6, &["p0"]);
    it.answer(Kind::Assigned, assign, &Assigned { parts: 1 });
    it.schemas();
    let extract = it.ask(Kind::Extract, &credit(10));
    it.rows(extract, 0, 0, 2);
    it.answer(Kind::Error, extract, &Failure::new(Code::Dns, "no such host"));
    // Those rows never existed: the next batch begins where the last one ended.
    let extract = it.ask(Kind::Extract, &credit(10));
    it.whole_batch(extract, 0, 0, 3);
    // A failure of the session answers nothing.
    let failure = Failure::new(Code::Panic, "a bug").fatal();
    it.say(Head::new(Kind::Error, 6), &encode(&failure));
    it
}

/// What overtakes, what is news, what rotates.
fn side_talk() -> Recorder {
    let mut it = Recorder::ready();
    let extract = it.ask(Kind::Extract, &credit(10));
    let size = it.rows(extract, 0, 0, 2);
    let ping = it.request(Head::new(Kind::Ping, 5), b"\x00\xff");
    it.say(Head::new(Kind::Pong, 5).answers(ping), b"\x00\xff");
    let progress = Progress {
        phase: Phase::Throttled,
        retry_after_ms: Some(40),
        rss_bytes: 1 << 20,
        message: None,
    };
    it.answer(Kind::Progress, extract, &progress);
    let log = Log { level: "warn".into(), message: "slow".into(), ..Log::default() };
    it.say(Head::new(Kind::Log, 5), &encode(&log));
    let closed = value(r#"{"closed":true,"row":2}"#);
    let end = it.end(Reason::Rows, &[size], &[Move { to: closed, ..step(0, 0, 2, 2) }]);
    it.answer(Kind::BatchEnd, extract, &end);
    let child = |name| AddedSplit { key: key(name), parents: vec![key("p0")], value: row(0) };
    let news = Partitions { closed: vec![key("p0")], added: vec![child("p0a"), child("p0b")] };
    it.say(Head::new(Kind::Partitions, 5), &encode(&news));
    let mut credentials = Object::new();
    credentials.insert("token".into(), "not a real one".into());
    let update = Update { credentials: Some(credentials), log_level: Some("debug".into()) };
    let seq = it.ask(Kind::Update, &update);
    let applied = vec!["credentials".to_owned(), "log_level".to_owned()];
    it.answer(Kind::Updated, seq, &Updated { applied });
    it
}

/// Batches without rows that move offsets; a batch that does nothing; the end of a split.
fn no_rows() -> Recorder {
    let mut it = Recorder::ready();
    let mut batch = |reason, moves: &[Move]| {
        let extract = it.ask(Kind::Extract, &credit(10));
        let end = it.end(reason, &[], moves);
        it.answer(Kind::BatchEnd, extract, &end);
    };
    batch(Reason::Idle, &[step(0, 0, 900, 0)]);
    batch(Reason::Idle, &[]);
    let (open, closed) = (row(900), value(r#"{"closed":true,"row":900}"#));
    batch(Reason::Eof, &[Move { from: open, to: closed, ..step(0, 0, 0, 0) }, step(1, 0, 1, 0)]);
    it
}

/// STOP in mode now: voids; a second STOP before that.
fn stopped_now() -> Recorder {
    let mut it = Recorder::ready();
    let (first, second) = (it.ask(Kind::Extract, &credit(10)), it.ask(Kind::Extract, &credit(10)));
    it.rows(first, 0, 0, 2);
    let stop = it.ask(Kind::Stop, &Stop { mode: StopMode::Drain, deadline_ms: 60_000 });
    it.ask(Kind::Stop, &Stop { mode: StopMode::Now, deadline_ms: 100 });
    it.void(first);
    it.void(second);
    it.answer(Kind::Stopped, stop, &Stopped::default());
    it
}

pub(crate) fn all() -> Vec<File> {
    vec![
        accept("whole", "hello to stopped, two credits, an error row, a drained credit", &whole()),
        accept("assigned-again", "voids, stale frames, the largest epoch", &assigned_again()),
        accept("typed", "several schemas, upserts and deletes", &typed()),
        accept("failures", "requests that fail, a session that goes on", &failures()),
        accept("side-talk", "pong, progress, log, partitions, update", &side_talk()),
        accept("no-rows", "batches that only move offsets, or nothing", &no_rows()),
        accept("stopped-now", "stop in mode now, and a second stop", &stopped_now()),
    ]
}
