//! All assigned shards: starts their tasks, takes what they tell in order, and delivers the pages
//! in turns, so that one busy shard does not keep others waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use protocol::{Class, Code, Failure, OffsetKey};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;

use super::budget::Budget;
use super::client::Shared;
use super::consumer::Consumer;
use super::fetch::{Fetch, News, TURNS, Told};
use super::limit::Limit;
use super::monitor::{self, Blind, Seen, Sight};
use super::pace::Pace;
use super::part::{Delivered, Part, Unfolding};
use super::position::Position;
use super::row::Frame;
use super::settings::KinesisSettings;
use super::shards::Listing;
use super::spare::Spare;
use crate::source::{Polled, RowSink};

/// Messages of one part that may wait: its pages, and a word about trouble or the end.
const NEWS_PER_PART: usize = TURNS + 2;

/// A pause between two polls after which pages that were asked for before it say nothing about now.
///
/// Why 5 s: a host commits a batch in less, and a shard needs not be asked again for each batch.
const AWAY: Duration = Duration::from_secs(5);

/// How old the last page of a shard may be beside the pause between two reads. Why 20 s: the default
/// time of a whole call, within which the next page comes, or trouble is told.
const CALL: Duration = Duration::from_secs(20);

/// The same of a subscription that is taken to be dead sooner. Why 10 s: the service sends an event
/// in 5 s.
const EVENT: Duration = Duration::from_secs(10);

/// See the file.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) parts: Vec<Part>,
    topic: String,
    stream: String,
    budget: Budget,
    spare: Spare,
    /// Whether much memory was given back to the allocator.
    pub(super) freed: bool,
    /// From the tasks; none before the first assignment.
    news: Option<(SyncSender<Told>, Receiver<Told>)>,
    /// Parts whose task ended without the end of the shard, and why.
    stuck: Vec<(usize, News)>,
    /// What the monitor saw; none before the first assignment.
    seen: Option<Arc<Seen>>,
    /// Makes the monitor look now.
    look: Arc<Notify>,
    /// When the last look at the shards began, and when all parts came to their end.
    looked: Option<Instant>,
    at_end: Option<Instant>,
    /// When pages were taken last, and since when that went on without a pause.
    polled: Instant,
    awake: Instant,
    watch: Option<AbortHandle>,
    /// The part that is delivered next.
    turn: usize,
    /// The service's clock, once there is a service.
    shared: Option<Arc<Shared>>,
    handle: Option<Handle>,
    /// Who subscribes to the shards; nobody where they are polled.
    consumer: Option<Arc<Consumer>>,
    /// How packed records are taken apart, where they are.
    unfolding: Option<Unfolding>,
    settings: KinesisSettings,
}

impl Reader {
    /// Reads nothing yet.
    pub(super) fn new(settings: &KinesisSettings) -> Self {
        let budget = Budget::new(settings.memory_bytes);
        Self {
            parts: Vec::new(),
            topic: settings.topic.clone(),
            stream: settings.stream.clone(),
            spare: Spare::new(&budget),
            budget,
            freed: false,
            news: None,
            stuck: Vec::new(),
            seen: None,
            look: Arc::new(Notify::new()),
            looked: None,
            at_end: None,
            polled: Instant::now(),
            awake: Instant::now(),
            watch: None,
            turn: 0,
            shared: None,
            handle: None,
            consumer: Consumer::new(settings),
            unfolding: settings.deaggregate.map(Unfolding::new),
            settings: settings.clone(),
        }
    }

    /// Ends all tasks and forgets all parts.
    pub(super) fn stop_all(&mut self) {
        self.parts.clear();
        self.freed |= self.spare.clear();
        self.stuck.clear();
        (self.news, self.seen) = (None, None);
        (self.looked, self.at_end) = (None, None);
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
    }

    /// Reads these parts from now on.
    pub(super) fn begin(&mut self, handle: &Handle, shared: &Arc<Shared>, parts: Vec<Part>) {
        self.news = Some(sync_channel(parts.len().saturating_mul(NEWS_PER_PART).max(1)));
        (self.parts, self.turn) = (parts, 0);
        (self.polled, self.awake) = (Instant::now(), Instant::now());
        (self.shared, self.handle) = (Some(Arc::clone(shared)), Some(handle.clone()));
        let seen = Arc::<Seen>::default();
        let (stream, pause) = (self.stream.clone(), self.settings.refresh);
        let watch = handle.spawn(monitor::watch(
            Arc::clone(shared),
            stream,
            pause,
            Arc::clone(&self.look),
            Arc::downgrade(&seen),
        ));
        self.seen = Some(seen);
        self.watch = Some(watch.abort_handle());
        if let Some(consumer) = &self.consumer {
            consumer.forget();
        }
        for index in 0..self.parts.len() {
            self.start(index);
        }
    }

