//! Topics as the broker describes them: which life, how many partitions. It may call librdkafka
//! past the safe `rdkafka` crate, whose metadata call does not give the topic id.
//!
//! The request never creates a topic. It is sent to a broker that answered before, and not to the
//! controller as librdkafka would by default: any broker can answer it, and a controller that is
//! down must not stop the reading.
#![expect(unsafe_code, reason = "rdkafka has no DescribeTopics")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::slice;
use std::time::{Duration, Instant};

use rdkafka::bindings as native;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::client::Client;

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    /// Its id; `None` where the broker has none (before Kafka 2.8).
    pub(super) id: Option<String>,
    /// The numbers of its partitions, sorted.
    pub(super) partitions: Vec<i32>,
}

/// What the broker says about each topic that was asked for.
pub(super) type Topics = BTreeMap<String, Result<Topic, RDKafkaErrorCode>>;

/// Frees a handle of librdkafka when it goes out of scope.
struct Owned<T> {
    handle: NonNull<T>,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    /// `handle` is null or owned by the caller, and `free` is its destructor.
    unsafe fn new(
        handle: *mut T,
        free: unsafe extern "C" fn(*mut T),
    ) -> Result<Self, RDKafkaErrorCode> {
        let handle = NonNull::new(handle).ok_or(RDKafkaErrorCode::CriticalSystemResource)?;
        Ok(Self { handle, free })
    }

    const fn ptr(&self) -> *mut T {
        self.handle.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the handle is owned, and `free` is its destructor (see `new`).
        unsafe { (self.free)(self.handle.as_ptr()) };
    }
}

/// Brokers that are asked one after the other.
const BROKERS_MAX: u32 = 3;

/// Asks a broker about `topics`; blocks for at most `timeout`.
pub(super) fn describe(
    client: &Client,
    topics: &[String],
    timeout: Duration,
) -> Result<Topics, RDKafkaErrorCode> {
    let deadline = Instant::now() + timeout;
    let slice = timeout / BROKERS_MAX;
    if let Some(broker) = client.last_broker()
        && let Ok(topics) = describe_at(client, broker, topics, slice)
    {
        return Ok(topics);
    }
    let left = || deadline.saturating_duration_since(Instant::now());
    let any = topics.first().map(String::as_str).unwrap_or_default();
    let brokers = client.brokers(any, left())?;
    let mut answer = Err(RDKafkaErrorCode::AllBrokersDown);
    for broker in brokers.into_iter().take(BROKERS_MAX as usize) {
        answer = describe_at(client, broker, topics, left().min(slice));
        if answer.is_ok() {
            client.set_last_broker(broker);
            break;
        }
    }
    answer
}

/// Asks one broker.
fn describe_at(
    client: &Client,
    broker: i32,
    topics: &[String],
    timeout: Duration,
) -> Result<Topics, RDKafkaErrorCode> {
    let names: Vec<CString> = topics.iter().filter_map(|t| CString::new(t.as_str()).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: the client outlives every handle made here; each handle is checked for null and
    // freed once, after its last use (locals drop in reverse order); `pointers` and `names` live
    // during the call that copies them.
    unsafe {
        let queue = Owned::new(
            native::rd_kafka_queue_new(client.native()),
            native::rd_kafka_queue_destroy,
        )?;
        let options = Owned::new(
            native::rd_kafka_AdminOptions_new(
                client.native(),
                native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ),
            native::rd_kafka_AdminOptions_destroy,
        )?;
        let mut text = [0; 256];
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.ptr(),
            timeout_ms,
            text.as_mut_ptr(),
            text.len(),
        );
        native::rd_kafka_AdminOptions_set_broker(
            options.ptr(),
            broker,
            text.as_mut_ptr(),
            text.len(),
        );
        let collection = Owned::new(
            native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            native::rd_kafka_TopicCollection_destroy,
        )?;
        native::rd_kafka_DescribeTopics(
            client.native(),
            collection.ptr(),
            options.ptr(),
            queue.ptr(),
        );
        // The request ends by itself at its timeout; the second more is for its answer to arrive.
        let event = native::rd_kafka_queue_poll(queue.ptr(), timeout_ms.saturating_add(1000));
        if event.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let event = Owned::new(event, native::rd_kafka_event_destroy)?;
        let code = native::rd_kafka_event_error(event.ptr());
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code.into());
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event.ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let list = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if list.is_null() {
            return Ok(Topics::new());
        }
        Ok(slice::from_raw_parts(list, count).iter().map(|topic| read(*topic)).collect())
    }
}

/// Copies one description out of its event.
///
/// # Safety
/// `topic` belongs to a live event.
unsafe fn read(
    topic: *const native::rd_kafka_TopicDescription_t,
) -> (String, Result<Topic, RDKafkaErrorCode>) {
    // SAFETY: all that is read here belongs to the live event and is copied.
    unsafe {
        let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic));
        let name = name.to_string_lossy().into_owned();
        let error = native::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            let code = native::rd_kafka_error_code(error);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return (name, Err(code.into()));
            }
        }
        let uuid = native::rd_kafka_TopicDescription_topic_id(topic);
        let zero = uuid.is_null()
            || (native::rd_kafka_Uuid_most_significant_bits(uuid) == 0
                && native::rd_kafka_Uuid_least_significant_bits(uuid) == 0);
        let id = if zero {
            None
        } else {
            let text = CStr::from_ptr(native::rd_kafka_Uuid_base64str(uuid));
            Some(text.to_string_lossy().into_owned())
        };
        let mut count = 0;
        let list = native::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let mut partitions = Vec::new();
        if !list.is_null() {
            let list = slice::from_raw_parts(list, count);
            let number = |info: &*const _| native::rd_kafka_TopicPartitionInfo_partition(*info);
            partitions.extend(list.iter().map(number));
        }
        partitions.sort_unstable();
        (name, Ok(Topic { id, partitions }))
    }
}
