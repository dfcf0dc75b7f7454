//! What is whole, what leaves, and how words go on.

use super::{Input, candidates, input};
use crate::sql::is_open;
use crate::store::StoreUrl;

fn url() -> StoreUrl {
    "sqlite:x.db".parse().unwrap()
}

#[test]
fn a_statement_is_whole_with_its_semicolon() {
    for open in [
        "SELECT 1",
        "SELECT ';",
        "SELECT 1 -- ;",
        "SELECT /* ;",
        "SELECT 1; SELECT 2",
        "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1;",
    ] {
        assert!(is_open(open, &url()), "{open}");
    }
    for whole in [
        "SELECT 1;",
        "SELECT 1 ; -- a comment",
        "SELECT 1;\nSELECT ';' ;\n",
        "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END;",
        "",
        "-- nothing",
    ] {
        assert!(!is_open(whole, &url()), "{whole}");
    }
}

#[test]
fn words_that_are_no_statements_need_no_semicolon() {
    for (text, wanted) in [
        ("", Input::Nothing),
        (" ; ", Input::Nothing),
        ("-- x", Input::Nothing),
        ("\\q", Input::Leave),
        ("EXIT;", Input::Leave),
        ("\\?", Input::Help),
        ("quit now", Input::Statements),
        ("'", Input::Statements),
    ] {
        assert_eq!(input(text, &url()), wanted, "{text}");
    }
}

#[test]
fn words_go_on_as_keywords_and_names() {
    let names = ["stock".to_owned(), "ä".to_owned()];
    let (from, found) = candidates("stop pipeline sto", 17, &names);
    let found: Vec<&str> = found.iter().map(|it| it.replacement.as_str()).collect();
    assert_eq!((from, found), (14, vec!["stock", "STOP", "STOP_ON_ERROR"]));
    assert!(candidates("SELECT ", 7, &names).1.is_empty());
    assert!(candidates("ü", 2, &names).1.is_empty());
    assert_eq!(candidates("ä", 2, &names).1.len(), 1);
}
