//! Watches the topics beside the reader: another topic id, new partitions, vanished ones
//! (EXACTLY-ONCE E5, E10). It owns one thread; the reader only looks at what it left.
//!
//! ```text
//!   every 10 s, after a lost connection, after "unknown topic" ──► DescribeTopics
//!     same id        ► nothing, or new partitions
//!     other id       ► withhold ──1 s──► other id again ► verdict
//!     unknown topic  ► withhold ──1 s──► unknown again (3×) ► verdict
//! ```
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

use super::client::Client;
use super::describe::{Topics, describe};
use super::failure;
use super::position::Place;

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
    added: Vec<Place>,
    verdict: Option<Failure>,
    suspect: bool,
}

impl Watch {
    /// Takes the first list of a topic as what is known; later lists only add to it.
    fn learn(&mut self, topics: &Topics) {
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
    fn look(&mut self, seen: &Topics, servers: &str) {
        let mut suspect = false;
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
                            self.verdict = Some(failure::vanished(&what, servers));
                        }
                    }
                    for partition in seen.difference(&expected.known) {
                        self.added.push(Place { topic: name.clone(), partition: *partition });
                    }
                    expected.known.extend(seen);
                }
                Some(Err(code)) if is_unknown(*code) => {
                    expected.missing += 1;
                    suspect = true;
                    if expected.missing >= VANISHED_LOOKS {
                        let what = format!("topic {name}");
                        self.verdict = Some(failure::vanished(&what, servers));
                    }
                }
                Some(Err(_)) | None => {}
            }
        }
        self.suspect = suspect;
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

#[derive(Debug, Default)]
struct Shared {
    watch: Mutex<Watch>,
    now: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread and what it found. Dropping it asks the thread to end and does not wait.
#[derive(Debug)]
pub(super) struct Monitor {
    shared: Arc<Shared>,
}

impl Monitor {
    /// Starts the thread; it also handles log lines and errors of the client.
    pub(super) fn start(client: Arc<Client>) -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("kafka-monitor".to_owned())
            .spawn(move || run(&client, &theirs))
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

    /// Partitions that appeared since the last call.
    pub(super) fn take_added(&self) -> Vec<Place> {
        std::mem::take(&mut self.shared.watch().added)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

fn run(client: &Client, shared: &Shared) {
    const SLICE: Duration = Duration::from_millis(50);
    let mut last = Instant::now();
    while !shared.stop.load(Ordering::Acquire) {
        client.drain_events();
        let (names, suspect) = {
            let watch = shared.watch();
            (watch.topics.keys().cloned().collect::<Vec<_>>(), watch.suspect)
        };
        let now = shared.now.swap(false, Ordering::AcqRel) || client.link().take_recheck();
        let hurry = suspect || now || client.link().down_for().is_some();
        let due = last.elapsed() >= if hurry { PERIOD_SUSPECT } else { PERIOD };
        if now && !due {
            shared.now.store(true, Ordering::Release);
        }
        if names.is_empty() || !due {
            thread::sleep(SLICE);
            continue;
        }
        match describe(client, &names, LOOK_TIMEOUT) {
            Ok(seen) => {
                client.link().up();
                shared.watch().look(&seen, client.servers());
            }
            Err(code) => tracing::debug!(?code, "the brokers did not describe the topics"),
        }
        last = Instant::now();
    }
}

#[cfg(test)]
mod tests;
