//! `harness doctor`: every check as one line, the first failure with what to do about it.
//!
//! May touch: what the checks touch; stdout. Invariant: the exit code is that of the first failure.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use console::style;
use serde_json::json;

use super::args::DoctorArgs;
use super::error::CliError;
use crate::catalogue::Catalogue;
use crate::doctor::{self, Check, Outcome, Stage};
use crate::exit::Exit;
use crate::pipeline::{self, Overrides, PipelineError, Surroundings};
use crate::report::out;
use crate::run::Plan;
use crate::sql::{self, SqlError};
use crate::store::Untouched;

/// Width of the column of names; the longest is `database address`.
const NAME_WIDTH: usize = 16;

pub(super) fn doctor(args: &DoctorArgs) -> Result<Exit, CliError> {
    let checks = checks(args)?;
    let mut exit = Exit::Done;
    for check in &checks {
        let is_first = exit == Exit::Done;
        if let Outcome::Failed { exit: code, .. } = &check.outcome
            && is_first
        {
            exit = *code;
        }
        match args.json {
            true => out::json(&json_of(check))?,
            false => lines(check, is_first).iter().try_for_each(|line| out::line(line))?,
        }
    }
    Ok(exit)
}

fn checks(args: &DoctorArgs) -> Result<Vec<Check>, CliError> {
    let path = Path::new(&args.pipeline);
    let is_file = path.exists()
        || path.extension().is_some_and(|it| it == "json" || it == "properties")
        || args.pipeline.contains('/');
    let mut overrides = Overrides {
        store: args.store.named()?,
        store_password: args.store.password()?,
        extractor: args.extractor.clone(),
        ..Overrides::default()
    };
    let made = match is_file {
        true => with_extractor(&mut overrides, |it| {
            pipeline::load(path, &it, &Surroundings::of_process()).map_err(CliError::from)
        }),
        false => stored(args, &mut overrides),
    };
    let (plan, no_extractor) = match made {
        Ok(made) => made,
        Err(error) => {
            let remedy = "correct what the line names";
            let failed = Check::failed(Stage::Pipeline, error.exit(), error.to_string(), remedy);
            let mut checks = vec![failed];
            doctor::skip_all(&mut checks);
            return Ok(checks);
        }
    };
    let found = format!("{}, into the table {} of {}", plan.name, plan.table, plan.store);
    let mut checks =
        vec![Check { stage: Stage::Pipeline, outcome: Outcome::Good(out::one_line(&found)) }];
    checks.extend(doctor::examine(&plan, no_extractor.as_ref()));
    Ok(checks)
}

/// A pipeline of the catalogue, which is not upgraded for it.
fn stored(
    args: &DoctorArgs,
    overrides: &mut Overrides,
) -> Result<(Plan, Option<PipelineError>), CliError> {
    let url = args.store.existing()?;
    let mut catalogue = Catalogue::of_current(Arc::new(Untouched(url.clone())))?;
    overrides.store = Some(url);
    with_extractor(overrides, |it| {
        sql::stored_plan(&mut catalogue, &args.pipeline, it).map_err(CliError::from)
    })
}

/// The plan; where no extractor is found, why, and a plan that names a program in its place, which is never
/// started.
fn with_extractor(
    overrides: &mut Overrides,
    mut plan: impl FnMut(Overrides) -> Result<Plan, CliError>,
) -> Result<(Plan, Option<PipelineError>), CliError> {
    let why = match plan(overrides.clone()) {
        Ok(made) => return Ok((made, None)),
        Err(
            CliError::Pipeline(why @ PipelineError::NoExtractor(_))
            | CliError::Sql(SqlError::Pipeline(why @ PipelineError::NoExtractor(_))),
        ) => why,
        Err(error) => return Err(error),
    };
    overrides.extractor = Some(std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/")));
    Ok((plan(overrides.clone())?, Some(why)))
}

/// A check as people read it; the remedy stands below the first failure.
fn lines(check: &Check, is_first: bool) -> Vec<String> {
    let name = format!("{:<NAME_WIDTH$}", check.stage.name());
    let line = |word: String, text: &str| format!("{word}  {name}  {}", out::one_line(text));
    match &check.outcome {
        Outcome::Good(text) => vec![line(style("ok  ").green().to_string(), text)],
        Outcome::Skipped(why) => {
            vec![line(style("-   ").dim().to_string(), &format!("not checked: {why}"))]
        }
        Outcome::Failed { text, remedy, .. } => {
            let mut lines = vec![line(style("FAIL").red().bold().to_string(), text)];
            if is_first {
                let arrow = style("to do:").cyan().bold();
                lines.push(format!("{:1$}{arrow} {2}", "", 8 + NAME_WIDTH, out::one_line(remedy)));
            }
            lines
        }
    }
}

fn json_of(check: &Check) -> serde_json::Value {
    let id = check.stage.id();
    match &check.outcome {
        Outcome::Good(text) => json!({"check": id, "outcome": "ok", "text": text}),
        Outcome::Skipped(why) => json!({"check": id, "outcome": "not_checked", "text": why}),
        Outcome::Failed { exit, text, remedy } => json!({
            "check": id, "outcome": "failed", "text": text, "remedy": remedy, "exit": exit.code()
        }),
    }
}
