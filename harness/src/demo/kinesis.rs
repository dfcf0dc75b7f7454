//! `harness demo kinesis`: a stream of many records, one of whose shards is split on the way, lands
//! in a table through the CONFIG of SingleStore's documentation.
//!
//! May touch: the store, and the server through `stream`. Invariants: as in `demo`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::names::Names;
use super::result::{Asked, Outcome};
use super::stream::{Filled, Said, Stream};
use super::{Produced, STILL_MAX, store};
use crate::catalogue::Catalogue;
use crate::cli::{CliError, DemoArgs, view_style, watch_signals};
use crate::exit::Exit;
use crate::pipeline::{self, Document, Overrides, Surroundings};
use crate::report::{Report, Style, count, out};
use crate::run::{self, Control, Plan, Summary};
use crate::store::StoreUrl;

/// The time between two looks at the store.
const LOOK: Duration = Duration::from_millis(50);

/// What was put, by shard; empty until everything was.
pub(super) type Shards = BTreeMap<String, Filled>;

/// Runs the demo.
///
/// # Errors
/// The store, the server, the extractor or the run fails, or the table is not what was produced.
pub(super) fn demo(args: &DemoArgs) -> Result<Exit, CliError> {
    let url = store(args)?;
    let mut catalogue = Catalogue::open(Arc::new(url.clone()))?;
    let names = Names::choose(&mut catalogue, false)?;
    let stream = Stream::start(args.rows(), args.partitions())?;
    let config = config(args, &stream, &names);
    let plan = plan(args, &names, &config, &url)?;
    let (style, verbosity) = view_style(args.view);
    begin(args, &names, &config, &url, style)?;

    let control = Control::default();
    let report = Report::start(&names.pipeline, Some(args.rows()), style, verbosity, &control);
    watch_signals(&control, &report)?;
    let ended = Arc::new(AtomicBool::new(false));
    let job = Job {
        catalogue,
        pipeline: names.pipeline.clone(),
        rows: args.rows(),
        control: control.clone(),
        ended: Arc::clone(&ended),
        report: report.clone(),
    };
    let (summary, produced, shards) = run_beside(job, stream, plan, &report)?;
    let asked = Asked::Stream { shards: &shards };
    let outcome = Outcome { args, names: &names, url: &url, summary: &summary, produced, asked };
    outcome.tell(style)
}

/// The CONFIG of the documentation as it stands there, and where the server is.
fn config(args: &DemoArgs, stream: &Stream, names: &Names) -> Value {
    let mut config = json!({
        "connector.class": "com.singlestore.kafka.connect.kinesis.KinesisSourceConnector",
        "aws.access.key.id": "<aws_access_key>",
        "aws.secret.access.key": "<aws_secret_key>",
        "aws.session.token": "<aws_session_token>",
        "kafka.topic": "kinesis-topic",
        "kinesis.stream": stream.name,
        "kinesis.region": "us-east-1",
        "tasks.max": args.tasks,
        "kinesis.endpoint": stream.endpoint,
    });
    if let Some(map) = config.as_object_mut() {
        // The harness's own: the table, and batches small enough to watch.
        map.insert("table".to_owned(), json!(names.table));
        map.insert("batch.interval.ms".to_owned(), json!(200));
    }
    config
}

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

/// Says what is about to happen.
fn begin(
    args: &DemoArgs,
    names: &Names,
    config: &Value,
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
                "demo: {} records in {} shards, produced while the pipeline runs; one shard is split \
                 on the way",
                count(args.rows()),
                args.partitions()
            ));
            out::note(&format!(
                "  from  stream {} of a Kinesis-protocol server on this machine ({})",
                text(config, "kinesis.stream"),
                text(config, "kinesis.endpoint")
            ));
            out::note(&format!("  to    table {} of {url}", names.table));
            out::note("  with  the CONFIG of SingleStore's documentation, and these:");
            for key in ["kinesis.endpoint", "table", "batch.interval.ms"] {
                out::note(&format!("        {key:?}: {}", config[key]));
            }
        }
        Style::Quiet => {}
    }
    Ok(())
}

fn text<'a>(config: &'a Value, key: &str) -> &'a str {
    config.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Follows the producer while the pipeline runs.
struct Job {
    catalogue: Catalogue,
    pipeline: String,
    rows: u64,
    /// The run, to end it when all is committed.
    control: Control,
    /// The run has ended by itself.
    ended: Arc<AtomicBool>,
    report: Report,
}

