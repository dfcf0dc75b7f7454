//! One budget of bytes for all pages of all shards, from before they are asked for until they are
//! delivered. Pure but for waiting.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits are counted in this many bytes, so that they fit a `u32`.
const UNIT: u64 = 1024;

/// See the file. Copies share the same bytes.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    permits: Arc<Semaphore>,
    total: u32,
}

/// Bytes that are taken; they return when it is dropped.
#[derive(Debug)]
pub(super) struct Room(Option<OwnedSemaphorePermit>);

impl Budget {
    /// A budget of `bytes`.
    pub(super) fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        let size = usize::try_from(total).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(size)), total }
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
        Room(Arc::clone(&self.permits).acquire_many_owned(count).await.ok())
    }

    /// Bytes that are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> u64 {
        self.permits.available_permits() as u64 * UNIT
    }
}

impl Room {
    /// Bytes that it is.
    pub(super) fn bytes(&self) -> usize {
        let unit = usize::try_from(UNIT).unwrap_or(usize::MAX);
        self.0.as_ref().map_or(0, |permit| permit.num_permits().saturating_mul(unit))
    }

    /// Gives back what is not needed. Nobody holds more than his room: an answer is read within it.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let need = (bytes as u64).div_ceil(UNIT);
        let Some(permit) = &mut self.0 else { return };
        let spare =
            permit.num_permits().saturating_sub(usize::try_from(need).unwrap_or(usize::MAX));
        drop(permit.split(spare));
    }
}

#[cfg(test)]
mod tests;
