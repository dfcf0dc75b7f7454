//! `harness run`: a pipeline file and options to a plan, and the plan to a run.
//!
//! May touch: what the pipeline, the runner and the report touch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::args::{OnErrorArg, RunArgs};
use super::error::CliError;
use super::{options, signals};
use crate::exit::Exit;
use crate::metrics::{self, Numbers, Token};
use crate::pipeline::{self, Overrides, Surroundings};
use crate::report::{Report, Style, json_failed, out};
use crate::run::{self, Control, OnError, Plan, Until};

pub(super) fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let (style, verbosity) = options::style(args.view);
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => {
            if style == Style::Json {
                // Why it failed matters more than that nobody reads it.
                out::json_or_drop(&json_failed(&error.to_string(), error.exit()));
            }
            return Err(error);
        }
    };
    if style == Style::Json {
        out::json(&serde_json::json!({
            "event": "started", "pipeline": plan.name, "table": plan.table,
            "store": plan.store.to_string()
        }))?;
    }
    let control = Control::default();
    let report = Report::start(&plan.name, None, style, verbosity, &control);
    signals::watch(&control, &report)?;
    report.note(&format!("{}: into the table {} of {}", plan.name, plan.table, plan.store));
    if let Some(address) = plan.metrics {
        answer_metrics(address, args, &plan.name, &report)?;
    }
    let name = plan.name.clone();
    let result = run::execute(plan, control, Arc::new(report.clone()));
    report.tally().end(result.as_ref().err().map(ToString::to_string));
    let told = report.finish(&name, &result);
    result?;
    told?;
    Ok(Exit::Done)
}

/// Answers numbers and health until the process ends.
fn answer_metrics(
    address: SocketAddr,
    args: &RunArgs,
    name: &str,
    report: &Report,
) -> Result<(), CliError> {
    let token = args.metrics_token_file.as_deref().map(|path| {
        Token::read(path).map_err(|error| {
            let text = format!("read the token file {}: {error}", path.display());
            CliError::other(Exit::Config, text)
        })
    });
    let (name, tally) = (name.to_owned(), Arc::clone(report.tally()));
    let numbers = move || {
        let (name, now, lags) = (name.clone(), tally.snapshot(Instant::now()), tally.lags());
        vec![Numbers { name, now, lags }]
    };
    let bound =
        metrics::serve(address, token.transpose()?, Box::new(numbers)).map_err(|error| {
            CliError::other(Exit::Config, format!("cannot answer metrics at {address}: {error}"))
        })?;
    report.note(&format!("metrics at http://{bound}/metrics"));
    Ok(())
}

fn plan(args: &RunArgs) -> Result<Plan, CliError> {
    Ok(pipeline::load(&args.file, &overrides(args)?, &Surroundings::of_process())?)
}

fn overrides(args: &RunArgs) -> Result<Overrides, CliError> {
    let until = match (args.until_caught_up, args.batches) {
        (true, _) => Some(Until::CaughtUp),
        (false, Some(batches)) => Some(Until::Batches(batches)),
        (false, None) => None,
    };
    Ok(Overrides {
        store: args.store.named()?,
        store_password: args.store.password()?,
        table: args.table.clone(),
        tasks: args.tasks,
        leaves: args.leaves,
        leaf: args.leaf,
        batch_rows: args.batch_rows,
        batch_bytes: args.batch_bytes,
        batch_interval_ms: args.batch_interval_ms,
        start: args.start.clone(),
        end: args.end.clone(),
        on_error: args.on_error.map(|policy| match policy {
            OnErrorArg::Stop => OnError::Stop,
            OnErrorArg::Skip => OnError::Skip,
        }),
        retries: args.retries,
        pauses: None,
        extractor: args.extractor.clone(),
        until,
        metrics: args.metrics,
    })
}
