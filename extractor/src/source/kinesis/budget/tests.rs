//! Tests of the shared bytes.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[test]
fn the_budget_is_shared_and_comes_back() {
    let budget = Budget::new(10 * UNIT);
    let other = budget.clone();
    let mut first = now(budget.take(6 * UNIT)).unwrap();
    assert!(now(other.take(5 * UNIT)).is_none());
    first.shrink_to(1025);
    assert_eq!(other.free(), 8 * UNIT);
    let second = now(other.take(8 * UNIT)).unwrap();
    assert_eq!(budget.free(), 0);
    drop((first, second));
    assert_eq!(budget.free(), 10 * UNIT);
}

#[test]
fn more_than_there_is_counts_as_all() {
    let budget = Budget::new(10 * UNIT);
    let room = now(budget.take(u64::MAX)).unwrap();
    assert_eq!(budget.free(), 0);
    drop(room);
    assert_eq!(budget.free(), 10 * UNIT);
}
