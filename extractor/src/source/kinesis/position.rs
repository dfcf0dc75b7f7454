//! Offsets of the Kinesis source: KEY `{"shardId":"…"}`, VALUE `{"sequenceNumber":"…"}` with the
//! last record delivered, a pinned start, or the end. Pure. `SPEC.md` section 6.
//!
//! Sequence numbers are texts of digits that compare as numbers. Inside a record that was packed by
//! its producer, `subSequenceNumber` is the place of the last user record delivered, from 0 on; it
//! is left out once the record is delivered wholly, so that the plain form stays the usual one.

use std::cmp::Ordering;
use std::fmt;

use protocol::limits::OFFSET_INTEGER_MAX;
use protocol::{Code, Failure, OffsetKey, OffsetValue};
use serde_json::{Map, Value, json};

/// The one key of a KEY.
pub(super) const KEY: &str = "shardId";

/// The key of a VALUE that lies inside a packed record.
const SUB: &str = "subSequenceNumber";

/// Bytes of a shard id, the service's own limit.
const SHARD_BYTES_MAX: usize = 128;

/// Names a record within its shard; later records have larger numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sequence(String);

impl Sequence {
    /// Digits of a sequence number. Why 128: the service's own limit (numbers have 56 today).
    pub(super) const BYTES_MAX: usize = 128;

    /// Takes what the service gives: digits without a leading zero.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::is_legal(text.as_bytes()).then(|| Self(text.to_owned()))
    }

    /// Whether a text is what the service gives.
    pub(super) fn is_legal(text: &[u8]) -> bool {
        // All are looked at together: the compiler makes vector code of it.
        let digits = text.iter().fold(true, |all, byte| all & byte.is_ascii_digit());
        let plain = text == b"0" || text.first().is_some_and(|first| *first != b'0');
        digits && plain && text.len() <= Self::BYTES_MAX
    }

    /// Whether the record of this legal number lies after it.
    pub(super) fn is_before(&self, other: &str) -> bool {
        self.0.len().cmp(&other.len()).then_with(|| self.0.as_str().cmp(other)).is_lt()
    }

    /// The digits.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a shard stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Nothing read yet; begins at the oldest record.
    TrimHorizon,
    /// Nothing read yet; begins at this time, milliseconds since the epoch.
    AtTimestamp(i64),
    /// Nothing read yet; begins with this record, which must still be there.
    At(Sequence),
    /// The last record delivered.
    After(Sequence),
    /// A packed record that was begun, and the last of its user records that was delivered.
    Inside(Sequence, u64),
    /// Closed and read to the end; the last record delivered, if there was one.
    End(Option<Sequence>),
}

