//! Frames: how they are cut, what is refused, what is ignored (`SPEC.md` 2, 3, 9).

use protocol::Code;
use protocol::limits::{CONTROL_FRAME_BYTES_MAX, HEADER_LEN, PING_BYTES_MAX};
use protocol::wire::{FrameSealer, Head, Kind};
use serde_json::json;

use super::core;
use super::shared::{
    changed, damage, frame, hello_frame, hello_json, raw_ready, refuses, refuses_on,
};
use crate::conformance::Check;
use crate::conformance::bench::Bench;
use crate::conformance::fault::{Done, Fault, demand, miss};
use crate::conformance::peer::{Peer, credit};

/// Places of fields in the header (`SPEC.md` 2).
const VERSION_AT: usize = 4;
const TYPE_AT: usize = 5;
const FLAGS_AT: usize = 6;
const SEQ_AT: usize = 16;
const LENGTH_AT: usize = 24;
const CRC_AT: usize = 28;

/// Damaged sessions of one run of the fuzz check.
const FUZZED: u32 = 24;

pub(super) const CHECKS: &[Check] = &[
    core(
        "F10",
        "frames_of_the_other_direction",
        "2 step 3",
        "a type whose bit 7 is not the host's direction is UNEXPECTED_MESSAGE",
        frames_of_the_other_direction,
    )
    .bare(),
    core(
        "F11",
        "one_byte_writes",
        "2",
        "a frame is the same frame however the pipe cuts it: one byte at a time",
        one_byte_writes,
    )
    .bare(),
    core(
        "F12",
        "coalesced_writes",
        "2",
        "a frame is the same frame however the pipe cuts it: twenty frames at once",
        coalesced_writes,
    ),
    core(
        "F13",
        "split_at_every_header_byte",
        "2",
        "a frame is the same frame however the pipe cuts it: at each byte of the header",
        split_at_every_header_byte,
    )
    .bare(),
    core(
        "F15",
        "slow_reader",
        "1.6",
        "a host that reads slowly gets every row, and nothing ends because it is slow",
        slow_reader,
    ),
    core(
        "F16",
        "frame_at_max_length",
        "9 CONTROL_FRAME_BYTES_MAX",
        "a control frame with the largest payload that there may be is taken",
        frame_at_max_length,
    )
    .bare(),
    core(
        "F17",
        "frame_over_max_length",
        "2 step 4",
        "one byte more than the limit is TOO_LARGE, told from the header alone",
        frame_over_max_length,
    )
    .bare(),
    core(
        "F18",
        "length_ffffffff",
        "2 step 4",
        "the largest number as length is TOO_LARGE, told from the header alone",
        length_ffffffff,
    )
    .bare(),
    core("F19", "bad_magic", "2 step 1", "bytes that are no magic are told from the first one on", bad_magic)
        .bare(),
    core("F20", "bad_crc", "2 step 7", "a checksum that does not match is BAD_CRC", bad_crc).bare(),
    core(
        "F21",
        "seq_gap_and_repeat",
        "2 step 5",
        "a number that is not the one that is due is BAD_SEQ",
        seq_gap_and_repeat,
    )
    .bare(),
    core(
        "F22",
        "unknown_ancillary_skipped",
        "2 step 9",
        "unknown types 30 to 3F are checked, counted and skipped",
        unknown_ancillary_skipped,
    )
    .bare(),
    core(
        "F23",
        "unknown_essential_refused",
        "2 step 9",
        "another unknown type is UNSUPPORTED",
        unknown_essential_refused,
    )
    .bare(),
    core(
        "F24",
        "critical_flag_refused",
        "2 step 8",
        "a critical flag that is not known is UNSUPPORTED",
        critical_flag_refused,
    )
    .bare(),
    core("F25", "reserved_flags_ignored", "2", "reserved flags are ignored", reserved_flags_ignored)
        .bare(),
    core(
        "F26",
        "header_version_refused",
        "2 step 2",
        "a header of another version is UNSUPPORTED",
        header_version_refused,
    )
    .bare(),
    core(
        "F27",
        "judged_in_order",
        "2",
        "of several faults in one frame the first in the list is told",
        judged_in_order,
    )
    .bare(),
    core(
        "F28",
        "end_inside_a_frame",
        "2 step 6",
        "the end of input inside a frame is TRUNCATED and exit code 76",
        end_inside_a_frame,
    )
    .bare(),
    core(
        "F29",
        "strict_json",
        "3",
        "JSON that is not strict is BAD_PAYLOAD: not UTF-8, a byte order mark, a key twice, more behind it, \
         deeper than 32",
        strict_json,
    )
    .bare(),
    core(
        "F30",
        "random_damage",
        "2",
        "a damaged session ends with a fatal ERROR of class protocol and exit code 76, and never hangs",
        random_damage,
    ),
    core(
        "F31",
        "frames_well_formed",
        "2, 7.3 H12",
        "every frame of the program has magic, number, direction, checksum and the payload of its type",
        frames_well_formed,
    )
    .owns(&["2", "H12"]),
    core(
        "F32",
        "ping_bytes",
        "4, 9 PING_BYTES_MAX",
        "PONG has the bytes of its PING, up to 64 of any kind; 65 are TOO_LARGE",
        ping_bytes,
    )
    .bare(),
];

