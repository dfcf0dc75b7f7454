//! The service's clock, read from the `Date` header of its answers. The local clock is never asked
//! for a time; it only counts what has passed since an answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};

/// How far a pin lies before the time that the service tells.
///
/// Why 1,000 ms: the header has whole seconds, rounded down, which is on the safe side already;
/// arrival times are approximate, and several machines of the service give them.
pub(super) const PIN_MARGIN_MS: i64 = 1_000;

/// See the file. Copies share what they know.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Arc<Mutex<Option<(i64, Instant)>>>);

/// When something was asked of the service: what it answers is at least as new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// By the local monotonic clock.
    pub(super) at: Instant,
    /// By the service's clock, milliseconds since the epoch, as far as it is known; never later than
    /// it really was, because the header is older than its arrival.
    pub(super) service_ms: Option<i64>,
}

impl Clock {
    /// Now.
    pub(super) fn moment(&self) -> Moment {
        Moment { at: Instant::now(), service_ms: self.now_ms() }
    }

    /// The service's time, milliseconds since the epoch, once an answer told it.
    pub(super) fn now_ms(&self) -> Option<i64> {
        let (told, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(told.saturating_add(i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }

    /// A time that is surely not after what arrives from now on.
    pub(super) fn pin_ms(&self) -> Option<i64> {
        self.now_ms().map(|now| now.saturating_sub(PIN_MARGIN_MS).max(0))
    }

    fn told(&self, date: &str) {
        let Ok(time) = DateTime::from_str(date, DateTimeFormat::HttpDate) else { return };
        let Ok(ms) = time.to_millis() else { return };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((ms, Instant::now()));
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.told(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
