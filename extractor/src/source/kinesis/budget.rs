//! One budget of bytes for all pages of all shards, from before they are asked for until they are
//! delivered. Pure but for waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits are counted in this many bytes, so that they fit a `u32`.
const UNIT: u64 = 1024;

/// See the file. Copies share the same bytes.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    permits: Arc<Semaphore>,
    total: u32,
    /// Permits of rooms that were filled.
    filled: Arc<AtomicUsize>,
}

/// Bytes that are taken; they return when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    permit: Option<OwnedSemaphorePermit>,
    is_filled: AtomicBool,
    filled: Arc<AtomicUsize>,
}

impl Drop for Room {
    fn drop(&mut self) {
        if *self.is_filled.get_mut() {
            self.filled.fetch_sub(self.permits(), Ordering::Relaxed);
        }
    }
}

impl Budget {
    /// A budget of `bytes`.
    pub(super) fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        let size = usize::try_from(total).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let filled = Arc::new(AtomicUsize::new(0));
        Self { permits: Arc::new(Semaphore::new(size)), total, filled }
    }

    /// All of it, in bytes.
    pub(super) const fn bytes(&self) -> u64 {
        self.total as u64 * UNIT
    }

    /// Bytes in which nothing lies: those that are free, and those that are taken for what is to come.
    pub(super) fn unfilled(&self) -> usize {
        let filled = self.filled.load(Ordering::Relaxed) as u64 * UNIT;
        usize::try_from(self.bytes().saturating_sub(filled)).unwrap_or(usize::MAX)
    }

    /// The room that `bytes` get at most.
    pub(super) fn most(&self, bytes: u64) -> usize {
        usize::try_from(u64::from(self.count(bytes)) * UNIT).unwrap_or(usize::MAX)
    }

    /// Permits for `bytes`.
    fn count(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.total)
    }

    /// Waits until `bytes` are free; more than there are at all counts as all.
    ///
    /// # Cancel safety
    /// Nothing is taken when the future is dropped.
    pub(super) async fn take(&self, bytes: u64) -> Room {
        let count = self.count(bytes);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_many_owned(count).await.ok();
        Room { permit, is_filled: AtomicBool::new(false), filled: Arc::clone(&self.filled) }
    }

    /// As [`Budget::take`], where that much is free.
    #[cfg(test)]
    pub(super) fn take_now(&self, bytes: u64) -> Option<Room> {
        use std::task::{Context, Poll, Waker};
        let mut taken = std::pin::pin!(self.take(bytes));
        match taken.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(room) => Some(room),
            Poll::Pending => None,
        }
    }

    /// Bytes that are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> u64 {
        self.permits.available_permits() as u64 * UNIT
    }
}

impl Room {
    fn permits(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Bytes that it is.
    pub(super) fn bytes(&self) -> usize {
        self.permits().saturating_mul(usize::try_from(UNIT).unwrap_or(usize::MAX))
    }

    /// From now on memory lies in it.
    pub(super) fn fill(&self) {
        if !self.is_filled.swap(true, Ordering::Relaxed) {
            self.filled.fetch_add(self.permits(), Ordering::Relaxed);
        }
    }

    /// Gives back what is not needed. Nobody holds more than his room: an answer is read within it.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let need = usize::try_from((bytes as u64).div_ceil(UNIT)).unwrap_or(usize::MAX);
        let Some(permit) = &mut self.permit else { return };
        let spare = permit.num_permits().saturating_sub(need);
        let returned = permit.split(spare);
        if *self.is_filled.get_mut() && returned.is_some() {
            self.filled.fetch_sub(spare, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
