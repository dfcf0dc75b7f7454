//! The fetcher without unsafe code, over the safe `rdkafka` crate alone: the fallback
//! (`consumer.batch=false`), and the judge of the batch queue in tests. It costs half as much again
//! per record and copies every one.
//!
//! What the safe crate hides has to be found out again. It tells that a partition ended but not
//! where, and its own position is not to be trusted (EXACTLY-ONCE E1). So the end is asked from the
//! broker; if it lies behind the last record, the partition is fetched again from there, and the
//! next "ended" proves that everything before the end that was asked has come:
//!
//! ```text
//!   records ─► ended ─► ask: end = next? ──yes──► tell the end
//!                            │ no
//!                            ▼
//!                       fetch again from next ─► records ─► ended ─► tell the asked end
//! ```
//!
//! It differs from the batch queue in three ways that the manual names: rows carry no leader epoch
//! in their position; a consumer group is named to librdkafka, which looks for its coordinator but
//! joins nothing and commits nothing; a header whose name is not UTF-8 ends the process in the
//! safe crate, if headers are wanted.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{At, Client, Events};
use super::failure::code_of;
use super::fetcher::{Fetched, Fetcher, HEADERS_MAX};
use super::position::Place;
use crate::decode::Header;

/// How long the question for one end may hold up the other partitions; it is asked again.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two looks at empty queues. Why 1 ms: a fetch takes about as long.
const LOOK_PAUSE: Duration = Duration::from_millis(1);

/// One partition that is being fetched.
struct Lane {
    place: Place,
    tag: usize,
    queue: PartitionQueue<Events>,
    /// The offset after the last record that came.
    next: i64,
    /// The end that was asked before the partition was fetched again from `next`.
    asked: Option<i64>,
    /// The end that was asked last.
    end: Option<i64>,
}

/// See the module.
pub(super) struct SafeQueue {
    client: Arc<Client>,
    lanes: Vec<Lane>,
    /// Those before `passed` were handed on.
    taken: Vec<Taken>,
    passed: usize,
    /// The lane that is looked at first next time.
    turn: usize,
    /// Names of topics; the index is the tag.
    topics: Vec<String>,
}

/// What was taken: a record, or what is wrong at an offset.
struct Taken {
    place: Place,
    tag: usize,
    what: Result<OwnedMessage, (RDKafkaErrorCode, i64)>,
}

impl SafeQueue {
    fn tag(&mut self, topic: &str) -> usize {
        if let Some(tag) = self.topics.iter().position(|name| name == topic) {
            return tag;
        }
        self.topics.push(topic.to_owned());
        self.topics.len() - 1
    }

    /// Looks once at every lane.
    fn look(&mut self, room: usize) {
        let count = self.lanes.len();
        for step in 0..count {
            let index = (self.turn + step) % count.max(1);
            let Some(lane) = self.lanes.get_mut(index) else { break };
            while self.taken.len() < room {
                let Some(what) = lane.poll(&self.client) else { break };
                self.taken.push(Taken { place: lane.place.clone(), tag: lane.tag, what });
            }
        }
        self.turn = (self.turn + 1) % count.max(1);
    }
}

impl Lane {
    fn poll(&mut self, client: &Client) -> Option<Result<OwnedMessage, (RDKafkaErrorCode, i64)>> {
        let error = match self.queue.poll(Duration::ZERO)? {
            Ok(message) => {
                let message = message.detach();
                self.next = message.offset() + 1;
                return Some(Ok(message));
            }
            Err(error) => error,
        };
        match error {
            KafkaError::PartitionEOF(_) => {
                let end = self.ended(client)?;
                Some(Err((RDKafkaErrorCode::PartitionEOF, end)))
            }
            other => Some(Err((code_of(&other), self.next))),
        }
    }

    /// The end of the partition, if that is proven now; otherwise it will be told again.
    fn ended(&mut self, client: &Client) -> Option<i64> {
        if let Some(asked) = self.asked.take() {
            self.end = Some(asked.max(self.next));
            return self.end;
        }
        let place = std::slice::from_ref(&self.place);
        match client.list_offsets(place, At::Latest, END_TIMEOUT) {
            Ok(ends) => {
                let end = ends.first().copied().flatten().unwrap_or(self.next);
                self.end = Some(end);
                if end <= self.next {
                    return Some(self.next);
                }
                self.asked = Some(end);
            }
            Err((_, code)) => tracing::debug!(place = %self.place, ?code, "no end was told"),
        }
        // Fetched again from here, the partition tells that it ended once more.
        let again = unassign(client, &self.place);
        match again.and_then(|()| assign(client, &self.place, self.next)) {
            Ok(()) => None,
            Err(code) => {
                tracing::warn!(place = %self.place, ?code, "cannot fetch again");
                None
            }
        }
    }
}

/// The consumer; the client has one because the settings name this fetcher.
fn consumer(client: &Client) -> Result<&Arc<BaseConsumer<Events>>, RDKafkaErrorCode> {
    client.consumer().ok_or(RDKafkaErrorCode::NotImplemented)
}

