//! Notices partitions that have records and deliver none although their brokers answer: what a lost
//! wake-up inside the client looks like. Such a partition also looks as if it were read to its end.
//!
//! ```text
//!   queue empty ──every 30 s──► the monitor asks for the ends ──► below its end, same position for
//!   90 s ──► fetched anew at its position (3×) ──► broken: the host decides
//! ```
//!
//! It is judged only while the queue is empty, so that nothing that was fetched is still under way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::Failure;

use super::fetcher::Fetcher;
use super::position::Place;
use super::{Kafka, failure};

/// How long a partition may stand below its end.
///
/// Why 90 s: a fetch that is under way may take `socket.timeout.ms`, by default 60 s, before the
/// client itself gives it up; a record over a slow link must not be fetched over and over.
const STALLED_AFTER: Duration = Duration::from_secs(90);

/// What is known of partitions that stand below their ends.
pub(super) struct Stalls {
    /// See [`STALLED_AFTER`]; shorter in tests.
    after: Duration,
    asked: Instant,
    /// The position of a partition below its end, and since when it stands there.
    since: BTreeMap<Place, (i64, Instant)>,
}

impl Stalls {
    pub(super) fn new() -> Self {
        Self { after: STALLED_AFTER, asked: Instant::now(), since: BTreeMap::new() }
    }

    /// Judges one partition: whether it has stood below its end for too long.
    fn judge(&mut self, place: &Place, position: i64, end: i64, now: Instant) -> bool {
        if position >= end {
            self.since.remove(place);
            return false;
        }
        match self.since.get(place) {
            Some((before, since)) if *before == position => {
                let stalled = now.duration_since(*since) >= self.after;
                if stalled {
                    // The next attempt has as much time.
                    self.since.remove(place);
                }
                stalled
            }
            _ => {
                self.since.insert(place.clone(), (position, now));
                false
            }
        }
    }

    /// Whether it is time to ask for the ends again.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = now.duration_since(self.asked) >= self.after / 3;
        if due {
            self.asked = now;
        }
        due
    }
}

impl<F: Fetcher> Kafka<F> {
    /// Looks after partitions that deliver nothing; called while the queue is empty.
    pub(super) fn watch_stalls(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        for (place, end) in self.monitor.take_ends() {
            let found = self.reader.parts.iter().position(|part| part.place == place);
            let Some(index) = found else { continue };
            let Some(part) = self.reader.parts.get(index).filter(|part| part.is_fetched()) else {
                continue;
            };
            let position = part.position().offset;
            if self.stalls.judge(&place, position, end, now) {
                tracing::warn!(%place, position, end, "no records come although there are some; fetching anew");
                self.restart(index, failure::stalled(&place, position, end))?;
            }
        }
        if self.stalls.is_due(now) {
            let parts = self.reader.parts.iter().filter(|part| part.is_fetched());
            self.monitor.ask_ends(parts.map(|part| part.place.clone()).collect());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
