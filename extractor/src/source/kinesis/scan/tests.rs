//! The scan against the SDK's own types, on generated, cut, damaged and hostile bodies. Random tests
//! print their seed and take it back from `SEED`.

use std::fmt::Write as _;

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_smithy_json::codec::{JsonCodec, JsonCodecSettings};
use aws_smithy_schema::codec::Codec;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use serde_json::{Value, json};

use super::super::budget::Budget;
use super::super::records::Data;
use super::super::row::Frame;
use super::*;

/// Reads a body with as much memory as it needs.
fn scan(body: Vec<u8>) -> Result<Answer, ScanError> {
    super::scan(body, usize::MAX, &Spare::new(&Budget::new(0)))
}

/// What the SDK makes of a body, by the settings of its awsJson1_1.
fn typed(body: &[u8]) -> Option<GetRecordsOutput> {
    let settings = JsonCodecSettings::builder()
        .use_json_name(false)
        .default_timestamp_format(aws_sdk_kinesis::primitives::DateTimeFormat::EpochSeconds)
        .build();
    GetRecordsOutput::deserialize(&mut JsonCodec::new(settings).create_deserializer(body)).ok()
}

fn rows(records: &Records) -> Vec<Vec<u8>> {
    let frame = Frame::new("topic", "stream", "shard");
    (0..records.len())
        .map(|index| {
            let mut out = Vec::new();
            frame.write(&mut out, &records.get(index).unwrap());
            out
        })
        .collect()
}

/// Half milliseconds, which damage makes and the service does not send, count up: the double that the
/// SDK reads them as lies on either side.
fn without_half(time: DateTime) -> DateTime {
    const DOUBLE_NANOS: i128 = 1_000;
    let nanos = time.as_nanos();
    let short = 500_000 - nanos.rem_euclid(1_000_000);
    let is_half = (0..DOUBLE_NANOS).contains(&short);
    DateTime::from_nanos(nanos + if is_half { short } else { 0 }).unwrap()
}

/// Compares both readings. `None` where both refuse the body, else whether ours takes it.
fn compare(body: &[u8]) -> Option<bool> {
    let shown = String::from_utf8_lossy(body.get(..body.len().min(2_000)).unwrap()).into_owned();
    let (ours, theirs) = match (scan(body.to_vec()), typed(body)) {
        (Ok(ours), Some(theirs)) => (ours, theirs),
        (Err(_), None) => return None,
        (Err(_), Some(_)) => return Some(false),
        (Ok(ours), None) => panic!("only ours reads {shown}: {ours:?}"),
    };
    let mut theirs = theirs;
    for record in &mut theirs.records {
        let time = &mut record.approximate_arrival_timestamp;
        *time = time.map(without_half);
    }
    let records = Records::of(&theirs.records).unwrap();
    assert_eq!(rows(&ours.records), rows(&records), "{shown}");
    for (index, record) in theirs.records.iter().enumerate() {
        let view = ours.records.get(index).unwrap();
        assert_eq!(*view.bytes().unwrap(), *record.data.as_ref(), "{shown}");
        assert_eq!(view.key_text().as_deref(), record.partition_key.as_deref(), "{shown}");
    }
    assert_eq!(ours.next, theirs.next_shard_iterator, "{shown}");
    assert_eq!(ours.behind_ms, theirs.millis_behind_latest, "{shown}");
    let children = theirs.child_shards.unwrap_or_default().into_iter();
    let children = children
        .map(|it| {
            let range = it.hash_key_range.as_ref().and_then(|range| {
                HashRange::parse(&range.starting_hash_key, &range.ending_hash_key)
            });
            (it.shard_id, Listed { parents: it.parent_shards, closed: false, range })
        })
        .collect();
    assert_eq!(ours.children, children, "{shown}");
    Some(true)
}

fn error(body: &str) -> String {
    scan(body.as_bytes().to_vec()).unwrap_err().to_string()
}

