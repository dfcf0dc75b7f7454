//! The Kafka source: partitions of topics as splits. rdkafka types stop here and below.
//!
//! ```text
//! broker ─► client (one, no group) ─► queue ─► reader ─► decode ─► sink
//!              └─► monitor: topic ids, new and vanished partitions
//! ```
//!
//! It reads what it is assigned from where it is told, commits nothing, joins no group and creates
//! no topic.

mod api;
mod certificate;
mod client;
mod describe;
mod failure;
mod fetcher;
mod find;
mod formats;
mod handle;
mod incarnation;
mod link;
mod lost;
mod memory;
mod monitor;
mod msk;
mod offsets;
mod oidc;
mod open;
mod part;
mod position;
mod queue;
mod reader;
mod refused;
mod registry;
mod safe;
mod security;
mod settings;
mod spoof;
mod stall;
mod token;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::{Code, Failure, OffsetKey, OffsetValue};
use rdkafka::types::RDKafkaErrorCode;
use serde_json::{Map, Value};

use self::client::{At, Client, ask};
use self::fetcher::{Fetched, Fetcher};
use self::incarnation::{expected_ids, incarnation};
pub use self::memory::MEMORY_BYTES_DEFAULT;
use self::memory::Readers;
use self::monitor::Monitor;
pub use self::open::{KafkaSource, open};
use self::part::Part;
use self::position::{Place, Position};
use self::reader::{Did, Reader};
pub use self::settings::{CLASSES, KEYS, KafkaSettings, OnGap, PROPERTY_PREFIX};
use self::stall::Stalls;
use self::token::Refresher;
pub use self::topics::{Pattern, Selection, TOPICS_MAX};
use super::{Cancel, Discovery, Lag, Polled, Probe, RowSink, Source, Split, Start, Topology};

/// How long a question to the brokers may take before the host's own deadline (10 s for offsets).
const ASK_TIMEOUT: Duration = Duration::from_secs(8);

/// Partitions that CHECK reads from. Why 8: each costs a round trip.
const CHECK_PARTITIONS_MAX: usize = 8;

/// Keys of the offset KEY.
pub const OFFSET_KEY: [&str; 2] = ["partition", "topic"];

/// See the file.
struct Kafka<F> {
    settings: KafkaSettings,
    retry: Duration,
    client: Arc<Client>,
    /// Renews tokens while it lives, where the login takes some.
    _refresher: Option<Refresher>,
    monitor: Monitor,
    reader: Reader<F>,
    /// The id that the broker gave each topic of the assignment.
    ids: BTreeMap<String, String>,
    /// The id under which the client fetches each topic, as far as it said so.
    fetched_ids: BTreeMap<String, String>,
    /// Whether the two differ for a topic: then nothing is delivered.
    foreign: bool,
    stalls: Stalls,
}

impl<F: Fetcher> Kafka<F> {
    /// Makes the client and connects in the background. `retry`: how long unreachable brokers are
    /// tried again inside [`Source::poll`] before that is an error.
    fn connect(settings: KafkaSettings, retry: Duration) -> Result<Self, Failure> {
        let client = Arc::new(Client::new(&settings)?);
        let tokens = settings.tokens().cloned();
        let refresher = tokens.map(|tokens| Refresher::start(&client, tokens)).transpose()?;
        let monitor = Monitor::start(Arc::clone(&client), &settings.topics)?;
        let queue = F::open(Arc::clone(&client))
            .ok_or_else(|| Failure::new(Code::OutOfMemory, "librdkafka gave no queue"))?;
        let mut reader = Reader::new(queue, settings.decoder);
        reader.foreign = settings.formats.start()?;
        let socket_timeout = settings.client_config().get("socket.timeout.ms").map(str::parse);
        let stalls = Stalls::new(socket_timeout.and_then(Result::ok));
        let (ids, fetched_ids, foreign) = (BTreeMap::new(), BTreeMap::new(), false);
        Ok(Self {
            settings,
            retry,
            client,
            _refresher: refresher,
            monitor,
            reader,
            ids,
            fetched_ids,
            foreign,
            stalls,
        })
    }

    /// Whether what was fetched last may belong to a topic that was created again. The client says
    /// that it uses another id before it fetches with it, so this is asked after the fetch.
    fn reads_another_topic(&mut self) -> bool {
        self.client.drain_events();
        let new = self.client.link().take_new_ids();
        if !new.is_empty() {
            self.fetched_ids.extend(new);
            self.compare_ids();
        }
        self.foreign
    }

