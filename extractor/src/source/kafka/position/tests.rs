//! KEY and VALUE: strict in, canonical out.

use super::*;

#[track_caller]
fn value(text: &str, expected: Option<Position>) {
    let read = Position::from_value(&OffsetValue::parse(text).unwrap());
    match (read, expected) {
        (Ok(read), Some(expected)) => assert_eq!(read, expected),
        (Err(failure), None) => assert_eq!(failure.code, Code::OffsetInvalid),
        (other, _) => panic!("{text}: {other:?}"),
    }
}

#[test]
fn values_are_strict() {
    value(r#"{"offset":0}"#, Some(Position::at(0)));
    value(r#"{"leaderEpoch":7,"offset":5}"#, Some(Position { offset: 5, epoch: Some(7) }));
    value(r#"{"offset":5,"x-note":"hi"}"#, Some(Position::at(5)));
    value(r#"{"offset":9007199254740991}"#, Some(Position::at(OFFSET_INTEGER_MAX)));
    for text in [
        r#"{"offset":-1}"#,
        r#"{"offset":"5"}"#,
        r#"{"leaderEpoch":7}"#,
        r#"{"leaderEpoch":-1,"offset":5}"#,
        r#"{"leaderEpoch":4294967296,"offset":5}"#,
        r#"{"offset":5,"row":1}"#,
    ] {
        value(text, None);
    }
}

#[test]
fn keys_are_strict() {
    let read = |text: &str| Place::from_key(&OffsetKey::parse(text).unwrap());
    let place = Place { topic: "t".to_owned(), partition: 3 };
    assert_eq!(read(r#"{"topic":"t","partition":3}"#).unwrap(), place);
    assert_eq!(place.to_key().unwrap().as_str(), r#"{"partition":3,"topic":"t"}"#);
    for text in [
        r#"{"topic":"t"}"#,
        r#"{"partition":-1,"topic":"t"}"#,
        r#"{"partition":2147483648,"topic":"t"}"#,
        r#"{"partition":"3","topic":"t"}"#,
        r#"{"partition":3,"topic":""}"#,
        r#"{"partition":3,"topic":"a b"}"#,
        r#"{"partition":3,"topic":"t","x-a":1}"#,
    ] {
        assert_eq!(read(text).unwrap_err().code, Code::OffsetInvalid, "{text}");
    }
}

#[test]
fn values_are_written_canonically() {
    let text = |position: Position| position.to_value().unwrap().as_str().to_owned();
    assert_eq!(text(Position::at(12)), r#"{"offset":12}"#);
    assert_eq!(text(Position { offset: 12, epoch: Some(3) }), r#"{"leaderEpoch":3,"offset":12}"#);
    assert!(Position::at(i64::MAX).to_value().is_err());
}