fn assign(client: &Client, place: &Place, offset: i64) -> Result<(), RDKafkaErrorCode> {
    let mut list = TopicPartitionList::with_capacity(1);
    let consumer = consumer(client)?;
    list.add_partition_offset(&place.topic, place.partition, Offset::Offset(offset))
        .and_then(|()| consumer.incremental_assign(&list))
        .map_err(|e| code_of(&e))
}

fn unassign(client: &Client, place: &Place) -> Result<(), RDKafkaErrorCode> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(&place.topic, place.partition);
    consumer(client)?.incremental_unassign(&list).map_err(|e| code_of(&e))
}

impl Fetcher for SafeQueue {
    type Item<'a> = SafeItem<'a>;

    const QUEUE_PER_PARTITION: bool = true;

    fn open(client: Arc<Client>) -> Option<Self> {
        let (lanes, taken, topics) = (Vec::new(), Vec::new(), Vec::new());
        Some(Self { client, lanes, taken, passed: 0, turn: 0, topics })
    }

    fn start(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(), RDKafkaErrorCode> {
        let place = Place { topic: topic.to_owned(), partition };
        let tag = self.tag(topic);
        // The queue first, so that no record goes to the client's common queue.
        let queue = consumer(&self.client)?.split_partition_queue(topic, partition);
        let queue = queue.ok_or(RDKafkaErrorCode::InvalidTopic)?;
        assign(&self.client, &place, offset)?;
        let lane = Lane { place, tag, queue, next: offset, asked: None, end: None };
        self.lanes.push(lane);
        Ok(())
    }

    fn stop(&mut self, topic: &str, partition: i32) -> Result<(), RDKafkaErrorCode> {
        let place = Place { topic: topic.to_owned(), partition };
        let before = self.lanes.len();
        self.lanes.retain(|lane| lane.place != place);
        self.taken.drain(..std::mem::take(&mut self.passed));
        self.taken.retain(|taken| taken.place != place);
        if self.lanes.len() == before { Ok(()) } else { unassign(&self.client, &place) }
    }

    fn fill(&mut self, messages_max: usize, wait: Duration) -> usize {
        if self.front().is_some() {
            return self.taken.len() - self.passed;
        }
        self.clear();
        let started = Instant::now();
        while self.taken.is_empty() {
            self.look(messages_max);
            if !self.taken.is_empty() || started.elapsed() >= wait {
                break;
            }
            thread::sleep(LOOK_PAUSE);
        }
        self.taken.len()
    }

    fn front(&mut self) -> Option<SafeItem<'_>> {
        self.taken.get(self.passed).map(SafeItem)
    }

    fn is_last(&self) -> bool {
        self.passed + 1 >= self.taken.len()
    }

    fn front_index(&self) -> usize {
        self.passed
    }

    fn time_of(&self, index: usize) -> Option<i64> {
        SafeItem(self.taken.get(index)?).timestamp()
    }

    fn pop(&mut self) {
        self.passed = self.taken.len().min(self.passed + 1);
    }

    fn clear(&mut self) {
        self.taken.clear();
        self.passed = 0;
    }

    fn end_seen(&self, topic: &str, partition: i32) -> Option<i64> {
        let of = |lane: &&Lane| lane.place.partition == partition && lane.place.topic == topic;
        self.lanes.iter().find(of).and_then(|lane| lane.end)
    }
}

/// The front of a [`SafeQueue`].
#[derive(Clone, Copy)]
pub(super) struct SafeItem<'a>(&'a Taken);

impl SafeItem<'_> {
    fn message(&self) -> Option<&OwnedMessage> {
        self.0.what.as_ref().ok()
    }
}

impl Fetched for SafeItem<'_> {
    fn error(&self) -> Option<RDKafkaErrorCode> {
        self.0.what.as_ref().err().map(|(code, _)| *code)
    }

    fn error_text(&self) -> String {
        self.error().map(|code| code.to_string()).unwrap_or_default()
    }

    fn topic_tag(&self) -> usize {
        self.0.tag
    }

    fn topic(&self) -> &str {
        &self.0.place.topic
    }

    fn partition(&self) -> i32 {
        self.0.place.partition
    }

    fn offset(&self) -> i64 {
        match &self.0.what {
            Ok(message) => message.offset(),
            Err((_, offset)) => *offset,
        }
    }

    fn key(&self) -> Option<&[u8]> {
        self.message()?.key()
    }

    fn value(&self) -> Option<&[u8]> {
        self.message()?.payload()
    }

    fn epoch(&self) -> Option<i32> {
        None
    }

    fn timestamp(&self) -> Option<i64> {
        self.message()?.timestamp().to_millis().filter(|ms| *ms >= 0)
    }

    fn headers(&self) -> Option<Vec<Header<'_>>> {
        let Some(list) = self.message().and_then(Message::headers) else { return Some(Vec::new()) };
        let fits = list.count() <= HEADERS_MAX;
        let pair = |index| {
            let header = list.get(index);
            (header.key.as_bytes(), header.value)
        };
        fits.then(|| (0..list.count()).map(pair).collect())
    }
}
