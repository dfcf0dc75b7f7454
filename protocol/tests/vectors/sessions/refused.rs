//! Sessions whose last frame breaks a rule.

use protocol::avro::Marker;
use protocol::avro::row::STATIC_SCHEMA;
use protocol::message::*;
use protocol::wire::{Head, Kind};
use protocol::{Code, Failure};

use super::recorder::{Recorder, configure, credit, hello, hello_ok, key, row, step};
use crate::avro::{block, header};

type File = (String, Vec<u8>);

fn by_host(rule: &str, name: &str, session: &Recorder) -> File {
    let file = format!("refuse-{}-{name}.s2x", rule.to_lowercase());
    (file, session.file(&name.replace('-', " "), &format!("refuse host {rule}")))
}

fn by_extractor(rule: &str, name: &str, code: Code, session: &Recorder) -> File {
    let file = format!("refuse-{}-{name}.s2x", rule.to_lowercase());
    (file, session.file(&name.replace('-', " "), &format!("refuse extractor {rule} {code}")))
}

/// A session with a credit; its number.
fn with_credit() -> (Recorder, u32) {
    let mut it = Recorder::ready();
    let extract = it.ask(Kind::Extract, &credit(10));
    (it, extract)
}

fn answers() -> Vec<File> {
    let mut order = Recorder::configured();
    order.ask(Kind::Check, &Empty {});
    let second = order.ask(Kind::Check, &Empty {});
    order.answer(Kind::Checked, second, &Checked::default());
    let mut kind = Recorder::configured();
    let seq = kind.ask(Kind::Check, &Empty {});
    kind.answer(Kind::Discovered, seq, &Discovered::default());
    let mut unasked = Recorder::configured();
    unasked.answer(Kind::Checked, 1, &Checked::default());
    let mut error = Recorder::configured();
    error.ask(Kind::Check, &Empty {});
    error.answer(Kind::Error, 7, &Failure::new(Code::Bug, "of nothing"));
    let hello_with = |answer: HelloOk| {
        let mut it = Recorder::default();
        let seq = it.ask(Kind::Hello, &hello());
        it.answer(Kind::HelloOk, seq, &answer);
        it
    };
    let version = hello_with(HelloOk { protocol: 2, ..hello_ok() });
    let feature = hello_with(HelloOk { features: vec!["more".into()], ..hello_ok() });
    let limits = WireLimits { max_frame: WireLimits::default().max_frame + 1 };
    let frame = hello_with(HelloOk { limits, ..hello_ok() });
    let mut parts = Recorder::configured();
    let seq = parts.assign(5, &["p0"]);
    parts.answer(Kind::Assigned, seq, &Assigned { parts: 2 });
    let mut epoch = Recorder::configured();
    let seq = epoch.assign(5, &["p0"]);
    epoch.epoch = 4;
    epoch.answer(Kind::Assigned, seq, &Assigned { parts: 1 });
    vec![
        by_host("H1", "answer-out-of-order", &order),
        by_host("H1", "answer-of-another-type", &kind),
        by_host("H1", "answer-to-nothing", &unasked),
        by_host("H1", "error-to-nothing", &error),
        by_host("H2", "version-not-spoken", &version),
        by_host("H2", "feature-not-offered", &feature),
        by_host("H2", "frames-larger-than-offered", &frame),
        by_host("H3", "another-number-of-parts", &parts),
        by_host("H3", "another-epoch", &epoch),
    ]
}

fn schemas() -> Vec<File> {
    let with = |payload: &[u8]| {
        let mut it = Recorder::ready();
        it.schema(payload);
        it
    };
    let other =
        protocol::avro::ContainerHeader { marker: Marker([9; 16]), ..header(2, STATIC_SCHEMA) };
    let (mut inside, extract) = with_credit();
    inside.rows(extract, 0, 0, 1);
    inside.schema(&header(2, STATIC_SCHEMA).encode());
    let mut error = Recorder::configured();
    let seq = error.assign(5, &["p0"]);
    error.answer(Kind::Assigned, seq, &Assigned { parts: 1 });
    error.schema(&header(0, STATIC_SCHEMA).encode());
    let keyed = protocol::avro::ContainerHeader {
        key_columns: vec!["id".into()],
        ..header(1, STATIC_SCHEMA)
    };
    vec![
        by_host("H4", "no-container", &with(b"{}")),
        by_host("H4", "another-marker", &with(&other.encode())),
        by_host("H4", "inside-a-batch", &inside),
        by_host("H4", "another-error-schema", &error),
        by_host("H4", "number-with-another-meaning", &with(&keyed.encode())),
    ]
}

