//! Watches the topics beside the reader: another topic id, new partitions, vanished ones
//! (EXACTLY-ONCE E5, E10). It owns one thread; the reader only looks at what it left.
//!
//! ```text
//!   every 10 s, after a lost connection, after "unknown topic" ──► DescribeTopics
//!     same id        ► nothing, or new partitions
//!     other id       ► withhold ──1 s──► other id again ► verdict
//!     unknown topic  ► withhold ──1 s──► unknown again (3×) ► verdict
//!     new topic      ► added from its beginning, where topics are chosen by a pattern
//! ```
//!
//! A topic that matched and of which nothing is read here is forgotten when it is gone: whoever reads
//! it tells.
//!
//! Brokers from Kafka 3.1 on are asked for records by topic id, and the client says when it begins to
//! use another id; the source looks for that word before it delivers what came after it. With older
//! brokers the reader may deliver records of a topic that was created again for at most ten seconds,
//! unless its leader epoch falls or its offsets end before the position.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use protocol::{Code, Failure};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{At, Client, Listed};
use super::describe::{Topics, describe};
use super::failure;
use super::find::matching;
use super::position::Place;
use super::topics::{Pattern, Selection, TOPICS_MAX};

/// Time between two looks while all is well.
const PERIOD: Duration = Duration::from_secs(10);

/// Time between two looks while something is wrong or undecided.
const PERIOD_SUSPECT: Duration = Duration::from_secs(1);

/// Looks that must agree before a topic counts as created again.
const RECREATED_LOOKS: u32 = 2;

/// Looks that must agree before a topic or partition counts as vanished. Why 3: while a cluster
/// restarts, brokers may answer "unknown" for topics that exist.
const VANISHED_LOOKS: u32 = 3;

/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What is expected of one topic.
#[derive(Clone, Debug, Default)]
struct Expected {
    /// The id that the offsets belong to; `None` is unverified.
    id: Option<String>,
    /// Partitions that someone knows of; others are new.
    known: BTreeSet<i32>,
    /// Partitions that are being read.
    assigned: BTreeSet<i32>,
    other_id: u32,
    missing: u32,
}

/// What the looks found so far. Pure.
#[derive(Debug, Default)]
pub(super) struct Watch {
    topics: BTreeMap<String, Expected>,
    /// Partitions that appeared, and where each begins.
    added: Vec<(Place, i64)>,
    verdict: Option<Failure>,
    suspect: bool,
    /// Someone was told of topics: those that match from now on are new. None may be left.
    begun: bool,
}

/// What the looks need to know of the pipeline.
#[derive(Clone, Debug)]
struct Terms {
    servers: String,
    /// What chooses the topics, unless a list names them.
    pattern: Option<Pattern>,
}

impl Watch {
    /// Takes the first list of a topic as what is known; later lists only add to it.
    fn learn(&mut self, topics: &Topics) {
        self.begun = true;
        for (name, topic) in topics {
            if let Ok(topic) = topic {
                self.topics.entry(name.clone()).or_insert_with(|| Expected {
                    id: topic.id.clone(),
                    known: topic.partitions.iter().copied().collect(),
                    ..Expected::default()
                });
            }
        }
    }

    /// Takes a new assignment with the ids that its offsets belong to.
    fn assign(&mut self, ids: &BTreeMap<String, Option<String>>, places: &[Place]) {
        self.verdict = None;
        self.suspect = false;
        for (name, expected) in &mut self.topics {
            (expected.other_id, expected.missing) = (0, 0);
            expected.assigned.clear();
            if let Some(id) = ids.get(name) {
                expected.id.clone_from(id);
            }
        }
        for place in places {
            if let Some(expected) = self.topics.get_mut(&place.topic) {
                expected.assigned.insert(place.partition);
                expected.known.insert(place.partition);
            }
        }
    }

