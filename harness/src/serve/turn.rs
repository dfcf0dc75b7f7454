//! What the statement of a connection can be ended by while it runs: another connection, or the clock.
//!
//! May touch: the store's interrupter. Invariant: who ends a statement waits for it nowhere, and ends that one
//! statement, or none where it is over by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::fault::Fault;
use crate::run::Control;
use crate::store::{Interrupt, StoreError};

/// A statement that runs. Clones are the same one.
#[derive(Clone)]
pub(super) struct Running {
    /// Ends what the harness does for it, runs of pipelines first of all.
    control: Control,
    /// Ends what the database does.
    store: Option<Arc<dyn Interrupt>>,
    was_killed: Arc<AtomicBool>,
}

impl Running {
    pub(super) fn new(control: Control, store: Option<Arc<dyn Interrupt>>) -> Self {
        Self { control, store, was_killed: Arc::default() }
    }

    /// Ends it.
    ///
    /// # Errors
    /// The database cannot be told.
    pub(super) fn kill(&self) -> Result<(), StoreError> {
        self.was_killed.store(true, Ordering::Release);
        self.control.drain();
        self.store.as_ref().map_or(Ok(()), |store| store.interrupt())
    }

    /// Whether somebody wanted it to end.
    pub(super) fn was_killed(&self) -> bool {
        self.was_killed.load(Ordering::Acquire)
    }
}

/// What a client is told whose statement was ended by `KILL`; `what` had become of it.
pub(super) fn interrupted(what: &str) -> Fault {
    Fault::new(1317, *b"70100", format!("the statement was interrupted: {what}"))
}

/// What a client is told whose transaction took too long.
pub(super) fn too_long(most: Duration) -> Fault {
    let text = format!(
        "the transaction took longer than {} s and is rolled back: all pipelines wait while it holds an SQLite \
         file; commit in between",
        most.as_secs()
    );
    Fault::new(3024, *b"HY000", text)
}

/// The transaction of a connection to an SQLite store, from its first statement on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opened(Option<Instant>);

impl Opened {
    /// What is known after a statement that began at `began`.
    pub(super) fn follow(&mut self, is_open: bool, began: Instant) {
        self.0 = is_open.then(|| self.0.unwrap_or(began));
    }

    /// When it has to be over, if it is open.
    pub(super) fn until(self, most: Duration) -> Option<Instant> {
        Some(self.0? + most)
    }
}
