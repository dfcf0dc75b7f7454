//! The checker against `serde_json`, which is slower and does not tell the byte.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

#[track_caller]
fn check_all(text: &str) {
    check_bytes(text.as_bytes());
}

#[track_caller]
fn check_bytes(bytes: &[u8]) {
    let shown = String::from_utf8_lossy(bytes);
    let theirs =
        std::str::from_utf8(bytes).is_ok() && serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    match check(bytes) {
        Ok(()) => assert!(theirs, "{shown:?}"),
        Err(Fault { expected: None, .. }) => assert!(bytes.len() > RECORD_DEPTH_MAX),
        Err(fault) => {
            assert!(!theirs, "{shown:?}: {fault:?}");
            assert!(fault.at <= bytes.len());
        }
    }
}

/// What `./scripts/bench` reads, and what people send: text of many alphabets, escapes, numbers,
/// nesting, white space.
const CORPUS: [&str; 8] = [
    r#"{"n":1000000000,"user":"user-00000","pad":"abcdefghijklmnopqrstuvwxyzabcdefghijklmnop"}"#,
    r#"{"a":[1,-0,0.5,1e9,-2.5E-3,true,false,null],"b":{"c":{"d":[[],{}]}},"":""}"#,
    "{\"name\":\"Gr\u{fc}\u{df}e\",\"city\":\"\u{6771}\u{4eac}\",\"face\":\"\u{1f600}\",\"end\":\"x\"}",
    "\"\\ud83d\\ude00 \\u0000 \\\" \\\\ \\/ \\b\\f\\n\\r\\t\"",
    " \t\n\r[ 1 , 2 , { \"k\" : \"v\" } ] \r\n",
    "\"\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff} 0123456789 0123456789 0123456789 0123456789\"",
    "[\"0123456789abcdef\",\"0123456789abcde\",\"0123456789abcdef0123456789abcdef0123456789abcdef\"]",
    "-1234567890123456789012345678901234567890.5e+308",
];

#[test]
fn agrees_with_serde_json_on_every_damage_of_one_byte() {
    for text in CORPUS {
        let whole = text.as_bytes();
        assert_eq!(check(whole), Ok(()), "{text}");
        check_bytes(whole);
        for at in 0..whole.len() {
            check_bytes(&whole[..at]);
            let mut cut = whole.to_vec();
            cut.remove(at);
            check_bytes(&cut);
            for byte in 0..=255 {
                let mut changed = whole.to_vec();
                changed[at] = byte;
                check_bytes(&changed);
            }
        }
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
    // Cut characters, surrogates, too long forms, too large ones, bytes that never occur.
    const BAD: [&[u8]; 10] = [
        b"\x80",
        b"\xc3",
        b"\xe6\x9d",
        b"\xf0\x9f\x98",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"\xfe\xff",
    ];
    for bad in BAD {
        for before in 0..70 {
            for good in ["", "\u{e9}"] {
                let pad = "x".repeat(before);
                let text = [b"\"", good.as_bytes(), pad.as_bytes(), bad, b"yz\""].concat();
                check_bytes(&text);
                assert!(check(&text).is_err());
            }
        }
    }
}

#[test]
fn agrees_with_serde_json_on_small_texts() {
    // Every text of up to five of these pieces.
    const PIECES: [&str; 16] = [
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"", "\\", " ", "0", "-", "1.5e+3", "tru", "e",
        "null",
    ];
    let mut texts = vec![String::new()];
    for _ in 0..5 {
        let longer: Vec<_> = texts
            .iter()
            .flat_map(|text| PIECES.iter().map(move |piece| format!("{text}{piece}")))
            .collect();
        longer.iter().for_each(|text| check_all(text));
        texts = if longer.len() > 70_000 { break } else { longer };
    }
}

#[test]
fn names_the_byte() {
    let fault = |text: &str| check(text.as_bytes()).unwrap_err();
    let at = |at, expected| Fault { at, expected: Some(expected) };
    assert_eq!(fault(""), at(0, "a value"));
    assert_eq!(fault("{\"a\" 1}"), at(5, "`:`"));
    assert_eq!(fault("[1,]"), at(3, "a value"));
    assert_eq!(fault("[1 2]"), at(3, "`,` or `]`"));
    assert_eq!(fault("{\"a\":1]"), at(6, "`,` or `}`"));
    assert_eq!(fault("01"), at(1, "the end of the text"));
    assert_eq!(fault("1."), at(2, "a digit"));
    assert_eq!(fault("\"\\x\""), at(2, "an escaped character"));
    assert_eq!(fault("\"\\u00g0\""), at(5, "a hexadecimal digit"));
    assert_eq!(fault("\"\t\""), at(1, "no control character in a string"));
    assert_eq!(fault("\"abc"), at(4, "the end of a string"));
    assert_eq!(fault("\u{feff}1"), at(0, "a value"));
}

#[test]
fn the_stack_holds_every_mix_up_to_its_limit() {
    let mixed = |depth: usize| {
        let open: String = (0..depth).map(|n| if n % 3 == 0 { "{\"k\":" } else { "[" }).collect();
        let close: String = (0..depth).rev().map(|n| if n % 3 == 0 { "}" } else { "]" }).collect();
        format!("{open}1{close}")
    };
    for depth in [1, 2, 63, 64, 65, 127, RECORD_DEPTH_MAX] {
        assert_eq!(check(mixed(depth).as_bytes()), Ok(()), "{depth}");
        let wrong = mixed(depth).replacen(['}', ']'], ")", 1);
        assert!(check(wrong.as_bytes()).is_err());
    }
    assert_eq!(check(mixed(RECORD_DEPTH_MAX + 1).as_bytes()).unwrap_err().expected, None);
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| serde_json::to_string(&n).unwrap()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::vec((any::<String>(), inner), 0..4).prop_map(|fields| {
                let field = |(key, value): &(String, String)| {
                    format!("{}:\n{value}", serde_json::to_string(key).unwrap())
                };
                format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn accepts_what_is_json(text in json()) {
        prop_assert_eq!(check(text.as_bytes()), Ok(()));
    }

    #[test]
    fn agrees_with_serde_json_on_damaged_json(
        text in json(), at in any::<prop::sample::Index>(), with in "[\\PC\"\\\\\\[\\]{},:\u{1}]?",
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        chars.splice(at..=at, with.chars());
        check_all(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn agrees_with_serde_json_on_noise(text in any::<String>()) {
        check_all(&text);
    }

    #[test]
    fn agrees_with_serde_json_on_json_with_foreign_bytes(
        text in json(), at in any::<prop::sample::Index>(), with in any::<Vec<u8>>(),
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes.splice(at..=at, with);
        check_bytes(&bytes);
    }
}
