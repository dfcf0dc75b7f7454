//! Facts of producers that nobody here wrote, apache-avro as the judge of random schemas and damaged
//! bytes, and every bound.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::Name;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;

const RAW: Options = Options { logical: Logical::Raw, little_endian: false };
const DECODED: Options = Options { logical: Logical::Decoded, little_endian: false };

fn facts() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/formats/materialize_avro.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn plan(schema: &Value, options: Options) -> Plan {
    Plan::parse(&schema.to_string(), &[], options).unwrap()
}

fn text(plan: &Plan, bytes: &[u8], from: usize) -> Result<String, Fault> {
    let mut out = b"before".to_vec();
    plan.write(bytes, from, &mut out)?;
    Ok(String::from_utf8(out.split_off(6)).unwrap())
}

fn json_of(plan: &Plan, bytes: &[u8], from: usize) -> Result<Value, Fault> {
    Ok(serde_json::from_str(&text(plan, bytes, from)?).unwrap())
}

#[test]
fn every_fact_of_materialize_is_read() {
    let facts = facts();
    let rows = facts["rows"].as_array().unwrap();
    for row in rows {
        let bytes = bytes_of(row["hex"].as_str().unwrap());
        let framed = bytes_of(row["framed_hex"].as_str().unwrap());
        let raw = plan(&row["schema"], RAW);
        assert_eq!(json_of(&raw, &bytes, 0).unwrap(), row["record"], "{row}");
        assert_eq!(json_of(&raw, &framed, 5).unwrap(), row["record"], "{row}");
        let decoded = json_of(&plan(&row["schema"], DECODED), &bytes, 0).unwrap();
        let expected = if row["record_decoded"].is_null() { "record" } else { "record_decoded" };
        assert_eq!(decoded, row[expected], "{row}");
    }
    assert_eq!(rows.len(), 46);
    let interval = json!({"type": "fixed", "size": 16, "name": "com.materialize.sink.interval"});
    let interval = plan(&interval, RAW);
    let texts = facts["interval_text"].as_array().unwrap();
    for it in texts {
        let bytes = bytes_of(it["hex"].as_str().unwrap());
        assert_eq!(json_of(&interval, &bytes, 0).unwrap(), it["text"], "{it}");
    }
    assert_eq!(texts.len(), 7);
}

#[test]
fn envelopes_name_the_inner_record_again() {
    let facts = facts();
    for it in facts["envelopes"].as_array().unwrap() {
        let value = bytes_of(it["value_hex"].as_str().unwrap());
        assert_eq!(json_of(&plan(&it["value_schema"], RAW), &value, 5).unwrap(), it["value"]);
        if let Some(key) = it["key_hex"].as_str() {
            let key = bytes_of(key);
            assert_eq!(json_of(&plan(&it["key_schema"], RAW), &key, 5).unwrap(), it["key"]);
        }
    }
}

/// Facts of Flink's raw Avro: its JSON serializer wrote the same rows.
#[test]
fn every_raw_record_of_flink_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/formats/flink_upsert.json");
    let facts: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut count, mut compared) = (0, 0);
    for topic in facts.as_object().unwrap().values() {
        let Some(avro) = topic.get("avro") else { continue };
        for record in avro["records"].as_array().unwrap() {
            for side in ["key", "value"] {
                let Some(hex) = record[format!("{side}_hex")].as_str() else { continue };
                let plan = plan(&avro[format!("{side}_schema")], RAW);
                let read = json_of(&plan, &bytes_of(hex), 0).unwrap();
                count += 1;
                if record[side].is_object() && !read.to_string().contains("c_bytes") {
                    assert_eq!(read, record[side]);
                    compared += 1;
                }
            }
        }
    }
    assert!(count > 40 && compared > 20, "{count} {compared}");
}

