//! Pipelines that run in this process while its statements go on.
//!
//! May touch: one thread for each. Invariants: a start that was answered has its start positions in the
//! database (E5), or it failed; no lock is held while a run is waited for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::SqlError;
use crate::report::Report;
use crate::run::{self, Control, Event, Observer, Plan, RunError, Summary};

/// How often a start that waits for the source looks whether its run has ended.
const TICK: Duration = Duration::from_millis(20);

/// Most pipelines of one process. Why 256: each has its extractors and connections.
const RUNS_MAX: usize = 256;

/// The runs of this process, by the pipeline's name. Clones are the same runs.
#[derive(Clone, Default)]
pub(crate) struct Background {
    runs: Arc<Mutex<BTreeMap<String, Run>>>,
    /// Tells a run from a later one of the same pipeline.
    number: Arc<AtomicU64>,
    /// Whether pipelines stay Running when this process ends, so that the next one starts them.
    stays: bool,
}

struct Run {
    number: u64,
    control: Control,
    thread: JoinHandle<Result<Summary, RunError>>,
}

impl Background {
    /// The runs of a server: its pipelines stay Running when it ends.
    pub(crate) fn of_server() -> Self {
        Self { stays: true, ..Self::default() }
    }

    /// Starts a run, and answers when its start positions are committed. It ends with `parent`, and until it is
    /// started with `statement`.
    ///
    /// # Errors
    /// It failed before that, it runs already, or was stopped meanwhile.
    pub(crate) fn start(
        &self,
        plan: Plan,
        (parent, statement): (&Control, &Control),
        report: &Report,
    ) -> Result<(), SqlError> {
        let name = plan.name.clone();
        let control = if self.stays { parent.server_child() } else { parent.child() };
        let (ready, is_ready) = sync_channel(1);
        let observer = Arc::new(Starting { report: report.clone(), ready });
        let number = self.number.fetch_add(1, Ordering::AcqRel);
        {
            let mut runs = self.runs();
            if runs.get(&name).is_some_and(Run::is_alive) {
                let text = format!("pipeline {name} is running already, or being started");
                return Err(SqlError::refused(text));
            }
            if runs.values().filter(|run| run.is_alive()).count() >= RUNS_MAX {
                let text =
                    format!("this process runs {RUNS_MAX} pipelines already; stop some of them");
                return Err(SqlError::refused(text));
            }
            let of_run = control.clone();
            let thread = thread::Builder::new()
                .name("pipeline".to_owned())
                .spawn(move || run::execute(plan, of_run, observer))
                .map_err(|error| RunError::Internal(format!("cannot start a thread: {error}")))?;
            // One that ended by itself was told by its state.
            drop(runs.insert(name.clone(), Run { number, control, thread }));
        }
        if self.waits_until_ready(&name, number, (&is_ready, statement)) {
            return Ok(());
        }
        match self.take(&name, number) {
            Some(run) => run.end().map(drop),
            None => Err(SqlError::refused(format!("pipeline {name} was stopped while it started"))),
        }
    }

    /// Whether this process runs the pipeline.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.runs().get(name).is_some_and(Run::is_alive)
    }

    /// Ends a run after what was extracted is committed. Answers whether there was one.
    ///
    /// # Errors
    /// Why it had failed.
    pub(crate) fn stop(&self, name: &str) -> Result<bool, SqlError> {
        let Some(run) = self.runs().remove(name) else { return Ok(false) };
        run.control.drain();
        run.end().map(|_| true)
    }

    /// The names of those that still run.
    pub(crate) fn names(&self) -> Vec<String> {
        let runs = self.runs();
        runs.iter().filter(|(_, run)| run.is_alive()).map(|(name, _)| name.clone()).collect()
    }

    /// Waits until every run has ended.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) fn wait(&self) -> Result<(), SqlError> {
        let all = std::mem::take(&mut *self.runs());
        let failures: Vec<SqlError> =
            all.into_values().map(Run::end).filter_map(Result::err).collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// Ends every run after what was extracted is committed.
    pub(crate) fn drain(&self) {
        self.runs().values().for_each(|run| run.control.drain());
    }

    fn waits_until_ready(
        &self,
        name: &str,
        number: u64,
        (ready, statement): (&Receiver<()>, &Control),
    ) -> bool {
        loop {
            match ready.recv_timeout(TICK) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    let runs = self.runs();
                    let run = runs.get(name).filter(|run| run.number == number);
                    if statement.is_draining() {
                        run.inspect(|run| run.control.drain());
                    }
                    if !run.is_some_and(Run::is_alive) {
                        return false;
                    }
                }
            }
        }
    }

    fn take(&self, name: &str, number: u64) -> Option<Run> {
        let mut runs = self.runs();
        runs.get(name).filter(|run| run.number == number)?;
        runs.remove(name)
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<String, Run>> {
        // Nothing is left half done under this lock.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    fn end(self) -> Result<Summary, SqlError> {
        let panicked = |_| RunError::Internal("the thread of a pipeline panicked".to_owned());
        Ok(self.thread.join().map_err(panicked)??)
    }
}

/// Tells when the source has answered and the starts are committed.
struct Starting {
    report: Report,
    ready: SyncSender<()>,
}

impl Observer for Starting {
    fn event(&self, event: &Event) {
        if matches!(event, Event::Discovered { .. }) {
            // A second one, of a run that scouts again, finds the place taken.
            let _told = self.ready.try_send(());
        }
        self.report.event(event);
    }
}
