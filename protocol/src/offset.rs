//! Offsets as the host sees them: a canonical JSON KEY that names a split and a canonical JSON
//! VALUE that names a place in it. Pure. The host compares bytes and never looks inside; only the
//! source that made a VALUE gives it a meaning. `SPEC.md` section 6.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::json::{self, JsonError};
use crate::limits::{OFFSET_KEY_BYTES_MAX, OFFSET_VALUE_BYTES_MAX};

/// Why a text is no offset KEY or VALUE.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OffsetError {
    /// The text is not strict JSON, or holds a number that JSON readers round.
    #[error("offset {role}: {source}")]
    Json {
        /// `KEY` or `VALUE`.
        role: &'static str,
        /// What is wrong with the text.
        source: JsonError,
    },
    /// The JSON value is not an object, or is an empty one.
    #[error("offset {role} is not a JSON object with at least one key")]
    NotAnObject {
        /// `KEY` or `VALUE`.
        role: &'static str,
    },
    /// The canonical text is too long.
    #[error("offset {role} has {bytes} bytes, the limit is {max}")]
    TooLong {
        /// `KEY` or `VALUE`.
        role: &'static str,
        /// Bytes of the canonical text.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

macro_rules! offset_text {
    ($(#[$doc:meta])* $name:ident, $role:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Parses any strict JSON object and keeps its canonical text.
            pub fn parse(text: &str) -> Result<Self, OffsetError> {
                let value = json::parse(text.as_bytes())
                    .map_err(|source| OffsetError::Json { role: $role, source })?;
                Self::from_json(&value)
            }

            /// Takes a JSON object.
            pub fn from_json(value: &Value) -> Result<Self, OffsetError> {
                if !value.as_object().is_some_and(|map| !map.is_empty()) {
                    return Err(OffsetError::NotAnObject { role: $role });
                }
                let text = json::canonical(value)
                    .map_err(|source| OffsetError::Json { role: $role, source })?;
                if text.len() > $max {
                    let bytes = text.len();
                    return Err(OffsetError::TooLong { role: $role, bytes, max: $max });
                }
                Ok(Self(text))
            }

            /// The canonical text: what is stored and compared.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The object, for the source that gives it a meaning.
            pub fn to_map(&self) -> Map<String, Value> {
                match serde_json::from_str(&self.0) {
                    Ok(Value::Object(map)) => map,
                    _ => Map::new(),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                self.to_map().serialize(to)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(from)?;
                Self::from_json(&value).map_err(serde::de::Error::custom)
            }
        }
    };
}

offset_text!(
    /// Names a split, for example `{"partition":0,"topic":"orders"}`. At most 1 KiB.
    OffsetKey,
    "KEY",
    OFFSET_KEY_BYTES_MAX
);
offset_text!(
    /// Names a place in a split, for example `{"offset":1234}`. At most 4 KiB.
    OffsetValue,
    "VALUE",
    OFFSET_VALUE_BYTES_MAX
);

/// Keys of a VALUE that mark a split as read to its end, when they are `true`.
pub const END_KEYS: [&str; 2] = ["closed", "shardEnd"];

impl OffsetValue {
    /// Whether the split was read to its end: nothing is left to assign, and its children may
    /// start. The one thing that a host reads in a VALUE.
    pub fn is_end(&self) -> bool {
        let map = self.to_map();
        END_KEYS.iter().any(|key| map.get(*key) == Some(&Value::Bool(true)))
    }
}

#[cfg(test)]
mod tests;
