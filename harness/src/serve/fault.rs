//! What a client is told when something fails: a number and an SQLSTATE that its library knows, and one line.
//!
//! Pure. Invariant: the database's own number stays what it was.

use crate::exit::Exit;
use crate::sql::SqlError;

/// An error as the protocol has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) number: u16,
    pub(super) state: [u8; 5],
    pub(super) message: String,
    /// Whether the connection is of no more use.
    pub(super) is_fatal: bool,
}

impl Fault {
    pub(super) fn new(number: u16, state: [u8; 5], message: impl Into<String>) -> Self {
        Self { number, state, message: message.into(), is_fatal: false }
    }
}

/// The number of errors that MySQL has none for: `ER_UNKNOWN_ERROR`.
const OTHER: (u16, [u8; 5]) = (1105, *b"HY000");

/// SingleStore's `ER_EXTRACTOR_EXTRACTOR_GET_LATEST_OFFSETS`: the source does not answer.
const SOURCE: (u16, [u8; 5]) = (1933, *b"HY000");

impl From<&SqlError> for Fault {
    fn from(error: &SqlError) -> Self {
        let mut message = error.to_string();
        if let Some(excerpt) = error.excerpt() {
            message.push('\n');
            message.push_str(excerpt);
        }
        // A database that says nothing any more has lost the session's transaction and its settings.
        let is_fatal =
            matches!(error, SqlError::Store(error) if error.may_pass() && error.code().is_none());
        let (number, state) = match error {
            SqlError::Syntax(_) => (1064, *b"42000"),
            SqlError::Store(error) => match error.code() {
                Some(code) => (code.number, code.state),
                None if is_fatal => (1158, *b"08S01"),
                None => OTHER,
            },
            SqlError::Run(_) => match error.exit() {
                Exit::Source | Exit::Transient | Exit::Auth => SOURCE,
                _ => OTHER,
            },
            SqlError::Pipeline(_) | SqlError::Refused(..) => OTHER,
        };
        Self { number, state, message, is_fatal }
    }
}
