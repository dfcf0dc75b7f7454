//! `testdata/frames`: one stream in one direction, and what a receiver makes of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::BytesMut;
use protocol::avro::row::STATIC_SCHEMA;
use protocol::limits::{CONTROL_FRAME_BYTES_MAX, DATA_FRAME_BYTES_MAX, LOG_FRAME_BYTES_MAX};
use protocol::message::{self, BatchPrefix, Operation};
use protocol::wire::{Direction, Frame, FrameDecoder, Kind, NONE};
use protocol::{Code, Failure};

use crate::text::{Vector, dump, line};
use crate::{avro, check_generated, files};

/// A file to be generated.
struct File {
    name: String,
    about: String,
    from: Direction,
    next_seq: u32,
    bytes: Vec<u8>,
    /// Annotated bytes.
    text: String,
    /// What must come of it.
    expect: Vec<String>,
}

/// Fields of a header in their order, with free hands.
#[derive(Clone, Copy)]
struct Fields {
    magic: [u8; 4],
    version: u8,
    kind: u8,
    flags: u16,
    epoch: u32,
    part: u32,
    seq: u32,
    reference: u32,
    /// Other than the payload's length.
    length: Option<u32>,
    /// What the checksum is changed by.
    crc_error: u32,
}

const PLAIN: Fields = Fields {
    magic: *b"S2XF",
    version: 1,
    kind: 0x8f,
    flags: 0,
    epoch: 0,
    part: NONE,
    seq: 0,
    reference: NONE,
    length: None,
    crc_error: 0,
};

impl Fields {
    fn of(kind: Kind) -> Self {
        let flags = u16::from(matches!(kind, Kind::Configure | Kind::Update));
        Self { kind: kind.byte(), flags, ..PLAIN }
    }

    /// The frame, annotated.
    fn write(&self, payload: &[u8]) -> (Vec<u8>, String) {
        let length = self.length.unwrap_or_else(|| payload.len().try_into().unwrap());
        let number = |value: u32| if value == NONE { "none".to_owned() } else { value.to_string() };
        let name = Kind::from_byte(self.kind).map_or("unknown", Kind::name);
        let mut parts: Vec<(Vec<u8>, String)> = vec![
            (self.magic.to_vec(), "magic".into()),
            (vec![self.version], "header version".into()),
            (vec![self.kind], format!("type {name}")),
            (self.flags.to_be_bytes().to_vec(), "flags".into()),
            (self.epoch.to_be_bytes().to_vec(), format!("epoch {}", self.epoch)),
            (self.part.to_be_bytes().to_vec(), format!("part {}", number(self.part))),
            (self.seq.to_be_bytes().to_vec(), format!("seq {}", self.seq)),
            (self.reference.to_be_bytes().to_vec(), format!("ref {}", number(self.reference))),
            (length.to_be_bytes().to_vec(), format!("length {length}")),
        ];
        let covered: Vec<u8> = parts.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let crc = crc32c::crc32c(&[&covered, payload].concat()) ^ self.crc_error;
        let note = if self.crc_error == 0 { "crc32c" } else { "crc32c, one bit of it wrong" };
        parts.push((crc.to_be_bytes().to_vec(), note.into()));
        let mut bytes: Vec<u8> = parts.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        bytes.extend_from_slice(payload);
        let head: String = parts.iter().map(|(bytes, comment)| line(bytes, comment)).collect();
        (bytes, head + &dump(payload))
    }

    /// What a receiver makes of it.
    fn expect(&self, payload: &[u8]) -> String {
        let number = |value: u32| if value == NONE { "-".to_owned() } else { value.to_string() };
        format!(
            "frame {} flags={:04x} epoch={} part={} seq={} ref={} length={}",
            Kind::from_byte(self.kind).unwrap().name(),
            self.flags,
            self.epoch,
            number(self.part),
            self.seq,
            number(self.reference),
            payload.len()
        )
    }
}

