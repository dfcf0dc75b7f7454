//! Tests of which rows the next assignment names.

use std::sync::Arc;

use protocol::message::Lag;

use super::*;
use crate::run::load::PlannedMove;

const KEY: &str = r#"{"gen":"p0"}"#;

fn found(nth: u64) -> Found {
    Found { part: 0, nth, digest: format!("d{nth}"), reason: format!("r{nth}") }
}

/// A batch of one split that begins at row `from`, `before` rows behind the place of its assignment.
fn job(from: u64, (before, rows, refused): (u64, u64, u64), named: &[u64], bad: &[u64]) -> Job {
    let value = |row: u64| format!(r#"{{"row":{row}}}"#);
    let named = named.iter().map(|row| Refused {
        part: 0,
        row: *row,
        digest: format!("old{row}"),
        reason: String::new(),
    });
    Job {
        assignment: 1,
        epoch: 1,
        moves: vec![PlannedMove {
            part: 0,
            key: KEY.to_owned(),
            rev: 0,
            from: value(from),
            to: value(from + rows + refused),
            is_end: false,
            rows,
            refused,
            before,
        }],
        staged: None,
        rows,
        errors: refused,
        bytes: 0,
        lag: Lag::default(),
        lags: Vec::new(),
        caught_up: false,
        refused: Arc::from(named.collect::<Vec<_>>()),
        can_refuse: true,
        found: bad.iter().map(|nth| found(*nth)).collect(),
    }
}

#[track_caller]
fn check(refusals: &Refusals, at: u64, expected: &[u64]) {
    let key = OffsetKey::parse(KEY).unwrap();
    let value = OffsetValue::parse(&format!(r#"{{"row":{at}}}"#)).unwrap();
    let named = refusals.of(&[(key, value)]);
    assert_eq!(named.iter().map(|it| it.row).collect::<Vec<_>>(), expected);
}

#[test]
fn found_rows_are_named_behind_the_offset_that_is_committed() {
    let mut refusals = Refusals::default();
    assert!(refusals.note(&job(100, (0, 50, 0), &[], &[3, 4, 49])));
    check(&refusals, 100, &[3, 4, 49]);
    check(&refusals, 101, &[]);
}

/// Rows that are error rows already count in the places of those that are found behind them.
#[test]
fn rows_that_are_named_already_keep_their_places() {
    let mut refusals = Refusals::default();
    // Rows 0 to 9 of which 2, 3 and 6 came as error rows: what comes are 0 1 4 5 7 8 9.
    assert!(refusals.note(&job(0, (0, 7, 3), &[2, 3, 6], &[1, 2, 4])));
    check(&refusals, 0, &[1, 2, 3, 4, 6, 7]);
    // The same, ten rows further on in the assignment; row 40 is still to come.
    assert!(refusals.note(&job(10, (10, 7, 3), &[2, 12, 13, 16, 40], &[2])));
    check(&refusals, 10, &[2, 3, 4, 6, 30]);
}

/// A named row that came as a row has other bytes by now: all places are counted anew.
#[test]
fn a_log_that_was_compacted_is_counted_anew() {
    let mut refusals = Refusals::default();
    assert!(refusals.note(&job(0, (0, 9, 1), &[2, 5], &[7])));
    check(&refusals, 0, &[]);
}

#[test]
fn a_batch_that_is_refused_again_and_again_ends_the_search() {
    let mut refusals = Refusals::default();
    for round in 1..=ROUNDS_MAX {
        assert!(refusals.note(&job(0, (0, 9, 0), &[], &[1])), "round {round}");
        assert_eq!(refusals.alone().is_some(), round > ROUNDS_TOGETHER, "round {round}");
    }
    assert!(!refusals.note(&job(0, (0, 9, 0), &[], &[1])));
    refusals.forget();
    assert!(refusals.note(&job(0, (0, 9, 0), &[], &[1])));
    assert_eq!(refusals.alone(), None);
    let many: Vec<u64> = (0..FOUND_MAX as u64).collect();
    assert!(refusals.note(&job(0, (0, 900, 0), &[], &many)));
    assert_eq!(refusals.alone(), Some(KEY));
}
