//! Tests of rows against outputs that the documentation shows (`testdata/kinesis`).

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::Record;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::avro::row::RowRef;
use serde_json::{Value, json};

use super::super::records::Records;
use super::*;

fn golden() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/kinesis/rows.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The row as it is read back: topic, id and record.
fn written(frame: &Frame<'_>, record: &Record) -> Value {
    let mut out = Vec::new();
    let records = Records::of(std::slice::from_ref(record)).unwrap();
    frame.write(&mut out, &records.get(0).unwrap());
    let mut cursor = protocol::avro::Cursor::new(&out);
    let row = RowRef::read(&mut cursor).unwrap();
    assert!(cursor.is_empty());
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    json!({"topic": row.topic, "id": json(row.id), "record": json(row.record)})
}

#[test]
fn rows_are_those_of_the_documentation() {
    let golden = golden();
    let lists = [&golden["rows"], &golden["extra"]];
    let rows: Vec<&Value> = lists.into_iter().flat_map(|list| list.as_array().unwrap()).collect();
    assert_eq!(rows.len(), 5);
    for row in rows {
        let record = &row["record"];
        let text = |name: &str| record[name].as_str().unwrap();
        let arrival = record["approximateArrivalTimestamp"].as_i64().unwrap();
        let built = Record::builder()
            .sequence_number(text("sequenceNumber"))
            .approximate_arrival_timestamp(DateTime::from_millis(arrival))
            .data(Blob::new(STANDARD.decode(text("data")).unwrap()))
            .partition_key(text("partitionKey"))
            .build()
            .unwrap();
        let topic = row["topic"].as_str().unwrap();
        let frame = Frame::new(topic, text("streamName"), text("shardId"));
        assert_eq!(written(&frame, &built), *row);
    }
}

#[test]
fn times_are_exact_although_doubles_are_not() {
    for time in golden()["timestamps"].as_array().unwrap() {
        let seconds: f64 = time["wire_epoch_seconds"].as_str().unwrap().parse().unwrap();
        let read = DateTime::from_secs_f64(seconds);
        assert_eq!(read.to_millis().unwrap(), time["floor_of_sdk_value"].as_i64().unwrap());
        assert_eq!(millis(&read), time["expected_ms"].as_i64());
    }
    for ms in (1_775_700_271_000_i64..1_775_700_273_000).chain(0..2_000) {
        #[expect(clippy::cast_precision_loss, reason = "as the service's JSON is read")]
        let read = DateTime::from_secs_f64(ms as f64 / 1000.0);
        assert_eq!(millis(&read), Some(ms));
    }
}

#[test]
fn what_is_absent_is_null_and_what_is_empty_is_empty() {
    let record =
        Record::builder().sequence_number("1").data(Blob::new(Vec::new())).build().unwrap();
    let frame = Frame::new("t", "s", "h");
    let row = written(&frame, &record);
    assert_eq!(row["id"], json!({"partitionKey": null}));
    assert_eq!(row["record"]["partitionKey"], Value::Null);
    assert_eq!(row["record"]["approximateArrivalTimestamp"], Value::Null);
    assert_eq!(row["record"]["data"], "");
}

/// The quick way and the general one make the same bytes, at every width of a length.
#[test]
fn both_ways_of_writing_make_the_same_row() {
    let frame = Frame::new("topic", "stream", "shardId-000000000001");
    for data in [0, 1, 30, 60, 63, 64, 300, 8_000, 8_191, 8_192, 9_000, 1_100_000] {
        for (key, ms) in [("k", 0), ("\"\\\u{1}é", -1), (&*"k".repeat(256), 1_775_700_271_554)] {
            let record = Record::builder()
                .sequence_number("4967")
                .approximate_arrival_timestamp(DateTime::from_millis(ms))
                .data(Blob::new(vec![7; data]))
                .partition_key(key);
            let records = Records::of(&[record.build().unwrap()]).unwrap();
            let view = records.get(0).unwrap();
            let (mut quick, mut general) = (Vec::new(), Vec::new());
            frame.write(&mut quick, &view);
            frame.write_any(&mut general, &view);
            assert!(quick == general, "{data} bytes, key {key:?}, {ms}");
        }
    }
}
