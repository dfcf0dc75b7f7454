//! Statements one after the other: the harness's own here, all others to the database.
//!
//! May touch: the store and its catalogue, and what runs of pipelines touch. Invariants: a pipeline statement
//! commits what the person's connection has open, as documented; no SQLite file is made by looking.

mod revive;
mod shared;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::background::Background;
use super::definition::{Definition, Needs};
use super::error::SqlError;
use super::lex::{self, Piece};
use super::statement::{Assignment, Statement, Which};
use super::variables::{self, Values};
use super::{grammar, redact, secrets, views};
use crate::audit;
use crate::catalogue::{Catalogue, Pipeline, PipelineState};
use crate::pipeline::{Overrides, Surroundings, nearest};
use crate::report::{Report, Style, Verbosity};
use crate::run::{Control, Plan, PooledFor, Until};
use crate::store::{
    Cell, CellRow, Connect, Dialect, RowSet, SERVER_FUNCTIONS, ServerCode, Store, StoreError,
    StoreErrorKind, StoreUrl, ToRead, Transaction,
};

/// How the statements are to be run.
pub(crate) struct Wishes {
    /// Where the catalogue and the tables are.
    pub(crate) url: StoreUrl,
    /// The program that reads sources.
    pub(crate) extractor: Option<PathBuf>,
    /// Pipelines end when everything is read.
    pub(crate) until_caught_up: bool,
    /// Leaves of the pipelines that are made here; one where nothing is said.
    pub(crate) leaves: Option<u32>,
    /// The one leaf, from 0, that this process runs, and how many there are; all of them otherwise.
    pub(crate) leaf: Option<(u32, u32)>,
    pub(crate) style: Style,
    pub(crate) verbosity: Verbosity,
    /// What a statement may reach of this machine.
    pub(crate) host: HostAccess,
    /// Who sends the statements, where it is not the user of this process; for the audit log.
    pub(crate) client: Option<String>,
}

/// What a statement may reach of the machine that it runs on, next to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostAccess {
    /// Files, environment and programs: whoever writes statements could open them anyway.
    Allowed,
    /// Nothing.
    Refused,
}

/// What a statement answers.
pub(crate) enum Answer {
    Rows(RowSet),
    /// One line that says what was done.
    Done(String),
}

/// Whose a statement is.
enum Begun {
    Answered(Answer),
    /// Its text, for the database.
    ForDatabase(String),
}

/// A connection to a store, with the pipelines that run beside it.
pub(crate) struct Session {
    pub(super) wishes: Wishes,
    /// Ends the statement that runs.
    pub(super) control: Control,
    /// Ends the pipelines that were started.
    pub(super) root: Control,
    /// Shows warnings.
    pub(super) report: Report,
    pub(super) running: Background,
    pub(super) surroundings: Surroundings<'static>,
    store: Option<Box<dyn Store>>,
    catalogue: Option<Catalogue>,
}

impl Session {
    /// A session; nothing is opened before the first statement. It ends with `control`.
    pub(crate) fn new(wishes: Wishes, control: &Control) -> Self {
        Self::beside(wishes, control, Background::default())
    }

    /// A session whose pipelines are those of others too.
    pub(crate) fn beside(wishes: Wishes, control: &Control, running: Background) -> Self {
        let report = Report::start("sql", None, Style::Quiet, wishes.verbosity, control);
        Self {
            wishes,
            control: control.clone(),
            root: control.clone(),
            report,
            running,
            surroundings: Surroundings::of_process(),
            store: None,
            catalogue: None,
        }
    }

    /// Runs every statement of a script, which errors call by `name`.
    ///
    /// # Errors
    /// The first statement that fails; the ones before it have been run.
    pub(crate) fn script<E: From<SqlError>>(
        &mut self,
        name: &str,
        script: &str,
        tell: &mut dyn FnMut(Answer) -> Result<(), E>,
    ) -> Result<(), E> {
        let pieces = lex::split(script, super::rules(&self.wishes.url))
            .map_err(|error| error.shown(name, script))?;
        for piece in &pieces {
            if self.control.is_draining() {
                return Ok(());
            }
            let done = self.statement(name, script, piece)?;
            tell(done)?;
        }
        Ok(())
    }

    /// Makes SingleStore's functions on JSON on a server that lacks them; SQLite's connections have them.
    ///
    /// # Errors
    /// The user may not make functions, or the database cannot be reached.
    pub(crate) fn create_functions(&mut self) -> Result<(), SqlError> {
        let store = self.store()?;
        if matches!(store.dialect(), Dialect::Sqlite | Dialect::SingleStore) {
            return Ok(());
        }
        for (name, body) in SERVER_FUNCTIONS {
            let doing = format!("create the function {name}");
            let fail = |error: StoreError| SqlError::from(error.context(&doing));
            // MySQL has no OR REPLACE for functions.
            store.run(&format!("DROP FUNCTION IF EXISTS {name}")).map_err(fail)?;
            store.run(&format!("CREATE FUNCTION {name} {body}")).map_err(fail)?;
        }
        Ok(())
    }

