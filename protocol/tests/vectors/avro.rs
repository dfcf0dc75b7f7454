//! `testdata/avro`: container headers and blocks, whole `.avro` files, and damaged ones.

use std::collections::BTreeMap;

use apache_avro::Reader;
use protocol::avro::container::put_block_start;
use protocol::avro::primitive::put_bytes;
use protocol::avro::row::{ERROR_SCHEMA, STATIC_SCHEMA, for_each_row};
use protocol::avro::{Blocks, ContainerError, ContainerHeader, ErrorRow, Marker, RowRef};
use serde_json::{Value, json};

use crate::text::{Vector, dump, hex, unhex};
use crate::{check_generated, files};

/// The sync marker of every vector.
pub(crate) const SYNC: Marker = Marker([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

pub(crate) fn header(schema: u32, text: &str) -> ContainerHeader {
    ContainerHeader {
        schema,
        avro_schema: text.to_owned(),
        topic: None,
        key_columns: Vec::new(),
        marker: SYNC,
    }
}

pub(crate) fn block(count: u64, rows: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_block_start(&mut out, count, rows.len());
    out.extend_from_slice(rows);
    out.extend_from_slice(&SYNC.0);
    out
}

pub(crate) fn static_row(topic: &str, id: &str, record: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for text in [topic, id, record] {
        put_bytes(&mut out, text.as_bytes());
    }
    out
}

/// Two rows, one of them a tombstone with every width of UTF-8 in its id.
pub(crate) fn static_block() -> Vec<u8> {
    let first = static_row("orders", r#"{"offset":0,"partition":0}"#, r#"{"a":1}"#);
    let second = static_row("orders", "\"é漢😀\\n\"", "null");
    block(2, &[first, second].concat())
}

fn error_rows() -> [ErrorRow<'static>; 2] {
    let full = ErrorRow {
        split: r#"{"partition":0,"topic":"orders"}"#,
        position: r#"{"offset":17}"#,
        timestamp: Some(-1),
        key: Some(b""),
        value: Some(&[0x00, 0xff, 0x80]),
        headers: vec![("trace", Some(b"\x01")), ("é", None)],
        code: "DECODE_FAILED",
        reason: "no JSON at byte 0",
    };
    let bare = ErrorRow {
        split: r#"{"gen":"p0"}"#,
        position: r#"{"row":4}"#,
        code: "ROW_TOO_LARGE",
        reason: "too large",
        ..ErrorRow::default()
    };
    [full, bare]
}

fn error_block() -> Vec<u8> {
    let mut rows = Vec::new();
    error_rows().iter().for_each(|row| row.write(&mut rows));
    block(2, &rows)
}

fn header_json(header: &ContainerHeader) -> Value {
    json!({
        "schema": header.schema, "avro_schema": header.avro_schema, "topic": header.topic,
        "key_columns": header.key_columns, "sync": header.marker.to_string(),
    })
}

fn error_json(row: &ErrorRow<'_>) -> Value {
    let bytes = |bytes: Option<&[u8]>| bytes.map(hex);
    let headers = row.headers.iter().map(|(name, value)| json!([name, bytes(*value)]));
    json!({
        "split": row.split, "position": row.position, "timestamp": row.timestamp,
        "key": bytes(row.key), "value": bytes(row.value), "headers": headers.collect::<Vec<_>>(),
        "code": row.code, "reason": row.reason,
    })
}

/// What comes of a file, as JSON; `None` when it is refused.
fn judge(vector: &Vector) -> Option<Value> {
    let bytes = &vector.bytes;
    match vector.get("kind").unwrap() {
        "header" => ContainerHeader::decode(bytes).ok().map(|header| header_json(&header)),
        "static" => blocks(
            bytes,
            RowRef::read,
            |row: RowRef<'_>| json!({"topic": row.topic, "id": row.id, "record": row.record}),
        ),
        "error" => blocks(bytes, ErrorRow::read, |row| error_json(&row)),
        other => panic!("no kind {other}"),
    }
}

fn blocks<'a, R>(
    bytes: &'a [u8],
    read: impl Fn(&mut protocol::avro::Cursor<'a>) -> Result<R, protocol::avro::DatumError>,
    show: impl Fn(R) -> Value,
) -> Option<Value> {
    let mut all = Vec::new();
    for block in Blocks::new(bytes, SYNC) {
        let mut rows = Vec::new();
        let read: Result<(), ContainerError> = for_each_row(&block.ok()?, &read, |row| {
            rows.push(show(row));
            Ok(())
        });
        read.ok()?;
        all.push(Value::from(rows));
    }
    Some(Value::from(all))
}

fn file(about: &str, kind: &str, bytes: &[u8]) -> Vec<u8> {
    let vector = Vector { keys: vec![("kind".to_owned(), kind.to_owned())], bytes: bytes.to_vec() };
    let expect = judge(&vector).map_or_else(|| "refused".to_owned(), |json| json.to_string());
    let text = format!("# {about}\nkind: {kind}\nsync: {SYNC}\nexpect: {expect}\n{}", dump(bytes));
    text.into_bytes()
}

fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let good = header(1, STATIC_SCHEMA);
    let keyed = ContainerHeader {
        schema: u32::MAX,
        topic: Some("über".to_owned()),
        key_columns: vec!["id".to_owned(), "a\"b".to_owned()],
        ..good.clone()
    };
    let bytes = good.encode();
    // The same entries in two map blocks, in another order, with one that nobody knows.
    let mut loose = b"Obj\x01\x04".to_vec();
    for (key, value) in [("s2x.schema", "1"), ("x.later", "what")] {
        put_bytes(&mut loose, key.as_bytes());
        put_bytes(&mut loose, value.as_bytes());
    }
    loose.push(2);
    put_bytes(&mut loose, b"avro.schema");
    put_bytes(&mut loose, STATIC_SCHEMA.as_bytes());
    loose.push(0);
    loose.extend_from_slice(&SYNC.0);
    let find = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what).unwrap();
    let change = |what: &[u8], to: &[u8]| {
        let at = find(what);
        [&bytes[..at], to, &bytes[at + what.len()..]].concat()
    };
    let negative = [&bytes[..4], &[5, 0], &bytes[5..]].concat();
    vec![
        ("header-static", bytes.clone()),
        ("header-error", header(0, ERROR_SCHEMA).encode()),
        ("header-keyed", keyed.encode()),
        ("header-loose", loose),
        ("bad-header-magic", change(b"Obj\x01", b"Obj\x02")),
        ("bad-header-codec", change(b"\x08null", b"\x08zstd")),
        ("bad-header-no-number", change(b"s2x.schema", b"s2x.Schema")),
        ("bad-header-no-schema", change(b"avro.schema", b"avro.Schema")),
        ("bad-header-negative-count", negative),
        ("bad-header-trailing", [&bytes[..], &[0]].concat()),
        ("bad-header-cut", bytes[..bytes.len() - 1].to_vec()),
    ]
}

fn all_blocks() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let good = static_block();
    let row = static_row("t", "1", "{}");
    let mut marker = good.clone();
    *marker.last_mut().unwrap() ^= 1;
    let overlong = [&[0xff; 10][..], &good[1..]].concat();
    vec![
        ("blocks-static", "static", [good.clone(), block(1, &row)].concat()),
        ("blocks-error", "error", error_block()),
        ("bad-block-marker", "static", marker),
        ("bad-block-empty", "static", block(0, b"")),
        ("bad-block-cut", "static", good[..good.len() - 1].to_vec()),
        ("bad-block-fewer-rows", "static", block(3, &[&row[..], &row[..]].concat())),
        ("bad-block-more-rows", "static", block(1, &[&row[..], &row[..]].concat())),
        ("bad-block-negative-count", "static", [&[1][..], &good[1..]].concat()),
        ("bad-block-count-over-64-bits", "static", overlong),
        ("bad-row-utf8", "static", block(1, b"\x02t\x02\xff\x02x")),
        ("bad-row-branch", "error", {
            let mut rows = Vec::new();
            error_rows()[1].write(&mut rows);
            // The branch of `timestamp` stands after two strings.
            let at = 2 + error_rows()[1].split.len() + error_rows()[1].position.len();
            rows[at] = 4;
            block(1, &rows)
        }),
    ]
}

