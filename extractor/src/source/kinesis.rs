//! The Kinesis source: shards of a stream as splits. AWS types stop here and below.
//!
//! ```text
//! service ─► client ─► fetch (a task per shard) ─► read ─► scan ─► part ─► row ─► sink
//!               ├────► subscribe: the same by enhanced fan-out, as a consumer
//!               └────► monitor: new shards, another life of the stream
//! ```
//!
//! It reads what it is assigned from where it is told, and leaves no trace in the account: no lease
//! table, and no consumer but one that its settings name. The client is made at the first call, so
//! that a process starts in milliseconds.

mod aggregate;
mod budget;
mod client;
mod clock;
mod consumer;
mod failure;
mod fetch;
mod identity;
mod lag;
mod limit;
mod monitor;
mod open;
mod pace;
mod part;
mod policy;
mod position;
mod read;
mod reader;
mod records;
mod row;
mod scan;
mod settings;
mod shards;
mod spare;
mod subscribe;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{Code, Failure, OffsetKey, OffsetValue};
use serde_json::{Map, Value};

use self::client::Service;
use self::clock::PIN_MARGIN_MS;
use self::lag::LagLog;
use self::monitor::Blind;
pub use self::open::open;
use self::part::Part;
use self::position::{Position, shard_of};
use self::reader::Reader;
pub use self::settings::{
    CLASSES, ConsumerId, Credentials, FanOut, KinesisSettings, OnInvalid, OnUnusable, Outside,
    Role, keys,
};
use self::shards::{Listing, Summary};
use super::{Cancel, Discovery, Lag, Polled, Probe, RowSink, Source, Split, Start, Topology};
use crate::config::Settings;

/// How long a question to the service may take before the host's own deadline (10 s for offsets).
const ASK_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a listing of many pages may take. Why 25 s: the host waits 30 s.
const LIST_TIMEOUT: Duration = Duration::from_secs(25);

/// Keys of the offset KEY.
pub const OFFSET_KEY: [&str; 1] = [position::KEY];

/// See the file.
pub struct KinesisSource {
    /// What CONFIG and CREDENTIALS said, for the next rotation.
    given: Settings,
    settings: KinesisSettings,
    service: Option<Service>,
    reader: Reader,
    /// Shards that the host has been told of.
    known: BTreeSet<String>,
    /// The life of the stream that the offsets belong to.
    incarnation: String,
    news: Topology,
    /// Shards that the monitor found. They are told again with each assignment: the batch that told
    /// them may have been voided.
    found: Vec<(Split, OffsetValue)>,
    /// Until when an end that was just told keeps the source from being caught up.
    settling: Option<Instant>,
    lag_log: LagLog,
    /// Why the shards were not listed for too long, until they are.
    unlisted: Option<Failure>,
}

impl KinesisSource {
    /// Takes the settings; nothing is asked of the service yet.
    pub fn new(given: Settings, settings: KinesisSettings) -> Self {
        Self {
            given,
            reader: Reader::new(&settings),
            settings,
            service: None,
            known: BTreeSet::new(),
            incarnation: String::new(),
            news: Topology::default(),
            found: Vec::new(),
            settling: None,
            lag_log: LagLog::default(),
            unlisted: None,
        }
    }

    /// The client, made at the first call.
    fn service(&mut self) -> Result<&Service, Failure> {
        if self.service.is_none() {
            self.service = Some(Service::start(&self.settings)?);
        }
        let none = || Failure::new(Code::Bug, "no client although it was made");
        self.service.as_ref().ok_or_else(none)
    }

    fn describe(&mut self, cancel: &Cancel) -> Result<Summary, Failure> {
        let stream = self.settings.stream.clone();
        let service = self.service()?;
        let shared = Arc::clone(service.shared());
        service.ask(cancel, ASK_TIMEOUT, async move { shards::describe(&shared, &stream).await })
    }

    fn list(&mut self, cancel: &Cancel) -> Result<Listing, Failure> {
        let stream = self.settings.stream.clone();
        let service = self.service()?;
        let shared = Arc::clone(service.shared());
        service.ask(cancel, LIST_TIMEOUT, async move { shards::list(&shared, &stream).await })
    }

    /// The shards that are to be read, as splits.
    fn splits(&self, listing: &Listing) -> Result<Vec<Split>, Failure> {
        let wanted = listing.iter().filter(|(shard, _)| self.settings.wants(shard));
        wanted.map(|(shard, listed)| shards::split_of(shard, listed)).collect()
    }

    /// Notes shards that the host has not been told of; each begins at its oldest record.
    fn add_new(&mut self, listing: &Listing) -> Result<(), Failure> {
        for split in self.splits(listing)? {
            if self.known.insert(shard_of(&split.key)?) {
                let found = (split, Position::TrimHorizon.to_value());
                self.news.added.push(found.clone());
                self.found.push(found);
            }
        }
        Ok(())
    }

