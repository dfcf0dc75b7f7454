//! What a server's warnings say of a statement that it took: that it changed a value, or something else.
//!
//! Pure. Invariant: only a warning of a value is held against a row; any other is about the statement, the table or
//! the server, and would be held against every row.

use super::error::{StoreError, StoreErrorKind};
use super::mysql::classify::VALUE_CODES;

/// Most warnings that are read of one statement. Why 64: servers keep as many (`max_error_count`).
pub(super) const WARNINGS_MAX: usize = 64;

/// `ER_BINLOG_UNSAFE_STATEMENT`.
const UNSAFE_STATEMENT: u16 = 1592;

/// A note of MariaDB where in a routine the warning before it arose (`ER_SP_STACK_TRACE`).
const PLACE: u16 = 4094;

/// The error that the warnings of these numbers are. Texts are left out: they may quote a value.
pub(super) fn judge(shown: &str, codes: &[u16]) -> StoreError {
    let is_place = |code: &&u16| **code == PLACE;
    let is_value = |code: &&u16| VALUE_CODES.contains(code);
    let other = codes.iter().filter(|code| !is_place(code)).find(|code| !is_value(code));
    let (kind, text) = match (other, codes.iter().find(is_value)) {
        (Some(&UNSAFE_STATEMENT), _) => (
            StoreErrorKind::Config,
            "the server warned that the statement is unsafe for binlog_format=STATEMENT (warning 1592), \
             as it is with a column whose default is drawn; set binlog_format to MIXED or ROW there"
                .to_owned(),
        ),
        (Some(code), _) => (
            StoreErrorKind::Schema,
            format!(
                "the server warned of the statement or its table (warning {code}), not of a value; change \
                 what it warns of, which SHOW WARNINGS says after such an insert"
            ),
        ),
        (None, Some(code)) => (
            StoreErrorKind::Data { row: None },
            format!("the server changed a value and warned (warning {code})"),
        ),
        (None, None) => (
            StoreErrorKind::Config,
            "the server warned and does not list of what; set max_error_count to 64 there".to_owned(),
        ),
    };
    StoreError::new(kind, format!("{shown}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_value_is_held_against_a_row() {
        let kind = |codes: &[u16]| judge("here", codes).kind();
        for code in [1048, 1264, 1265, 1292, 1366, 1406] {
            assert_eq!(kind(&[code]), StoreErrorKind::Data { row: None }, "{code}");
        }
        assert_eq!(kind(&[1265, 4094]), StoreErrorKind::Data { row: None });
        assert_eq!(kind(&[1592]), StoreErrorKind::Config);
        assert_eq!(kind(&[1265, 1642]), StoreErrorKind::Schema);
        assert_eq!(kind(&[]), StoreErrorKind::Config);
        let error = judge("here", &[1265, 1642]).to_string();
        assert!(error.starts_with("here: ") && error.contains("warning 1642"), "{error}");
    }
}
