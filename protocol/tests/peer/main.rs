//! The Python extractor over real pipes, held to the rules by the host's half of a session.
//!
//! Needs `python3`; without it every test prints that it was skipped.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests may panic"
)]

mod process;

use std::time::{Duration, Instant};

use protocol::avro::row::for_each_row;
use protocol::avro::{Blocks, ContainerError, RowRef};
use protocol::message::{BatchEnd, GetOffsets, Hello, Reason, Start, Stop, StopMode, encode};
use protocol::session::host::Event;
use protocol::wire::{FrameSealer, Head, Kind};
use protocol::{Code, OffsetValue};
use serde_json::{Value, json};

use process::{
    MARKER, Peer, check_vectors, copy_folders, has_python, hello, key, run_by_hand, testdata, value,
};

/// Row numbers in what came for a part.
fn row_numbers(peer: &Peer, part: u32) -> Vec<u64> {
    let mut numbers = Vec::new();
    for rows in peer.rows.iter().filter(|rows| rows.part == part) {
        for block in Blocks::new(&rows.blocks, MARKER) {
            for_each_row::<_, ContainerError>(&block.unwrap(), RowRef::read, |row| {
                let id: Value = serde_json::from_str(row.id).unwrap();
                numbers.push(id["row"].as_u64().unwrap());
                Ok(())
            })
            .unwrap();
        }
    }
    numbers
}

fn to(end: &BatchEnd, part: u32) -> OffsetValue {
    end.offsets.iter().find(|step| step.part == part).unwrap().to.clone()
}

/// CHECK, DISCOVER, GET_OFFSETS.
fn before_rows(peer: &mut Peer) {
    let sent = peer.host.check();
    peer.send(sent);
    assert!(matches!(peer.event(), Event::Checked(checked) if !checked.checks.is_empty()));
    let sent = peer.host.discover();
    peer.send(sent);
    let Event::Discovered(found) = peer.event() else { panic!("no DISCOVERED") };
    assert_eq!(found.incarnation, "test-0");
    let keys: Vec<_> = found.splits.into_iter().map(|split| split.key).collect();
    assert_eq!(keys, [key("p0"), key("p1")]);
    for (start, at) in [
        (Start::Earliest, 0),
        (Start::Latest, 50),
        (Start::Timestamp(7), 7),
        (Start::Timestamp(-7), 0),
        (Start::Timestamp(70), 50),
    ] {
        let sent = peer.host.get_offsets(&GetOffsets { start, keys: keys.clone() });
        peer.send(sent);
        let Event::Offsets(offsets) = peer.event() else { panic!("no OFFSETS") };
        let values: Vec<_> = offsets.offsets.into_iter().map(|entry| entry.value).collect();
        assert_eq!(values, vec![value(&json!({ "row": at }).to_string()); 2]);
    }
}