    /// Notes shards that were read to their end, with their children. They are told even when they
    /// were before: the batch that closed the shard may have been voided.
    fn close(&mut self, key: OffsetKey, children: &Listing) -> Result<(), Failure> {
        for split in self.splits(children)? {
            self.known.insert(shard_of(&split.key)?);
            self.news.added.push((split, Position::TrimHorizon.to_value()));
        }
        self.news.closed.push(key);
        self.settling = Instant::now().checked_add(Duration::from_secs(1));
        Ok(())
    }

    /// What the monitor saw since the last look.
    fn look_around(&mut self) -> Result<(), Failure> {
        while let Some(sight) = self.reader.sight() {
            match sight {
                Ok(sight) => {
                    if let Some(summary) = &sight.summary {
                        self.check_life(summary)?;
                    }
                    self.add_new(&sight.listing)?;
                    self.unlisted = None;
                }
                Err(Blind { failure, since, too_long: false }) => {
                    let seconds = since.as_secs();
                    tracing::warn!("no look at the shards for {seconds} s: {}", failure.message);
                }
                Err(blind) => self.unlisted = Some(blind.told()),
            }
        }
        self.unlisted.clone().map_or(Ok(()), Err)
    }

    fn check_life(&self, summary: &Summary) -> Result<(), Failure> {
        let now = &summary.incarnation;
        if self.incarnation.is_empty() || self.incarnation == *now {
            return Ok(());
        }
        Err(failure::recreated(&self.settings.stream, &self.incarnation, now))
    }
}

impl Source for KinesisSource {
    fn check(&mut self, cancel: &Cancel) -> Result<Vec<Probe>, Failure> {
        let started = Instant::now();
        self.describe(cancel)?;
        let stream = self.settings.stream.clone();
        let name = format!("stream {stream}");
        let mut probes = vec![Probe { name, elapsed: started.elapsed() }];
        let started = Instant::now();
        let listing = self.list(cancel)?;
        probes.push(Probe { name: "shards".to_owned(), elapsed: started.elapsed() });
        // One read shows the permissions; it costs one of a shard's five per second.
        let open = listing.iter().find(|(shard, it)| !it.closed && self.settings.wants(shard));
        let Some((shard, _)) = open else { return Ok(probes) };
        let shard = shard.clone();
        let name = format!("read {shard}");
        let started = Instant::now();
        let service = self.service()?;
        let shared = Arc::clone(service.shared());
        service.ask(
            cancel,
            ASK_TIMEOUT,
            async move { fetch::probe(&shared, &stream, &shard).await },
        )?;
        probes.push(Probe { name, elapsed: started.elapsed() });
        Ok(probes)
    }

    fn discover(&mut self, cancel: &Cancel) -> Result<Discovery, Failure> {
        let summary = self.describe(cancel)?;
        let listing = self.list(cancel)?;
        let mut splits = self.splits(&listing)?;
        splits.sort_by(|a, b| a.key.cmp(&b.key));
        for split in &splits {
            self.known.insert(shard_of(&split.key)?);
        }
        Ok(Discovery { incarnation: summary.incarnation, splits })
    }

    /// `latest` and times become times of the service's clock, which stay what they are across
    /// restarts; a shard that stays empty until then is not skipped.
    fn offsets(
        &mut self,
        start: Start,
        keys: &[OffsetKey],
        cancel: &Cancel,
    ) -> Result<Vec<OffsetValue>, Failure> {
        for key in keys {
            shard_of(key)?;
        }
        let position = match start {
            Start::Earliest => Position::TrimHorizon,
            Start::Latest => Position::AtTimestamp(self.pin(cancel)?),
            Start::Timestamp(ms) => Position::AtTimestamp(ms.min(self.pin(cancel)?).max(0)),
        };
        Ok(keys.iter().map(|_| position.to_value()).collect())
    }

