//! The one librdkafka client of the process: its configuration, its log lines and errors, and calls
//! that wait for a broker. It fetches nothing by itself and belongs to no consumer group.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use protocol::{Code, Failure};
use rdkafka::bindings::rd_kafka_t;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataBroker;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::api::Api;
use super::certificate::{Authorities, Fault};
use super::failure;
use super::link::{Link, cut};
use super::position::Place;
use super::refused;
use super::security::Shows;
use super::settings::KafkaSettings;
use super::spoof::Spoof;
use crate::source::Cancel;

/// Log lines of librdkafka per second; what is over is counted. Why 20: a broker that is down
/// makes a few lines per attempt.
const LOG_LINES_PER_SECOND_MAX: u64 = 20;

/// How long a call goes on while no broker is reachable.
const UNREACHABLE_GRACE: Duration = Duration::from_secs(5);

/// Events handled in one go. Why a limit: a loop has an end; librdkafka makes a few lines per
/// partition every ten seconds.
const EVENTS_MAX: usize = 1_000_000;

/// Calls that wait at the same time; a cancelled one ends by its own timeout.
const ASKS_MAX: u64 = 8;

/// Which of the offsets of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The oldest record.
    Earliest,
    /// The last stable offset, or the end where uncommitted records are read.
    Latest,
    /// The first record at or after a time; `None` in the answer when there is none.
    Timestamp(i64),
}

/// What one partition answers: an offset, `None` when there is none, or why it cannot be asked.
pub(super) type Listed = Result<Option<i64>, RDKafkaErrorCode>;

/// The client. Dropping it may wait for brokers, so the last owner is the monitor's thread.
pub(super) struct Client {
    api: Api,
    servers: String,
    asks: AtomicU64,
    /// The broker that described topics last, or -1.
    last_broker: AtomicI32,
    shows: Shows,
    authorities: Authorities,
    /// What was found wrong with a broker's certificate; looked at once.
    fault: OnceLock<Option<Fault>>,
}

impl Client {
    /// Makes the client; connections come later.
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, Failure> {
        let mut config = settings.client_config();
        // The lines of this context tell when a topic has another id than before; see `Events`.
        config.set("debug", "metadata").set_log_level(RDKafkaLogLevel::Debug);
        let events = Events::new(settings.spoof().clone());
        let api = Api::new(&config, events, settings.batch).map_err(|e| refused::unusable(&e))?;
        let (asks, last_broker) = (AtomicU64::new(0), AtomicI32::new(-1));
        let (servers, shows) = (settings.servers.clone(), settings.shows());
        let (authorities, fault) = (settings.authorities(), OnceLock::new());
        Ok(Self { api, servers, asks, last_broker, shows, authorities, fault })
    }

    /// The handle, for the two files that call librdkafka themselves.
    pub(super) fn native(&self) -> *mut rd_kafka_t {
        self.api.native()
    }

    /// The safe crate's consumer, for the fetcher that has no unsafe code.
    pub(super) const fn consumer(&self) -> Option<&Arc<BaseConsumer<Events>>> {
        self.api.consumer()
    }

    /// The brokers as the user named them.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// What the client shows to brokers over TLS.
    pub(super) const fn shows(&self) -> Shows {
        self.shows
    }

    /// What is wrong with the certificate of the broker at `address`, which was not accepted.
    pub(super) fn fault_of_certificate(&self, address: &str) -> Option<Fault> {
        let spoof = self.api.events().spoof();
        *self.fault.get_or_init(|| self.authorities.fault_at(address, spoof))
    }

    /// What is known of the connections.
    pub(super) fn link(&self) -> &Link {
        &self.api.events().link
    }

    /// The broker that answered last.
    pub(super) fn last_broker(&self) -> Option<i32> {
        let id = self.last_broker.load(Ordering::Relaxed);
        (id >= 0).then_some(id)
    }

    /// Remembers the broker that answered.
    pub(super) fn set_last_broker(&self, id: i32) {
        self.last_broker.store(id, Ordering::Relaxed);
    }