    /// Compares one look with what is expected.
    fn look(&mut self, seen: &Topics, terms: &Terms) {
        let mut suspect = false;
        let pattern = terms.pattern.as_ref();
        for (name, expected) in &mut self.topics {
            match seen.get(name) {
                Some(Ok(topic)) => {
                    let other = match (&expected.id, &topic.id) {
                        (Some(before), Some(now)) if before != now => Some((before, now)),
                        _ => None,
                    };
                    if let Some((before, now)) = other {
                        expected.other_id += 1;
                        if expected.other_id >= RECREATED_LOOKS {
                            self.verdict = Some(failure::id_changed(name, before, now));
                        }
                        suspect = true;
                        continue;
                    }
                    expected.other_id = 0;
                    let seen: BTreeSet<i32> = topic.partitions.iter().copied().collect();
                    let gone = expected.assigned.difference(&seen).next().copied();
                    expected.missing = if gone.is_some() { expected.missing + 1 } else { 0 };
                    if let Some(partition) = gone {
                        suspect = true;
                        if expected.missing >= VANISHED_LOOKS {
                            let what = format!("topic {name} partition {partition}");
                            self.verdict = Some(failure::vanished(&what, &terms.servers, pattern));
                        }
                    }
                    for partition in seen.difference(&expected.known) {
                        // Zero, and not the oldest that is left: nothing of it was ever read.
                        let place = Place { topic: name.clone(), partition: *partition };
                        self.added.push((place, 0));
                    }
                    expected.known.extend(seen);
                }
                Some(Err(code)) if is_unknown(*code) => {
                    expected.missing += 1;
                    let concerns = pattern.is_none() || !expected.assigned.is_empty();
                    suspect |= concerns;
                    if concerns && expected.missing >= VANISHED_LOOKS {
                        let what = format!("topic {name}");
                        self.verdict = Some(failure::vanished(&what, &terms.servers, pattern));
                    }
                }
                Some(Err(_)) | None => {}
            }
        }
        let is_gone = |it: &Expected| it.assigned.is_empty() && it.missing >= VANISHED_LOOKS;
        self.topics.retain(|_, expected| pattern.is_none() || !is_gone(expected));
        self.suspect = suspect;
    }

    /// The partitions of topics that nobody knew.
    fn unknown(&self, seen: &Topics) -> Vec<Place> {
        let new = seen.iter().filter(|(name, _)| !self.topics.contains_key(*name));
        let places = new.filter_map(|(name, topic)| Some((name, topic.as_ref().ok()?)));
        let place =
            |name: &String, partition: &i32| Place { topic: name.clone(), partition: *partition };
        places.flat_map(|(name, it)| it.partitions.iter().map(move |p| place(name, p))).collect()
    }

    /// Takes topics that nobody knew, and where their partitions begin; returns their names. One of
    /// which not all partitions tell that stays unknown, and is looked at again.
    fn add(&mut self, seen: &Topics, begins: Vec<(Place, i64)>) -> Vec<String> {
        let mut by_topic = BTreeMap::<_, Vec<_>>::new();
        for (place, at) in begins {
            by_topic.entry(place.topic.clone()).or_default().push((place, at));
        }
        by_topic.retain(|name, begins| {
            let partitions = seen.get(name).and_then(|topic| topic.as_ref().ok());
            let complete = partitions.is_some_and(|it| it.partitions.len() == begins.len());
            complete && !self.topics.contains_key(name)
        });
        let mut new = seen.clone();
        new.retain(|name, _| by_topic.contains_key(name));
        self.learn(&new);
        let names = by_topic.keys().cloned().collect();
        self.added.extend(by_topic.into_values().flatten());
        names
    }
}

/// Whether a broker says that a topic does not exist.
pub(super) const fn is_unknown(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
    )
}

/// Ends of partitions that the source asked for, and the answer.
#[derive(Debug, Default)]
struct Ends {
    asked: Vec<Place>,
    found: Vec<(Place, i64)>,
}

#[derive(Debug, Default)]
struct Shared {
    watch: Mutex<Watch>,
    ends: Mutex<Ends>,
    now: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread and what it found. Dropping it asks the thread to end and does not wait.
#[derive(Debug)]
pub(super) struct Monitor {
    shared: Arc<Shared>,
}

impl Monitor {
    /// Starts the thread; it also handles log lines and errors of the client.
    pub(super) fn start(client: Arc<Client>, topics: &Selection) -> Result<Self, Failure> {
        let pattern = topics.pattern().cloned();
        let terms = Terms { servers: client.servers().to_owned(), pattern };
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("kafka-monitor".to_owned())
            .spawn(move || run(&client, &theirs, &terms))
            .map_err(|e| Failure::new(Code::BufferLimit, format!("start a thread: {e}")))?;
        Ok(Self { shared })
    }

    /// See [`Watch::learn`].
    pub(super) fn learn(&self, topics: &Topics) {
        self.shared.watch().learn(topics);
    }

