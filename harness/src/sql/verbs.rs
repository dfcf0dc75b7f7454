//! What pipeline statements do: create, start, stop, test, alter, drop.
//!
//! May touch: the catalogue, runs and probes, the file of secrets. Invariants: nothing is made for a pipeline
//! that cannot work; a pipeline is replaced in one transaction; one that is replaced or dropped takes its file of
//! secrets along, and never its table; a file that a pipeline may name is never removed.

mod alter;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::definition::Definition;
use super::error::{SqlError, Syntax};
use super::host;
use super::probe::Probe;
use super::secrets::{self, Kept, Left, Secrets};
use super::session::{HostAccess, Session};
use super::statement::{self, Create, How, Load, Which};
use super::variables::{FEATURES, FEATURES_ON};
use crate::catalogue::{Creation, Files, NewPipeline, Pipeline, PipelineState};
use crate::exit::Exit;
use crate::report::{Report, counted};
use crate::run::{self, Plan, Until};
use crate::store::{Cell, CellRow, RowSet, StoreErrorKind, static_table_ddl};

/// How long FLUSH EXTRACTOR POOLS waits. Why 60 s: an extractor ends between two batches, and a batch that is
/// being loaded is waited for.
const FLUSH_WAIT: Duration = Duration::from_secs(60);

/// How often it looks.
const FLUSH_TICK: Duration = Duration::from_millis(20);

/// Names in what INFER PIPELINE answers, as the documentation has them.
const INFERRED_TABLE: &str = "infer_example_table";
const INFERRED_PIPELINE: &str = "infer_example_pipeline";

impl Session {
    pub(super) fn create(
        &mut self,
        source: &str,
        script: &str,
        create: &Create,
    ) -> Result<String, SqlError> {
        let name = &create.name;
        let existing = self.catalogue()?.pipeline(name)?;
        if existing.is_some() && create.if_not_exists {
            return Ok(format!("pipeline {name} is there already and stays as it is"));
        }
        if existing.is_some() && !create.or_replace {
            return Err(SqlError::refused(format!(
                "pipeline {name} is there already; CREATE OR REPLACE PIPELINE replaces it and forgets its \
                 offsets"
            )));
        }
        let (mut definition, secrets) =
            self.definition(source, script, &create.load, create.is_inferred)?;
        let kept = self.keep(&secrets, &definition)?;
        definition.secrets_file = kept.as_ref().map(|kept| kept.path().to_owned());
        let made = self.create_defined(create, &definition, existing.as_ref());
        if made.is_err() {
            self.discard(kept);
        }
        made
    }

    /// Writes the secrets of a definition into their file, which is noted before.
    fn keep(
        &mut self,
        secrets: &Secrets,
        of_definition: &Definition,
    ) -> Result<Option<Kept>, SqlError> {
        let of = secrets::store_name(&self.wishes.url);
        let catalogue = self.catalogue()?;
        secrets.write(&of_definition.binding(), &mut |path| catalogue.note_secret_file(path, &of))
    }

    /// Removes the file of a pipeline that was not made. Where the database does not say whether it was, the
    /// file stays: a later opening that knows removes it.
    fn discard(&mut self, kept: Option<Kept>) {
        let Some(kept) = kept else { return };
        let Ok(catalogue) = self.catalogue() else { return };
        if let Err(error @ SqlError::Refused(..)) = secrets::let_go(catalogue, kept.path()) {
            self.report.warn(&error.to_string());
        }
    }

    /// Removes a file that no pipeline names any more; one that stays is told.
    fn let_go(&mut self, left: Option<Left>) {
        let Some(left) = left else { return };
        match self.catalogue().and_then(|catalogue| left.let_go(catalogue)) {
            Ok(None) => {}
            Ok(Some(note)) => self.report.warn(&note),
            Err(error) => self.report.warn(&error.to_string()),
        }
    }

    fn definition(
        &mut self,
        source: &str,
        script: &str,
        load: &Load,
        is_inferred: bool,
    ) -> Result<(Definition, Secrets), SqlError> {
        if load.source == statement::SourceWord::KafkaConnect && !self.values()?.has_kafka_connect()
        {
            return Err(SqlError::refused(format!(
                "Kafka Connect pipelines are off; SET GLOBAL {FEATURES} = \"{FEATURES_ON}\" turns them on"
            )));
        }
        let shown = |error: Syntax| error.shown(source, script);
        if self.wishes.host == HostAccess::Refused {
            host::require_confined(load, &shown)?;
        }
        let folder = secrets::folder(&self.wishes.url, self.surroundings.env)?;
        let mut secrets = Secrets::in_folder(&folder);
        let definition =
            Definition::of(load, is_inferred, &mut secrets, &self.surroundings, &shown)?;
        Ok((definition, secrets))
    }

