//! SPEC.md and the code cannot drift apart: every table of the one is compared with the constants
//! of the other, in both directions, and a hash tells when the wire code changed alone.
//!
//! Touches SPEC.md and the sources beside it. `UPDATE_SPEC=1` rewrites the hash, nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic"
)]

mod examples;
mod hash;
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use protocol::avro::row::{ERROR_SCHEMA, STATIC_SCHEMA};
use protocol::avro::{ContainerHeader, Cursor, Marker};
use protocol::message::{Operation, Phase, Reason};
use protocol::wire::header::FLAGS_CRITICAL;
use protocol::wire::{Direction, FLAG_SENSITIVE, FrameSealer, Head, Kind};
use protocol::{Class, Code, Failure, limits};

/// The folder of this crate.
fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of SPEC.md.
fn spec() -> String {
    fs::read_to_string(crate_folder().join("SPEC.md")).unwrap()
}

/// The lines that follow a mark.
fn after_mark(kind: &str, name: &str) -> Vec<String> {
    let mark = format!("<!-- {kind}: {name} -->");
    let text = spec();
    let places = text.lines().filter(|line| *line == mark).count();
    assert_eq!(places, 1, "SPEC.md has {places} marks {mark}");
    text.lines().skip_while(|line| *line != mark).skip(1).map(str::to_owned).collect()
}

/// Names of all marks of a kind.
fn marks(kind: &str) -> BTreeSet<String> {
    let start = format!("<!-- {kind}: ");
    let name = |line: &str| Some(line.strip_prefix(&start)?.strip_suffix(" -->")?.to_owned());
    spec().lines().filter_map(name).collect()
}

/// The rows of a marked table, without its head; cells without the backquotes around them.
fn table(kind: &str, name: &str) -> Vec<Vec<String>> {
    let lines = after_mark(kind, name).into_iter().take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> = lines
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "table {name} has no rows");
    rows
}

/// The JSON block after a mark.
fn json_block(kind: &str, name: &str) -> String {
    let lines = after_mark(kind, name);
    assert_eq!(lines[0], "```json", "{kind} {name} is not followed by JSON");
    lines[1..].iter().take_while(|line| *line != "```").cloned().collect::<Vec<_>>().join("\n")
}

/// Compares a table's rows with what the code says: nothing missing, nothing extra, same order.
#[track_caller]
fn check_rows(name: &str, from_spec: &[Vec<String>], from_code: &[Vec<String>]) {
    for row in from_code {
        assert!(from_spec.contains(row), "SPEC.md table {name} lacks {row:?}");
    }
    for row in from_spec {
        assert!(from_code.contains(row), "the code has nothing for {row:?} of table {name}");
    }
    assert_eq!(from_spec, from_code, "order of table {name}");
}

/// The first `count` cells of each row.
fn cells(rows: Vec<Vec<String>>, count: usize) -> Vec<Vec<String>> {
    rows.into_iter().map(|row| row[..count].to_vec()).collect()
}

fn row(cells: &[&dyn ToString]) -> Vec<String> {
    cells.iter().map(|cell| cell.to_string()).collect()
}

#[test]
fn header_fields_stand_where_the_table_says() {
    let head = Head {
        kind: Kind::Batch,
        flags: 0x1234,
        epoch: 0x1121_3141,
        part: 0x1222_3242,
        reference: 0x1323_3343,
    };
    let payload = b"123456789";
    let mut bytes = Vec::new();
    let mut sealer = FrameSealer::default();
    for _ in 0..3 {
        bytes.clear();
        sealer.write(&head, payload, &mut bytes).unwrap();
    }
    let covered = [&bytes[..28], payload].concat();
    let values = BTreeMap::from([
        ("magic", b"S2XF".to_vec()),
        ("version", vec![1]),
        ("type", vec![0x89]),
        ("flags", vec![0x12, 0x34]),
        ("epoch", vec![0x11, 0x21, 0x31, 0x41]),
        ("part", vec![0x12, 0x22, 0x32, 0x42]),
        ("seq", vec![0, 0, 0, 2]),
        ("ref", vec![0x13, 0x23, 0x33, 0x43]),
        ("length", vec![0, 0, 0, 9]),
        ("crc32c", crc32c::crc32c(&covered).to_be_bytes().to_vec()),
    ]);
    let mut next = 0;
    for row in table("table", "header") {
        let (at, len) = (row[0].parse::<usize>().unwrap(), row[1].parse::<usize>().unwrap());
        assert_eq!(at, next, "{} leaves a gap", row[2]);
        next = at + len;
        assert_eq!(bytes[at..next], values[row[2].as_str()], "{}", row[2]);
    }
    assert_eq!(next, limits::HEADER_LEN);
    assert_eq!(crc32c::crc32c(payload), 0xe306_9283);
}

#[test]
fn flags_are_those_of_the_table() {
    let mask = |mask: u16| format!("{mask:04X}");
    let rest = !(FLAG_SENSITIVE | FLAGS_CRITICAL);
    check_rows(
        "flags",
        &cells(table("table", "flags"), 2),
        &[
            row(&[&mask(FLAG_SENSITIVE), &"SENSITIVE"]),
            row(&[&mask(rest), &"reserved"]),
            row(&[&mask(FLAGS_CRITICAL), &"critical"]),
        ],
    );
}