    fn assign(
        &mut self,
        incarnation: &str,
        parts: &[(OffsetKey, OffsetValue)],
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        self.reader.stop_all();
        self.news = Topology { closed: Vec::new(), added: self.found.clone() };
        (self.settling, self.unlisted) = (None, None);
        if parts.is_empty() {
            // It is to read nothing, perhaps for a minute: it asks nothing, and looks for no shards.
            incarnation.clone_into(&mut self.incarnation);
            return Ok(());
        }
        let mut wanted = Vec::with_capacity(parts.len());
        for (key, value) in parts {
            let (shard, position) = (shard_of(key)?, self.position_of(value)?);
            self.known.insert(shard.clone());
            wanted.push(Part::new(key.clone(), shard, position, value.clone()));
        }
        let summary = self.describe(cancel)?;
        incarnation.clone_into(&mut self.incarnation);
        self.check_life(&summary)?;
        if incarnation.is_empty() {
            tracing::warn!("unverified: the host does not know which stream the offsets are of");
        }
        let ended: Vec<_> = wanted.iter().filter(|part| part.has_ended()).collect();
        let ended: Vec<_> = ended.into_iter().map(|part| part.key.clone()).collect();
        self.check_age(&mut wanted, &summary)?;
        if !ended.is_empty() || self.settings.deaggregate.is_some() {
            let listing = self.list(cancel)?;
            for part in &mut wanted {
                part.range = listing.get(&part.shard).and_then(|listed| listed.range);
            }
            for key in ended {
                let shard = shard_of(&key)?;
                let ours = |(_, it): &(&String, &shards::Listed)| it.parents.contains(&shard);
                let children = listing.iter().filter(ours);
                let children = children.map(|(child, it)| (child.clone(), it.clone())).collect();
                self.close(key, &children)?;
            }
        }
        let shared = Arc::clone(self.service()?.shared());
        let handle = self.service()?.handle().clone();
        self.reader.begin(&handle, &shared, wanted);
        Ok(())
    }

    fn set_until(&mut self, until: &[(u32, OffsetValue)]) -> Result<(), Failure> {
        let mut ends = std::collections::BTreeMap::new();
        for (part, value) in until {
            let end = self.position_of(value).map_err(|e| e.at(*part, Some(value.clone())))?;
            ends.insert(usize::try_from(*part).unwrap_or(usize::MAX), end);
        }
        self.reader.set_until(&mut ends);
        Ok(())
    }

    fn poll(&mut self, sink: &mut dyn RowSink, wait: Duration) -> Result<Polled, Failure> {
        self.look_around()?;
        if self.reader.has_reached_until() {
            return Ok(Polled::ReachedUntil);
        }
        self.reader.receive(wait);
        let lags = self.reader.parts.iter().map(|part| (part.shard.as_str(), part.lag_ms()));
        if let Some(line) = self.lag_log.line(lags) {
            tracing::info!("{line}");
        }
        self.apply_policy()?;
        let polled = self.reader.deliver(sink)?;
        let ends = self.reader.take_ends();
        if !ends.is_empty() {
            for (key, children) in ends {
                self.close(key, &children)?;
            }
            return Ok(if polled == Polled::Full { polled } else { Polled::Progress });
        }
        self.reader.rest();
        if polled != (Polled::Idle { caught_up: true }) {
            return Ok(polled);
        }
        let settled = self.settling.is_none_or(|until| Instant::now() >= until);
        Ok(Polled::Idle { caught_up: settled })
    }

    fn position(&self, part: u32) -> Option<OffsetValue> {
        self.reader.parts.get(usize::try_from(part).ok()?).map(Part::value)
    }

    fn lag(&self) -> Lag {
        let mut parts = self.reader.parts.iter().map(Part::lag_ms);
        let ms = parts.try_fold(0_u64, |worst, part| Some(worst.max(part?)));
        Lag { rows: None, ms }
    }

    fn lags(&self) -> Vec<Lag> {
        self.reader.parts.iter().map(|part| Lag { rows: None, ms: part.lag_ms() }).collect()
    }

    fn has_freed(&mut self) -> bool {
        std::mem::take(&mut self.reader.freed)
    }

    fn topology(&mut self) -> Option<Topology> {
        let news = std::mem::take(&mut self.news);
        (news != Topology::default()).then_some(news)
    }

    fn rotate(&mut self, credentials: &Map<String, Value>) -> Result<(), Failure> {
        let given = self.given.with_credentials(credentials)?;
        let settings = KinesisSettings::read(&given)?;
        if let Some(service) = &self.service {
            service.rotate(&settings)?;
            self.reader.mend();
        }
        (self.settings.credentials, self.settings.role) = (settings.credentials, settings.role);
        self.given = given;
        Ok(())
    }
}

impl KinesisSource {
    /// Reads a VALUE that this pipeline can go on from.
    fn position_of(&self, value: &OffsetValue) -> Result<Position, Failure> {
        let position = Position::from_value(value)?;
        if matches!(position, Position::Inside(..)) && self.settings.deaggregate.is_none() {
            return Err(failure::left_whole(value));
        }
        Ok(position)
    }

    /// A time that is surely not after what arrives from now on, by the service's clock.
    fn pin(&mut self, cancel: &Cancel) -> Result<i64, Failure> {
        self.describe(cancel)?;
        self.service()?.shared().clock.pin_ms().ok_or_else(|| {
            let text = "the service does not tell its time (header Date), so that no start can be \
                        pinned";
            Failure::new(Code::SourceUnavailable, text).with("margin_ms", PIN_MARGIN_MS)
        })
    }
}
