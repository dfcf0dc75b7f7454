//! The table is whole, and patterns pick what they say.

use super::*;

#[test]
fn ids_are_unique_and_every_rule_has_one_owner() {
    let mut ids: Vec<&str> = checks().map(|check| check.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for rule in ["2".to_owned()].into_iter().chain((1..=13).map(|n| format!("H{n}"))) {
        let owners = checks().filter(|check| check.owns.contains(&&*rule)).count();
        assert_eq!(owners, 1, "rule {rule}");
    }
}

#[test]
fn patterns_pick_ids_titles_and_beginnings() {
    let picked = |pattern: &str| -> Vec<&str> {
        select(Level::ALL, Some(pattern)).iter().map(|check| check.id).collect()
    };
    assert_eq!(picked("X49"), ["X49"]);
    assert_eq!(picked("X49,H01"), ["H01", "X49"]);
    assert_eq!(picked("hello_basic"), ["H01"]);
    assert_eq!(picked("*_basic"), ["H01"]);
    assert!(picked("H0").len() > 5 && picked("H0").iter().all(|id| id.starts_with("H0")));
    assert!(picked("no_check_is_called_so").is_empty());
    assert_eq!(select(Level::ALL, None).len(), checks().count());
}

#[test]
fn a_skip_needs_a_reason_and_a_check_that_there_is() {
    let refused = |text: &str, why: &str| {
        let error = Profile::parse(text).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    refused(r#"{"bypass":{"X49":" "}}"#, "X49 has no reason");
    refused(r#"{"bypass":{"X00":"because"}}"#, "there is no check X00");
    refused(r#"{"bypas":{}}"#, "unknown field");
    let profile = Profile::parse(r#"{"patience_ms":100,"bypass":{"X49":"why"}}"#).unwrap();
    assert_eq!(profile.patience, Duration::from_millis(100));
}
