//! E5: a pin that comes too late.

use harness::catalogue::{Catalogue, VALUE_LEN_MAX};
use harness::store::StoreErrorKind;

use crate::bed::{Bed, KEY, KEY_2, Owner, START, at};

/// What `insert_splits` answers is what another connection sees.
/// Take `store.commit()?` out of `Catalogue::transact` to see it fail.
#[test]
fn e05_a_pin_is_committed_before_it_is_answered() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let pinned = owner
            .catalogue
            .insert_splits(owner.pipeline.id, &[(KEY, &at(7)), (KEY_2, &at(9))])
            .expect("inserts");
        // The first was pinned before and keeps its value; the second is new.
        assert_eq!((pinned[0].value.as_str(), pinned[1].value.as_str()), (START, &*at(9)));
        let mut other = Catalogue::open(bed.connect()).expect("opens");
        assert_eq!(other.splits(owner.pipeline.id), Ok(pinned));
    }
}

/// A restart resolves `latest` anew, and the first pin wins.
/// Let `insert_absent` in `catalogue/splits.rs` overwrite what is there to see it fail.
#[test]
fn e05_the_first_pin_wins() {
    for bed in Bed::all() {
        let owner = Owner::of(&bed);
        drop(owner.catalogue);
        let mut again = Catalogue::open(bed.connect()).expect("opens");
        let later = again.insert_splits(owner.pipeline.id, &[(KEY, &at(100))]).expect("reads");
        assert_eq!((later[0].value.as_str(), later[0].rev), (START, owner.split.rev));
    }
}

/// An offset without a value matches nothing for ever.
/// Take the call of `check_value` out of `insert_splits` to see it fail.
#[test]
fn e05_a_value_is_never_null() {
    let long = format!("\"{}\"", "x".repeat(VALUE_LEN_MAX));
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let id = owner.pipeline.id;
        for value in ["", "null", &long] {
            let inserted = owner.catalogue.insert_splits(id, &[(KEY_2, value)]);
            assert_eq!(inserted.expect_err("refused").kind(), StoreErrorKind::Config);
            let set = owner.catalogue.set_offsets(id, &[(KEY, value)]);
            assert_eq!(set.expect_err("refused").kind(), StoreErrorKind::Config);
        }
        assert_eq!(owner.catalogue.splits(id).expect("reads").len(), 1);
        let forced = bed.store().execute("UPDATE s2x_offsets SET value_text = NULL", &[]);
        forced.expect_err("the column refuses it too");
    }
}

/// Splits keep their place when new ones appear, whoever lists them and in whatever order.
#[test]
fn e05_ordinals_are_stable() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let id = owner.pipeline.id;
        let ordinals = |splits: Vec<harness::catalogue::Split>| -> Vec<u64> {
            splits.into_iter().map(|split| split.ordinal).collect()
        };
        let mut other = Catalogue::open(bed.connect()).expect("opens");
        let three = [("\"c\"", START), (KEY, START), ("\"b\"", START)];
        let first = owner.catalogue.insert_splits(id, &three).expect("inserts");
        assert_eq!(ordinals(first), [1, 0, 2]);
        let turned = [("\"b\"", START), ("\"d\"", START), ("\"c\"", START)];
        assert_eq!(ordinals(other.insert_splits(id, &turned).expect("inserts")), [2, 3, 1]);
        assert_eq!(ordinals(other.splits(id).expect("reads")), [0, 1, 2, 3]);
    }
}

/// Two hosts pin the same new splits at once: one value for each, no ordinal twice.
#[test]
fn e05_racing_pins_agree() {
    for bed in Bed::all() {
        let owner = Owner::of(&bed);
        let id = owner.pipeline.id;
        let keys: Vec<String> = (0..40).map(|n| format!("{{\"shardId\":\"{n}\"}}")).collect();
        let racers: Vec<_> = (0..4)
            .map(|racer| {
                let (connect, keys) = (bed.connect(), keys.clone());
                std::thread::spawn(move || {
                    let value = at(racer);
                    let starts: Vec<(&str, &str)> =
                        keys.iter().map(|key| (key.as_str(), value.as_str())).collect();
                    let mut catalogue = Catalogue::open(connect).expect("opens");
                    catalogue.insert_splits(id, &starts).expect("inserts")
                })
            })
            .collect();
        let answers: Vec<_> = racers.into_iter().map(|racer| racer.join().expect("ends")).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "all see the same pins");
        let mut ordinals: Vec<u64> = answers[0].iter().map(|split| split.ordinal).collect();
        ordinals.sort_unstable();
        assert_eq!(ordinals, (1..=40).collect::<Vec<u64>>());
    }
}
