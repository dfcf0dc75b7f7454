//! Tests of the strict JSON gate.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check_canonical(text: &str, expected: &str) {
    assert_eq!(canonical(&parse(text.as_bytes()).unwrap()).unwrap(), expected);
}

#[track_caller]
fn check_refused(text: &[u8], part_of_reason: &str) {
    let reason = parse(text).unwrap_err().to_string();
    assert!(reason.contains(part_of_reason), "{reason:?} lacks {part_of_reason:?}");
}

#[test]
fn canonical_sorts_and_packs() {
    check_canonical(r#" { "topic" : "t", "partition": 0 } "#, r#"{"partition":0,"topic":"t"}"#);
    check_canonical(r#"{"b":[1, true,null],"a":{}}"#, r#"{"a":{},"b":[1,true,null]}"#);
    check_canonical(r#"{"é":1,"z":2,"\ud83d\ude00":3}"#, "{\"z\":2,\"é\":1,\"😀\":3}");
    check_canonical(r#""a\/\u0001\n""#, r#""a/\u0001\n""#);
}

#[test]
fn canonical_refuses_what_readers_round() {
    for text in ["1.5", "1e3", "9007199254740992", "-9007199254740992", "18446744073709551615"] {
        let value = parse(text.as_bytes()).unwrap();
        assert!(matches!(canonical(&value), Err(JsonError::Number { .. })), "{text}");
    }
    check_canonical("9007199254740991", "9007199254740991");
}

#[test]
fn refuses_loose_texts() {
    check_refused(br#"{"a":1,"a":2}"#, "duplicate key");
    check_refused(br#"{"a":{"b":1,"b":2}}"#, "duplicate key");
    check_refused(b"{} {}", "trailing");
    check_refused(b"\xef\xbb\xbf{}", "expected value");
    check_refused(b"{\"a\":\"\xff\"}", "not UTF-8 at byte 6");
    check_refused(b"", "EOF");
    check_refused("[".repeat(100_000).as_bytes(), "nested deeper");
}

#[test]
fn depth_limit_is_exact() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(parse(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
    assert!(parse(nested(JSON_DEPTH_MAX + 1).as_bytes()).is_err());
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(parse(&bytes).map(|value| canonical(&value)));
    }

    #[test]
    fn canonical_is_a_fixed_point(key in ".{0,20}", number in -1000i64..1000, text in ".{0,40}") {
        let value = serde_json::json!({ &key: number, "k": [text, null], "a": { &key: true } });
        let once = canonical(&value).unwrap();
        prop_assert_eq!(&canonical(&parse(once.as_bytes()).unwrap()).unwrap(), &once);
    }
}
