//! Which shards there are, who came from whom, and which life of the stream they belong to.
//!
//! The listing follows every page: the first one alone would silently leave shards unread.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_kinesis::types::{ChildShard, HashKeyRange};
use protocol::{Code, Failure};

use super::aggregate::HashRange;
use super::client::Shared;
use super::failure::{self, Kind};
use super::position::key_of;
use crate::source::Split;

/// Pages of one listing. Why 100: a page has up to 1,000 shards, and a stream 20,000 at most.
const PAGES_MAX: usize = 100;

/// What a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Changes when the stream is deleted and created again.
    pub(super) incarnation: String,
    /// Names the stream among all.
    pub(super) arn: String,
    /// How long records are kept, in milliseconds.
    pub(super) retention_ms: i64,
}

/// One shard as it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Shards that were split or merged into it, and that may have expired since.
    pub(super) parents: Vec<String>,
    /// Whether it takes no more records.
    pub(super) closed: bool,
    /// The hash keys of its records, where they were told.
    pub(super) range: Option<HashRange>,
}

/// Shards by their id.
pub(super) type Listing = BTreeMap<String, Listed>;

/// The split of a shard.
pub(super) fn split_of(shard: &str, listed: &Listed) -> Result<Split, Failure> {
    let parents = listed.parents.iter().map(|parent| key_of(parent)).collect::<Result<_, _>>()?;
    Ok(Split { key: key_of(shard)?, parents, closed: listed.closed })
}

/// Children that the end of a shard told.
pub(super) fn children(told: &[ChildShard]) -> Listing {
    let child = |child: &ChildShard| {
        let (parents, range) =
            (child.parent_shards.clone(), range_of(child.hash_key_range.as_ref()));
        (child.shard_id.clone(), Listed { parents, closed: false, range })
    };
    told.iter().map(child).collect()
}

fn range_of(range: Option<&HashKeyRange>) -> Option<HashRange> {
    let range = range?;
    HashRange::parse(&range.starting_hash_key, &range.ending_hash_key)
}

/// Asks what the stream is; the answer also tells the time.
pub(super) async fn describe(shared: &Arc<Shared>, stream: &str) -> Result<Summary, Failure> {
    let call = shared.client().describe_stream_summary().stream_name(stream);
    let answer = call.set_stream_arn(shared.arn.clone()).send().await;
    let answer =
        answer.map_err(|e| failure::from_sdk(&format!("describe stream {stream}"), &e).1)?;
    let summary = answer.stream_description_summary.ok_or_else(|| {
        let text = format!("describe stream {stream}: the answer is empty");
        Failure::new(Code::SourceUnavailable, text)
    })?;
    let created = super::row::millis(&summary.stream_creation_timestamp).unwrap_or_default();
    let incarnation = format!("{}@{created}", summary.stream_arn);
    let retention_ms = i64::from(summary.retention_period_hours).saturating_mul(3_600_000);
    Ok(Summary { incarnation, arn: summary.stream_arn, retention_ms })
}

/// Lists all shards, closed ones that have records left included.
pub(super) async fn list(shared: &Arc<Shared>, stream: &str) -> Result<Listing, Failure> {
    let mut again = true;
    loop {
        match list_once(shared, stream).await {
            // A token lives for 300 s; only a stalled listing loses one.
            Err((Kind::TokenExpired, _)) if again => again = false,
            other => return other.map_err(|(_, failure)| failure),
        }
    }
}

async fn list_once(shared: &Arc<Shared>, stream: &str) -> Result<Listing, (Kind, Failure)> {
    let what = format!("list the shards of stream {stream}");
    let mut listing = Listing::new();
    let mut token: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let call = shared.client().list_shards();
        let call = match token.take() {
            Some(token) => call.next_token(token),
            None => call.stream_name(stream),
        };
        let call = call.set_stream_arn(shared.arn.clone());
        let answer = call.send().await.map_err(|e| failure::from_sdk(&what, &e))?;
        for shard in answer.shards.unwrap_or_default() {
            let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
            let hashes = range_of(shard.hash_key_range.as_ref());
            let range = shard.sequence_number_range;
            let closed = range.is_some_and(|range| range.ending_sequence_number.is_some());
            let parents = parents.into_iter().flatten().collect();
            let listed = Listed { parents, closed, range: hashes };
            listing.insert(shard.shard_id, listed);
        }
        match answer.next_token {
            Some(next) => token = Some(next),
            None => return Ok(listing),
        }
    }
    let text = format!("{what}: more than {PAGES_MAX} pages");
    Err((Kind::Other, Failure::new(Code::BufferLimit, text)))
}
