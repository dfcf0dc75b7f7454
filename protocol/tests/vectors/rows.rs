//! `testdata/rows`: rows of the test source (SPEC.md appendix E), computed here from the text of the
//! appendix and by nothing that a program uses.

use std::collections::BTreeMap;

use protocol::avro::ErrorRow;
use serde_json::{Value, json};

use crate::avro::static_row;
use crate::{check_generated, files};

/// Settings that shape rows.
struct Case {
    seed: u64,
    length: usize,
    is_unicode: bool,
    tombstone_every: u64,
    error_every: u64,
    topic: &'static str,
}

const PLAIN: &str = "abcdefghijklmnopqrstuvwxyz012345";
const MIXED: &str = "abcdefghijklmnopéßñøλжשあ漢字한😀\"\\\n\u{1}";

/// Rows in a file; the digests go over as many.
const ROWS: u64 = 1000;

/// Rows that are written out.
const SHOWN: u64 = 12;

fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn splitmix64(start: u64, row: u64) -> u64 {
    let mut z = start.wrapping_add((row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Case {
    fn config(&self) -> Value {
        json!({
            "connector.class": "test", "test.seed": self.seed, "test.row.bytes": self.length,
            "test.unicode": self.is_unicode, "test.tombstone.every": self.tombstone_every,
            "test.error.every": self.error_every, "test.topic": self.topic, "test.rows": ROWS,
            "test.splits": 2,
        })
    }

    fn record(&self, split: &str, row: u64) -> String {
        let n = splitmix64(self.seed ^ fnv1a64(split), row);
        let alphabet: Vec<char> =
            if self.is_unicode { MIXED.chars().collect() } else { PLAIN.chars().collect() };
        assert_eq!(alphabet.len(), 32);
        let letter = |j: usize| alphabet[usize::try_from((n >> ((j % 12) * 5)) & 31).unwrap()];
        let payload: String = (0..self.length).map(letter).collect();
        // serde_json escapes as section 6.1 says, which testdata/offsets checks.
        let payload = Value::from(payload);
        format!(r#"{{"gen":"{split}","n":"{n}","payload":{payload},"row":{row}}}"#)
    }

    /// The encoded row, what it looks like, and whether it is an error row.
    fn row(&self, split: &str, row: u64) -> (Vec<u8>, Value, bool) {
        let is_every = |every: u64| every > 0 && (row + 1).is_multiple_of(every);
        let id = format!(r#"{{"gen":"{split}","row":{row}}}"#);
        let is_tombstone = is_every(self.tombstone_every);
        let record = if is_tombstone { "null".to_owned() } else { self.record(split, row) };
        if is_every(self.error_every) {
            let (key, position) =
                (format!(r#"{{"gen":"{split}"}}"#), format!(r#"{{"row":{row}}}"#));
            let error = ErrorRow {
                split: &key,
                position: &position,
                key: Some(id.as_bytes()),
                value: Some(record.as_bytes()),
                code: "DECODE_FAILED",
                reason: "declared bad by test.error.every",
                ..ErrorRow::default()
            };
            let mut datum = Vec::new();
            error.write(&mut datum);
            let shown = json!({
                "split": key, "position": position, "timestamp": null, "key": id, "value": record,
                "headers": [], "code": error.code, "reason": error.reason,
            });
            return (datum, shown, true);
        }
        let shown = json!({"topic": self.topic, "id": id, "record": record});
        (static_row(self.topic, &id, &record), shown, false)
    }

    fn split(&self, split: &str) -> Value {
        let (mut rows, mut errors) = ((0u64, 0, vec![]), (0u64, 0, vec![]));
        for row in 0..ROWS {
            let (datum, shown, is_error) = self.row(split, row);
            let (count, crc, list) = if is_error { &mut errors } else { &mut rows };
            *count += 1;
            *crc = crc32c::crc32c_append(*crc, &datum);
            if row < SHOWN {
                list.push(shown);
            }
        }
        let show = |(count, crc, list): (u64, u32, Vec<Value>)| json!({"count": count, "digest": format!("crc32c:{crc:08x}"), "first": list});
        json!({"rows": show(rows), "errors": show(errors)})
    }

    fn file(&self) -> Vec<u8> {
        let file = json!({
            "config": self.config(), "shown": SHOWN,
            "splits": {"p0": self.split("p0"), "p1": self.split("p1")},
        });
        let mut text = serde_json::to_string_pretty(&file).unwrap();
        text.push('\n');
        text.into_bytes()
    }
}

fn cases() -> [(&'static str, Case); 3] {
    let plain = Case {
        seed: 0,
        length: 100,
        is_unicode: false,
        tombstone_every: 0,
        error_every: 0,
        topic: "test",
    };
    let mixed = Case { seed: u64::MAX, length: 13, is_unicode: true, topic: "über", ..plain };
    let bad = Case { seed: 42, length: 0, tombstone_every: 3, error_every: 4, ..plain };
    [("plain.json", plain), ("unicode.json", mixed), ("errors-and-tombstones.json", bad)]
}

/// Published values: FNV-1a of the empty text and of `a`, the first of splitmix64 from state 0.
#[test]
fn generators_are_the_published_ones() {
    assert_eq!((fnv1a64(""), fnv1a64("a")), (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c));
    let first = [0, 1, 2].map(|row| splitmix64(0, row));
    assert_eq!(first, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
}

#[test]
fn rows_of_the_test_source_are_those_of_the_files() {
    let wanted: BTreeMap<_, _> =
        cases().into_iter().map(|(name, case)| (name.to_owned(), case.file())).collect();
    check_generated("rows", &wanted);
    assert_eq!(files("rows").len(), 3);
}
