//! What can go wrong between host and extractor, as data: class, code, where, what to do. Pure.
//! `SPEC.md` section 8 has the same table, and a test compares the two.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::limits::ERROR_TEXT_BYTES_MAX;
use crate::offset::OffsetValue;

macro_rules! class_table {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, exit $exit:literal;)*) => {
        /// Decides retry, exit code and what the user is told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Class { $($(#[$doc])* $variant,)* }

        impl Class {
            /// Every class, in the order of the specification.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Exit code of a process that ends because of it (values of sysexits.h).
            pub const fn exit_code(self) -> u8 {
                match self { $(Self::$variant => $exit,)* }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

class_table! {
    /// The program was called wrongly.
    Usage = "usage", exit 64;
    /// The peer broke the protocol.
    Protocol = "protocol", exit 76;
    /// The configuration cannot work.
    Config = "config", exit 78;
    /// The source refused the credentials or the permission.
    Auth = "auth", exit 77;
    /// The source does not exist, or is another one than before.
    Source = "source", exit 69;
    /// May work later without any change.
    Transient = "transient", exit 75;
    /// An offset that the source cannot serve.
    Offset = "offset", exit 65;
    /// A record that is not what was declared.
    Data = "data", exit 65;
    /// Memory, descriptors or disk ran out.
    Resource = "resource", exit 71;
    /// The request was cancelled by the host.
    Cancelled = "cancelled", exit 0;
    /// A bug of ours.
    Internal = "internal", exit 70;
}

macro_rules! code_table {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $class:ident;)*) => {
        /// Names one failure. Codes are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of the specification.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The class that this code belongs to.
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

code_table! {
    /// Run by hand, or with arguments it does not know.
    NotAHost = "NOT_A_HOST", Usage;
    /// The frame does not start with the magic.
    BadMagic = "BAD_MAGIC", Protocol;
    /// The checksum does not match.
    BadCrc = "BAD_CRC", Protocol;
    /// A frame is missing, repeated or out of order.
    BadSeq = "BAD_SEQ", Protocol;
    /// A length is over its limit.
    TooLarge = "TOO_LARGE", Protocol;
    /// The stream ended inside a frame.
    Truncated = "TRUNCATED", Protocol;
    /// A message that must not come now.
    UnexpectedMessage = "UNEXPECTED_MESSAGE", Protocol;
    /// A payload that is not what its type says.
    BadPayload = "BAD_PAYLOAD", Protocol;
    /// A critical flag, type or feature that this side does not know.
    Unsupported = "UNSUPPORTED", Protocol;
    /// No common protocol version.
    VersionMismatch = "VERSION_MISMATCH", Protocol;
    /// A configuration value cannot be used; `detail.pointer` names it.
    ConfigInvalid = "CONFIG_INVALID", Config;
    /// No source has this `connector.class`.
    ConfigUnknownClass = "CONFIG_UNKNOWN_CLASS", Config;
    /// A required key is missing; `detail.pointer` names it.
    ConfigMissing = "CONFIG_MISSING", Config;
    /// Wrong user, password, key or token.
    AuthFailed = "AUTH_FAILED", Auth;
    /// Known, but not allowed to read.
    PermissionDenied = "PERMISSION_DENIED", Auth;
    /// Rotated credentials are needed (UPDATE may cure it).
    CredentialsExpired = "CREDENTIALS_EXPIRED", Auth;
    /// No such topic, partition, stream or shard.
    SourceNotFound = "SOURCE_NOT_FOUND", Source;
    /// Same name, other life: offsets of the old one mean nothing.
    SourceRecreated = "SOURCE_RECREATED", Source;
    /// The source does not answer.
    SourceUnavailable = "SOURCE_UNAVAILABLE", Transient;
    /// The source asks to slow down.
    SourceThrottled = "SOURCE_THROTTLED", Transient;
    /// No answer in time.
    Timeout = "TIMEOUT", Transient;
    /// TLS could not be agreed on.
    TlsHandshake = "TLS_HANDSHAKE", Transient;
    /// A name could not be resolved.
    Dns = "DNS", Transient;
    /// The records at this offset are gone, or not there yet; `detail` has the range.
    OffsetOutOfRange = "OFFSET_OUT_OF_RANGE", Offset;
    /// A VALUE or KEY that this source does not understand.
    OffsetInvalid = "OFFSET_INVALID", Offset;
    /// The offset belongs to another incarnation of the source.
    OffsetIncarnation = "OFFSET_INCARNATION", Offset;
    /// The record is not what its format says.
    DecodeFailed = "DECODE_FAILED", Data;
    /// The record is larger than `max_row_bytes`.
    RowTooLarge = "ROW_TOO_LARGE", Data;
    /// The row is one that ASSIGN names: the host could not load it.
    RowRefused = "ROW_REFUSED", Data;
    /// The record's schema does not fit the announced one.
    SchemaIncompatible = "SCHEMA_INCOMPATIBLE", Data;
    /// Text that is not UTF-8.
    InvalidUtf8 = "INVALID_UTF8", Data;
    /// Memory ran out.
    OutOfMemory = "OUT_OF_MEMORY", Resource;
    /// A buffer limit was reached.
    BufferLimit = "BUFFER_LIMIT", Resource;
    /// No more file descriptors.
    FdLimit = "FD_LIMIT", Resource;
    /// The host sent CANCEL.
    Cancelled = "CANCELLED", Cancelled;
    /// The host sent STOP while the request was open.
    Stopping = "STOPPING", Cancelled;
    /// A panic.
    Panic = "PANIC", Internal;
    /// A state that must not be.
    Bug = "BUG", Internal;
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Class {
    /// An unknown class is `internal`, which is never retried without end.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::from_name(&String::deserialize(from)?).unwrap_or(Self::Internal))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Code {
    /// An unknown code is `BUG`; its text still says what happened.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::from_name(&String::deserialize(from)?).unwrap_or(Self::Bug))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure as the ERROR message carries it. Texts are for users: no secret, no payload bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Names the failure.
    pub code: Code,
    /// Decides what the host does; unknown classes read as `internal`.
    pub class: Class,
    /// What failed, where, and what to do; one line.
    pub message: String,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// Whether the process ends after this message.
    #[serde(default)]
    pub fatal: bool,
    /// Index of the split in ASSIGN, where one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// Where in the split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<OffsetValue>,
    /// How long to wait before a retry, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Numbers and names for machines, for example `earliest` and `latest`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub detail: Map<String, Value>,
}

impl Failure {
    /// A failure with the class of its code. Transient and resource failures are retryable.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let class = code.class();
        let mut message: String = message.into();
        if message.len() > ERROR_TEXT_BYTES_MAX {
            message.truncate(message.floor_char_boundary(ERROR_TEXT_BYTES_MAX));
        }
        let retryable = matches!(class, Class::Transient | Class::Resource);
        let detail = Map::new();
        Self {
            code,
            class,
            message,
            retryable,
            fatal: false,
            part: None,
            at: None,
            retry_after_ms: None,
            detail,
        }
    }

    /// Says that the process ends after this message.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Names the split and the place in it.
    #[must_use]
    pub fn at(mut self, part: u32, value: Option<OffsetValue>) -> Self {
        self.part = Some(part);
        self.at = value;
        self
    }

    /// Adds a number or name for machines.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests;
