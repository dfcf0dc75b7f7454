//! The fetch queue: many messages per call, each with its topic and offset. It may call librdkafka
//! past the safe `rdkafka` crate, and nothing outside this file holds a raw pointer of it.
//!
//! Why not the safe poll: it hides the topic and the offset of an end-of-partition event, without
//! which no position can pass aborted transactions (EXACTLY-ONCE E1), and it costs half as much
//! again per message.
//!
//! Partitions are started one by one on a queue of our own ("simple consumer"). There is no
//! consumer group: no coordinator is asked, no group can be joined, no permission on a group is
//! needed. Logs, global errors and statistics stay on the main queue, which only the safe crate
//! reads; this queue carries messages and partition errors, and both are destroyed exactly once,
//! by [`Fetcher::stop`] or [`Fetcher::clear`], the latter also before more are taken and on drop.
#![expect(unsafe_code, reason = "rdkafka has no batch consume and hides the offset of events")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings::{
    self as native, rd_kafka_headers_t, rd_kafka_message_t, rd_kafka_queue_t, rd_kafka_topic_t,
};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::client::Client;
use super::fetcher::{Fetched, Fetcher, HEADERS_MAX};
use crate::decode::Header;

/// Messages of one call.
///
/// Why 1,000: more gains nothing per message, and what the sink refused waits here outside the
/// count of the queue's memory limit.
pub(super) const MESSAGES_MAX: usize = 1000;

/// Messages that were taken from librdkafka and not yet handed on, and the queue they come from.
pub(super) struct FetchQueue {
    queue: NonNull<rd_kafka_queue_t>,
    topics: BTreeMap<String, NonNull<rd_kafka_topic_t>>,
    /// Owned messages; null once destroyed. Those before `next` were handed on.
    taken: Vec<*mut rd_kafka_message_t>,
    next: usize,
    client: Arc<Client>,
}

// SAFETY: librdkafka's handles may be used from any thread; `FetchQueue` is their only owner and
// all its methods that touch them take `&mut self` or only read memory owned by a taken message.
unsafe impl Send for FetchQueue {}

impl Fetcher for FetchQueue {
    type Item<'a> = Item<'a>;

    const QUEUE_PER_PARTITION: bool = false;

    fn open(client: Arc<Client>) -> Option<Self> {
        // SAFETY: the client handle is alive, and `client` keeps it alive longer than the queue.
        let queue = unsafe { native::rd_kafka_queue_new(client.native()) };
        let queue = NonNull::new(queue)?;
        let taken = Vec::with_capacity(MESSAGES_MAX);
        Some(Self { queue, topics: BTreeMap::new(), taken, next: 0, client })
    }

    fn start(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(), RDKafkaErrorCode> {
        let topic = self.topic(topic)?;
        // SAFETY: both handles are alive and belong to the same client.
        let result = unsafe {
            native::rd_kafka_consume_start_queue(
                topic.as_ptr(),
                partition,
                offset,
                self.queue.as_ptr(),
            )
        };
        last_error_unless_zero(result)
    }

    fn stop(&mut self, topic: &str, partition: i32) -> Result<(), RDKafkaErrorCode> {
        let handle = self.topic(topic)?;
        // SAFETY: the topic handle is alive; the call waits for librdkafka's own main thread.
        let result = unsafe { native::rd_kafka_consume_stop(handle.as_ptr(), partition) };
        for slot in &mut self.taken {
            // SAFETY: a slot is null or an owned, live message.
            let of_partition = unsafe { slot.as_ref() }.is_some_and(|message| {
                message.partition == partition && topic_of(message) == topic
            });
            if of_partition {
                destroy(slot);
            }
        }
        last_error_unless_zero(result)
    }

    fn fill(&mut self, messages_max: usize, wait: Duration) -> usize {
        if self.front().is_some() {
            return self.taken.len() - self.next;
        }
        self.clear();
        let room = messages_max.min(MESSAGES_MAX);
        self.take(room, Duration::ZERO);
        if self.taken.is_empty() && room > 0 && !wait.is_zero() {
            // A batch call waits until it is full: wait for one, then take what is there.
            self.take(1, wait);
            if !self.taken.is_empty() {
                self.take(room - 1, Duration::ZERO);
            }
        }
        self.taken.len()
    }

    fn front(&mut self) -> Option<Item<'_>> {
        while let Some(slot) = self.taken.get(self.next) {
            // SAFETY: a slot is null or an owned, live message; it is destroyed only through
            // `&mut self`, which the returned borrow excludes.
            if let Some(message) = unsafe { slot.as_ref() } {
                return Some(Item { message });
            }
            self.next += 1;
        }
        None
    }

    fn front_index(&self) -> usize {
        self.next
    }

    fn time_of(&self, index: usize) -> Option<i64> {
        // SAFETY: a slot is null or an owned, live message.
        let message = unsafe { self.taken.get(index)?.as_ref() }?;
        Item { message }.timestamp()
    }

    fn is_last(&self) -> bool {
        self.next + 1 >= self.taken.len()
    }

    /// All that were passed are destroyed together by [`Fetcher::clear`]: freed one by one between other
    /// work, each would wait for the lock of the allocator that librdkafka's thread holds, which cost
    /// a tenth of the whole.
    fn pop(&mut self) {
        self.next = self.taken.len().min(self.next + 1);
    }

    fn clear(&mut self) {
        self.taken.iter_mut().for_each(destroy);
        self.taken.clear();
        self.next = 0;
    }

