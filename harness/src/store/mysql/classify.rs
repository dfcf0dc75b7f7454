//! A server's error numbers, sorted by what the caller may do.
//!
//! Touches nothing. Invariant: a message that quotes a value of a row has the value taken out.

use std::error::Error as _;
use std::io;

use mysql::{DriverError, Error};

use crate::store::error::{ServerCode, StoreError, StoreErrorKind};

/// A savepoint (or a routine) of that name does not exist.
pub(super) const SAVEPOINT_IS_GONE: u16 = 1305;

/// The server has no variable of that name.
pub(super) const UNKNOWN_VARIABLE: u16 = 1193;

/// The server prepares no statement of this kind.
pub(super) const NOT_PREPARED: u16 = 1295;

/// There is no connection of that number.
pub(super) const NO_SUCH_THREAD: u16 = 1094;

/// A value that a column, a key, a constraint or a trigger refuses, or that the server changed, where it warns.
///
/// Source: the lists of server errors in MySQL's reference manual ("Server Error Message Reference") and in MariaDB's
/// ("Error Codes"); 3140 to 3158 are those of JSON and geometry values.
pub(in crate::store) const VALUE_CODES: [u16; 42] = [
    1048, 1062, 1169, 1216, 1217, 1263, 1264, 1265, 1292, 1300, 1365, 1366, 1367, 1406, 1411, 1441,
    1451, 1452, 1557, 1586, 1644, 1690, 1859, 3140, 3141, 3142, 3143, 3144, 3145, 3146, 3147, 3148,
    3149, 3150, 3151, 3152, 3153, 3154, 3155, 3156, 3157, 3158,
];

/// The server's number of an error, if the server sent it.
pub(super) fn code_of(error: &Error) -> Option<u16> {
    match error {
        Error::MySqlError(error) => Some(error.code),
        _ => None,
    }
}

/// Sorts a client error; `shown` is the address without its password.
pub(in crate::store) fn classify(shown: &str, error: &Error) -> StoreError {
    match error {
        Error::MySqlError(error) => {
            let (kind, advice) = sort(error.code);
            let text = mask_values(&error.message);
            let state = error.state.as_bytes().try_into().unwrap_or(*b"HY000");
            StoreError::new(kind, format!("{shown}: {text} (server error {}){advice}", error.code))
                .with_code(Some(ServerCode::new(error.code, state)))
        }
        // How the TLS library tells that a certificate, or the peer's view of ours, is not as it should be.
        error if is_invalid(error) => untrusted(shown, error),
        Error::IoError(error) => io_error(shown, error),
        Error::CodecError(error) => StoreError::new(
            StoreErrorKind::Transient,
            format!("{shown}: the connection broke: {error}"),
        ),
        Error::DriverError(
            error @ (DriverError::ConnectTimeout | DriverError::CouldNotConnect(_)),
        ) => unreachable_server(shown, error),
        Error::DriverError(DriverError::TlsNotSupported) => StoreError::new(
            StoreErrorKind::Config,
            format!(
                "{shown} speaks no TLS; take the tls options out of the address, or turn it on there"
            ),
        ),
        Error::TlsError(error) => untrusted(shown, error),
        Error::DriverError(DriverError::MismatchedStmtParams(wanted, given)) => {
            StoreError::internal(format!("a statement wants {wanted} values and got {given}"))
        }
        Error::DriverError(error) => StoreError::new(
            StoreErrorKind::Transient,
            format!("{shown}: the connection broke: {error}"),
        ),
        Error::UrlError(error) => {
            StoreError::new(StoreErrorKind::Config, format!("{shown}: {error}"))
        }
        Error::FromValueError(_) | Error::FromRowError(_) => {
            StoreError::internal(format!("{shown}: an answer has another type than was asked for"))
        }
    }
}

fn io_error(shown: &str, error: &io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Transient, format!("{shown}: the connection was lost: {error}"))
}

/// Whether a connection broke because of what came over it, not because nothing did.
fn is_invalid(error: &Error) -> bool {
    let found = match error {
        Error::IoError(error) => Some(error),
        Error::CodecError(error) => error.source().and_then(|cause| cause.downcast_ref()),
        _ => None,
    };
    found.is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::InvalidData)
}

/// A TLS handshake that failed: trying again fails again.
fn untrusted(shown: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::Config,
        format!(
            "{shown}: no TLS with it: {error}; check tls, tls-ca, tls-cert and tls-key of the address"
        ),
    )
}

fn unreachable_server(shown: &str, error: &DriverError) -> StoreError {
    let reason = match error {
        DriverError::CouldNotConnect(Some((_, reason, _))) => reason.clone(),
        other => other.to_string(),
    };
    StoreError::new(
        StoreErrorKind::Transient,
        format!("{shown} cannot be reached: {reason}; is the server running there?"),
    )
    .unreachable()
}

/// The kind of a server error, and what to do where the server's text does not say it.
fn sort(code: u16) -> (StoreErrorKind, &'static str) {
    match code {
        // Too many connections, shutdown, killed, network trouble, lock wait, deadlock, snapshot too old, a
        // statement that must be prepared again, idle for too long.
        1020
        | 1040
        | 1053
        | 1077..=1081
        | 1152
        | 1158..=1161
        | 1184
        | 1203
        | 1205
        | 1213
        | 1243
        | 1317
        | 1412
        | 1615
        | 1927
        | 2006
        | 2013
        | 3024
        | 4031 => (StoreErrorKind::Transient, ""),
        // A value that the column, a key, a constraint or a trigger refuses.
        code if VALUE_CODES.contains(&code) => (StoreErrorKind::Data { row: None }, ""),
        3819 | 4025 => (
            StoreErrorKind::Data { row: None },
            "; where that is the check of a JSON column: MariaDB takes 32 levels of nesting, MySQL \
             100",
        ),
        1118 | 1153 | 1162 | 1301 => {
            (StoreErrorKind::TooLarge { row: None }, "; raise max_allowed_packet there")
        }
        // No such table or column, a column without a default, a syntax that this server lacks.
        1050 | 1051 | 1054 | 1060 | 1064 | 1072 | 1136 | 1146 | 1347 | 1348 | 1356 | 1364
        | 1471 | 3105 => (StoreErrorKind::Schema, ""),
        1044 | 1045 | 1130 | 1142 | 1143 | 1227 | 1251 | 1370 | 1524 | 1698 => {
            (StoreErrorKind::Auth, "; check the user, its password and its rights on the database")
        }
        1049 => (StoreErrorKind::Config, "; run CREATE DATABASE first, or name another one"),
        1148 | 3948 | 4166 => (
            StoreErrorKind::Config,
            "; set local_infile=ON on the server, or load with ?load=insert",
        ),
        3159 => {
            (StoreErrorKind::Config, "; the server wants TLS: add tls=verify-full to the address")
        }
        1021 | 1030 | 1037 | 1038 | 1041 | 1114 | 1207 | 1290 | 1792 | 1836 | 3675 => {
            (StoreErrorKind::Resource, "; make room or make the server writable, then start again")
        }
        _ => (StoreErrorKind::Internal, ""),
    }
}

/// Takes quoted row values out of a server's text: `Duplicate entry '…' for key`, `value: '…' for column`.
fn mask_values(message: &str) -> String {
    for before in ["entry '", "value: '", "value '"] {
        if let Some((head, tail)) = message.split_once(before) {
            // The value itself may hold quotes: what is kept begins after the last "' for ".
            let tail =
                tail.rsplit_once("' for ").map_or(String::new(), |(_, end)| format!(" for {end}"));
            return format!("{head}{before}***'{tail}");
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests;
