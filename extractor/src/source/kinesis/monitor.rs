//! Looks at the stream from time to time: new shards, and whether it is still the same stream. A
//! task of the runtime; it never touches the shards that are read.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use protocol::Failure;

use super::client::Shared;
use super::shards::{self, Listing, Summary};

/// What it saw.
#[derive(Debug)]
pub(super) struct Sight {
    /// The stream.
    pub(super) summary: Summary,
    /// Its shards.
    pub(super) listing: Listing,
}

/// Looks at once and then after each pause; stops when nobody listens any more. A sight that nobody
/// took yet is not replaced: the next one says the same and more.
pub(super) async fn watch(
    shared: Arc<Shared>,
    stream: String,
    pause: Duration,
    sights: SyncSender<Result<Sight, Failure>>,
) {
    use std::sync::mpsc::TrySendError;
    loop {
        // Tasks of many extractors must not look in the same moment: the calls are few per account.
        tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        let sight = look(&shared, &stream).await;
        if let Err(TrySendError::Disconnected(_)) = sights.try_send(sight) {
            return;
        }
    }
}

async fn look(shared: &Arc<Shared>, stream: &str) -> Result<Sight, Failure> {
    let summary = shards::describe(shared, stream).await?;
    let listing = shards::list(shared, stream).await?;
    Ok(Sight { summary, listing })
}
