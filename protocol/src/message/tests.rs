//! Tests of message payloads: old and new peers understand each other.

use super::*;

#[test]
fn unknown_fields_and_words_are_tolerated() {
    let text =
        br#"{"batch":1,"rows":0,"bytes":0,"frames":0,"reason":"solar-flare","offsets":[],"new":1}"#;
    let end: BatchEnd = decode(Kind::BatchEnd, text).unwrap();
    assert_eq!(end.reason, Reason::Other);
    for (reason, word) in Reason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), Value::from(*word));
    }
    let text = br#"{"mode":"sideways"}"#;
    let stop: Stop = decode(Kind::Stop, text).unwrap();
    assert_eq!(stop, Stop { mode: StopMode::Now, deadline_ms: 5_000 });
}

#[test]
fn start_has_three_forms() {
    for (text, start) in [
        (r#""earliest""#, Start::Earliest),
        (r#""latest""#, Start::Latest),
        (r#"{"timestamp":17}"#, Start::Timestamp(17)),
    ] {
        assert_eq!(serde_json::from_str::<Start>(text).unwrap(), start);
        assert_eq!(serde_json::to_string(&start).unwrap(), text);
    }
}

#[test]
fn assign_takes_permuted_keys_and_gives_canonical_ones() {
    let text =
        br#"{"sync":"00","parts":[{"value":{"offset":3},"key":{"topic":"t","partition":0}}]}"#;
    let assign: Assign = decode(Kind::Assign, text).unwrap();
    assert_eq!(assign.parts[0].key.as_str(), r#"{"partition":0,"topic":"t"}"#);
}

#[test]
fn refusal_names_message_and_place_but_not_the_payload() {
    let failure =
        decode::<Configure>(Kind::Configure, b"{\"config\":{\"a\":\"s3cret\"").unwrap_err();
    assert_eq!(failure.code, Code::BadPayload);
    assert!(failure.fatal && failure.message.contains("CONFIGURE"), "{failure}");
    assert!(!failure.message.contains("s3cret"), "{failure}");
}

#[test]
fn batch_prefix_round_trips() {
    for byte in 0..4 {
        let operation = Operation::from_byte(byte).unwrap();
        let prefix = BatchPrefix { schema: 7, operation };
        let payload = [&prefix.encode()[..], b"blocks"].concat();
        assert_eq!(BatchPrefix::decode(&payload), Some((prefix, &b"blocks"[..])));
    }
    assert_eq!(BatchPrefix::decode(&[0, 0, 0, 1, 4, 0, 0, 0]), None);
    assert_eq!(BatchPrefix::decode(&[0, 0, 0, 1, 0, 0, 0, 1]), None);
    assert_eq!(BatchPrefix::decode(&[0; 7]), None);
}
