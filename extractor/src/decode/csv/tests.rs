//! Facts of Flink's serializers, every option, every refusal with its byte.

use serde_json::{Value, json};

use super::*;

fn csv(columns: &str) -> Csv {
    Csv {
        columns: parse_columns(columns).unwrap(),
        delimiter: b',',
        quote: Some(b'"'),
        escape: None,
        null: None,
        item_delimiter: b';',
        comments: false,
    }
}

fn text(csv: &Csv, line: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    csv.write(line.as_bytes(), &mut out, &mut b"old".to_vec())?;
    Ok(String::from_utf8(out).unwrap())
}

#[track_caller]
fn reads(csv: &Csv, line: &str, expected: &Value) {
    let read: Value = serde_json::from_str(&text(csv, line).unwrap()).unwrap();
    assert_eq!(read, *expected, "{line}");
}

#[track_caller]
fn refused(csv: &Csv, line: &str, at: usize, expected: &'static str) {
    assert_eq!(text(csv, line), Err(Fault { at, expected }), "{line}");
}

fn facts() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/formats/flink_upsert.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes_of(hex: &Value) -> Option<String> {
    let digits = hex.as_str()?.as_bytes().chunks(2);
    let bytes = digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap());
    Some(String::from_utf8(bytes.collect()).unwrap())
}

/// Columns of a type as the facts have it.
fn columns_of(row: &Value) -> Csv {
    let row = row.as_str().unwrap();
    csv(row.strip_prefix("ROW<").unwrap().strip_suffix('>').unwrap())
}

/// Flink's CSV says what its JSON of the same rows says.
#[test]
fn every_csv_record_of_flink_says_what_its_json_does() {
    let mut count = 0;
    for topic in facts().as_object().unwrap().values() {
        if !topic["csv"]["records"].is_array() {
            continue;
        }
        let (lines, texts) = (&topic["csv"], &topic["json"]);
        let records = lines["records"].as_array().unwrap().iter();
        for (line, same) in records.zip(texts["records"].as_array().unwrap()) {
            for side in ["key", "value"] {
                let Some(bytes) = bytes_of(&line[format!("{side}_hex")]) else { continue };
                let csv = columns_of(&lines[format!("{side}_type")]);
                let read: Value = serde_json::from_str(&text(&csv, &bytes).unwrap()).unwrap();
                let same = bytes_of(&same[format!("{side}_hex")]).unwrap();
                let mut same: Value = serde_json::from_str(&same).unwrap();
                let mut read = read;
                if let Some(decimal) = read.get_mut("c_dec") {
                    // A decimal is a string with its digits; of an empty array CSV writes nothing.
                    let digits = decimal.as_str().unwrap().to_owned();
                    *decimal = json!(digits.trim_end_matches('0').trim_end_matches('.'));
                    same["c_dec"] = json!(same["c_dec"].to_string());
                    if same["c_arr"] == json!([]) {
                        same["c_arr"] = Value::Null;
                        // A text that is null is an empty one, too.
                        same["c_row"]["b"] = json!("");
                    }
                }
                assert_eq!(read, same, "{bytes}");
                count += 1;
            }
        }
    }
    assert_eq!(count, 42);
}

#[test]
fn quotation_marks_hold_delimiters_and_line_ends() {
    let two = csv("a, b");
    reads(&two, "x,y", &json!({"a": "x", "b": "y"}));
    reads(&two, "\"x,\ny\",\"\"\"z\"\"\"", &json!({"a": "x,\ny", "b": "\"z\""}));
    reads(&two, "  x , y\"z\" ", &json!({"a": "  x ", "b": " y\"z\" "}));
    reads(&two, ",\n", &json!({"a": "", "b": ""}));
    reads(&two, "x,y\r\n", &json!({"a": "x", "b": "y"}));
    reads(&csv("`a b`"), "", &json!({"a b": ""}));
    refused(&two, "x", 1, "a delimiter and another field");
    refused(&two, "", 0, "a delimiter and another field");
    refused(&two, "x,y,z", 3, "the end: no more columns are declared");
    refused(&two, "x,\"y", 4, "a closing quotation mark");
    refused(&two, "x,\"y\"z", 5, "a delimiter or the end of one line");
    refused(&two, "x,y\nx,y", 4, "a delimiter or the end of one line");
    let mut bytes = Vec::new();
    let fault = two.write(b"x,\xff", &mut bytes, &mut Vec::new()).unwrap_err();
    assert_eq!(fault, Fault { at: 2, expected: "UTF-8" });
}