fn with_record(members: &str) -> String {
    format!(r#"{{"Records":[{{{members}}}]}}"#)
}

const GOOD: &str = r#""SequenceNumber":"49","Data":"AA==","PartitionKey":"k""#;

struct Writer(Rng);

impl Writer {
    fn space(&mut self) -> String {
        let count = [0, 0, 0, 1, 3][self.0.usize(..5)];
        (0..count).map(|_| [' ', '\n', '\r', '\t'][self.0.usize(..4)]).collect()
    }

    /// A text as JSON, any character of which may be escaped.
    fn text(&mut self, text: &str) -> String {
        let escapes = self.0.u8(..4) == 0;
        let mut out = String::from('"');
        for c in text.chars() {
            let must = c < ' ' || c == '"' || c == '\\';
            match (must || (escapes && self.0.u8(..3) == 0), c) {
                (true, '"' | '\\' | '/') => out.extend(["\\", c.encode_utf8(&mut [0; 4])]),
                (true, '\n') if self.0.bool() => out += "\\n",
                (true, _) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(out, "\\u{unit:04x}").unwrap();
                    }
                }
                (false, _) => out.push(c),
            }
        }
        out + "\""
    }

    fn any_text(&mut self, max: usize) -> String {
        let alphabet = ['a', 'Z', '7', '"', '\\', '/', '\n', '\u{1}', 'é', '世', '🦀', '\u{7f}'];
        let simple = self.0.bool();
        (0..self.0.usize(1..=max))
            .map(|_| alphabet[self.0.usize(..if simple { 3 } else { alphabet.len() })])
            .collect()
    }

    fn join(&mut self, mut members: Vec<(String, String)>, open: &str, close: &str) -> String {
        self.0.shuffle(&mut members);
        let mut out = open.to_owned();
        for (at, (name, value)) in members.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let (a, b, c) = (self.space(), self.space(), self.space());
            write!(out, "{comma}{a}{}{b}:{c}{value}", self.text(name)).unwrap();
        }
        out + &self.space() + close
    }

    fn unknown(&mut self, depth: u32) -> String {
        match self.0.u8(..if depth == 0 { 5 } else { 7 }) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => ["0", "-1.5e-7", "12E+3", "0.25"][self.0.usize(..4)].to_owned(),
            3 | 4 => {
                let text = self.any_text(8);
                self.text(&text)
            }
            5 => {
                let inner = self.unknown(depth - 1);
                format!("[{inner}, {}]", self.unknown(depth - 1))
            }
            _ => {
                let inner = self.unknown(depth - 1);
                self.join(vec![("Data".to_owned(), inner)], "{", "}")
            }
        }
    }

    fn record(&mut self) -> String {
        let len = [0, 1, 2, 3, 100, 1024][self.0.usize(..6)];
        let data: Vec<u8> = (0..len).map(|_| self.0.u8(..)).collect();
        let sequence = self.0.u128(..).to_string();
        let mut members = vec![
            ("SequenceNumber".to_owned(), self.text(&sequence)),
            ("Data".to_owned(), self.text(&STANDARD.encode(data))),
        ];
        if self.0.u8(..8) > 0 {
            let key = self.any_text(12);
            members.push(("PartitionKey".to_owned(), self.text(&key)));
        }
        let ms = self.0.i64(0..4_000_000_000_000);
        let time = match self.0.u8(..5) {
            0 => format!("{}", ms / 1000),
            1 => format!("{}.{:03}", ms / 1000, ms % 1000),
            2 => format!("{}.{:03}000", ms / 1000, ms % 1000),
            3 => format!("{}.{:012}E9", ms / 1_000_000_000_000, ms % 1_000_000_000_000),
            _ => "null".to_owned(),
        };
        members.push(("ApproximateArrivalTimestamp".to_owned(), time));
        if self.0.bool() {
            members.push(("EncryptionType".to_owned(), "\"KMS\"".to_owned()));
        }
        if self.0.bool() {
            members.push(("Later".to_owned(), self.unknown(3)));
        }
        self.join(members, "{", "}")
    }

    fn body(&mut self) -> String {
        let count = [0, 1, 2, 7][self.0.usize(..4)];
        let records: Vec<String> = (0..count).map(|_| self.record()).collect();
        let comma = format!("{},{}", self.space(), self.space());
        let records = format!("[{}{}{}]", self.space(), records.join(&comma), self.space());
        let mut members = vec![("Records".to_owned(), records)];
        if self.0.bool() {
            let next = self.any_text(30);
            members.push(("NextShardIterator".to_owned(), self.text(&next)));
            members.push(("MillisBehindLatest".to_owned(), self.0.u32(..).to_string()));
        } else {
            members.push(("NextShardIterator".to_owned(), "null".to_owned()));
            let last = self.0.u128(..).to_string();
            let child = json!([{
                "ShardId": "shardId-1", "ParentShards": ["shardId-0"],
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": last},
            }]);
            members.push(("ChildShards".to_owned(), child.to_string()));
        }
        if self.0.bool() {
            members.push(("Unknown".to_owned(), self.unknown(4)));
        }
        let space = self.space();
        space + &self.join(members, "{", "}") + &self.space()
    }
}