    fn create_defined(
        &mut self,
        create: &Create,
        definition: &Definition,
        existing: Option<&Pipeline>,
    ) -> Result<String, SqlError> {
        let name = &create.name;
        let table = create.load.table.as_ref().unwrap_or(name);
        let plan = self.plan(name, table, definition, (Until::Stopped, self.wishes.leaves))?;
        let is_used = plan.route.used().any(|(place, _)| place == 0);
        if !create.is_inferred && is_used {
            self.require_table(table)?;
        }
        if let Err(error) = self.probe(&plan)?.splits(None) {
            if !create.force {
                return Err(error);
            }
            self.report.warn(&format!("{error}; {name} is created in spite of that"));
        }
        self.catalogue()?.ensure_route(&plan.route)?;
        let left = existing
            .map(|it| super::left_by(it, &self.wishes.url, &self.surroundings))
            .transpose()?
            .flatten();
        if existing.is_some() {
            // How its last run ended does not matter any more.
            drop(self.running.stop(name));
        }
        if let Some(pipeline) = existing {
            self.control.pool().let_go(pipeline.id);
        }
        let files = Files {
            made: definition.secrets_file.as_deref(),
            left: left.as_ref().and_then(Left::noted),
        };
        let new = NewPipeline {
            name,
            config_json: &plan.source.redacted_json,
            credentials: plan.definition.as_deref(),
            target_table: table,
            leaf_count: plan.share.leaves,
            tasks_max: plan.share.tasks,
        };
        match self.catalogue()?.define_pipeline(&new, existing, files)? {
            Creation::Created(_) => {
                self.let_go(left);
                Ok(format!("pipeline {name} is created, stopped; START PIPELINE {name} starts it"))
            }
            Creation::Existed(_) => {
                Err(SqlError::refused(format!("somebody else created pipeline {name} meanwhile")))
            }
        }
    }

