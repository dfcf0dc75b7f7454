//! Tests of staging: what comes out is what went in, in memory or not.

use protocol::avro::container::put_block_start;
use protocol::avro::primitive::put_bytes;

use super::*;

const MARKER: Marker = Marker([9; 16]);

fn frame(operation: Operation, ids: &[&str]) -> RowsFrame {
    let mut data = Vec::new();
    for id in ids {
        match operation {
            Operation::Error => {
                ErrorRow { split: "{}", position: id, ..ErrorRow::default() }.write(&mut data)
            }
            _ => ["t", id, "{}"].iter().for_each(|text| put_bytes(&mut data, text.as_bytes())),
        }
    }
    let mut blocks = Vec::new();
    put_block_start(&mut blocks, ids.len() as u64, data.len());
    blocks.extend(data);
    blocks.extend(MARKER.0);
    RowsFrame {
        extract: 1,
        part: 0,
        schema: 1,
        operation,
        count: ids.len() as u64,
        blocks: blocks.into(),
    }
}

fn ids(staged: &Staged) -> Vec<String> {
    let mut ids = Vec::new();
    staged
        .for_each(&mut |row| {
            ids.push(row.id.to_owned());
            Ok(())
        })
        .unwrap();
    ids
}

#[test]
fn rows_come_out_in_order_from_memory_and_file() {
    let budget = StageBudget::default();
    for memory_max in [0, 60, 1 << 20] {
        let mut staged = Staged::with_memory(&budget, MARKER, memory_max);
        staged.add(&frame(Operation::Insert, &["1", "2"])).unwrap();
        staged.add(&frame(Operation::Error, &["e"])).unwrap();
        staged.add(&frame(Operation::Insert, &["3"])).unwrap();
        assert_eq!(ids(&staged), ["1", "2", "3"], "memory {memory_max}");
        assert_eq!(ids(&staged), ["1", "2", "3"], "read again");
        let mut errors = Vec::new();
        staged
            .for_each_error(|row| {
                errors.push(row.position.to_owned());
                Ok(())
            })
            .unwrap();
        assert_eq!(errors, ["e"]);
        assert_eq!(staged.file.is_some(), memory_max < 1 << 20);
        drop(staged);
        assert_eq!(budget.0.load(Ordering::Acquire), 0, "memory is given back");
    }
}

#[test]
fn the_budget_is_shared_by_batches() {
    let budget = StageBudget::default();
    let mut first = Staged::with_memory(&budget, MARKER, 40);
    let mut second = Staged::with_memory(&budget, MARKER, 40);
    first.add(&frame(Operation::Insert, &["1"])).unwrap();
    second.add(&frame(Operation::Insert, &["2"])).unwrap();
    assert!(first.file.is_none() && second.file.is_some());
    assert_eq!(ids(&second), ["2"]);
}

#[test]
fn damaged_rows_are_an_error_not_a_panic() {
    let mut staged = Staged::new(&StageBudget::default(), MARKER);
    let mut bad = frame(Operation::Insert, &["1"]);
    bad.operation = Operation::Error;
    staged.add(&bad).unwrap();
    let error = staged.for_each_error(|_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn the_place_of_a_row_is_that_within_its_part() {
    let mut staged = Staged::new(&StageBudget::default(), MARKER);
    let mut other = frame(Operation::Insert, &["b0"]);
    other.part = 7;
    staged.add(&frame(Operation::Insert, &["a0", "a1"])).unwrap();
    staged.add(&frame(Operation::Error, &["bad"])).unwrap();
    staged.add(&other).unwrap();
    staged.add(&frame(Operation::Insert, &["a2"])).unwrap();
    let places: Vec<_> = (0..5).map(|index| staged.place_of(index)).collect();
    assert_eq!(places, [Some((0, 0)), Some((0, 1)), Some((7, 0)), Some((0, 2)), None]);
}
