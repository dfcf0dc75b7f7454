//! Frames in pieces, in lumps, and damaged.

use std::thread::sleep;
use std::time::Duration;

use protocol::Code;
use protocol::limits::{CONTROL_FRAME_BYTES_MAX, HEADER_LEN};
use protocol::message::*;
use protocol::wire::{FrameSealer, Head, Kind};
use serde_json::json;

use crate::driver::*;
use crate::handshake::{hello_frame, refused};

#[test]
fn a_host_that_writes_byte_by_byte_is_understood() {
    let mut host = Host::configured(json!({"test.rows": 5}));
    let sent = host.session.assign(1, MARKER, "", &[(key("p0"), row_value(0))]).unwrap();
    for byte in sent.bytes {
        host.write(&[byte]);
    }
    host.assigned();
    let sent = host.session.extract(&credit(5)).unwrap();
    for byte in sent.bytes {
        host.write(&[byte]);
    }
    assert_eq!(host.batch().end.rows, 5);
}

#[test]
fn twenty_frames_in_one_write_are_answered_in_order() {
    let mut host = Host::configured(json!({"test.rows": 50}));
    let mut bytes = Vec::new();
    for _ in 0..12 {
        bytes.extend(host.session.check().unwrap().bytes);
    }
    bytes.extend(host.session.assign(1, MARKER, "", &[(key("p0"), row_value(0))]).unwrap().bytes);
    for _ in 0..7 {
        bytes.extend(host.session.extract(&credit(3)).unwrap().bytes);
    }
    host.write(&bytes);
    for _ in 0..12 {
        assert!(matches!(host.event(), protocol::session::host::Event::Checked(_)));
    }
    host.assigned();
    for number in 1..=7 {
        let batch = host.batch();
        assert_eq!((batch.end.batch, batch.end.rows), (number, 3));
    }
}

#[test]
fn a_frame_split_at_every_byte_of_its_header_is_understood() {
    let mut host = Host::spawn();
    host.greet();
    for cut in 1..=HEADER_LEN {
        let sent = host.session.ping(&[7; 9]).unwrap();
        host.write(&sent.bytes[..cut]);
        sleep(Duration::from_millis(1));
        host.write(&sent.bytes[cut..]);
        let frame = host.frame().unwrap();
        assert_eq!((frame.head.kind, &frame.payload[..]), (Kind::Pong, &[7; 9][..]));
        assert_eq!(frame.head.reference, sent.seq);
    }
}

#[test]
fn a_host_that_reads_byte_by_byte_loses_nothing() {
    let mut host = Host::ready(json!({"test.rows": 300, "test.unicode": true}));
    host.send_extract(&credit(300));
    while host.readable(Duration::from_millis(300)) {
        assert_eq!(host.read_some(1), 1);
    }
    assert_eq!(host.batch().rows.len(), 300);
}

#[test]
fn a_slow_reader_loses_nothing_and_costs_little_memory() {
    let mut host = Host::ready(json!({"test.rows": 200_000, "test.row.bytes": 1000}));
    host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(200_000) });
    for _ in 0..100 {
        host.read_some(1024);
        sleep(Duration::from_millis(2));
    }
    let batch = host.batch();
    assert_eq!(batch.rows.len() as u64, batch.end.rows);
    assert!(batch.end.rows > 50_000, "64 MiB of rows, {} came", batch.end.rows);
    let stopped = host.stop();
    assert!(stopped.max_rss_bytes < 64 << 20, "{} bytes resident", stopped.max_rss_bytes);
}

#[test]
fn the_largest_control_frame_is_taken_and_one_byte_more_is_not() {
    let sized = |bytes: usize| {
        hello_frame(&mut FrameSealer::default(), |hello| {
            let now = hello.to_string().len() + r#","padding":"""#.len();
            hello["padding"] = json!("x".repeat(bytes - now));
        })
    };
    let max = CONTROL_FRAME_BYTES_MAX as usize;
    let mut host = Host::spawn();
    host.write(&sized(max));
    assert_eq!(host.frame().unwrap().head.kind, Kind::HelloOk);
    let (failure, exit) = refused(&sized(max + 1));
    assert_eq!((failure.code, exit), (Code::TooLarge, Some(76)));
}

