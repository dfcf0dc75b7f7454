//! A row that the database refuses, said to users: which record it is, where it lies, what to do.
//! Pure.
//!
//! The text holds the row's id, cut, so that a person finds the record; never its value.

use super::OnError;
use super::load::Job;
use crate::stage::Staged;
use crate::store::{MESSAGE_CHARS_MAX, Rows, StoreError};
use crate::transaction::LoadError;

/// Characters of an id, a topic, a KEY or a VALUE that the text holds.
const SHOWN_CHARS_MAX: usize = 100;

/// What can be done about it. A smaller batch is what loads the records before it: the refused one
/// took its whole batch along.
fn remedy(on_error: OnError) -> String {
    let aside = match on_error {
        OnError::Stop => {
            "; or have such records put aside into the errors table with --on-error skip \
             (errors.tolerance=all)"
        }
        OnError::Skip => "",
    };
    format!(
        "nothing of its batch was loaded. Change the table or the server so that it takes the row{aside}; \
         or go on without it: run with --batch-rows 1 to load what comes before it, then set its \
         split to behind it with harness set-offsets"
    )
}

/// Adds to a refusal of the database which record it is about.
pub(super) fn explain(error: LoadError, job: &Job, on_error: OnError) -> LoadError {
    let LoadError::Refused(refusal) = error else { return error };
    let place = refusal.row().zip(job.staged.as_ref());
    let Some(what) = place.and_then(|(row, staged)| describe(row, staged, job)) else {
        return LoadError::Refused(refusal);
    };
    let remedy = remedy(on_error);
    let room = MESSAGE_CHARS_MAX.saturating_sub(what.chars().count() + remedy.chars().count() + 4);
    let cause: String = refusal.to_string().chars().take(room).collect();
    LoadError::Refused(StoreError::new(refusal.kind(), format!("{what}: {cause}; {remedy}")))
}

/// The row of this index within the batch: its topic and id, its split, and its place there.
fn describe(row: u64, staged: &Staged, job: &Job) -> Option<String> {
    let (part, nth) = staged.place_of(row)?;
    let split = job.moves.iter().find(|step| step.part == part)?;
    let mut named = None;
    let mut index = 0;
    let read = staged.for_each(&mut |it| {
        if index == row {
            named = Some((cut(it.topic), cut(it.id)));
        }
        index += 1;
        Ok(())
    });
    let (topic, id) = named.filter(|_| read.is_ok())?;
    Some(format!(
        "the database refuses the row with id {id} of topic {topic}, number {} of those that split \
         {} gave from {} to {}",
        nth + 1,
        cut(&split.key),
        cut(&split.from),
        cut(&split.to)
    ))
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
