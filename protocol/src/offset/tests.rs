//! Tests of offset texts.

use super::*;

#[test]
fn keeps_the_canonical_text() {
    let key = OffsetKey::parse(r#"{ "topic":"t", "partition":0 }"#).unwrap();
    assert_eq!(key.as_str(), r#"{"partition":0,"topic":"t"}"#);
    assert_eq!(serde_json::to_string(&key).unwrap(), key.as_str());
    let seed = r#"{"shardId":"shardId-000000000000"}"#;
    assert_eq!(OffsetKey::parse(seed).unwrap().as_str(), seed);
}

#[test]
fn refuses_what_is_no_object() {
    for text in ["1", "[]", "null", "{}", "\"a\""] {
        assert!(matches!(OffsetValue::parse(text), Err(OffsetError::NotAnObject { .. })), "{text}");
    }
    assert!(matches!(OffsetValue::parse(r#"{"offset":1.5}"#), Err(OffsetError::Json { .. })));
}

#[test]
fn limits_are_exact() {
    let value = |n: usize| format!(r#"{{"x":"{}"}}"#, "a".repeat(n));
    let fits = OFFSET_VALUE_BYTES_MAX - 8;
    assert!(OffsetValue::parse(&value(fits)).is_ok());
    assert_eq!(
        OffsetValue::parse(&value(fits + 1)),
        Err(OffsetError::TooLong {
            role: "VALUE",
            bytes: OFFSET_VALUE_BYTES_MAX + 1,
            max: OFFSET_VALUE_BYTES_MAX
        })
    );
}

#[test]
fn to_map_gives_the_object_back() {
    let value = OffsetValue::parse(r#"{"offset":7,"leaderEpoch":3}"#).unwrap();
    assert_eq!(value.to_map().get("offset"), Some(&Value::from(7)));
}

#[test]
fn only_the_end_marks_end_a_split() {
    let check = |text: &str, end: bool| {
        assert_eq!(OffsetValue::parse(text).unwrap().is_end(), end, "{text}");
    };
    check(r#"{"row":4,"closed":true}"#, true);
    check(r#"{"shardEnd":true}"#, true);
    check(r#"{"row":4,"closed":false}"#, false);
    check(r#"{"row":4,"closed":"true"}"#, false);
    check(r#"{"offset":4}"#, false);
}
