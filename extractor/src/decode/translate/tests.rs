//! What a translator hands on, and what it says of what it cannot.

use super::*;
use crate::decode::avro::Options;

fn translate(codec: Codec, bytes: &[u8]) -> Result<String, String> {
    let mut translator = Translator::new(Codec::Plain, codec, None);
    match translator.translate(None, Some(bytes)) {
        Ok((None, Some(text))) => Ok(String::from_utf8(text.to_vec()).unwrap()),
        Ok(other) => panic!("{other:?}"),
        Err(Hindrance::Undecodable(why)) => Err(why.to_string()),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_payload_of_an_envelope_is_handed_on_byte_for_byte() {
    for (text, payload) in [
        (r#"{"schema":{"type":"int32"},"payload":1}"#, "1"),
        (r#" { "payload" : {"a": [1.0, "}"]} , "schema" : null } "#, r#"{"a": [1.0, "}"]}"#),
        (r#"{"schema":null,"payload":null}"#, "null"),
        (
            r#"{"payload":"AP8=","schema":{"name":"org.apache.kafka.connect.data.Decimal"}}"#,
            "\"AP8=\"",
        ),
        (r#"{"schema":1,"payload":99999999999999999999.10e-7}"#, "99999999999999999999.10e-7"),
    ] {
        assert_eq!(translate(Codec::Envelope, text.as_bytes()), Ok(payload.to_owned()));
    }
    let once = "expected `schema` and `payload`, once each";
    for (text, told) in [
        ("1", "expected an object with `schema` and `payload` at byte 0"),
        ("[]", "expected an object with `schema` and `payload` at byte 0"),
        ("{}", "expected a key at byte 1"),
        (r#"{"payload":1}"#, &format!("{once} at byte 12")),
        (r#"{"schema":1}"#, &format!("{once} at byte 11")),
        (r#"{"schema":1,"payload":1,"more":1}"#, &format!("{once} at byte 24")),
        (r#"{"schema":1,"payload":1,"payload":1}"#, &format!("{once} at byte 24")),
        (r#"{"schema":1,"payload":}"#, "expected a value at byte 22"),
        (r#"{"schema":1,"payload":1} x"#, "expected the end of the text at byte 25"),
        (r#"{"schema":1,"payload":1"#, "expected `,` or `}` at byte 23"),
    ] {
        let len = text.len();
        let told = format!("value of {len} bytes is not JSON with `schema` and `payload`: {told}");
        assert_eq!(translate(Codec::Envelope, text.as_bytes()), Err(told));
    }
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        translate(Codec::Envelope, format!(r#"{{"schema":1,"payload":{open}{close}}}"#).as_bytes())
    };
    assert!(nested(127).is_ok());
    assert!(nested(128).unwrap_err().contains("at most 128 levels at byte 149"));
}

#[test]
fn json_behind_a_schema_id_is_checked_with_its_place() {
    let read = |bytes: &[u8]| translate(Codec::Framed(Kind::Json), bytes);
    assert_eq!(read(b"\0\0\0\0\x07{\"a\":1.0}"), Ok(r#"{"a":1.0}"#.to_owned()));
    let told = "value of 8 bytes is not JSON (schema id 7): expected a key at byte 6";
    assert_eq!(read(b"\0\0\0\0\x07{1}"), Err(told.to_owned()));
}

#[test]
fn a_large_record_does_not_keep_its_memory() {
    let plan = Plan::parse("\"string\"", &[], Options::default()).unwrap();
    let mut translator = Translator::new(Codec::Plain, Codec::Avro(Arc::new(plan)), None);
    let datum = |len: usize| {
        let mut datum = Vec::new();
        crate::encode::write_length(&mut datum, len);
        datum.resize(datum.len() + len, b'x');
        datum
    };
    translator.translate(None, Some(&datum(8 << 20))).unwrap();
    assert!(translator.value.text.capacity() >= 8 << 20);
    translator.translate(None, Some(&datum(1))).unwrap();
    assert!(translator.value.text.capacity() <= KEPT_BYTES_MAX);
}