#[test]
fn decimals_of_any_width_keep_every_digit() {
    let decimal = |precision: u32, scale: u32| {
        let schema = json!({
            "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale,
        });
        plan(&schema, RAW)
    };
    let datum = |bytes: &[u8]| {
        let mut datum = Vec::new();
        crate::encode::write_length(&mut datum, bytes.len());
        datum.extend_from_slice(bytes);
        datum
    };
    let check = |plan: &Plan, bytes: &[u8], expected: &str| {
        assert_eq!(text(plan, &datum(bytes), 0).unwrap(), format!("\"{expected}\""));
    };
    let (whole, two) = (decimal(900, 0), decimal(900, 2));
    check(&whole, b"", "0");
    check(&two, b"", "0.00");
    check(&two, &[5], "0.05");
    check(&two, &[0xfb], "-0.05");
    check(&two, &[0x7f], "1.27");
    check(&two, &[0x80], "-1.28");
    // 2^255 and less, in 32 and in 33 bytes; the digits are Python's.
    let digits = "57896044618658097711785492504343953926634992332820282019728792003956564819968";
    let mut least = [0; 32];
    least[0] = 0x80;
    check(&whole, &least, &format!("-{digits}"));
    let mut wide = [0; 33];
    wide[1] = 0x80;
    check(&whole, &wide, digits);
    // Ten to the power of 19 is where chunks of digits meet.
    check(&whole, &10_000_000_000_000_000_000_u128.to_be_bytes(), "10000000000000000000");
    check(&whole, &9_999_999_999_999_999_999_u128.to_be_bytes(), "9999999999999999999");
    // The widest: -2^4095 has 1,233 digits, which begin and end so.
    let mut widest = [0; DECIMAL_BYTES_MAX];
    widest[0] = 0x80;
    let read = text(&whole, &datum(&widest), 0).unwrap();
    assert!(read.starts_with("\"-522194440706") && read.ends_with("095168\""), "{read}");
    assert_eq!(read.len(), 1233 + 3);
    let fault = text(&whole, &datum(&[0; DECIMAL_BYTES_MAX + 1]), 0).unwrap_err();
    assert_eq!(fault, Fault { at: 0, expected: "a decimal of at most 512 bytes" });
    for number in [i128::MIN, i128::MAX, -1, 1, 10_i128.pow(38), -10_i128.pow(38)] {
        check(&whole, &number.to_be_bytes(), &number.to_string());
    }
}

#[test]
fn old_producers_wrote_unsigned_numbers_backwards() {
    let schema = json!({"type": "fixed", "size": 2, "name": "com.materialize.sink.uint2"});
    let little = Options { little_endian: true, ..RAW };
    assert_eq!(text(&plan(&schema, RAW), &[1, 0], 0).unwrap(), "256");
    assert_eq!(text(&plan(&schema, little), &[1, 0], 0).unwrap(), "1");
    let other = json!({"type": "fixed", "size": 2, "name": "uint2"});
    assert_eq!(text(&plan(&other, RAW), &[1, 0], 0).unwrap(), "\"AQA=\"");
}

#[test]
fn times_are_texts_where_that_is_wanted() {
    let of =
        |base: &str, logical: &str| plan(&json!({"type": base, "logicalType": logical}), DECODED);
    let check = |plan: &Plan, number: i64, expected: &str| {
        let mut datum = Vec::new();
        long(&mut datum, number);
        assert_eq!(text(plan, &datum, 0).unwrap(), format!("\"{expected}\""));
    };
    check(&of("int", "date"), 0, "1970-01-01");
    check(&of("int", "date"), 19_782, "2024-02-29");
    check(&of("int", "date"), -719_528, "0000-01-01");
    check(&of("int", "date"), 2_932_896, "9999-12-31");
    check(&of("int", "time-millis"), 86_399_999, "23:59:59.999");
    check(&of("long", "timestamp-millis"), -1, "1969-12-31 23:59:59.999");
    check(&of("long", "timestamp-nanos"), 1, "1970-01-01 00:00:00.000000001");
    check(&of("long", "local-timestamp-micros"), 1_000_000, "1970-01-01 00:00:01");
    let refused = |plan: &Plan, number: i64| {
        let mut datum = Vec::new();
        long(&mut datum, number);
        assert_eq!(text(plan, &datum, 0).unwrap_err().at, 0);
    };
    refused(&of("int", "date"), 2_932_897);
    refused(&of("int", "date"), -719_529);
    refused(&of("int", "time-millis"), 86_400_000);
    refused(&of("long", "time-micros"), -1);
    refused(&of("long", "timestamp-millis"), i64::MAX);
}