    /// A pipeline that is not inferred loads into a table that is there.
    fn require_table(&mut self, table: &str) -> Result<(), SqlError> {
        let store = self.catalogue()?.store()?;
        let sql = format!("SELECT 1 FROM {} WHERE 1 = 0", store.dialect().quote(table));
        match store.query(&sql, &[]) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == StoreErrorKind::Schema => {
                Err(SqlError::refused(format!(
                    "there is no table {table}; create it first, or use CREATE INFERRED PIPELINE"
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn probe(&self, plan: &Plan) -> Result<Probe, SqlError> {
        Probe::new(plan, &self.control, &self.report)
    }

    pub(super) fn drop_pipeline(
        &mut self,
        name: &str,
        if_exists: bool,
    ) -> Result<String, SqlError> {
        if if_exists && self.catalogue()?.pipeline(name)?.is_none() {
            return Ok(format!("there is no pipeline {name}"));
        }
        let pipeline = self.pipeline(name)?;
        // How its last run ended does not matter any more.
        drop(self.running.stop(name));
        self.control.pool().let_go(pipeline.id);
        let url = self.wishes.url.clone();
        if let Some(note) = super::drop_pipeline(self.catalogue()?, &url, &pipeline)? {
            self.report.warn(&note);
        }
        let table = &pipeline.target_table;
        Ok(format!("pipeline {name} and its offsets are dropped; the table {table} keeps its rows"))
    }

    pub(super) fn start(
        &mut self,
        which: &Which,
        is_lenient: bool,
        how: How,
    ) -> Result<String, SqlError> {
        let mut told = Vec::new();
        for name in self.named(which)? {
            let (pipeline, definition) = self.defined(&name)?;
            // The leaves of a pipeline are started one by one.
            let is_taken = pipeline.state == PipelineState::Running && self.wishes.leaf.is_none();
            if self.running.has(&name) || is_taken {
                if is_lenient {
                    told.push(format!("{name} is running already"));
                    continue;
                }
                return Err(SqlError::refused(format!(
                    "pipeline {name} is running already; where the process that ran it was killed, STOP \
                     PIPELINE {name} first"
                )));
            }
            // A run of this process that ended by itself was told by its state.
            drop(self.running.stop(&name));
            let until = match how {
                How::Foreground { batches: Some(batches) } => Until::Batches(batches),
                How::Foreground { batches: None } => Until::CaughtUp,
                How::Background if self.wishes.until_caught_up => Until::CaughtUp,
                How::Background => Until::Stopped,
            };
            let plan = self.plan_of(&pipeline, &definition, until)?;
            match how {
                How::Background => {
                    self.running.start(plan, (&self.root, &self.control), &self.report)?;
                    told.push(format!("pipeline {name} is started"));
                }
                How::Foreground { .. } => told.push(self.run(plan)?),
            }
        }
        Ok(if told.is_empty() { "no pipeline to start".to_owned() } else { told.join("; ") })
    }

    /// Runs a pipeline while the statement waits.
    fn run(&self, plan: Plan) -> Result<String, SqlError> {
        let name = plan.name.clone();
        let (style, verbosity) = (self.wishes.style, self.wishes.verbosity);
        let control = self.control.child();
        let report = Report::start(&name, None, style, verbosity, &control);
        let result = run::execute(plan, control, Arc::new(report.clone()));
        // The numbers are told below; why a line cannot be written is told by the answer's own.
        report.stop();
        let summary = result?;
        Ok(crate::report::summary_text(&name, &summary))
    }

    pub(super) fn stop(
        &mut self,
        which: &Which,
        is_lenient: bool,
        is_detached: bool,
    ) -> Result<String, SqlError> {
        let (to, word) = match is_detached {
            true => (PipelineState::Detached, "detached"),
            false => (PipelineState::Stopped, "stopped"),
        };
        let mut told = Vec::new();
        for name in self.named(which)? {
            let (pipeline, _) = self.defined(&name)?;
            let was_here = self.running.stop(&name)?;
            if was_here || pipeline.state == PipelineState::Running {
                self.catalogue()?.set_state(pipeline.id, to, None)?;
                let elsewhere =
                    if was_here { "" } else { "; a process that runs it ends within seconds" };
                told.push(format!("pipeline {name} is {word}{elsewhere}"));
            } else if !is_lenient {
                return Err(SqlError::refused(format!(
                    "pipeline {name} is not running, its state is {}",
                    pipeline.state.as_str()
                )));
            }
        }
        Ok(if told.is_empty() { "no pipeline was running".to_owned() } else { told.join("; ") })
    }

    /// DETACH PIPELINE: as STOP … DETACH, of one that does not run as well.
    pub(super) fn detach(&mut self, name: &str, if_exists: bool) -> Result<String, SqlError> {
        if if_exists && self.catalogue()?.pipeline(name)?.is_none() {
            return Ok(format!("there is no pipeline {name}"));
        }
        let (pipeline, _) = self.defined(name)?;
        self.running.stop(name)?;
        self.catalogue()?.set_state(pipeline.id, PipelineState::Detached, None)?;
        Ok(format!("pipeline {name} is detached; START PIPELINE {name} goes on from its offsets"))
    }

    /// FLUSH EXTRACTOR POOLS: every extractor of this process ends between two batches, and its task goes on
    /// with a new one.
    pub(super) fn flush(&self) -> Result<String, SqlError> {
        let living = self.control.living();
        let count = living.flush();
        let until = Instant::now() + FLUSH_WAIT;
        while living.flushed_left() > 0 && !self.control.is_draining() {
            if Instant::now() > until {
                let text = format!(
                    "{} of {count} extractors have not ended within {} s: their batches are being loaded; \
                     they end when that is done",
                    living.flushed_left(),
                    FLUSH_WAIT.as_secs()
                );
                return Err(SqlError::Refused(Exit::Transient, text));
            }
            thread::sleep(FLUSH_TICK);
        }
        let ended = counted(count as u64, "extractor has", "extractors have");
        Ok(format!("{ended} ended; pipelines that run in this process go on with new ones"))
    }

    pub(super) fn test(&mut self, name: &str, limit: u64) -> Result<RowSet, SqlError> {
        let (pipeline, definition) = self.defined(name)?;
        let plan = self.plan_of(&pipeline, &definition, Until::CaughtUp)?;
        let splits = self.catalogue()?.splits(pipeline.id)?;
        self.probe(&plan)?.rows(pipeline.incarnation.as_deref(), &splits, limit)
    }

    pub(super) fn infer(
        &mut self,
        source: &str,
        script: &str,
        load: &Load,
    ) -> Result<RowSet, SqlError> {
        let (mut definition, secrets) = self.definition(source, script, load, false)?;
        // Nothing is written: the path only tells which values are secrets.
        definition.secrets_file = Some(secrets.path());
        let dialect = self.catalogue()?.store()?.dialect();
        let table = static_table_ddl(dialect, INFERRED_TABLE);
        let pipeline = definition.create_statement(INFERRED_PIPELINE, INFERRED_TABLE);
        let text = format!("{};\n{pipeline};", table.trim_end_matches(';'));
        let row = CellRow(vec![Cell::Text(text)]);
        Ok(RowSet { columns: vec!["Inferred".to_owned()], rows: vec![row], affected: 0 })
    }
}
