//! When a shard is asked next: within what the service allows, at once only when there is more, and
//! with jitter after trouble. Pure but for the clock.
//!
//! The service allows five reads and 2 MB per second and shard, for all its readers together.

use std::time::{Duration, Instant};

use super::records::{ENTRIES_BYTES_MAX, Records};

/// Shortest time between two reads of a shard. Why 210 ms: five a second, with some air for clocks
/// that differ.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(210);

/// Bytes per second of one shard.
const RATE: f64 = 2.0 * 1024.0 * 1024.0;

/// The largest payload of an answer of the service.
const PAYLOAD_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Bytes of memory for a byte of payload. Why 2: base64 has 4 for 3, and names, numbers and times are
/// about as much again where records are small; what needs more is asked for in smaller parts.
const PER_PAYLOAD_BYTE: u64 = 2;

/// The most memory that one answer may take.
pub(super) const ANSWER_BYTES_MAX: u64 =
    PAYLOAD_BYTES_MAX * PER_PAYLOAD_BYTE + ENTRIES_BYTES_MAX as u64;

/// Memory that every call gets. Why 512 KiB beside the places of its records: a connection that is
/// in use buffers as much.
const ANSWER_BYTES_MIN: u64 = 512 * 1024 + ENTRIES_BYTES_MAX as u64;

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
    /// Memory of the last answer, where the next one is likely to be as large.
    memory: Option<u64>,
}

/// How large an answer was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Records.
    pub(super) records: usize,
    /// Bytes that the service counts: data and keys.
    pub(super) payload: usize,
    /// Bytes of memory.
    pub(super) memory: usize,
}

impl Size {
    /// Of these records.
    pub(super) fn of(records: &Records) -> Self {
        Self { records: records.len(), payload: records.payload(), memory: records.bytes() }
    }
}

impl Pace {
    /// A shard that was never asked.
    pub(super) const fn new(idle_max: Duration, throttle_max: Duration) -> Self {
        let (called, next) = (None, None);
        let (empty, troubles, at_end, memory) = (0, 0, false, None);
        Self { idle_max, throttle_max, called, next, empty, troubles, at_end, memory }
    }

    /// How long to wait before the next read.
    pub(super) fn wait(&self) -> Duration {
        self.next.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    /// A read begins.
    pub(super) fn calls(&mut self) {
        self.called = Some(Instant::now());
    }

    /// The memory that the next answer is likely to need: for what may have been written since, where
    /// the last answer was at the end; for half more than the last answer; or else for the most that
    /// the service sends. An answer that needs more is asked for again.
    pub(super) fn expected_bytes(&self) -> u64 {
        let seconds = self.called.filter(|_| self.at_end).map(|it| it.elapsed().as_secs() + 2);
        let written =
            seconds.map(|it| it.saturating_mul(WRITE_BYTES_PER_SECOND * PER_PAYLOAD_BYTE));
        let likely = written.or_else(|| self.memory.map(|last| last + last / 2));
        likely.unwrap_or(ANSWER_BYTES_MAX).clamp(ANSWER_BYTES_MIN, ANSWER_BYTES_MAX)
    }

    /// The next answer may have the most memory.
    const fn expect_all(&mut self) {
        (self.at_end, self.memory) = (false, None);
    }

    /// The read has to be made again with another iterator.
    pub(super) fn again(&mut self) {
        self.next = Instant::now().checked_add(INTERVAL_MIN);
    }

    /// An answer came.
    pub(super) fn answered(&mut self, size: Size, limit: i32, behind_ms: i64) {
        let Size { records, payload, memory } = size;
        self.troubles = 0;
        self.at_end = behind_ms == 0 && records == 0;
        self.memory = Some(memory as u64);
        let full = usize::try_from(limit).is_ok_and(|limit| records >= limit)
            || payload as u64 >= PAYLOAD_BYTES_MAX / 2;
        let more = behind_ms > 0 || full;
        self.empty = if more || records > 0 { 0 } else { self.empty.saturating_add(1) };
        let pause = if more { paid(payload) } else { doubled(self.empty, self.idle_max) };
        self.next = self.called.unwrap_or_else(Instant::now).checked_add(pause);
    }

    /// An answer came that has no room, with a body of so many bytes: the service has counted it all the
    /// same, and refuses a shard that is over its rate.
    pub(super) fn no_room(&mut self, body: usize) {
        // Base64 of the data, as if there were nothing else, and no more than the service sends.
        let most = usize::try_from(PAYLOAD_BYTES_MAX).unwrap_or(usize::MAX);
        let pause = paid((body / 4).saturating_mul(3).min(most));
        self.next = self.called.unwrap_or_else(Instant::now).checked_add(pause);
        self.expect_all();
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

/// From one read to the next, after one of so many bytes.
fn paid(payload: usize) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a few MB")]
    let rate = Duration::from_secs_f64(payload as f64 / RATE);
    rate.max(INTERVAL_MIN)
}

/// 250 ms, doubled for each step, up to `most`.
fn doubled(steps: u32, most: Duration) -> Duration {
    FIRST.saturating_mul(1 << steps.min(12)).min(most)
}

#[cfg(test)]
mod tests;
