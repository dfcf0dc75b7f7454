//! Why a check did not pass.
//!
//! Touches nothing. Invariant: what is expected and what was seen are one line each.

use std::fmt::{Debug, Display};

use protocol::session::host::SessionError;
use protocol::wire::FrameError;

use crate::child::SpawnError;

/// Most characters of what was seen; a report is read by people.
const SEEN_CHARS: usize = 600;

/// Why a check ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The matter of the check itself.
    Miss { expected: String, seen: String },
    /// A rule that some check owns: `2`, or one of section 7.3.
    Broken { rule: &'static str, seen: String },
    /// The check cannot be run here.
    Skip(String),
}

/// What a check returns.
pub(super) type Done = Result<(), Fault>;

/// Something else than expected was seen.
pub(super) fn miss(expected: impl Into<String>, seen: impl Into<String>) -> Fault {
    Fault::Miss { expected: short(&expected.into()), seen: short(&seen.into()) }
}

/// Ends the check unless `holds`.
pub(super) fn demand(
    holds: bool,
    expected: impl Into<String>,
    seen: impl FnOnce() -> String,
) -> Done {
    if holds { Ok(()) } else { Err(miss(expected, seen())) }
}

/// Ends the check unless both are equal; `what` says of what they are.
pub(super) fn equal<T: Debug + PartialEq>(what: &str, seen: &T, expected: &T) -> Done {
    let show = |value: &T| format!("{what}: {value:?}");
    demand(seen == expected, show(expected), || show(seen))
}

/// One line of bounded length.
pub(super) fn short(text: &str) -> String {
    let line = crate::report::out::one_line(text.trim());
    match line.char_indices().nth(SEEN_CHARS) {
        Some((at, _)) => format!("{} …", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        let seen = match &error {
            FrameError::BadMagic { seen, .. } => {
                format!("{error}: {:?}; did the program print to its output?", text_of(seen))
            }
            other => other.to_string(),
        };
        Self::Broken { rule: "2", seen: short(&seen) }
    }
}

fn text_of(bytes: &[u8]) -> impl Display + Debug {
    String::from_utf8_lossy(bytes).into_owned()
}

impl From<SessionError> for Fault {
    fn from(error: SessionError) -> Self {
        let seen = short(&error.to_string());
        match error {
            SessionError::Broken { rule, .. } => Self::Broken { rule, seen },
            SessionError::Payload(_) => Self::Broken { rule: "H12", seen },
            // Requests that the check must not send now: a bug of the check.
            SessionError::NotNow { .. }
            | SessionError::OverLimit { .. }
            | SessionError::Frame(_) => Self::Skip(format!("the check is wrong: {seen}")),
        }
    }
}

impl From<SpawnError> for Fault {
    fn from(error: SpawnError) -> Self {
        miss("a program that can be started", error.to_string())
    }
}

impl From<nix::Error> for Fault {
    fn from(error: nix::Error) -> Self {
        Self::Skip(format!("the system refused a call of the kit: {error}"))
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Skip(format!("the system refused a call of the kit: {error}"))
    }
}
