//! The records of a batch that are put aside: their rows for the catalogue, and their letters for a topic.
//!
//! Touches nothing. Invariant: key, value and headers are those that the extractor gave.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use protocol::OffsetKey;

use super::RunError;
use super::load::Job;
use super::refusals::is_refused;
use crate::catalogue::{ErrorKind, ErrorRow};
use crate::deadletter::{DeadLetters, Letter};
use crate::store::StoreError;

/// What becomes of records that are put aside. They are in the errors table in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// A topic that gets each of them, before the batch is committed.
    pub letters: Option<DeadLetters>,
    /// Whether each is told to the observer.
    pub is_logged: bool,
}

impl Aside {
    /// Refuses a source that reads the topic which records are put aside into.
    ///
    /// # Errors
    /// One of these splits is of that topic.
    pub(super) fn require_not_read<'k>(
        &self,
        mut splits: impl Iterator<Item = &'k OffsetKey>,
    ) -> Result<(), RunError> {
        let Some(letters) = &self.letters else { return Ok(()) };
        let Some(split) = splits.find(|split| letters.is_fed_by(split)) else { return Ok(()) };
        Err(RunError::Config(format!(
            "errors.deadletterqueue.topic.name: the pipeline reads {} itself (split {split}), so that each bad \
             record would come again and again; name another topic, or leave it out of topics.regex",
            letters.topic
        )))
    }
}

/// Those of a batch, copied out of its blocks.
#[derive(Default)]
pub(super) struct Records {
    pub(super) letters: Vec<Letter>,
    /// Headers as the catalogue has them.
    headers: Vec<Option<Vec<u8>>>,
}

impl Records {
    pub(super) fn collect(job: &Job) -> Result<Self, StoreError> {
        let mut all = Self::default();
        if let Some(staged) = &job.staged {
            staged.for_each_error(|row| {
                let headers = row.headers.iter();
                all.headers.push(headers_json(&row.headers));
                all.letters.push(Letter {
                    split: row.split.to_owned(),
                    position: row.position.to_owned(),
                    key: row.key.map(<[u8]>::to_vec),
                    value: row.value.map(<[u8]>::to_vec),
                    headers: headers
                        .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
                        .collect(),
                    code: row.code.to_owned(),
                    reason: row.reason.to_owned(),
                    is_load: is_refused(row.code),
                });
                Ok(())
            })?;
        }
        Ok(all)
    }

    /// As the catalogue takes them.
    pub(super) fn rows(&self) -> Vec<ErrorRow<'_>> {
        let rows = self.letters.iter().zip(&self.headers);
        rows.map(|(letter, headers)| ErrorRow {
            kind: if letter.is_load { ErrorKind::Load } else { ErrorKind::Transform },
            code: &letter.code,
            reason: &letter.reason,
            split_key: Some(&letter.split),
            position: Some(&letter.position),
            raw_key: letter.key.as_deref(),
            raw_value: letter.value.as_deref(),
            raw_headers: headers.as_deref(),
        })
        .collect()
    }

    /// One line for each of them, without contents.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.letters.iter().map(|it| {
            let Letter { position, split, code, reason, .. } = it;
            format!("the record at {position} of split {split} was put aside: {code}: {reason}")
        })
    }
}

/// Headers as JSON text, values in base64: nothing of them is lost.
fn headers_json(headers: &[(&str, Option<&[u8]>)]) -> Option<Vec<u8>> {
    if headers.is_empty() {
        return None;
    }
    let entries: Vec<serde_json::Value> = headers
        .iter()
        .map(|(name, value)| {
            serde_json::json!({ "name": name, "value": value.map(|bytes| STANDARD.encode(bytes)) })
        })
        .collect();
    serde_json::to_vec(&entries).ok()
}
