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
use super::{Beside, Produced, STILL_MAX, begin, plan, store};
use crate::catalogue::Catalogue;
use crate::cli::{CliError, DemoArgs, view_style, watch_signals};
use crate::exit::Exit;
use crate::report::{Report, count};
use crate::run::Control;
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
    let mut stream = Stream::start(args.rows(), args.partitions())?;
    let config = config(args, &stream, &names);
    let plan = plan(args, &names, &config, &url)?;
    let (style, verbosity) = view_style(args.view);
    begin(&names, &url, style, &lines(args, &names, &config, &url))?;

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
    stream.go()?;
    let end = stream.take_end();
    let beside = Beside { plan, control: &control, report: &report, ended: &ended };
    // The server goes on until the run has ended.
    let produce = move || (job.run(&mut stream), stream);
    let (summary, (produced, shards)) = beside.run(produce, || drop(end))?;
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

/// What a person reads first.
fn lines(args: &DemoArgs, names: &Names, config: &Value, url: &StoreUrl) -> Vec<String> {
    let mut lines = vec![
        format!(
            "demo: {} records in {} shards, produced while the pipeline runs; one shard is split \
             on the way",
            count(args.rows()),
            args.partitions()
        ),
        format!(
            "  from  stream {} of a Kinesis-protocol server on this machine ({})",
            text(config, "kinesis.stream"),
            text(config, "kinesis.endpoint")
        ),
        format!("  to    table {} of {url}", names.table),
        "  with  the CONFIG of SingleStore's documentation, and these:".to_owned(),
    ];
    let more = ["kinesis.endpoint", "table", "batch.interval.ms"];
    lines.extend(more.map(|key| format!("        {key:?}: {}", config[key])));
    lines
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
