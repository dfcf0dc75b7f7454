//! Tests of failures as data.

use super::*;

#[test]
fn names_round_trip() {
    for code in Code::ALL {
        assert_eq!(Code::from_name(code.name()), Some(*code));
    }
    for class in Class::ALL {
        assert_eq!(Class::from_name(class.name()), Some(*class));
    }
}

#[test]
fn unknown_names_have_a_documented_default() {
    let failure: Failure =
        serde_json::from_str(r#"{"code":"NEW_ONE","class":"cosmic","message":"x","more":1}"#)
            .unwrap();
    assert_eq!(
        (failure.code, failure.class, failure.retryable),
        (Code::Bug, Class::Internal, false)
    );
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let failure = Failure::new(Code::Bug, "é".repeat(ERROR_TEXT_BYTES_MAX));
    assert!(failure.message.len() <= ERROR_TEXT_BYTES_MAX);
    assert!(failure.message.ends_with('é'));
}
