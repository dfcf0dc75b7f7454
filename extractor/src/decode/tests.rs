//! Declared formats against real bytes, and every row against what apache-avro writes.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const FORMATS: [Format; 3] = [Format::Json, Format::String, Format::Bytes];

const JSON: Decoder = Decoder { key: Format::String, value: Format::Json, metadata: false };

fn schema() -> Schema {
    let text = r#"{"type":"record","name":"row","fields":[{"name":"topic","type":"string"},
        {"name":"id","type":"string"},{"name":"record","type":"string"}]}"#;
    Schema::parse_str(text).unwrap()
}

/// The three texts of a row, read back by apache-avro.
fn texts(decoder: Decoder, record: &Record<'_>) -> Result<[String; 3], Undecodable> {
    let mut out = Vec::new();
    decoder.decode(record)?.write(&mut out);
    let mut bytes = out.as_slice();
    let schema = schema();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let datum = reader.read_value(&mut bytes).unwrap();
    assert!(bytes.is_empty(), "bytes after the row");
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    assert_eq!(
        out,
        writer.write_value_to_vec(datum.clone()).unwrap(),
        "not the bytes of apache-avro"
    );
    let Avro::Record(fields) = datum else { panic!("not a record") };
    let texts = fields.into_iter().map(|(_, value)| match value {
        Avro::String(text) => text,
        other => panic!("not a string: {other:?}"),
    });
    Ok(texts.collect::<Vec<_>>().try_into().unwrap())
}

fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
    let (topic, partition, offset) = ("orders", 3, 42);
    Record { topic, partition, offset, key, value, ..Record::default() }
}

#[track_caller]
fn check(decoder: Decoder, key: Option<&[u8]>, value: Option<&[u8]>, expected: [&str; 2]) {
    let [topic, id, text] = texts(decoder, &record(key, value)).unwrap();
    assert_eq!((topic.as_str(), [id.as_str(), text.as_str()]), ("orders", expected));
}