    /// The ids of all brokers, the one that answers this question first; blocks for at most
    /// `timeout`. `topic` only keeps the answer small.
    pub(super) fn brokers(
        &self,
        topic: &str,
        timeout: Duration,
    ) -> Result<Vec<i32>, RDKafkaErrorCode> {
        let metadata = self.api.metadata(Some(topic), timeout)?;
        let first = metadata.orig_broker_id();
        let mut ids: Vec<_> = metadata.brokers().iter().map(MetadataBroker::id).collect();
        ids.sort_unstable_by_key(|id| (*id != first, *id));
        Ok(ids)
    }

    /// The names of all topics that the user may see; blocks for at most `timeout`.
    pub(super) fn topic_names(&self, timeout: Duration) -> Result<Vec<String>, RDKafkaErrorCode> {
        let metadata = self.api.metadata(None, timeout)?;
        let topics = metadata.topics().iter();
        Ok(topics.filter(|it| it.error().is_none()).map(|it| it.name().to_owned()).collect())
    }

    /// Handles all log lines and errors that librdkafka has queued so far, without waiting. When
    /// it returns, none of them is still being handled by another thread.
    pub(super) fn drain_events(&self) {
        let drain = &self.api.events().drain;
        let _one_at_a_time = drain.lock().unwrap_or_else(PoisonError::into_inner);
        // A record cannot arrive here: no partition is started on the main queue.
        let mut left = EVENTS_MAX;
        while left > 0 && self.api.serve() {
            left -= 1;
        }
    }

    /// Asks the leaders of all `places` in one round; blocks for at most `timeout`. One that cannot
    /// be asked is an error of all.
    pub(super) fn list_offsets(
        &self,
        places: &[Place],
        at: At,
        timeout: Duration,
    ) -> Result<Vec<Option<i64>>, (Option<Place>, RDKafkaErrorCode)> {
        let each = self.list_each(places, at, timeout).map_err(|code| (None, code))?;
        let one =
            |(place, offset): (&Place, Listed)| offset.map_err(|code| (Some(place.clone()), code));
        places.iter().zip(each).map(one).collect()
    }

    /// The same, where one that cannot be asked is an error of its own. An error of all: brokers
    /// did not answer in time.
    pub(super) fn list_each(
        &self,
        places: &[Place],
        at: At,
        timeout: Duration,
    ) -> Result<Vec<Listed>, RDKafkaErrorCode> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let code = |e: KafkaError| failure::code_of(&e);
        let offset = match at {
            At::Earliest => Offset::Beginning,
            At::Latest => Offset::End,
            At::Timestamp(ms) => Offset::Offset(ms.max(0)),
        };
        let mut list = TopicPartitionList::with_capacity(places.len());
        for place in places {
            list.add_partition_offset(&place.topic, place.partition, offset).map_err(code)?;
        }
        let answer = match self.api.offsets_for_times(list, timeout) {
            // The safe crate says so where none of them has a leader, and not which and why; whoever
            // asks knows them from the brokers.
            Err(RDKafkaErrorCode::UnknownPartition) => {
                let away = |_| Err(RDKafkaErrorCode::LeaderNotAvailable);
                return Ok(places.iter().map(away).collect());
            }
            answer => answer?,
        };
        let one = |place: &Place| {
            let found = answer.find_partition(&place.topic, place.partition);
            let found = found.ok_or(RDKafkaErrorCode::UnknownPartition)?;
            found.error().map_err(code)?;
            Ok(match found.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        };
        Ok(places.iter().map(one).collect())
    }
}

