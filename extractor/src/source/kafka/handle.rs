//! The handle of librdkafka: made with a resolver of addresses where some are reached elsewhere, and
//! asked for what the safe `rdkafka` crate gives its consumers only. Raw pointers of the main queue and
//! its events stay here.
//!
//! Why not `BaseConsumer`: it makes its configuration by itself, and the resolver can be set only in
//! between (`rd_kafka_conf_set_resolve_cb`, rdkafka.h).
#![expect(unsafe_code, reason = "rdkafka has no callback for the resolution of addresses")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings::{self as native, rd_kafka_conf_t, rd_kafka_event_t, rd_kafka_queue_t};
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{IsError, KafkaError, KafkaResult};
use rdkafka::metadata::Metadata;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};
use rdkafka::{ClientConfig, ClientContext, TopicPartitionList};

use super::client::Events;

/// What `rd_kafka_conf_set_resolve_cb` takes.
type Resolve = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const libc::addrinfo,
    *mut *mut libc::addrinfo,
    *mut c_void,
) -> c_int;

// The bindings leave it out, because it names a type of the system's headers.
unsafe extern "C" {
    fn rd_kafka_conf_set_resolve_cb(conf: *mut rd_kafka_conf_t, resolve: Resolve);
}

/// A client without a consumer group.
pub(super) struct Handle {
    main: NonNull<rd_kafka_queue_t>,
    client: Client<Events>,
}

// SAFETY: librdkafka's queues may be used from any thread; `client` is `Send` and `Sync` by itself.
unsafe impl Send for Handle {}
// SAFETY: as above; every method takes `&self`.
unsafe impl Sync for Handle {}

impl Handle {
    /// Makes the client; connections come later.
    pub(super) fn new(config: &ClientConfig, events: Events) -> KafkaResult<Self> {
        let conf = config.create_native_config()?;
        let kinds = native::RD_KAFKA_EVENT_ERROR | native::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;
        // SAFETY: the configuration is alive and becomes the client's below; `resolve` looks at the
        // context that `Client::new` sets for it.
        unsafe {
            native::rd_kafka_conf_set_events(conf.ptr(), kinds);
            if !events.spoof().is_empty() {
                rd_kafka_conf_set_resolve_cb(conf.ptr(), resolve);
            }
        }
        let client = Client::new(config, conf, RDKafkaType::RD_KAFKA_CONSUMER, events)?;
        // SAFETY: the client is alive; the reference to its queue is given back on drop.
        let main = unsafe { native::rd_kafka_queue_get_main(client.native_ptr()) };
        let none = || KafkaError::ClientCreation("librdkafka gave no main queue".to_owned());
        Ok(Self { main: NonNull::new(main).ok_or_else(none)?, client })
    }

    /// The safe part.
    pub(super) const fn client(&self) -> &Client<Events> {
        &self.client
    }

    /// What it says is handed here.
    pub(super) fn events(&self) -> &Events {
        self.client.context()
    }

    /// Handles one line or error that librdkafka has queued, without waiting. `false`: there is none.
    pub(super) fn serve(&self) -> bool {
        // SAFETY: the queue is alive; the event is ours, read only here, and destroyed once.
        unsafe {
            let event = native::rd_kafka_queue_poll(self.main.as_ptr(), 0);
            if event.is_null() {
                return false;
            }
            self.handle(event);
            native::rd_kafka_event_destroy(event);
        }
        true
    }

    /// # Safety
    /// `event` is alive.
    unsafe fn handle(&self, event: *mut rd_kafka_event_t) {
        // SAFETY: all texts belong to the live event, end with a zero, and are copied or read here.
        unsafe {
            match native::rd_kafka_event_type(event) {
                native::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut line) = (std::ptr::null(), std::ptr::null());
                    let mut level = 0;
                    let code = native::rd_kafka_event_log(
                        event,
                        &raw mut facility,
                        &raw mut line,
                        &raw mut level,
                    );
                    if code == 0 {
                        let (facility, line) = (text(facility), text(line));
                        self.events().log(level_of(level), facility.trim(), line.trim());
                    }
                }
                native::RD_KAFKA_EVENT_ERROR => {
                    let code = native::rd_kafka_event_error(event);
                    let reason = text(native::rd_kafka_event_error_string(event));
                    self.events().error(KafkaError::Global(code.into()), reason.trim());
                }
                _ => {}
            }
        }
    }

    /// See `rd_kafka_offsets_for_times`: the list holds times, and then offsets.
    pub(super) fn offsets_for_times(
        &self,
        list: TopicPartitionList,
        timeout: Duration,
    ) -> Result<TopicPartitionList, RDKafkaErrorCode> {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: client and list are alive during the call.
        let code = unsafe {
            native::rd_kafka_offsets_for_times(self.client.native_ptr(), list.ptr(), timeout_ms)
        };
        match code.is_error().then(|| code.into()) {
            // Not one of them has a leader: each says why.
            None | Some(RDKafkaErrorCode::UnknownPartition) => Ok(list),
            Some(code) => Err(code),
        }
    }

    /// Metadata of one topic or of all.
    pub(super) fn metadata(
        &self,
        topic: Option<&str>,
        timeout: Duration,
    ) -> Result<Metadata, RDKafkaErrorCode> {
        let metadata = self.client.fetch_metadata(topic, timeout);
        metadata.map_err(|e| e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and used for the last time; the client is dropped after it.
        unsafe { native::rd_kafka_queue_destroy(self.main.as_ptr()) };
    }
}

/// # Safety
/// `text` is null or ends with a zero, and lives as long as what is made of it here.
unsafe fn text<'a>(text: *const c_char) -> std::borrow::Cow<'a, str> {
    if text.is_null() {
        return "".into();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// The levels of syslog.
const fn level_of(level: c_int) -> RDKafkaLogLevel {
    match level {
        0 => RDKafkaLogLevel::Emerg,
        1 => RDKafkaLogLevel::Alert,
        2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// Resolves an address as `getaddrinfo` would, or the one that it is reached at instead; without
/// arguments it frees what it gave.
///
/// # Safety
/// librdkafka calls it as rdkafka.h says, with the context that `Client::new` has set: a test compares
/// the two.
unsafe extern "C" fn resolve(
    node: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    found: *mut *mut libc::addrinfo,
    context: *mut c_void,
) -> c_int {
    // SAFETY: the texts end with a zero; the context is the client's, which outlives its threads; what
    // is freed was made by `getaddrinfo` below.
    unsafe {
        if node.is_null() || service.is_null() {
            if hints.is_null() {
                libc::freeaddrinfo(*found);
                return 0;
            }
            return libc::getaddrinfo(node, service, hints, found);
        }
        let events = context.cast_const().cast::<Events>().as_ref();
        let (host, port) = (CStr::from_ptr(node), CStr::from_ptr(service));
        match events.and_then(|events| events.spoof().instead_of(host, port)) {
            Some((host, port)) => libc::getaddrinfo(host.as_ptr(), port.as_ptr(), hints, found),
            None => libc::getaddrinfo(node, service, hints, found),
        }
    }
}

#[cfg(test)]
mod tests;