fn rows() -> Vec<File> {
    let with = |part: u32, schema: u32, operation: Operation, blocks: &[u8]| {
        let (mut it, extract) = with_credit();
        it.batch(extract, part, schema, operation, blocks);
        it
    };
    let good = block(1, b"\x02t\x021\x04{}");
    let mut marker = good.clone();
    *marker.last_mut().unwrap() ^= 1;
    let mut without = Recorder::ready();
    without.rows(7, 0, 0, 1);
    let (mut second, _) = with_credit();
    let behind = second.ask(Kind::Extract, &credit(10));
    second.rows(behind, 0, 0, 1);
    let (mut prefix, extract) = with_credit();
    let payload = [&[0, 0, 0, 1, 0, 0, 0, 1][..], &good].concat();
    prefix.say(Head::new(Kind::Batch, 5).answers(extract).part(0), &payload);
    let (mut more, extract) = with_credit();
    more.rows(extract, 0, 0, 6);
    more.rows(extract, 1, 0, 5);
    vec![
        by_host("H5", "rows-without-credit", &without),
        by_host("H5", "rows-for-the-second-credit", &second),
        by_host("H6", "part-not-assigned", &with(2, 1, Operation::Insert, &good)),
        by_host("H6", "schema-not-announced", &with(0, 2, Operation::Insert, &good)),
        by_host("H6", "upsert-without-key", &with(0, 1, Operation::Upsert, &good)),
        by_host("H6", "insert-of-error-rows", &with(0, 0, Operation::Insert, &good)),
        by_host("H6", "prefix-not-zero", &prefix),
        by_host("H6", "another-marker", &with(0, 1, Operation::Insert, &marker)),
        by_host("H6", "empty-block", &with(0, 1, Operation::Insert, &block(0, b""))),
        by_host("H6", "no-block", &with(0, 1, Operation::Insert, b"")),
        by_host("H6", "half-a-block", &with(0, 1, Operation::Insert, &good[..9])),
        by_host("H7", "more-rows-than-asked-for", &more),
    ]
}

/// A credit, three rows of part 1, and an end that `change` spoils.
fn end_with(change: impl Fn(&mut BatchEnd)) -> Recorder {
    let (mut it, extract) = with_credit();
    let size = it.rows(extract, 1, 0, 3);
    let mut end = it.end(Reason::Rows, &[size], &[step(1, 0, 3, 3)]);
    change(&mut end);
    it.answer(Kind::BatchEnd, extract, &end);
    it
}

fn ends() -> Vec<File> {
    let mut number = Recorder::ready();
    for _ in 0..2 {
        let extract = number.ask(Kind::Extract, &credit(10));
        let end = BatchEnd { batch: 1, ..number.end(Reason::Idle, &[], &[]) };
        number.answer(Kind::BatchEnd, extract, &end);
    }
    let (mut epoch, extract) = with_credit();
    let end = epoch.end(Reason::Idle, &[], &[]);
    epoch.epoch = 4;
    epoch.answer(Kind::BatchEnd, extract, &end);
    let mut chain = Recorder::ready();
    for _ in 0..2 {
        let extract = chain.ask(Kind::Extract, &credit(10));
        let end = chain.end(Reason::Idle, &[], &[step(0, 0, 9, 0)]);
        chain.answer(Kind::BatchEnd, extract, &end);
    }
    let (mut void, extract) = with_credit();
    let end = BatchEnd { frames: 1, ..void.end(Reason::Void, &[], &[]) };
    void.answer(Kind::BatchEnd, extract, &end);
    let (mut wraps, extract) = with_credit();
    let end = BatchEnd { rows: u64::MAX, errors: 1, ..wraps.end(Reason::Void, &[], &[]) };
    wraps.answer(Kind::BatchEnd, extract, &end);
    vec![
        by_host("H8", "number-twice", &number),
        by_host("H8", "another-epoch", &epoch),
        by_host("H9", "frames", &end_with(|end| end.frames += 1)),
        by_host("H9", "bytes", &end_with(|end| end.bytes -= 1)),
        by_host("H9", "rows-of-a-part", &end_with(|end| end.offsets[0].rows = 2)),
        by_host("H9", "errors-of-a-part", &end_with(|end| end.offsets[0].errors = 1)),
        by_host("H9", "rows-without-a-move", &end_with(|end| end.offsets.clear())),
        by_host("H9", "rows-of-another-part", &end_with(|end| end.offsets[0].part = 0)),
        by_host("H10", "gap-in-the-chain", &end_with(|end| end.offsets[0].from = row(1))),
        by_host("H10", "same-move-twice", &chain),
        by_host("H10", "moves-nowhere", &end_with(|end| end.offsets[0].to = row(0))),
        by_host("H10", "part-not-assigned", &end_with(|end| end.offsets.push(step(9, 0, 1, 0)))),
        by_host("H11", "void-with-frames", &void),
        by_host("H11", "void-with-counts-that-wrap", &wraps),
    ]
}

