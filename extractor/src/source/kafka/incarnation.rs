//! Which life of its topics an assignment belongs to. Pure.

use std::collections::BTreeMap;

use protocol::Failure;

use super::describe::Topics;
use super::failure;

/// The ids of all topics as one text, `name:id` joined by commas; topics without an id are left
/// out, and the text is empty where the broker gives none.
pub(super) fn incarnation(topics: &Topics) -> String {
    let ids = topics.iter().filter_map(|(name, topic)| {
        let id = topic.as_ref().ok()?.id.as_ref()?;
        Some(format!("{name}:{id}"))
    });
    ids.collect::<Vec<_>>().join(",")
}

/// The id that each topic must have: that of the incarnation, or the present one.
pub(super) fn expected_ids(
    incarnation: &str,
    topics: &Topics,
) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let before: BTreeMap<&str, &str> =
        incarnation.split(',').filter_map(|entry| entry.split_once(':')).collect();
    let mut expected = BTreeMap::new();
    for (name, topic) in topics {
        let now = topic.as_ref().ok().and_then(|topic| topic.id.as_deref());
        match (before.get(name.as_str()), now) {
            (Some(before), Some(now)) if *before != now => {
                return Err(failure::id_changed(name, before, now));
            }
            _ => {}
        }
        expected.insert(name.clone(), now.map(ToOwned::to_owned));
    }
    Ok(expected)
}

#[cfg(test)]
mod tests;
