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

use serde_json::{Value, json};

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
    let plan = plan(args, &names, &config(args, &names, &broker), &url)?;
    let (style, verbosity) = view_style(args.view);
    begin(&names, &url, style, &lines(args, &names, &broker, &url))?;

    let control = Control::default();
    broker.create_topic(&names.topic, args.partitions())?;
    let report = Report::start(&names.pipeline, Some(args.rows()), style, verbosity, &control);
    watch_signals(&control, &report)?;
    let pace = Pace::new(catalogue, &names.pipeline, broker.window_bytes());
    let ended = Arc::new(AtomicBool::new(false));
    let job = producer::Job {
        bootstrap: broker.bootstrap().to_owned(),
        topic: names.topic.clone(),
        rows: args.rows(),
        partitions: args.partitions(),
        control: control.clone(),
        ended: Arc::clone(&ended),
    };
    let beside = Beside { plan, control: &control, report: &report, ended: &ended };
    let (summary, produced) = beside.run(move || (job.run(pace), ()), || ())?;
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

/// The CONFIG of the topic.
fn config(args: &DemoArgs, names: &Names, broker: &Broker) -> Value {
    json!({
        "connector.class": "kafka",
        "bootstrap.servers": broker.bootstrap(),
        "topics": names.topic,
        "value.format": "json",
        "table": names.table,
        "tasks.max": args.tasks,
        "batch.interval.ms": 200
    })
}

/// The plan that a pipeline file of the same content would give.
fn plan(args: &DemoArgs, names: &Names, config: &Value, url: &StoreUrl) -> Result<Plan, CliError> {
    let text = json!({"name": names.pipeline, "config": config}).to_string();
    let surroundings = Surroundings::of_process();
    let document = Document::parse("the demo's pipeline", &text, surroundings.env)?;
    let overrides = Overrides {
        store: Some(url.clone()),
        extractor: args.extractor.clone(),
        ..Overrides::default()
    };
    Ok(pipeline::plan(&document, &overrides, &surroundings)?)
}

/// Says what is about to happen: to a program where it lands, to a person these lines too.
fn begin(names: &Names, url: &StoreUrl, style: Style, lines: &[String]) -> Result<(), CliError> {
    match style {
        Style::Json => out::json(&json!({
            "event": "started", "pipeline": names.pipeline, "table": names.table,
            "store": url.to_string()
        }))?,
        Style::Progress => lines.iter().for_each(|line| out::note(line)),
        Style::Quiet => {}
    }
    Ok(())
}

/// What a person reads first.
fn lines(args: &DemoArgs, names: &Names, broker: &Broker, url: &StoreUrl) -> Vec<String> {
    vec![
        format!(
            "demo: {} records in {} partitions, produced while the pipeline runs",
            count(args.rows()),
            args.partitions()
        ),
        format!("  from  topic {} of {}", names.topic, broker.describe()),
        format!("  to    table {} of {url}", names.table),
    ]
}

/// A run, and what is produced beside it.
struct Beside<'a> {
    plan: Plan,
    control: &'a Control,
    report: &'a Report,
    /// Set when the run has ended, by itself or because the producer ended it.
    ended: &'a AtomicBool,
}

impl Beside<'_> {
    /// Runs the pipeline while a thread produces; calls `after` when the run has ended, before it
    /// waits for the thread. What the thread gives beside its result lives until then.
    fn run<T: Send + 'static, Kept: Send + 'static>(
        self,
        produce: impl FnOnce() -> (Result<T, CliError>, Kept) + Send + 'static,
        after: impl FnOnce(),
    ) -> Result<(Summary, T), CliError> {
        let name = self.plan.name.clone();
        let producing = thread::Builder::new()
            .name("producer".to_owned())
            .spawn(produce)
            .map_err(|error| CliError::other(Exit::Resource, format!("start a thread: {error}")))?;
        let result = run::execute(self.plan, self.control.clone(), Arc::new(self.report.clone()));
        self.ended.store(true, Ordering::Release);
        after();
        let (produced, _kept) = producing
            .join()
            .map_err(|_| CliError::other(Exit::Internal, "the producer thread panicked"))?;
        let told = self.report.finish(&name, &result);
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
}
