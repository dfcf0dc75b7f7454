//! Tests of KEY, VALUE and the order of sequence numbers.

use super::*;

fn value(text: &str) -> OffsetValue {
    OffsetValue::parse(text).unwrap()
}

fn check(text: &str, expected: Position) {
    let position = Position::from_value(&value(text)).unwrap();
    assert_eq!(position, expected);
    assert_eq!(position.to_value().as_str(), text);
}

fn refused(text: &str, reason: &str) {
    let failure = Position::from_value(&value(text)).unwrap_err();
    assert_eq!(failure.code, Code::OffsetInvalid);
    assert!(failure.message.contains(reason), "{}", failure.message);
}

fn sequence(text: &str) -> Sequence {
    Sequence::parse(text).unwrap()
}

#[test]
fn every_form_reads_and_writes() {
    let long = "49673425577497259999258948817399331578429938878772150274";
    check(&format!(r#"{{"sequenceNumber":"{long}"}}"#), Position::After(sequence(long)));
    check(r#"{"position":"TRIM_HORIZON"}"#, Position::TrimHorizon);
    let pin = r#"{"position":"AT_TIMESTAMP","timestamp":1775700271554}"#;
    check(pin, Position::AtTimestamp(1_775_700_271_554));
    let at = r#"{"position":"AT_SEQUENCE_NUMBER","sequenceNumber":"7"}"#;
    check(at, Position::At(sequence("7")));
    let inside = r#"{"sequenceNumber":"7","subSequenceNumber":3}"#;
    check(inside, Position::Inside(sequence("7"), 3));
    check(r#"{"shardEnd":true}"#, Position::End(None));
    check(r#"{"sequenceNumber":"7","shardEnd":true}"#, Position::End(Some(sequence("7"))));
    assert!(Position::End(None).to_value().is_end());
    let advised = Position::from_value(&value(r#"{"sequenceNumber":"7","x-note":"n"}"#)).unwrap();
    assert_eq!(advised, Position::After(sequence("7")));
}

#[test]
fn what_is_not_one_of_the_forms_is_refused() {
    refused(r#"{"sequencenumber":"7"}"#, "unknown key \"sequencenumber\"");
    refused(r#"{"sequenceNumber":7}"#, "no text of digits");
    refused(r#"{"sequenceNumber":"07"}"#, "no text of digits");
    refused(r#"{"sequenceNumber":""}"#, "no text of digits");
    refused(&format!(r#"{{"sequenceNumber":"{}"}}"#, "7".repeat(129)), "no text of digits");
    refused(r#"{"sequenceNumber":"7","position":"TRIM_HORIZON"}"#, "do not belong together");
    for bad in [r#""3""#, "-1", "null", "9007199254740992"] {
        let text = format!(r#"{{"sequenceNumber":"7","subSequenceNumber":{bad}}}"#);
        if let Ok(value) = OffsetValue::parse(&text) {
            let failure = Position::from_value(&value).unwrap_err();
            assert!(failure.message.contains("no integer from 0 on"), "{failure}");
        }
    }
    let alone = "do not belong together";
    refused(r#"{"subSequenceNumber":3}"#, alone);
    refused(r#"{"position":"TRIM_HORIZON","subSequenceNumber":3}"#, alone);
    refused(r#"{"sequenceNumber":"7","shardEnd":true,"subSequenceNumber":3}"#, alone);
    refused(r#"{"shardEnd":false}"#, "can only be true");
    refused(r#"{"position":"LATEST"}"#, "only the service can say");
    refused(r#"{"position":"AT_SEQUENCE_NUMBER"}"#, alone);
    refused(r#"{"position":"AT_SEQUENCE_NUMBER","sequenceNumber":"7","timestamp":1}"#, alone);
    refused(r#"{"position":"AT_SEQUENCE_NUMBER","sequenceNumber":"7","shardEnd":true}"#, alone);
    refused(r#"{"position":"AFTER_SEQUENCE_NUMBER","sequenceNumber":"7"}"#, alone);
    refused(r#"{"position":"AT_TIMESTAMP"}"#, "timestamp is missing");
    refused(r#"{"position":"AT_TIMESTAMP","timestamp":-1}"#, "timestamp is missing");
    refused(r#"{"position":"TRIM_HORIZON","timestamp":1}"#, "do not belong together");
    refused(r#"{"x-note":"n"}"#, "do not belong together");
}

#[test]
fn numbers_compare_as_numbers() {
    assert!(sequence("9") < sequence("10"));
    assert!(sequence("99999999999999999999") < sequence("100000000000000000000"));
    assert!(sequence("0") < sequence("1"));
    assert_eq!(sequence("12").cmp(&sequence("12")), Ordering::Equal);
}

#[test]
fn a_place_reaches_what_lies_before_it() {
    let after = |text| Position::After(sequence(text));
    let (horizon, pin) = (Position::TrimHorizon, Position::AtTimestamp(5));
    assert!(after("10").reaches(&after("9")) && after("10").reaches(&after("10")));
    assert!(!after("9").reaches(&after("10")));
    assert!(!horizon.reaches(&after("1")) && !pin.reaches(&after("1")));
    assert!(horizon.reaches(&horizon) && pin.reaches(&pin) && after("1").reaches(&pin));
    assert!(Position::End(None).reaches(&after("1")));
    let inside = |text, sub| Position::Inside(sequence(text), sub);
    assert!(inside("9", 3).reaches(&inside("9", 3)) && inside("9", 4).reaches(&inside("9", 3)));
    assert!(inside("10", 0).reaches(&inside("9", 3)) && !inside("9", 2).reaches(&inside("9", 3)));
    assert!(after("9").reaches(&inside("9", 3)) && !after("8").reaches(&inside("9", 3)));
    assert!(!inside("9", 3).reaches(&after("9")) && inside("10", 0).reaches(&after("9")));
    assert!(inside("9", 0).reaches(&horizon) && !horizon.reaches(&inside("9", 0)));
    assert!(!after("1").reaches(&Position::End(None)));
    let at = |text| Position::At(sequence(text));
    assert!(
        at("9").reaches(&at("9"))
            && after("9").reaches(&at("9"))
            && inside("9", 0).reaches(&at("9"))
    );
    assert!(
        !at("8").reaches(&at("9")) && !after("8").reaches(&at("9")) && !horizon.reaches(&at("9"))
    );
    assert!(
        at("10").reaches(&after("9")) && !at("9").reaches(&after("9")) && at("9").reaches(&pin)
    );
}

#[test]
fn keys_are_strict() {
    let key = key_of("shardId-000000000000").unwrap();
    assert_eq!(key.as_str(), r#"{"shardId":"shardId-000000000000"}"#);
    assert_eq!(shard_of(&key).unwrap(), "shardId-000000000000");
    for bad in [r#"{"shardId":""}"#, r#"{"shardId":1}"#, r#"{"shardId":"a","x":1}"#, r#"{"a":"b"}"#]
    {
        let key = OffsetKey::parse(bad).unwrap();
        assert_eq!(shard_of(&key).unwrap_err().code, Code::OffsetInvalid, "{bad}");
    }
}