fn long(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap());
}

#[test]
fn a_string_that_is_json_is_embedded_or_refused_with_its_place() {
    let schema = json!({"type": "record", "name": "r", "fields": [
        {"name": "a", "type": {"type": "string", "connect.name": "io.debezium.data.Json"}},
        {"name": "b", "type": ["null", {"type": "string", "connect.name": "io.debezium.data.Json"}]},
        {"name": "c", "type": {"type": "string", "connect.name": "io.debezium.data.Uuid"}},
    ]});
    let plan = plan(&schema, RAW);
    let datum = b"\x14[1.10,2e0]\x02\x02\x38\x02\x39";
    assert_eq!(text(&plan, datum, 0).unwrap(), r#"{"a":[1.10,2e0],"b":8,"c":"9"}"#);
    let fault = text(&plan, b"\x04{]\x00\x02\x39", 0).unwrap_err();
    assert_eq!(fault, Fault { at: 2, expected: "a key" });
    // The levels of the text count on top of those around it.
    let nested = |levels: usize| {
        let mut datum = Vec::new();
        long(&mut datum, 2 * i64::try_from(levels).unwrap());
        datum.extend(vec![b'['; levels]);
        datum.extend(vec![b']'; levels]);
        datum.extend(b"\x00\x02\x39");
        datum
    };
    assert!(text(&plan, &nested(127), 0).is_ok());
    assert_eq!(text(&plan, &nested(128), 0).unwrap_err().expected, "JSON of at most 128 levels");
}

#[test]
fn references_of_three_levels_are_found() {
    let line = r#"{"type":"record","name":"Line","namespace":"a","fields":[
        {"name":"sku","type":"a.Sku"},{"name":"kind","type":"Kind"}]}"#;
    let kind = r#"{"type":"enum","name":"Kind","namespace":"a","symbols":["NEW","OLD"]}"#;
    let sku =
        r#"{"type":"record","name":"Sku","namespace":"a","fields":[{"name":"id","type":"int"}]}"#;
    let order = r#"{"type":"record","name":"Order","namespace":"b","fields":[
        {"name":"lines","type":{"type":"array","items":"a.Line"}},{"name":"last","type":"a.Line"}]}"#;
    let references = [sku, kind, line].map(str::to_owned);
    let plan = Plan::parse(order, &references, RAW).unwrap();
    assert_eq!(
        text(&plan, b"\x02\x02\x02\x00\x04\x00", 0).unwrap(),
        r#"{"lines":[{"sku":{"id":1},"kind":"OLD"}],"last":{"sku":{"id":2},"kind":"NEW"}}"#
    );
    let missing = Plan::parse(order, &references[..2], RAW).unwrap_err();
    assert!(!missing.contains('\n') && missing.len() < 400, "{missing}");
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_in_one_line() {
    for schema in [
        "",
        "string",
        "{",
        r#"{"type":"record","name":"r"}"#,
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":"nowhere"}]}"#,
        r#"["int","int"]"#,
        r#"{"type":"bytes","logicalType":"decimal","precision":5000,"scale":5000}"#,
        &"[".repeat(100_000),
    ] {
        let reason = Plan::parse(schema, &[], RAW).unwrap_err();
        assert!(!reason.contains('\n') && reason.len() < 400, "{reason}");
    }
}

