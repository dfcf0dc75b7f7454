//! What is known of the connections to the brokers: whether any works, why the last one failed,
//! whether there is a token. It is filled from librdkafka's errors and lines, and asked by whoever
//! waits; it calls nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use protocol::Failure;
use rdkafka::types::RDKafkaErrorCode;

use super::refused;
use super::security::Shows;
use super::token::unix_ms;

/// How much earlier than by our clock a token may end at a broker that has accepted it before.
///
/// Why 5 s: clocks that are kept by a time service differ by less, and who is told that a token has
/// expired a few seconds early has nothing else to do.
const CLOCK_SKEW_MS: i64 = 5000;

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
    /// When the token that was set last ends (milliseconds since the epoch), and why none could be
    /// got last.
    token_ends_ms: Option<i64>,
    no_token: Option<Failure>,
    /// Whether a broker ever answered, and when the first connection failed before that.
    was_up: bool,
    failed_since: Option<Instant>,
    cause: Option<Cause>,
}

/// Why a connection failed, and when.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) code: RDKafkaErrorCode,
    pub(super) text: String,
    at: Instant,
    /// The token was over by then.
    pub(super) after_token: bool,
}

impl Link {
    /// Whether the token that was set last is over: by our clock or, where it is never renewed and
    /// brokers have accepted it, by a clock that is a little ahead.
    fn is_over(&self, state: &LinkState) -> bool {
        let trusted = state.was_up && !self.renews.load(Ordering::Acquire);
        let skew = if trusted { CLOCK_SKEW_MS } else { 0 };
        let now = unix_ms(SystemTime::now()).saturating_add(skew);
        state.token_ends_ms.is_some_and(|end| now >= end)
    }

    fn note(&self, state: &mut LinkState, code: RDKafkaErrorCode, text: &str) {
        let after_token = self.is_over(state);
        let text = cut(text).to_owned();
        state.cause = Some(Cause { code, text, at: Instant::now(), after_token });
    }

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
            let mut state = self.state();
            state.failed_since.get_or_insert_with(Instant::now);
            self.note(&mut state, lost, text);
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

    /// A token was set that ends at this time, milliseconds since the epoch.
    pub(super) fn has_token(&self, ends_ms: i64) {
        let mut state = self.state();
        (state.token_ends_ms, state.no_token) = (Some(ends_ms), None);
    }

    /// Whether the token that was set last is over.
    pub(super) fn token_is_over(&self) -> bool {
        self.is_over(&self.state())
    }

    /// No token could be got, or it was not taken.
    pub(super) fn no_token(&self, failure: Failure) {
        self.state().no_token = Some(failure);
    }

    /// Why there is no token, once that keeps the client from the brokers: at once when there
    /// never was one, after the connections are lost otherwise.
    pub(super) fn missing_token(&self) -> Option<Failure> {
        let state = self.state();
        let matters = state.token_ends_ms.is_none() || state.down_since.is_some();
        state.no_token.clone().filter(|_| matters)
    }

    /// How long no broker has been reachable.
    pub(super) fn down_for(&self) -> Option<Duration> {
        self.state().down_since.map(|since| since.elapsed())
    }

    /// The last error of a connection, if it is fresh.
    pub(super) fn cause(&self) -> Option<Cause> {
        const FRESH: Duration = Duration::from_secs(60);
        self.state().cause.clone().filter(|cause| cause.at.elapsed() < FRESH)
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
        let mut state = self.state();
        if code == RDKafkaErrorCode::AllBrokersDown {
            state.down_since.get_or_insert_with(Instant::now);
        } else {
            self.note(&mut state, code, text);
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