fn frames_of_the_other_direction(bench: &mut Bench) -> Done {
    let bytes = frame(&mut FrameSealer::default(), Kind::HelloOk, b"{}");
    refuses(bench, &bytes, Code::UnexpectedMessage, "its own type HELLO_OK")
}

fn one_byte_writes(bench: &mut Bench) -> Done {
    let mut peer = bench.start()?;
    let bytes = hello_frame(&mut FrameSealer::default());
    peer.write_pieces(bytes.chunks(1))?;
    peer.raw_answer(Kind::HelloOk).map(drop)
}

fn coalesced_writes(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(json!({"test.rows": 100}))?;
    let start = [(crate::conformance::peer::key("p0"), crate::conformance::peer::row_value(0))];
    let mut bytes = peer.session.discover()?.bytes;
    for _ in 0..12 {
        bytes.extend(peer.session.ping(b"many")?.bytes);
    }
    let epoch = 77;
    let marker = crate::conformance::peer::MARKER;
    bytes.extend(peer.session.assign(epoch, marker, "", &start)?.bytes);
    for _ in 0..6 {
        bytes.extend(peer.session.extract(&credit(10))?.bytes);
    }
    peer.write(&bytes)?;
    let due = "the answers to twenty frames that came in one write";
    peer.event(due)?;
    peer.assigned()?;
    for _ in 0..6 {
        let batch = peer.batch()?;
        demand(batch.end.rows == 10, "10 rows for each EXTRACT", || batch.line())?;
    }
    let pongs = peer.seen.pongs.len();
    demand(pongs == 12, "12 PONGs", || format!("{pongs}"))
}

fn split_at_every_header_byte(bench: &mut Bench) -> Done {
    let mut peer = bench.greeted()?;
    for at in 1..=HEADER_LEN {
        let bytes = peer.session.ping(b"cut")?.bytes;
        let (head, rest) = bytes.split_at(at.min(bytes.len()));
        peer.write_pieces([head, rest])?;
    }
    for at in 1..=HEADER_LEN {
        let due = format!("a PONG for a PING that was cut after {at} bytes");
        match peer.any_event(&due)? {
            protocol::session::host::Event::Pong(_) => {}
            protocol::session::host::Event::Log(_) => {}
            other => return Err(miss(due, format!("{other:?}"))),
        }
    }
    Ok(())
}

/// Silence of the slow reader, before it begins to read. Why: longer than a writer that gives up waits.
const SILENCE: std::time::Duration = std::time::Duration::from_millis(2_500);

fn slow_reader(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 3000, "test.row.bytes": 200});
    let mut peer = bench.ready(config, &["p0"])?;
    peer.send_extract(&credit(3000))?;
    std::thread::sleep(SILENCE);
    for _ in 0..2000 {
        peer.read(1)?;
    }
    for _ in 0..60 {
        peer.read(1024)?;
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let batch = own(peer.batch())?;
    demand(batch.rows.len() == 3000, "3000 rows", || batch.line())
}

/// A violation that the stress of this check provokes is its own.
fn own<T>(result: Result<T, Fault>) -> Result<T, Fault> {
    result.map_err(|fault| match fault {
        Fault::Broken { rule, seen } => miss(format!("rule {rule} kept under stress"), seen),
        other => other,
    })
}

/// HELLO with a payload of exactly this length.
fn hello_of(bytes: usize) -> Vec<u8> {
    let mut offer = hello_json();
    let now = offer.to_string().len() + r#","padding":"""#.len();
    if let Some(offer) = offer.as_object_mut() {
        offer.insert("padding".to_owned(), json!("x".repeat(bytes.saturating_sub(now))));
    }
    frame(&mut FrameSealer::default(), Kind::Hello, offer.to_string().as_bytes())
}

fn frame_at_max_length(bench: &mut Bench) -> Done {
    let mut peer = bench.start()?;
    peer.write(&hello_of(CONTROL_FRAME_BYTES_MAX as usize))?;
    peer.raw_answer(Kind::HelloOk).map(drop)
}

/// The header of HELLO alone, with this length.
fn header_of(length: u32) -> Vec<u8> {
    let mut bytes = hello_frame(&mut FrameSealer::default());
    damage(&mut bytes, LENGTH_AT, &length.to_be_bytes());
    bytes.truncate(HEADER_LEN);
    bytes
}

