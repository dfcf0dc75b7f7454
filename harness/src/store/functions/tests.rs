//! The functions on JSON, value by value. Touches nothing.

use super::{extract_bigint, extract_string, from_base64};

#[test]
fn strings_lose_their_quotes_and_the_rest_stays_json() {
    for (document, key, wanted) in [
        (r#"{"a":"x\"y"}"#, "a", Some("x\"y")),
        (r#"{"a":7}"#, "a", Some("7")),
        (r#"{"a":[1,"b"]}"#, "a", Some(r#"[1,"b"]"#)),
        (r#"{"a":null}"#, "a", None),
        (r#"{"a":1}"#, "b", None),
        (r#"{"a.b":"dot"}"#, "a.b", Some("dot")),
        ("[1]", "0", None),
        ("no json", "a", None),
    ] {
        assert_eq!(extract_string(document, key).as_deref(), wanted, "{document} {key}");
    }
}

#[test]
fn bigints_are_whole_numbers_and_truths() {
    for (document, wanted) in [
        (r#"{"a":-7}"#, Some(-7)),
        (r#"{"a":9223372036854775807}"#, Some(i64::MAX)),
        (r#"{"a":9223372036854775808}"#, None),
        (r#"{"a":true}"#, Some(1)),
        (r#"{"a":"7"}"#, None),
        (r#"{"a":1.5}"#, None),
        ("{}", None),
    ] {
        assert_eq!(extract_bigint(document, "a"), wanted, "{document}");
    }
}

#[test]
fn base64_is_decoded_whole_or_not_at_all() {
    assert_eq!(from_base64("eyJzZXEiOjR9").as_deref(), Some(br#"{"seq":4}"#.as_slice()));
    assert_eq!(from_base64("AP/+\n").as_deref(), Some([0, 255, 254].as_slice()));
    assert_eq!(from_base64("A"), None);
}
