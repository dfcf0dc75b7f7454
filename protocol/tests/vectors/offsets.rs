//! `testdata/offsets`: loose text, and its canonical form or the refusal. The file is written by
//! hand; nothing generates it.

use protocol::json;
use protocol::{OffsetKey, OffsetValue};
use serde_json::Value;

use crate::files;
use crate::text::unhex;

/// The canonical text of an offset in a role.
fn canonical(role: &str, loose: &[u8]) -> Option<String> {
    let value = json::parse(loose).ok()?;
    match role {
        "key" => Some(OffsetKey::from_json(&value).ok()?.as_str().to_owned()),
        "value" => Some(OffsetValue::from_json(&value).ok()?.as_str().to_owned()),
        other => panic!("no role {other}"),
    }
}

#[test]
fn offsets_are_canonical_or_refused() {
    let text = String::from_utf8(files("offsets")["cases.jsonl"].clone()).unwrap();
    let (mut kept, mut refused) = (0, 0);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let loose = case["loose"].as_str().map(|text| text.as_bytes().to_vec());
        let mut loose = loose.unwrap_or_else(|| unhex(case["loose_hex"].as_str().unwrap()));
        // Long texts are written as one with a star that stands for so many letters.
        let stretch = |text: &str| match case["stars"].as_u64() {
            Some(count) => text.replace('*', &"a".repeat(usize::try_from(count).unwrap())),
            None => text.to_owned(),
        };
        if case["stars"].is_u64() {
            loose = stretch(std::str::from_utf8(&loose).unwrap()).into_bytes();
        }
        let wanted = case["canonical"].as_str().map(stretch);
        assert_eq!(wanted.is_none(), case["refused"].is_string(), "{line}");
        let role = case["role"].as_str().unwrap_or("value");
        assert_eq!(canonical(role, &loose), wanted, "{line}");
        match wanted {
            Some(text) => {
                kept += 1;
                assert_eq!(canonical(role, text.as_bytes()), Some(text), "a fixed point");
            }
            None => refused += 1,
        }
    }
    assert!(kept >= 20 && refused >= 25, "{kept} kept, {refused} refused");
}
