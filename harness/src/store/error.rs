//! What can go wrong between a store and its database, as one small type.
//!
//! Touches nothing. Invariants: a message is one line, names no secret and quotes no row (a run adds the
//! id of one that was refused, so that it is found); the kind alone
//! says what the caller may do, so nobody branches on text.

use std::fmt;

use protocol::Class;

/// Longest message kept, in characters.
///
/// Why 1200: a database may quote a whole statement in its answer, of which a person needs the
/// beginning; a row that it refused is named with its id, its split and its offsets.
pub const MESSAGE_CHARS_MAX: usize = 1200;

/// What the caller may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The connection or a lock was lost; the same work may be sent again on a new connection.
    Transient,
    /// Another owner has moved the offset on; this one must stop and take a new epoch.
    Fenced,
    /// The database refuses a row. The index counts from 0 within the batch, where it is known.
    Data {
        /// Which row of the batch, where the database let us find out.
        row: Option<u64>,
    },
    /// A row does not fit into the largest statement the server accepts.
    TooLarge {
        /// Which row of the batch.
        row: Option<u64>,
    },
    /// The fast load reported other counts than were sent; reload by checked inserts.
    LoadMismatch,
    /// A table or view is not what the work needs.
    Schema,
    /// A disk, a file or a server has no room or no permission left.
    Resource,
    /// The address, the database name or a setting is wrong.
    Config,
    /// The server knows the user or the password not.
    Auth,
    /// The answer to a commit was lost and could not be found out.
    InDoubt,
    /// A rule of this program was broken.
    Internal,
}

impl StoreErrorKind {
    /// The error class of the protocol that this kind belongs to.
    pub fn class(self) -> Class {
        match self {
            Self::Transient | Self::InDoubt => Class::Transient,
            Self::Fenced => Class::Offset,
            Self::Data { .. } | Self::TooLarge { .. } | Self::LoadMismatch => Class::Data,
            Self::Schema | Self::Config => Class::Config,
            Self::Resource => Class::Resource,
            Self::Auth => Class::Auth,
            Self::Internal => Class::Internal,
        }
    }
}

/// One failure: its kind and one line for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    code: Option<ServerCode>,
    is_unreachable: bool,
}

/// An error's number and SQLSTATE, as MySQL and MariaDB have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerCode {
    /// The number.
    pub number: u16,
    /// Five letters and digits.
    pub state: [u8; 5],
}

impl ServerCode {
    /// Of a number and its state.
    pub const fn new(number: u16, state: [u8; 5]) -> Self {
        Self { number, state }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StoreError {
    /// An error of this kind; line breaks in the message become spaces.
    pub fn new(kind: StoreErrorKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: one_line(message.as_ref()), code: None, is_unreachable: false }
    }

    /// What the caller may do.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same work may be sent again on a new connection.
    pub fn is_transient(&self) -> bool {
        self.kind == StoreErrorKind::Transient
    }

    /// Whether the database refuses a value, whichever row it is of.
    pub fn is_refusal(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Data { .. } | StoreErrorKind::TooLarge { .. })
    }

    /// Whether the database may only be away: asked again later, it may answer.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Transient | StoreErrorKind::InDoubt)
    }

    /// The row of the batch that the error is about, counted from 0.
    pub fn row(&self) -> Option<u64> {
        match self.kind {
            StoreErrorKind::Data { row } | StoreErrorKind::TooLarge { row } => row,
            StoreErrorKind::Transient
            | StoreErrorKind::Fenced
            | StoreErrorKind::LoadMismatch
            | StoreErrorKind::Schema
            | StoreErrorKind::Resource
            | StoreErrorKind::Config
            | StoreErrorKind::Auth
            | StoreErrorKind::InDoubt
            | StoreErrorKind::Internal => None,
        }
    }

    /// The same error with what was being done in front.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Self {
        let message = one_line(&format!("{doing}: {}", self.message));
        Self { message, ..self }
    }

    /// The same error with what may help behind it.
    #[must_use]
    pub(crate) fn advised(self, advice: impl fmt::Display) -> Self {
        let message = one_line(&format!("{}; {advice}", self.message));
        Self { message, ..self }
    }

    /// The same error as another kind.
    #[must_use]
    pub(crate) fn with_kind(self, kind: StoreErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The number that the database gave the error, or would have given it.
    pub fn code(&self) -> Option<ServerCode> {
        self.code
    }

    /// The same error with its number.
    #[must_use]
    pub(crate) fn with_code(self, code: Option<ServerCode>) -> Self {
        Self { code, ..self }
    }

    /// The same error of a server that no connection could be made to.
    #[must_use]
    pub(crate) fn unreachable(self) -> Self {
        Self { is_unreachable: true, ..self }
    }

    /// Whether no connection could be made to the server.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_unreachable
    }

    /// A rule of this program was broken.
    pub(crate) fn internal(message: impl AsRef<str>) -> Self {
        Self::new(StoreErrorKind::Internal, message)
    }
}

/// The message on one line, cut to [`MESSAGE_CHARS_MAX`].
fn one_line(message: &str) -> String {
    let mut line: String = message
        .chars()
        .take(MESSAGE_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    line.truncate(line.trim_end().len());
    line
}
