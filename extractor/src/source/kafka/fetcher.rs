//! What the reader needs from whoever takes records from librdkafka. There are two: `queue`, which
//! every pipeline uses, and `safe`, which has no unsafe code and is the judge of the first in tests.
//! The reader is compiled for each, so that the hot loop calls nothing through a table.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use super::client::Client;
use crate::decode::Header;

/// Headers of one message. Why 10,000: brokers have no limit below the message size, people do.
pub(super) const HEADERS_MAX: usize = 10_000;

/// One record, or an event of a partition in its place among the records.
pub(super) trait Fetched {
    /// What is wrong, or `None` for a record.
    fn error(&self) -> Option<RDKafkaErrorCode>;

    /// The text of an event, for people.
    fn error_text(&self) -> String;

    /// Identifies the topic as long as the fetcher lives.
    fn topic_tag(&self) -> usize;

    /// The topic's name.
    fn topic(&self) -> &str;

    /// The partition.
    fn partition(&self) -> i32;

    /// The offset of a record, or the place that an event names.
    fn offset(&self) -> i64;

    /// The key; null and empty are different.
    fn key(&self) -> Option<&[u8]>;

    /// The value; null and empty are different.
    fn value(&self) -> Option<&[u8]>;

    /// The leader epoch under which a record was written, where it can be told.
    fn epoch(&self) -> Option<i32>;

    /// Milliseconds since the epoch.
    fn timestamp(&self) -> Option<i64>;

    /// All headers in their order; `None` when there are more than [`HEADERS_MAX`] or they cannot
    /// be parsed.
    fn headers(&self) -> Option<Vec<Header<'_>>>;
}

/// Fetches partitions from given offsets and gives their records and ends, each partition in order.
///
/// The end of a partition is told with its offset: everything before that was given before, and
/// what has no record there (a marker, an aborted or compacted record) never comes.
pub(super) trait Fetcher: Sized {
    /// What is at the front.
    type Item<'a>: Fetched + Copy
    where
        Self: 'a;

    /// Whether each partition has a queue of its own in librdkafka, so that the budget must be
    /// divided by their number.
    const QUEUE_PER_PARTITION: bool;

    /// A fetcher of no partitions; `None` when librdkafka has no memory for it.
    fn open(client: Arc<Client>) -> Option<Self>;

    /// Starts to fetch a partition at `offset`.
    fn start(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(), RDKafkaErrorCode>;

    /// Stops to fetch a partition; nothing of it is given any more.
    fn stop(&mut self, topic: &str, partition: i32) -> Result<(), RDKafkaErrorCode>;

    /// Takes up to `messages_max` messages when all taken ones are gone; waits at most `wait` for
    /// the first and never for the others. Returns how many are there.
    fn fill(&mut self, messages_max: usize, wait: Duration) -> usize;

    /// The next message or event. `None`: all that were taken are passed; [`Fetcher::clear`] frees
    /// them.
    fn front(&mut self) -> Option<Self::Item<'_>>;

    /// Whether [`Fetcher::front`] is the last one taken.
    fn is_last(&self) -> bool;

    /// Where [`Fetcher::front`], which must have been called, lies among those taken.
    fn front_index(&self) -> usize;

    /// The time of one that was taken, also of one that was passed, until the next
    /// [`Fetcher::fill`], [`Fetcher::stop`] or [`Fetcher::clear`]. Milliseconds since the epoch.
    fn time_of(&self, index: usize) -> Option<i64>;

    /// Passes the next message or event.
    fn pop(&mut self);

    /// Forgets everything taken.
    fn clear(&mut self);

    /// The end of a partition as it was told last; nothing is asked.
    fn end_seen(&self, topic: &str, partition: i32) -> Option<i64>;
}
