//! Schemas of a schema registry by their ids: a thread asks, the reader looks and never waits for it.
//!
//! ```text
//! reader ─ find ─► entries ◄─ answers ─ thread ─ HTTP ─► registry
//!            └──── ids, bounded ───────────┘
//! ```
//!
//! A schema never changes under its id, so what was found is kept, and an outage is no matter then.
//! That an id is unknown is kept for [`UNKNOWN_LIFE`], so that bad records ask for nothing over and over.
//! That a registry does not answer is kept for nobody: it is a failure of the pipeline, which tries
//! again, and never one of the record.

mod answer;
mod http;
mod settings;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use protocol::{Code, Failure};

use self::http::{Client, Unanswered};
pub(super) use self::settings::{KEYS, RegistrySettings};
use crate::decode::avro;
use crate::decode::schema::{Found, Schema, Schemas};
use crate::source::Cancel;

/// Questions that wait for the thread. Why 16: the reader waits for one or two at a time.
const QUESTIONS_MAX: usize = 16;

/// Ids that are remembered, found or not. Why 4,096: far above what topics have; beyond it the ones
/// that were not found are forgotten, and then all.
const ENTRIES_MAX: usize = 4096;

/// How long it holds that an id is unknown. Why 30 s: bad records cost one question in that time.
const UNKNOWN_LIFE: Duration = Duration::from_secs(30);

/// Between two questions for an id that may appear yet.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// After an id was waited for in vain, others that are unknown are not waited for. Why a minute: a
/// topic full of damaged records would else wait for each of them.
const IMPATIENCE: Duration = Duration::from_secs(60);

/// What is known of one id.
#[derive(Default)]
struct Entry {
    /// A question is under way.
    is_asked: bool,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    New,
    Ready(Arc<Schema>),
    /// There is no such schema, or none that could be used.
    Unusable {
        /// When it was told first.
        since: Instant,
        /// When it was told last.
        told: Instant,
        /// It is not waited for any more.
        is_settled: bool,
        reason: String,
    },
    /// The question failed; taken by who looks next.
    Failed(Failure),
}

#[derive(Default)]
struct Entries {
    of: HashMap<u32, Entry>,
    /// Counts answers.
    answers: u64,
    impatient_until: Option<Instant>,
    /// The thread is no more.
    is_over: bool,
}

#[derive(Default)]
struct Shared {
    entries: Mutex<Entries>,
    answered: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module. Dropping all that look ends the thread after the request that is under way.
pub(super) struct Registry {
    shared: Arc<Shared>,
    questions: SyncSender<u32>,
    patience: Duration,
}

impl Registry {
    /// Starts the thread; nothing is asked yet.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        settings: &RegistrySettings,
        options: avro::Options,
    ) -> Result<Self, Failure> {
        let (questions, asked) = sync_channel(QUESTIONS_MAX);
        let shared = Arc::new(Shared::default());
        let client = settings.client();
        let answers = Arc::clone(&shared);
        thread::Builder::new()
            .name("schema-registry".to_owned())
            .spawn(move || answer_all(&client, options, &asked, &answers))
            .map_err(|e| Failure::new(Code::BufferLimit, format!("start a thread: {e}")))?;
        Ok(Self { shared, questions, patience: settings.unknown_wait })
    }

    /// Who looks; it may be sent to where records are read.
    pub(super) fn look(&self) -> Look {
        let (shared, questions) = (Arc::clone(&self.shared), self.questions.clone());
        Look { shared, questions, patience: self.patience }
    }

    /// Keeps what another client of the same registry found.
    pub(super) fn take_over(&self, old: &Self) {
        let found: Vec<_> = old
            .shared
            .lock()
            .of
            .iter()
            .filter_map(|(id, entry)| match &entry.state {
                State::Ready(schema) => Some((*id, Arc::clone(schema))),
                _ => None,
            })
            .collect();
        let mut entries = self.shared.lock();
        for (id, schema) in found {
            let state = State::Ready(schema);
            entries.of.insert(id, Entry { is_asked: false, state });
        }
    }

    /// Waits until the next answer comes, at most `time`.
    pub(super) fn wait(&self, time: Duration) {
        let entries = self.shared.lock();
        let before = entries.answers;
        let still = |entries: &mut Entries| entries.answers == before && !entries.is_over;
        drop(self.shared.answered.wait_timeout_while(entries, time, still));
    }
}

/// Looks for schemas.
pub(super) struct Look {
    shared: Arc<Shared>,
    questions: SyncSender<u32>,
    patience: Duration,
}

impl Schemas for Look {
    fn find(&mut self, id: u32) -> Found {
        let mut entries = self.shared.lock();
        if entries.is_over {
            return Found::Failed(Failure::new(Code::Bug, "the thread of the registry is gone"));
        }
        let now = Instant::now();
        let found = entries.look(id, now, self.patience);
        if let Some(found) = found {
            return found;
        }
        match self.questions.try_send(id) {
            Ok(()) => entries.ask(id),
            // Whoever offers the record again asks again.
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => entries.is_over = true,
        }
        Found::Waiting
    }
}

