//! Which life of the source the stored offsets belong to: compared, and written down.
//!
//! A text of entries `NAME:ID`, separated by commas (`SPEC.md` section 6): one for each topic or
//! stream. A name with another id is another source under the old name; a new name is a topic that
//! was added to the pipeline.

use std::collections::BTreeMap;

use protocol::{Code, Failure};

use super::RunError;
use super::failure::Stop;
use super::setup::Setup;
use crate::catalogue::Catalogue;

type Entries<'a> = BTreeMap<&'a str, &'a str>;

/// Compares what the source says with what is stored, and stores what is new in it: before the first
/// row of a topic is read, so that it is known when that topic is created again.
///
/// # Errors
/// A name has another id than before, or the database.
pub(super) fn remember(
    setup: &Setup,
    catalogue: &mut Catalogue,
    discovered: &str,
) -> Result<(), Stop> {
    // Tasks come here at the same time; each adds to what the one before has stored. So do other
    // leaves, whose additions only the database has.
    let mut stored = setup.lock_incarnation();
    let merged = merge(&stored, discovered).map_err(RunError::Extractor)?;
    if merged != *stored {
        let id = setup.pipeline.id;
        let merged = catalogue.merge_incarnation(id, |stored| merge(stored, discovered))?;
        *stored = merged.map_err(RunError::Extractor)?;
    }
    Ok(())
}

/// What is to be stored, after `discovered` was compared with `stored`.
///
/// # Errors
/// `SOURCE_RECREATED`: a name has another id than before.
fn merge(stored: &str, discovered: &str) -> Result<String, Failure> {
    let (mut merged, found) = (entries(stored), entries(discovered));
    for (name, id) in found {
        if let Some(before) = merged.insert(name, id).filter(|before| *before != id) {
            let what = if name.is_empty() { "the source" } else { name };
            let text = format!(
                "{what} was deleted and created again since its offsets were stored (it was \
                 {before}, it is {id}): the offsets mean nothing any more; set those of all its \
                 splits with harness set-offsets --reset-incarnation, or drop the pipeline and \
                 start it again"
            );
            return Err(Failure::new(Code::SourceRecreated, text));
        }
    }
    let text = merged.iter().map(|(name, id)| match *name {
        "" => (*id).to_owned(),
        name => format!("{name}:{id}"),
    });
    Ok(text.collect::<Vec<_>>().join(","))
}

/// Names and ids; a text without a name is the id of the whole source.
fn entries(text: &str) -> Entries<'_> {
    let entries = text.split(',').filter(|entry| !entry.is_empty());
    entries.map(|entry| entry.rsplit_once(':').unwrap_or(("", entry))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stored: &str, discovered: &str, merged: &str) {
        assert_eq!(merge(stored, discovered).unwrap(), merged);
    }

    #[test]
    fn topics_may_come_and_go() {
        check("", "a:1,b:2", "a:1,b:2");
        check("a:1", "a:1,b:2", "a:1,b:2");
        check("a:1,b:2", "b:2", "a:1,b:2");
        check("a:1", "", "a:1");
        check("test-7", "test-7", "test-7");
        check(
            "arn:aws:kinesis:eu:1:stream/s:170",
            "arn:aws:kinesis:eu:1:stream/s:170",
            "arn:aws:kinesis:eu:1:stream/s:170",
        );
    }

    #[test]
    fn another_life_is_refused_with_both_ids() {
        for (stored, discovered, name) in
            [("a:1,b:2", "a:1,b:3", "b"), ("test-1", "test-2", "the source")]
        {
            let failure = merge(stored, discovered).unwrap_err();
            assert_eq!(failure.code, Code::SourceRecreated);
            assert!(failure.message.starts_with(name), "{failure}");
        }
    }
}
