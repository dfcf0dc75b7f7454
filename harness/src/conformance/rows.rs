//! What the test source must give: `SPEC.md` appendix E, once more.
//!
//! Touches nothing. Why again: a check compares with the text of the specification, not with the program
//! under test.

use protocol::OffsetKey;
use serde_json::{Map, Value};

/// The two alphabets of the appendix.
const PLAIN: &str = "abcdefghijklmnopqrstuvwxyz012345";
const MIXED: &str = "abcdefghijklmnopéßñøλжשあ漢字한😀\"\\\n\u{1}";

/// The settings of the test source that shape rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a>(pub(super) &'a Map<String, Value>);

/// One row of the test source, in words of section 5.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) topic: String,
    pub(super) id: String,
    pub(super) record: String,
    /// It is delivered as an error row.
    pub(super) is_error: bool,
}

impl Rows<'_> {
    fn number(&self, name: &str, default: u64) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(default)
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Row `row` of a split.
    pub(super) fn row(&self, split: &str, row: u64) -> Expected {
        let every = |name: &str| {
            let every = self.number(name, 0);
            every > 0 && (row + 1).is_multiple_of(every)
        };
        let n = random(self.number("test.seed", 0), split, row);
        let id = format!(r#"{{"gen":"{split}","row":{row}}}"#);
        let record = match every("test.tombstone.every") {
            true => "null".to_owned(),
            false => {
                let payload = Value::from(self.payload(n)).to_string();
                format!(r#"{{"gen":"{split}","n":"{n}","payload":{payload},"row":{row}}}"#)
            }
        };
        let topic = self.0.get("test.topic").and_then(Value::as_str).unwrap_or("test").to_owned();
        Expected { topic, id, record, is_error: every("test.error.every") }
    }

    fn payload(&self, n: u64) -> String {
        let text = if self.is_set("test.unicode") { MIXED } else { PLAIN };
        let alphabet: Vec<char> = text.chars().collect();
        let length = self.number("test.row.bytes", 100);
        let letter = |at: u64| {
            let index = usize::try_from((n >> ((at % 12) * 5)) & 31).unwrap_or(0);
            alphabet.get(index).copied()
        };
        (0..length).filter_map(letter).collect()
    }
}

fn random(seed: u64, split: &str, row: u64) -> u64 {
    let hash = split.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mut z = (seed ^ hash).wrapping_add((row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The canonical KEY of a split.
pub(super) fn key_text(split: &str) -> String {
    let key = OffsetKey::from_json(&serde_json::json!({ "gen": split }));
    key.map(|key| key.as_str().to_owned()).unwrap_or_default()
}