/// Runs a call that waits for a broker on a thread of its own, so that `cancel` is looked at.
///
/// # Errors
/// `CANCELLED`, or no answer in time with the cause that librdkafka gave last.
pub(super) fn ask<T: Send + 'static>(
    client: &Arc<Client>,
    cancel: &Cancel,
    limit: Duration,
    call: impl FnOnce(&Client, Duration) -> T + Send + 'static,
) -> Result<T, Failure> {
    const SLICE: Duration = Duration::from_millis(100);
    let too_many = || Failure::new(Code::Timeout, "too many calls wait for the brokers; try again");
    if client.asks.fetch_add(1, Ordering::AcqRel) >= ASKS_MAX {
        client.asks.fetch_sub(1, Ordering::AcqRel);
        return Err(too_many());
    }
    let (sender, receiver) = sync_channel(1);
    let asked = Arc::clone(client);
    let run = move || {
        let answer = call(&asked, limit);
        asked.asks.fetch_sub(1, Ordering::AcqRel);
        // Nobody listens any more after a cancellation.
        drop(sender.send(answer));
    };
    if let Err(e) = thread::Builder::new().name("kafka-ask".to_owned()).spawn(run) {
        client.asks.fetch_sub(1, Ordering::AcqRel);
        return Err(Failure::new(Code::BufferLimit, format!("start a thread: {e}")));
    }
    let started = Instant::now();
    loop {
        match receiver.recv_timeout(SLICE) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new(
                    Code::Bug,
                    "a call to librdkafka ended without an answer",
                ));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        client.drain_events();
        if cancel.is_set() {
            return Err(Failure::new(Code::Cancelled, "cancelled while waiting for the brokers"));
        }
        if let Some(failure) = refused::refused(client) {
            return Err(failure);
        }
        let unreachable = client.link().down_for().is_some_and(|down| down >= UNREACHABLE_GRACE);
        if started.elapsed() >= limit + UNREACHABLE_GRACE
            || (unreachable && started.elapsed() >= UNREACHABLE_GRACE)
        {
            return Err(failure::unreachable(client));
        }
    }
}

/// Receives what librdkafka says.
///
/// Two things are told in lines only. The error of a partition that is no longer in the metadata is
/// turned into a line by the batch call; and that a topic has another id is a line of the debug
/// context `metadata`, written before anything is fetched under the new id (a test against a real
/// broker fails when a new version writes it in other words).
#[derive(Default)]
pub(super) struct Events {
    link: Link,
    drain: Mutex<()>,
    gate: Mutex<LogGate>,
    spoof: Spoof,
}

/// Lets a bounded number of lines through per second.
#[derive(Debug, Default)]
struct LogGate {
    second: Option<Instant>,
    lines: u64,
}

impl LogGate {
    /// Whether a line may pass, and how many were held back before it.
    fn pass(&mut self, now: Instant) -> Option<u64> {
        const WINDOW: Duration = Duration::from_secs(1);
        let fresh = self.second.is_some_and(|start| now.duration_since(start) < WINDOW);
        let held_back = self.lines.saturating_sub(LOG_LINES_PER_SECOND_MAX);
        if !fresh {
            *self = Self { second: Some(now), lines: 0 };
        }
        self.lines += 1;
        let passes = self.lines <= LOG_LINES_PER_SECOND_MAX;
        passes.then_some(if fresh { 0 } else { held_back })
    }
}

impl Events {
    /// `spoof`: brokers that are reached at another address.
    pub(super) fn new(spoof: Spoof) -> Self {
        Self { spoof, ..Self::default() }
    }

    /// Brokers that are reached at another address.
    pub(super) const fn spoof(&self) -> &Spoof {
        &self.spoof
    }

    fn pass(&self) -> bool {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        match gate.pass(Instant::now()) {
            Some(0) => true,
            Some(suppressed) => {
                tracing::info!(target: "librdkafka", suppressed, "log lines held back");
                true
            }
            None => false,
        }
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match facility {
            "METADATA" => self.link.note_id(line),
            "FAIL" => self.link.note_failure(line),
            "ERROR" | "PARTCNT" => self.link.recheck(),
            _ => {}
        }
        if matches!(level, RDKafkaLogLevel::Debug) || !self.pass() {
            return;
        }
        let line = cut(line);
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
                if facility != "FAIL" =>
            {
                tracing::warn!(target: "librdkafka", facility, "{line}");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning
            | RDKafkaLogLevel::Notice
            | RDKafkaLogLevel::Info => {
                // A broker that cannot be reached comes as a failure with its remedy.
                tracing::info!(target: "librdkafka", facility, "{line}");
            }
            RDKafkaLogLevel::Debug => {}
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        self.link.failed(code, reason);
        if self.pass() {
            // Kept in `link` and told with the failure that it leads to; alone it says too much.
            tracing::debug!(target: "librdkafka", code = ?code, "{}", cut(reason));
        }
    }
}

impl ConsumerContext for Events {}

#[cfg(test)]
mod tests;
