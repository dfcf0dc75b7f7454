//! The number that a MySQL server would have given an error of SQLite, for clients that go by it.
//!
//! Pure. Source: the list of server errors in MySQL's reference manual.

use rusqlite::ffi;

use crate::store::error::ServerCode;

/// The number, where there is one that fits.
pub(super) fn of(error: &rusqlite::Error) -> Option<ServerCode> {
    let (failure, message) = match error {
        rusqlite::Error::SqliteFailure(failure, message) => (failure, message.as_deref()),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error, Some(msg.as_str())),
        _ => return None,
    };
    let code = match failure.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => (1062, *b"23000"),
        ffi::SQLITE_CONSTRAINT_NOTNULL => (1048, *b"23000"),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => (1452, *b"23000"),
        ffi::SQLITE_CONSTRAINT_CHECK => (3819, *b"HY000"),
        _ => match (failure.extended_code & 0xff, message) {
            (ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED, _) => (1205, *b"HY000"),
            (ffi::SQLITE_INTERRUPT, _) => (1317, *b"70100"),
            (ffi::SQLITE_FULL, _) => (1114, *b"HY000"),
            (ffi::SQLITE_READONLY, _) => (1290, *b"HY000"),
            (ffi::SQLITE_AUTH, _) => (1227, *b"42000"),
            (ffi::SQLITE_TOOBIG, _) => (1153, *b"08S01"),
            (ffi::SQLITE_ERROR, Some(text)) => of_text(text)?,
            _ => return None,
        },
    };
    Some(ServerCode::new(code.0, code.1))
}

/// SQLite has one number for everything that is wrong with a statement; its text says more.
fn of_text(text: &str) -> Option<(u16, [u8; 5])> {
    const KNOWN: [(&str, u16, [u8; 5]); 7] = [
        ("no such table", 1146, *b"42S02"),
        ("no such column", 1054, *b"42S22"),
        ("no such function", 1305, *b"42000"),
        ("already exists", 1050, *b"42S01"),
        ("syntax error", 1064, *b"42000"),
        ("incomplete input", 1064, *b"42000"),
        ("unrecognized token", 1064, *b"42000"),
    ];
    let found = KNOWN.into_iter().find(|(part, ..)| text.contains(part));
    found.map(|(_, number, state)| (number, state))
}
