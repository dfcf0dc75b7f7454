//! When a shard is asked next: within what the service allows, at once only when there is more, and
//! with jitter after trouble. Pure but for the clock.
//!
//! The service allows five reads and 2 MB per second and shard, for all its readers together.

use std::time::{Duration, Instant};

/// Shortest time between two reads of a shard. Why 210 ms: five a second, with some air for clocks
/// that differ.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(210);

/// Bytes per second of one shard.
const RATE: f64 = 2.0 * 1024.0 * 1024.0;

/// The largest answer of the service.
const ANSWER_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// What producers can write to a shard in a second.
const WRITE_BYTES_PER_SECOND: u64 = 1024 * 1024;

/// The first pause after trouble, and of a shard that has become empty.
const FIRST: Duration = Duration::from_millis(250);

/// See the file.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    idle_max: Duration,
    throttle_max: Duration,
    /// When the last read began.
    called: Option<Instant>,
    /// The earliest time of the next read.
    next: Option<Instant>,
    /// Empty answers in a row, at the end of the shard.
    empty: u32,
    /// Failures in a row.
    troubles: u32,
    /// Whether the last answer was the end of the shard.
    at_end: bool,
}

impl Pace {
    /// A shard that was never asked.
    pub(super) const fn new(idle_max: Duration, throttle_max: Duration) -> Self {
        let (called, next) = (None, None);
        Self { idle_max, throttle_max, called, next, empty: 0, troubles: 0, at_end: false }
    }

    /// How long to wait before the next read.
    pub(super) fn wait(&self) -> Duration {
        self.next.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    /// A read begins.
    pub(super) fn calls(&mut self) {
        self.called = Some(Instant::now());
    }

    /// The most memory that the next answer may need. It has what may have been written since, where
    /// the last answer was at the end, or else the most that the service sends.
    pub(super) fn expected_bytes(&self) -> u64 {
        /// Why 3: the body in base64 is there while its records are made of it.
        const PER_PAYLOAD_BYTE: u64 = 3;
        let seconds = self.called.filter(|_| self.at_end).map(|it| it.elapsed().as_secs() + 2);
        let written = seconds.map_or(u64::MAX, |it| it.saturating_mul(WRITE_BYTES_PER_SECOND));
        written.min(ANSWER_BYTES_MAX) * PER_PAYLOAD_BYTE
    }

    /// The read has to be made again with another iterator.
    pub(super) fn again(&mut self) {
        self.next = Instant::now().checked_add(INTERVAL_MIN);
    }

    /// An answer came.
    pub(super) fn answered(&mut self, bytes: usize, records: usize, limit: i32, behind_ms: i64) {
        self.troubles = 0;
        self.at_end = behind_ms == 0 && records == 0;
        let full = usize::try_from(limit).is_ok_and(|limit| records >= limit)
            || bytes as u64 >= ANSWER_BYTES_MAX / 2;
        let more = behind_ms > 0 || full;
        self.empty = if more || records > 0 { 0 } else { self.empty.saturating_add(1) };
        let pause = if more {
            #[expect(clippy::cast_precision_loss, reason = "a few MB")]
            let rate = Duration::from_secs_f64(bytes as f64 / RATE);
            rate.max(INTERVAL_MIN)
        } else {
            doubled(self.empty, self.idle_max)
        };
        self.next = self.called.unwrap_or_else(Instant::now).checked_add(pause);
    }

    /// It works again: nothing is to be waited for.
    pub(super) const fn recovered(&mut self) {
        (self.troubles, self.next) = (0, None);
    }

    /// The read failed.
    pub(super) fn trouble(&mut self, throttled: bool) {
        const OTHER_MAX: Duration = Duration::from_secs(5);
        self.troubles = self.troubles.saturating_add(1);
        let most = if throttled { self.throttle_max } else { OTHER_MAX.min(self.throttle_max) };
        // Readers that were throttled together must not come back together.
        let pause = doubled(self.troubles, most).mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = Instant::now().checked_add(pause.max(INTERVAL_MIN));
    }
}

/// 250 ms, doubled for each step, up to `most`.
fn doubled(steps: u32, most: Duration) -> Duration {
    FIRST.saturating_mul(1 << steps.min(12)).min(most)
}

#[cfg(test)]
mod tests;
