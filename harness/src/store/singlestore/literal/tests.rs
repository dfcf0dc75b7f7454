//! Where values go, and how they are written.

use super::*;

#[track_caller]
fn filled(sql: &str, params: &[Param<'_>], expected: &str) {
    assert_eq!(fill(sql, params).as_deref(), Ok(expected));
    assert_eq!(count(sql), params.len());
}

#[test]
fn values_go_where_the_marks_are() {
    filled("SELECT 1", &[], "SELECT 1");
    filled("SELECT ?", &[Param::Int(-7)], "SELECT -7");
    filled("SELECT ?, ?", &[Param::Null, Param::Text("a")], "SELECT NULL, 'a'");
    filled("?", &[Param::Bytes(&[0, 255])], "UNHEX('00ff')");
    filled("?", &[Param::Real(0.5)], "5e-1");
    filled("é ? é", &[Param::Text("é𝄞")], "é 'é𝄞' é");
}

#[test]
fn marks_in_quotes_and_comments_are_none() {
    filled("SELECT '?', \"?\", `?`, ?", &[Param::Int(1)], "SELECT '?', \"?\", `?`, 1");
    filled("SELECT 'it''s ?', ?", &[Param::Int(1)], "SELECT 'it''s ?', 1");
    filled(r"SELECT '\'?', ?", &[Param::Int(1)], r"SELECT '\'?', 1");
    filled(
        "SELECT /* ? */ ? -- ?\n, ? # ?",
        &[Param::Int(1), Param::Int(2)],
        "SELECT /* ? */ 1 -- ?\n, 2 # ?",
    );
    filled("SELECT '?", &[], "SELECT '?");
    filled("/* ?", &[], "/* ?");
}

#[test]
fn a_value_does_not_end_its_literal() {
    let hostile = "a'; DROP TABLE t; -- \\ \" \0 \n \r \u{1a} ?";
    filled(
        "SELECT ?",
        &[Param::Text(hostile)],
        "SELECT 'a\\'; DROP TABLE t; -- \\\\ \\\" \\0 \\n \\r \\Z ?'",
    );
    // What was put in is one literal and nothing else.
    let whole = fill("?", &[Param::Text(hostile)]).unwrap();
    assert_eq!(count(&whole), 0);
}

#[test]
fn other_numbers_of_values_are_refused() {
    for (sql, params) in [("SELECT ?", &[][..]), ("SELECT 1", &[Param::Null][..])] {
        let error = fill(sql, params).expect_err(sql);
        assert!(error.to_string().contains("values and got"), "{error}");
    }
    assert!(fill("?", &[Param::Real(f64::NAN)]).is_err());
}