fn file(name: &str, about: &str, frames: &[(Fields, &[u8])], end: &str) -> File {
    let from = Direction::of(frames[0].0.kind);
    let (mut bytes, mut text, mut expect) = (Vec::new(), String::new(), Vec::new());
    for (index, (fields, payload)) in frames.iter().enumerate() {
        let (frame, annotated) = fields.write(payload);
        bytes.extend(frame);
        text += &annotated;
        let is_last = index + 1 == frames.len();
        let is_skipped = end == "end" && Kind::from_byte(fields.kind).is_none();
        if !is_skipped && (!is_last || end == "end" || end == "error BAD_PAYLOAD") {
            expect.push(fields.expect(payload));
        }
    }
    expect.push(end.to_owned());
    let (name, about) = (name.to_owned(), about.to_owned());
    File { name, about, from, next_seq: frames[0].0.seq, bytes, text, expect }
}

impl File {
    /// Leaves only the first bytes.
    fn cut(mut self, length: usize) -> Self {
        self.bytes.truncate(length);
        self.text = dump(&self.bytes);
        self
    }

    fn write(&self) -> Vec<u8> {
        let from = match self.from {
            Direction::FromHost => "host",
            Direction::FromExtractor => "extractor",
        };
        let mut text = format!("# {}\nfrom: {from}\n", self.about);
        if self.next_seq != 0 {
            writeln!(text, "next_seq: {}", self.next_seq).unwrap();
        }
        for expect in &self.expect {
            writeln!(text, "expect: {expect}").unwrap();
        }
        (text + &self.text).into_bytes()
    }
}

/// The example of a message in SPEC.md; `{}` where there is none.
fn example(kind: Kind) -> String {
    let spec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/SPEC.md")).unwrap();
    let mark = format!("<!-- example: {} -->", kind.name());
    let mut lines = spec.lines().skip_while(|line| *line != mark).skip(2);
    lines.next().unwrap_or("{}").to_owned()
}

fn payload(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Ping | Kind::Pong => b"123456789".to_vec(),
        Kind::Schema => avro::header(1, STATIC_SCHEMA).encode(),
        Kind::Batch => {
            let prefix = BatchPrefix { schema: 1, operation: Operation::Insert }.encode();
            [&prefix[..], &avro::static_block()].concat()
        }
        _ => example(kind).into_bytes(),
    }
}

/// One frame of every type, then edge values.
fn good() -> Vec<File> {
    let mut out = Vec::new();
    for kind in Kind::ALL {
        let mut fields = Fields::of(*kind);
        if kind.direction() == Direction::FromExtractor {
            (fields.epoch, fields.reference) = (5, 3);
        }
        if *kind == Kind::Batch {
            fields.part = 0;
        }
        let payload = payload(*kind);
        let name = format!("type-{:02x}-{}.hex", kind.byte(), kind.name().to_lowercase());
        out.push(file(&name, kind.name(), &[(fields, &payload)], "end"));
    }
    let edge = Fields { epoch: u32::MAX, part: NONE - 1, reference: 0, ..PLAIN };
    out.push(file(
        "edge-largest-values.hex",
        "epoch and part at their ends",
        &[(edge, b"")],
        "end",
    ));
    let last = Fields { seq: u32::MAX, ..PLAIN };
    let (first, then) = ((last, &b""[..]), (Fields { seq: 0, ..PLAIN }, &b""[..]));
    out.push(file("edge-seq-wraps.hex", "after ffffffff comes 0", &[first, then], "end"));
    let reserved = Fields { flags: 0x00ff, ..PLAIN };
    out.push(file("edge-reserved-flags.hex", "ignored", &[(reserved, b"")], "end"));
    out.push(file("edge-longest-pong.hex", "64 bytes", &[(PLAIN, &[0xff; 64])], "end"));
    let strange = Fields { kind: 0xb5, flags: 0x00f0, ..PLAIN };
    let next = Fields { seq: 1, ..PLAIN };
    let skipped = [(strange, &b"news of a later version"[..]), (next, &b"x"[..])];
    out.push(file("edge-ancillary-is-skipped.hex", "and counted in seq", &skipped, "end"));
    let strange = Fields { kind: 0x30, ..PLAIN };
    let next = Fields { seq: 1, ..Fields::of(Kind::Ping) };
    let skipped = [(strange, &b""[..]), (next, &b""[..])];
    out.push(file("edge-ancillary-of-host.hex", "the same to the extractor", &skipped, "end"));
    out
}