    fn end_seen(&self, topic: &str, partition: i32) -> Option<i64> {
        let topic = CString::new(topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: all pointers are valid for the call, which only reads librdkafka's memory.
        let code = unsafe {
            native::rd_kafka_get_watermark_offsets(
                self.client.native(),
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
            )
        };
        (code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl FetchQueue {
    fn take(&mut self, room: usize, wait: Duration) {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let before = self.taken.len();
        let room = room.min(self.taken.capacity() - before);
        if room == 0 {
            return;
        }
        // SAFETY: the vector has room for `room` more pointers; the call writes at most that many
        // and returns how many; each is a message that we now own.
        unsafe {
            let end = self.taken.as_mut_ptr().add(before);
            let count =
                native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait_ms, end, room);
            let count = usize::try_from(count).unwrap_or(0).min(room);
            self.taken.set_len(before + count);
        }
    }

    /// The handle of a topic, made once.
    fn topic(&mut self, name: &str) -> Result<NonNull<rd_kafka_topic_t>, RDKafkaErrorCode> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(*topic);
        }
        let c_name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: the client is alive, the name ends with a zero, and no configuration means the
        // client's own.
        let topic = unsafe {
            native::rd_kafka_topic_new(self.client.native(), c_name.as_ptr(), ptr::null_mut())
        };
        let topic = NonNull::new(topic).ok_or_else(last_error)?;
        self.topics.insert(name.to_owned(), topic);
        Ok(topic)
    }
}

impl Drop for FetchQueue {
    fn drop(&mut self) {
        self.clear();
        for topic in self.topics.values() {
            // SAFETY: the handle is ours and used for the last time.
            unsafe { native::rd_kafka_topic_destroy(topic.as_ptr()) };
        }
        // SAFETY: the queue is ours and used for the last time; the client outlives it.
        unsafe { native::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// A taken message, or an event of a partition.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    message: &'a rd_kafka_message_t,
}

impl<'a> Fetched for Item<'a> {
    fn error(&self) -> Option<RDKafkaErrorCode> {
        match self.message.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            code => Some(code.into()),
        }
    }

    fn error_text(&self) -> String {
        String::from_utf8_lossy(self.value().unwrap_or_default()).into_owned()
    }

    fn topic_tag(&self) -> usize {
        self.message.rkt.addr()
    }

    fn topic(&self) -> &str {
        topic_of(self.message)
    }

    fn partition(&self) -> i32 {
        self.message.partition
    }

    fn offset(&self) -> i64 {
        self.message.offset
    }

    fn key(&self) -> Option<&[u8]> {
        // SAFETY: the key lives as long as the message, which `self` borrows.
        unsafe { bytes(self.message.key, self.message.key_len) }
    }

    fn value(&self) -> Option<&[u8]> {
        // SAFETY: the value lives as long as the message, which `self` borrows.
        unsafe { bytes(self.message.payload, self.message.len) }
    }

    fn epoch(&self) -> Option<i32> {
        // SAFETY: the message is alive and a consumed one.
        let epoch = unsafe { native::rd_kafka_message_leader_epoch(self.message) };
        (epoch >= 0).then_some(epoch)
    }

    fn timestamp(&self) -> Option<i64> {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive; the call writes the kind.
        let ms = unsafe { native::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        let known = kind != native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (known && ms >= 0).then_some(ms)
    }

    fn headers(&self) -> Option<Vec<Header<'_>>> {
        let mut list: *mut rd_kafka_headers_t = ptr::null_mut();
        // SAFETY: the message is alive; the list, if any, lives as long as the message.
        let code = unsafe { native::rd_kafka_message_headers(self.message, &raw mut list) };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__NOENT => return Some(Vec::new()),
            _ => return None,
        }
        let mut headers = Vec::new();
        for index in 0..=HEADERS_MAX {
            let mut name: *const c_char = ptr::null();
            let mut value: *const c_void = ptr::null();
            let mut len = 0;
            // SAFETY: the list is alive; the call fails at the end and then writes nothing.
            let code = unsafe {
                native::rd_kafka_header_get_all(
                    list,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut len,
                )
            };
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Some(headers);
            }
            // SAFETY: the name is a C string inside the list, which lives as long as the message.
            let name = unsafe { CStr::from_ptr(name) };
            // SAFETY: so does the value.
            headers.push((name.to_bytes(), unsafe { bytes(value, len) }));
        }
        None
    }
}

/// Bytes that librdkafka points to; `None` for a null pointer.
///
/// # Safety
/// `start` is null, or `len` bytes behind it are readable and unchanged for as long as `'a`.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise; the pointer is not null here.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), len) })
}

fn topic_of(message: &rd_kafka_message_t) -> &str {
    if message.rkt.is_null() {
        return "";
    }
    // SAFETY: the topic of a live message is alive, and its name is a C string that lives as long.
    let name = unsafe { CStr::from_ptr(native::rd_kafka_topic_name(message.rkt)) };
    name.to_str().unwrap_or_default()
}

fn destroy(slot: &mut *mut rd_kafka_message_t) {
    let message = std::mem::replace(slot, ptr::null_mut());
    if !message.is_null() {
        // SAFETY: the slot owned the message and forgot it just now.
        unsafe { native::rd_kafka_message_destroy(message) };
    }
}

fn last_error_unless_zero(result: i32) -> Result<(), RDKafkaErrorCode> {
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> RDKafkaErrorCode {
    // SAFETY: reads a thread-local of librdkafka.
    unsafe { native::rd_kafka_last_error() }.into()
}