/// Types without bytes make a text of any length from none; so do counts.
#[test]
fn work_is_bounded_whatever_the_schema_says() {
    let mut fields =
        vec![json!({"name": "x", "type": {"type": "record", "name": "r0", "fields": []}})];
    for level in 1..60 {
        let inner = format!("r{}", level - 1);
        fields.push(json!({"name": format!("x{level}"), "type": {
            "type": "record", "name": format!("r{level}"), "fields": [
                {"name": "a", "type": inner}, {"name": "b", "type": inner}]}}));
    }
    let twofold = plan(&json!({"type": "record", "name": "all", "fields": fields}), RAW);
    assert_eq!(text(&twofold, b"", 0).unwrap_err().expected, "less than 63 MiB of text");
    let nulls = plan(&json!({"type": "array", "items": "null"}), RAW);
    let mut datum = Vec::new();
    long(&mut datum, i64::MAX);
    assert_eq!(text(&nulls, &datum, 0).unwrap_err().expected, "less than 63 MiB of text");
    let mut datum = Vec::new();
    long(&mut datum, i64::MIN);
    long(&mut datum, 0);
    assert_eq!(text(&nulls, &datum, 0).unwrap_err().expected, "less than 63 MiB of text");
    let list = plan(
        &json!({"type": "record", "name": "list", "fields": [
            {"name": "next", "type": ["null", "list"]}]}),
        RAW,
    );
    let chain = |levels: usize| [vec![2; levels - 1], vec![0]].concat();
    assert!(text(&list, &chain(128), 0).is_ok());
    let fault = text(&list, &chain(129), 0).unwrap_err();
    assert_eq!(fault, Fault { at: 128, expected: "at most 128 levels" });
    assert!(text(&list, &vec![2; 1_000_000], 0).is_err());
}

#[test]
fn every_fault_has_its_byte() {
    let schema = json!({"type": "record", "name": "r", "fields": [
        {"name": "s", "type": "string"}, {"name": "b", "type": "boolean"},
        {"name": "u", "type": ["null", "int"]}, {"name": "f", "type": "float"},
        {"name": "e", "type": {"type": "enum", "name": "e", "symbols": ["A"]}}]});
    let plan = plan(&schema, RAW);
    let whole = b"\x02a\x01\x02\x04\x00\x00\x80\x3f\x00";
    assert_eq!(text(&plan, whole, 0).unwrap(), r#"{"s":"a","b":true,"u":2,"f":1.0,"e":"A"}"#);
    let check = |bytes: &[u8], at: usize, expected: &'static str| {
        assert_eq!(text(&plan, bytes, 0), Err(Fault { at, expected }));
    };
    check(b"", 0, "the end of a number");
    check(b"\x01", 0, "a length");
    check(b"\x04a", 0, "a length within the bytes");
    check(b"\x04a\xff", 2, "UTF-8");
    check(b"\x02a\x02", 2, "a boolean");
    check(b"\x02a\x01\x04", 3, "the number of a branch");
    check(b"\x02a\x01\x02\x80\x80\x80\x80\x10", 4, "an int of 32 bits");
    check(
        b"\x02a\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        4,
        "a number of at most 64 bits",
    );
    check(b"\x02a\x01\x00\x00\x00\x80", 4, "more bytes");
    check(b"\x02a\x01\x00\x00\x00\x80\x3f\x02", 8, "the number of a symbol");
    check(b"\x02a\x01\x00\x00\x00\x80\x3f\x00\x00", 9, "the end");
    for cut in 0..whole.len() {
        assert!(text(&plan, whole.get(..cut).unwrap(), 0).is_err(), "cut at {cut}");
    }
}

#[test]
fn floats_read_back_as_the_same() {
    let (float, double) = (plan(&json!("float"), RAW), plan(&json!("double"), RAW));
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..10_000 {
        let number = f64::from_bits(random.u64(..));
        let read = text(&double, &number.to_le_bytes(), 0).unwrap();
        assert!(!number.is_finite() || read.parse::<f64>().unwrap().to_bits() == number.to_bits());
        let number = f32::from_bits(random.u32(..));
        let read = text(&float, &number.to_le_bytes(), 0).unwrap();
        assert!(!number.is_finite() || read.parse::<f32>().unwrap().to_bits() == number.to_bits());
    }
}