fn check_containers() {
    let mut wanted = BTreeMap::new();
    for (name, bytes) in headers() {
        wanted.insert(format!("{name}.hex"), file("a SCHEMA payload", "header", &bytes));
    }
    for (name, kind, bytes) in all_blocks() {
        let about = "the blocks of a BATCH payload, without its prefix";
        wanted.insert(format!("{name}.hex"), file(about, kind, &bytes));
    }
    let whole = |schema, text, blocks: Vec<u8>| [header(schema, text).encode(), blocks].concat();
    wanted.insert("static.avro".into(), whole(1, STATIC_SCHEMA, static_block().repeat(2)));
    wanted.insert("error.avro".into(), whole(0, ERROR_SCHEMA, error_block()));
    check_generated("avro", &wanted);
}

#[test]
fn containers_are_judged_as_expected() {
    check_containers();
    let mut refused = 0;
    for (name, text) in files("avro").into_iter().filter(|(name, _)| name.ends_with(".hex")) {
        let vector = Vector::read(&text);
        assert_eq!(unhex(vector.get("sync").unwrap()), SYNC.0);
        let expect = vector.get("expect").unwrap();
        assert_eq!(expect == "refused", name.starts_with("bad-"), "{name}");
        refused += usize::from(expect == "refused");
        let wanted = serde_json::from_str::<Value>(expect).ok();
        assert_eq!(judge(&vector), wanted, "{name}");
    }
    assert!(refused >= 10);
    check_with_library();
}

/// Another implementation of Avro reads the whole files.
fn check_with_library() {
    for (name, text, rows) in [("static.avro", STATIC_SCHEMA, 4), ("error.avro", ERROR_SCHEMA, 2)] {
        let bytes = &files("avro")[name];
        let reader = Reader::new(&bytes[..]).unwrap();
        let schema: Value = serde_json::to_value(reader.writer_schema()).unwrap();
        assert_eq!(schema["fields"].as_array().map(Vec::len), fields_of(text), "{name}");
        assert_eq!(reader.map(Result::unwrap).count(), rows, "{name}");
    }
}

fn fields_of(schema: &str) -> Option<usize> {
    serde_json::from_str::<Value>(schema).unwrap()["fields"].as_array().map(Vec::len)
}
