//! What may come next, for both ends. A session takes whole frames and gives events or a typed
//! refusal; it does nothing by itself and knows no time. `SPEC.md` section 7.
//!
//! ```text
//!            HELLO            CONFIGURE              ASSIGN              STOP
//!  Start ──────────► Open ──────────► Configured ──────────► Ready ──────────► Stopping
//!                                     │  CHECK DISCOVER       │  EXTRACT ASSIGN
//!                                     └─ GET_OFFSETS UPDATE ──┴─ and all of Configured
//! ```
//!
//! STOP, PING and CANCEL may come in every state after `Start`. Anything else is refused.

pub mod extractor;
pub mod host;

use crate::wire::Kind;

/// Where a session stands. Both ends move when the request is sent or received, not when it is
/// answered: answers come in the order of the requests, so both see the same sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Open,
    Configured,
    Ready,
    Stopping,
    /// The host has seen STOPPED: nothing may follow.
    Ended,
}

impl State {
    /// The state after a request; `None` when it must not come now.
    const fn after(self, request: Kind) -> Option<Self> {
        match (self, request) {
            (Self::Start, Kind::Hello) => Some(Self::Open),
            (Self::Open, Kind::Configure) => Some(Self::Configured),
            (Self::Configured | Self::Ready, Kind::Assign) => Some(Self::Ready),
            (
                Self::Configured | Self::Ready,
                Kind::Check | Kind::Discover | Kind::GetOffsets | Kind::Update | Kind::Commit,
            )
            | (Self::Ready, Kind::Extract)
            | (
                Self::Open | Self::Configured | Self::Ready | Self::Stopping,
                Kind::Ping | Kind::Cancel,
            ) => Some(self),
            // A second STOP can shorten the deadline of the first.
            (Self::Open | Self::Configured | Self::Ready | Self::Stopping, Kind::Stop) => {
                Some(Self::Stopping)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