/// Damaged frames.
fn bad() -> Vec<File> {
    let ping = Fields::of(Kind::Ping);
    let one = |name: &str, about: &str, fields: Fields, code: Code| {
        file(&format!("bad-{name}.hex"), about, &[(fields, b"x")], &format!("error {code}"))
    };
    let long = |kind: u8, max: u32| Fields { kind, length: Some(max + 1), ..PLAIN };
    let mut out = vec![
        one("magic", "one letter", Fields { magic: *b"S2XG", ..PLAIN }, Code::BadMagic),
        one("version", "header version 2", Fields { version: 2, ..PLAIN }, Code::Unsupported),
        one("echo", "a PING out of the extractor", ping, Code::UnexpectedMessage),
        one("data-too-large", "BATCH", long(0x89, DATA_FRAME_BYTES_MAX), Code::TooLarge),
        one("control-too-large", "ERROR", long(0x8e, CONTROL_FRAME_BYTES_MAX), Code::TooLarge),
        one("unknown-too-large", "type b0", long(0xb0, CONTROL_FRAME_BYTES_MAX), Code::TooLarge),
        one("log-too-large", "LOG", long(0x8d, LOG_FRAME_BYTES_MAX), Code::TooLarge),
        one("pong-too-large", "PONG", long(0x8f, 64), Code::TooLarge),
        one("length-ffffffff", "BATCH", long(0x89, u32::MAX - 1), Code::TooLarge),
        one("seq-gap", "1 where 0 is due", Fields { seq: 1, ..PLAIN }, Code::BadSeq),
        one("crc", "one bit of the checksum", Fields { crc_error: 1, ..PLAIN }, Code::BadCrc),
        one("critical-flag", "bit 8", Fields { flags: 0x0100, ..PLAIN }, Code::Unsupported),
        one(
            "critical-ancillary",
            "bit 15",
            Fields { kind: 0xb5, flags: 0x8000, ..PLAIN },
            Code::Unsupported,
        ),
        one("unknown-type", "type a0", Fields { kind: 0xa0, ..PLAIN }, Code::Unsupported),
        one(
            "private-type",
            "type f0 without a feature",
            Fields { kind: 0xf0, ..PLAIN },
            Code::Unsupported,
        ),
    ];
    out[2].from = Direction::FromExtractor;
    out[9].next_seq = 0;
    let twice = [(PLAIN, &b""[..]), (PLAIN, &b""[..])];
    out.push(file("bad-seq-repeat.hex", "0 twice", &twice, "error BAD_SEQ"));
    let mut flipped = one("payload-bit", "one bit of the payload", PLAIN, Code::BadCrc);
    *flipped.bytes.last_mut().unwrap() ^= 0x10;
    flipped.text = dump(&flipped.bytes);
    out.push(flipped);
    let mut printed = one("printed-text", "a program that prints", PLAIN, Code::BadMagic);
    printed.bytes = b"hi\n".to_vec();
    printed.text = dump(&printed.bytes);
    out.push(printed);
    out.push(one("cut-header", "ends inside the header", PLAIN, Code::Truncated).cut(31));
    out.push(one("cut-payload", "ends inside the payload", PLAIN, Code::Truncated).cut(32));
    out.push(one("cut-magic", "ends inside the magic", PLAIN, Code::Truncated).cut(3));
    out
}