#[test]
fn a_whole_session() {
    if !has_python() {
        return;
    }
    let mut peer = Peer::configured(json!({"test.rows": "50", "test.splits": 2}));
    before_rows(&mut peer);

    // Two credits at a time, cut by rows, chained.
    peer.assign(5, &[("p0", r#"{"row":0}"#), ("p1", r#"{"row":40,"x-note":1}"#)]);
    peer.wait_assigned();
    let mut seen = [vec![], vec![]];
    peer.extract(7, 200, &[]);
    loop {
        peer.extract(7, 200, &[]);
        let end = peer.batch().end;
        assert!(end.rows <= 7);
        for part in 0..2 {
            seen[part as usize].extend(row_numbers(&peer, part));
        }
        if end.caught_up {
            break;
        }
    }
    assert_eq!(seen, [(0..50).collect::<Vec<_>>(), (40..50).collect()]);
    assert!(matches!(peer.batch().end.reason, Reason::Idle));

    // A credit that would wait for an hour is cancelled, one behind it too.
    let first = peer.extract(7, 3_600_000, &[]);
    let second = peer.extract(7, 3_600_000, &[]);
    let sent = peer.host.cancel(second);
    peer.send(sent);
    let sent = peer.host.cancel(first);
    peer.send(sent);
    for seq in [first, second] {
        let finished = peer.batch();
        assert_eq!((finished.extract, finished.end.reason), (seq, Reason::Cancel));
    }

    // A new assignment voids open credits; the old places are forgotten.
    peer.extract(7, 3_600_000, &[]);
    peer.extract(7, 3_600_000, &[]);
    peer.assign(6, &[("p1", r#"{"row":3}"#)]);
    for _ in 0..2 {
        assert_eq!(peer.batch().end.reason, Reason::Void);
    }
    peer.wait_assigned();

    // Up to a place and no further, whatever the credit allows.
    peer.extract(1000, 3_600_000, &[(0, r#"{"row":9}"#)]);
    let end = peer.batch().end;
    assert_eq!((end.reason, to(&end, 0)), (Reason::Until, value(r#"{"row":9}"#)));
    assert_eq!(row_numbers(&peer, 0), (3..9).collect::<Vec<_>>());

    let sent = peer.host.ping(b"are you there");
    peer.send(sent);
    assert!(matches!(peer.event(), Event::Pong(bytes) if *bytes == b"are you there"[..]));

    // Drain: the batch that has begun ends with what it has.
    peer.extract(1000, 3_600_000, &[]);
    std::thread::sleep(Duration::from_millis(100));
    let sent = peer.host.stop(Stop { mode: StopMode::Drain, deadline_ms: 5_000 });
    peer.send(sent);
    let end = peer.batch().end;
    assert_eq!((end.reason, end.rows), (Reason::Stop, 41));
    assert!(matches!(peer.event(), Event::Stopped(stopped) if stopped.rows == 60 + 6 + 41));
    assert!(peer.frame().is_none());
    assert_eq!(peer.wait().code(), Some(0));
    assert_eq!(peer.stderr(), b"");
}

#[test]
fn the_same_place_gives_the_same_digest_whatever_the_cut() {
    if !has_python() {
        return;
    }
    let config = json!({"test.rows": 300, "test.unicode": "true", "test.tombstone.every": 4});
    let digest = |cut: u64| {
        let mut peer = Peer::configured(config.clone());
        peer.assign(1, &[("p0", r#"{"row":0}"#)]);
        peer.wait_assigned();
        let (mut crc, mut at) = (0, 0);
        while at < 300 {
            peer.extract(cut, 1000, &[(0, r#"{"row":300}"#)]);
            let end = peer.batch().end;
            at += end.rows;
            let mut own = 0;
            for rows in &peer.rows {
                for block in Blocks::new(&rows.blocks, MARKER) {
                    let data = block.unwrap().data;
                    own = crc32c::crc32c_append(own, data);
                    crc = crc32c::crc32c_append(crc, data);
                }
            }
            assert_eq!(end.offsets[0].digest, Some(format!("crc32c:{own:08x}")));
        }
        crc
    };
    assert_eq!(digest(1000), digest(7));
    assert_eq!(digest(1000), digest(299));
}

#[test]
fn splits_close_and_branch() {
    if !has_python() {
        return;
    }
    let mut peer = Peer::configured(json!({
        "test.rows": 6, "test.split.at": 4, "test.gap.at": 2, "test.gap.len": 2,
    }));
    peer.assign(1, &[("p0", r#"{"row":0}"#)]);
    peer.wait_assigned();
    peer.extract(100, 10_000, &[]);
    let end = peer.batch().end;
    assert_eq!((end.reason, end.rows), (Reason::Eof, 2));
    assert_eq!(to(&end, 0), value(r#"{"closed":true,"row":4}"#));
    let Event::Partitions(news) = peer.event() else { panic!("no PARTITIONS") };
    assert_eq!(news.closed, [key("p0")]);
    let added: Vec<_> = news.added.iter().map(|split| split.key.clone()).collect();
    assert_eq!(added, [key("p0a"), key("p0b")]);
    assert_eq!(news.added[0].parents, [key("p0")]);
    peer.assign(2, &[("p0a", r#"{"row":0}"#), ("p0b", r#"{"row":6}"#)]);
    peer.wait_assigned();
    peer.extract(100, 100, &[]);
    let end = peer.batch().end;
    assert_eq!((end.rows, end.offsets.len()), (4, 1));
    assert_eq!(row_numbers(&peer, 0), [0, 1, 4, 5]);
}

#[test]
fn errors_are_rows_or_answers() {
    if !has_python() {
        return;
    }
    let mut peer = Peer::configured(json!({
        "test.rows": 10, "test.error.every": 3, "test.fail.at": 8, "test.fail.code": "DNS",
    }));
    peer.assign(1, &[("p0", r#"{"row":0}"#)]);
    peer.wait_assigned();
    peer.extract(100, 10_000, &[]);
    let end = peer.batch().end;
    assert_eq!((end.rows, end.errors, to(&end, 0)), (6, 2, value(r#"{"row":8}"#)));
    peer.extract(100, 10_000, &[]);
    let failure = peer.failure();
    assert_eq!((failure.code, failure.fatal, failure.retryable), (Code::Dns, false, true));
    for (key_name, at, code) in [
        ("p7", r#"{"row":0}"#, Code::SourceNotFound),
        ("p0", r#"{"row":11}"#, Code::OffsetOutOfRange),
        ("p0", r#"{"rows":1}"#, Code::OffsetInvalid),
    ] {
        peer.assign(2, &[(key_name, at)]);
        assert_eq!(peer.failure().code, code);
    }
    let sent = peer.host.assign(9, MARKER, "another life", &[(key("p0"), value(r#"{"row":0}"#))]);
    peer.send(sent);
    assert_eq!(peer.failure().code, Code::SourceRecreated);
    // A credit behind an assignment that fails is void.
    peer.assign(10, &[("p0", r#"{"row":11}"#)]);
    peer.extract(1, 10_000, &[]);
    assert_eq!(peer.failure().code, Code::OffsetOutOfRange);
    assert_eq!(peer.batch().end.reason, Reason::Void);
}

#[test]
fn it_answers_ping_while_the_source_hangs_and_says_progress() {
    if !has_python() {
        return;
    }
    let mut peer = Peer::configured(json!({"test.stall.ms": 3_600_000}));
    peer.assign(1, &[("p0", r#"{"row":0}"#)]);
    peer.wait_assigned();
    let credit = peer.extract(1, 3_600_000, &[]);
    let sent = peer.host.ping(b"x");
    peer.send(sent);
    assert!(matches!(peer.event(), Event::Pong(_)));
    let start = Instant::now();
    assert!(matches!(peer.event(), Event::Progress(_)));
    assert!(start.elapsed() < Duration::from_secs(8));
    let sent = peer.host.cancel(credit);
    peer.send(sent);
    assert_eq!(peer.batch().end.reason, Reason::Cancel);
}

#[test]
fn noise_of_libraries_does_no_harm() {
    if !has_python() {
        return;
    }
    let mut peer = Peer::configured(json!({
        "test.rows": 3000, "test.print": true, "test.stderr.flood": 200_000,
    }));
    peer.assign(1, &[("p0", r#"{"row":0}"#)]);
    peer.wait_assigned();
    peer.extract(3000, 10_000, &[]);
    assert_eq!(peer.batch().end.rows, 3000);
    let (status, _) = peer.close();
    assert_eq!(status.code(), Some(0));
    let text = String::from_utf8(peer.stderr()).unwrap();
    assert!(text.contains("printed by test.print") && text.contains("noise"));
}

#[test]
fn the_end_of_stdin_ends_it_within_a_second() {
    if !has_python() {
        return;
    }
    let check = |peer: &mut Peer, state: &str| {
        let (status, time) = peer.close();
        assert_eq!(status.code(), Some(0), "{state}");
        assert!(time < Duration::from_secs(1), "{state}: {time:?}");
    };
    check(&mut Peer::spawn(), "before HELLO");
    let mut peer = Peer::configured(json!({"test.rows": 100_000}));
    peer.assign(1, &[("p0", r#"{"row":0}"#)]);
    peer.wait_assigned();
    check(&mut peer, "idle");
    let mut peer = Peer::configured(json!({"test.stall.ms": 3_600_000}));
    peer.assign(1, &[("p0", r#"{"row":0}"#)]);
    peer.extract(1, 3_600_000, &[]);
    peer.wait_assigned();
    check(&mut peer, "stalled in a batch");
    // Nobody reads: it is blocked in a write.
    let mut peer = Peer::configured(json!({"test.rows": 100_000, "test.row.bytes": 5_000}));
    peer.assign(1, &[("p0", r#"{"row":0}"#)]);
    peer.wait_assigned();
    for _ in 0..8 {
        peer.extract(100_000, 3_600_000, &[]);
    }
    std::thread::sleep(Duration::from_millis(500));
    check(&mut peer, "blocked in a write");
}

#[test]
fn sigterm_drains() {
    if !has_python() {
        return;
    }
    let mut peer = Peer::configured(json!({"test.rows": 10}));
    peer.assign(1, &[("p0", r#"{"row":0}"#)]);
    peer.wait_assigned();
    peer.extract(1000, 3_600_000, &[]);
    std::thread::sleep(Duration::from_millis(100));
    peer.signal("-TERM");
    let end = peer.batch().end;
    assert_eq!((end.reason, end.rows), (Reason::Stop, 10));
    let failure = peer.failure();
    assert!(failure.code == Code::Stopping && failure.fatal, "{failure}");
    assert_eq!(peer.wait().code(), Some(0));
}

#[test]
fn broken_frames_end_it_with_their_code() {
    if !has_python() {
        return;
    }
    let frame = |kind: Kind, payload: &[u8]| {
        let mut bytes = Vec::new();
        FrameSealer::default().write(&Head::new(kind, 0), payload, &mut bytes).unwrap();
        bytes
    };
    let good = frame(Kind::Hello, &encode(&hello()));
    let damage = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    let future = frame(Kind::Hello, &encode(&Hello { protocols: vec![2], ..hello() }));
    for (bytes, code) in [
        (damage(0), Code::BadMagic),
        (damage(4), Code::Unsupported),
        (damage(19), Code::BadSeq),
        (damage(24), Code::TooLarge),
        (damage(40), Code::BadCrc),
        (frame(Kind::Check, b"{}"), Code::UnexpectedMessage),
        (frame(Kind::Hello, b"{}"), Code::BadPayload),
        (future, Code::VersionMismatch),
    ] {
        let mut peer = Peer::spawn();
        peer.write(&bytes);
        let failure = peer.failure();
        assert!(failure.code == code && failure.fatal, "{failure} instead of {code}");
        assert!(peer.frame().is_none());
        assert_eq!(peer.wait().code(), Some(76), "{code}");
    }
    let mut peer = Peer::spawn();
    peer.write(&good[..20]);
    assert_eq!(peer.close().0.code(), Some(76));
    assert_eq!(peer.failure().code, Code::Truncated);
}

#[test]
fn run_by_hand_it_explains_itself() {
    if !has_python() {
        return;
    }
    let output = run_by_hand();
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(output.stdout, b"");
    assert!(!output.stderr.is_empty());
}

/// The peer agrees with every golden vector, and notices when one of them is changed.
#[test]
fn it_passes_the_golden_vectors() {
    if !has_python() {
        return;
    }
    let (passed, output) = check_vectors(&testdata());
    assert!(passed, "{output}");
    let copy = std::env::temp_dir().join(format!("peer-vectors-{}", std::process::id()));
    for (folder, file, from, to) in [
        ("frames", "type-0b-ping.hex", "seq=0", "seq=1"),
        ("avro", "blocks-static.hex", "orders", "others"),
        ("offsets", "cases.jsonl", "1234", "1235"),
        ("rows", "plain.json", "crc32c:", "crc32c:0"),
        ("sessions", "refuse-h10-moves-nowhere.s2x", "host H10", "host H9"),
    ] {
        copy_folders(&testdata(), &copy);
        let path = copy.join(folder).join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed);
        std::fs::write(&path, changed).unwrap();
        let (passed, output) = check_vectors(&copy);
        assert!(!passed && output.contains(file), "{file}: {output}");
    }
    std::fs::remove_dir_all(&copy).unwrap();
}

/// What the extractor delivers is what `testdata/rows` says.
#[test]
fn its_rows_are_the_golden_ones() {
    if !has_python() {
        return;
    }
    for name in ["plain", "unicode", "errors-and-tombstones"] {
        let path = testdata().join("rows").join(format!("{name}.json"));
        let case: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut peer = Peer::configured(case["config"].clone());
        let seed = format!("test-{}", case["config"]["test.seed"]);
        let parts = [(key("p0"), value(r#"{"row":0}"#)), (key("p1"), value(r#"{"row":0}"#))];
        let sent = peer.host.assign(1, MARKER, &seed, &parts);
        peer.send(sent);
        peer.wait_assigned();
        peer.extract(2000, 10_000, &[]);
        let end = peer.batch().end;
        for (part, split) in [(0, "p0"), (1, "p1")] {
            let wanted = &case["splits"][split];
            let step = end.offsets.iter().find(|step| step.part == part).unwrap();
            assert_eq!(wanted["rows"]["count"], step.rows, "{name} {split}");
            assert_eq!(wanted["errors"]["count"], step.errors, "{name} {split}");
            assert_eq!(wanted["rows"]["digest"], *step.digest.as_ref().unwrap(), "{name} {split}");
        }
    }
}