    /// Starts the task of a part where the part stands.
    fn start(&mut self, index: usize) {
        let (Some((news, _)), Some(shared), Some(handle)) =
            (&self.news, &self.shared, &self.handle)
        else {
            return;
        };
        let Some(part) = self.parts.get_mut(index).filter(|part| !part.has_ended()) else { return };
        part.stop();
        self.stuck.retain(|(stuck, _)| *stuck != index);
        let from = part.position().clone();
        let fetch = Fetch {
            shared: Arc::clone(shared),
            budget: self.budget.clone(),
            spare: self.spare.clone(),
            turns: Arc::new(Semaphore::new(TURNS)),
            news: news.clone(),
            part: index,
            generation: part.generation,
            stream: self.stream.clone(),
            shard: part.shard.clone(),
            limit: Limit::new(self.settings.record_limit),
            timeout: self.settings.request_timeout,
            pace: Pace::new(self.settings.idle_max, self.settings.throttle_max),
            expect: from.first().cloned(),
            from,
            anchor_ms: None,
            empty: 0,
            useless: 0,
        };
        let task = match &self.consumer {
            Some(consumer) => handle.spawn(fetch.subscribe(Arc::clone(consumer))),
            None => handle.spawn(fetch.run()),
        };
        part.started(task.abort_handle());
    }

    /// Moves a part and reads it from there.
    pub(super) fn go_on(&mut self, index: usize, position: Position) {
        if let Some(part) = self.parts.get_mut(index) {
            part.move_to(position);
        }
        self.start(index);
    }

    /// Nothing more is to be had of a part.
    pub(super) fn break_part(&mut self, index: usize, failure: Failure) {
        if let Some(part) = self.parts.get_mut(index) {
            part.broken = Some(failure);
        }
    }

    /// Reads again what was refused for the sake of credentials, or of what the settings say of them.
    pub(super) fn mend(&mut self) {
        if let Some(consumer) = &self.consumer {
            consumer.forget();
        }
        for index in 0..self.parts.len() {
            let Some(part) = self.parts.get_mut(index) else { break };
            let cured = |it: &Failure| it.class == Class::Auth || it.code == Code::ConfigInvalid;
            let refused = part.broken.as_ref().is_some_and(cured);
            if refused {
                part.broken = None;
                self.start(index);
            }
        }
    }

    /// A part that ends where it stands.
    pub(super) fn end_part(&mut self, index: usize) {
        if let Some(part) = self.parts.get_mut(index) {
            part.ends(Listing::new());
        }
    }

    /// Sets where each part ends for the coming polls.
    pub(super) fn set_until(&mut self, ends: &mut BTreeMap<usize, Position>) {
        for index in 0..self.parts.len() {
            let Some(part) = self.parts.get_mut(index) else { break };
            if part.set_until(ends.remove(&index)) {
                self.start(index);
            }
        }
    }

    /// Whether some parts have an `until` and all of those have reached it.
    pub(super) fn has_reached_until(&self) -> bool {
        self.parts.iter().any(Part::has_until) && !self.parts.iter().any(Part::is_short_of_until)
    }

    /// Takes what the tasks told; waits for it when nothing else is there to do.
    pub(super) fn receive(&mut self, wait: Duration) {
        if self.polled.elapsed() > AWAY {
            self.awake = Instant::now();
        }
        self.take_news(wait);
        self.polled = Instant::now();
    }

    /// Pages asked for since then say what the service has for now. Older ones waited while nobody
    /// took them, or the next one does not come.
    fn fresh_since(&self) -> Instant {
        let age = match &self.consumer {
            Some(consumer) if !consumer.polls() => consumer.silence().max(EVENT),
            _ => self.settings.idle_max + CALL,
        };
        Instant::now().checked_sub(age).map_or(self.awake, |oldest| oldest.max(self.awake))
    }

