//! The body of a GetRecords answer, read where it lies: each record becomes a few places in the
//! bytes, and the base64 text of its data is never decoded. Pure.
//!
//! Why not the SDK's types: they copy every field and decode the data, which the row then encodes
//! again. A test compares both on generated and on hostile bodies. What the service does not send is
//! an error with its place: a record without data or number, base64 that is not canonical, JSON that
//! RFC 8259 does not allow.

mod aside;
mod cursor;
mod number;
mod quick;
mod record;

use serde::Deserialize;

use self::aside::Aside;
use self::cursor::Cursor;
use super::aggregate::HashRange;
use super::records::{RECORDS_MAX, Records};
use super::shards::{Listed, Listing};
use super::spare::Spare;

/// Why a body can not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {what}")]
pub(super) struct ScanError {
    /// Where in the body.
    pub(super) at: usize,
    /// What is wrong there.
    pub(super) what: &'static str,
}

impl ScanError {
    /// Whether the body is good, and what has to be copied out of it finds no room.
    pub(super) fn is_no_room(&self) -> bool {
        self.what == NO_ROOM
    }
}

/// What is said where the copies of texts with escapes are too large.
const NO_ROOM: &str = "texts with escapes that need more memory than there is for an answer";

/// One answer of GetRecords.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its records, in order.
    pub(super) records: Records,
    /// What to read on with; none at the end of the shard.
    pub(super) next: Option<String>,
    /// How far the service says the answer is from the end of the shard.
    pub(super) behind_ms: Option<i64>,
    /// The children, where the answer is the end of the shard.
    pub(super) children: Listing,
}

/// Reads a body. It and what is copied out of it take `bytes_max` bytes at most; one text with
/// escapes at a time is beside that while it is read. Memory that is to be had comes from `spare`,
/// and goes there.
///
/// # Errors
/// It is no JSON, not the answer that the service's model describes, or the copies need more room.
pub(super) fn scan(
    mut body: Vec<u8>,
    bytes_max: usize,
    spare: &Spare,
) -> Result<Answer, ScanError> {
    let found = match Found::of(&body, bytes_max, spare) {
        // Escapes are rare: room that the body does not need is given up for them only then.
        Err(error) if error.is_no_room() && body.capacity() > body.len() => {
            body.shrink_to_fit();
            Found::of(&body, bytes_max, spare)?
        }
        found => found?,
    };
    let Found { records, aside, next, behind_ms, children, .. } = found;
    let records = Records::new(body, aside.whole(), records.unwrap_or_default(), spare);
    Ok(Answer { records, next, behind_ms, children })
}

/// What the members of an answer are made of; a later one of the same name counts.
#[derive(Debug, Default)]
struct Found {
    records: Option<Vec<super::records::Entry>>,
    /// Texts that were written with escapes, as they are written without.
    aside: Aside,
    next: Option<String>,
    behind_ms: Option<i64>,
    children: Listing,
}

impl Found {
    /// Reads a body; there are records.
    fn of(body: &Vec<u8>, bytes_max: usize, spare: &Spare) -> Result<Self, ScanError> {
        let aside = Aside::new(bytes_max.saturating_sub(body.capacity()));
        let mut found = Self { aside, ..Self::default() };
        let mut cursor = Cursor::new(body);
        cursor.object(|cursor, key| found.member(cursor, key, spare))?;
        cursor.end()?;
        match found.records {
            Some(_) => Ok(found),
            None => Err(cursor.error("the answer has no Records")),
        }
    }

    fn member(
        &mut self,
        cursor: &mut Cursor<'_>,
        key: &[u8],
        spare: &Spare,
    ) -> Result<(), ScanError> {
        match key {
            b"Records" => self.records(cursor, spare),
            b"NextShardIterator" => {
                self.next = cursor.string_or_null()?;
                Ok(())
            }
            b"MillisBehindLatest" => {
                self.behind_ms = cursor.integer_or_null()?;
                Ok(())
            }
            b"ChildShards" => self.children(cursor),
            _ => cursor.skip(),
        }
    }

    fn records(&mut self, cursor: &mut Cursor<'_>, spare: &Spare) -> Result<(), ScanError> {
        /// Bytes of a small record: how many there may be is guessed from them.
        const RECORD_BYTES: usize = 256;
        let guess = (cursor.left() / RECORD_BYTES).min(RECORDS_MAX);
        let mut records = spare.entries(guess).unwrap_or_else(|| Vec::with_capacity(guess));
        cursor.array(|cursor| {
            if records.len() == RECORDS_MAX {
                return Err(cursor.error("more records than the service sends"));
            }
            if records.len() == records.capacity() {
                records.reserve_exact(RECORDS_MAX - records.len());
            }
            records.push(match quick::read(cursor.text(), cursor.place()) {
                Some((entry, end)) => {
                    cursor.go_to(end);
                    entry
                }
                None => record::read(cursor, &mut self.aside)?,
            });
            Ok(())
        })?;
        self.records = Some(records);
        Ok(())
    }

    fn children(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ScanError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Child {
            shard_id: String,
            parent_shards: Vec<String>,
            hash_key_range: Option<Range>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        #[derive(Default)]
        struct Range {
            starting_hash_key: String,
            ending_hash_key: String,
        }
        let text = cursor.skipped()?;
        // The text is JSON; it can be other JSON than this.
        let told: Option<Vec<Child>> = serde_json::from_slice(text).map_err(|_| {
            cursor.error("ChildShards before this place are not what they should be")
        })?;
        let listed = |child: Child| {
            let range = child.hash_key_range.as_ref().and_then(|range| {
                HashRange::parse(&range.starting_hash_key, &range.ending_hash_key)
            });
            (child.shard_id, Listed { parents: child.parent_shards, closed: false, range })
        };
        self.children = told.unwrap_or_default().into_iter().map(listed).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