#[test]
fn json_is_embedded_byte_for_byte() {
    let key = Some(b"k".as_slice());
    for text in [
        r#"{"b":1,"a":2}"#,
        r#" { "n" : 1.0 } "#,
        "12345678901234567890123456789.000000000000000000001",
        "1e400",
        "-0.0",
        r#""\ud83d\ude00""#,
        "null",
    ] {
        check(JSON, key, Some(text.as_bytes()), [r#""k""#, text]);
    }
}

#[test]
fn null_and_empty_are_different() {
    let text = Decoder { value: Format::String, ..JSON };
    let bytes = Decoder { key: Format::Bytes, value: Format::Bytes, ..JSON };
    check(JSON, Some(b""), None, [r#""""#, "null"]);
    check(text, Some(b""), Some(b""), [r#""""#, r#""""#]);
    check(bytes, Some(b""), Some(b""), [r#""""#, r#""""#]);
    check(bytes, None, None, [r#"{"offset":42,"partition":3}"#, "null"]);
    assert!(texts(JSON, &record(None, Some(b""))).is_err());
}

#[test]
fn the_key_follows_its_own_format() {
    let decoder = |key| Decoder { key, ..JSON };
    check(decoder(Format::Json), Some(b"[1]"), Some(b"1"), ["[1]", "1"]);
    check(decoder(Format::Bytes), Some(b"\xff"), Some(b"1"), [r#""/w==""#, "1"]);
    check(decoder(Format::String), Some(b"a\"b"), Some(b"1"), [r#""a\"b""#, "1"]);
    let failure = texts(decoder(Format::String), &record(Some(b"a\xff"), None)).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "key is not UTF-8 at byte 1; if keys are not what key.format declares, set \
         key.format=bytes"
    );
    assert_eq!(failure.code(), Code::InvalidUtf8);
}

#[test]
fn metadata_wraps_the_value_with_sorted_keys() {
    let decoder = Decoder { metadata: true, ..JSON };
    let mut with = record(Some(b"k"), Some(b"{}"));
    with.timestamp = Some(1_700_000_000_000);
    with.headers = vec![(b"h".as_slice(), Some(b"\x00".as_slice())), (b"h", None)];
    let [_, _, text] = texts(decoder, &with).unwrap();
    let expected = r#"{"headers":[{"name":"h","value":"AA=="},{"name":"h","value":null}],"offset":42,"partition":3,"timestamp":1700000000000,"value":{}}"#;
    assert_eq!(text, expected);
    let [_, _, text] = texts(decoder, &record(None, None)).unwrap();
    let expected = r#"{"headers":[],"offset":42,"partition":3,"timestamp":null,"value":null}"#;
    assert_eq!(text, expected);
    with.headers = vec![(b"\xfe".as_slice(), None)];
    assert_eq!(
        texts(decoder, &with).unwrap_err().to_string(),
        "header name is not UTF-8 at byte 0"
    );
}

#[track_caller]
fn refused(value: &[u8], code: Code, reason: &str) {
    let failure = texts(JSON, &record(None, Some(value))).unwrap_err();
    let other = if code == Code::InvalidUtf8 { "bytes" } else { "string" };
    let reason =
        format!("{reason}; if values are not what value.format declares, set value.format={other}");
    assert_eq!((failure.code(), failure.to_string()), (code, reason));
}

#[test]
fn a_bad_value_names_the_byte_and_shows_no_payload() {
    let not_json = |value: &[u8], rest: &str| {
        let reason = format!("value of {} bytes is not JSON: expected {rest}", value.len());
        refused(value, Code::DecodeFailed, &reason);
    };
    not_json(b"", "a value at byte 0");
    not_json(b"{\n\"a\": x}", "a value at byte 7");
    not_json(b"1 2", "the end of the text at byte 2");
    not_json(b"NaN", "a value at byte 0");
    not_json(b"\"\n\"", "no control character in a string at byte 1");
    refused(b"\"\xff\"", Code::InvalidUtf8, "value is not UTF-8 at byte 1");
}

/// F29: what is not as declared and begins as a registry's producers write tells the schema id.
#[test]
fn f29_registry_framing_is_told_with_its_id_where_a_record_is_not_as_declared() {
    let text = Decoder { key: Format::String, value: Format::String, metadata: false };
    let bytes = Decoder { key: Format::Bytes, value: Format::Bytes, metadata: false };
    let told = |id, role: &str| {
        format!(
            "; it begins like a record of a schema registry (schema id {id}): declare \
             avro-confluent, json-schema or what else it is; if {role}s are not what {role}.format declares, set {role}.format=bytes"
        )
    };
    for (framed, id) in [
        // Avro of one string, which is UTF-8 as a whole; no JSON begins with a zero.
        (b"\0\0\0\0\x07\x08abcd".as_slice(), 7),
        (b"\0\0\x01\x02\x03{\"n\":1}", 66_051),
        (b"\0\0\0\0\x01\xff", 1),
        (b"\0\0\xff\xff\xff", 16_777_215),
    ] {
        let failure = texts(JSON, &record(Some(b"k"), Some(framed))).unwrap_err();
        let len = framed.len();
        let reason = format!("value of {len} bytes is not JSON: expected a value at byte 0");
        assert_eq!(failure.to_string(), reason + &told(id, "value"));
        assert_eq!(failure.code(), Code::DecodeFailed);
        let [_, _, value] = texts(bytes, &record(None, Some(framed))).unwrap();
        assert_eq!(value, format!("\"{}\"", STANDARD.encode(framed)));
    }
    let framed = b"\0\0\0\0\x07\x06\xe2\x82".as_slice();
    for (key, value, role) in
        [(None, Some(framed), "value"), (Some(framed), Some(b"v".as_slice()), "key")]
    {
        let failure = texts(text, &record(key, value)).unwrap_err();
        let reason = format!("{role} is not UTF-8 at byte 6{}", told(7, role));
        assert_eq!((failure.code(), failure.to_string()), (Code::InvalidUtf8, reason));
    }
    // No id that a registry gave: larger than any, none, or too short for one.
    for value in [b"\0hello\xff".as_slice(), b"\0\0\0\0\0\0\0\xff", b"\0\0\0\xff"] {
        let failure = texts(text, &record(None, Some(value))).unwrap_err();
        assert!(!failure.to_string().contains("registry"), "{failure}");
    }
}

/// What is declared decides, and not what a record looks like.
#[test]
fn f29_text_that_begins_with_a_zero_is_text() {
    let text = Decoder { key: Format::String, value: Format::String, metadata: false };
    for bytes in [
        b"\0hello".as_slice(),
        b"\0\0\0\0\x07\x08abcd",
        b"\0\0\0\0\x01",
        b"\0\0\0\0\0\0\0\x05",
        b"\0abc",
    ] {
        let json = serde_json::to_string(std::str::from_utf8(bytes).unwrap()).unwrap();
        check(text, Some(bytes), Some(bytes), [&json, &json]);
    }
}

#[test]
fn depth_is_limited_and_brackets_in_strings_do_not_count() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(texts(JSON, &record(None, Some(nested(RECORD_DEPTH_MAX).as_bytes()))).is_ok());
    let reason = "value is nested deeper than 128 levels at byte 128";
    refused(nested(RECORD_DEPTH_MAX + 1).as_bytes(), Code::DecodeFailed, reason);
    refused(nested(100_000).as_bytes(), Code::DecodeFailed, reason);
    let quoted = format!(r#"["\"{}","\\"]"#, "[".repeat(1000));
    assert!(texts(JSON, &record(None, Some(quoted.as_bytes()))).is_ok());
    let flat = format!("[{}[]]", "[],".repeat(1000));
    assert!(texts(JSON, &record(None, Some(flat.as_bytes()))).is_ok());
}

/// What the id and the record must say, made from parsed JSON.
fn expected(decoder: Decoder, record: &Record<'_>) -> (Value, Value) {
    let one = |format, bytes: &[u8]| match format {
        Format::Json => serde_json::from_slice(bytes).unwrap(),
        Format::String => Value::from(std::str::from_utf8(bytes).unwrap()),
        Format::Bytes => Value::from(STANDARD.encode(bytes)),
        Format::Written => unreachable!("not one of the formats"),
    };
    let place = json!({"offset": record.offset, "partition": record.partition});
    let id = record.key.map_or(place, |key| one(decoder.key, key));
    let value = record.value.map_or(Value::Null, |value| one(decoder.value, value));
    if !decoder.metadata {
        return (id, value);
    }
    let headers = record.headers.iter().map(|(name, value)| {
        json!({"name": String::from_utf8_lossy(name), "value": value.map(|v| STANDARD.encode(v))})
    });
    let headers = headers.collect::<Vec<_>>();
    let wrapped = json!({"headers": headers, "offset": record.offset,
        "partition": record.partition, "timestamp": record.timestamp, "value": value});
    (id, wrapped)
}

fn payloads() -> impl Strategy<Value = Option<Vec<u8>>> {
    let json = any::<(i64, String, bool)>().prop_map(|(number, text, flag)| {
        json!({"n": number, text.clone(): [flag, text, null]}).to_string().into_bytes()
    });
    let text = any::<String>().prop_map(String::into_bytes);
    proptest::option::of(prop_oneof![json, text, any::<Vec<u8>>()])
}

/// Whether bytes are what a format declares, by other readers than ours.
fn fits(format: Format, bytes: Option<&[u8]>) -> bool {
    bytes.is_none_or(|bytes| match format {
        Format::Json => serde_json::from_slice::<Value>(bytes).is_ok(),
        Format::String => String::from_utf8(bytes.to_vec()).is_ok(),
        Format::Bytes | Format::Written => true,
    })
}

/// Every way to declare a record.
fn decoders() -> impl Iterator<Item = Decoder> {
    FORMATS.into_iter().flat_map(|key| {
        FORMATS
            .into_iter()
            .flat_map(move |value| [false, true].map(|metadata| Decoder { key, value, metadata }))
    })
}

proptest! {
    #[test]
    fn every_row_is_valid_json_and_what_apache_avro_writes(
        topic in "[a-zA-Z0-9._-]{1,249}",
        (key, value) in (payloads(), payloads()),
        headers in proptest::collection::vec((any::<String>(), any::<Option<Vec<u8>>>()), 0..3),
        (partition, offset, timestamp) in (0..=i32::MAX, 0..=i64::MAX, any::<Option<i64>>()),
    ) {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref()));
        let record = Record {
            topic: &topic, partition, offset, timestamp,
            key: key.as_deref(), value: value.as_deref(), headers: headers.collect(),
        };
        let mut count = 0;
        for decoder in decoders() {
            count += 1;
            match texts(decoder, &record) {
                Ok([name, id, text]) => {
                    let (want_id, want_text) = expected(decoder, &record);
                    prop_assert_eq!(&name, &topic);
                    prop_assert_eq!(serde_json::from_str::<Value>(&id).unwrap(), want_id);
                    prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), want_text);
                }
                Err(_) => {
                    let fit = fits(decoder.key, record.key) && fits(decoder.value, record.value);
                    prop_assert!(!fit, "{:?}", decoder);
                }
            }
        }
        prop_assert_eq!(count, 18);
    }

    #[test]
    fn noise_never_panics(value in any::<Vec<u8>>()) {
        for format in FORMATS {
            let decoder = Decoder { key: format, value: format, metadata: true };
            drop(texts(decoder, &record(Some(&value), Some(&value))));
        }
    }
}

/// Facts of producers that nobody here wrote: their JSON is taken as it is.
#[test]
fn every_json_record_of_materialize_and_flink_is_taken() {
    let facts = |name: &str| -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/formats");
        let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let json = Decoder { key: Format::Json, ..JSON };
    let mut count = 0;
    let mut check = |key: &Value, value: &Value, expected: Option<&Value>| {
        let bytes = |it: &Value| it.as_str().map(|text| text.as_bytes().to_vec());
        let (key_bytes, value_bytes) = (bytes(key), bytes(value));
        let record = record(key_bytes.as_deref(), value_bytes.as_deref());
        let [_, id, text] = texts(json, &record).unwrap();
        let place = r#"{"offset":42,"partition":3}"#;
        assert_eq!(id, key.as_str().unwrap_or(place));
        assert_eq!(text, value.as_str().unwrap_or("null"));
        if let Some(expected) = expected {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), *expected);
        }
        count += 1;
    };
    let materialize = facts("materialize_json");
    for row in materialize["rows"].as_array().unwrap() {
        check(&Value::Null, &row["message"], Some(&row["record"]));
    }
    for it in materialize["envelopes"].as_array().unwrap() {
        check(&it["key"], &it["value"], None);
    }
    for topic in facts("flink_upsert").as_object().unwrap().values() {
        // One has the list itself, without types.
        let records = topic["json"]["records"].as_array().or_else(|| topic["json"].as_array());
        for it in records.into_iter().flatten() {
            check(&it["key"], &it["value"], None);
        }
    }
    assert_eq!(count, 57);
}