    fn take_news(&mut self, wait: Duration) {
        let Self { parts, news, stuck, .. } = self;
        let Some((_, receiver)) = news else {
            std::thread::sleep(wait);
            return;
        };
        let busy = parts.iter().any(Part::has_pages);
        let mut next = match busy {
            true => receiver.try_recv().ok(),
            false => receiver.recv_timeout(wait).ok(),
        };
        while let Some(told) = next.take() {
            if let Some(part) = parts.get_mut(told.part)
                && part.generation == told.generation
            {
                match told.news {
                    News::Page(page) => part.page(page),
                    News::Trouble(failure) => part.trouble = Some(failure),
                    News::End(children) => part.ends(children),
                    other => stuck.push((told.part, other)),
                }
            }
            next = receiver.try_recv().ok();
        }
    }

    /// Parts whose task could not go on, once what came before is delivered.
    pub(super) fn take_stuck(&mut self) -> Vec<(usize, News)> {
        let Self { parts, stuck, .. } = self;
        let ready = |index: usize| parts.get(index).is_none_or(|part| !part.has_pages());
        let (now, later) = std::mem::take(stuck).into_iter().partition(|(index, _)| ready(*index));
        *stuck = later;
        now
    }

    /// The first part that can not be read any more, as an error.
    pub(super) fn first_broken(&self) -> Result<(), Failure> {
        for (number, part) in (0u32..).zip(&self.parts) {
            if let Some(failure) = &part.broken {
                return Err(failure.clone().at(number, Some(part.value())));
            }
        }
        Ok(())
    }

    /// Delivers pages in turns. When there is nothing, it says whether that is the end of all
    /// parts, or what is wrong.
    pub(super) fn deliver(&mut self, sink: &mut dyn RowSink) -> Result<Polled, Failure> {
        let mut moved = false;
        for _ in 0..self.parts.len() {
            let index = self.turn % self.parts.len();
            self.turn = (index + 1) % self.parts.len();
            let Some(part) = self.parts.get_mut(index) else { break };
            if !part.has_pages() {
                continue;
            }
            let frame = Frame::new(&self.topic, &self.stream, &part.shard);
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            match part.deliver(number, &frame, &mut self.unfolding, sink)? {
                Delivered::Nothing => {}
                Delivered::Something => moved = true,
                Delivered::Full => {
                    self.turn = index;
                    return Ok(Polled::Full);
                }
            }
        }
        if moved {
            return Ok(Polled::Progress);
        }
        for (number, part) in (0u32..).zip(&self.parts) {
            if let Some(failure) = &part.trouble {
                return Err(failure.clone().at(number, Some(part.value())));
            }
        }
        Ok(Polled::Idle { caught_up: self.is_caught_up() })
    }

    /// Whether everything was delivered: all parts are at their end, and a look at the shards since
    /// then knows of none that was closed and whose children are still to be told.
    fn is_caught_up(&mut self) -> bool {
        /// How old a look may be. Why 1 s: it bounds the calls while records trickle in.
        const RECENT: Duration = Duration::from_secs(1);
        let fresh = self.fresh_since();
        if !self.parts.iter().all(|part| part.is_at_end(fresh)) {
            self.at_end = None;
            return false;
        }
        // Nothing large comes for a while.
        self.freed |= self.spare.clear();
        let since = *self.at_end.get_or_insert_with(Instant::now);
        let known = self.looked.is_some_and(|looked| looked + RECENT >= since);
        if !known {
            self.look.notify_one();
        }
        known || self.parts.is_empty()
    }

    /// Parts that have come to their end since the last call, with their children.
    pub(super) fn take_ends(&mut self) -> Vec<(OffsetKey, Listing)> {
        let ended = self.parts.iter_mut();
        ended
            .filter_map(|part| Some((part.take_end()?, part)))
            .map(|(children, part)| (part.key.clone(), children))
            .collect()
    }

    /// Moves the pins of shards that have been empty for long.
    pub(super) fn rest(&mut self) {
        let quiet = i64::try_from(self.settings.quiet.as_millis()).unwrap_or(i64::MAX);
        let fresh = self.fresh_since();
        let rests = |part: &&mut Part| part.is_at_end(fresh) && !part.has_ended();
        for part in self.parts.iter_mut().filter(rests) {
            part.rests(quiet);
        }
    }

    /// What the monitor saw.
    pub(super) fn sight(&mut self) -> Option<Result<Sight, Blind>> {
        let sight = self.seen.as_ref()?.take()?;
        if let Ok(sight) = &sight {
            self.looked = Some(sight.began);
            for part in &mut self.parts {
                part.closed = sight.listing.get(&part.shard).is_some_and(|listed| listed.closed);
            }
        }
        Some(sight)
    }
}