/// Makes schemas and data at random.
struct Maker {
    random: fastrand::Rng,
    names: usize,
}

impl Maker {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn schema(&mut self, depth: usize) -> Value {
        let simple = ["boolean", "int", "long", "float", "double", "bytes", "string"];
        match self.random.u8(if depth == 0 { 0..14 } else { 0..20 }) {
            pick @ 0..7 => json!(simple[usize::from(pick)]),
            7 => json!({"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 7}),
            8 => json!({"type": "fixed", "name": self.name(), "size": self.random.u8(1..20)}),
            9 => json!({"type": "int", "logicalType": "date"}),
            10 => json!({"type": "long", "logicalType": "timestamp-micros"}),
            11 => json!({"type": "string", "connect.name": "io.debezium.data.Enum"}),
            12 => json!({"type": "enum", "name": self.name(), "symbols": ["A", "B", "C_3"]}),
            13 => json!({"type": "fixed", "name": self.name(), "size": 9, "logicalType": "decimal",
                "precision": 20, "scale": 20}),
            14 | 15 => json!({"type": "array", "items": self.schema(depth - 1)}),
            16 => json!({"type": "map", "values": self.schema(depth - 1)}),
            17 => {
                // A union has one of each kind; a record and an enum beside null are told apart.
                let (record, symbols) = (self.record(depth - 1), self.name());
                json!(["null", record, {"type": "enum", "name": symbols, "symbols": ["X"]}, "long"])
            }
            _ => self.record(depth - 1),
        }
    }

    fn record(&mut self, depth: usize) -> Value {
        let name = self.name();
        let mut fields = vec![json!({"name": "again", "type": ["null", name]})];
        for index in 0..self.random.usize(1..5) {
            fields.push(json!({"name": format!("f{index}"), "type": self.schema(depth)}));
        }
        json!({"type": "record", "name": name, "fields": fields})
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.random.usize(0..=most)).map(|_| self.random.u8(..)).collect()
    }

    fn text(&mut self) -> String {
        (0..self.random.usize(0..12)).map(|_| self.random.char(..)).collect()
    }

    fn number(&mut self) -> i64 {
        let bits = self.random.u32(0..64);
        self.random.i64(..) >> bits
    }

