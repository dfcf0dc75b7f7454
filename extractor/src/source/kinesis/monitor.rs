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

/// Looks after each pause, and when it is asked to; stops when nobody listens any more. A sight that
/// nobody took yet is not replaced: the next one says the same and more.
pub(super) async fn watch(
    shared: Arc<Shared>,
    stream: String,
    pause: Duration,
    asked: Arc<Notify>,
    sights: SyncSender<Result<Sight, Failure>>,
) {
    use std::sync::mpsc::TrySendError;
    loop {
        // Tasks of many extractors must not look in the same moment: the calls are few per account.
        let pause = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        let whole = tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = asked.notified() => false,
        };
        let sight = look(&shared, &stream, whole).await;
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