fn last_frames() -> Vec<File> {
    let mut payload = Recorder::configured();
    let seq = payload.ask(Kind::Check, &Empty {});
    payload.say(Head::new(Kind::Checked, 0).answers(seq), br#"{"checks":7}"#);
    let mut after = Recorder::configured();
    let seq = after.ask(Kind::Stop, &Stop { mode: StopMode::Now, deadline_ms: 1 });
    after.answer(Kind::Stopped, seq, &Stopped::default());
    after.say(Head::new(Kind::Pong, 0).answers(3), b"");
    vec![by_host("H12", "payload", &payload), by_host("H13", "after-stopped", &after)]
}

fn assign(sync: &str, parts: Vec<OffsetEntry>) -> Vec<u8> {
    let (sync, incarnation, refused) = (sync.to_owned(), String::new(), Vec::new());
    encode(&Assign { sync, incarnation, parts, refused })
}

fn requests() -> Vec<File> {
    let asked = |mut it: Recorder, kind: Kind, payload: &[u8]| {
        let epoch = it.epoch;
        it.request(Head::new(kind, epoch), payload);
        it
    };
    let ready = Recorder::ready;
    let mut stopping = Recorder::configured();
    stopping.ask(Kind::Stop, &Stop { mode: StopMode::Drain, deadline_ms: 5_000 });
    let unexpected = Code::UnexpectedMessage;
    let plain = encode(&configure());
    let future = encode(&Hello { protocols: vec![2, 3], ..hello() });
    let small = encode(&Hello { limits: WireLimits { max_frame: 65_535 }, ..hello() });
    let entry = |name: &str| OffsetEntry { key: key(name), value: row(0) };
    let sync = "000102030405060708090a0b0c0d0e0f";
    let until = vec![PartValue { part: 2, value: row(1) }];
    let mut stale = ready();
    stale.epoch = 4;
    let mut many = ready();
    for _ in 0..8 {
        many.ask(Kind::Extract, &credit(1));
    }
    let bad = Code::BadPayload;
    let x1 = |name: &str, it: Recorder, kind: Kind, payload: &[u8]| {
        by_extractor("X1", name, unexpected, &asked(it, kind, payload))
    };
    let wrong = |rule: &str, name: &str, it: Recorder, kind: Kind, payload: &[u8]| {
        by_extractor(rule, name, bad, &asked(it, kind, payload))
    };
    vec![
        x1("ping-before-hello", Recorder::default(), Kind::Ping, b""),
        x1("hello-twice", Recorder::open(), Kind::Hello, &encode(&hello())),
        x1("check-before-configure", Recorder::open(), Kind::Check, b"{}"),
        x1("extract-before-assign", Recorder::configured(), Kind::Extract, &encode(&credit(1))),
        x1("configure-twice", Recorder::configured(), Kind::Configure, &plain),
        x1("extract-after-stop", stopping, Kind::Extract, &encode(&credit(1))),
        wrong("X2", "configure-without-flag", Recorder::open(), Kind::Configure, &plain),
        wrong("X2", "update-without-flag", Recorder::configured(), Kind::Update, b"{}"),
        wrong("X2", "cancel-is-no-object", Recorder::configured(), Kind::Cancel, b"null"),
        wrong("X2", "frames-too-small", Recorder::default(), Kind::Hello, &small),
        by_extractor(
            "X3",
            "versions-of-the-future",
            Code::VersionMismatch,
            &asked(Recorder::default(), Kind::Hello, &future),
        ),
        wrong("X4", "sync", Recorder::configured(), Kind::Assign, &assign("12", vec![])),
        wrong(
            "X4",
            "split-twice",
            Recorder::configured(),
            Kind::Assign,
            &assign(sync, vec![entry("p0"), entry("p0")]),
        ),
        wrong("X5", "another-epoch", stale, Kind::Extract, &encode(&credit(1))),
        wrong("X5", "no-rows", ready(), Kind::Extract, &encode(&credit(0))),
        wrong("X5", "too-many-rows", ready(), Kind::Extract, &encode(&credit(100_000_001))),
        wrong(
            "X5",
            "until-part-not-assigned",
            ready(),
            Kind::Extract,
            &encode(&Extract { until, ..credit(1) }),
        ),
        wrong("X5", "nine-credits", many, Kind::Extract, &encode(&credit(1))),
    ]
}

pub(crate) fn all() -> Vec<File> {
    [answers(), schemas(), rows(), ends(), last_frames(), requests()].concat()
}