    fn compare_ids(&mut self) {
        let differs =
            |(topic, id)| self.fetched_ids.get(topic).is_some_and(|fetched| fetched != id);
        self.foreign = self.ids.iter().any(differs);
    }

    /// Whether some partitions have an `until` and all of those have reached it.
    fn has_reached_until(&self) -> bool {
        let parts = &self.reader.parts;
        parts.iter().any(Part::has_until) && !parts.iter().any(Part::is_short_of_until)
    }

    /// What to say when nothing was delivered.
    fn idle(&self) -> Result<Polled, Failure> {
        if let Some(failure) = refused::refused(&self.client) {
            return Err(failure);
        }
        let down = self.client.link().down_for();
        if down.is_some_and(|down| down >= self.retry) {
            return Err(failure::unreachable(&self.client));
        }
        let caught_up = down.is_none() && self.reader.parts.iter().all(Part::is_at_end);
        Ok(Polled::Idle { caught_up })
    }

    /// Reads one record, or meets the end, of one partition.
    fn probe_read(&mut self, place: &Place, cancel: &Cancel) -> Result<(), Failure> {
        let low = self.range(place, ASK_TIMEOUT)?.0;
        let part = Part::new(place.clone(), place.to_key()?, Position::at(low));
        self.reader.start(part)?;
        let started = Instant::now();
        let answer = loop {
            if self.reader.queue.fill(1, Duration::from_millis(50)) > 0 {
                break self.reader.queue.front().and_then(|item| item.error());
            }
            if cancel.is_set() || started.elapsed() > ASK_TIMEOUT {
                break Some(RDKafkaErrorCode::OperationTimedOut);
            }
        };
        self.reader.stop_all();
        match answer {
            None | Some(RDKafkaErrorCode::PartitionEOF) => Ok(()),
            Some(code) => Err(failure::from_code(&self.client, &format!("read {place}"), code)),
        }
    }
}

impl<F: Fetcher> Source for Kafka<F> {
    fn check(&mut self, cancel: &Cancel) -> Result<Vec<Probe>, Failure> {
        let started = Instant::now();
        let topics = self.topics(cancel)?;
        let mut probes = vec![Probe { name: "topics".to_owned(), elapsed: started.elapsed() }];
        if let Some(registry) = self.settings.formats.registry() {
            let started = Instant::now();
            registry::probe(registry, cancel)?;
            let name = format!("schema registry {}", registry.hosts());
            probes.push(Probe { name, elapsed: started.elapsed() });
        }
        if !self.reader.parts.is_empty() {
            return Ok(probes);
        }
        let firsts = topics.into_iter().filter_map(|(topic, found)| {
            let partition = found.ok()?.partitions.first().copied()?;
            Some(Place { topic, partition })
        });
        for place in firsts.take(CHECK_PARTITIONS_MAX).collect::<Vec<_>>() {
            let started = Instant::now();
            self.probe_read(&place, cancel)?;
            probes.push(Probe { name: format!("read {place}"), elapsed: started.elapsed() });
        }
        Ok(probes)
    }

