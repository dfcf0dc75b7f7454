//! Pipelines that run in this process while its statements go on.
//!
//! May touch: one thread for each. Invariant: a start that was answered has its start positions in the
//! database (E5), or it failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::SqlError;
use crate::report::Report;
use crate::run::{self, Control, Event, Observer, Plan, RunError, Summary};

/// How often a start that waits for the source looks whether its run has ended.
const TICK: Duration = Duration::from_millis(20);

/// Most pipelines of one process. Why 256: each has its extractors and connections.
const RUNS_MAX: usize = 256;

/// The runs of this process, by the pipeline's name.
#[derive(Default)]
pub(crate) struct Background(BTreeMap<String, Run>);

struct Run {
    control: Control,
    thread: JoinHandle<Result<Summary, RunError>>,
}

impl Background {
    /// Starts a run, and answers when its start positions are committed.
    ///
    /// # Errors
    /// It failed before that.
    pub(crate) fn start(
        &mut self,
        plan: Plan,
        parent: &Control,
        report: &Report,
    ) -> Result<(), SqlError> {
        if self.0.len() >= RUNS_MAX {
            let text = format!("this process runs {RUNS_MAX} pipelines already; stop some of them");
            return Err(SqlError::refused(text));
        }
        let (name, control) = (plan.name.clone(), parent.child());
        let (ready, is_ready) = sync_channel(1);
        let observer = Arc::new(Starting { report: report.clone(), ready });
        let of_run = control.clone();
        let thread = thread::Builder::new()
            .name("pipeline".to_owned())
            .spawn(move || run::execute(plan, of_run, observer))
            .map_err(|error| RunError::Internal(format!("cannot start a thread: {error}")))?;
        let run = Run { control, thread };
        if run.is_ready(&is_ready) {
            self.0.insert(name, run);
            return Ok(());
        }
        run.end().map(drop)
    }

    /// Whether this process runs the pipeline.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|run| !run.thread.is_finished())
    }

    /// Ends a run after what was extracted is committed. Answers whether there was one.
    ///
    /// # Errors
    /// Why it had failed.
    pub(crate) fn stop(&mut self, name: &str) -> Result<bool, SqlError> {
        let Some(run) = self.0.remove(name) else { return Ok(false) };
        run.control.drain();
        run.end().map(|_| true)
    }

    /// The names of those that still run.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).filter(|name| self.has(name)).collect()
    }

    /// Waits until every run has ended.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) fn wait(&mut self) -> Result<(), SqlError> {
        let ended = std::mem::take(&mut self.0).into_values().map(Run::end);
        let failures: Vec<SqlError> = ended.filter_map(Result::err).collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// Ends every run after what was extracted is committed.
    pub(crate) fn drain(&self) {
        self.0.values().for_each(|run| run.control.drain());
    }
}

impl Run {
    fn is_ready(&self, ready: &Receiver<()>) -> bool {
        loop {
            match ready.recv_timeout(TICK) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if self.thread.is_finished() => return false,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
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