impl Position {
    /// Reads a VALUE strictly; keys that start with `x-` are advice and ignored.
    ///
    /// # Errors
    /// `OFFSET_INVALID` that names the key.
    pub(super) fn from_value(value: &OffsetValue) -> Result<Self, Failure> {
        let map = value.to_map();
        let refuse = |what: &str| {
            let text = format!(
                r#"VALUE {value}: {what}; a Kinesis VALUE is {{"sequenceNumber":"49"}}, {{"position":"TRIM_HORIZON"}}, {{"position":"AT_SEQUENCE_NUMBER","sequenceNumber":"49"}} or {{"position":"AT_TIMESTAMP","timestamp":0}}"#
            );
            Failure::new(Code::OffsetInvalid, text)
        };
        let known = ["sequenceNumber", SUB, "position", "timestamp", "shardEnd"];
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str()) && !is_advice(key))
        {
            return Err(refuse(&format!("unknown key {key:?}")));
        }
        let sequence = match map.get("sequenceNumber") {
            None => None,
            Some(text) => Some(
                text.as_str()
                    .and_then(Sequence::parse)
                    .ok_or_else(|| refuse("sequenceNumber is no text of digits"))?,
            ),
        };
        let end = match map.get("shardEnd") {
            None => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return Err(refuse("shardEnd can only be true")),
        };
        let word = map.get("position").map(|word| word.as_str().unwrap_or_default());
        let timestamp = map.contains_key("timestamp");
        if map.contains_key(SUB) {
            let sub = integer(&map, SUB).and_then(|sub| u64::try_from(sub).ok());
            let sub = sub.ok_or_else(|| refuse("subSequenceNumber is no integer from 0 on"))?;
            return match (word, sequence, end) {
                (None, Some(sequence), false) if !timestamp => Ok(Self::Inside(sequence, sub)),
                _ => Err(refuse("its keys do not belong together")),
            };
        }
        match (word, sequence, end) {
            (None, sequence, true) if !timestamp => Ok(Self::End(sequence)),
            (None, Some(sequence), false) if !timestamp => Ok(Self::After(sequence)),
            (Some("TRIM_HORIZON"), None, false) if !timestamp => Ok(Self::TrimHorizon),
            (Some("AT_SEQUENCE_NUMBER"), Some(sequence), false) if !timestamp => {
                Ok(Self::At(sequence))
            }
            (Some("LATEST"), ..) => Err(refuse(
                "where the end is now, only the service can say: set a time, or start at latest",
            )),
            (Some("AT_TIMESTAMP"), None, false) => {
                let ms = integer(&map, "timestamp")
                    .ok_or_else(|| refuse("timestamp is missing or no integer from 0 on"))?;
                Ok(Self::AtTimestamp(ms))
            }
            _ => Err(refuse("its keys do not belong together")),
        }
    }

    /// The VALUE.
    pub(super) fn to_value(&self) -> OffsetValue {
        let json = match self {
            Self::TrimHorizon => json!({"position": "TRIM_HORIZON"}),
            Self::AtTimestamp(ms) => json!({"position": "AT_TIMESTAMP", "timestamp": ms}),
            Self::At(sequence) => {
                json!({"position": "AT_SEQUENCE_NUMBER", "sequenceNumber": sequence.as_str()})
            }
            Self::After(sequence) => json!({"sequenceNumber": sequence.as_str()}),
            Self::Inside(sequence, sub) => json!({"sequenceNumber": sequence.as_str(), SUB: sub}),
            Self::End(Some(sequence)) => {
                json!({"sequenceNumber": sequence.as_str(), "shardEnd": true})
            }
            Self::End(None) => json!({"shardEnd": true}),
        };
        #[expect(clippy::expect_used, reason = "digits and times are within all limits")]
        OffsetValue::from_json(&json).expect("small canonical object")
    }

    /// Moves to after the record of this legal number, in the memory of the number before.
    pub(super) fn move_after(&mut self, sequence: &str) {
        match self {
            Self::After(Sequence(text)) => sequence.clone_into(text),
            _ => *self = Self::After(Sequence(sequence.to_owned())),
        }
    }

    /// The last record delivered, wholly or in part.
    pub(super) const fn sequence(&self) -> Option<&Sequence> {
        match self {
            Self::After(sequence) | Self::Inside(sequence, _) | Self::End(Some(sequence)) => {
                Some(sequence)
            }
            Self::TrimHorizon | Self::AtTimestamp(_) | Self::At(_) | Self::End(None) => None,
        }
    }

    /// The record that reading begins at, which must still be there.
    pub(super) const fn first(&self) -> Option<&Sequence> {
        match self {
            Self::At(sequence) => Some(sequence),
            other => other.sequence(),
        }
    }

    /// Whether the record there was delivered, so that it is left out when it comes first. What is
    /// left of a packed one is still to be delivered.
    pub(super) const fn is_past_first(&self) -> bool {
        !matches!(self, Self::Inside(..) | Self::At(_))
    }

    /// Whether a shard that stands here has nothing left before `until`.
    pub(super) fn reaches(&self, until: &Self) -> bool {
        match (self, until) {
            (Self::End(_), _) => true,
            (_, Self::End(_)) => false,
            (Self::After(at), Self::After(until) | Self::Inside(until, _)) => at >= until,
            (Self::Inside(at, _), Self::After(until)) => at > until,
            (Self::Inside(at, sub), Self::Inside(until, last)) => (at, sub) >= (until, last),
            // Before a record lies what comes before it, and nothing of it.
            (Self::At(at), Self::After(until) | Self::Inside(until, _)) => at > until,
            (Self::At(at) | Self::After(at) | Self::Inside(at, _), Self::At(until)) => at >= until,
            (_, Self::After(_) | Self::Inside(..) | Self::At(_)) => false,
            // Nothing lies before a start.
            (_, Self::TrimHorizon | Self::AtTimestamp(_)) => true,
        }
    }
}

/// The shard that a KEY names.
///
/// # Errors
/// `OFFSET_INVALID` for anything but exactly `shardId`.
pub(super) fn shard_of(key: &OffsetKey) -> Result<String, Failure> {
    let map = key.to_map();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let shard = map.get(KEY).and_then(Value::as_str);
    let shard = shard.filter(|shard| (1..=SHARD_BYTES_MAX).contains(&shard.len()));
    match (shard.filter(|shard| shard.bytes().all(legal)), map.len()) {
        (Some(shard), 1) => Ok(shard.to_owned()),
        _ => Err(Failure::new(
            Code::OffsetInvalid,
            format!(r#"KEY {key} is not of the form {{"shardId":"shardId-000000000000"}}"#),
        )),
    }
}

/// The KEY of a shard.
///
/// # Errors
/// A name that the service does not give.
pub(super) fn key_of(shard: &str) -> Result<OffsetKey, Failure> {
    OffsetKey::from_json(&json!({ KEY: shard }))
        .map_err(|e| Failure::new(Code::Bug, format!("KEY of shard {shard}: {e}")))
}

fn is_advice(key: &str) -> bool {
    key.starts_with("x-")
}

fn integer(map: &Map<String, Value>, key: &str) -> Option<i64> {
    map.get(key).and_then(Value::as_i64).filter(|n| (0..=OFFSET_INTEGER_MAX).contains(n))
}

#[cfg(test)]
mod tests;
