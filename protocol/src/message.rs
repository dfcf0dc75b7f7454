//! JSON payloads of control frames, one struct per message, and the prefix of BATCH. `SPEC.md`
//! section 4 explains each.
//!
//! Unknown fields are ignored, so that a minor version can add some; unknown words of an
//! enumeration read as the documented default.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Code, Failure};
use crate::json;
use crate::wire::Kind;

mod batch;
mod flow;
mod setup;
mod words;

pub use batch::{BATCH_PREFIX_LEN, BatchEnd, BatchPrefix, Lag, Move, Operation, PartLag};
pub use flow::{
    AddedSplit, Commit, Extract, Log, PartValue, Partitions, Progress, Stop, StopMode, Stopped,
    Update, Updated,
};
pub use setup::{
    Assign, Assigned, CheckLine, Checked, Configure, Configured, Discovered, GetOffsets, Hello,
    HelloOk, OffsetEntry, Offsets, Peer, Refused, Settings, SourceClass, Split, Start, UnknownKey,
    WireLimits,
};
pub use words::{Phase, Reason};

/// The protocol version of this crate.
pub const PROTOCOL: u32 = 1;

/// The feature by which moves carry a digest of their rows (`SPEC.md` appendix D).
pub const FEATURE_DIGEST: &str = "digest";

/// The feature by which ASSIGN names rows that the host could not load (`SPEC.md` section 4.6).
pub const FEATURE_REFUSE: &str = "refuse";

/// A JSON object that no one here interprets.
pub type Object = Map<String, Value>;

/// An empty payload: CHECK, DISCOVER, CANCEL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Reads the JSON payload of a control frame.
///
/// # Errors
/// `BAD_PAYLOAD`, with the place in the text. Payload bytes are not quoted: they may be secret.
pub fn decode<T: DeserializeOwned>(kind: Kind, payload: &[u8]) -> Result<T, Failure> {
    let refuse = |error: &dyn std::fmt::Display| {
        Failure::new(Code::BadPayload, format!("payload of {} is refused: {error}", kind.name()))
            .fatal()
    };
    let value = json::parse(payload).map_err(|e| refuse(&e))?;
    if !value.is_object() {
        // Otherwise an array of the right length would pass as an object.
        return Err(refuse(&"not a JSON object"));
    }
    serde_json::from_value(value).map_err(|e| refuse(&e))
}

/// Writes the JSON payload of a control frame.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Maps with text keys always serialise; an empty payload would be refused by the peer.
    serde_json::to_vec(message).unwrap_or_default()
}

#[cfg(test)]
mod tests;