fn frame_over_max_length(bench: &mut Bench) -> Done {
    let header = header_of(CONTROL_FRAME_BYTES_MAX + 1);
    refuses(bench, &header, Code::TooLarge, "a header with length 1048577 and nothing behind it")
}

fn length_ffffffff(bench: &mut Bench) -> Done {
    let header = header_of(u32::MAX);
    refuses(bench, &header, Code::TooLarge, "a header with length 4294967295 and nothing behind it")
}

fn bad_magic(bench: &mut Bench) -> Done {
    refuses(bench, b"h", Code::BadMagic, "the single byte `h`")?;
    refuses(bench, b"S2XGhello", Code::BadMagic, "the bytes `S2XG`")
}

fn bad_crc(bench: &mut Bench) -> Done {
    let whole = hello_frame(&mut FrameSealer::default());
    let mut header = whole.clone();
    damage(&mut header, CRC_AT, &[0; 4]);
    refuses(bench, &header, Code::BadCrc, "a checksum of 0")?;
    let mut payload = whole;
    damage(&mut payload, HEADER_LEN + 3, b"~");
    refuses(bench, &payload, Code::BadCrc, "a changed byte of the payload")
}

fn seq_gap_and_repeat(bench: &mut Bench) -> Done {
    let ping = |sealer: &mut FrameSealer| frame(sealer, Kind::Ping, b"");
    let mut sealer = FrameSealer::default();
    let (hello, one) = (hello_frame(&mut sealer), ping(&mut sealer));
    let twice = [hello.clone(), one.clone(), one].concat();
    refuses(bench, &twice, Code::BadSeq, "a frame that came twice")?;
    let (_, three) = (ping(&mut sealer), ping(&mut sealer));
    refuses(bench, &[hello, three].concat(), Code::BadSeq, "a frame that is two too far")
}

/// HELLO, and a PING whose header is changed.
fn changed_ping(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut sealer = FrameSealer::default();
    let hello = hello_frame(&mut sealer);
    [hello, changed(frame(&mut sealer, Kind::Ping, b"x"), at, bytes)].concat()
}

fn unknown_ancillary_skipped(bench: &mut Bench) -> Done {
    for kind in [0x30, 0x37, 0x3f] {
        let mut peer = bench.start()?;
        peer.write(&changed_ping(TYPE_AT, &[kind]))?;
        peer.raw_answer(Kind::HelloOk)?;
        // Numbers go on after the frame that was skipped.
        for _ in 0..2 {
            peer.raw.seal(&Head::new(Kind::Ping, 0), 0, 0);
        }
        let ping = peer.frame_of(&Head::new(Kind::Ping, 0), b"on");
        peer.write(&ping)?;
        let pong = peer.raw_answer(Kind::Pong)?;
        let due = format!("PONG for the frame after one of type {kind:02x}");
        demand(&pong.payload[..] == b"on", due, || format!("PONG {:?}", pong.payload))?;
    }
    Ok(())
}

fn unknown_essential_refused(bench: &mut Bench) -> Done {
    for kind in [0x0d, 0x2f, 0x70] {
        let bytes = changed_ping(TYPE_AT, &[kind]);
        refuses(bench, &bytes, Code::Unsupported, &format!("type {kind:02x}"))?;
    }
    Ok(())
}

fn critical_flag_refused(bench: &mut Bench) -> Done {
    for flag in [0x01, 0x80] {
        let bytes = changed_ping(FLAGS_AT, &[flag, 0]);
        refuses(bench, &bytes, Code::Unsupported, &format!("flags {flag:02x}00"))?;
    }
    Ok(())
}

fn reserved_flags_ignored(bench: &mut Bench) -> Done {
    let mut peer = bench.start()?;
    peer.write(&changed_ping(FLAGS_AT, &[0, 0xfe]))?;
    // PONG may overtake HELLO_OK.
    peer.raw_answer(Kind::Pong).map(drop)
}

fn header_version_refused(bench: &mut Bench) -> Done {
    for version in [0, 2] {
        let bytes = changed_ping(VERSION_AT, &[version]);
        refuses(bench, &bytes, Code::Unsupported, &format!("header version {version}"))?;
    }
    Ok(())
}

fn judged_in_order(bench: &mut Bench) -> Done {
    let faults: [(usize, &[u8], Code); 4] = [
        (VERSION_AT, &[9], Code::Unsupported),
        (TYPE_AT, &[0x81], Code::UnexpectedMessage),
        (LENGTH_AT, &[0x7f, 0, 0, 0], Code::TooLarge),
        (SEQ_AT, &[0, 0, 0, 9], Code::BadSeq),
    ];
    // Each frame has one fault less than the one before; the checksum is wrong in all of them.
    for (first, (_, _, code)) in faults.iter().enumerate() {
        let mut bytes = hello_frame(&mut FrameSealer::default());
        for (at, wrong, _) in faults.iter().skip(first) {
            damage(&mut bytes, *at, wrong);
        }
        damage(&mut bytes, CRC_AT, &[0; 4]);
        let what = format!("a frame with {} faults", faults.len() - first + 1);
        refuses(bench, &bytes, *code, &what)?;
    }
    Ok(())
}

