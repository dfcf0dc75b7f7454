//! `harness demo`: a topic or a stream of many records lands in a table, while a person watches.
//!
//! May touch: the store, Kafka through `broker` and `producer` alone, and Kinesis through `stream`. Invariants: it makes a
//! topic, a pipeline and a table of its own and removes nothing; what it says about the table is what
//! the database answered.

mod broker;
mod kinesis;
mod names;
mod pace;
mod producer;
mod record;
mod result;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::catalogue::Catalogue;
use crate::cli::{CliError, DemoArgs, DemoSource, view_style, watch_signals};
use crate::exit::Exit;
use crate::pipeline::{self, Document, Overrides, Surroundings};
use crate::report::{Report, Style, count, out};
use crate::run::{self, Control, Plan, Summary};
use crate::store::StoreUrl;

use broker::Broker;
use names::Names;
use pace::Pace;
use result::Asked;

/// The store where none was named.
const STORE: &str = "sqlite:s2x-demo.db";

/// How long nothing may be committed before the demo gives up.
const STILL_MAX: Duration = Duration::from_secs(120);

/// What was produced.
#[derive(Clone, Copy)]
struct Produced {
    /// Records that the server took.
    records: u64,
    /// They are all that was asked for, and the database says that it is past them.
    is_everything: bool,
}

/// Runs the demo.
///
/// # Errors
/// The store, the server, the extractor or the run fails, or the table is not what was produced.
pub(crate) fn demo(args: &DemoArgs) -> Result<Exit, CliError> {
    match args.source {
        DemoSource::Kafka => kafka(args),
        DemoSource::Kinesis => kinesis::demo(args),
    }
}

fn kafka(args: &DemoArgs) -> Result<Exit, CliError> {
    let url = store(args)?;
    let mut catalogue = Catalogue::open(Arc::new(url.clone()))?;
    let broker = Broker::start(args.bootstrap.as_deref())?;
    let names = Names::choose(&mut catalogue, args.bootstrap.is_some())?;
    let plan = plan(args, &names, &broker, &url)?;
    let (style, verbosity) = view_style(args.view);
    begin(args, &names, &broker, &url, style)?;

    let control = Control::default();
    broker.create_topic(&names.topic, args.partitions())?;
    let report = Report::start(&names.pipeline, Some(args.rows()), style, verbosity, &control);
    watch_signals(&control, &report)?;
    let pace = Pace::new(catalogue, &names.pipeline, broker.window_bytes());
    let (summary, produced) = produce_and_run(args, plan, &broker, pace, &control, &report)?;
    let asked = Asked::Topic;
    let outcome =
        result::Outcome { args, names: &names, url: &url, summary: &summary, produced, asked };
    outcome.tell(style)
}

fn store(args: &DemoArgs) -> Result<StoreUrl, CliError> {
    if args.store.store.is_none() && args.store.named()?.is_none() {
        return Ok(STORE.parse()?);
    }
    args.store.required()
}

/// The plan that a pipeline file of the same content would give.
fn plan(args: &DemoArgs, names: &Names, broker: &Broker, url: &StoreUrl) -> Result<Plan, CliError> {
    let text = json!({
        "name": names.pipeline,
        "config": {
            "connector.class": "kafka",
            "bootstrap.servers": broker.bootstrap(),
            "topics": names.topic,
            "value.format": "json",
            "table": names.table,
            "tasks.max": args.tasks,
            "batch.interval.ms": 200
        }
    });
    let surroundings = Surroundings::of_process();
    let document = Document::parse("the demo's pipeline", &text.to_string(), surroundings.env)?;
    let overrides = Overrides {
        store: Some(url.clone()),
        extractor: args.extractor.clone(),
        ..Overrides::default()
    };
    Ok(pipeline::plan(&document, &overrides, &surroundings)?)
}

/// Says what is about to happen.
fn begin(
    args: &DemoArgs,
    names: &Names,
    broker: &Broker,
    url: &StoreUrl,
    style: Style,
) -> Result<(), CliError> {
    match style {
        Style::Json => out::json(&json!({
            "event": "started", "pipeline": names.pipeline, "table": names.table,
            "store": url.to_string()
        }))?,
        Style::Progress => {
            out::note(&format!(
                "demo: {} records in {} partitions, produced while the pipeline runs",
                count(args.rows()),
                args.partitions()
            ));
            out::note(&format!("  from  topic {} of {}", names.topic, broker.describe()));
            out::note(&format!("  to    table {} of {url}", names.table));
        }
        Style::Quiet => {}
    }
    Ok(())
}

/// Produces in a thread while the pipeline runs; ends the run when all that was produced is
/// committed.
fn produce_and_run(
    args: &DemoArgs,
    plan: Plan,
    broker: &Broker,
    pace: Pace,
    control: &Control,
    report: &Report,
) -> Result<(Summary, Produced), CliError> {
    let ended = Arc::new(AtomicBool::new(false));
    let job = producer::Job {
        bootstrap: broker.bootstrap().to_owned(),
        topic: broker_topic(&plan),
        rows: args.rows(),
        partitions: args.partitions(),
        control: control.clone(),
        ended: Arc::clone(&ended),
    };
    let name = plan.name.clone();
    let producing = thread::Builder::new()
        .name("producer".to_owned())
        .spawn(move || job.run(pace))
        .map_err(|error| CliError::other(Exit::Resource, format!("start a thread: {error}")))?;
    let result = run::execute(plan, control.clone(), Arc::new(report.clone()));
    ended.store(true, Ordering::Release);
    let produced = producing
        .join()
        .map_err(|_| CliError::other(Exit::Internal, "the producer thread panicked"))?;
    let told = report.finish(&name, &result);
    match (result, produced) {
        // Why the producer ended the run says more than that the run was ended.
        (Err(run::RunError::Interrupted) | Ok(_), Err(error)) => Err(error),
        (Err(error), _) => Err(error.into()),
        (Ok(summary), Ok(produced)) => {
            told?;
            Ok((summary, produced))
        }
    }
}

fn broker_topic(plan: &Plan) -> String {
    plan.source.config.get("topics").and_then(|topic| topic.as_str()).unwrap_or_default().to_owned()
}
