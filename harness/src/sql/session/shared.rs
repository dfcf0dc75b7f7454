//! What servers and prompts need of a session beyond scripts: answers as they come, pipelines that outlive it.
//!
//! May touch: what sessions touch. Invariant: a statement goes through the same checks, whoever asks for it.

use std::sync::Arc;

use super::{Begun, HostAccess, Session, with_slip};
use crate::run::Control;
use crate::sql::definition::Definition;
use crate::sql::error::SqlError;
use crate::sql::lex::Piece;
use crate::sql::session::Answer;
use crate::sql::{host, secrets};
use crate::store::{Answers, Interrupt, Param};

impl Session {
    /// Refuses a definition of the catalogue that reaches more of this machine than this session may.
    ///
    /// # Errors
    /// It does; what it names is told.
    pub(in crate::sql) fn require_confined(
        &self,
        name: &str,
        definition: &Definition,
    ) -> Result<(), SqlError> {
        if self.wishes.host == HostAccess::Allowed {
            return Ok(());
        }
        let folder = secrets::folder(&self.wishes.url, self.surroundings.env)?;
        host::require_confined_definition(definition, &folder)
            .map_err(|error| SqlError::refused(format!("pipeline {name}: {error}")))
    }

    /// Runs one statement of a script; `to` takes an answer of the database as it comes, with the `params` of
    /// a prepared statement. What the harness answers itself is given back.
    ///
    /// # Errors
    /// As [`Self::script`]; or `to` takes no more.
    pub(crate) fn answer(
        &mut self,
        script: &str,
        piece: &Piece<'_>,
        params: Option<&[Param<'_>]>,
        to: &mut dyn Answers,
    ) -> Result<Option<Answer>, SqlError> {
        match self.begin("statement", script, piece)? {
            Begun::Answered(answer) => Ok(Some(answer)),
            Begun::ForDatabase(text) => {
                let done = self.store()?.answer(&text, params, to);
                done.map(|()| None).map_err(|error| with_slip(error, piece))
            }
        }
    }

    /// How many `?` a statement has for values.
    ///
    /// # Errors
    /// The database refuses it.
    pub(crate) fn parameters(&mut self, piece: &Piece<'_>) -> Result<usize, SqlError> {
        if piece.is_ours {
            return Ok(0);
        }
        let text = self.for_database(piece)?;
        self.store()?.parameters(&text).map_err(|error| with_slip(error, piece))
    }

    /// What ends the statement that the database runs for this session.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn interrupter(&mut self) -> Result<Option<Arc<dyn Interrupt>>, SqlError> {
        Ok(self.store()?.interrupter())
    }

    /// The statements that come now end with `control`, too; pipelines that they start do not.
    pub(crate) fn run_under(&mut self, control: &Control) {
        self.control = control.clone();
    }

    /// The names of the pipelines, where the catalogue is open and can tell.
    pub(crate) fn pipeline_names(&mut self) -> Vec<String> {
        let Some(catalogue) = &mut self.catalogue else { return Vec::new() };
        let pipelines = catalogue.pipelines().unwrap_or_default();
        pipelines.into_iter().map(|it| it.name).collect()
    }

    /// The names of the pipelines that run in this process.
    pub(crate) fn running(&self) -> Vec<String> {
        self.running.names()
    }

    /// Waits for the end of the pipelines that were started.
    ///
    /// # Errors
    /// The first of them that failed.
    pub(crate) fn end(&self) -> Result<(), SqlError> {
        self.running.wait()
    }
}
