//! Frames for the writer, in two lanes: only PONG, PROGRESS and LOG overtake; everything else
//! leaves in the order in which it was pushed.
//!
//! The data lane is bounded by its users: rows are refused while [`Outbox::has_room`] says no, and
//! every other frame answers a request, of which there are few.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use protocol::wire::{Head, Kind};

use super::{OutFrame, Pool, lock};

/// Queued BATCH bytes above which no more rows are taken.
const QUEUED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// PONGs that wait for a host that does not read; older ones are dropped.
const PONGS_MAX: usize = 16;

/// Log lines that wait; newer ones are dropped and counted.
const LOGS_MAX: usize = 256;

#[derive(Debug, Default)]
struct Lanes {
    data: VecDeque<OutFrame>,
    pongs: VecDeque<OutFrame>,
    progress: Option<OutFrame>,
    logs: VecDeque<OutFrame>,
    /// The writer holds a frame that is not yet written.
    writing: bool,
    /// The last frame was pushed.
    closed: bool,
    /// Buffers of written frames.
    returned: Vec<Vec<u8>>,
}

impl Lanes {
    fn next(&mut self) -> Option<OutFrame> {
        let urgent = self.pongs.pop_front().or_else(|| self.progress.take());
        let frame = urgent.or_else(|| self.logs.pop_front()).or_else(|| self.data.pop_front())?;
        self.writing = true;
        Some(frame)
    }

    fn is_done(&self) -> bool {
        self.data.is_empty() && !self.writing
    }
}

/// Frames between the threads and the writer.
#[derive(Debug, Default)]
pub struct Outbox {
    lanes: Mutex<Lanes>,
    /// BATCH bytes in the data lane and in the writer's hands.
    queued: AtomicUsize,
    filled: Condvar,
    drained: Condvar,
}

impl Outbox {
    /// Queues a frame behind all others.
    pub fn push(&self, frame: OutFrame) {
        let mut lanes = lock(&self.lanes);
        if lanes.closed {
            return;
        }
        if frame.head.kind == Kind::Batch {
            self.queued.fetch_add(frame.payload_len(), Ordering::Relaxed);
        }
        lanes.data.push_back(frame);
        drop(lanes);
        self.filled.notify_one();
    }

    /// Queues a PONG.
    pub fn pong(&self, frame: OutFrame) {
        self.overtake(|lanes| {
            if lanes.pongs.len() >= PONGS_MAX {
                lanes.pongs.pop_front();
            }
            lanes.pongs.push_back(frame);
        });
    }

    /// Queues a PROGRESS in place of one that still waits.
    pub fn progress(&self, frame: OutFrame) {
        self.overtake(|lanes| lanes.progress = Some(frame));
    }

    /// Queues a LOG; `false` when it was dropped.
    pub fn log(&self, frame: OutFrame) -> bool {
        let mut taken = false;
        self.overtake(|lanes| {
            taken = lanes.logs.len() < LOGS_MAX;
            if taken {
                lanes.logs.push_back(frame);
            }
        });
        taken
    }

    fn overtake(&self, push: impl FnOnce(&mut Lanes)) {
        let mut lanes = lock(&self.lanes);
        if !lanes.closed {
            push(&mut lanes);
        }
        drop(lanes);
        self.filled.notify_one();
    }

    /// Whether rows may be pushed.
    pub fn has_room(&self) -> bool {
        self.queued.load(Ordering::Relaxed) < QUEUED_BYTES_MAX
    }

    /// Waits until rows may be pushed, at most this long.
    pub fn wait_room(&self, time: Duration) {
        let lanes = lock(&self.lanes);
        if !self.has_room() {
            drop(self.drained.wait_timeout(lanes, time));
        }
    }

    /// Moves the buffers of written frames to `pool`.
    pub fn reclaim(&self, pool: &mut Pool) {
        pool.absorb(&mut lock(&self.lanes).returned);
    }

    /// Drops queued rows of an assignment that is over, and turns the ends of their batches into
    /// what `voided` makes for them.
    pub fn void_batches(&self, voided: impl Fn(Head) -> OutFrame) {
        let mut lanes = lock(&self.lanes);
        let queue = std::mem::take(&mut lanes.data);
        for frame in queue {
            match frame.head.kind {
                Kind::Batch => {
                    self.queued.fetch_sub(frame.payload_len(), Ordering::Relaxed);
                    lanes.returned.push(frame.into_buffer());
                }
                Kind::Schema => {}
                Kind::BatchEnd => lanes.data.push_back(voided(frame.head)),
                _ => lanes.data.push_back(frame),
            }
        }
        drop(lanes);
        self.drained.notify_all();
    }

    /// Queues the last frame, refuses all others and waits until everything left; `false` when
    /// that took too long, or when another thread was first.
    pub(super) fn finish(&self, last: OutFrame, wait: Duration) -> bool {
        self.finish_locked(lock(&self.lanes), last, wait)
    }

    /// As [`Outbox::finish`], from a thread that may hold the lock itself.
    pub(super) fn finish_in_panic(&self, last: OutFrame, lock_wait: Duration, wait: Duration) {
        let deadline = Instant::now() + lock_wait;
        loop {
            match self.lanes.try_lock() {
                Ok(lanes) => {
                    self.finish_locked(lanes, last, wait);
                    return;
                }
                Err(TryLockError::Poisoned(lanes)) => {
                    self.finish_locked(lanes.into_inner(), last, wait);
                    return;
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    super::os::pause(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => return,
            }
        }
    }

    fn finish_locked(
        &self,
        mut lanes: MutexGuard<'_, Lanes>,
        last: OutFrame,
        wait: Duration,
    ) -> bool {
        let first = !std::mem::replace(&mut lanes.closed, true);
        if first {
            lanes.data.push_back(last);
        }
        self.filled.notify_one();
        let deadline = Instant::now() + wait;
        while !lanes.is_done() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            let waited = self.drained.wait_timeout(lanes, left);
            lanes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        first
    }

    /// Whether the last frame was pushed.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.lanes).closed
    }

    /// The next frame to write; waits for one.
    pub(super) fn next(&self) -> OutFrame {
        let mut lanes = lock(&self.lanes);
        loop {
            if let Some(frame) = lanes.next() {
                return frame;
            }
            lanes = self.filled.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`Outbox::next`], without waiting.
    #[cfg(test)]
    pub(super) fn try_next(&self) -> Option<OutFrame> {
        lock(&self.lanes).next()
    }

    /// Says that the frame of [`Outbox::next`] was written.
    pub(super) fn written(&self, frame: OutFrame) {
        let mut lanes = lock(&self.lanes);
        lanes.writing = false;
        if frame.head.kind == Kind::Batch {
            self.queued.fetch_sub(frame.payload_len(), Ordering::Relaxed);
            lanes.returned.push(frame.into_buffer());
        }
        drop(lanes);
        self.drained.notify_all();
    }
}
