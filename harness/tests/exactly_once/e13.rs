//! E13: two counts of leaves.

use harness::catalogue::{Catalogue, NewPipeline};
use harness::store::StoreErrorKind;
use harness::transaction::{LoadError, Loader};

use crate::bed::{Bed, Owner, at, new_pipeline, rows};

/// A copy that counts other leaves than the catalogue is refused.
/// Take `require_leaf_count` out of `create_pipeline` in `catalogue/pipelines.rs` to see it fail.
#[test]
fn e13_another_count_of_leaves_is_refused() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let three = NewPipeline { leaf_count: 3, ..new_pipeline("p") };
        let error = owner.catalogue.create_pipeline(&three).expect_err("it has one");
        assert_eq!(error.kind(), StoreErrorKind::Config);
        assert!(error.to_string().contains("shared by 1 leaves, this copy counts 3"), "{error}");
        owner.pipeline.require_leaf_count(3).expect_err("so does one that only reads it");
    }
}

/// Changed on purpose, the new count holds and whoever owned a split by the old one is fenced.
/// Take `fence_all` out of `change_leaf_count` to see it fail.
#[test]
fn e13_a_count_changed_on_purpose_fences_the_old_owners() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let claims = owner.catalogue.claim_leaves(owner.pipeline.id, &[0]).expect("claims");
        owner.catalogue.change_leaf_count(owner.pipeline.id, 3).expect("changes");
        let held = owner.catalogue.holds(owner.pipeline.id, claims[0]).expect("asks");
        assert!(!held, "a process of the old count ends");
        let three = NewPipeline { leaf_count: 3, ..new_pipeline("p") };
        let mut other = Catalogue::open(bed.connect()).expect("opens");
        let pipeline = other.create_pipeline(&three).expect("three now").into_pipeline();
        assert_eq!((pipeline.id, pipeline.leaf_count), (owner.pipeline.id, 3));
        let mut loader = Loader::new(bed.connect());
        let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
        assert!(matches!(sent, Err(LoadError::Fenced(_))), "{sent:?}");
        owner.catalogue.change_leaf_count(owner.pipeline.id, 0).expect_err("none at all");
    }
}
