//! The host's part for tests: assigns what may be read, moves on at ends.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test crate uses its part, so that this is expected in some only"
)]
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use extractor::source::{Cancel, Polled, Source};
use protocol::{Failure, OffsetKey, OffsetValue};

use crate::support::{LIMIT, Seen, Sink, horizon};

/// Every payload `0..count` once, and rising for each key.
pub(crate) fn assert_once_in_order(rows: &[Seen], count: u32) {
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    let mut numbers = Vec::new();
    for row in rows {
        let number: u32 = row.payload().parse().unwrap();
        let before = last.insert(row.text("partitionKey"), number);
        assert!(before.is_none_or(|before| before < number), "{before:?} then {number}");
        numbers.push(number);
    }
    numbers.sort_unstable();
    let wrong = (0..count).zip(&numbers).find(|(wanted, came)| wanted != *came);
    assert!(
        numbers.len() == count as usize && wrong.is_none(),
        "{} rows, {wrong:?}",
        numbers.len()
    );
}

/// A host tries again what may pass, for a while.
fn may_pass(failure: &Failure, started: Instant) {
    assert!(failure.retryable && started.elapsed() < LIMIT, "{failure}");
    std::thread::sleep(Duration::from_millis(20));
}

/// The host's part: assigns what may be read, moves on at ends, as `harness` does.
pub(crate) struct Follower {
    pub(crate) offsets: BTreeMap<OffsetKey, OffsetValue>,
    pub(crate) parents: BTreeMap<OffsetKey, Vec<OffsetKey>>,
    pub(crate) rows: Vec<Seen>,
}

impl Follower {
    pub(crate) fn new() -> Self {
        Self { offsets: BTreeMap::new(), parents: BTreeMap::new(), rows: Vec::new() }
    }

    pub(crate) fn discover(&mut self, source: &mut dyn Source) {
        let started = Instant::now();
        let discovery = loop {
            match source.discover(&Cancel::default()) {
                Ok(discovery) => break discovery,
                Err(failure) => may_pass(&failure, started),
            }
        };
        for split in discovery.splits {
            self.offsets.entry(split.key.clone()).or_insert_with(horizon);
            self.parents.insert(split.key, split.parents);
        }
    }

    pub(crate) fn readable(&self) -> Vec<(OffsetKey, OffsetValue)> {
        let ended = |key: &OffsetKey| self.offsets.get(key).is_none_or(OffsetValue::is_end);
        let ready = |(key, at): &(&OffsetKey, &OffsetValue)| {
            !at.is_end() && self.parents.get(*key).is_none_or(|them| them.iter().all(ended))
        };
        self.offsets.iter().filter(ready).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Reads until caught up, or until `rows` more rows came.
    pub(crate) fn follow(&mut self, source: &mut dyn Source, rows: usize) {
        let until = self.rows.len().saturating_add(rows);
        let started = Instant::now();
        'assign: loop {
            let parts = self.readable();
            while let Err(failure) = source.assign("", &parts, &Cancel::default()) {
                may_pass(&failure, started);
            }
            loop {
                assert!(started.elapsed() < LIMIT, "gave up with {} rows", self.rows.len());
                let mut sink = Sink::new(40);
                let polled = source.poll(&mut sink, Duration::from_millis(50));
                let polled = polled.unwrap_or_else(|failure| {
                    may_pass(&failure, started);
                    Polled::Progress
                });
                let mut map: Vec<_> = parts.iter().map(|(key, _)| key.clone()).collect();
                for (part, key) in (0..).zip(map.drain(..)) {
                    self.offsets.insert(key, source.position(part).unwrap());
                }
                self.rows.extend(sink.rows);
                if let Some(news) = source.topology() {
                    for (split, start) in news.added {
                        self.offsets.entry(split.key.clone()).or_insert(start);
                        self.parents.insert(split.key, split.parents);
                    }
                }
                if self.rows.len() >= until {
                    return;
                }
                let keys = |parts: &[(OffsetKey, OffsetValue)]| {
                    parts.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>()
                };
                if keys(&self.readable()) != keys(&parts) {
                    continue 'assign;
                }
                if polled == (Polled::Idle { caught_up: true }) {
                    return;
                }
            }
        }
    }
}