#[test]
fn options_are_those_of_flink() {
    let base = csv("a, b BIGINT");
    let tabs = Csv { delimiter: b'\t', ..base.clone() };
    reads(&tabs, "x,y\t1", &json!({"a": "x,y", "b": 1}));
    let plain = Csv { quote: None, ..base.clone() };
    reads(&plain, "\"x\",1", &json!({"a": "\"x\"", "b": 1}));
    let single = Csv { quote: Some(b'\''), ..base.clone() };
    reads(&single, "'x,','1'", &json!({"a": "x,", "b": 1}));
    let escape = Csv { escape: Some(b'\\'), ..base.clone() };
    reads(&escape, r#"x\,\é\\,1"#, &json!({"a": "x,é\\", "b": 1}));
    reads(&escape, r#""x\"y",1"#, &json!({"a": "x\"y", "b": 1}));
    refused(&escape, r"x,1\", 4, "a letter behind the escape");
    let null = Csv { null: Some("n/a".to_owned()), ..base.clone() };
    reads(&null, "n/a,n/a", &json!({"a": null, "b": null}));
    reads(&null, "\"n/a\",", &json!({"a": "n/a", "b": null}));
    reads(&null, ",1", &json!({"a": "", "b": 1}));
    let comments = Csv { comments: true, ..base.clone() };
    reads(&comments, "# one\n#two\nx,1\n#three", &json!({"a": "x", "b": 1}));
    refused(&comments, "# one", 5, "a delimiter and another field");
    reads(&base, "# one,1", &json!({"a": "# one", "b": 1}));
    let items = Csv { item_delimiter: b'|', ..csv("a ARRAY<INT>, b ROW<x INT, y STRING>") };
    reads(&items, "1|2||3,7|x|y", &json!({"a": [1, 2, null, 3], "b": {"x": 7, "y": "x|y"}}));
    refused(&items, "1,7", 2, "a field for each of the row");
}

#[test]
fn types_are_checked_and_digits_kept() {
    let check = |kind: &str, line: &str, expected: &str| {
        let read = text(&csv(&format!("a {kind}")), line).unwrap();
        assert_eq!(read, format!("{{\"a\":{expected}}}"), "{kind} {line}");
    };
    check("bigint", " -9223372036854775808 ", "-9223372036854775808");
    check("TINYINT", "-128", "-128");
    check("INT", "007", "7");
    check(
        "DECIMAL(38, 9)",
        "12345678901234567890123456789.100",
        "\"12345678901234567890123456789.100\"",
    );
    check("DOUBLE", "1.7976931348623157E308", "1.7976931348623157E308");
    check("FLOAT", "NaN", "\"NaN\"");
    check("BOOLEAN", "TRUE", "true");
    check("TIMESTAMP(3)", "2020-12-30 12:13:14.123", "\"2020-12-30 12:13:14.123\"");
    check("BIGINT", "", "null");
    check("STRING NOT NULL", "", "\"\"");
    for (kind, line, expected) in [
        ("TINYINT", "128", "a whole number within the range of its type"),
        ("SMALLINT", "-32769", "a whole number within the range of its type"),
        ("INT", "2147483648", "a whole number within the range of its type"),
        ("BIGINT", "9223372036854775808", "a whole number"),
        ("BIGINT", "2.9", "a whole number"),
        ("BIGINT", "x", "a whole number"),
        ("DECIMAL", "1e", "a decimal number"),
        ("DECIMAL", "true", "a decimal number"),
        ("DOUBLE", "0x1", "a number"),
        ("DOUBLE", ".5", "a number"),
        ("BOOLEAN", "1", "true or false"),
        ("BIGINT NOT NULL", "", "a value, since the column is NOT NULL"),
        ("ARRAY<INT NOT NULL>", "1;;2", "a value, since it is NOT NULL"),
    ] {
        refused(&csv(&format!("a {kind}")), line, 0, expected);
    }
}

#[test]
fn columns_that_are_no_columns_are_refused_with_their_byte() {
    for (columns, told) in [
        ("", "expected a name at byte 0"),
        ("a,", "expected a name at byte 2"),
        ("a, a", "expected a name that is not there yet at byte 2"),
        ("a FLUT", "expected a type: STRING, BOOLEAN, INT, BIGINT, DECIMAL, DOUBLE, … at byte 2"),
        ("a ARRAY INT", "expected `<` at byte 8"),
        ("a ARRAY<INT", "expected `>` at byte 11"),
        ("a DECIMAL(x)", "expected a number at byte 11"),
        ("a INT NOT b", "expected NULL at byte 11"),
        ("a INT b", "expected a comma or the end at byte 6"),
        ("`a", "expected a closing backtick at byte 1"),
    ] {
        assert_eq!(parse_columns(columns).unwrap_err(), told, "{columns}");
    }
    let deep = format!("a {}INT{}", "ARRAY<".repeat(9), ">".repeat(9));
    assert!(parse_columns(&deep).unwrap_err().starts_with("expected less nesting"));
}
