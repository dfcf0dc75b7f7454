//! Offsets of the Kafka source: KEY `{"partition":P,"topic":T}` and VALUE `{"offset":N}` with the
//! next offset to read. Pure. `SPEC.md` section 6.
//!
//! A VALUE may hold the leader epoch of the last record before it: epochs never fall in one life of
//! a topic, so that a smaller one later tells a topic that was created again.

use protocol::limits::OFFSET_INTEGER_MAX;
use protocol::{Code, Failure, OffsetKey, OffsetValue};
use serde_json::{Map, Value, json};

use super::topics::is_topic_name;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// Its topic.
    pub(super) topic: String,
    /// Its number.
    pub(super) partition: i32,
}

impl Place {
    /// Reads a KEY strictly.
    ///
    /// # Errors
    /// `OFFSET_INVALID` for anything but exactly `partition` and `topic`.
    pub(super) fn from_key(key: &OffsetKey) -> Result<Self, Failure> {
        let map = key.to_map();
        let partition = map.get("partition").and_then(Value::as_i64);
        let partition = partition.and_then(|p| i32::try_from(p).ok()).filter(|p| *p >= 0);
        let topic = map.get("topic").and_then(Value::as_str).filter(|topic| is_topic_name(topic));
        match (partition, topic, map.len()) {
            (Some(partition), Some(topic), 2) => Ok(Self { topic: topic.to_owned(), partition }),
            _ => Err(Failure::new(
                Code::OffsetInvalid,
                format!(r#"KEY {key} is not of the form {{"partition":0,"topic":"name"}}"#),
            )),
        }
    }

    /// The KEY.
    ///
    /// # Errors
    /// A topic name that no broker gives.
    pub(super) fn to_key(&self) -> Result<OffsetKey, Failure> {
        OffsetKey::from_json(&json!({"partition": self.partition, "topic": self.topic}))
            .map_err(|e| Failure::new(Code::Bug, format!("KEY of topic {}: {e}", self.topic)))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "topic {} partition {}", self.topic, self.partition)
    }
}

/// Where a partition is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The next offset to read.
    pub(super) offset: i64,
    /// The leader epoch of the last record before it, where the broker gave one.
    pub(super) epoch: Option<i32>,
}

impl Position {
    /// A place without a known epoch.
    pub(super) const fn at(offset: i64) -> Self {
        Self { offset, epoch: None }
    }

    /// Reads a VALUE strictly; keys that start with `x-` are advice and ignored.
    ///
    /// # Errors
    /// `OFFSET_INVALID` that names the key.
    pub(super) fn from_value(value: &OffsetValue) -> Result<Self, Failure> {
        let map = value.to_map();
        let refuse = |what: String| {
            let text = format!(r#"VALUE {value}: {what}; a Kafka VALUE is {{"offset":0}}"#);
            Failure::new(Code::OffsetInvalid, text)
        };
        let known = |key: &str| key == "offset" || key == "leaderEpoch" || key.starts_with("x-");
        if let Some(key) = map.keys().find(|key| !known(key)) {
            return Err(refuse(format!("unknown key {key:?}")));
        }
        let offset = integer(&map, "offset")
            .ok_or_else(|| refuse("offset is missing or no integer from 0 on".to_owned()))?;
        let epoch = match map.get("leaderEpoch") {
            None => None,
            Some(_) => {
                let epoch = integer(&map, "leaderEpoch").and_then(|e| i32::try_from(e).ok());
                Some(
                    epoch
                        .ok_or_else(|| refuse("leaderEpoch is no integer from 0 on".to_owned()))?,
                )
            }
        };
        Ok(Self { offset, epoch })
    }

    /// The VALUE.
    ///
    /// # Errors
    /// An offset that JSON readers would round.
    pub(super) fn to_value(self) -> Result<OffsetValue, Failure> {
        let json = match self.epoch {
            Some(epoch) => json!({"leaderEpoch": epoch, "offset": self.offset}),
            None => json!({"offset": self.offset}),
        };
        OffsetValue::from_json(&json)
            .map_err(|e| Failure::new(Code::OffsetInvalid, format!("offset {}: {e}", self.offset)))
    }
}

fn integer(map: &Map<String, Value>, key: &str) -> Option<i64> {
    map.get(key).and_then(Value::as_i64).filter(|n| (0..=OFFSET_INTEGER_MAX).contains(n))
}

#[cfg(test)]
mod tests;