/// HELLO with some bytes of its header replaced.
fn damaged(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = hello_frame(&mut FrameSealer::default(), |_| {});
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

#[test]
fn each_damage_has_its_code_and_ends_with_76() {
    // A length is refused from the header alone: nothing of the payload is sent or reserved.
    let huge = |length: u32| damaged(24, &length.to_be_bytes())[..HEADER_LEN].to_vec();
    let cases = [
        (damaged(0, b"GET "), Code::BadMagic),
        (b"h".to_vec(), Code::BadMagic),
        (damaged(4, &[9]), Code::Unsupported),
        (damaged(5, &[0x81]), Code::UnexpectedMessage),
        (damaged(16, &[0, 0, 0, 1]), Code::BadSeq),
        (huge(CONTROL_FRAME_BYTES_MAX + 1), Code::TooLarge),
        (huge(u32::MAX), Code::TooLarge),
        (damaged(28, &[0; 4]), Code::BadCrc),
        (damaged(HEADER_LEN + 3, b"~"), Code::BadCrc),
    ];
    for (bytes, code) in cases {
        let (failure, exit) = refused(&bytes);
        assert_eq!((failure.code, exit), (code, Some(76)), "{failure}");
    }
}

#[test]
fn a_repeated_frame_is_refused() {
    let mut sealer = FrameSealer::default();
    let hello = hello_frame(&mut sealer, |_| {});
    let check = raw_frame(&mut sealer, Head::new(Kind::Ping, 0), b"");
    let (failure, exit) = refused(&[hello, check.clone(), check].concat());
    assert_eq!((failure.code, exit), (Code::BadSeq, Some(76)));
}

/// HELLO and a PING whose header is changed before it is sealed anew.
fn changed_ping(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut sealer = FrameSealer::default();
    let hello = hello_frame(&mut sealer, |_| {});
    let mut ping = raw_frame(&mut sealer, Head::new(Kind::Ping, 0), b"");
    change(&mut ping);
    let crc = crc32c::crc32c(&ping[..28]);
    ping[28..32].copy_from_slice(&crc.to_be_bytes());
    [hello, ping].concat()
}

#[test]
fn unknown_ancillary_frames_are_skipped_and_essential_ones_refused() {
    let mut host = Host::spawn();
    host.write(&changed_ping(|ping| ping[5] = 0x33));
    assert_eq!(host.frame().unwrap().head.kind, Kind::HelloOk);
    // Numbers go on after the skipped frame.
    let mut sealer = FrameSealer::default();
    for _ in 0..2 {
        sealer.seal(&Head::new(Kind::Ping, 0), 0, 0);
    }
    host.write(&raw_frame(&mut sealer, Head::new(Kind::Ping, 0), b"on"));
    assert_eq!(&host.frame().unwrap().payload[..], b"on");

    let (failure, exit) = refused(&changed_ping(|ping| ping[5] = 0x2f));
    assert_eq!((failure.code, exit), (Code::Unsupported, Some(76)));
}

#[test]
fn unknown_critical_flags_are_refused_and_reserved_ones_ignored() {
    let (failure, exit) = refused(&changed_ping(|ping| ping[6] = 0x80));
    assert_eq!((failure.code, exit), (Code::Unsupported, Some(76)));
    let mut host = Host::spawn();
    host.write(&changed_ping(|ping| ping[7] = 0x40));
    // PONG may overtake.
    let kinds = [(); 2].map(|()| host.frame().unwrap().head.kind);
    assert!(kinds.contains(&Kind::HelloOk) && kinds.contains(&Kind::Pong), "{kinds:?}");
}

#[test]
fn the_end_inside_a_frame_is_told_as_truncated() {
    let whole = hello_frame(&mut FrameSealer::default(), |_| {});
    for cut in [1, HEADER_LEN - 1, HEADER_LEN, whole.len() - 1] {
        let mut host = Host::spawn();
        host.write(&whole[..cut]);
        host.close_stdin();
        assert_eq!(host.raw_failure().code, Code::Truncated, "cut at {cut}");
        assert_eq!(host.wait_within(Duration::from_secs(2)).code(), Some(76));
    }
}

#[test]
fn payloads_that_are_no_strict_json_are_refused() {
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    let cases: [&[u8]; 5] =
        [b"\xff{}", b"{\"a\":1,\"a\":2}", b"{} {}", b"\xef\xbb\xbf{}", deep.as_bytes()];
    for payload in cases {
        let frame = raw_frame(&mut FrameSealer::default(), Head::new(Kind::Hello, 0), payload);
        let (failure, exit) = refused(&frame);
        assert_eq!((failure.code, exit), (Code::BadPayload, Some(76)), "{failure}");
    }
}

#[test]
fn a_host_that_sends_too_much_ahead_is_refused() {
    let mut host = Host::ready(json!({"test.rows": 1, "test.connect.ms": 200}));
    for _ in 0..200 {
        let sent = host.session.check().unwrap();
        if std::io::Write::write_all(host.stdin.as_mut().unwrap(), &sent.bytes).is_err() {
            break;
        }
    }
    let failure = host.raw_failure();
    assert_eq!(failure.code, Code::BufferLimit, "{failure}");
    assert_eq!(host.wait().code(), Some(71));
}

#[test]
fn a_large_request_with_small_ones_behind_it_is_taken() {
    let mut host = Host::configured(json!({"test.splits": 4096, "test.rows": 1}));
    let parts: Vec<_> =
        host.discover().splits.into_iter().map(|split| (split.key, row_value(0))).collect();
    host.send_assign(&parts);
    host.send_extract(&credit(10_000));
    host.send_extract(&Extract { max_interval_ms: 1, ..credit(10_000) });
    host.assigned();
    let batch = host.batch();
    assert_eq!((batch.end.rows, batch.end.offsets.len()), (4096, 4096));
    assert_eq!(batch.end.frames, 4096, "one split per frame");
    assert_eq!(host.batch().end.reason, Reason::Idle);
}
