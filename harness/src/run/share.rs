//! Which task reads which split: a stable rule over the catalogue, so that every copy of the
//! harness comes to the same answer without talking to the others. Pure.

use std::collections::{HashMap, HashSet};

use protocol::OffsetValue;

use super::Share;
use crate::catalogue::Split;

/// Splits of the pipeline with their parents, as the source named them.
pub(super) type Parents = HashMap<String, Vec<String>>;

/// The number of a task, over all leaves: its TASK_ID in the catalogue.
pub(super) const fn slots(share: &Share) -> u32 {
    share.leaves * share.tasks
}

/// The leaf of a task.
pub(super) const fn leaf_of(slot: u32, share: &Share) -> u32 {
    slot % share.leaves
}

/// The tasks that this process runs.
pub(super) fn own_slots(share: &Share) -> Vec<u32> {
    let own = |slot: &u32| share.leaf.is_none_or(|leaf| leaf_of(*slot, share) == leaf);
    (0..slots(share)).filter(own).collect()
}

/// The keys that a task reads now, in the order of their ordinals.
///
/// A split is left out when it was read to its end, and while one of its parents was not. The gate
/// looks at committed offsets only (E11): a parent that is not in the catalogue was never to be
/// read.
pub(super) fn keys_of(
    slot: u32,
    share: &Share,
    splits: &[Split],
    parents: &Parents,
) -> Vec<String> {
    let unfinished: HashSet<&str> =
        splits.iter().filter(|split| !is_end(split)).map(|split| split.key.as_str()).collect();
    let waits = |split: &Split| {
        let parents = parents.get(&split.key).map(Vec::as_slice).unwrap_or_default();
        parents.iter().any(|parent| unfinished.contains(parent.as_str()))
    };
    splits
        .iter()
        .filter(|split| split.ordinal % u64::from(slots(share)) == u64::from(slot))
        .filter(|split| unfinished.contains(split.key.as_str()) && !waits(split))
        .map(|split| split.key.clone())
        .collect()
}

fn is_end(split: &Split) -> bool {
    OffsetValue::parse(&split.value).is_ok_and(|value| value.is_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(ordinal: u64, key: &str, value: &str) -> Split {
        let (key, value) = (key.to_owned(), value.to_owned());
        Split { key, value, rev: 0, epoch: 0, ordinal, task_id: 0 }
    }

    const fn share(leaves: u32, leaf: Option<u32>, tasks: u32) -> Share {
        Share { leaves, leaf, tasks }
    }

    #[test]
    fn every_split_has_exactly_one_task() {
        let splits: Vec<Split> =
            (0..23).map(|n| split(n, &format!("s{n}"), r#"{"row":0}"#)).collect();
        for leaves in 1..4 {
            for tasks in 1..4 {
                let mut seen = Vec::new();
                for leaf in 0..leaves {
                    for slot in own_slots(&share(leaves, Some(leaf), tasks)) {
                        let share = share(leaves, None, tasks);
                        seen.extend(keys_of(slot, &share, &splits, &Parents::new()));
                    }
                }
                seen.sort();
                let mut all: Vec<String> = splits.iter().map(|it| it.key.clone()).collect();
                all.sort();
                assert_eq!(seen, all, "{leaves} leaves, {tasks} tasks");
            }
        }
    }

    #[test]
    fn four_splits_on_two_tasks_are_two_each() {
        let splits: Vec<Split> = (0..4).map(|n| split(n, &n.to_string(), r#"{"row":0}"#)).collect();
        let share = share(1, None, 2);
        let of = |slot| keys_of(slot, &share, &splits, &Parents::new());
        assert_eq!((of(0), of(1)), (vec!["0".into(), "2".into()], vec!["1".into(), "3".into()]));
    }

    #[test]
    fn children_wait_for_the_committed_end_of_their_parents() {
        let parents: Parents = [("c".to_owned(), vec!["a".to_owned(), "gone".to_owned()])].into();
        let share = share(1, None, 1);
        let at = |a| [split(0, "a", a), split(1, "c", r#"{"row":0}"#)];
        assert_eq!(keys_of(0, &share, &at(r#"{"row":5}"#), &parents), ["a"]);
        assert_eq!(keys_of(0, &share, &at(r#"{"closed":true,"row":5}"#), &parents), ["c"]);
    }
}
