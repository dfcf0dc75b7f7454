//! Looks at the stream from time to time: new shards, and whether it is still the same stream. A
//! task of the runtime; it never touches the shards that are read.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
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

/// Looks after each pause, and when it is asked to; stops when nobody listens any more. A sight that
/// nobody took yet is not replaced: the next one says the same and more.
pub(super) async fn watch(
    shared: Arc<Shared>,
    stream: String,
    pause: Duration,
    asked: Arc<Notify>,
    sights: SyncSender<Result<Sight, Blind>>,
) {
    use std::sync::mpsc::TrySendError;
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
        if let Err(TrySendError::Disconnected(_)) = sights.try_send(sight) {
            return;
        }
    }
}

async fn look(shared: &Arc<Shared>, stream: &str, whole: bool) -> Result<Sight, Failure> {
    let began = Instant::now();
    let summary = if whole { Some(shards::describe(shared, stream).await?) } else { None };
    let listing = shards::list(shared, stream).await?;
    Ok(Sight { began, summary, listing })
}
