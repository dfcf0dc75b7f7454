//! Server errors as they arrive, and what is made of them.

use mysql::MySqlError;

use super::*;

#[track_caller]
fn check(code: u16, message: &str, kind: StoreErrorKind, expected: &str) {
    let error = Error::MySqlError(MySqlError {
        state: "HY000".to_owned(),
        message: message.to_owned(),
        code,
    });
    let error = classify("mysql://u@h:1/d", &error);
    assert_eq!(error.kind(), kind);
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[test]
fn sorts_by_what_the_caller_may_do() {
    let data = StoreErrorKind::Data { row: None };
    check(1213, "Deadlock found", StoreErrorKind::Transient, "Deadlock");
    check(1205, "Lock wait timeout exceeded", StoreErrorKind::Transient, "1205");
    check(4025, "CONSTRAINT `t.id` failed for `d`.`t`", data, "`t.id`");
    check(1049, "Unknown database 'd'", StoreErrorKind::Config, "CREATE DATABASE");
    check(1045, "Access denied for user 'u'@'h'", StoreErrorKind::Auth, "password");
    check(4166, "The used command is not allowed", StoreErrorKind::Config, "local_infile");
    check(1114, "The table 't' is full", StoreErrorKind::Resource, "make room");
    check(1146, "Table 'd.t' doesn't exist", StoreErrorKind::Schema, "d.t");
    check(65_000, "new", StoreErrorKind::Internal, "65000");
}

#[test]
fn takes_row_values_out_of_messages() {
    let data = StoreErrorKind::Data { row: None };
    check(1062, "Duplicate entry 's3cret' for key 'PRIMARY'", data, "'***' for key 'PRIMARY'");
    check(1062, "Duplicate entry 's3cret' for s3cret' for key 'k'", data, "'***' for key 'k'");
    check(1366, "Incorrect integer value: 's3cret' for column `d`.`t`.`n` at row 1", data, "`n`");
    check(1292, "Truncated incorrect DOUBLE value: 's3cret'", data, "'***'");
}
