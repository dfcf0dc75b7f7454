//! What is known of the connections to the brokers: whether any works, why the last one failed,
//! whether there is a token. It is filled from librdkafka's errors and lines, and asked by whoever
//! waits; it calls nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::Failure;
use rdkafka::types::RDKafkaErrorCode;

use super::refused;
use super::security::Shows;

/// Bytes of one log line or cause that is kept.
const LINE_BYTES_MAX: usize = 500;

/// What is known of the connections to the brokers.
#[derive(Debug, Default)]
pub(super) struct Link {
    state: Mutex<LinkState>,
    recheck: AtomicBool,
    renews: AtomicBool,
    ids: Mutex<Vec<(String, String)>>,
    ids_changed: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct LinkState {
    down_since: Option<Instant>,
    /// Whether a token was set, and why none could be got last.
    has_token: bool,
    no_token: Option<Failure>,
    /// Whether a broker ever answered, and when the first connection failed before that.
    was_up: bool,
    failed_since: Option<Instant>,
    cause: Option<(Instant, RDKafkaErrorCode, String)>,
}

impl Link {
    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A broker answered.
    pub(super) fn up(&self) {
        let mut state = self.state();
        (state.down_since, state.cause) = (None, None);
        state.was_up = true;
    }

    /// Whether a broker ever answered.
    pub(super) fn was_up(&self) -> bool {
        self.state().was_up
    }

    /// Whether what only looks like a wrong setting may be taken for one: no broker ever answered,
    /// and none does for a while. Later, a broker that is restarted looks the same.
    pub(super) fn may_guess(&self) -> bool {
        const SETTLED: Duration = Duration::from_secs(2);
        let state = self.state();
        !state.was_up && state.failed_since.is_some_and(|since| since.elapsed() >= SETTLED)
    }

    /// Takes a line about a connection that failed, where it says more than the error.
    pub(super) fn note_failure(&self, line: &str) {
        let lost = RDKafkaErrorCode::BrokerTransportFailure;
        // `[thrd:NAME]: ` before the text.
        let text = line.split_once("]: ").map_or(line, |(_, text)| text);
        if refused::classify(lost, text, Shows::Nothing).is_some() {
            let now = Instant::now();
            let mut state = self.state();
            state.failed_since.get_or_insert(now);
            state.cause = Some((now, lost, cut(text).to_owned()));
        }
    }

    /// Tells whether tokens are renewed without a new client.
    pub(super) fn set_renews(&self, renews: bool) {
        self.renews.store(renews, Ordering::Release);
    }

    /// Whether a refused login may pass by itself, because the token ended a moment before the next
    /// one came.
    pub(super) fn may_pass(&self) -> bool {
        const RENEWAL: Duration = Duration::from_secs(2);
        let down = self.down_for();
        self.renews.load(Ordering::Acquire) && down.is_none_or(|down| down < RENEWAL)
    }

    /// A token was set.
    pub(super) fn has_token(&self) {
        let mut state = self.state();
        (state.has_token, state.no_token) = (true, None);
    }

    /// No token could be got, or it was not taken.
    pub(super) fn no_token(&self, failure: Failure) {
        self.state().no_token = Some(failure);
    }

    /// Why there is no token, once that keeps the client from the brokers: at once when there
    /// never was one, after the connections are lost otherwise.
    pub(super) fn missing_token(&self) -> Option<Failure> {
        let state = self.state();
        let matters = !state.has_token || state.down_since.is_some();
        state.no_token.clone().filter(|_| matters)
    }

    /// How long no broker has been reachable.
    pub(super) fn down_for(&self) -> Option<Duration> {
        self.state().down_since.map(|since| since.elapsed())
    }

    /// The last error of a connection, if it is fresh.
    pub(super) fn cause(&self) -> Option<(RDKafkaErrorCode, String)> {
        const FRESH: Duration = Duration::from_secs(60);
        let cause = self.state().cause.clone();
        cause.filter(|(at, ..)| at.elapsed() < FRESH).map(|(_, code, text)| (code, text))
    }

    /// What was known may have changed.
    pub(super) fn recheck(&self) {
        self.recheck.store(true, Ordering::Release);
    }

    /// Whether a connection failed since the last call: what was known may have changed.
    pub(super) fn take_recheck(&self) -> bool {
        self.recheck.swap(false, Ordering::AcqRel)
    }

    /// Topics that librdkafka reads under another id than before, with the new id, since the last
    /// call. It says so before it fetches anything under the new id.
    pub(super) fn take_new_ids(&self) -> Vec<(String, String)> {
        if !self.ids_changed.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a line of the kind `Topic t changed id from A to B`.
    pub(super) fn note_id(&self, line: &str) {
        let Some((_, rest)) = line.split_once("Topic ") else { return };
        let Some((topic, ids)) = rest.split_once(" changed id from ") else { return };
        let Some((_, id)) = ids.split_once(" to ") else { return };
        let mut new = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        new.retain(|(name, _)| name != topic);
        new.push((topic.to_owned(), id.trim().to_owned()));
        self.ids_changed.store(true, Ordering::Release);
    }

    /// An error of a connection, or that none is left.
    pub(super) fn failed(&self, code: RDKafkaErrorCode, text: &str) {
        let now = Instant::now();
        let mut state = self.state();
        if code == RDKafkaErrorCode::AllBrokersDown {
            state.down_since.get_or_insert(now);
        } else {
            state.cause = Some((now, code, cut(text).to_owned()));
        }
        self.recheck.store(true, Ordering::Release);
    }
}

/// The start of a text, on one line.
pub(super) fn cut(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.get(..line.floor_char_boundary(LINE_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