    fn discover(&mut self, cancel: &Cancel) -> Result<Discovery, Failure> {
        let topics = self.topics(cancel)?;
        self.monitor.learn(&topics);
        let incarnation = incarnation(&topics);
        if topics.values().flatten().any(|topic| topic.id.is_none()) {
            tracing::warn!(
                "unverified: the broker gives no topic ids; a topic that is created again is \
                 noticed only by its leader epoch or an offset past its end"
            );
        }
        let mut splits = Vec::new();
        for (topic, found) in &topics {
            for partition in found.iter().flat_map(|topic| &topic.partitions) {
                let place = Place { topic: topic.clone(), partition: *partition };
                splits.push(Split { key: place.to_key()?, parents: Vec::new(), closed: false });
            }
        }
        splits.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Discovery { incarnation, splits })
    }

    /// `latest` is the last stable offset: a transaction that is open at that moment is read once
    /// it commits, whereas the high watermark would skip its records.
    fn offsets(
        &mut self,
        start: Start,
        keys: &[OffsetKey],
        cancel: &Cancel,
    ) -> Result<Vec<OffsetValue>, Failure> {
        let places: Vec<_> = keys.iter().map(Place::from_key).collect::<Result<_, _>>()?;
        let mut offsets = match start {
            Start::Earliest => self.ask_offsets(&places, At::Earliest, cancel)?,
            // The end is asked first: what arrives between the two questions is at or after it.
            Start::Latest | Start::Timestamp(_) => self.ask_offsets(&places, At::Latest, cancel)?,
        };
        if let Start::Timestamp(ms) = start {
            let found = self.ask_offsets(&places, At::Timestamp(ms), cancel)?;
            for (offset, found) in offsets.iter_mut().zip(found) {
                *offset = found.or(*offset);
            }
        }
        let value = |(place, offset): (&Place, Option<i64>)| {
            let none =
                || failure::from_code(&self.client, &place.to_string(), RDKafkaErrorCode::Fail);
            Position::at(offset.ok_or_else(none)?).to_value()
        };
        places.iter().zip(offsets).map(value).collect()
    }

    fn assign(
        &mut self,
        incarnation: &str,
        parts: &[(OffsetKey, OffsetValue)],
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        self.reader.stop_all();
        if parts.is_empty() {
            // It is to read nothing, perhaps for a minute: it asks nothing, and judges nothing.
            self.monitor.assign(&BTreeMap::new(), &[]);
            self.stalls.clear();
            self.ids.clear();
            self.reader.doubt = false;
            return Ok(());
        }
        let mut wanted = Vec::with_capacity(parts.len());
        for (key, value) in parts {
            let place = Place::from_key(key)?;
            self.require_selected(&place.topic, key.as_str())?;
            wanted.push(Part::new(place, key.clone(), Position::from_value(value)?));
        }
        self.share_memory(&wanted, cancel)?;
        let topics = self.topics(cancel)?;
        let expected = expected_ids(incarnation, &topics)?;
        for part in &wanted {
            let place = &part.place;
            let known = topics.get(&place.topic).and_then(|topic| topic.as_ref().ok());
            if !known.is_some_and(|topic| topic.partitions.contains(&place.partition)) {
                return Err(self.vanished(&place.to_string()));
            }
        }
        self.check_range(&wanted, cancel)?;
        let places: Vec<_> = wanted.iter().map(|part| part.place.clone()).collect();
        // A topic that matches and that nobody was told of is still new to the monitor.
        let told = |name: &str| places.iter().any(|place| place.topic == name);
        let is_list = self.settings.topics.pattern().is_none();
        let mut known = topics;
        known.retain(|name, _| is_list || told(name));
        self.monitor.learn(&known);
        self.monitor.assign(&expected, &places);
        self.stalls.clear();
        self.ids = expected.into_iter().filter_map(|(name, id)| Some((name, id?))).collect();
        self.compare_ids();
        self.reader.doubt = false;
        for part in wanted {
            self.reader.start(part)?;
        }
        Ok(())
    }

    fn set_until(&mut self, until: &[(u32, OffsetValue)]) -> Result<(), Failure> {
        let mut ends = BTreeMap::new();
        for (part, value) in until {
            ends.insert(usize::try_from(*part).unwrap_or(usize::MAX), Position::from_value(value)?);
        }
        for index in 0..self.reader.parts.len() {
            let Some(part) = self.reader.parts.get_mut(index) else { break };
            let start_again = part.set_until(ends.get(&index).map(|end| end.offset));
            if start_again {
                self.reader.start_again(index)?;
            } else if part.reaches_now() {
                self.reader.stop(index);
            }
        }
        Ok(())
    }

    fn poll(&mut self, sink: &mut dyn RowSink, wait: Duration) -> Result<Polled, Failure> {
        self.first_broken()?;
        if self.has_reached_until() {
            return Ok(Polled::ReachedUntil);
        }
        let withhold = self.monitor.verdict()?;
        if withhold {
            thread::sleep(wait.min(Duration::from_millis(50)));
            return Ok(Polled::Idle { caught_up: false });
        }
        let mut did = self.reader.fetch(sink, wait);
        if did == Did::Something {
            if self.reads_another_topic() {
                self.monitor.suspect();
                return Ok(Polled::Idle { caught_up: false });
            }
            did = self.reader.deliver(sink)?;
        }
        if std::mem::take(&mut self.reader.doubt) {
            self.monitor.suspect();
        }
        self.find_lost()?;
        self.watch_stalls(did)?;
        match did {
            Did::Full => Ok(Polled::Full),
            Did::Something => Ok(Polled::Progress),
            Did::Waiting => {
                self.reader.foreign.iter().for_each(|foreign| foreign.wait(wait));
                Ok(Polled::Idle { caught_up: false })
            }
            Did::Nothing => self.idle(),
        }
    }

    fn position(&self, part: u32) -> Option<OffsetValue> {
        let part = self.reader.parts.get(usize::try_from(part).ok()?)?;
        part.position().to_value().ok()
    }

    fn lag(&self) -> Lag {
        let behind = self.lags().into_iter().filter(|part| part.rows != Some(0));
        behind.fold(Lag { rows: Some(0), ms: Some(0) }, |lag, part| Lag {
            rows: lag.rows.zip(part.rows).map(|(sum, rows)| sum.saturating_add(rows)),
            ms: lag.ms.zip(part.ms).map(|(worst, age)| worst.max(age)),
        })
    }

    fn lags(&self) -> Vec<Lag> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let lag = |part: &_| self.lag_of(part, now_ms);
        self.reader.parts.iter().map(lag).collect()
    }

    fn topology(&mut self) -> Option<Topology> {
        let added = self.monitor.take_added();
        let splits = added.into_iter().filter_map(|(place, begin)| {
            let split = Split { key: place.to_key().ok()?, parents: Vec::new(), closed: false };
            Some((split, Position::at(begin).to_value().ok()?))
        });
        let added: Vec<_> = splits.collect();
        (!added.is_empty()).then_some(Topology { closed: Vec::new(), added })
    }

    /// A new client takes over at the positions: librdkafka cannot change certificates, and keeps
    /// connections that logged in before. What the old one fetched ahead is fetched again.
    fn rotate(&mut self, credentials: &Map<String, Value>) -> Result<(), Failure> {
        let fatal = |failure| Failure { fatal: false, ..failure };
        let settings = self.settings.with_credentials(credentials).map_err(fatal)?;
        let mut fresh = Self::connect(settings, self.retry).map_err(fatal)?;
        fresh.monitor.take_over(&self.monitor);
        self.keep_schemas(&fresh);
        fresh.ids = std::mem::take(&mut self.ids);
        for part in self.reader.stop_all() {
            fresh.reader.resume(part)?;
        }
        *self = fresh;
        Ok(())
    }
}

