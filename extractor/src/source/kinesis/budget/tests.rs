//! Tests of the shared bytes.

use super::*;

#[test]
fn the_budget_is_shared_and_comes_back() {
    let budget = Budget::new(10 * UNIT);
    let other = budget.clone();
    let mut first = budget.take_now(6 * UNIT).unwrap();
    assert!(other.take_now(5 * UNIT).is_none());
    first.shrink_to(1025);
    assert_eq!(other.free(), 8 * UNIT);
    let second = other.take_now(8 * UNIT).unwrap();
    assert_eq!(budget.free(), 0);
    drop((first, second));
    assert_eq!(budget.free(), 10 * UNIT);
}

#[test]
fn more_than_there_is_counts_as_all() {
    let budget = Budget::new(10 * UNIT);
    let room = budget.take_now(u64::MAX).unwrap();
    assert_eq!(budget.free(), 0);
    drop(room);
    assert_eq!(budget.free(), 10 * UNIT);
}

#[test]
fn what_is_filled_counts_until_it_is_given_back() {
    let budget = Budget::new(10 * UNIT);
    let unfilled = || budget.unfilled() as u64;
    let mut room = budget.take_now(6 * UNIT).unwrap();
    assert_eq!((unfilled(), budget.free()), (10 * UNIT, 4 * UNIT), "it is taken and empty");
    room.fill();
    room.fill();
    assert_eq!(unfilled(), 4 * UNIT);
    room.shrink_to(2 * 1024);
    assert_eq!((unfilled(), budget.free()), (8 * UNIT, 8 * UNIT));
    let empty = budget.take_now(8 * UNIT).unwrap();
    drop(room);
    assert_eq!((unfilled(), budget.free()), (10 * UNIT, 2 * UNIT));
    drop(empty);
    assert_eq!((unfilled(), budget.free()), (10 * UNIT, 10 * UNIT));
}