    fn value(&mut self, schema: &Schema, names: &HashMap<Name, Schema>, depth: usize) -> Avro {
        match schema {
            Schema::Boolean => Avro::Boolean(self.random.bool()),
            Schema::Int => Avro::Int(i32::try_from(self.number() >> 32).unwrap()),
            Schema::Long => Avro::Long(self.number()),
            Schema::Float => Avro::Float(f32::from_bits(self.random.u32(..))),
            Schema::Double => Avro::Double(f64::from_bits(self.random.u64(..))),
            Schema::Bytes => Avro::Bytes(self.bytes(20)),
            Schema::String => Avro::String(self.text()),
            Schema::Date => Avro::Date(i32::try_from(self.number() >> 32).unwrap()),
            Schema::TimestampMicros => Avro::TimestampMicros(self.number()),
            Schema::Fixed(fixed) => {
                let bytes = (0..fixed.size).map(|_| self.random.u8(..)).collect();
                Avro::Fixed(fixed.size, bytes)
            }
            Schema::Decimal(decimal) => {
                let bytes = match &decimal.inner {
                    apache_avro::schema::InnerDecimalSchema::Fixed(fixed) => {
                        (0..fixed.size).map(|_| self.random.u8(..)).collect()
                    }
                    apache_avro::schema::InnerDecimalSchema::Bytes => {
                        [vec![self.random.u8(..)], self.bytes(40)].concat()
                    }
                };
                Avro::Decimal(apache_avro::Decimal::from(bytes))
            }
            Schema::Enum(symbols) => {
                let index = self.random.usize(0..symbols.symbols.len());
                Avro::Enum(u32::try_from(index).unwrap(), symbols.symbols[index].clone())
            }
            Schema::Array(array) => {
                let count = self.random.usize(0..4);
                Avro::Array((0..count).map(|_| self.value(&array.items, names, depth)).collect())
            }
            Schema::Map(map) => {
                let count = self.random.usize(0..4);
                let item = |maker: &mut Self| (maker.text(), maker.value(&map.types, names, depth));
                Avro::Map((0..count).map(|_| item(self)).collect())
            }
            Schema::Union(union) => {
                let most = if depth > 4 { 1 } else { union.variants().len() };
                let index = self.random.usize(0..most);
                let inner = match &union.variants()[index] {
                    Schema::Null => Avro::Null,
                    other => self.value(other, names, depth + 1),
                };
                Avro::Union(u32::try_from(index).unwrap(), Box::new(inner))
            }
            Schema::Record(record) => {
                let fields = record.fields.iter();
                let value = |field: &apache_avro::schema::RecordField| {
                    (field.name.clone(), self.value(&field.schema, names, depth + 1))
                };
                Avro::Record(fields.map(value).collect())
            }
            Schema::Ref { name } => self.value(&names[name], names, depth),
            other => panic!("{other:?} is not made"),
        }
    }
}

fn names_in(schema: &Schema, names: &mut HashMap<Name, Schema>) {
    match schema {
        Schema::Record(record) => {
            names.insert(record.name.clone(), schema.clone());
            record.fields.iter().for_each(|field| names_in(&field.schema, names));
        }
        Schema::Array(array) => names_in(&array.items, names),
        Schema::Map(map) => names_in(&map.types, names),
        Schema::Union(union) => union.variants().iter().for_each(|it| names_in(it, names)),
        _ => {}
    }
}

/// The JSON of what apache-avro read, by the decisions in the manual.
fn expected(value: &Avro, schema: &Schema, names: &HashMap<Name, Schema>) -> Value {
    let float =
        |finite: bool, number: Value, text: String| if finite { number } else { text.into() };
    match (value, schema) {
        (_, Schema::Ref { name }) => expected(value, &names[name], names),
        (Avro::Null, _) => Value::Null,
        (Avro::Boolean(it), _) => json!(it),
        (Avro::Int(it) | Avro::Date(it), _) => json!(it),
        (Avro::Long(it) | Avro::TimestampMicros(it), _) => json!(it),
        (Avro::Float(it), _) => {
            let text = if it.is_nan() {
                "NaN"
            } else if *it > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            // The shortest text of 32 bits, read as JSON is.
            let short = serde_json::from_str(&serde_json::to_string(it).unwrap()).unwrap();
            float(it.is_finite(), short, text.to_owned())
        }
        (Avro::Double(it), _) => {
            let text = if it.is_nan() {
                "NaN"
            } else if *it > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            let read = serde_json::from_str(&serde_json::to_string(it).unwrap()).unwrap();
            float(it.is_finite(), read, text.to_owned())
        }
        (Avro::Bytes(it) | Avro::Fixed(_, it), _) => json!(STANDARD.encode(it)),
        (Avro::String(it) | Avro::Enum(_, it), _) => json!(it),
        (Avro::Decimal(it), Schema::Decimal(decimal)) => {
            // It has no way back from a decimal of no bytes, which is zero.
            let bytes: Vec<u8> = it.try_into().unwrap_or_default();
            json!(digits_of(&bytes, decimal.scale))
        }
        (Avro::Array(items), Schema::Array(array)) => {
            items.iter().map(|it| expected(it, &array.items, names)).collect()
        }
        (Avro::Map(items), Schema::Map(map)) => {
            let item = |(key, it): (&String, &Avro)| (key.clone(), expected(it, &map.types, names));
            Value::Object(items.iter().map(item).collect())
        }
        (Avro::Union(index, it), Schema::Union(union)) => {
            expected(it, &union.variants()[*index as usize], names)
        }
        (Avro::Record(fields), Schema::Record(record)) => {
            let field =
                |((name, it), field): (&(String, Avro), &apache_avro::schema::RecordField)| {
                    (name.clone(), expected(it, &field.schema, names))
                };
            Value::Object(fields.iter().zip(&record.fields).map(field).collect())
        }
        other => panic!("{other:?} is not judged"),
    }
}

/// A decimal by schoolbook arithmetic in base ten.
fn digits_of(bytes: &[u8], scale: usize) -> String {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut digits = vec![0_u32];
    let mut times_and = |by: u32, and: u32| {
        let mut carry = and;
        for digit in &mut digits {
            carry += *digit * by;
            *digit = carry % 10;
            carry /= 10;
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    };
    for byte in bytes {
        times_and(256, u32::from(if negative { !byte } else { *byte }));
    }
    if negative {
        times_and(1, 1);
    }
    while digits.len() <= scale {
        digits.push(0);
    }
    while digits.len() > scale + 1 && digits.last() == Some(&0) {
        digits.pop();
    }
    let mut text: String =
        digits.iter().rev().map(|digit| char::from_digit(*digit, 10).unwrap()).collect();
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    if negative { format!("-{text}") } else { text }
}

/// Random schemas and data, whole and damaged: what apache-avro's reader makes of the bytes is what the
/// walk makes of them, or both refuse them.
#[test]
fn apache_avro_reads_the_same() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    apache_avro::util::max_allocation_bytes(1 << 20);
    let mut maker = Maker { random: fastrand::Rng::with_seed(seed), names: 0 };
    let (mut read, mut refused) = (0, 0);
    for _ in 0..400 {
        maker.names = 0;
        let raw = maker.record(3);
        let schema = Schema::parse(&raw).unwrap();
        let plan = plan(&raw, RAW);
        let mut names = HashMap::new();
        names_in(&schema, &mut names);
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let whole = writer.write_value_to_vec(maker.value(&schema, &names, 0)).unwrap();
        for round in 0..20 {
            let mut bytes = whole.clone();
            for _ in 0..round.min(3) {
                let at = maker.random.usize(0..=bytes.len());
                match maker.random.u8(0..3) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, maker.random.u8(..)),
                    _ => bytes.iter_mut().skip(at).take(1).for_each(|it| *it = maker.random.u8(..)),
                }
            }
            let mut rest = bytes.as_slice();
            // It reads what ends too early as null, which its own check then refuses.
            let judged = reader.read_value(&mut rest).ok().filter(|_| rest.is_empty());
            let judged = judged.filter(|value| round == 0 || value.validate(&schema));
            let ours = json_of(&plan, &bytes, 0);
            match (&judged, &ours) {
                (Some(value), Ok(json)) => {
                    assert_eq!(*json, expected(value, &schema, &names), "{raw} {bytes:?}");
                    read += 1;
                }
                (None, Err(fault)) => {
                    assert!(fault.at <= bytes.len() && round > 0, "{fault:?} {raw} {bytes:?}");
                    refused += 1;
                }
                // It takes what ends too early for null in unions as well.
                (Some(_), Err(fault))
                    if fault.at == bytes.len() || fault.expected == "the end of a number" => {}
                // It drops the bits beyond 64, and takes a block of less than no bytes.
                (Some(_), Err(fault))
                    if ["a number of at most 64 bits", "the bytes of a block"]
                        .contains(&fault.expected) => {}
                // It refuses a decimal of more digits than declared; here those are shown.
                (None, Ok(_)) if raw.to_string().contains("decimal") => {}
                _ => panic!("apache-avro {judged:?}, here {ours:?}: {raw} {bytes:?}"),
            }
        }
    }
    assert!(read > 400 && refused > 400, "{read} {refused}");
}
