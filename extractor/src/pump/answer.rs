//! One method for each request but EXTRACT.

use std::time::Duration;

use protocol::avro::row::{ERROR_SCHEMA, ERROR_SCHEMA_NUMBER, STATIC_SCHEMA, STATIC_SCHEMA_NUMBER};
use protocol::avro::{ContainerHeader, Marker};
use protocol::message::{
    Assign, Assigned, CheckLine, Checked, Configure, Configured, Discovered, FEATURE_DIGEST,
    FEATURE_REFUSE, GetOffsets, Hello, HelloOk, OffsetEntry, Offsets, PROTOCOL, Peer, Phase, Split,
    Start, UnknownKey, Update, Updated, WireLimits,
};
use protocol::session::extractor::Request;
use protocol::wire::{Head, Kind};
use protocol::{Code, Failure, OffsetKey, OffsetValue};

use super::{Assignment, End, Pump, Queued, millis, void};
use crate::config::{Settings, Unknown};
use crate::log::parse_level;
use crate::pipe::{self, OutFrame};
use crate::source::{self, Discovery, Probe};

/// The features that are offered: BATCH_END has a checksum over the rows of each split, and ASSIGN may name
/// rows that come as error rows.
const OFFERED: [&str; 2] = [FEATURE_DIGEST, FEATURE_REFUSE];

impl Pump {
    pub(super) fn handle(&mut self, item: Queued) -> Result<(), End> {
        match &item.request {
            Request::Hello(hello) => self.hello(&item, hello),
            Request::Configure(configure) => self.configure(&item, configure)?,
            Request::Check => {
                let found =
                    self.call(&item, Phase::Connecting, |source, cancel| source.check(cancel))?;
                if let Some(probes) = found {
                    self.answer(item.epoch, &checked(probes));
                }
            }
            Request::Discover => {
                let found =
                    self.call(&item, Phase::Connecting, |source, cancel| source.discover(cancel))?;
                if let Some(discovery) = found {
                    self.answer(item.epoch, &discovered(discovery));
                }
            }
            Request::GetOffsets(question) => self.get_offsets(&item, question)?,
            Request::Assign(assign, marker) => self.assign(&item, assign, *marker)?,
            Request::Extract(extract) => self.extract(&item, extract)?,
            Request::Update(update) => self.update(&item, update)?,
            Request::Stop(_) => {
                let head = self.session.answer();
                return Err(End::Stopped(
                    head.unwrap_or_else(|| Head::new(Kind::Stopped, item.epoch)),
                ));
            }
            // Answered elsewhere or not at all; a PING only gets here as the first frame, which
            // the session refuses.
            Request::Cancel(_) | Request::Commit(_) | Request::Ping(_) => {}
        }
        Ok(())
    }

