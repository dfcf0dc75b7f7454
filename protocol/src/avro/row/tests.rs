//! Tests of rows and containers against the Avro library.

use apache_avro::types::Value;
use apache_avro::{Reader, Schema};
use proptest::prelude::*;

use super::*;
use crate::avro::container::{Block, Blocks, ContainerHeader, Marker, put_block_start};

const MARKER: Marker = Marker(*b"0123456789abcdef");

fn header(schema: u32, text: &str) -> ContainerHeader {
    ContainerHeader {
        schema,
        avro_schema: text.to_owned(),
        topic: Some("orders".to_owned()),
        key_columns: vec!["id".to_owned()],
        marker: MARKER,
    }
}

fn block(rows: u64, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_block_start(&mut out, rows, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(&MARKER.0);
    out
}

fn static_rows(rows: &[(String, String, String)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (topic, id, record) in rows {
        for text in [topic, id, record] {
            put_bytes(&mut data, text.as_bytes());
        }
    }
    data
}

fn read_with_library(file: &[u8]) -> Vec<Value> {
    Reader::new(file).unwrap().map(|value| value.unwrap()).collect()
}

#[test]
fn header_round_trips_and_is_stable() {
    let header = header(3, STATIC_SCHEMA);
    let bytes = header.encode();
    assert_eq!(ContainerHeader::decode(&bytes).unwrap(), header);
    assert_eq!(bytes, header.encode());
    for cut in 0..bytes.len() {
        assert!(ContainerHeader::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(ContainerHeader::decode(&longer), Err(ContainerError::Trailing { bytes: 1 }));
}

#[test]
fn fixed_schemas_are_avro() {
    Schema::parse_str(STATIC_SCHEMA).unwrap();
    Schema::parse_str(ERROR_SCHEMA).unwrap();
}

#[test]
fn blocks_refuse_what_readers_swallow() {
    let check = |bytes: &[u8], expected: ContainerError| {
        assert_eq!(Blocks::new(bytes, MARKER).find_map(Result::err), Some(expected));
    };
    check(&block(0, b""), ContainerError::Empty { at: 0 });
    check(&block(1, b"abc")[..10], DatumError::End { at: 5, wanted: 11 }.into());
    let mut damaged = block(1, b"abc");
    *damaged.last_mut().unwrap() ^= 1;
    check(&damaged, ContainerError::Marker { at: 5 });
    let mut huge = Vec::new();
    put_long(&mut huge, i64::MAX);
    let max = BLOCK_ROWS_MAX;
    check(&huge, DatumError::Count { at: 0, count: i64::MAX as u64, max }.into());
}

#[test]
fn a_block_holds_exactly_its_rows() {
    let data = static_rows(&[("t".into(), "1".into(), "{}".into())]);
    for (rows, fine) in [(1, true), (2, false)] {
        let result: Result<(), ContainerError> =
            for_each_row(&Block { rows, data: &data }, RowRef::read, |_| Ok(()));
        assert_eq!(result.is_ok(), fine);
    }
    let two = [data.clone(), data].concat();
    let result: Result<(), ContainerError> =
        for_each_row(&Block { rows: 1, data: &two }, RowRef::read, |_| Ok(()));
    assert_eq!(result, Err(ContainerError::Trailing { bytes: 7 }));
}

#[test]
fn longs_round_trip_at_the_edges() {
    for value in [0, -1, 1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        put_long(&mut out, value);
        assert_eq!(Cursor::new(&out).long(), Ok(value));
        for cut in 0..out.len() {
            assert!(matches!(Cursor::new(&out[..cut]).long(), Err(DatumError::End { .. })));
        }
    }
    assert_eq!(Cursor::new(&[0xff; 10]).long(), Err(DatumError::Varint { at: 0 }));
}

proptest! {
    #[test]
    fn library_reads_static_rows(rows in proptest::collection::vec((".{0,10}", ".{0,80}", ".{0,9000}"), 1..6)) {
        let count = rows.len() as u64;
        let data = static_rows(&rows);
        let bytes = block(count, &data);
        let file = [header(1, STATIC_SCHEMA).encode(), bytes.clone(), bytes.clone()].concat();
        let values = read_with_library(&file);
        prop_assert_eq!(values.len() as u64, 2 * count);
        let mut ours = Vec::new();
        for block in Blocks::new(&bytes, MARKER) {
            for_each_row::<_, ContainerError>(&block.unwrap(), RowRef::read, |row| {
                ours.push(row);
                Ok(())
            }).unwrap();
        }
        for (value, row) in values.iter().zip(&ours) {
            let Value::Record(fields) = value else { panic!("no record") };
            let expected = [row.topic, row.id, row.record].map(|s| Value::String(s.to_owned()));
            prop_assert_eq!(fields.iter().map(|f| &f.1).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn library_reads_error_rows(
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        timestamp in proptest::option::of(any::<i64>()),
        headers in proptest::collection::vec((".{0,5}", proptest::option::of(proptest::collection::vec(any::<u8>(), 0..4))), 0..4),
    ) {
        let row = ErrorRow {
            split: r#"{"partition":0,"topic":"t"}"#,
            position: r#"{"offset":4}"#,
            timestamp,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect(),
            code: "DECODE_FAILED",
            reason: "no JSON",
        };
        let mut data = Vec::new();
        row.write(&mut data);
        prop_assert_eq!(&ErrorRow::read(&mut Cursor::new(&data)).unwrap(), &row);
        let file = [header(0, ERROR_SCHEMA).encode(), block(1, &data)].concat();
        let values = read_with_library(&file);
        let Value::Record(fields) = &values[0] else { panic!("no record") };
        prop_assert_eq!(&fields[0].1, &Value::String(row.split.to_owned()));
        let Value::Array(read) = &fields[5].1 else { panic!("no array") };
        prop_assert_eq!(read.len(), headers.len());
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(ContainerHeader::decode(&bytes));
        drop(ErrorRow::read(&mut Cursor::new(&bytes)));
        for block in Blocks::new(&bytes, MARKER).flatten() {
            drop(for_each_row::<_, ContainerError>(&block, RowRef::read, |_| Ok(())));
        }
    }
}
