//! The static table's text, and tables that cannot take rows.

use super::*;
use crate::store::{LoadMethod, RowRef, StoreUrl, connect};

fn store(folder: &tempfile::TempDir) -> Box<dyn Store> {
    connect(&StoreUrl::Sqlite { path: folder.path().join("a.db") }).expect("opens")
}

/// The CREATE TABLE statement of the documentation, as a user compares it.
#[test]
fn the_documented_statement_is_byte_equal() {
    let documented = "\
CREATE TABLE `kinesis_pipeline` (
`topic` TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
`id` JSON COLLATE utf8mb4_bin NOT NULL,
`record` JSON COLLATE utf8mb4_bin NOT NULL,
SORT KEY `__UNORDERED` (),
SHARD KEY ()
)
AUTOSTATS_CARDINALITY_MODE = INCREMENTAL
AUTOSTATS_HISTOGRAM_MODE = CREATE
AUTOSTATS_SAMPLING = ON
SQL_MODE = 'STRICT_ALL_TABLES,NO_AUTO_CREATE_USER'
CHARACTER SET = utf8mb4
COLLATE = utf8mb4_bin;";
    assert_eq!(static_table_ddl(Dialect::SingleStore, "kinesis_pipeline"), documented);
}

/// A JSON column of MySQL reprints what it is given: a record would not be what the source holds.
#[test]
fn mysql_keeps_the_text_of_a_record() {
    let ddl = static_table_ddl(Dialect::Mysql, "t");
    assert!(!ddl.contains(" JSON"), "{ddl}");
    for column in ["id", "record"] {
        assert!(ddl.contains(&format!("CHECK (json_valid(`{column}`))")), "{ddl}");
    }
}

#[test]
fn names_are_quoted() {
    let odd = "a`b\"c";
    assert!(static_table_ddl(Dialect::Mariadb, odd).starts_with("CREATE TABLE `a``b\"c` ("));
    assert!(static_table_ddl(Dialect::Sqlite, odd).starts_with("CREATE TABLE \"a`b\"\"c\" ("));
}

#[test]
fn makes_a_table_that_takes_json_only_and_the_same_key_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(&folder);
    for name in ["t", "odd `\"' name"] {
        create_static_table(store.as_mut(), name).expect("creates");
        create_static_table(store.as_mut(), name).expect("is there already");
        let row = RowRef { topic: "t", id: r#"{"k":1}"#, record: "null" };
        let rows: &[RowRef<'_>] = &[row, row];
        assert_eq!(store.load(name, &rows, LoadMethod::Insert), Ok(2));
        let bad: &[RowRef<'_>] = &[RowRef { record: "{\"half\":", ..row }];
        let error = store.load(name, &bad, LoadMethod::Insert).expect_err("no JSON");
        assert_eq!(error.kind(), StoreErrorKind::Data { row: Some(0) }, "{error}");
        assert!(!error.to_string().contains("half"), "{error}");
    }
    create_static_table(store.as_mut(), "").expect_err("no name");
    create_static_table(store.as_mut(), &"x".repeat(65)).expect_err("too long a name");
}

#[track_caller]
fn check(ddl: &str, expected: Option<&str>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(&folder);
    store.execute(ddl, &[]).expect(ddl);
    let before = store.query("SELECT sql FROM sqlite_master", &[]).expect("reads");
    let checked = create_static_table(store.as_mut(), "t");
    match (checked, expected) {
        (Ok(()), None) => {}
        (Err(error), Some(expected)) => {
            assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        (checked, expected) => panic!("{ddl}: {checked:?}, wanted {expected:?}"),
    }
    let after = store.query("SELECT sql FROM sqlite_master", &[]).expect("reads");
    assert_eq!(before, after, "what exists is never altered");
}

#[test]
fn a_table_that_exists_is_used_if_it_takes_the_rows() {
    check("CREATE TABLE t (topic TEXT, id TEXT, record TEXT)", None);
    check("CREATE TABLE T (RECORD TEXT, extra TEXT, ID TEXT, Topic TEXT)", None);
    check("CREATE TABLE t (topic, id, record, n INT NOT NULL DEFAULT 1)", None);
    check("CREATE TABLE t (n INTEGER PRIMARY KEY NOT NULL, topic, id, record)", None);
    check("CREATE TABLE t (topic, id, record, n TEXT NOT NULL AS (topic || id) STORED)", None);
    check("CREATE TABLE t (topic, id)", Some("has columns (topic, id)"));
    check("CREATE TABLE t (topic, id, record, n INT NOT NULL)", Some("n NOT NULL"));
    check("CREATE VIEW t AS SELECT 1 AS topic, 2 AS id, 3 AS record", Some("is a view"));
}

#[test]
fn a_table_that_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = check_table(store(&folder).as_mut(), "t").expect_err("is not there");
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    assert!(error.to_string().contains("table t does not exist"), "{error}");
}
