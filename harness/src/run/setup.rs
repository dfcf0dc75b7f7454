//! What all tasks of a run share: the plan, the pipeline, the counters, and the wish to end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use protocol::OffsetValue;
use protocol::avro::Marker;

use super::{Control, Event, Observer, Plan, Tally, Until};
use crate::catalogue::Pipeline;
use crate::store::Connect;

/// Steps in which a pause looks at [`Control`].
const PAUSE_STEP: Duration = Duration::from_millis(20);

/// Shared by all tasks of a run.
pub(super) struct Setup {
    pub plan: Plan,
    pub pipeline: Pipeline,
    pub marker: Marker,
    /// Which life of the source the committed offsets belong to; known once the source was asked.
    pub incarnation: Mutex<String>,
    /// Where the splits of a bounded run end, by KEY; known once they are written down.
    pub ends: OnceLock<BTreeMap<String, OffsetValue>>,
    pub connect: Arc<dyn Connect>,
    pub control: Control,
    pub observer: Arc<dyn Observer>,
    pub counters: Counters,
    /// What the signs of life tell.
    pub tally: Arc<Tally>,
    /// Set when the run is complete: the tasks drain.
    pub complete: AtomicBool,
    /// Batches with rows that may still be begun; `None` without a limit.
    pub budget: Option<AtomicI64>,
}

/// What was committed so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub rows: AtomicU64,
    pub errors: AtomicU64,
    pub bytes: AtomicU64,
    pub batches: AtomicU64,
    pub batches_with_rows: AtomicU64,
    pub retries: AtomicU64,
    pub peak_memory: AtomicU64,
}

impl Setup {
    /// The budget of batches for a plan.
    pub(super) fn budget_of(plan: &Plan) -> Option<AtomicI64> {
        match plan.until {
            Until::Batches(n) => Some(AtomicI64::new(i64::try_from(n).unwrap_or(i64::MAX))),
            Until::Stopped | Until::CaughtUp => None,
        }
    }

    /// Which life of the source the committed offsets belong to.
    pub(super) fn incarnation(&self) -> String {
        self.lock_incarnation().clone()
    }

    /// The same, held while it is compared and written down.
    pub(super) fn lock_incarnation(&self) -> MutexGuard<'_, String> {
        self.incarnation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the run ends by itself once every split has come to its end.
    pub(super) const fn is_bounded(&self) -> bool {
        self.plan.end.is_some()
    }

    /// Whether a split is read: in a bounded run, only those with an end are.
    pub(super) fn reads(&self, key: &str) -> bool {
        !self.is_bounded() || self.end_of(key).is_some()
    }

    /// Where a split ends in a bounded run.
    pub(super) fn end_of(&self, key: &str) -> Option<&OffsetValue> {
        self.ends.get()?.get(key)
    }

    /// Whether tasks should take no new batch.
    pub(super) fn is_draining(&self) -> bool {
        self.control.is_draining() || self.complete.load(Ordering::Acquire)
    }

    /// Whether another batch may be begun; it then counts as begun.
    pub(super) fn take_batch(&self) -> bool {
        let Some(budget) = &self.budget else { return true };
        let taken = budget
            .try_update(Ordering::AcqRel, Ordering::Acquire, |left| (left > 0).then(|| left - 1));
        taken.is_ok()
    }

    /// Gives back batches that were begun and brought no rows.
    pub(super) fn return_batches(&self, count: usize) {
        if let Some(budget) = &self.budget {
            budget.fetch_add(i64::try_from(count).unwrap_or(0), Ordering::AcqRel);
        }
    }

    /// Tells the observer.
    pub(super) fn tell(&self, event: &Event) {
        self.tally.add(event, Instant::now());
        self.observer.event(event);
    }

    /// Waits, or less when the run is ended at once.
    pub(super) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.control.is_now() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(PAUSE_STEP));
        }
    }
}
