//! How a database that is away is waited for: one rule for the loading thread, the tasks and the
//! coordinator.

use std::time::{Duration, Instant};

use super::Event;
use super::setup::Setup;
use crate::store::StoreError;

/// First pause; doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// Longest pause. Why 5 s: a database that is back should not wait for us.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Waits for a database. It starts again from nothing once something succeeded.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Instant>,
    pauses: u32,
}

impl Patience {
    /// Pauses before another try.
    ///
    /// # Errors
    /// Gives the error back when waiting does not help: it is not of the kind that passes, the time
    /// of the plan is over, or the run is ended at once.
    pub(super) fn wait(
        &mut self,
        setup: &Setup,
        task: u32,
        error: StoreError,
    ) -> Result<(), StoreError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let over = since.elapsed() > setup.plan.retry.store;
        if !error.may_pass() || over || setup.control.is_now() {
            return Err(error);
        }
        let pause = PAUSE_FIRST.saturating_mul(1 << self.pauses.min(16)).min(PAUSE_MAX);
        let pause = pause.mul_f64(0.5 + fastrand::f64());
        self.pauses = self.pauses.saturating_add(1);
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
