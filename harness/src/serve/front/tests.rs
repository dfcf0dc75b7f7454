//! What clients send of their own accord, and what only looks like it.

use super::{Asked, Front, read};
use crate::sql::split;
use crate::store::StoreUrl;

#[track_caller]
fn check(sql: &str, on_sqlite: bool, wanted: Option<Front>) {
    let url: StoreUrl = "mysql://u@h/d".parse().unwrap();
    let pieces = split("x", sql, &url).unwrap();
    assert_eq!(read(&pieces[0], on_sqlite), wanted, "{sql}");
}

#[test]
fn connections_of_this_server_are_killed_by_it() {
    let kill = |id, is_query| Some(Front::Kill { id, is_query });
    for on_sqlite in [true, false] {
        check("KILL 7", on_sqlite, kill(7, false));
        check("kill query 8", on_sqlite, kill(8, true));
        check("KILL HARD CONNECTION 9", on_sqlite, kill(9, false));
        check("KILL USER root", on_sqlite, kill(0, false));
        check("KILL QUERY ID 5", on_sqlite, kill(0, true));
    }
}

#[test]
fn a_server_behind_it_gets_everything_else() {
    for sql in ["SET autocommit = 0", "BEGIN", "COMMIT", "SELECT @@a", "SHOW TABLES"] {
        check(sql, false, None);
    }
}

#[test]
fn sqlite_is_spared_what_it_does_not_know() {
    check("SET NAMES utf8mb4", true, Some(Front::Nothing));
    check("set @@session.sql_mode = 'ANSI', autocommit=OFF", true, Some(Front::Autocommit(false)));
    check("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", true, Some(Front::Nothing));
    check("SET SESSION autocommit := 1", true, Some(Front::Autocommit(true)));
    check("START TRANSACTION READ ONLY", true, Some(Front::Begin));
    check("COMMIT", true, Some(Front::End("COMMIT")));
    check("rollback work", true, Some(Front::End("ROLLBACK")));
    for on_sqlite in [true, false] {
        check("USE `main`", on_sqlite, Some(Front::Use("main".to_owned())));
    }
    let asked = vec![
        ("@@max_allowed_packet".to_owned(), Asked::Variable("max_allowed_packet".to_owned())),
        ("b".to_owned(), Asked::Variable("wait_timeout".to_owned())),
        ("DATABASE()".to_owned(), Asked::Database),
    ];
    let sql = "SELECT @@max_allowed_packet, @@session.wait_timeout AS b, DATABASE() LIMIT 1";
    check(sql, true, Some(Front::Select(asked)));
    for sql in [
        "SELECT @@a, b FROM t",
        "SELECT 1",
        "SET @x = 1",
        "SET PASSWORD = 'x'",
        "SET GLOBAL x = 1",
        "ROLLBACK TO a",
        "BEGIN IMMEDIATE",
        "INSERT INTO t VALUES (1)",
    ] {
        check(sql, true, None);
    }
}
