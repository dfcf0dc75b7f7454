//! Notices partitions that have records and deliver none although their brokers answer: what a lost
//! wake-up inside the client looks like. Such a partition also looks as if it were read to its end.
//!
//! ```text
//!   every 30 s ──► the monitor asks for the ends ──► below its end, same position, for
//!     90 s, and nothing at all was delivered ──► fetched anew at its position (3×) ──► broken
//!     90 s × partitions below their ends     ──► fetched anew, each time after twice as long
//! ```
//!
//! A broker fills an answer with the records of one partition after the other, so that a partition
//! may have to wait for the turns of all others that have records: over a slow link minutes. What
//! waits while others deliver is never an error. Only time in which the source reads counts, not
//! that in which the host takes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::Failure;

use super::fetcher::Fetcher;
use super::part::Part;
use super::position::Place;
use super::reader::Did;
use super::{Kafka, failure};

/// How long a partition may stand below its end while nothing is delivered, at least.
///
/// Why 90 s: a fetch that is under way may take `socket.timeout.ms`, by default 60 s, before the
/// client itself gives it up; a record over a slow link must not be fetched over and over.
const STALLED_AFTER: Duration = Duration::from_secs(90);

/// The same in `socket.timeout.ms`, where that is more: 3/2 of it.
const TIMEOUTS: (u32, u32) = (3, 2);

/// `socket.timeout.ms` where it is not set; librdkafka's default.
const SOCKET_TIMEOUT_MS: u64 = 60_000;

/// How often the wait doubles. Why 6: 96 minutes, where one partition alone is behind.
const DOUBLINGS_MAX: u32 = 6;

/// What counts as reading time between two polls, at most. Why 5 s: a poll waits for less; what is
/// more is a host that asked for nothing.
const TICK_MAX: Duration = Duration::from_secs(5);

/// A partition that stands below its end.
#[derive(Clone, Copy, Debug)]
struct Below {
    position: i64,
    /// Since when, by the clock of [`Stalls`].
    since: Duration,
    /// How often it was fetched anew here.
    again: u32,
}

/// Why a partition is to be fetched anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stall {
    /// Nothing was delivered by any partition.
    Alone,
    /// Others deliver.
    AmongOthers,
}

/// What is known of partitions that stand below their ends.
pub(super) struct Stalls {
    /// See [`STALLED_AFTER`]; shorter in tests.
    after: Duration,
    /// How long the source has been reading.
    clock: Duration,
    ticked: Instant,
    /// When the ends were asked for.
    asked: Duration,
    /// The sum of all positions, which never falls, and when it changed.
    moved: Option<(i128, Duration)>,
    below: BTreeMap<Place, Below>,
}

impl Stalls {
    /// `socket_timeout_ms`: how long the client waits for an answer, where that is set.
    pub(super) fn new(socket_timeout_ms: Option<u64>) -> Self {
        let (times, of) = TIMEOUTS;
        let timeout = Duration::from_millis(socket_timeout_ms.unwrap_or(SOCKET_TIMEOUT_MS));
        Self::after(STALLED_AFTER.max(timeout.saturating_mul(times) / of))
    }

    fn after(after: Duration) -> Self {
        let (clock, ticked) = (Duration::ZERO, Instant::now());
        Self { after, clock, ticked, asked: clock, moved: None, below: BTreeMap::new() }
    }

    /// Begins anew, for another assignment.
    pub(super) fn clear(&mut self) {
        *self = Self::after(self.after);
    }

    /// Counts the time since the last call, if the source was `reading`.
    fn tick(&mut self, now: Instant, reading: bool) {
        if reading {
            self.clock += now.duration_since(self.ticked).min(TICK_MAX);
        }
        self.ticked = now;
    }

    /// Notes how far all partitions are.
    fn note(&mut self, positions: i128) {
        if self.moved.is_none_or(|(before, _)| before != positions) {
            self.moved = Some((positions, self.clock));
        }
    }

    /// Judges one partition, of `backlog` that are below their ends: whether it has stood there for
    /// too long.
    fn judge(&mut self, place: &Place, position: i64, backlog: u32) -> Option<Stall> {
        let fresh = Below { position, since: self.clock, again: 0 };
        let below = self.below.entry(place.clone()).or_insert(fresh);
        if below.position != position {
            *below = fresh;
        }
        let moved = self.moved.map_or(Duration::ZERO, |(_, at)| at);
        let alone = self.clock.saturating_sub(moved) >= self.after;
        let turns = backlog.max(1).saturating_mul(1 << below.again.min(DOUBLINGS_MAX));
        let (wait, stall) = if alone {
            (self.after, Stall::Alone)
        } else {
            (self.after.saturating_mul(turns), Stall::AmongOthers)
        };
        if self.clock.saturating_sub(below.since) < wait {
            return None;
        }
        // The next attempt has at least as much time.
        (below.since, below.again) = (self.clock, below.again.saturating_add(1));
        Some(stall)
    }

    /// Whether it is time to ask for the ends again.
    fn is_due(&mut self) -> bool {
        let due = self.clock.saturating_sub(self.asked) >= self.after / 3;
        if due {
            self.asked = self.clock;
        }
        due
    }
}

/// The end of a partition that stands below it.
fn end_above(part: &Part, ends: &BTreeMap<Place, i64>) -> Option<i64> {
    let end = ends.get(&part.place).copied().filter(|_| part.is_fetched())?;
    (part.position().offset < end).then_some(end)
}

impl<F: Fetcher> Kafka<F> {
    /// Looks after partitions that deliver nothing; called after each poll with what that `did`.
    pub(super) fn watch_stalls(&mut self, did: Did) -> Result<(), Failure> {
        let may_come = !matches!(did, Did::Full | Did::Waiting);
        self.stalls.tick(Instant::now(), may_come);
        let ends: BTreeMap<_, _> = self.monitor.take_ends().into_iter().collect();
        if !ends.is_empty() {
            self.find_stalls(&ends)?;
        }
        if self.stalls.is_due() {
            let parts = self.reader.parts.iter().filter(|part| part.is_fetched());
            self.monitor.ask_ends(parts.map(|part| part.place.clone()).collect());
        }
        Ok(())
    }

    /// Judges all partitions by their ends. One whose end could not be asked is judged anew later.
    fn find_stalls(&mut self, ends: &BTreeMap<Place, i64>) -> Result<(), Failure> {
        let parts = &self.reader.parts;
        self.stalls.note(parts.iter().map(|part| i128::from(part.position().offset)).sum());
        let backlog = parts.iter().filter(|part| end_above(part, ends).is_some()).count();
        let backlog = u32::try_from(backlog).unwrap_or(u32::MAX);
        for index in 0..self.reader.parts.len() {
            let Some(part) = self.reader.parts.get(index) else { break };
            let Some(end) = end_above(part, ends) else {
                self.stalls.below.remove(&part.place);
                continue;
            };
            let (place, position) = (part.place.clone(), part.position().offset);
            match self.stalls.judge(&place, position, backlog) {
                None => {}
                Some(Stall::Alone) => {
                    tracing::warn!(%place, position, end, "no records come although there are some; fetching anew");
                    self.restart(index, failure::stalled(&place, position, end))?;
                }
                Some(Stall::AmongOthers) => {
                    tracing::warn!(%place, position, end, "no records come although there are some, while other partitions deliver; fetching anew");
                    self.reader.start_again(index)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