fn end_inside_a_frame(bench: &mut Bench) -> Done {
    let whole = hello_frame(&mut FrameSealer::default());
    for cut in [1, HEADER_LEN - 1, HEADER_LEN, whole.len() - 1] {
        let mut peer = bench.start()?;
        peer.write(whole.get(..cut).unwrap_or_default())?;
        peer.close_stdin();
        let what = format!("the end of input after {cut} bytes");
        refuses_on(&mut peer, Code::Truncated, &what)?;
    }
    Ok(())
}

fn strict_json(bench: &mut Bench) -> Done {
    let text = hello_json().to_string();
    let inside = text.trim_start_matches('{');
    let deep = format!("{{\"x\":{}1{},{inside}", "[".repeat(40), "]".repeat(40));
    let cases: [(&str, Vec<u8>); 5] = [
        ("a byte that is not UTF-8", [b"{\"x\":\"\xff\",".as_slice(), inside.as_bytes()].concat()),
        ("a byte order mark", ["\u{feff}", &text].concat().into_bytes()),
        ("a key twice", format!("{{\"x\":1,\"x\":2,{inside}").into_bytes()),
        ("something after the object", format!("{text} {{}}").into_bytes()),
        ("41 levels", deep.into_bytes()),
    ];
    for (what, payload) in cases {
        let bytes = frame(&mut FrameSealer::default(), Kind::Hello, &payload);
        refuses(bench, &bytes, Code::BadPayload, &format!("HELLO with {what}"))?;
    }
    Ok(())
}

/// Whole frames of a session, one of them damaged in one byte.
fn random_damage(bench: &mut Bench) -> Done {
    for _ in 0..FUZZED {
        let mut peer = raw_ready(bench, &json!({"test.rows": 10}))?;
        let extract = json!({"max_rows": 5, "max_bytes": 1000, "max_interval_ms": 50});
        let head = Head::new(Kind::Extract, 1);
        let mut bytes = peer.frame_of(&head, extract.to_string().as_bytes());
        let at = bench.random.usize(..bytes.len());
        let bit = 1 << bench.random.u8(..8);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= bit;
        }
        peer.write(&bytes)?;
        // A longer payload than was sent is told at the end of input.
        peer.close_stdin();
        let what =
            format!("a fatal ERROR of class protocol, where byte {at} has bit {bit:02x} turned");
        let failure = peer.raw_failure(&what)?;
        let is_right = failure.class == protocol::Class::Protocol && failure.fatal;
        demand(is_right, &*what, || format!("ERROR {failure}"))?;
        peer.rest()?;
        peer.exits(76)?;
    }
    Ok(())
}

fn frames_well_formed(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 500, "test.splits": 2, "test.error.every": 7});
    let mut peer = bench.configured(config)?;
    peer.check()?;
    peer.discover()?;
    let key = crate::conformance::peer::key;
    let keys = [key("p0"), key("p1")];
    peer.offsets(protocol::message::Start::Earliest, &keys)?
        .map_err(|f| miss("OFFSETS", f.to_string()))?;
    let zero = crate::conformance::peer::row_value(0);
    peer.assign(&keys.map(|key| (key, zero.clone())))?;
    super::shared::drain(&mut peer, &super::shared::quick(150))?;
    peer.update(None, Some("debug"))?;
    peer.ping(b"on")?;
    peer.send_stop(protocol::message::StopMode::Drain, 5_000)?;
    peer.stopped().map(drop)
}

fn ping_bytes(bench: &mut Bench) -> Done {
    let mut peer: Peer = bench.greeted()?;
    let largest: Vec<u8> =
        (0..PING_BYTES_MAX).filter_map(|byte| u8::try_from(byte * 3).ok()).collect();
    for bytes in [&b""[..], b"\x00\xff{", &largest] {
        let pong = peer.ping(bytes)?;
        let due = format!("PONG with {bytes:02x?}");
        demand(pong == bytes, due, || format!("PONG with {pong:02x?}"))?;
    }
    let mut sealer = FrameSealer::default();
    let long = frame(&mut sealer, Kind::Ping, &[7; PING_BYTES_MAX as usize + 1]);
    let mut sealer = FrameSealer::default();
    let hello = hello_frame(&mut sealer);
    let long = changed(long, SEQ_AT, &[0, 0, 0, 1]);
    refuses(bench, &[hello, long].concat(), Code::TooLarge, "a PING of 65 bytes")
}
