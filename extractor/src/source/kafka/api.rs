//! The two ways to hold a librdkafka client: our own handle, and the safe crate's consumer, which
//! the fetcher without unsafe code needs. Both answer the same questions.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::bindings::rd_kafka_t;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;

use super::client::Events;
use super::failure::code_of;
use super::handle::Handle;

/// Lines and errors that the safe consumer handles in one go. Why 256: it does not tell whether
/// there was one, and librdkafka makes a few lines per partition every ten seconds.
const POLLS: usize = 256;

/// See the module.
pub(super) enum Api {
    /// Ours.
    Own(Handle),
    /// The safe crate's.
    Safe(Arc<BaseConsumer<Events>>),
}

impl Api {
    /// Makes the client; connections come later. `batch`: with our own handle.
    pub(super) fn new(config: &ClientConfig, events: Events, batch: bool) -> KafkaResult<Self> {
        if batch {
            return Handle::new(config, events).map(Self::Own);
        }
        Ok(Self::Safe(Arc::new(config.create_with_context(events)?)))
    }

    /// The safe crate's consumer, if it is that.
    pub(super) const fn consumer(&self) -> Option<&Arc<BaseConsumer<Events>>> {
        match self {
            Self::Own(_) => None,
            Self::Safe(consumer) => Some(consumer),
        }
    }

    pub(super) fn native(&self) -> *mut rd_kafka_t {
        match self {
            Self::Own(handle) => handle.client().native_ptr(),
            Self::Safe(consumer) => consumer.client().native_ptr(),
        }
    }

    pub(super) fn events(&self) -> &Events {
        match self {
            Self::Own(handle) => handle.events(),
            Self::Safe(consumer) => consumer.context(),
        }
    }

    /// Handles what librdkafka has queued, without waiting. `false`: nothing is left.
    pub(super) fn serve(&self) -> bool {
        match self {
            Self::Own(handle) => handle.serve(),
            Self::Safe(consumer) => {
                // A record cannot arrive here: every partition has a queue of its own.
                (0..POLLS).for_each(|_| drop(consumer.poll(Duration::ZERO)));
                false
            }
        }
    }

    /// See [`Handle::offsets_for_times`].
    pub(super) fn offsets_for_times(
        &self,
        list: TopicPartitionList,
        timeout: Duration,
    ) -> Result<TopicPartitionList, RDKafkaErrorCode> {
        match self {
            Self::Own(handle) => handle.offsets_for_times(list, timeout),
            Self::Safe(it) => it.offsets_for_times(list, timeout).map_err(|e| code_of(&e)),
        }
    }

    /// See [`Handle::metadata`].
    pub(super) fn metadata(
        &self,
        topic: Option<&str>,
        timeout: Duration,
    ) -> Result<Metadata, RDKafkaErrorCode> {
        match self {
            Self::Own(handle) => handle.metadata(topic, timeout),
            Self::Safe(it) => it.fetch_metadata(topic, timeout).map_err(|e| code_of(&e)),
        }
    }
}
