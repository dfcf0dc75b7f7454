//! Both halves against each other in memory, and each rule of the host broken once.

use bytes::BytesMut;

use super::extractor::{ExtractorSession, Request};
use super::host::{Event, HostSession, Sent, SessionError};
use crate::avro::container::put_block_start;
use crate::avro::row::{ERROR_SCHEMA, STATIC_SCHEMA};
use crate::avro::{ContainerHeader, Marker};
use crate::error::{Code, Failure};
use crate::message::*;
use crate::offset::{OffsetKey, OffsetValue};
use crate::wire::{Direction, Frame, FrameDecoder, FrameSealer, Head, Kind};

const MARKER: Marker = Marker([7; 16]);

/// A host and the frames that an extractor sends to it.
struct Pair {
    host: HostSession,
    extractor: ExtractorSession,
    to_extractor: FrameDecoder,
    to_host: FrameDecoder,
    sealer: FrameSealer,
}

fn key(partition: u32) -> OffsetKey {
    OffsetKey::parse(&format!(r#"{{"partition":{partition},"topic":"t"}}"#)).unwrap()
}

fn at(offset: u64) -> OffsetValue {
    OffsetValue::parse(&format!(r#"{{"offset":{offset}}}"#)).unwrap()
}

fn hello() -> Hello {
    Hello {
        protocols: vec![1],
        features: vec![FEATURE_DIGEST.to_owned(), FEATURE_REFUSE.to_owned()],
        limits: WireLimits::default(),
        host: Peer::default(),
        session: "s".into(),
        log_level: "info".into(),
    }
}

fn credit() -> Extract {
    Extract { max_rows: 10, max_bytes: 1000, max_interval_ms: 100, until: vec![] }
}

fn blocks(rows: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_block_start(&mut out, rows, usize::try_from(rows).unwrap());
    out.extend(vec![0; usize::try_from(rows).unwrap()]);
    out.extend(MARKER.0);
    out
}

fn batch(schema: u32, operation: Operation, rows: u64) -> Vec<u8> {
    [&BatchPrefix { schema, operation }.encode()[..], &blocks(rows)].concat()
}

fn end(frames: u64, offsets: Vec<Move>) -> BatchEnd {
    BatchEnd {
        batch: 1,
        rows: offsets.iter().map(|step| step.rows).sum(),
        errors: offsets.iter().map(|step| step.errors).sum(),
        bytes: frames * batch(1, Operation::Insert, 3).len() as u64,
        frames,
        reason: Reason::Idle,
        offsets,
        lag: Lag::default(),
        lags: Vec::new(),
        caught_up: true,
    }
}

fn step(part: u32, from: u64, to: u64, rows: u64) -> Move {
    Move { part, from: at(from), to: at(to), rows, errors: 0, digest: None }
}

impl Pair {
    fn new() -> Self {
        Self {
            host: HostSession::default(),
            extractor: ExtractorSession::default(),
            to_extractor: FrameDecoder::new(Direction::FromHost),
            to_host: FrameDecoder::new(Direction::FromExtractor),
            sealer: FrameSealer::default(),
        }
    }

    /// A pair with two splits assigned under epoch 5 and one credit open.
    fn ready() -> Self {
        Self::ready_with(vec![])
    }

    /// The same with the features that the extractor picks.
    fn ready_with(features: Vec<String>) -> Self {
        let mut pair = Self::new();
        let sent = pair.host.hello(&hello()).unwrap();
        pair.deliver(&sent).unwrap();
        pair.answer(&HelloOk {
            protocol: 1,
            features,
            limits: WireLimits::default(),
            extractor: Peer::default(),
            sources: vec![],
        })
        .unwrap();
        let configure = Configure {
            config: Object::new(),
            credentials: Object::new(),
            settings: Settings::default(),
        };
        let sent = pair.host.configure(&configure).unwrap();
        pair.deliver(&sent).unwrap();
        pair.answer(&Configured::default()).unwrap();
        pair.assign(5);
        pair.answer(&Assigned { parts: 2 }).unwrap();
        pair.schema(1, STATIC_SCHEMA, &[]).unwrap();
        pair.extract();
        pair
    }

    fn assign(&mut self, epoch: u64) {
        let parts = [(key(0), at(0)), (key(1), at(0))];
        let sent = self.host.assign(epoch, MARKER, "", &parts).unwrap();
        self.deliver(&sent).unwrap();
    }

    fn extract(&mut self) {
        let sent = self.host.extract(&credit()).unwrap();
        self.deliver(&sent).unwrap();
    }

    fn deliver(&mut self, sent: &Sent) -> Result<Request, Failure> {
        let mut buf = BytesMut::from(&sent.bytes[..]);
        let frame = self.to_extractor.decode(&mut buf).unwrap().unwrap();
        assert_eq!(frame.seq, sent.seq);
        self.extractor.receive(&frame)
    }

    fn send(&mut self, head: Head, payload: &[u8]) -> Result<Event, SessionError> {
        let mut bytes = Vec::new();
        self.sealer.write(&head, payload, &mut bytes).unwrap();
        let frame: Frame = self.to_host.decode(&mut BytesMut::from(&bytes[..])).unwrap().unwrap();
        self.host.receive(&frame)
    }

    fn answer<T: serde::Serialize>(&mut self, message: &T) -> Result<Event, SessionError> {
        let head = self.extractor.answer().unwrap();
        self.send(head, &encode(message))
    }

    fn schema(&mut self, schema: u32, text: &str, key: &[&str]) -> Result<Event, SessionError> {
        let header = ContainerHeader {
            schema,
            avro_schema: text.to_owned(),
            topic: None,
            key_columns: key.iter().map(|&column| column.to_owned()).collect(),
            marker: MARKER,
        };
        let head = Head::new(Kind::Schema, self.extractor.epoch());
        self.send(head, &header.encode())
    }

    fn rows(&mut self, part: u32, payload: &[u8]) -> Result<Event, SessionError> {
        let open = self.extractor.next_open().unwrap();
        let head = Head::new(Kind::Batch, self.extractor.epoch()).answers(open.seq).part(part);
        self.send(head, payload)
    }
}

#[track_caller]
fn check_broken(result: Result<Event, SessionError>, part_of_text: &str) {
    let text = result.expect_err("must be refused").to_string();
    assert!(text.contains(part_of_text), "{text:?} lacks {part_of_text:?}");
}

#[test]
fn a_batch_passes() {
    let mut pair = Pair::ready();
    let event = pair.rows(1, &batch(1, Operation::Insert, 3)).unwrap();
    assert!(matches!(event, Event::Rows(rows) if rows.count == 3 && rows.part == 1));
    let event = pair.answer(&end(1, vec![step(1, 0, 3, 3)])).unwrap();
    assert!(matches!(event, Event::BatchEnd(done) if done.end.rows == 3));
    assert_eq!(pair.host.credits(), 0);
}

/// The rows of a part come in two frames, with an error row between them that does not count.
#[test]
fn digests_must_agree() {
    let own = Some(format!("crc32c:{:08x}", crc32c::crc32c(&[0; 6])));
    for (digest, is_right) in
        [(own, true), (Some("crc32c:00000001".to_owned()), false), (None, false)]
    {
        let mut pair = Pair::ready_with(vec![FEATURE_DIGEST.to_owned()]);
        pair.schema(0, ERROR_SCHEMA, &[]).unwrap();
        pair.rows(1, &batch(1, Operation::Insert, 3)).unwrap();
        pair.rows(1, &batch(0, Operation::Error, 3)).unwrap();
        pair.rows(1, &batch(1, Operation::Insert, 3)).unwrap();
        let step = Move { errors: 3, digest, ..step(1, 0, 9, 6) };
        let ended = pair.answer(&end(3, vec![step]));
        if is_right {
            assert!(matches!(ended, Ok(Event::BatchEnd(_))), "{ended:?}");
        } else {
            check_broken(ended, "part 1 says other rows than came (crc32c:");
        }
    }
}

#[test]
fn rows_without_credit_are_refused() {
    let mut pair = Pair::ready();
    let head = Head::new(Kind::Batch, 5).answers(77).part(0);
    check_broken(pair.send(head, &batch(1, Operation::Insert, 1)), "no credit");
}

#[test]
fn counts_must_agree() {
    for (offsets, frames, text) in [
        (vec![step(1, 0, 3, 2)], 1, "says 2 rows"),
        (vec![step(0, 0, 3, 0)], 1, "its offset did not move"),
        (vec![step(1, 0, 3, 3)], 2, "says 2 frames"),
        (vec![step(7, 0, 3, 3)], 1, "part 7 says 3 rows"),
    ] {
        let mut pair = Pair::ready();
        pair.rows(1, &batch(1, Operation::Insert, 3)).unwrap();
        check_broken(pair.answer(&end(frames, offsets)), text);
    }
}

#[test]
fn offsets_must_chain() {
    let mut pair = Pair::ready();
    check_broken(pair.answer(&end(0, vec![step(0, 4, 5, 0)])), "it stands at {\"offset\":0}");
    let mut pair = Pair::ready();
    check_broken(pair.answer(&end(0, vec![step(0, 0, 0, 0)])), "moves nowhere");
    let mut pair = Pair::ready();
    pair.answer(&end(0, vec![step(0, 0, 9, 0)])).unwrap();
    pair.extract();
    let second = BatchEnd { batch: 2, ..end(0, vec![step(0, 9, 12, 0)]) };
    pair.answer(&second).unwrap();
    pair.extract();
    check_broken(pair.answer(&second), "batch 2 after 2");
}

#[test]
fn more_than_asked_for_is_refused() {
    let mut pair = Pair::ready();
    check_broken(pair.rows(0, &batch(1, Operation::Insert, 11)), "more than EXTRACT asked for");
}

#[test]
fn schema_and_operation_must_fit() {
    let mut pair = Pair::ready();
    check_broken(pair.rows(0, &batch(2, Operation::Insert, 1)), "schema 2 is not known");
    let mut pair = Pair::ready();
    check_broken(pair.rows(0, &batch(1, Operation::Upsert, 1)), "does not go with schema 1");
    let mut pair = Pair::ready();
    pair.schema(2, STATIC_SCHEMA, &["topic"]).unwrap();
    pair.schema(0, ERROR_SCHEMA, &[]).unwrap();
    pair.rows(0, &batch(2, Operation::Delete, 1)).unwrap();
    pair.rows(0, &batch(0, Operation::Error, 1)).unwrap();
    check_broken(pair.schema(3, STATIC_SCHEMA, &[]), "inside a batch");
}

#[test]
fn answers_come_in_order() {
    let mut pair = Pair::ready();
    pair.extract();
    let first = pair.extractor.answer().unwrap();
    let second = pair.extractor.answer().unwrap();
    assert!(first.reference < second.reference);
    check_broken(pair.send(second, &encode(&end(0, vec![]))), "is due");
}

#[test]
fn assign_voids_credits_and_stale_rows_are_dropped() {
    let mut pair = Pair::ready();
    pair.extract();
    pair.rows(0, &batch(1, Operation::Insert, 2)).unwrap();
    pair.assign(6);
    for _ in 0..2 {
        let void = BatchEnd { batch: 9, reason: Reason::Void, bytes: 0, ..end(0, vec![]) };
        let event = pair.answer(&void).unwrap();
        assert!(matches!(event, Event::BatchEnd(done) if done.end.reason == Reason::Void));
    }
    pair.answer(&Assigned { parts: 2 }).unwrap();
    let late = Head::new(Kind::Batch, 5).answers(3).part(0);
    assert!(matches!(pair.send(late, &batch(1, Operation::Insert, 1)), Ok(Event::Stale)));
    // Schemas are of their epoch.
    pair.extract();
    check_broken(pair.rows(0, &batch(1, Operation::Insert, 1)), "schema 1 is not known");
}

#[test]
fn a_voided_credit_carries_nothing() {
    let void = BatchEnd { reason: Reason::Void, ..end(0, vec![]) };
    let moves = BatchEnd { reason: Reason::Void, ..end(0, vec![step(0, 0, 1, 0)]) };
    // Counts whose sum wraps to 0 are counts.
    let wraps = BatchEnd { rows: u64::MAX, errors: 1, ..void.clone() };
    let bytes = BatchEnd { bytes: 1, ..void };
    for end in [moves, wraps, bytes] {
        let mut pair = Pair::ready();
        check_broken(pair.answer(&end), "carries nothing");
    }
}

#[test]
fn a_schema_number_keeps_its_meaning() {
    let mut pair = Pair::ready();
    pair.schema(1, STATIC_SCHEMA, &[]).unwrap();
    check_broken(pair.schema(1, ERROR_SCHEMA, &[]), "changes its meaning");
    let mut pair = Pair::ready();
    check_broken(pair.schema(0, STATIC_SCHEMA, &[]), "not the error schema");
}

#[test]
fn hello_ok_stays_within_the_offer() {
    let fine = HelloOk {
        protocol: 1,
        features: vec![],
        limits: WireLimits::default(),
        extractor: Peer::default(),
        sources: vec![],
    };
    let cases = [
        (HelloOk { protocol: 2, ..fine.clone() }, "protocol 2"),
        (HelloOk { features: vec!["extra".into()], ..fine.clone() }, "\"extra\""),
        (HelloOk { limits: WireLimits { max_frame: 1 }, ..fine.clone() }, "max_frame 1"),
    ];
    for (answer, text) in cases {
        let mut pair = Pair::new();
        let sent = pair.host.hello(&hello()).unwrap();
        pair.deliver(&sent).unwrap();
        check_broken(pair.answer(&answer), text);
    }
}

#[test]
fn a_failed_assign_leaves_nothing_assigned() {
    let mut pair = Pair::ready();
    pair.answer(&end(0, vec![])).unwrap();
    pair.assign(6);
    let head = pair.extractor.answer_error();
    let failure = Failure::new(Code::OffsetOutOfRange, "gone");
    let event = pair.send(head, &encode(&failure)).unwrap();
    assert!(matches!(event, Event::Failed { request: Some(Kind::Assign), .. }));
    assert!(matches!(pair.host.extract(&credit()), Err(SessionError::NotNow { .. })));
    pair.assign(7);
    pair.answer(&Assigned { parts: 2 }).unwrap();
    pair.extract();
}

#[test]
fn nothing_follows_stopped() {
    let mut pair = Pair::ready();
    pair.answer(&end(0, vec![])).unwrap();
    let sent = pair.host.stop(Stop { mode: StopMode::Drain, deadline_ms: 5 }).unwrap();
    pair.deliver(&sent).unwrap();
    pair.answer(&Stopped::default()).unwrap();
    let log = Log { level: "info".into(), ..Log::default() };
    check_broken(pair.send(Head::new(Kind::Log, 5), &encode(&log)), "follow STOPPED");
}

#[test]
fn an_array_is_no_message() {
    let failure = decode::<Assigned>(Kind::Assigned, b"[2]").unwrap_err();
    assert_eq!(failure.code, Code::BadPayload);
}

#[test]
fn host_must_not_ask_too_early() {
    let mut host = HostSession::default();
    assert!(matches!(host.check(), Err(SessionError::NotNow { .. })));
    assert!(matches!(host.extract(&credit()), Err(SessionError::NotNow { .. })));
    let mut pair = Pair::ready();
    for _ in 1..crate::limits::CREDITS_MAX {
        pair.extract();
    }
    assert!(matches!(pair.host.extract(&credit()), Err(SessionError::OverLimit { .. })));
}

#[test]
fn extractor_refuses_what_must_not_come() {
    let mut pair = Pair::new();
    let sent = pair.host.hello(&hello()).unwrap();
    pair.deliver(&sent).unwrap();
    let mut twice = HostSession::default();
    let again = twice.hello(&hello()).unwrap();
    let mut decoder = FrameDecoder::new(Direction::FromHost);
    let frame = decoder.decode(&mut BytesMut::from(&again.bytes[..])).unwrap().unwrap();
    assert_eq!(pair.extractor.receive(&frame).unwrap_err().code, Code::UnexpectedMessage);
}

#[test]
fn extractor_refuses_bad_payloads() {
    let receive = |kind: Kind, flags: u16, payload: &'static [u8]| {
        let mut extractor = Pair::ready().extractor;
        let head = Head { flags, ..Head::new(kind, 5) };
        extractor.receive(&Frame { head, seq: 9, payload: payload.into() }).unwrap_err()
    };
    for (kind, payload, text) in [
        (Kind::Extract, &br#"{"max_rows":0,"max_bytes":1,"max_interval_ms":1}"#[..], "max_rows is 0"),
        (Kind::Extract, br#"{"max_rows":1,"max_bytes":1,"max_interval_ms":1,"until":[{"part":2,"value":{"offset":1}}]}"#, "until names part 2"),
        (Kind::Assign, br#"{"sync":"xyz","parts":[]}"#, "sync"),
        (Kind::Assign, br#"{"sync":"00000000000000000000000000000000","parts":[{"key":{"a":1},"value":{"b":1}},{"key":{"a":1},"value":{"b":1}}]}"#, "twice"),
        (Kind::Assign, br#"{"sync":"00000000000000000000000000000000","parts":[{"key":{"a":1},"value":null}]}"#, "VALUE"),
        (Kind::Update, b"{}", "SENSITIVE"),
        (Kind::Check, b"", "CHECK"),
    ] {
        let failure = receive(kind, 0, payload);
        assert!(failure.fatal && failure.message.contains(text), "{failure} lacks {text}");
    }
}

#[test]
fn version_is_agreed_or_refused() {
    let mut host = HostSession::default();
    let sent = host.hello(&Hello { protocols: vec![7, 8], ..hello() }).unwrap();
    let mut pair = Pair::new();
    assert_eq!(pair.deliver(&sent).unwrap_err().code, Code::VersionMismatch);
    let sent = pair.host.hello(&Hello { protocols: vec![1, 9], ..hello() }).unwrap();
    pair.to_extractor = FrameDecoder::new(Direction::FromHost);
    pair.deliver(&sent).unwrap();
}

/// Rows are named as refused only where the extractor takes them, in order, of assigned parts.
#[test]
fn refused_rows_are_named_in_order_and_with_the_feature() {
    use crate::limits::REFUSED_MAX;
    let parts = [(key(0), at(0)), (key(1), at(0))];
    let refused = |part: u32, row: u64| Refused {
        part,
        row,
        digest: Refused::digest_of(b"row"),
        reason: "no room".to_owned(),
    };
    let mut plain = Pair::ready_with(Vec::new());
    assert!(!plain.host.can_refuse());
    let sent = plain.host.assign_without(6, MARKER, "", &parts, &[refused(0, 0)]);
    assert!(matches!(sent, Err(SessionError::OverLimit { .. })), "{sent:?}");
    let check = |named: &[Refused], is_taken: bool| {
        let mut pair = Pair::ready_with(vec![FEATURE_REFUSE.to_owned()]);
        let sent = pair.host.assign_without(6, MARKER, "", &parts, named).unwrap();
        match pair.deliver(&sent) {
            Ok(Request::Assign(assign, _)) => {
                assert_eq!((assign.refused.as_slice(), is_taken), (named, true))
            }
            other => assert!(!is_taken, "{other:?}"),
        }
    };
    check(&[], true);
    check(&[refused(0, 1), refused(0, 2), refused(1, 0)], true);
    check(&[refused(0, 2), refused(0, 2)], false);
    check(&[refused(0, 2), refused(0, 1)], false);
    check(&[refused(1, 0), refused(0, 0)], false);
    check(&[refused(2, 0)], false);
    let many: Vec<_> = (0..=REFUSED_MAX as u64).map(|row| refused(0, row)).collect();
    check(&many[1..], true);
    let mut pair = Pair::ready_with(vec![FEATURE_REFUSE.to_owned()]);
    assert!(pair.host.assign_without(6, MARKER, "", &parts, &many).is_err());
}
