//! What pipeline statements do: create, start, stop, test, alter, drop.
//!
//! May touch: the catalogue, runs and probes, the file of secrets. Invariants: nothing is made for a pipeline
//! that cannot work; a pipeline that is replaced or dropped takes its file of secrets along, and never its
//! table.

use std::sync::Arc;

use super::definition::Definition;
use super::error::{SqlError, Syntax};
use super::probe::Probe;
use super::secrets::{self, Secrets};
use super::session::Session;
use super::statement::{Change, Create, How, Load, Offsets, Which};
use super::variables::{FEATURES, FEATURES_ON};
use super::{offsets, statement};
use crate::catalogue::{Creation, NewPipeline, Pipeline, PipelineState, Split};
use crate::report::{Report, counted};
use crate::run::{self, Plan, Until};
use crate::store::{Cell, CellRow, RowSet, StoreErrorKind, static_table_ddl};

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
        definition.secrets_file = secrets.write()?;
        let made = self.create_defined(create, &definition, existing);
        if made.is_err() {
            self.remove_secrets(&definition);
        }
        made
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
        let folder = secrets::folder(&self.wishes.url, self.surroundings.env)?;
        let mut secrets = Secrets::in_folder(&folder);
        let shown = |error: Syntax| error.shown(source, script);
        let definition =
            Definition::of(load, is_inferred, &mut secrets, &self.surroundings, &shown)?;
        Ok((definition, secrets))
    }

    fn create_defined(
        &mut self,
        create: &Create,
        definition: &Definition,
        existing: Option<Pipeline>,
    ) -> Result<String, SqlError> {
        let name = &create.name;
        let table = create.load.table.as_ref().unwrap_or(name);
        let plan = self.plan(name, table, definition, Until::Stopped)?;
        if !create.is_inferred {
            self.require_table(table)?;
        }
        if let Err(error) = self.probe(&plan)?.splits(None) {
            if !create.force {
                return Err(error);
            }
            self.report.warn(&format!("{error}; {name} is created in spite of that"));
        }
        if let Some(existing) = existing {
            self.forget(&existing)?;
        }
        self.catalogue()?.ensure_table(table)?;
        let created = self.catalogue()?.create_pipeline(&NewPipeline {
            name,
            config_json: &plan.source.redacted_json,
            credentials: plan.definition.as_deref(),
            target_table: table,
            leaf_count: plan.share.leaves,
            tasks_max: plan.share.tasks,
        })?;
        match created {
            Creation::Created(_) => {
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

    fn probe(&self, plan: &Plan) -> Result<Probe, SqlError> {
        Probe::new(plan, &self.control, &self.report)
    }

    /// Drops a pipeline, whoever runs it, with its secrets.
    fn forget(&mut self, pipeline: &Pipeline) -> Result<(), SqlError> {
        // How its last run ended does not matter any more.
        drop(self.running.stop(&pipeline.name));
        self.catalogue()?.drop_pipeline(&pipeline.name)?;
        super::forget_secrets(pipeline)
    }

    fn remove_secrets(&self, definition: &Definition) {
        let Some(path) = &definition.secrets_file else { return };
        if let Err(error) = secrets::remove(path) {
            self.report.warn(&format!("cannot remove {path}: {error}; remove it by hand"));
        }
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
        self.forget(&pipeline)?;
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
            if self.running.has(&name) || pipeline.state == PipelineState::Running {
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
            let plan = self.plan(&name, &pipeline.target_table, &definition, until)?;
            match how {
                How::Background => {
                    self.running.start(plan, &self.control, &self.report)?;
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

    pub(super) fn stop(&mut self, which: &Which, is_lenient: bool) -> Result<String, SqlError> {
        let mut told = Vec::new();
        for name in self.named(which)? {
            let (pipeline, _) = self.defined(&name)?;
            if self.running.stop(&name)? {
                told.push(format!("pipeline {name} is stopped"));
            } else if pipeline.state == PipelineState::Running {
                self.catalogue()?.set_state(pipeline.id, PipelineState::Stopped, None)?;
                told.push(format!(
                    "pipeline {name} is stopped; a process that runs it ends within seconds"
                ));
            } else if !is_lenient {
                return Err(SqlError::refused(format!(
                    "pipeline {name} is not running, its state is {}",
                    pipeline.state.as_str()
                )));
            }
        }
        Ok(if told.is_empty() { "no pipeline was running".to_owned() } else { told.join("; ") })
    }

    pub(super) fn test(&mut self, name: &str, limit: u64) -> Result<RowSet, SqlError> {
        let (pipeline, definition) = self.defined(name)?;
        let plan = self.plan(name, &pipeline.target_table, &definition, Until::CaughtUp)?;
        let splits = self.catalogue()?.splits(pipeline.id)?;
        self.probe(&plan)?.rows(pipeline.incarnation.as_deref(), &splits, limit)
    }

    pub(super) fn alter(
        &mut self,
        source: &str,
        script: &str,
        name: &str,
        changes: &[Change],
    ) -> Result<String, SqlError> {
        let (pipeline, mut definition) = self.defined(name)?;
        let mut told = Vec::new();
        let older = definition.clauses.clone();
        for change in changes {
            if let Change::Clauses(clauses) = change {
                definition.clauses = clauses.clone().over(definition.clauses);
            }
        }
        let table = &pipeline.target_table;
        let plan = self.plan(name, table, &definition, Until::Stopped)?;
        if definition.clauses != older {
            let text = definition.text();
            let config_json = &plan.source.redacted_json;
            let tasks = plan.share.tasks;
            self.catalogue()?.alter_config(pipeline.id, config_json, Some(&text), tasks)?;
            told.push("its clauses hold from its next start on".to_owned());
        }
        for change in changes {
            let Change::Offsets(wanted) = change else { continue };
            let shown = |error: Syntax| error.shown(source, script);
            let splits = self.set_offsets(&pipeline, &plan, wanted, &shown)?;
            told.push(format!("{} set", counted(splits as u64, "offset is", "offsets are")));
        }
        Ok(format!("pipeline {name} is altered: {}", told.join("; ")))
    }

    /// Moves a pipeline; answers how many splits were moved.
    fn set_offsets(
        &mut self,
        pipeline: &Pipeline,
        plan: &Plan,
        wanted: &Offsets,
        shown: &dyn Fn(Syntax) -> SqlError,
    ) -> Result<usize, SqlError> {
        let known = self.catalogue()?.splits(pipeline.id)?;
        let (splits, incarnation) = match wanted {
            Offsets::Points(points) => {
                let found = self.probe(plan)?.splits(Some(points.clone()))?;
                (found.splits, Some(found.incarnation))
            }
            Offsets::Json(json) if known.is_empty() => {
                // What the JSON does not name begins where the pipeline says.
                let found = self.probe(plan)?.splits(None)?;
                (offsets::moved(json, &found.splits, true).map_err(shown)?, Some(found.incarnation))
            }
            Offsets::Json(json) => (offsets::moved(json, &known, false).map_err(shown)?, None),
        };
        let values: Vec<(&str, &str)> =
            splits.iter().map(|split: &Split| (split.key.as_str(), split.value.as_str())).collect();
        let catalogue = self.catalogue()?;
        catalogue.set_offsets(pipeline.id, &values)?;
        if let Some(incarnation) = incarnation {
            catalogue.set_incarnation(pipeline.id, &incarnation)?;
        }
        Ok(splits.len())
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
