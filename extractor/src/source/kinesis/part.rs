//! One assigned shard on the delivering side: where it stands, the pages that wait, and what its
//! task told. The task is told apart from earlier ones by its generation.

mod unfold;

use std::collections::VecDeque;
use std::time::Instant;

use protocol::avro::ErrorRow;
use protocol::{Code, Failure, OffsetKey, OffsetValue};
use tokio::task::AbortHandle;

pub(super) use self::unfold::Unfolding;
use self::unfold::{Opened, Unfolded};
use super::aggregate::{self, Broken, HashRange, Packed};
use super::failure;
use super::fetch::{Page, Seen};
use super::position::{Position, Sequence};
use super::records::View;
use super::row::Frame;
use super::shards::Listing;
use crate::source::{RowSink, Taken};

/// See the file.
#[derive(Debug)]
pub(super) struct Part {
    /// The offset KEY.
    pub(super) key: OffsetKey,
    /// The shard.
    pub(super) shard: String,
    position: Position,
    /// The VALUE as it was assigned, until the part moves.
    assigned: Option<OffsetValue>,
    /// Where the coming polls end.
    until: Option<Position>,
    /// Whether a record after `until` was met: there is nothing left before it.
    past_until: bool,
    /// Pages in order; the task makes no more than it has turns.
    pages: VecDeque<Page>,
    /// Records of the first page that were delivered.
    done: usize,
    /// The end of the shard, which counts once all pages are delivered.
    end: Option<Listing>,
    /// Whether the shard is known to take no more records: then its end is still to come.
    pub(super) closed: bool,
    /// Counts the starts of the task.
    pub(super) generation: u64,
    task: Option<AbortHandle>,
    /// What the last page told.
    pub(super) seen: Option<Seen>,
    /// Why it does not work for now.
    pub(super) trouble: Option<Failure>,
    /// Why it does not work at all.
    pub(super) broken: Option<Failure>,
    /// The newest time of the service at which the shard was not empty.
    fresh_ms: Option<i64>,
    /// When the last record that was delivered arrived.
    delivered_ms: Option<i64>,
    /// Which hash keys belong to the shard, where packed records are taken apart.
    pub(super) range: Option<HashRange>,
}

/// What became of the pages of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// There were none.
    Nothing,
    /// Some were delivered, or the part moved without rows.
    Something,
    /// The sink is full.
    Full,
}

impl Part {
    /// A part that is not read yet.
    pub(super) fn new(
        key: OffsetKey,
        shard: String,
        position: Position,
        value: OffsetValue,
    ) -> Self {
        // A time is a place where the shard was quiet already, maybe in an earlier process.
        let fresh_ms = match position {
            Position::AtTimestamp(ms) => Some(ms),
            _ => None,
        };
        Self {
            key,
            shard,
            position,
            assigned: Some(value),
            until: None,
            past_until: false,
            pages: VecDeque::new(),
            done: 0,
            end: None,
            closed: false,
            generation: 0,
            task: None,
            seen: None,
            trouble: None,
            broken: None,
            fresh_ms,
            delivered_ms: None,
            range: None,
        }
    }

    /// Where the part stands.
    pub(super) const fn position(&self) -> &Position {
        &self.position
    }

    /// The VALUE of that.
    pub(super) fn value(&self) -> OffsetValue {
        self.assigned.clone().unwrap_or_else(|| self.position.to_value())
    }

    /// Moves the part without delivering anything.
    pub(super) fn move_to(&mut self, position: Position) {
        if position != self.position {
            self.position = position;
            self.assigned = None;
        }
    }

    /// The last place that is known to be delivered, for people.
    pub(super) fn last_place(&self) -> String {
        match (&self.position, self.delivered_ms) {
            (Position::TrimHorizon | Position::End(None), _) => "the beginning".to_owned(),
            (Position::AtTimestamp(ms), _) => format!("time {ms}"),
            (Position::At(first), _) => format!("record {first}"),
            (
                Position::After(last) | Position::Inside(last, _) | Position::End(Some(last)),
                Some(ms),
            ) => format!("time {ms} (record {last})"),
            (
                Position::After(last) | Position::Inside(last, _) | Position::End(Some(last)),
                None,
            ) => format!("record {last}"),
        }
    }