fn run_beside(
    job: Job,
    mut stream: Stream,
    plan: Plan,
    report: &Report,
) -> Result<(Summary, Produced, Shards), CliError> {
    let (name, control, ended) = (plan.name.clone(), job.control.clone(), Arc::clone(&job.ended));
    stream.go()?;
    let end = stream.take_end();
    let following = thread::Builder::new()
        .name("producer".to_owned())
        // The server goes on until the run has ended.
        .spawn(move || (job.run(&mut stream), stream))
        .map_err(|error| CliError::other(Exit::Resource, format!("start a thread: {error}")))?;
    let result = run::execute(plan, control, Arc::new(report.clone()));
    ended.store(true, Ordering::Release);
    drop(end);
    let (followed, _server) = following
        .join()
        .map_err(|_| CliError::other(Exit::Internal, "the producer's thread panicked"))?;
    let told = report.finish(&name, &result);
    match (result, followed) {
        // Why the producer ended the run says more than that the run was ended.
        (Err(run::RunError::Interrupted) | Ok(_), Err(error)) => Err(error),
        (Err(error), _) => Err(error.into()),
        (Ok(summary), Ok((produced, shards))) => {
            told?;
            Ok((summary, produced, shards))
        }
    }
}

impl Job {
    /// Waits until everything was put and is committed, and ends the run.
    fn run(mut self, stream: &mut Stream) -> Result<(Produced, Shards), CliError> {
        let done = self.follow(stream);
        match &done {
            Ok(_) => self.control.drain(),
            Err(_) => self.control.now(),
        }
        done
    }

    fn follow(&mut self, stream: &mut Stream) -> Result<(Produced, Shards), CliError> {
        let (records, shards) = loop {
            match stream.listen() {
                Ok(Said::Ready { .. }) => {}
                Ok(Said::Split { shard, records }) => self.tell_split(&shard, records),
                Ok(Said::Done { records, shards }) => break (records, shards),
                // The run ended before, and with it the server.
                Err(_) if self.is_over() => {
                    let nothing = Produced { records: 0, is_everything: false };
                    return Ok((nothing, Shards::new()));
                }
                Err(error) => return Err(error),
            }
        };
        let is_committed = self.wait_for_commits(&shards)?;
        let is_everything = is_committed && records == self.rows;
        Ok((Produced { records, is_everything }, shards))
    }

    fn tell_split(&self, shard: &str, records: u64) {
        self.report.note(&format!("{shard} was split in two after {} records", count(records)));
    }

    /// Waits until the database is past the last record of every shard; `false` when the run is
    /// being ended before.
    fn wait_for_commits(&mut self, shards: &Shards) -> Result<bool, CliError> {
        let (mut moved, mut seen) = (Instant::now(), Vec::new());
        loop {
            let committed = self.committed()?;
            if shards.iter().all(|(shard, filled)| committed.get(shard) == Some(&filled.last)) {
                return Ok(true);
            }
            if self.is_over() {
                return Ok(false);
            }
            let now: Vec<String> = committed.into_values().collect();
            if now != seen {
                (moved, seen) = (Instant::now(), now);
            } else if moved.elapsed() > STILL_MAX {
                let text = format!(
                    "nothing was committed for {} s; run it with -v to see why",
                    STILL_MAX.as_secs()
                );
                return Err(CliError::other(Exit::Internal, text));
            }
            thread::sleep(LOOK);
        }
    }

    /// The last sequence number of each shard that the database holds.
    fn committed(&mut self) -> Result<BTreeMap<String, String>, CliError> {
        let Some(pipeline) = self.catalogue.pipeline(&self.pipeline)? else {
            return Ok(BTreeMap::new());
        };
        let field = |text: &str, name: &str| -> Option<String> {
            let json: Value = serde_json::from_str(text).ok()?;
            json.get(name)?.as_str().map(str::to_owned)
        };
        let splits = self.catalogue.splits(pipeline.id)?;
        let place = splits.iter().filter_map(|split| {
            Some((field(&split.key, "shardId")?, field(&split.value, "sequenceNumber")?))
        });
        Ok(place.collect())
    }

    fn is_over(&self) -> bool {
        self.control.is_draining() || self.ended.load(Ordering::Acquire)
    }
}