    /// See [`Watch::assign`].
    pub(super) fn assign(&self, ids: &BTreeMap<String, Option<String>>, places: &[Place]) {
        self.shared.watch().assign(ids, places);
        // What was asked for the assignment before tells nothing of this one.
        *self.shared.ends() = Ends::default();
    }

    /// Goes on with what another monitor knew.
    pub(super) fn take_over(&self, other: &Self) {
        let known = std::mem::take(&mut *other.shared.watch());
        *self.shared.watch() = known;
    }

    /// Something is odd: look now, and deliver nothing before the answer.
    pub(super) fn suspect(&self) {
        self.shared.watch().suspect = true;
        self.shared.now.store(true, Ordering::Release);
    }

    /// Whether to withhold records, or why nothing can be read any more.
    pub(super) fn verdict(&self) -> Result<bool, Failure> {
        let watch = self.shared.watch();
        match &watch.verdict {
            Some(failure) => Err(failure.clone()),
            None => Ok(watch.suspect),
        }
    }

    /// Asks for the ends of partitions; the answer comes through [`Monitor::take_ends`], or never.
    pub(super) fn ask_ends(&self, places: Vec<Place>) {
        self.shared.ends().asked = places;
    }

    /// The ends that were found since the last call.
    pub(super) fn take_ends(&self) -> Vec<(Place, i64)> {
        std::mem::take(&mut self.shared.ends().found)
    }

    /// Partitions that appeared since the last call, and where each begins.
    pub(super) fn take_added(&self) -> Vec<(Place, i64)> {
        std::mem::take(&mut self.shared.watch().added)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

fn run(client: &Client, shared: &Shared, terms: &Terms) {
    const SLICE: Duration = Duration::from_millis(50);
    let mut last = Instant::now();
    while !shared.stop.load(Ordering::Acquire) {
        client.drain_events();
        find_ends(client, shared);
        let (names, suspect, begun) = {
            let watch = shared.watch();
            (watch.topics.keys().cloned().collect::<Vec<_>>(), watch.suspect, watch.begun)
        };
        let now = shared.now.swap(false, Ordering::AcqRel) || client.link().take_recheck();
        let hurry = suspect || now || client.link().down_for().is_some();
        let due = last.elapsed() >= if hurry { PERIOD_SUSPECT } else { PERIOD };
        if now && !due {
            shared.now.store(true, Ordering::Release);
        }
        if !begun || !due {
            thread::sleep(SLICE);
            continue;
        }
        if let Err(code) = look(client, shared, terms, names) {
            tracing::debug!(?code, "the brokers did not describe the topics");
        }
        last = Instant::now();
    }
}

/// Answers a question for ends. Why here: it waits for brokers, and the reader does not.
fn find_ends(client: &Client, shared: &Shared) {
    let places = std::mem::take(&mut shared.ends().asked);
    if places.is_empty() {
        return;
    }
    // What is not answered is asked for again.
    if let Ok(ends) = client.list_each(&places, At::Latest, LOOK_TIMEOUT) {
        shared.ends().found = told(places, ends);
    }
}

/// The places that answered with an offset.
fn told(places: Vec<Place>, offsets: Vec<Listed>) -> Vec<(Place, i64)> {
    let each = places.into_iter().zip(offsets);
    each.filter_map(|(place, offset)| Some((place, offset.ok()??))).collect()
}

/// One look at the topics that are known, and at those that match since.
fn look(
    client: &Client,
    shared: &Shared,
    terms: &Terms,
    mut names: Vec<String>,
) -> Result<(), RDKafkaErrorCode> {
    if let Some(pattern) = &terms.pattern {
        names.extend(matching(client, pattern, LOOK_TIMEOUT)?);
        names.sort_unstable();
        names.dedup();
        if names.len() > TOPICS_MAX {
            shared.watch().verdict = Some(failure::too_many_match(pattern.text(), names.len()));
            return Ok(());
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let seen = describe(client, &names, LOOK_TIMEOUT)?;
    client.link().up();
    let new = shared.watch().unknown(&seen);
    shared.watch().look(&seen, terms);
    if new.is_empty() {
        return Ok(());
    }
    // Where they begin is asked for: a topic may have been there unseen and lost its oldest records.
    let begins = client.list_each(&new, At::Earliest, LOOK_TIMEOUT)?;
    let topics = shared.watch().add(&seen, told(new, begins));
    if !topics.is_empty() {
        tracing::info!(?topics, "new topics match topics.regex");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
