//! How a database or a source that is away is waited for: one rule for the loading thread, the tasks
//! and the coordinator.

use std::time::{Duration, Instant};

use super::Event;
use super::setup::Setup;
use crate::store::StoreError;

/// First pause; doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// Longest pause. Why 5 s: a database that is back should not wait for us.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Waits for something that is away. It starts again from nothing once something succeeded.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Instant>,
    pauses: u32,
}

impl Patience {
    /// How long to pause before another try; `None` when the time of the plan is over, or the run is
    /// ended at once.
    pub(super) fn next(&mut self, setup: &Setup) -> Option<Duration> {
        if let Some((attempts, pause)) = setup.plan.retry.store {
            let may = self.pauses < attempts && !setup.control.is_now();
            self.pauses = self.pauses.saturating_add(1);
            return may.then_some(pause);
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > setup.plan.retry.away || setup.control.is_now() {
            return None;
        }
        let pause = PAUSE_FIRST.saturating_mul(1 << self.pauses.min(16)).min(PAUSE_MAX);
        self.pauses = self.pauses.saturating_add(1);
        Some(pause.mul_f64(0.5 + fastrand::f64()))
    }

    /// Pauses for the database before another try.
    ///
    /// # Errors
    /// Gives the error back when waiting does not help.
    pub(super) fn wait(
        &mut self,
        setup: &Setup,
        task: u32,
        error: StoreError,
    ) -> Result<(), StoreError> {
        if !error.may_pass() {
            return Err(error);
        }
        let Some(pause) = self.next(setup) else { return Err(error) };
        setup.tell(&Event::StoreRetry { task, reason: error.to_string(), pause });
        setup.pause(pause);
        Ok(())
    }

    /// Something succeeded.
    pub(super) fn rest(&mut self) {
        *self = Self::default();
    }
}

/// Tries `work` until it succeeds or waiting for the database does not help.
pub(super) fn persist<T>(
    setup: &Setup,
    task: u32,
    mut work: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut patience = Patience::default();
    loop {
        match work() {
            Ok(done) => return Ok(done),
            Err(error) => patience.wait(setup, task, error)?,
        }
    }
}
