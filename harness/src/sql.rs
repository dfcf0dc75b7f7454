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
mod host;
mod imports;
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

pub(crate) use background::Background;
pub use error::{Shown, SqlError};
pub(crate) use imports::Imported;
pub(crate) use lex::{Kind, Piece, SCRIPT_BYTES_MAX, Token};
pub(crate) use session::{Answer, HostAccess, Session, Wishes};

use crate::catalogue::{Catalogue, Files, Pipeline};
use crate::pipeline::{Overrides, Surroundings};
use crate::run::Plan;
use crate::store::StoreUrl;
use definition::Definition;
use secrets::Left;
use variables::Values;

/// Binds files of secrets of older programs to the pipelines that name them: see [`secrets::bind_older`].
///
/// # Errors
/// The database cannot be reached, or the store has no folder.
pub(crate) fn bind_older_secrets(
    catalogue: &mut Catalogue,
    url: &StoreUrl,
) -> Result<(), SqlError> {
    secrets::bind_older(catalogue, url, Surroundings::of_process().env)
}

/// Whether a script holds a statement that the harness itself answers.
pub(crate) fn has_own(script: &str, url: &StoreUrl) -> bool {
    lex::split(script, rules(url)).is_ok_and(|pieces| pieces.iter().any(|piece| piece.is_ours))
}

/// The statements of a script for this store.
///
/// # Errors
/// A string or a comment has no end.
pub(crate) fn split<'t>(
    name: &str,
    script: &'t str,
    url: &StoreUrl,
) -> Result<Vec<Piece<'t>>, SqlError> {
    lex::split(script, rules(url)).map_err(|error| error.shown(name, script))
}

/// Whether a text ends inside a statement: its semicolon, or the end of a string or comment, is still to come.
pub(crate) fn is_open(script: &str, url: &StoreUrl) -> bool {
    let rules = rules(url);
    let Ok(pieces) = lex::split(script, rules) else { return true };
    let Some(last) = pieces.last() else { return false };
    let rest = script.get(last.at + last.text.len()..).unwrap_or_default();
    !lex::tokens(rest, rules).first().is_some_and(|token| token.is(";"))
}

/// Whether a text may hold a secret: credentials, a key of CONFIG that looks like one, a user's password, or
/// anything that cannot be told.
pub(crate) fn may_hold_secret(script: &str, url: &StoreUrl) -> bool {
    let Ok(pieces) = lex::split(script, rules(url)) else { return true };
    pieces.iter().any(|piece| {
        let names_one = |token: &Token<'_>| {
            ["CREDENTIALS", "IDENTIFIED", "PASSWORD"].iter().any(|it| token.is(it))
        };
        piece.tokens.iter().any(names_one)
            || piece.is_ours && !redact::is_open_piece(piece, &is_open_config)
    })
}

/// Whether everything in the text of CONFIG may be shown.
fn is_open_config(text: &str) -> bool {
    let is_shown = |it: &crate::pipeline::Entry| crate::pipeline::is_open(&it.key, &it.written);
    crate::pipeline::entries(text).is_ok_and(|all| all.iter().all(is_shown))
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
    // How many leaves there are, the catalogue says.
    let leaves = overrides.leaves.or_else(|| Some(u64::from(pipeline.leaf_count)));
    let overrides = Overrides { leaves, ..overrides };
    let (table, surroundings) = (&pipeline.target_table, &surroundings);
    Definition::parse(name, text)?.plan(definition::Needs {
        name,
        table,
        overrides,
        values: &values,
        surroundings,
    })
}

/// Drops a pipeline with its secrets: in one transaction the pipeline goes and its file is noted, so that
/// the file goes with the next opening where this one is killed. Answers what a person should know of a file
/// that stays.
///
/// # Errors
/// The pipeline was altered since it was read, the database cannot be reached, or the file is there and cannot
/// be removed.
pub(crate) fn drop_pipeline(
    catalogue: &mut Catalogue,
    url: &StoreUrl,
    pipeline: &Pipeline,
) -> Result<Option<String>, SqlError> {
    let left = left_by(pipeline, url, &Surroundings::of_process())?;
    let files = Files { made: None, left: left.as_ref().and_then(Left::noted) };
    catalogue.drop_defined(pipeline, files)?;
    left.map_or(Ok(None), |left| left.let_go(catalogue))
}

/// The file of secrets that a pipeline names, which is about to name it no more.
fn left_by(
    pipeline: &Pipeline,
    url: &StoreUrl,
    surroundings: &Surroundings<'_>,
) -> Result<Option<Left>, SqlError> {
    let definition = pipeline.credentials.as_deref();
    let definition = definition.map(|text| Definition::parse(&pipeline.name, text)).transpose()?;
    let path = definition.and_then(|it| it.secrets_file);
    Ok(path.map(|path| Left::new(path, url, surroundings.env)))
}
