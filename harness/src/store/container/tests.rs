//! Containers, as another implementation reads them.

use apache_avro::Reader;
use apache_avro::types::Value;

use super::*;
use crate::store::RowRef;

fn written(container: &Container) -> Vec<u8> {
    let mut bytes = Vec::new();
    container.write_to(&mut bytes).unwrap();
    bytes
}

fn topics(bytes: &[u8]) -> Vec<String> {
    let rows = Reader::new(bytes).unwrap();
    rows.map(|row| match row.unwrap() {
        Value::Record(fields) => match &fields[0] {
            (name, Value::String(text)) if name == "topic" => text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn rows_of_any_source_become_blocks() {
    let long = "x".repeat(BLOCK_BYTES / 2);
    let rows: Vec<RowRef<'_>> = ["a", &long, "b", &long, &long, "c"]
        .iter()
        .map(|topic| RowRef { topic, id: "1", record: "{}" })
        .collect();
    let rows: &[RowRef<'_>] = &rows;
    let container = Container::of(&rows).unwrap();
    assert!(container.pieces.len() > 1, "several blocks");
    assert_eq!(container.rows(), 6);
    assert_eq!(topics(&written(&container)), ["a", &long, "b", &long, &long, "c"]);
}

#[test]
fn a_container_without_rows_is_a_header() {
    let rows: &[RowRef<'_>] = &[];
    let container = Container::of(&rows).unwrap();
    assert_eq!(container.rows(), 0);
    assert!(topics(&written(&container)).is_empty());
}

#[test]
fn spilled_blocks_come_back_as_they_were() {
    let rows: &[RowRef<'_>] = &[RowRef { topic: "a", id: "1", record: "{}" }];
    let whole = Container::of(&rows).unwrap();
    let Piece::Memory(block) = &whole.pieces[0] else { panic!("in memory") };
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"before").unwrap();
    file.write_all(block).unwrap();
    let mut spilled = Container::new(MARKER);
    spilled.push_file(Arc::new(file), 6, block.len(), 1);
    assert_eq!(written(&spilled), written(&whole));
    let empty = Arc::new(tempfile::tempfile().unwrap());
    spilled.push_file(empty, 0, 9, 1);
    let error = spilled.write_to(&mut Vec::new()).unwrap_err();
    assert!(matches!(error, WriteError::Staged(_)), "{error:?}");
}
