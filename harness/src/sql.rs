//! Pipeline SQL: the statements of SingleStore's documentation that a database without pipelines does not know.
//!
//! ```text
//! script ─► lex (statements) ─┬─► grammar ─► statement ─► session ─► catalogue, runs, probes
//!                             └─► views ─► the database
//! ```
//!
//! A pipeline that SQL creates is kept as a definition in the catalogue; its plan is made by
//! [`pipeline::plan`](crate::pipeline::plan), as that of a pipeline file.

mod background;
mod definition;
mod error;
mod grammar;
mod lex;
mod offsets;
mod probe;
mod redact;
mod secrets;
mod session;
mod statement;
mod variables;
mod verbs;
mod views;

pub use error::{Shown, SqlError};
pub(crate) use lex::SCRIPT_BYTES_MAX;
pub(crate) use session::{Answer, Session, Wishes};

use crate::catalogue::{Catalogue, Pipeline};
use crate::exit::Exit;
use crate::pipeline::{Overrides, Surroundings};
use crate::run::Plan;
use crate::store::StoreUrl;
use definition::Definition;
use variables::Values;

/// Whether a script holds a statement that the harness itself answers.
pub(crate) fn has_own(script: &str, url: &StoreUrl) -> bool {
    lex::split(script, rules(url)).is_ok_and(|pieces| pieces.iter().any(|piece| piece.is_ours))
}

/// How a store reads strings and comments.
fn rules(url: &StoreUrl) -> lex::Rules {
    match url {
        StoreUrl::Sqlite { .. } => lex::Rules::Sqlite,
        StoreUrl::Server(_) => lex::Rules::Server,
    }
}

/// The plan of a pipeline that was created by SQL.
///
/// # Errors
/// It was created from a file, or its definition cannot work.
pub(crate) fn stored_plan(
    catalogue: &mut Catalogue,
    name: &str,
    overrides: Overrides,
) -> Result<Plan, SqlError> {
    let Some(pipeline) = catalogue.pipeline(name)? else {
        return Err(SqlError::refused(format!(
            "there is no pipeline {name}; SHOW PIPELINES lists them"
        )));
    };
    let Some(text) = &pipeline.credentials else {
        return Err(SqlError::refused(format!(
            "pipeline {name} was created by harness run from a file; name that file"
        )));
    };
    let values = Values::of(catalogue.variables()?);
    let surroundings = Surroundings::of_process();
    let (table, surroundings) = (&pipeline.target_table, &surroundings);
    Definition::parse(name, text)?.plan(definition::Needs {
        name,
        table,
        overrides,
        values: &values,
        surroundings,
    })
}

/// Removes the secrets of a pipeline that was dropped.
///
/// # Errors
/// They are there and cannot be removed.
pub(crate) fn forget_secrets(pipeline: &Pipeline) -> Result<(), SqlError> {
    let Some(text) = &pipeline.credentials else { return Ok(()) };
    let Some(path) = Definition::parse(&pipeline.name, text)?.secrets_file else { return Ok(()) };
    secrets::remove(&path).map_err(|error| {
        let text = format!("cannot remove {path}: {error}; remove it by hand");
        SqlError::Refused(Exit::Resource, text)
    })
}
