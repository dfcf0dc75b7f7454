//! One assigned partition: where it stands, and what it does with what arrives. Pure.
//!
//! ```text
//!            message below until             end of partition
//!   Reading ─────────────────────► Reading ──────────────────► AtEnd ──message──► Reading
//!      │ until reached                │ records gone                │ until reached
//!      ▼                              ▼                             ▼
//!    Held ──until changed──► Reading  Lost ──found again──► Reading Held
//!                                     └─────for good──────► Broken (to the next assignment)
//! ```
//!
//! The position only moves to behind a delivered record, to the offset that an end-of-partition
//! event carries, or to `until` when the first record at or after it was seen. It never falls.

use protocol::{Failure, OffsetKey};

use super::failure;
use super::position::{Place, Position};

/// What to do with a record that arrived.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Hand it to the sink, then call [`Part::delivered`].
    Deliver,
    /// It is behind the position, or the partition is not being read: forget it.
    Drop,
    /// The partition has reached its `until`: stop fetching it.
    Reached,
    /// The partition is broken from here on.
    Broken,
}

/// What a partition is doing.
#[derive(Clone, Debug, PartialEq)]
enum Flow {
    Reading,
    AtEnd,
    Held,
    /// With what it is if it cannot be found again.
    Lost(Option<Box<Failure>>),
    Broken(Box<Failure>),
}

/// See the file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) place: Place,
    /// Canonical KEY.
    pub(super) key: OffsetKey,
    /// When the last delivered record was written, milliseconds since the epoch.
    pub(super) seen_ms: Option<i64>,
    position: Position,
    until: Option<i64>,
    flow: Flow,
    restarts: u32,
}

/// Fetches that are started again at the same position before that is an error.
///
/// Why 3: a damaged answer is repeated at once, a damaged file never heals.
const RESTARTS_MAX: u32 = 3;

impl Part {
    pub(super) const fn new(place: Place, key: OffsetKey, position: Position) -> Self {
        let (flow, until, seen_ms, restarts) = (Flow::Reading, None, None, 0);
        Self { place, key, seen_ms, position, until, flow, restarts }
    }

    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// Judges a record.
    pub(super) fn message(&mut self, offset: i64, epoch: Option<i32>) -> Verdict {
        match self.flow {
            Flow::Reading | Flow::AtEnd => {}
            Flow::Held | Flow::Lost(_) | Flow::Broken(_) => return Verdict::Drop,
        }
        if offset < self.position.offset {
            return Verdict::Drop;
        }
        if let (Some(before), Some(now)) = (self.position.epoch, epoch)
            && now < before
        {
            return self.fail(failure::epoch_fell(&self.place, offset, before, now));
        }
        if self.until.is_some_and(|until| offset >= until) {
            return self.reach();
        }
        self.flow = Flow::Reading;
        Verdict::Deliver
    }

    /// The record at `offset` is part of the batch.
    pub(super) fn delivered(&mut self, offset: i64, epoch: Option<i32>) {
        self.position = Position { offset: offset + 1, epoch: epoch.or(self.position.epoch) };
        self.restarts = 0;
    }

    /// The end of the partition is at `offset`, and everything before it was handed on. Says
    /// whether the position moved.
    pub(super) fn at_end(&mut self, offset: i64) -> (Verdict, bool) {
        if !matches!(self.flow, Flow::Reading | Flow::AtEnd) {
            return (Verdict::Drop, false);
        }
        if let Some(until) = self.until
            && offset >= until
        {
            let moved = until > self.position.offset;
            return (self.reach(), moved);
        }
        let moved = offset > self.position.offset;
        self.position.offset = self.position.offset.max(offset);
        self.flow = Flow::AtEnd;
        (Verdict::Drop, moved)
    }

    fn reach(&mut self) -> Verdict {
        self.position.offset = self.position.offset.max(self.until.unwrap_or_default());
        self.flow = Flow::Held;
        Verdict::Reached
    }

    /// Sets where to stop. `true`: the partition must be started again at its position.
    pub(super) fn set_until(&mut self, until: Option<i64>) -> bool {
        self.until = until;
        let reached = until.is_some_and(|until| self.position.offset >= until);
        match self.flow {
            Flow::Held if !reached => {
                self.flow = Flow::Reading;
                true
            }
            _ => false,
        }
    }

    /// Whether `until` was reached without another arrival; the partition must be stopped then.
    pub(super) fn reaches_now(&mut self) -> bool {
        let reached = self.until.is_some_and(|until| self.position.offset >= until);
        let reading = matches!(self.flow, Flow::Reading | Flow::AtEnd);
        if reached && reading {
            self.flow = Flow::Held;
        }
        reached && reading
    }

    /// Another client reads it from now on: whether that shall fetch it. It has seen no end yet.
    pub(super) fn resume(&mut self) -> bool {
        if self.flow == Flow::AtEnd {
            self.flow = Flow::Reading;
        }
        self.flow == Flow::Reading
    }

    /// The fetcher gave up; the place must be looked at.
    pub(super) fn lose(&mut self) {
        if matches!(self.flow, Flow::Reading | Flow::AtEnd) {
            self.flow = Flow::Lost(None);
        }
    }

    /// The fetcher met damage: `failure` is what it is unless a new attempt heals it.
    pub(super) fn lose_to(&mut self, failure: Failure) {
        if matches!(self.flow, Flow::Reading | Flow::AtEnd) {
            self.flow = Flow::Lost(Some(Box::new(failure)));
        }
    }

    /// Whether the place was lost and nothing was decided since; with the damage, if there is any.
    pub(super) fn lost(&self) -> Option<Option<&Failure>> {
        match &self.flow {
            Flow::Lost(damage) => Some(damage.as_deref()),
            Flow::Reading | Flow::AtEnd | Flow::Held | Flow::Broken(_) => None,
        }
    }

    /// Goes on at the position, or says that this was tried often enough.
    pub(super) fn restart(&mut self, failure: Failure) -> bool {
        if self.restarts >= RESTARTS_MAX {
            self.fail(failure);
            return false;
        }
        self.restarts += 1;
        self.flow = Flow::Reading;
        true
    }

    /// Skips what is gone, by the user's choice.
    pub(super) fn jump(&mut self, offset: i64) {
        self.position.offset = self.position.offset.max(offset);
        self.flow = Flow::Reading;
    }

    /// Nothing more is read until the next assignment.
    pub(super) fn fail(&mut self, failure: Failure) -> Verdict {
        self.flow = Flow::Broken(Box::new(failure));
        Verdict::Broken
    }

    /// Why nothing more is read.
    pub(super) fn broken(&self) -> Option<&Failure> {
        match &self.flow {
            Flow::Broken(failure) => Some(failure),
            Flow::Reading | Flow::AtEnd | Flow::Held | Flow::Lost(_) => None,
        }
    }

    /// Whether the end of the partition was seen and nothing came after it.
    pub(super) fn is_at_end(&self) -> bool {
        self.flow == Flow::AtEnd
    }

    /// Whether the client should be fetching it.
    pub(super) fn is_fetched(&self) -> bool {
        matches!(self.flow, Flow::Reading | Flow::AtEnd)
    }

    /// Whether the partition waits at its `until`.
    pub(super) fn is_held(&self) -> bool {
        self.flow == Flow::Held
    }

    /// Whether it has an `until` that it has not reached.
    pub(super) fn is_short_of_until(&self) -> bool {
        self.until.is_some() && !self.is_held()
    }

    pub(super) const fn has_until(&self) -> bool {
        self.until.is_some()
    }
}

#[cfg(test)]
mod tests;
