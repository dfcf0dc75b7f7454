//! How long to wait between attempts at a source that may work later: full jitter, so that many
//! tasks do not knock at the same moment.

use std::time::{Duration, Instant};

use protocol::{Class, Failure};

/// Upper end of the first wait; doubles with each attempt.
const FIRST: Duration = Duration::from_millis(100);

/// Upper end of every wait.
const LONGEST: Duration = Duration::from_secs(5);

/// A series of attempts that failed.
#[derive(Debug)]
pub(super) struct Retry {
    since: Instant,
    /// Attempts that failed, from 1.
    pub(super) attempts: u32,
    /// When to try again.
    pub(super) at: Instant,
}

impl Retry {
    /// Plans the next attempt after `failure`, or gives the failure back when there is none: it is
    /// not transient, or `within` is over.
    pub(super) fn next(
        last: Option<Self>,
        failure: Failure,
        within: Duration,
    ) -> Result<(Self, Failure), Failure> {
        let now = Instant::now();
        let (since, attempts) = last.map_or((now, 0), |last| (last.since, last.attempts));
        let ceiling = FIRST.saturating_mul(1u32 << attempts.min(16)).min(LONGEST);
        let jitter = ceiling.mul_f64(fastrand::f64());
        let asked = failure.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
        let at = now + jitter.max(asked.min(LONGEST));
        if failure.class != Class::Transient || at.duration_since(since) > within {
            return Err(failure);
        }
        Ok((Self { since, attempts: attempts + 1, at }, failure))
    }
}

#[cfg(test)]
mod tests {
    //! Tests of the schedule.

    use super::*;
    use protocol::Code;

    #[test]
    fn transient_failures_are_tried_again_until_the_time_is_over() {
        let failure = || Failure::new(Code::SourceUnavailable, "down");
        let within = Duration::from_secs(60);
        let mut last = None;
        for attempt in 0..4 {
            let (retry, _) = Retry::next(last, failure(), within).unwrap();
            assert_eq!(retry.attempts, attempt + 1);
            assert!(retry.at <= Instant::now() + FIRST * (1 << attempt));
            last = Some(retry);
        }
        let late = Retry { since: Instant::now() - within, attempts: 9, at: Instant::now() };
        assert_eq!(Retry::next(Some(late), failure(), within).unwrap_err(), failure());
    }

    #[test]
    fn other_failures_are_reported_at_once() {
        for code in [Code::OffsetOutOfRange, Code::AuthFailed, Code::Bug] {
            let failure = Failure::new(code, "no");
            assert!(Retry::next(None, failure, Duration::from_secs(60)).is_err());
        }
    }
}