fn writer() -> Writer {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    Writer(Rng::with_seed(seed))
}

#[test]
fn the_scan_reads_what_the_sdk_reads() {
    let mut writer = writer();
    let mut records = 0;
    for _ in 0..3_000 {
        let body = writer.body();
        assert_eq!(compare(body.as_bytes()), Some(true), "{body}");
        records += scan(body.into_bytes()).unwrap().records.len();
    }
    assert!(records > 3_000, "{records}");
}

#[test]
fn a_body_that_is_cut_anywhere_is_refused_with_the_place() {
    let mut writer = writer();
    for _ in 0..20 {
        let body = writer.body();
        let body = body.trim_end();
        for len in 0..body.len() {
            let error = scan(body.as_bytes()[..len].to_vec()).unwrap_err();
            assert!(error.at <= len + 1, "{error} of {len}");
        }
    }
}

/// One damaged byte: either both readings refuse, or they agree, or ours alone refuses.
#[test]
fn damage_is_never_read_in_another_way() {
    let mut writer = writer();
    let mut outcomes = [0_u32; 3];
    for _ in 0..300 {
        let body = writer.body().into_bytes();
        for _ in 0..60 {
            let mut damaged = body.clone();
            let at = writer.0.usize(..body.len());
            damaged[at] = match writer.0.u8(..3) {
                0 => writer.0.u8(..),
                1 => b"{}[]\",:\\ntf0e-.=A/"[writer.0.usize(..18)],
                _ => damaged[at] ^ (1 << writer.0.u8(..8)),
            };
            if std::str::from_utf8(&damaged).is_err() {
                // What is not used is not looked at; the rest is, in another test.
                scan(damaged).map(drop).unwrap_or_default();
                continue;
            }
            match compare(&damaged) {
                Some(true) => outcomes[0] += 1,
                Some(false) => outcomes[1] += 1,
                None => outcomes[2] += 1,
            }
        }
    }
    assert!(outcomes[0] > 1_000 && outcomes[2] > 1_000, "{outcomes:?}");
}

#[test]
fn noise_never_panics() {
    let mut rng = writer().0;
    for _ in 0..20_000 {
        let alphabet = br#"{}[]",:\ u0d8naltrueRcodsD"#;
        let len = rng.usize(..80);
        let noise: Vec<u8> = (0..len).map(|_| alphabet[rng.usize(..alphabet.len())]).collect();
        assert!(scan(noise).is_err());
    }
}