    /// Whether the shard was read to its end.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.position, Position::End(_))
    }

    /// Notes a task that reads from the position on.
    pub(super) fn started(&mut self, task: AbortHandle) {
        self.task = Some(task);
    }

    /// Ends the task and forgets what it brought.
    pub(super) fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.generation += 1;
        self.pages.clear();
        (self.done, self.end, self.seen, self.trouble) = (0, None, None, None);
    }

    /// Sets where the coming polls end. True when the part has to be read again.
    pub(super) fn set_until(&mut self, until: Option<Position>) -> bool {
        self.until = until;
        let was_past = std::mem::take(&mut self.past_until);
        was_past && !self.has_ended() && self.broken.is_none()
    }

    /// Whether it has an end for the coming polls.
    pub(super) const fn has_until(&self) -> bool {
        self.until.is_some()
    }

    /// Whether it has such an end and has not reached it.
    pub(super) fn is_short_of_until(&self) -> bool {
        let Some(until) = &self.until else { return false };
        !self.past_until && !self.position.reaches(until)
    }

    fn reached_until(&self) -> bool {
        self.until.is_some() && !self.is_short_of_until()
    }

    /// Takes a page.
    pub(super) fn page(&mut self, page: Page) {
        self.trouble = None;
        let Page { behind_ms, sent: records, asked, .. } = page;
        self.fresh_ms = self.fresh_ms.max(page.anchor_ms);
        self.seen = Some(Seen { behind_ms, records, asked });
        if page.records.len() > 0 {
            self.pages.push_back(page);
        }
    }

    /// Takes the word that the shard has ended.
    pub(super) fn ends(&mut self, children: Listing) {
        self.trouble = None;
        self.end = Some(children);
    }

    /// The children, once everything before the end is delivered and the end may be passed.
    pub(super) fn take_end(&mut self) -> Option<Listing> {
        if !self.pages.is_empty() || self.reached_until() {
            return None;
        }
        let children = self.end.take()?;
        let last = self.position.sequence().cloned();
        self.move_to(Position::End(last));
        if let Some(task) = self.task.take() {
            task.abort();
        }
        Some(children)
    }

    /// Whether everything that the service has for now was delivered. A page that was asked for before
    /// `fresh` does not tell that.
    pub(super) fn is_at_end(&self, fresh: Instant) -> bool {
        if self.has_ended() || self.reached_until() {
            return true;
        }
        if self.closed {
            return false;
        }
        let empty = self.seen.is_some_and(|seen| {
            seen.behind_ms == Some(0) && seen.records == 0 && seen.asked.at >= fresh
        });
        empty && self.pages.is_empty() && self.end.is_none() && self.trouble.is_none()
    }

    /// Whether pages wait.
    pub(super) fn has_pages(&self) -> bool {
        !self.pages.is_empty()
    }

    /// Milliseconds to the end of the shard, as far as known.
    pub(super) fn lag_ms(&self) -> Option<u64> {
        if self.has_ended() {
            return Some(0);
        }
        let behind = self.seen?.behind_ms?;
        // Pages that wait are lag as well.
        let waits = if self.pages.is_empty() { 0 } else { 1 };
        u64::try_from(behind.max(waits)).ok()
    }

    /// Notes that the shard was empty when its last page was asked for. A position that did not move
    /// for `quiet_ms` becomes a time, because the record that it names expires one day, and a position
    /// whose record has expired can not be told from lost records. It becomes the time of the asking
    /// and not that of now: what came in between, the page does not know.
    pub(super) fn rests(&mut self, quiet_ms: i64) {
        /// Why 60 s: what was written may take a moment to be seen by readers.
        const MARGIN_MS: i64 = 60_000;
        let Some(asked) = self.seen.and_then(|seen| seen.asked.service_ms) else { return };
        let fresh = *self.fresh_ms.get_or_insert(asked);
        let may_pin = matches!(self.position, Position::After(_) | Position::AtTimestamp(_));
        if may_pin && self.until.is_none() && asked.saturating_sub(fresh) > quiet_ms {
            let margin = MARGIN_MS.min(quiet_ms / 2);
            self.move_to(Position::AtTimestamp(asked.saturating_sub(margin).max(0)));
            self.fresh_ms = Some(asked);
        }
    }

    /// Delivers what waits, until the sink is full. Packed records are taken apart where `unfolding`
    /// is given.
    pub(super) fn deliver(
        &mut self,
        number: u32,
        frame: &Frame<'_>,
        unfolding: &mut Option<Unfolding>,
        sink: &mut dyn RowSink,
    ) -> Result<Delivered, Failure> {
        let mut delivered = Delivered::Nothing;
        while let Some(page) = self.pages.front() {
            if self.reached_until() {
                self.past_until();
                return Ok(Delivered::Something);
            }
            let Some(record) = page.records.get(self.done) else {
                if self.done < page.records.len() {
                    let text = format!("{}: a record that was read is not there", self.shard);
                    return Err(Failure::new(Code::Bug, text));
                }
                self.pages.pop_front();
                self.done = 0;
                delivered = Delivered::Something;
                continue;
            };
            let Some(first) = self.first_due(record.sequence)? else {
                // An iterator never goes back; a service that does must not repeat a row.
                let sequence = record.sequence;
                tracing::warn!(shard = self.shard, sequence, "a record came again and is left out");
                self.done += 1;
                continue;
            };
            if self.lies_after_until(record.sequence) {
                self.past_until();
                return Ok(Delivered::Something);
            }
            let arrival_ms = record.arrival_ms;
            self.fresh_ms = self.fresh_ms.max(arrival_ms);
            let mut broken = None;
            if let Some(unfolding) = unfolding
                && let Some(bytes) = record.packed()
            {
                match aggregate::read(&bytes) {
                    Packed::Yes(aggregate) => {
                        let sequence = Sequence::parse(record.sequence);
                        let Some(sequence) = sequence else { return Err(self.no_number()) };
                        let opened =
                            Opened { number, frame, aggregate, sequence, arrival_ms, first };
                        delivered = Delivered::Something;
                        match self.unfold(&opened, unfolding, sink)? {
                            Unfolded::Whole => self.done += 1,
                            Unfolded::Until => {}
                            Unfolded::Full => return Ok(Delivered::Full),
                        }
                        continue;
                    }
                    Packed::Broken(why) => broken = Some(why),
                    Packed::No => {}
                }
            }
            if first > 0 {
                let why = broken.map_or("the record is not one", |Broken(why)| why);
                return Err(failure::no_such_place(&self.shard, &self.value(), why));
            }
            if self.row(number, frame, &record, sink) == Taken::No {
                return Ok(Delivered::Full);
            }
            if let (Some(Broken(why)), Some(unfolding)) = (broken, unfolding.as_mut()) {
                unfolding.passed_on(&self.shard, record.sequence, why);
            }
            self.done += 1;
            self.assigned = None;
            self.position.move_after(record.sequence);
            self.delivered_ms = arrival_ms;
            delivered = Delivered::Something;
        }
        Ok(delivered)
    }

    /// The first user record of this record that is still to be delivered (0 for a plain one), or
    /// nothing if it was delivered already.
    fn first_due(&self, sequence: &str) -> Result<Option<u64>, Failure> {
        match &self.position {
            Position::Inside(begun, last) if begun.as_str() == sequence => Ok(last.checked_add(1)),
            Position::Inside(begun, _) if begun.is_before(sequence) => {
                let why = "another record came instead of it";
                Err(failure::no_such_place(&self.shard, &self.value(), why))
            }
            other if other.sequence().is_some_and(|last| !last.is_before(sequence)) => Ok(None),
            _ => Ok(Some(0)),
        }
    }

    fn lies_after_until(&self, sequence: &str) -> bool {
        match &self.until {
            Some(Position::After(until) | Position::Inside(until, _)) => until.is_before(sequence),
            Some(Position::At(until)) => until.as_str() == sequence || until.is_before(sequence),
            _ => false,
        }
    }

    /// Delivers one row, or an error row in its place if it is too large.
    fn row(
        &self,
        number: u32,
        frame: &Frame<'_>,
        record: &View<'_>,
        sink: &mut dyn RowSink,
    ) -> Taken {
        match sink.row(number, &mut |out| frame.write(out, record)) {
            Taken::TooLarge { bytes } => {
                let reason = format!("row has {bytes} bytes, which is over the limit");
                self.refuse(number, record, (Code::RowTooLarge, &reason), sink)
            }
            Taken::Refused => self.refuse(number, record, (Code::RowRefused, ""), sink),
            taken => taken,
        }
    }

    fn no_number(&self) -> Failure {
        let text = format!("{}: a record has no sequence number of digits", self.shard);
        Failure::new(Code::SourceUnavailable, text)
    }

    /// Leaves what comes after `until` to later; the task would hold memory meanwhile.
    fn past_until(&mut self) {
        self.stop();
        self.past_until = true;
    }

    /// Delivers a record that is too large, or that the host refuses, as an error row.
    fn refuse(
        &self,
        number: u32,
        record: &View<'_>,
        (code, reason): (Code, &str),
        sink: &mut dyn RowSink,
    ) -> Taken {
        let value = self.value();
        let (key, bytes) = (record.key_text(), record.bytes());
        let row = ErrorRow {
            split: self.key.as_str(),
            position: value.as_str(),
            timestamp: record.arrival_ms,
            key: key.as_deref().map(str::as_bytes),
            value: bytes.as_deref(),
            headers: Vec::new(),
            code: code.name(),
            reason,
        };
        sink.error(number, &row)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.stop();
    }
}