#[test]
fn types_are_those_of_the_table() {
    let mut from_spec = table("table", "types");
    for row in &mut from_spec {
        row.remove(4);
        if row[3] == "- (PONG)" {
            row[3] = "-".to_owned();
        }
    }
    let from_code: Vec<Vec<String>> = Kind::ALL
        .iter()
        .map(|kind| {
            let from = match kind.direction() {
                Direction::FromHost => "host",
                Direction::FromExtractor => "extractor",
            };
            let overtakes = if kind.may_overtake() { "yes" } else { "no" };
            let byte = format!("{:02X}", kind.byte());
            row(&[&byte, &kind.name(), &from, &kind.answer().map_or("-", Kind::name), &overtakes])
        })
        .collect();
    check_rows("types", &from_spec, &from_code);
}

#[test]
fn errors_are_those_of_the_tables() {
    let codes: Vec<_> = Code::ALL.iter().map(|code| row(&[code, &code.class().name()])).collect();
    check_rows("codes", &cells(table("table", "codes"), 2), &codes);
    let classes: Vec<_> = Class::ALL
        .iter()
        .map(|class| {
            let of_class = Code::ALL.iter().find(|code| code.class() == *class).unwrap();
            let retryable = if Failure::new(*of_class, "").retryable { "yes" } else { "no" };
            row(&[&class.name(), &class.exit_code(), &retryable])
        })
        .collect();
    check_rows("classes", &cells(table("table", "classes"), 3), &classes);
}

#[test]
fn words_and_operations_are_those_of_the_tables() {
    let words = |all: Vec<&str>| all.iter().map(|word| row(&[word])).collect::<Vec<_>>();
    let reasons = Reason::ALL.iter().map(|(_, word)| *word).chain(["other"]).collect();
    check_rows("reasons", &cells(table("table", "reasons"), 1), &words(reasons));
    let phases = Phase::ALL.iter().map(|(_, word)| *word).chain(["other"]).collect();
    check_rows("phases", &cells(table("table", "phases"), 1), &words(phases));
    let operations: Vec<_> = (0..=u8::MAX)
        .filter_map(|byte| {
            let name = match Operation::from_byte(byte)? {
                Operation::Insert => "insert",
                Operation::Upsert => "upsert",
                Operation::Delete => "delete",
                Operation::Error => "error",
            };
            Some(row(&[&byte, &name]))
        })
        .collect();
    check_rows("operations", &cells(table("table", "operations"), 2), &operations);
}

#[test]
fn limits_are_those_of_the_table() {
    macro_rules! values {
        ($($name:ident)*) => { vec![$(row(&[&stringify!($name), &limits::$name])),*] };
    }
    let from_code = values! {
        HEADER_LEN DATA_FRAME_BYTES_MAX DATA_FRAME_BYTES_MIN CONTROL_FRAME_BYTES_MAX
        LOG_FRAME_BYTES_MAX PING_BYTES_MAX PARTS_MAX REFUSED_MAX
        REFUSED_REASON_BYTES_MAX CREDITS_MAX SCHEMAS_MAX OFFSET_KEY_BYTES_MAX
        OFFSET_VALUE_BYTES_MAX JSON_DEPTH_MAX OFFSET_INTEGER_MAX ROW_BYTES_MAX BLOCK_ROWS_MAX
        SCHEMA_BYTES_MAX SCHEMA_META_MAX ERROR_TEXT_BYTES_MAX EXTRACT_ROWS_MAX EXTRACT_BYTES_MAX
        EXTRACT_INTERVAL_MS_MAX UNREAD_BYTES_MAX UNREAD_FRAMES_MAX
    };
    check_rows("limits", &cells(table("table", "limits"), 2), &from_code);
    let source = fs::read_to_string(crate_folder().join("src/limits.rs")).unwrap();
    let declared = source
        .lines()
        .filter(|line| line.starts_with("pub const ") && !line.contains(": &str"))
        .count();
    assert_eq!(declared, from_code.len(), "limits.rs has a constant that this test does not list");
}

#[test]
fn fixed_schemas_are_those_of_the_text() {
    assert_eq!(json_block("schema", "static"), STATIC_SCHEMA);
    assert_eq!(json_block("schema", "error"), ERROR_SCHEMA);
}

#[test]
fn container_metadata_stand_in_the_order_of_the_table() {
    let header = ContainerHeader {
        schema: 7,
        avro_schema: STATIC_SCHEMA.to_owned(),
        topic: Some("t".to_owned()),
        key_columns: vec!["id".to_owned()],
        marker: Marker([0; 16]),
    };
    let bytes = header.encode();
    let mut cursor = Cursor::new(&bytes[4..]);
    let count = cursor.count(64).unwrap();
    let keys: Vec<_> = (0..count)
        .map(|_| {
            let key = cursor.string().unwrap();
            cursor.bytes().unwrap();
            row(&[&key])
        })
        .collect();
    check_rows("metadata", &cells(table("table", "metadata"), 1), &keys);
}

#[test]
fn every_mark_is_looked_at() {
    let known = [
        "header",
        "flags",
        "types",
        "reasons",
        "phases",
        "metadata",
        "operations",
        "states",
        "extractor-rules",
        "host-rules",
        "classes",
        "codes",
        "limits",
    ];
    assert_eq!(marks("table"), known.map(str::to_owned).into());
    assert_eq!(marks("schema"), ["static", "error"].map(str::to_owned).into());
    assert_eq!(marks("fields"), marks("example"));
}
