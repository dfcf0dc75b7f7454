//! Runs that leave nothing behind: does the source answer, where does it begin, what do its rows look like?
//!
//! May touch: a private temporary folder with an SQLite file, which goes away with the [`Probe`]. Invariant:
//! a probe is the same run as any other, into another store; the pipeline's own store is not written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::error::SqlError;
use crate::catalogue::{Catalogue, NewPipeline, Pipeline, Split};
use crate::exit::Exit;
use crate::report::Report;
use crate::route::Route;
use crate::run::Aside;
use crate::run::{self, Control, Event, Observer, Plan, Points, RunError, Until};
use crate::store::{Connect, RowSet, StoreUrl};

/// A scratch store and the plan of a pipeline that runs into it.
pub(crate) struct Probe {
    plan: Plan,
    catalogue: Catalogue,
    control: Control,
    report: Report,
    /// Goes last: it holds the file.
    _folder: TempDir,
}

/// What the source said about its splits.
pub(crate) struct Found {
    pub(crate) splits: Vec<Split>,
    pub(crate) incarnation: String,
}

impl Probe {
    /// A probe of this plan. It ends with `control`; warnings go to `report`.
    ///
    /// # Errors
    /// There is no room for the scratch store.
    pub(crate) fn new(plan: &Plan, control: &Control, report: &Report) -> Result<Self, SqlError> {
        let folder = tempfile::Builder::new().prefix("s2x-").tempdir().map_err(|error| {
            SqlError::Refused(Exit::Resource, format!("make a temporary folder: {error}"))
        })?;
        let store = StoreUrl::Sqlite { path: folder.path().join("probe.db") };
        let catalogue = Catalogue::open(Arc::new(store.clone()))?;
        let aside = Aside::default();
        let route = Route::plain(&plan.table);
        let mut plan = Plan { store, definition: None, end: None, aside, route, ..plan.clone() };
        plan.is_probe = true;
        plan.share.leaves = 1;
        plan.share.leaf = None;
        plan.share.tasks = 1;
        let control = control.child();
        Ok(Self { plan, catalogue, control, report: report.clone(), _folder: folder })
    }

    /// Asks the source for its splits, and where they are at `start`.
    ///
    /// # Errors
    /// The source does not answer, refuses the login, has no such topic, or the configuration is wrong.
    pub(crate) fn splits(mut self, start: Option<Points>) -> Result<Found, SqlError> {
        self.plan.start = start.or_else(|| self.plan.start.take());
        self.plan.until = Until::Stopped;
        // Everything that is asked here was answered by the time that this event comes.
        self.run(|event| matches!(event, Event::Discovered { .. }))?;
        let pipeline = self.pipeline()?;
        let splits = self.catalogue.splits(pipeline.id)?;
        Ok(Found { splits, incarnation: pipeline.incarnation.unwrap_or_default() })
    }

    /// At most `limit` rows that come next where a pipeline stands.
    ///
    /// # Errors
    /// As [`Self::splits`]; or a record is not what was declared.
    pub(crate) fn rows(
        mut self,
        incarnation: Option<&str>,
        from: &[Split],
        limit: u64,
    ) -> Result<RowSet, SqlError> {
        self.plan.limits.rows = limit;
        self.plan.until = Until::CaughtUp;
        if !from.is_empty() {
            let created = self.catalogue.create_pipeline(&NewPipeline {
                name: &self.plan.name,
                config_json: &self.plan.source.redacted_json,
                credentials: None,
                target_table: &self.plan.table,
                leaf_count: 1,
                tasks_max: 1,
            })?;
            let id = created.into_pipeline().id;
            let values: Vec<(&str, &str)> =
                from.iter().map(|split| (split.key.as_str(), split.value.as_str())).collect();
            self.catalogue.insert_splits(id, &values)?;
            self.catalogue.set_incarnation(id, incarnation.unwrap_or_default())?;
            self.plan.start = None;
        }
        let rows = AtomicU64::new(0);
        self.run(move |event| match event {
            Event::Committed(batch) => {
                rows.fetch_add(batch.rows, Ordering::AcqRel) + batch.rows >= limit
            }
            _ => false,
        })?;
        let mut store = self.plan.store.connect()?;
        let table = store.dialect().quote(&self.plan.table);
        Ok(store.run(&format!("SELECT topic, id, record FROM {table} LIMIT {limit}"))?)
    }

    /// Runs until `is_enough` says so of an event, or the run ends by itself.
    fn run(
        &self,
        is_enough: impl Fn(&Event) -> bool + Send + Sync + 'static,
    ) -> Result<(), SqlError> {
        let watch = Watch { is_enough, control: self.control.child(), report: self.report.clone() };
        let control = watch.control.clone();
        run::execute(self.plan.clone(), control, Arc::new(watch))?;
        if self.control.is_draining() {
            return Err(RunError::Interrupted.into());
        }
        Ok(())
    }

    fn pipeline(&mut self) -> Result<Pipeline, SqlError> {
        let found = self.catalogue.pipeline(&self.plan.name)?;
        let missing = || RunError::Internal("a probe left no pipeline".to_owned());
        Ok(found.ok_or_else(missing)?)
    }
}

/// Ends a run at an event.
struct Watch<F> {
    is_enough: F,
    control: Control,
    report: Report,
}

impl<F: Fn(&Event) -> bool + Send + Sync> Observer for Watch<F> {
    fn event(&self, event: &Event) {
        if (self.is_enough)(event) {
            self.control.drain();
        }
        self.report.event(event);
    }
}
