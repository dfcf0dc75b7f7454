//! Statements of the harness, as SQLite takes them.

use super::*;

#[track_caller]
fn defines(sql: &str, expected: &str) {
    assert_eq!(definition(sql), expected);
}

#[track_caller]
fn reads(sql: &str, expected: &str, values: &[&str]) {
    let translated = rows(sql);
    assert_eq!(
        (translated.sql.as_str(), translated.values.as_slice()),
        (expected, &values.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..])
    );
}

#[test]
fn tables_lose_what_sqlite_does_not_have() {
    defines(
        "CREATE ROWSTORE TABLE IF NOT EXISTS t (a BIGINT NOT NULL, h BINARY(32), PRIMARY KEY (a, h), \
         UNIQUE KEY n (h), SHARD KEY (a)) CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin",
        "CREATE TABLE IF NOT EXISTS t(a BIGINT NOT NULL, h BLOB, PRIMARY KEY (a, h), UNIQUE (h))",
    );
    defines(
        "CREATE TABLE `k` (\n`topic` TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n\
         `id` JSON COLLATE utf8mb4_bin NOT NULL,\nSORT KEY `__UNORDERED` (),\nSHARD KEY ()\n)\n\
         SQL_MODE = 'STRICT_ALL_TABLES'\nCOLLATE = utf8mb4_bin;",
        "CREATE TABLE `k`( `topic` TEXT NOT NULL, `id` TEXT CHECK( json_valid(`id`)) NOT NULL)",
    );
}

#[test]
fn texts_become_values() {
    reads(r"SELECT 'it''s \'\\\n', `?` FROM t", "SELECT ?1, `?` FROM t", &["it's '\\\n"]);
    reads("SELECT a FROM t WHERE b = 5e-1 FOR UPDATE", "SELECT a FROM t WHERE b = 5e-1", &[]);
    reads("SELECT a <= 1, b || c;", "SELECT a <= 1, b || c", &[]);
    reads(
        "SELECT CAST(x AS SIGNED) FROM information_schema.tables",
        "SELECT CAST(x AS INTEGER) FROM is_tables",
        &[],
    );
    reads("SELECT @@memsql_version, @@nothing", "SELECT '9.1.1', no_such_variable()", &[]);
}
