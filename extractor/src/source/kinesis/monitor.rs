//! Looks at the stream from time to time: new shards, and whether it is still the same stream. A
//! task of the runtime; it never touches the shards that are read.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use protocol::Failure;
use tokio::sync::Notify;

use super::client::Shared;
use super::shards::{self, Listing, Summary};

/// What it saw.
#[derive(Debug)]
pub(super) struct Sight {
    /// When the look began.
    pub(super) began: Instant,
    /// The stream; left out of a look that was asked for, because few of these calls are allowed.
    pub(super) summary: Option<Summary>,
    /// Its shards.
    pub(super) listing: Listing,
}

/// A look that failed.
#[derive(Debug)]
pub(super) struct Blind {
    /// Why.
    pub(super) failure: Failure,
    /// For how long every look has failed.
    pub(super) since: Duration,
    /// Whether that is too long: shards that are new are not read, and nobody knows of them.
    pub(super) too_long: bool,
}

impl Blind {
    /// The error for the host; the class is that of the last look's, so that what may pass is tried
    /// again.
    pub(super) fn told(self) -> Failure {
        let text = format!(
            "the shards could not be looked at for {} s, so that new ones may be there unread: {}",
            self.since.as_secs(),
            self.failure.message
        );
        Failure { message: text, ..self.failure }
    }
}

/// Looks in a row that fail before the host is told an error. Why 10: with the default pause that is
/// 5 minutes, longer than the service changes its machines, and much shorter than records are kept.
const LOOKS_MAX: u32 = 10;

/// The longest pause after a look that failed. Why 30 s: the pause between looks may be an hour, and the
/// error must come in minutes.
const BLIND_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The shortest one, also when it is asked for. Why 1 s: who waits to be caught up asks again and again.
const BLIND_PAUSE_MIN: Duration = Duration::from_secs(1);

/// How long every look may fail.
fn blind_max(pause: Duration) -> Duration {
    pause.min(BLIND_PAUSE_MAX).saturating_mul(LOOKS_MAX)
}

/// What was seen last, until it is taken: nobody takes it while the host is busy elsewhere.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<Result<Sight, Blind>>>);

impl Seen {
    /// Takes it.
    pub(super) fn take(&self) -> Option<Result<Sight, Blind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts it in place of what was seen before. Only that a look failed is less than a sight: that one
    /// stays, and the next look that fails is told.
    fn put(&self, new: Result<Sight, Blind>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(match (seen.take(), new) {
            (Some(Ok(old)), Ok(new)) => {
                // The stream as it was told counts although a look at the shards alone came later.
                Ok(Sight { summary: new.summary.or(old.summary), ..new })
            }
            (Some(Ok(old)), Err(_)) => Ok(old),
            (_, new) => new,
        });
    }
}

/// Looks after each pause, and when it is asked to; stops when nobody listens any more.
pub(super) async fn watch(
    shared: Arc<Shared>,
    stream: String,
    pause: Duration,
    asked: Arc<Notify>,
    seen: Weak<Seen>,
) {
    let mut failing: Option<Instant> = None;
    loop {
        let next = if failing.is_some() { pause.min(BLIND_PAUSE_MAX) } else { pause };
        // Tasks of many extractors must not look in the same moment: the calls are few per account.
        let next = next.mul_f64(0.75 + fastrand::f64() / 2.0);
        if failing.is_some() {
            tokio::time::sleep(next.min(BLIND_PAUSE_MIN)).await;
        }
        let whole = tokio::select! {
            () = tokio::time::sleep(next) => true,
            () = asked.notified() => false,
        };
        let sight = match look(&shared, &stream, whole).await {
            Ok(sight) => {
                failing = None;
                Ok(sight)
            }
            Err(failure) => {
                let since = failing.get_or_insert_with(Instant::now).elapsed();
                Err(Blind { failure, since, too_long: since > blind_max(pause) })
            }
        };
        let Some(seen) = seen.upgrade() else { return };
        seen.put(sight);
    }
}

async fn look(shared: &Arc<Shared>, stream: &str, whole: bool) -> Result<Sight, Failure> {
    let began = Instant::now();
    let summary = if whole { Some(shards::describe(shared, stream).await?) } else { None };
    let listing = shards::list(shared, stream).await?;
    Ok(Sight { began, summary, listing })
}

#[cfg(test)]
mod tests {
    use protocol::Code;

    use super::*;

    fn sight(summary: Option<&str>, shard: &str) -> Sight {
        let listed = shards::Listed { parents: Vec::new(), closed: false, range: None };
        let summary = summary.map(|incarnation| Summary {
            incarnation: incarnation.to_owned(),
            arn: String::new(),
            retention_ms: 0,
        });
        let listing = [(shard.to_owned(), listed)].into_iter().collect();
        Sight { began: Instant::now(), summary, listing }
    }

    fn blind() -> Blind {
        let failure = Failure::new(Code::SourceUnavailable, "nobody is there");
        Blind { failure, since: Duration::from_secs(400), too_long: true }
    }

    #[test]
    fn an_error_that_nobody_took_is_over_with_the_next_good_look() {
        let seen = Seen::default();
        assert!(seen.take().is_none());
        seen.put(Err(blind()));
        assert!(seen.take().is_some_and(|told| told.is_err()), "it is told while it lasts");
        seen.put(Err(blind()));
        seen.put(Err(blind()));
        seen.put(Ok(sight(Some("one"), "shardId-0")));
        seen.put(Ok(sight(None, "shardId-1")));
        seen.put(Err(blind()));
        let Some(Ok(told)) = seen.take() else { panic!("the good look is lost") };
        assert_eq!(told.summary.unwrap().incarnation, "one", "the life of the stream is told");
        assert!(told.listing.contains_key("shardId-1"), "the newest listing is told");
        assert!(seen.take().is_none());
    }
}
