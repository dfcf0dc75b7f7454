//! Tests of what is kept, and for how long.

use super::super::budget::Room;
use super::*;

const MIB: usize = 1024 * 1024;

/// A budget that is filled but for `free` bytes, and what is kept beside it.
fn filled(budget: usize, free: usize) -> (Spare, Room) {
    let budget = Budget::new(budget as u64);
    let room = budget.take_now(budget.bytes() - free as u64).unwrap();
    room.fill();
    (Spare::new(&budget), room)
}

/// How many bodies of this size are kept.
fn bodies(spare: &Spare, size: usize) -> usize {
    std::iter::from_fn(|| spare.body(size, size)).count()
}

#[test]
fn what_is_kept_is_bounded_and_what_is_taken_fits() {
    let (spare, _room) = filled(64 * MIB, 0);
    assert!(spare.body(MIB, MIB).is_none());
    for _ in 0..20 {
        let mut body = Vec::with_capacity(MIB);
        body.push(7);
        spare.give(body, Vec::new());
    }
    assert!(spare.body(MIB + 1, 2 * MIB).is_none(), "too small");
    assert!(spare.body(MIB / 4, MIB).is_none(), "much too large");
    assert!(spare.body(MIB - 1, MIB - 1).is_none(), "more than there may be");
    for _ in 0..12 {
        let body = spare.body(MIB - 1, MIB).unwrap();
        assert!(body.is_empty() && body.capacity() == MIB);
    }
    assert!(spare.body(MIB, MIB).is_none(), "12 MiB are kept and no more");
    spare.give(Vec::with_capacity(1_000), Vec::with_capacity(10_000));
    assert!(spare.body(1_000, 1_000).is_none(), "small ones are not kept");
    assert!(spare.entries(9_000).is_some_and(|list| list.capacity() == 10_000));
    spare.give(Vec::with_capacity(MIB), Vec::with_capacity(10_000));
    assert!(spare.clear() && !spare.clear());
    assert!(spare.body(MIB, MIB).is_none() && spare.entries(10_000).is_none());
}

#[test]
fn what_is_older_makes_room_and_a_small_budget_keeps_less() {
    let (spare, _room) = filled(16 * MIB, 0);
    for _ in 0..3 {
        spare.give(Vec::with_capacity(MIB), Vec::new());
    }
    spare.give(Vec::with_capacity(4 * MIB), Vec::new());
    assert!(spare.body(4 * MIB, 4 * MIB).is_none(), "3 MiB beside 16 and no more");
    spare.give(Vec::with_capacity(2 * MIB), Vec::with_capacity(20_000));
    assert!(spare.body(2 * MIB, 2 * MIB).is_some(), "it is newer than the small ones");
    assert!(spare.entries(20_000).is_some());
    assert!(spare.body(MIB, MIB).is_none(), "which went for it");
    for size in [MIB, 2 * MIB, 3 * MIB] {
        spare.give(Vec::with_capacity(size), Vec::new());
    }
    assert!(spare.body(3 * MIB, 3 * MIB).is_some());
    assert!(spare.body(MIB, 2 * MIB).is_none());
}

#[test]
fn what_is_not_filled_of_the_budget_is_kept_until_it_is_filled() {
    let (spare, _room) = filled(64 * MIB, 8 * MIB);
    let give = || (0..30).for_each(|_| spare.give(Vec::with_capacity(MIB), Vec::new()));
    give();
    assert_eq!(bodies(&spare, MIB), 20, "8 MiB of the budget and 12 beside it");
    give();
    let room = spare.budget.take_now(5 * MIB as u64).unwrap();
    assert_eq!(spare.kept().bytes, 20 * MIB, "what is asked for takes no memory yet");
    room.fill();
    assert!(spare.body(2 * MIB, 2 * MIB).is_none());
    assert_eq!(bodies(&spare, MIB), 15, "what lies in the room made the others go");
    drop(room);
    give();
    assert_eq!(bodies(&spare, MIB), 20);
}

#[test]
fn what_nobody_takes_is_dropped_after_a_while() {
    let (spare, _room) = filled(64 * MIB, 32 * MIB);
    spare.give(Vec::with_capacity(8 * MIB), Vec::with_capacity(10_000));
    for _ in 0..PAGES_UNUSED_MAX {
        assert!(spare.kept().bytes > 8 * MIB);
        spare.give(Vec::new(), Vec::new());
    }
    assert!(spare.kept().bytes > 8 * MIB);
    spare.give(Vec::new(), Vec::new());
    assert_eq!(spare.kept().bytes, 0, "it is of no use any more");
    assert!(spare.clear() && !spare.clear(), "the system has not had it yet");
    for _ in 0..100 {
        spare.give(Vec::with_capacity(PIECE_BYTES_MIN), Vec::new());
    }
    let kept = usize::try_from(PAGES_UNUSED_MAX).unwrap() + 1;
    assert_eq!(bodies(&spare, PIECE_BYTES_MIN), kept);
}