    /// Waits for the pipelines that were started.
    ///
    /// # Errors
    /// The first of them that failed.
    pub(crate) fn finish(&mut self) -> Result<(), SqlError> {
        let names = self.running.names();
        if !names.is_empty() && !self.wishes.until_caught_up && self.wishes.style != Style::Quiet {
            let text = format!("{} running in this process; Ctrl-C stops", names.join(", "));
            crate::report::out::note(&text);
        }
        self.running.wait()
    }

    /// Ends what was started, because a statement failed.
    pub(crate) fn give_up(&mut self) {
        self.running.drain();
        // The statement's own failure is the one to tell.
        drop(self.running.wait());
    }

    fn statement(
        &mut self,
        name: &str,
        script: &str,
        piece: &Piece<'_>,
    ) -> Result<Answer, SqlError> {
        match self.begin(name, script, piece)? {
            Begun::Answered(answer) => Ok(answer),
            Begun::ForDatabase(text) => {
                let answer = self.store()?.run(&text);
                answer.map(Answer::Rows).map_err(|error| with_slip(error, piece))
            }
        }
    }

    /// Answers what is the harness's own.
    fn begin(&mut self, name: &str, script: &str, piece: &Piece<'_>) -> Result<Begun, SqlError> {
        if piece.is_ours {
            let parsed = grammar::parse(piece).map_err(|error| error.shown(name, script))?;
            self.commit_open(&parsed)?;
            return self.audited(name, script, piece, parsed).map(Begun::Answered);
        }
        if let Ok(Statement::ShowVariables { like }) = grammar::parse(piece)
            && let Some(answer) = self.show_variables(piece, like.as_deref())?
        {
            return Ok(Begun::Answered(Answer::Rows(answer)));
        }
        if lex::is_load_local(piece) {
            // A server would ask for the file, get an empty one, and say that all went well.
            let text = "LOAD DATA LOCAL reads a file of the client, which is not handed on; use LOAD DATA \
                        INFILE with a file of the database server, or INSERT";
            let code = ServerCode::new(1148, *b"42000");
            return Err(StoreError::new(StoreErrorKind::Config, text).with_code(Some(code)).into());
        }
        self.for_database(piece).map(Begun::ForDatabase)
    }

    /// The statement as the database gets it.
    fn for_database(&mut self, piece: &Piece<'_>) -> Result<String, SqlError> {
        let store = self.store()?;
        let (dialect, database) = (store.dialect(), store.database().to_owned());
        Ok(views::mapped(piece, dialect, &database))
    }

    /// A statement that changes something is written down first, and how it ended after.
    fn audited(
        &mut self,
        name: &str,
        script: &str,
        piece: &Piece<'_>,
        parsed: Statement,
    ) -> Result<Answer, SqlError> {
        if !redact::changes(&parsed) {
            return self.own(name, script, parsed);
        }
        let client = self.wishes.client.clone();
        let entry = audit::begin(self.catalogue()?, &redact::redacted(piece), client.as_deref())?;
        let done = self.own(name, script, parsed);
        audit::end(self.catalogue()?, entry, &done);
        done
    }

    fn own(&mut self, name: &str, script: &str, parsed: Statement) -> Result<Answer, SqlError> {
        let done = |text: String| Ok(Answer::Done(text));
        match parsed {
            Statement::SetGlobal(assignments) => {
                self.set_variables(name, script, &assignments).and_then(done)
            }
            Statement::ShowVariables { like } => {
                let values = self.values()?;
                Ok(Answer::Rows(variable_rows(values.like(like.as_deref()))))
            }
            Statement::Create(create) => self.create(name, script, &create).and_then(done),
            Statement::Infer(load) => self.infer(name, script, &load).map(Answer::Rows),
            Statement::Start { which, is_lenient, how } => {
                self.start(&which, is_lenient, how).and_then(done)
            }
            Statement::Stop { which, is_lenient, is_detached } => {
                self.stop(&which, is_lenient, is_detached).and_then(done)
            }
            Statement::Detach { name, if_exists } => self.detach(&name, if_exists).and_then(done),
            Statement::FlushExtractors => self.flush().and_then(done),
            Statement::Test { name, limit } => self.test(&name, limit).map(Answer::Rows),
            Statement::Alter { name: pipeline, changes } => {
                self.alter(name, script, &pipeline, &changes).and_then(done)
            }
            Statement::Drop { name, if_exists } => {
                self.drop_pipeline(&name, if_exists).and_then(done)
            }
            Statement::ShowPipelines => self.show_pipelines().map(Answer::Rows),
            Statement::ShowCreate { name } => self.show_create(&name).map(Answer::Rows),
            Statement::ClearErrors => {
                let cleared = self.catalogue()?.clear_errors()?;
                done(format!("{} cleared", crate::report::counted(cleared, "error", "errors")))
            }
        }
    }

