//! Where statements end, and whose they are. Touches nothing.

use super::{Kind, PIECES_MAX, Rules, TOKENS_MAX, split};

fn texts(script: &str, rules: Rules) -> Vec<&str> {
    split(script, rules).unwrap().iter().map(|piece| piece.text).collect()
}

fn ours(script: &str) -> bool {
    split(script, Rules::Sqlite).unwrap()[0].is_ours
}

#[test]
fn statements_end_at_semicolons_outside_strings_comments_and_bodies() {
    for (script, wanted) in [
        ("", vec![]),
        (" ; ;\n", vec![]),
        ("SELECT 1", vec!["SELECT 1"]),
        ("SELECT 1;SELECT 2;", vec!["SELECT 1", "SELECT 2"]),
        ("SELECT ';' ; SELECT \";\";SELECT `;`", vec!["SELECT ';'", "SELECT \";\"", "SELECT `;`"]),
        ("SELECT 'it''s; one'; SELECT 2", vec!["SELECT 'it''s; one'", "SELECT 2"]),
        (
            "-- a; b\nSELECT 1 -- c;\n; /* d; */ SELECT /* e; */ 2",
            vec!["SELECT 1", "SELECT /* e; */ 2"],
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 3; END; SELECT 4",
            vec![
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 3; END",
                "SELECT 4",
            ],
        ),
        (
            "CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; END IF; SELECT 2; END; SELECT 3",
            vec![
                "CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; END IF; SELECT 2; END",
                "SELECT 3",
            ],
        ),
        ("BEGIN; SELECT 1; COMMIT", vec!["BEGIN", "SELECT 1", "COMMIT"]),
    ] {
        assert_eq!(texts(script, Rules::Sqlite), wanted, "{script}");
        assert_eq!(texts(script, Rules::Server), wanted, "{script}");
    }
}

#[test]
fn databases_read_backslashes_and_dashes_in_their_own_way() {
    assert_eq!(texts(r"SELECT 'a\'; SELECT 2", Rules::Sqlite), [r"SELECT 'a\'", "SELECT 2"]);
    assert_eq!(
        texts(r"SELECT 'a\'; b'; SELECT 2", Rules::Server),
        [r"SELECT 'a\'; b'", "SELECT 2"]
    );
    assert_eq!(texts("SELECT 5--3; SELECT 2", Rules::Server), ["SELECT 5--3", "SELECT 2"]);
    assert_eq!(texts("SELECT 5--3; SELECT 2", Rules::Sqlite), ["SELECT 5"]);
    assert_eq!(texts("SELECT 1 # a; b\n; SELECT 2", Rules::Server), ["SELECT 1", "SELECT 2"]);
    // A pipeline statement reads the same in every store.
    let script = r#"TEST PIPELINE `p`; CREATE PIPELINE p AS LOAD DATA KAFKA 'a\'; b'; SELECT 'x\'"#;
    let pieces = split(script, Rules::Sqlite).unwrap();
    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces[1].tokens.last().unwrap().value(), "a'; b");
}

#[test]
fn values_are_without_quotes_and_escapes() {
    for (text, value) in [
        ("'it''s'", "it's"),
        (r"'a\nb\\c\'d'", "a\nb\\c'd"),
        ("\"x\"\"y\"", "x\"y"),
        ("`a``b`", "a`b"),
        ("word", "word"),
    ] {
        let script = format!("CREATE PIPELINE {text}");
        let pieces = split(&script, Rules::Sqlite).unwrap();
        assert_eq!(pieces[0].tokens[2].value(), value, "{text}");
        assert_eq!(pieces[0].tokens[2].text, text);
    }
    assert_eq!(split("SELECT 1.5", Rules::Sqlite).unwrap()[0].tokens[1].kind, Kind::Number);
}

#[test]
fn what_has_no_end_is_an_error_at_its_beginning() {
    for (script, at, text) in [
        ("SELECT 'a", 7, "what begins with ' here has no closing '"),
        ("SELECT 1; SELECT \"a", 17, "no closing \""),
        ("SELECT /* a", 7, "no closing */"),
        ("SELECT `a", 7, "no closing `"),
    ] {
        let error = split(script, Rules::Sqlite).unwrap_err();
        assert_eq!(error.at, at, "{script}");
        assert!(error.message.contains(text), "{}", error.message);
    }
}

#[test]
fn only_pipeline_statements_are_ours() {
    for script in [
        "create or replace inferred pipeline p as …",
        "CREATE AGGREGATOR PIPELINE p AS …",
        "CREATE /* a */ PIPELINE p",
        "START PIPELINE p",
        "START ALL PIPELINES",
        "STOP ALL PIPELINES",
        "SHOW PIPELINES",
        "SHOW CREATE PIPELINE p",
        "CLEAR PIPELINE ERRORS",
        "INFER PIPELINE AS LOAD DATA",
        "FLUSH EXTRACTOR POOLS",
        "SET GLOBAL pipelines_stop_on_error = ON",
        "SET GLOBAL EXPERIMENTAL_features_config = 'x'",
    ] {
        assert!(ours(script), "{script}");
    }
    for script in [
        "SELECT * FROM pipeline",
        "CREATE TABLE pipeline (a INT)",
        "DROP TABLE pipelines",
        "REPLACE INTO pipeline VALUES (1)",
        "ALTER TABLE pipeline ADD COLUMN a INT",
        "START TRANSACTION",
        "SET GLOBAL max_connections = 5",
        "SHOW CREATE TABLE pipeline",
        "PIPELINE",
    ] {
        assert!(!ours(script), "{script}");
    }
}

#[test]
fn noise_never_panics() {
    let parts = [
        "'",
        "\"",
        "`",
        "\\",
        ";",
        "--",
        "/*",
        "*/",
        "#",
        "é",
        "CREATE",
        " PIPELINE ",
        "@",
        "1",
        "\n",
    ];
    for seed in 0..4000_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let script: String =
            (0..random.usize(..14)).map(|_| parts[random.usize(..parts.len())]).collect();
        for rules in [Rules::Sqlite, Rules::Server] {
            if let Ok(pieces) = split(&script, rules) {
                for piece in pieces {
                    assert_eq!(script.get(piece.at..piece.at + piece.text.len()), Some(piece.text));
                }
            }
        }
    }
}

#[test]
fn words_and_statements_of_a_text_are_bounded() {
    let dense = |count: usize| format!("SELECT {}", "+".repeat(count - 1));
    assert_eq!(split(&dense(TOKENS_MAX), Rules::Server).unwrap()[0].tokens.len(), TOKENS_MAX);
    let error = split(&dense(TOKENS_MAX + 1), Rules::Server).unwrap_err();
    assert!(error.message.contains("at most 2097152 words and symbols"), "{}", error.message);
    // Together, not each.
    let two = format!("{};{}", dense(TOKENS_MAX - 1), dense(2));
    assert!(split(&two, Rules::Sqlite).is_err());
    let many = |count: usize| "a;".repeat(count);
    assert_eq!(split(&many(PIECES_MAX), Rules::Sqlite).unwrap().len(), PIECES_MAX);
    let error = split(&many(PIECES_MAX + 1), Rules::Sqlite).unwrap_err();
    assert!(error.message.contains("at most 131072 statements"), "{}", error.message);
}