impl Entries {
    /// What is known; `None`: ask.
    fn look(&mut self, id: u32, now: Instant, patience: Duration) -> Option<Found> {
        let is_impatient = self.impatient_until.is_some_and(|until| now < until);
        let entry = self.of.get_mut(&id)?;
        if entry.is_asked {
            return Some(Found::Waiting);
        }
        match &mut entry.state {
            State::New => None,
            State::Ready(schema) => Some(Found::Ready(Arc::clone(schema))),
            State::Failed(_) => match std::mem::take(&mut entry.state) {
                State::Failed(failure) => Some(Found::Failed(failure)),
                _ => None,
            },
            State::Unusable { since, told, is_settled, reason } => {
                if !*is_settled {
                    let in_vain = now.duration_since(*since) >= patience;
                    if !in_vain && !is_impatient {
                        let waits = now.duration_since(*told) < AGAIN_AFTER;
                        return waits.then_some(Found::Waiting);
                    }
                    *is_settled = true;
                    if in_vain {
                        self.impatient_until = now.checked_add(IMPATIENCE);
                    }
                }
                let holds = now.duration_since(*told) < UNKNOWN_LIFE;
                holds.then(|| Found::Unusable(reason.clone()))
            }
        }
    }

    fn ask(&mut self, id: u32) {
        if self.of.len() >= ENTRIES_MAX {
            self.of.retain(|_, entry| entry.is_asked || matches!(entry.state, State::Ready(_)));
        }
        if self.of.len() >= ENTRIES_MAX {
            self.of.retain(|_, entry| entry.is_asked);
        }
        self.of.entry(id).or_default().is_asked = true;
    }

    /// Notes an answer.
    fn note(&mut self, id: u32, answer: Result<Schema, Unanswered>, now: Instant) {
        self.answers = self.answers.wrapping_add(1);
        let entry = self.of.entry(id).or_default();
        entry.is_asked = false;
        entry.state = match (answer, std::mem::take(&mut entry.state)) {
            (Ok(schema), _) => State::Ready(Arc::new(schema)),
            // It will not appear: a schema does not change under its id.
            (Err(Unanswered::Broken(reason)), _) => {
                State::Unusable { since: now, told: now, is_settled: true, reason }
            }
            (Err(Unanswered::Unknown(reason)), State::Unusable { since, is_settled, .. }) => {
                State::Unusable { since, told: now, is_settled, reason }
            }
            (Err(Unanswered::Unknown(reason)), _) => {
                State::Unusable { since: now, told: now, is_settled: false, reason }
            }
            // What was settled holds while nothing newer can be had.
            (
                Err(Unanswered::Failed(_)),
                State::Unusable { since, is_settled: true, reason, .. },
            ) => State::Unusable { since, told: now, is_settled: true, reason },
            (Err(Unanswered::Failed(failure)), _) => State::Failed(failure),
        };
    }
}

/// Tries to ask a registry, on a thread of its own, so that whoever waits can be called off.
///
/// # Errors
/// Why it cannot be asked.
pub(super) fn probe(settings: &RegistrySettings, cancel: &Cancel) -> Result<(), Failure> {
    const SLICE: Duration = Duration::from_millis(50);
    let (answer, answered) = sync_channel(1);
    let client = settings.client();
    thread::Builder::new()
        .name("schema-registry-check".to_owned())
        // Whoever waited may be gone by then.
        .spawn(move || drop(answer.send(client.probe())))
        .map_err(|e| Failure::new(Code::BufferLimit, format!("start a thread: {e}")))?;
    loop {
        match answered.recv_timeout(SLICE) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) if cancel.is_set() => {
                return Err(Failure::new(Code::Cancelled, "cancelled while asking the registry"));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new(Code::Bug, "the thread of the check is gone"));
            }
        }
    }
}

/// Tells the others when the thread ends, however it ends.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.answered.notify_all();
    }
}

/// The thread.
fn answer_all(client: &Client, options: avro::Options, asked: &Receiver<u32>, shared: &Shared) {
    let _over = Over(shared);
    while let Ok(id) = asked.recv() {
        let schema = client.schema(id).and_then(|text| {
            Schema::of(&text, options)
                .map_err(|why| Unanswered::Broken(format!("schema id {id} cannot be used: {why}")))
        });
        match &schema {
            Ok(schema) => tracing::debug!(id, kind = schema.kind().name(), "schema fetched"),
            Err(why) => tracing::debug!(id, "no schema: {why}"),
        }
        shared.lock().note(id, schema, Instant::now());
        shared.answered.notify_all();
    }
}

#[cfg(test)]
mod tests;