    fn set_variables(
        &mut self,
        name: &str,
        script: &str,
        assignments: &[Assignment],
    ) -> Result<String, SqlError> {
        let mut notes = Vec::new();
        for assignment in assignments {
            let at = assignment.at;
            let checked = variables::known(&assignment.name)
                .and_then(|it| Ok((it, it.checked(&assignment.value)?)));
            let (variable, value) = checked
                .map_err(|message| super::error::Syntax { at, message }.shown(name, script))?;
            self.catalogue()?.set_variable(variable.name, &value)?;
            notes.push(match variable.is_used {
                true => format!("{} is {value}", variable.name),
                false => format!("{} is {value}, which nothing here reads", variable.name),
            });
        }
        Ok(notes.join("; "))
    }

    /// The person's connection, which is opened once and makes no SQLite file.
    pub(crate) fn store(&mut self) -> Result<&mut dyn Store, SqlError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => {
                if let StoreUrl::Sqlite { path } = &self.wishes.url
                    && !path.exists()
                {
                    let text =
                        format!("{} does not exist; name the file of a store", path.display());
                    return Err(SqlError::refused(text));
                }
                let mut store = ToRead(self.wishes.url.clone()).connect()?;
                if self.wishes.host == HostAccess::Refused {
                    store.confine()?;
                }
                store
            }
        };
        Ok(self.store.insert(store).as_mut())
    }

    /// The catalogue, made where there is none.
    pub(super) fn catalogue(&mut self) -> Result<&mut Catalogue, SqlError> {
        let catalogue = match self.catalogue.take() {
            Some(catalogue) => catalogue,
            None => {
                let mut opened = Catalogue::open(Arc::new(self.wishes.url.clone()))?;
                if let Some(notice) = opened.take_notice() {
                    self.report.warn(&notice);
                }
                // What cannot be tidied up now is the next opening's; the statement does not depend on it.
                drop(secrets::sweep(&mut opened, &self.wishes.url, self.surroundings.env));
                if self.wishes.host == HostAccess::Allowed {
                    // A file that stays unbound is told when it is to be read.
                    let env = self.surroundings.env;
                    drop(secrets::bind_older(&mut opened, &self.wishes.url, env));
                }
                opened
            }
        };
        Ok(self.catalogue.insert(catalogue))
    }

    /// Pipeline statements commit, as the documentation says; what only looks does not.
    fn commit_open(&mut self, statement: &Statement) -> Result<(), SqlError> {
        let Some(store) = self.store.as_mut().filter(|_| redact::changes(statement)) else {
            return Ok(());
        };
        match store.dialect() {
            Dialect::Sqlite if store.in_transaction()? == Transaction::Ended => {}
            _ => store.commit()?,
        }
        Ok(())
    }

    /// The values of the variables.
    pub(super) fn values(&mut self) -> Result<Values, SqlError> {
        Ok(Values::of(self.catalogue()?.variables()?))
    }

    /// SHOW VARIABLES: the harness's own where the pattern asks for them, and the server's.
    fn show_variables(
        &mut self,
        piece: &Piece<'_>,
        like: Option<&str>,
    ) -> Result<Option<RowSet>, SqlError> {
        let is_sqlite = matches!(self.wishes.url, StoreUrl::Sqlite { .. });
        if Values::default().like(like).is_empty() && !is_sqlite {
            return Ok(None);
        }
        let own = self.values()?.like(like);
        if is_sqlite {
            return Ok(Some(variable_rows(own)));
        }
        let mut all: BTreeMap<String, CellRow> = BTreeMap::new();
        let theirs = self.store()?.run(piece.text)?;
        for row in theirs.rows.into_iter().chain(variable_rows(own).rows) {
            all.insert(row.text(0)?.to_ascii_lowercase(), row);
        }
        let rows = all.into_values().collect();
        Ok(Some(RowSet { columns: variable_rows(Vec::new()).columns, rows, affected: 0 }))
    }

    fn show_pipelines(&mut self) -> Result<RowSet, SqlError> {
        let catalogue = self.catalogue()?;
        let database = catalogue.store()?.database().to_owned();
        let pipelines = catalogue.pipelines()?;
        let row = |it: Pipeline| {
            CellRow(vec![Cell::Text(it.name), Cell::Text(it.state.as_str().to_owned())])
        };
        let columns = vec![format!("Pipelines_in_{database}"), "State".to_owned()];
        Ok(RowSet { columns, rows: pipelines.into_iter().map(row).collect(), affected: 0 })
    }

    fn show_create(&mut self, name: &str) -> Result<RowSet, SqlError> {
        let (pipeline, definition) = self.defined(name)?;
        let text = definition.create_statement(name, &pipeline.target_table);
        let columns = vec!["Pipeline".to_owned(), "Create Pipeline".to_owned()];
        let row = CellRow(vec![Cell::Text(name.to_owned()), Cell::Text(text)]);
        Ok(RowSet { columns, rows: vec![row], affected: 0 })
    }

    /// The pipeline of that name.
    ///
    /// # Errors
    /// There is none; those that there are, are named.
    pub(super) fn pipeline(&mut self, name: &str) -> Result<Pipeline, SqlError> {
        let catalogue = self.catalogue()?;
        if let Some(pipeline) = catalogue.pipeline(name)? {
            return Ok(pipeline);
        }
        let names: Vec<String> = catalogue.pipelines()?.into_iter().map(|it| it.name).collect();
        let there = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None if names.is_empty() => "there are none".to_owned(),
            None => "SHOW PIPELINES lists them".to_owned(),
        };
        Err(SqlError::refused(format!("no pipeline {name} in {}; {there}", self.wishes.url)))
    }

    /// The pipeline of that name and how it was created by SQL.
    pub(super) fn defined(&mut self, name: &str) -> Result<(Pipeline, Definition), SqlError> {
        let pipeline = self.pipeline(name)?;
        let Some(text) = &pipeline.credentials else {
            return Err(SqlError::refused(format!(
                "pipeline {name} was created by harness run from a file, and is run and stopped by it"
            )));
        };
        let definition = Definition::parse(name, text)?;
        Ok((pipeline, definition))
    }

    /// The plan of a run of a pipeline that is there: its count of leaves is the catalogue's.
    pub(super) fn plan_of(
        &mut self,
        pipeline: &Pipeline,
        definition: &Definition,
        until: Until,
    ) -> Result<Plan, SqlError> {
        self.require_confined(&pipeline.name, definition)?;
        let leaves = Some(pipeline.leaf_count);
        let plan =
            self.plan(&pipeline.name, &pipeline.target_table, definition, (until, leaves))?;
        let pooled = Some(PooledFor { id: pipeline.id, definition: definition.text() });
        Ok(Plan { pooled, ..plan })
    }

    /// The plan of a run of a definition: until when, by how many leaves.
    pub(super) fn plan(
        &mut self,
        name: &str,
        table: &str,
        definition: &Definition,
        (until, leaves): (Until, Option<u32>),
    ) -> Result<Plan, SqlError> {
        let values = self.values()?;
        let overrides = Overrides {
            store: Some(self.wishes.url.clone()),
            extractor: self.wishes.extractor.clone(),
            until: Some(until),
            leaves: leaves.map(u64::from),
            leaf: self.wishes.leaf,
            ..Overrides::default()
        };
        let surroundings = &self.surroundings;
        definition.plan(Needs { name, table, overrides, values: &values, surroundings })
    }

    /// The names of the pipelines that a statement is about.
    pub(super) fn named(&mut self, which: &Which) -> Result<Vec<String>, SqlError> {
        let fits = |it: &Pipeline| match which {
            Which::One(name) => it.name == *name,
            Which::All => it.credentials.is_some(),
            Which::Failed => it.credentials.is_some() && it.state == PipelineState::Error,
        };
        if let Which::One(name) = which {
            return Ok(vec![name.clone()]);
        }
        Ok(self.catalogue()?.pipelines()?.into_iter().filter(fits).map(|it| it.name).collect())
    }
}

fn variable_rows(values: Vec<(&'static str, String)>) -> RowSet {
    let row = |(name, value): (&str, String)| {
        CellRow(vec![Cell::Text(name.to_owned()), Cell::Text(value)])
    };
    let columns = vec!["Variable_name".to_owned(), "Value".to_owned()];
    RowSet { columns, rows: values.into_iter().map(row).collect(), affected: 0 }
}

/// The error of a statement that may have been meant for the harness.
fn with_slip(error: StoreError, piece: &Piece<'_>) -> SqlError {
    match slip(piece) {
        Some(word) if error.kind() == StoreErrorKind::Schema => {
            error.advised(format_args!("did you mean {word}?")).into()
        }
        _ => error.into(),
    }
}

/// A word that makes a statement the harness's own, where one of the first words looks as if it was meant.
fn slip(piece: &Piece<'_>) -> Option<&'static str> {
    const WORDS: [&str; 3] = ["PIPELINE", "PIPELINES", "INFERRED"];
    piece.tokens.iter().take(6).find_map(|token| {
        let found = nearest(&token.text.to_ascii_uppercase(), WORDS.into_iter())?;
        WORDS.into_iter().find(|word| *word == found && !token.is(word))
    })
}
