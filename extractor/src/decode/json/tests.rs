//! The checker against `serde_json`, which is slower and does not tell the byte.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

#[track_caller]
fn check_all(text: &str) {
    let ours = check(text);
    let theirs = serde_json::from_str::<IgnoredAny>(text);
    match ours {
        Ok(()) => assert!(theirs.is_ok(), "{text:?}: {theirs:?}"),
        Err(Fault { expected: None, .. }) => assert!(text.len() > RECORD_DEPTH_MAX),
        Err(fault) => {
            assert!(theirs.is_err(), "{text:?}: {fault:?}");
            assert!(fault.at <= text.len());
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
    let fault = |text: &str| check(text).unwrap_err();
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
        assert_eq!(check(&mixed(depth)), Ok(()), "{depth}");
        let wrong = mixed(depth).replacen(['}', ']'], ")", 1);
        assert!(check(&wrong).is_err());
    }
    assert_eq!(check(&mixed(RECORD_DEPTH_MAX + 1)).unwrap_err().expected, None);
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
        prop_assert_eq!(check(&text), Ok(()));
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
}
