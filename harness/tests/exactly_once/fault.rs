//! A connection that breaks on purpose at one verb, once. The code under test does not know.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::store::{
    Answers, Connect, Dialect, LoadMethod, Param, RowSet, Rows, Store, StoreError, StoreErrorKind,
    Transaction,
};

/// Before or after which verb something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Begin,
    /// The swap of an offset.
    Swap,
    Load,
    /// The line of the history.
    History,
    Commit,
}

/// What happens.
pub(crate) enum Fault {
    /// The connection is gone before the verb reaches the server.
    LostBefore,
    /// The connection is gone after the server has done the verb.
    LostAfter,
    /// The server forgets the transaction after the verb and tells nobody.
    Forgotten,
    /// The database refuses the verb, and the rollback that follows never reaches it.
    RefusedAndStuck,
    /// This process is killed before the verb.
    Killed,
    /// Nothing breaks: someone is told, and given a moment to get in between.
    Announced(SyncSender<()>),
    /// The connection is gone before the verb for this host; the server still has it, and someone who
    /// holds the slot decides how it goes on.
    Detached(Arc<Mutex<Option<Box<dyn Store>>>>),
}

/// Opens connections of which one breaks.
pub(crate) struct Breaking {
    inner: Arc<dyn Connect>,
    plan: Arc<Mutex<Option<(Verb, Fault)>>>,
}

impl Breaking {
    pub(crate) fn at(inner: Arc<dyn Connect>, verb: Verb, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner, plan: Arc::new(Mutex::new(Some((verb, fault)))) })
    }

    pub(crate) fn announcing(inner: Arc<dyn Connect>, verb: Verb, to: SyncSender<()>) -> Arc<Self> {
        Self::at(inner, verb, Fault::Announced(to))
    }

    /// Plans another fault.
    pub(crate) fn plan_again(&self, verb: Verb, fault: Fault) {
        *self.plan.lock().expect("the plan") = Some((verb, fault));
    }

    /// Whether the fault has happened.
    pub(crate) fn is_spent(&self) -> bool {
        self.plan.lock().expect("the plan").is_none()
    }
}

impl Connect for Breaking {
    fn connect(&self) -> Result<Box<dyn Store>, StoreError> {
        let inner = self.inner.connect()?;
        let (dialect, database) = (inner.dialect(), inner.database().to_owned());
        let method = inner.load_method();
        let inner = Some(inner);
        let plan = Arc::clone(&self.plan);
        Ok(Box::new(BreakingStore { inner, plan, dialect, database, method, stuck: false }))
    }
}

struct BreakingStore {
    inner: Option<Box<dyn Store>>,
    plan: Arc<Mutex<Option<(Verb, Fault)>>>,
    dialect: Dialect,
    database: String,
    method: LoadMethod,
    stuck: bool,
}

fn lost() -> StoreError {
    StoreError::new(StoreErrorKind::Transient, "the connection was lost (by the test)")
}

impl BreakingStore {
    /// Runs one verb with what the plan has for it.
    fn through<T>(
        &mut self,
        verb: Option<Verb>,
        call: impl FnOnce(&mut dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let fault = {
            let mut plan = self.plan.lock().expect("the plan");
            match plan.as_ref() {
                Some((planned, _)) if Some(*planned) == verb => plan.take(),
                Some(_) | None => None,
            }
        };
        let inner = self.inner.as_mut().ok_or_else(lost)?;
        match fault.map(|(_, fault)| fault) {
            None => call(inner.as_mut()),
            Some(Fault::LostBefore) => {
                self.inner = None;
                Err(lost())
            }
            Some(Fault::LostAfter) => {
                call(inner.as_mut()).expect("the server does it");
                self.inner = None;
                Err(lost())
            }
            Some(Fault::Forgotten) => {
                let done = call(inner.as_mut());
                inner.run("ROLLBACK").expect("the server forgets");
                done
            }
            Some(Fault::RefusedAndStuck) => {
                self.stuck = true;
                let kind = StoreErrorKind::Data { row: None };
                Err(StoreError::new(kind, "refused (by the test)"))
            }
            Some(Fault::Killed) => {
                let this = nix::unistd::Pid::this();
                nix::sys::signal::kill(this, nix::sys::signal::Signal::SIGKILL).expect("kills");
                unreachable!("killed");
            }
            Some(Fault::Announced(to)) => {
                to.send(()).expect("someone listens");
                // Long enough for the other one to be waiting for our row; a deadlock needs both.
                std::thread::sleep(Duration::from_millis(500));
                call(inner.as_mut())
            }
            Some(Fault::Detached(slot)) => {
                *slot.lock().expect("the slot") = self.inner.take();
                Err(lost())
            }
        }
    }
}

impl Store for BreakingStore {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn database(&self) -> &str {
        &self.database
    }

    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        let verb = if sql.starts_with("UPDATE s2x_offsets SET value_text") {
            Some(Verb::Swap)
        } else if sql.starts_with("INSERT INTO s2x_offset_history") {
            Some(Verb::History)
        } else {
            None
        };
        self.through(verb, |store| store.execute(sql, params))
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowSet, StoreError> {
        self.through(None, |store| store.query(sql, params))
    }

    fn run(&mut self, sql: &str) -> Result<RowSet, StoreError> {
        self.through(None, |store| store.run(sql))
    }

    fn answer(
        &mut self,
        sql: &str,
        params: Option<&[Param<'_>]>,
        to: &mut dyn Answers,
    ) -> Result<(), StoreError> {
        self.through(None, |store| store.answer(sql, params, to))
    }

    fn parameters(&mut self, sql: &str) -> Result<usize, StoreError> {
        self.through(None, |store| store.parameters(sql))
    }

    fn confine(&mut self) -> Result<(), StoreError> {
        self.through(None, |store| store.confine())
    }

    fn shown(&self) -> String {
        self.inner.as_ref().map_or_else(String::new, |store| store.shown())
    }

    fn values_bytes_max(&self) -> usize {
        self.inner.as_ref().map_or(usize::MAX, |store| store.values_bytes_max())
    }

    fn warning(&mut self) -> Result<Option<StoreError>, StoreError> {
        self.through(None, |store| store.warning())
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.through(Some(Verb::Begin), |store| store.begin())
    }

    fn load(
        &mut self,
        table: &str,
        rows: &dyn Rows,
        method: LoadMethod,
    ) -> Result<u64, StoreError> {
        self.through(Some(Verb::Load), |store| store.load(table, rows, method))
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.through(Some(Verb::Commit), |store| store.commit())
    }

    fn rollback(&mut self) -> Result<(), StoreError> {
        if self.stuck {
            self.stuck = false;
            return Err(lost());
        }
        self.through(None, |store| store.rollback())
    }

    fn in_transaction(&mut self) -> Result<Transaction, StoreError> {
        self.through(None, |store| store.in_transaction())
    }

    fn load_method(&self) -> LoadMethod {
        self.method
    }
}