    fn hello(&mut self, item: &Queued, hello: &Hello) {
        let ours = WireLimits::default().max_frame;
        self.max_frame = hello.limits.max_frame.min(ours);
        let is_wanted = |name: &&str| hello.features.iter().any(|wanted| wanted == name);
        let features: Vec<&str> = OFFERED.into_iter().filter(is_wanted).collect();
        if features.contains(&FEATURE_DIGEST) {
            self.batch.tell_digests();
        }
        let answer = HelloOk {
            protocol: PROTOCOL,
            features: features.into_iter().map(str::to_owned).collect(),
            limits: WireLimits { max_frame: self.max_frame },
            extractor: Peer {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            sources: source::classes(),
        };
        self.answer(item.epoch, &answer);
        self.log.enter_session();
        match parse_level(&hello.log_level) {
            Some(level) => self.log.set_level(level),
            None => tracing::warn!("HELLO names no log level that is known; keeping the last one"),
        }
    }

    fn configure(&mut self, item: &Queued, configure: &Configure) -> Result<(), End> {
        let opened = Settings::from_maps(&configure.config, &configure.credentials)
            .inspect(|settings| self.hide(settings))
            .and_then(|settings| source::open(&settings).map(|opened| (settings, opened)));
        let (settings, opened) = opened.map_err(|failure| self.end_with(item.epoch, failure))?;
        let task = &configure.settings;
        self.retry_within = Duration::from_millis(task.retry_ms);
        self.batch.limit(self.max_frame, task.max_row_bytes);
        self.source = Some(opened.source);
        let warnings = opened.warnings.iter().map(|w| self.link.redactor.text(w).into_owned());
        let answer = Configured {
            warnings: warnings.collect(),
            unknown_config: opened.unknown.into_iter().map(unknown_key).collect(),
            effective: settings.redacted(),
        };
        self.settings = settings;
        self.answer(item.epoch, &answer);
        tracing::info!(pipeline = task.pipeline, leaf = task.leaf, task = task.task, "configured");
        Ok(())
    }

    /// Makes the secrets of `settings` unspeakable, before anything can fail and be told.
    fn hide(&self, settings: &Settings) {
        for secret in settings.secrets() {
            self.link.redactor.add(secret);
        }
    }

    fn get_offsets(&mut self, item: &Queued, question: &GetOffsets) -> Result<(), End> {
        let start = match question.start {
            Start::Earliest => source::Start::Earliest,
            Start::Latest => source::Start::Latest,
            Start::Timestamp(ms) => source::Start::Timestamp(ms),
        };
        let found = self.call(item, Phase::Connecting, |source, cancel| {
            source.offsets(start, &question.keys, cancel)
        })?;
        let Some(values) = found else { return Ok(()) };
        if values.len() != question.keys.len() {
            self.answer_error(item.epoch, Failure::new(Code::Bug, "source forgot an offset"));
            return Ok(());
        }
        let pairs = question.keys.iter().cloned().zip(values);
        let offsets = pairs.map(|(key, value)| OffsetEntry { key, value }).collect();
        self.answer(item.epoch, &Offsets { offsets });
        Ok(())
    }

    fn assign(&mut self, item: &Queued, assign: &Assign, marker: Marker) -> Result<(), End> {
        self.void_queued();
        (self.retry, self.failure) = (None, None);
        let parts: Vec<(OffsetKey, OffsetValue)> =
            assign.parts.iter().map(|part| (part.key.clone(), part.value.clone())).collect();
        self.assignment = None;
        // What closed in the batches that end void is read, closed and told again.
        self.news.closed.clear();
        let done = self.call(item, Phase::Connecting, |source, cancel| {
            source.assign(&assign.incarnation, &parts, cancel)
        })?;
        if done.is_none() {
            return Ok(());
        }
        self.batch.assign(marker, parts.len(), &assign.refused);
        let (keys, stands): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        self.assignment =
            Some(Assignment { epoch: item.epoch, keys, stands, ..Assignment::default() });
        self.answer(item.epoch, &Assigned { parts: count });
        self.announce(item.epoch, marker);
        self.take_news();
        self.report_news();
        if count == 0 {
            // It waits, perhaps for long, and what was read is let go.
            pipe::give_back_memory();
        }
        Ok(())
    }

    /// Drops what is queued for the assignment before; its unread batches end void.
    pub(super) fn void_queued(&self) {
        self.link.outbox.void_batches(|mut head| {
            head.kind = Kind::BatchEnd;
            OutFrame::control(head, &protocol::message::encode(&void()))
        });
    }

    /// Sends both schemas: one must not come inside a batch.
    fn announce(&self, epoch: u32, marker: Marker) {
        let schemas = [(STATIC_SCHEMA_NUMBER, STATIC_SCHEMA), (ERROR_SCHEMA_NUMBER, ERROR_SCHEMA)];
        for (schema, text) in schemas {
            let avro_schema = text.to_owned();
            let header = ContainerHeader {
                schema,
                avro_schema,
                topic: None,
                key_columns: Vec::new(),
                marker,
            };
            let head = Head::new(Kind::Schema, epoch);
            self.link.outbox.push(OutFrame::control(head, &header.encode()));
        }
    }

    fn update(&mut self, item: &Queued, update: &Update) -> Result<(), End> {
        let mut applied = Vec::new();
        if let Some(credentials) = &update.credentials {
            let rotated =
                self.settings.with_credentials(credentials).inspect(|settings| self.hide(settings));
            let settings = match rotated {
                Ok(settings) => settings,
                Err(mut failure) => {
                    failure.fatal = false;
                    self.answer_error(item.epoch, failure);
                    return Ok(());
                }
            };
            let done =
                self.call(item, Phase::Connecting, |source, _| source.rotate(credentials))?;
            if done.is_none() {
                return Ok(());
            }
            self.settings = settings;
            applied.push("credentials".to_owned());
        }
        if let Some(level) = update.log_level.as_deref().and_then(parse_level) {
            self.log.set_level(level);
            applied.push("log_level".to_owned());
        }
        self.answer(item.epoch, &Updated { applied });
        Ok(())
    }
}

fn unknown_key(unknown: Unknown) -> UnknownKey {
    UnknownKey { key: unknown.key, nearest: unknown.nearest }
}

fn checked(probes: Vec<Probe>) -> Checked {
    let lines =
        probes.into_iter().map(|probe| CheckLine { name: probe.name, ms: millis(probe.elapsed) });
    Checked { checks: lines.collect() }
}

fn discovered(discovery: Discovery) -> Discovered {
    let splits = discovery.splits.into_iter().map(|split| Split {
        key: split.key,
        parents: split.parents,
        closed: split.closed,
    });
    Discovered { incarnation: discovery.incarnation, splits: splits.collect() }
}