/// Whole frames whose payload is refused.
fn bad_payloads() -> Vec<File> {
    let deep = format!("{{\"parts\":1,\"x\":{}{}}}", "[".repeat(32), "]".repeat(32));
    let cases: [(&str, Kind, &[u8]); 14] = [
        ("duplicate-key", Kind::Assigned, br#"{"parts":1,"parts":1}"#),
        ("duplicate-inner-key", Kind::Assigned, br#"{"parts":1,"x":{"a":1,"a":2}}"#),
        ("too-deep", Kind::Assigned, deep.as_bytes()),
        ("byte-order-mark", Kind::Assigned, b"\xef\xbb\xbf{\"parts\":1}"),
        ("not-utf8", Kind::Assigned, b"{\"parts\":1,\"x\":\"\xff\"}"),
        ("lone-surrogate", Kind::Assigned, br#"{"parts":1,"x":"\ud800"}"#),
        ("array", Kind::Assigned, b"[1]"),
        ("after-the-end", Kind::Assigned, br#"{"parts":1}{}"#),
        ("missing-field", Kind::Assigned, b"{}"),
        ("fraction", Kind::Assigned, br#"{"parts":1.0}"#),
        ("negative", Kind::Assigned, br#"{"parts":-1}"#),
        ("null-offset", Kind::Offsets, br#"{"offsets":[{"key":{"a":1},"value":null}]}"#),
        ("empty-offset", Kind::Offsets, br#"{"offsets":[{"key":{},"value":{"a":1}}]}"#),
        ("nothing", Kind::Check, b""),
    ];
    cases
        .iter()
        .map(|(name, kind, payload)| {
            let fields = Fields::of(*kind);
            let name = format!("payload-{name}.hex");
            file(&name, kind.name(), &[(fields, payload)], "error BAD_PAYLOAD")
        })
        .collect()
}

/// Whether the payload of a frame is what its type says.
fn read_payload(frame: &Frame) -> Result<(), Failure> {
    let (kind, payload) = (frame.head.kind, &frame.payload[..]);
    macro_rules! read {
        ($($kind:ident => $message:ty,)*) => {
            match kind {
                $(Kind::$kind => message::decode::<$message>(kind, payload).map(|_| ()),)*
                Kind::Schema | Kind::Batch | Kind::Ping | Kind::Pong => Ok(()),
            }
        };
    }
    read! {
        Hello => message::Hello, HelloOk => message::HelloOk, Configure => message::Configure,
        Configured => message::Configured, Check => message::Empty, Checked => message::Checked,
        Discover => message::Empty, Discovered => message::Discovered,
        GetOffsets => message::GetOffsets, Offsets => message::Offsets, Assign => message::Assign,
        Assigned => message::Assigned, Extract => message::Extract, BatchEnd => message::BatchEnd,
        Commit => message::Commit, Cancel => message::Empty, Stop => message::Stop,
        Stopped => message::Stopped, Update => message::Update, Updated => message::Updated,
        Progress => message::Progress, Partitions => message::Partitions, Log => message::Log,
        Error => Failure,
    }
}

/// What the decoder makes of a file, in the words of `expect`.
fn judge(vector: &Vector, step: usize) -> Vec<String> {
    let from = match vector.get("from").unwrap() {
        "host" => Direction::FromHost,
        "extractor" => Direction::FromExtractor,
        other => panic!("no direction {other}"),
    };
    let mut decoder = FrameDecoder::new(from);
    let mut seen = Vec::new();
    decoder.start_at(vector.get("next_seq").map_or(0, |text| text.parse().unwrap()));
    let mut buffer = BytesMut::new();
    for chunk in vector.bytes.chunks(step) {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => {
                    seen.push(describe(&frame));
                    if let Err(failure) = read_payload(&frame) {
                        seen.push(format!("error {}", failure.code));
                        return seen;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    seen.push(format!("error {}", error.code()));
                    return seen;
                }
            }
        }
    }
    let end = decoder.end(&buffer);
    seen.push(end.map_or_else(|error| format!("error {}", error.code()), |()| "end".to_owned()));
    seen
}

fn describe(frame: &Frame) -> String {
    let head = frame.head;
    let fields = Fields {
        kind: head.kind.byte(),
        flags: head.flags,
        epoch: head.epoch,
        part: head.part,
        seq: frame.seq,
        reference: head.reference,
        ..PLAIN
    };
    fields.expect(&frame.payload)
}

fn check_files() {
    let all = [good(), bad(), bad_payloads()].into_iter().flatten();
    let wanted: BTreeMap<_, _> = all.map(|file| (file.name.clone(), file.write())).collect();
    check_generated("frames", &wanted);
}

#[test]
fn frames_are_judged_as_expected_however_they_are_cut() {
    check_files();
    for (name, text) in files("frames") {
        let vector = Vector::read(&text);
        for step in [1, 7, 1 << 20] {
            assert_eq!(judge(&vector, step), vector.all("expect"), "{name} in steps of {step}");
        }
    }
}
