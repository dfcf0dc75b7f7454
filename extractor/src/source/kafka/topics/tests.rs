//! Which names a pattern takes, and which patterns are refused.

use protocol::Code;
use serde_json::{Map, Value, json};

use super::*;

fn read(config: Value) -> Result<Selection, Failure> {
    let Value::Object(config) = config else { unreachable!("an object is written above") };
    Selection::read(&Settings::from_maps(&config, &Map::new()).unwrap())
}

#[track_caller]
fn check(pattern: &str, taken: &[&str], left: &[&str]) {
    let selection = read(json!({"topics.regex": pattern})).unwrap();
    for name in taken {
        assert!(selection.takes(name), "{pattern} takes {name}");
    }
    for name in left {
        assert!(!selection.takes(name), "{pattern} leaves {name}");
    }
}

#[test]
fn a_pattern_matches_the_whole_name() {
    check("orders", &["orders"], &["orders2", "my-orders", "order", ""]);
    check("a|ab", &["a", "ab"], &["abc", "b"]);
    check("^orders-[0-9]+$", &["orders-1", "orders-22"], &["orders-", "orders-1x"]);
    check(r"orders\.\d{2}", &["orders.07"], &["ordersx07", "orders.7"]);
    check("(?i)Orders-.*", &["orders-x", "ORDERS-"], &["xorders-"]);
}

#[test]
fn internal_topics_are_taken_only_by_name() {
    check(".*", &["orders", "_schemas"], &["__consumer_offsets", "__transaction_state"]);
    check("__consumer_.*", &["__consumer_offsets"], &["orders"]);
    check("orders|__audit", &["orders", "__audit"], &["__consumer_offsets"]);
}

#[test]
fn what_cannot_be_used_is_told() {
    for (pattern, part) in [
        ("(", "without closing"),
        ("a)|(b", "without"),
        ("(?!x).*", "no pattern that can be used ("),
        (r"(a)\1", "no pattern that can be used ("),
        ("((a{99}){99}){99}", "exceed"),
        (" ", "topics"),
    ] {
        let failure = read(json!({"topics.regex": pattern})).unwrap_err();
        assert!(failure.message.contains(part), "{pattern}: {failure}");
    }
    let long = "a".repeat(REGEX_BYTES_MAX + 1);
    let failure = read(json!({"topics.regex": long})).unwrap_err();
    assert!(failure.message.contains("1 to 1000 bytes"), "{failure}");
    let failure = read(json!({"topics": "a.*"})).unwrap_err();
    assert!(failure.message.contains("topics.regex"), "{failure}");
}

#[test]
fn a_list_and_a_pattern_exclude_each_other() {
    for key in ["topics", "kafka.topic"] {
        let failure = read(json!({key: "a", "topics.regex": "b"})).unwrap_err();
        assert_eq!(failure.code, Code::ConfigInvalid);
        assert!(failure.message.contains(&format!("{key} is set too")), "{failure}");
    }
    let failure = read(json!({})).unwrap_err();
    assert_eq!(failure.code, Code::ConfigMissing);
    assert!(failure.message.contains("topics.regex"), "{failure}");
}

/// A pattern that takes exponential time in engines that go back takes none here.
#[test]
fn no_pattern_is_slow() {
    let name = "a".repeat(249);
    let started = std::time::Instant::now();
    check("(a|a)*(a|aa)+b", &[], &[&name]);
    check("(a*)*(a*)*x", &[], &[&name]);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