impl<F: Fetcher> Kafka<F> {
    /// Lag of one part: nothing at its end, else the records up to the end that was seen last, and the age
    /// of the last record read.
    fn lag_of(&self, part: &Part, now_ms: i64) -> Lag {
        let none = Lag { rows: Some(0), ms: Some(0) };
        if part.is_at_end() {
            return none;
        }
        let end = self.reader.queue.end_seen(&part.place.topic, part.place.partition);
        let rows = end.map(|end| end.saturating_sub(part.position().offset).max(0));
        let rows = rows.and_then(|rows| u64::try_from(rows).ok());
        if rows == Some(0) {
            return none;
        }
        let age = part.seen_ms.map(|seen| now_ms.saturating_sub(seen).max(0));
        Lag { rows, ms: age.and_then(|age| u64::try_from(age).ok()) }
    }

    /// Divides the budget among the brokers that are fetched from and, where every partition has
    /// one, among the queues. librdkafka takes its limits only from a new client.
    fn share_memory(&mut self, parts: &[Part], cancel: &Cancel) -> Result<(), Failure> {
        let partitions = u64::try_from(parts.len()).unwrap_or(u64::MAX);
        let queues = if F::QUEUE_PER_PARTITION { partitions } else { 1 };
        let Some(topic) = parts.first().map(|part| part.place.topic.clone()) else {
            return Ok(());
        };
        let call = move |client: &Client, limit| client.brokers(&topic, limit);
        let brokers = ask(&self.client, cancel, ASK_TIMEOUT, call)?
            .map_err(|code| failure::from_code(&self.client, "list brokers", code))?;
        let brokers = u64::try_from(brokers.len()).unwrap_or(u64::MAX).min(partitions);
        let mut settings = self.settings.clone();
        settings.readers = Readers { queues, brokers }.most(settings.readers);
        if settings.memory() == self.settings.memory() {
            return Ok(());
        }
        let fresh = Self::connect(settings, self.retry)?;
        fresh.monitor.take_over(&self.monitor);
        self.keep_schemas(&fresh);
        *self = fresh;
        Ok(())
    }

    /// Hands over the schemas that were found, if the registry is the same.
    fn keep_schemas(&self, fresh: &Self) {
        if let (Some(old), Some(new)) = (&self.reader.foreign, &fresh.reader.foreign)
            && self.settings.formats.is_same_registry(&fresh.settings.formats)
        {
            new.take_over(old);
        }
    }
}

/// Sleeps, unless cancelled.
fn pause(cancel: &Cancel, time: Duration) -> Result<(), Failure> {
    const SLICE: Duration = Duration::from_millis(100);
    let started = Instant::now();
    while started.elapsed() < time {
        if cancel.is_set() {
            return Err(Failure::new(Code::Cancelled, "cancelled while waiting for a topic"));
        }
        thread::sleep(SLICE.min(time.saturating_sub(started.elapsed())));
    }
    Ok(())
}
