//! What the pump is busy with, for the threads that must act when it hangs: cancel, deadline and
//! PROGRESS.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use protocol::message::Phase;

use super::{Busy, lock};
use crate::source::Cancel;

/// Time between two PROGRESS of one request.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Request {
    seq: u32,
    /// When the host heard of this phase; never, when it changed.
    told: Option<Instant>,
    phase: Phase,
    retry: Option<(Instant, String)>,
}

#[derive(Debug, Default)]
struct State {
    request: Option<Request>,
    epoch: u32,
    stopping: bool,
    deadline: Option<Instant>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
    cancel: Cancel,
}

impl Board {
    /// The pump begins a request. A cancel of an older one is forgotten.
    pub fn begin(&self, seq: u32, epoch: u32, phase: Phase) {
        let mut state = lock(&self.state);
        state.epoch = epoch;
        state.request = Some(Request { seq, told: Some(Instant::now()), phase, retry: None });
        if !state.stopping {
            self.cancel.clear();
        }
    }

    /// The pump answered its request.
    pub fn end(&self) {
        lock(&self.state).request = None;
    }

    /// The pump waits until `at` because of `message`.
    pub(super) fn back_off(&self, at: Instant, phase: Phase, message: String) {
        if let Some(request) = &mut lock(&self.state).request {
            request.phase = phase;
            request.told = None;
            request.retry = Some((at, message));
        }
    }

    /// The pump goes on reading.
    pub(super) fn polling(&self) {
        if let Some(request) = &mut lock(&self.state).request {
            request.phase = Phase::Polling;
            request.told = None;
            request.retry = None;
        }
    }

    /// For calls that block.
    pub fn cancel_token(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Epoch of the last request.
    pub fn epoch(&self) -> u32 {
        lock(&self.state).epoch
    }

    /// The host does not want the answer to `seq` any more.
    pub(super) fn cancel(&self, seq: u32) {
        let state = lock(&self.state);
        if state.request.as_ref().is_some_and(|request| request.seq == seq) {
            self.cancel.set();
        }
    }

    /// The host wants the process to end within `time`.
    pub(super) fn stop(&self, time: Duration) {
        let mut state = lock(&self.state);
        state.stopping = true;
        self.cancel.set();
        let deadline = Instant::now().checked_add(time);
        state.deadline = [state.deadline, deadline].into_iter().flatten().min();
        drop(state);
        self.changed.notify_all();
    }

    /// Time until the process must have ended.
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = lock(&self.state).deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits for a deadline to be armed, at most this long.
    pub(super) fn wait(&self, time: Duration) {
        drop(self.changed.wait_timeout(lock(&self.state), time));
    }

    /// What to tell the host, if it heard nothing for long.
    pub(super) fn due(&self) -> Option<Busy> {
        let mut state = lock(&self.state);
        let epoch = state.epoch;
        let request = state.request.as_mut()?;
        let now = Instant::now();
        if request.told.is_some_and(|told| now.duration_since(told) < PROGRESS_EVERY) {
            return None;
        }
        request.told = Some(now);
        let retry_after = request.retry.as_ref().map(|(at, _)| at.saturating_duration_since(now));
        Some(Busy {
            seq: request.seq,
            epoch,
            phase: request.phase,
            retry_after_ms: retry_after.map(|left| u64::try_from(left.as_millis()).unwrap_or(0)),
            message: request.retry.as_ref().map(|(_, message)| message.clone()),
        })
    }
}
