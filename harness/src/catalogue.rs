//! The catalogue: which pipelines there are, and where each of their splits stands.
//!
//! Touches the database through `Store` alone. It lives in the database of the target tables, so that one
//! transaction covers rows and offsets. Invariants: every change of an offset outside a load takes the
//! next epoch of its pipeline and writes it into the rows, so that an older owner loses its next
//! swap; a pipeline's id is never used twice; no value is ever null.
//!
//! Lock order: the catalogue's own row, where a pipeline is made; offset rows that exist, by key hash; then
//! the pipeline's row; then its leaves. What locks no offset row that exists starts at the pipeline's row:
//! claims, and the insert of new splits. Such an insert can meet the lock that fencing holds on the range of a
//! pipeline's offsets; the server then ends one of the two, which `attempt` runs again.

mod alter;
mod audit;
mod claims;
mod ends;
mod heartbeats;
mod ids;
mod lag;
mod pipelines;
mod record;
mod report;
mod schema;
mod secret_files;
mod splits;
mod views;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::store::{Connect, Store, StoreError, StoreErrorKind};

pub(crate) use alter::Altered;
pub use audit::{AuditEntry, ENTRIES_KEPT};
pub(crate) use audit::{EntryId, NewEntry};
pub use claims::Claim;
pub use ends::Ends;
pub(crate) use heartbeats::{First, beat, fall_silent};
pub use heartbeats::{Heartbeat, Pulse};
pub(crate) use ids::{NONCE_LEN, fresh, fresh_name, hex, key_hash, now_us, us};
pub(crate) use lag::note_lags;
pub use lag::{Behind, SplitLag};
pub use record::{
    Batch, BatchState, Creation, ErrorEntry, ErrorKind, ErrorRow, NewPipeline, Pipeline,
    PipelineState, Split,
};
pub use report::{BATCHES_KEPT_DEFAULT, FailedBatch, VARIABLE_BATCHES_KEPT};
pub(crate) use report::{
    NewBatch, Numbers, Trace, batches_kept, insert_batch, insert_errors, insert_history,
    next_batch, prune_batches, prune_history,
};
pub use schema::CATALOGUE_VERSION;
pub(crate) use schema::{TABLES, version};
pub(crate) use secret_files::Files;
pub use splits::{KEY_LEN_MAX, SPLITS_MAX, TakenEpoch, VALUE_LEN_MAX};
pub(crate) use splits::{Places, check_key, check_value};
pub use views::VIEWS;

/// How often one piece of work is tried when the connection or a lock is lost.
///
/// Why 5: with the pauses below it rides out a restart of the server of about two seconds; a longer
/// absence is the caller's to wait for.
const ATTEMPTS_MAX: u32 = 5;

/// A connection attempt that fails after this time hung, and is not made again at once.
///
/// Why 5 s: a server that starts refuses connections within milliseconds; one that is cut off says nothing for
/// the ten seconds that an attempt is given. Who can wait longer does so, and says what for.
const SILENCE: Duration = Duration::from_secs(5);

/// The first pause between attempts; each next one is twice as long, with jitter.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// The catalogue over one connection, which it opens again when it is lost.
///
/// Every method that writes may be sent again: doing it twice leaves what doing it once leaves, or takes
/// one more epoch.
pub struct Catalogue {
    connect: Arc<dyn Connect>,
    store: Option<Box<dyn Store>>,
    notice: Option<String>,
    attempts_max: u32,
}

impl Catalogue {
    /// Connects, and makes or upgrades the catalogue's tables.
    ///
    /// # Errors
    /// The database cannot be reached, or its catalogue is newer than this program.
    pub fn open(connect: Arc<dyn Connect>) -> Result<Self, StoreError> {
        let mut catalogue = Self::new(connect);
        catalogue.notice = catalogue.read("open the catalogue", schema::migrate)?;
        Ok(catalogue)
    }

    fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect, store: None, notice: None, attempts_max: ATTEMPTS_MAX }
    }

    /// As [`Self::open`], for last words: everything is tried once, so that a run whose database is gone ends soon.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn for_last_words(connect: Arc<dyn Connect>) -> Result<Self, StoreError> {
        let mut catalogue = Self { attempts_max: 1, ..Self::new(connect) };
        catalogue.read("open the catalogue", schema::migrate)?;
        Ok(catalogue)
    }

    /// What follows is tried once.
    pub(crate) fn says_last_words(&mut self) {
        self.attempts_max = 1;
    }

    /// What a person should know of how it was opened; told once.
    pub(crate) fn take_notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    /// The catalogue as it stands, of a connection that may not be able to write: nothing is made or
    /// upgraded.
    ///
    /// # Errors
    /// The database cannot be reached, or has no catalogue of this program's version.
    pub(crate) fn of_current(connect: Arc<dyn Connect>) -> Result<Self, StoreError> {
        let mut catalogue = Self::new(connect);
        match catalogue.read("look at the catalogue", version)? {
            Some(CATALOGUE_VERSION) => Ok(catalogue),
            Some(older) => Err(StoreError::new(
                StoreErrorKind::Schema,
                format!(
                    "the catalogue has version {older} and this program {CATALOGUE_VERSION}; harness \
                     status upgrades it"
                ),
            )),
            None => Err(StoreError::new(
                StoreErrorKind::Schema,
                "the database has no catalogue: no pipeline has run into it yet",
            )),
        }
    }

    /// The connection, for statements that belong to no transaction of the catalogue.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn store(&mut self) -> Result<&mut dyn Store, StoreError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.connect.connect()?,
        };
        Ok(self.store.insert(store).as_mut())
    }

    /// Runs `work` outside a transaction, again when the connection is lost.
    pub(crate) fn read<T>(
        &mut self,
        doing: &str,
        work: impl Fn(&mut dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.attempt(doing, work)
    }

    /// Runs `work` in a transaction and commits it, again when the connection or a lock is lost.
    pub(crate) fn transact<T>(
        &mut self,
        doing: &str,
        work: impl Fn(&mut dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.attempt(doing, |store| {
            store.begin()?;
            let done = work(store)?;
            store.commit()?;
            Ok(done)
        })
    }

    fn attempt<T>(
        &mut self,
        doing: &str,
        work: impl Fn(&mut dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut pause = PAUSE_FIRST;
        for attempt in 1.. {
            let asked = Instant::now();
            let error = match self.store().and_then(&work) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            // What a connection holds after an error is unknown: roll back and let go of it.
            if let Some(mut store) = self.store.take() {
                drop(store.rollback());
            }
            // A server that gave no answer at all was waited for already.
            let is_cut_off = error.is_unreachable() && asked.elapsed() >= SILENCE;
            if !error.is_transient() || is_cut_off || attempt >= self.attempts_max {
                return Err(error.context(doing));
            }
            thread::sleep(pause.mul_f64(0.5 + fastrand::f64()));
            pause *= 2;
        }
        Err(StoreError::internal("attempts ended without an answer"))
    }
}

#[cfg(test)]
mod tests;
