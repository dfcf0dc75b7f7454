//! Tests of what people must not see.

use super::*;
use protocol::Code;

const SECRET: &str = "pa\"ss/wörd+1";

fn redactor() -> Redactor {
    let redactor = Redactor::default();
    redactor.add(SECRET);
    redactor
}

#[test]
fn every_common_form_is_replaced() {
    let check = |text: String| {
        let clean = redactor().text(&text).into_owned();
        assert!(clean.contains(REDACTED), "{text} became {clean}");
    };
    check(format!("password is {SECRET}."));
    check(format!("json {}", Value::from(SECRET)));
    check("url pa%22ss%2Fw%C3%B6rd%2B1".to_owned());
    for user in ["", "u", "us", "use", "user:"] {
        let text = format!("{user}{SECRET}:tail");
        check(STANDARD_NO_PAD.encode(&text));
        check(URL_SAFE_NO_PAD.encode(&text));
        check(base64::engine::general_purpose::STANDARD.encode(SECRET));
    }
}

#[test]
fn no_piece_of_a_base64_form_decodes_to_the_secret() {
    for user in ["", "u", "us"] {
        let encoded = STANDARD_NO_PAD.encode(format!("{user}{SECRET}"));
        let clean = redactor().text(&encoded).into_owned();
        assert!(clean.len() < REDACTED.len() + 6, "{clean} still tells too much");
    }
}

#[test]
fn short_values_and_plain_text_stay() {
    let redactor = redactor();
    redactor.add("abc");
    redactor.add("");
    for text in ["abc", "nothing to hide", ""] {
        assert!(matches!(redactor.text(text), Cow::Borrowed(same) if same == text));
    }
}

#[test]
fn a_key_of_several_lines_is_hidden_line_by_line() {
    let redactor = Redactor::default();
    redactor.add("-----BEGIN KEY-----\nAAAABBBB\nCCCCDDDD\n-----END KEY-----");
    assert_eq!(redactor.text("x CCCCDDDD y"), "x *** y");
    assert_eq!(redactor.text("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
}

#[test]
fn e12_a_rotated_secret_stays_hidden_and_the_longest_wins() {
    let redactor = redactor();
    redactor.add("wörd");
    assert_eq!(redactor.text(SECRET), REDACTED);
    assert_eq!(redactor.text("a wörd"), "a ***");
}

#[test]
fn failures_are_cleaned_in_all_their_texts() {
    let failure = Failure::new(Code::AuthFailed, format!("refused {SECRET}"))
        .with("url", Value::from(vec![SECRET]));
    let clean = redactor().failure(failure);
    assert_eq!(clean.message, "refused ***");
    assert_eq!(clean.detail["url"][0], "***");
}