#[test]
fn what_the_service_does_not_send_is_an_error_with_its_place() {
    for (body, expected) in [
        ("", "byte 0: no object"),
        ("[]", "byte 0: no object"),
        ("{}", "byte 2: the answer has no Records"),
        (r#"{"Records":null}"#, "byte 11: no array"),
        (r#"{"Records":[]}x"#, "byte 14: bytes after the answer"),
        (r#"{"Records":[],}"#, "byte 14: no string"),
        (r#"{"Records":[],"NextShardIterator":5}"#, "byte 34: no string"),
        (r#"{"Records":[],"MillisBehindLatest":1.5}"#, "byte 35: no whole number of 64 bits"),
        (r#"{"Records":[],"MillisBehindLatest":01}"#, "byte 35: no number"),
        (r#"{"Records":[],"X":tru}"#, "byte 18: no value"),
        (
            r#"{"Records":[],"ChildShards":[{"ShardId":"s"}]}"#,
            "byte 45: ChildShards before this place are not what they should be",
        ),
    ] {
        assert_eq!(error(body), expected, "{body}");
    }
    for (members, expected) in [
        (r#""Data":"AA==""#, "byte 27: the record has no SequenceNumber"),
        (r#""SequenceNumber":"4""#, "byte 34: the record has no Data"),
        (r#""SequenceNumber":"4","Data":null"#, "byte 41: no string"),
        (r#""SequenceNumber":"4x""#, "byte 31: a SequenceNumber that is no number"),
        (r#""SequenceNumber":"""#, "byte 31: a SequenceNumber that is no number"),
        (r#""SequenceNumber":"04""#, "byte 31: a SequenceNumber that is no number"),
        (r#""ApproximateArrivalTimestamp":"2026-01-01T00:00:00Z""#, "byte 43: no number"),
        (r#""ApproximateArrivalTimestamp":1e40"#, "byte 43: a time out of range"),
        (r#""PartitionKey":7"#, "byte 28: no string"),
        ("\"PartitionKey\":\"a\nb\"", "byte 30: a control character in a string"),
        (
            r#""PartitionKey":"\ud800""#,
            "byte 29: a string with an escape that means nothing, or no UTF-8",
        ),
        (
            r#""PartitionKey":"\x""#,
            "byte 29: a string with an escape that means nothing, or no UTF-8",
        ),
    ] {
        assert_eq!(error(&with_record(members)), expected, "{members}");
    }
    let mut body = with_record(r#""PartitionKey":"?""#).into_bytes();
    let at = body.iter().position(|byte| *byte == b'?').unwrap();
    body[at] = 0xff;
    assert_eq!(scan(body).unwrap_err().what, "a PartitionKey that is no UTF-8");
}

#[test]
fn only_canonical_base64_passes() {
    let of = |data: &str| with_record(&format!(r#""SequenceNumber":"1","Data":"{data}""#));
    for good in ["", "AA==", "AAA=", "AAAA", "+/+/", r"\/\/+A", r"AA=\u003d"] {
        assert_eq!(compare(of(good).as_bytes()), Some(true), "{good}");
    }
    let bad = [
        "A",
        "AA",
        "AAA",
        "AAAAA",
        "AA=",
        "A===",
        "====",
        "=",
        "AB==",
        "AAB=",
        "AA==AA==",
        "AA==A",
        "A A=",
        "AA-_",
        "AA\u{e9}=",
        "AA==\\n",
        r"A\/",
        "AAAA====",
    ];
    for bad in bad {
        let error = error(&of(bad));
        assert!(error.contains("canonical base64"), "{bad}: {error}");
        assert!(!matches!(compare(of(bad).as_bytes()), Some(true)));
    }
}

#[test]
fn times_are_exact_decimals() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-0.0", Some(0)),
        ("1775700271.554", Some(1_775_700_271_554)),
        ("1.775700271554E9", Some(1_775_700_271_554)),
        ("1775700271554e-3", Some(1_775_700_271_554)),
        ("1491757701.123", Some(1_491_757_701_123)),
        ("1775700271", Some(1_775_700_271_000)),
        ("1.7757E+9", Some(1_775_700_000_000)),
        ("0.0005", Some(1)),
        ("0.00049999999999999999999", Some(0)),
        ("-0.0005", Some(0)),
        ("-0.0006", Some(-1)),
        ("-1.5", Some(-1_500)),
        ("0e999999999", Some(0)),
        ("1e-999999999", Some(0)),
        ("1e999999999", None),
        ("1e99999999999", None),
        ("9223372036854775.807", Some(i64::MAX)),
        ("9223372036854775.808", None),
        ("1234567890123456789012345678901", None),
    ] {
        assert_eq!(number::millis(text.as_bytes()), expected, "{text}");
    }
    for ms in (1_775_700_271_000_i64..1_775_700_273_000).chain(0..2_000) {
        let text = format!("{}.{:03}", ms / 1_000, ms % 1_000);
        assert_eq!(number::millis(text.as_bytes()), Some(ms));
    }
}

#[test]
fn a_later_member_of_the_same_name_counts() {
    let twice = with_record(&format!(r#"{GOOD},"Data":"BB==""#)).replace("BB==", "AAAA");
    assert_eq!(compare(twice.as_bytes()), Some(true));
    let answer = scan(twice.into_bytes()).unwrap();
    assert_eq!(answer.records.get(0).unwrap().data, Data::Base64(b"AAAA"));
    let twice = format!(r#"{{"Records":[{{{GOOD}}}],"Records":[]}}"#);
    assert_eq!(compare(twice.as_bytes()), Some(true));
}

#[test]
fn counts_and_depth_are_bounded() {
    let depth = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        scan(format!(r#"{{"X":{open}{close},"Records":[]}}"#).into_bytes()).map(|_| ())
    };
    assert_eq!(depth(64), Ok(()));
    assert_eq!(depth(65).unwrap_err().what, "values lie too deep in each other");
    assert!(depth(100_000).is_err());
    let many = |count: usize| {
        let records = vec![r#"{"SequenceNumber":"1","Data":""}"#; count].join(",");
        let mut body = format!(r#"{{"Records":[{records}]}}"#).into_bytes();
        body.shrink_to_fit();
        scan(body)
    };
    let most = many(RECORDS_MAX).unwrap().records;
    assert_eq!(most.len(), RECORDS_MAX);
    assert!(most.bytes() <= RECORDS_MAX * 33 + 20 + super::super::records::ENTRIES_BYTES_MAX);
    assert_eq!(many(RECORDS_MAX + 1).unwrap_err().what, "more records than the service sends");
}

/// Ten MiB in one record, which is what the service allows.
#[test]
fn the_largest_record_passes() {
    let data: Vec<u8> = (0_u32..10 << 20).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let text = STANDARD.encode(&data);
    let body = with_record(&format!(r#"{GOOD},"Data":"{text}""#));
    assert_eq!(compare(body.as_bytes()), Some(true));
    let answer = scan(body.into_bytes()).unwrap();
    let record = answer.records.get(0).unwrap();
    assert_eq!((record.data, record.bytes()), (Data::Base64(text.as_bytes()), Some(data.into())));
}

#[test]
fn places_follow_records_that_are_left_out() {
    let record =
        |n: u32| json!({"SequenceNumber": n.to_string(), "Data": "", "PartitionKey": "k\n"});
    let records: Vec<Value> = (1..=4).map(record).collect();
    let body = json!({"Records": records}).to_string();
    let mut records = scan(body.into_bytes()).unwrap().records;
    records.skip(1);
    records.skip(2);
    assert_eq!((records.len(), records.get(0).unwrap().sequence), (1, "4"));
    assert_eq!(records.get(0).unwrap().key_text().unwrap(), "k\n");
    assert!(records.get(1).is_none());
    records.skip(9);
    assert_eq!(records.len(), 0);
}

/// Keys with escapes, which grow by being written our way, take no more than they may; the body does
/// not move for them.
#[test]
fn texts_with_escapes_stay_within_the_memory_of_an_answer() {
    let record = r#"{"SequenceNumber":"1","Data":"AA\u003d=","PartitionKey":"\b\"\f\u0001x"}"#;
    let records = vec![record; 1_000].join(",");
    let mut body = format!(r#"{{"Records":[{records}]}}"#).into_bytes();
    body.shrink_to_fit();
    let len = body.len();
    let places = RECORDS_MAX * size_of::<super::super::records::Entry>();
    let mut read = None;
    for room in (len..len * 2).step_by(1_000) {
        match super::scan(body.clone(), room, &Spare::new(&Budget::new(0))) {
            Ok(answer) => {
                let held = answer.records.bytes();
                assert!(held <= room + places, "{held} of {room}");
                assert!(held >= len + 1_000 * 20, "the copies count: {held}");
                let last = answer.records.get(999).unwrap();
                assert_eq!(last.key_text().as_deref(), Some("\u{8}\"\u{c}\u{1}x"));
                assert_eq!(*last.bytes().unwrap(), [0]);
                read.get_or_insert(room);
            }
            Err(error) => {
                assert!(error.is_no_room(), "{error}");
                assert_eq!(read, None, "more room is never too little");
            }
        }
    }
    assert!(read.is_some_and(|room| room > len), "{read:?} for {len}");
}
