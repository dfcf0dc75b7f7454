//! How fast a store takes batches, and what exactly once costs there.
//!
//! ```text
//! cargo run --release -p harness --example load_speed -- sqlite:/tmp/speed.db
//! cargo run --release -p harness --example load_speed -- mysql://root@127.0.0.1:3306/speed
//! ```
//!
//! Two ways take turns, round by round: the same rows loaded in a bare transaction (begin, rows, commit), and
//! committed as batches with the swap, the history and the books. The medians and their ratio are printed.
//! Table and pipeline are made in the named database and removed at the end.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use harness::catalogue::{Catalogue, NewPipeline};
use harness::store::{Connect, RowRef, StoreUrl};
use harness::transaction::{BatchCommit, Loader, Move};

const ROUNDS: usize = 7;
const BATCHES: u32 = 10;
const ROWS: usize = 10_000;
const NAME: &str = "load_speed";
const KEY: &str = r#"{"shardId":"shardId-000000000000"}"#;

fn main() -> anyhow::Result<()> {
    let Some(url) = std::env::args().nth(1) else {
        anyhow::bail!("usage: load_speed STORE-URL");
    };
    let url: StoreUrl = url.parse()?;
    let connect: Arc<dyn Connect> = Arc::new(url.clone());
    let mut catalogue = Catalogue::open(Arc::clone(&connect))?;
    catalogue.ensure_table(NAME)?;
    let new = NewPipeline {
        name: NAME,
        config_json: "{}",
        credentials: None,
        target_table: NAME,
        leaf_count: 1,
        tasks_max: 1,
    };
    let pipeline_id = catalogue.create_pipeline(&new)?.into_pipeline().id;
    catalogue.insert_splits(pipeline_id, &[(KEY, r#"{"position":"TRIM_HORIZON"}"#)])?;
    let taken = catalogue.take_epoch(pipeline_id, 0, None, &[KEY])?;
    let mut rev = taken.splits.first().map_or(0, |split| split.rev);

    let records: Vec<String> = (0..ROWS).map(record).collect();
    let rows: Vec<RowRef<'_>> = records
        .iter()
        .map(|record| RowRef { topic: "kinesis-topic", id: r#"{"partitionKey":"user-b"}"#, record })
        .collect();
    let rows: &[RowRef<'_>] = &rows;
    let bytes: usize = rows.iter().map(|r| r.topic.len() + r.id.len() + r.record.len()).sum();

    let mut bare_store = connect.connect()?;
    let mut loader = Loader::new(Arc::clone(&connect));
    let (mut bare, mut exact) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..BATCHES {
            bare_store.begin()?;
            let method = bare_store.load_method();
            bare_store.load(NAME, &rows, method)?;
            bare_store.commit()?;
        }
        bare.push(begun.elapsed().as_secs_f64());

        let begun = Instant::now();
        for _ in 0..BATCHES {
            let to_value = format!(r#"{{"sequenceNumber":"{rev}"}}"#);
            loader.commit(&BatchCommit {
                pipeline_id,
                epoch: taken.epoch,
                task_id: 0,
                leaf: 0,
                table: NAME,
                moves: &[Move { key: KEY, rev, to_value: &to_value }],
                rows: &rows,
                row_count: ROWS as u64,
                byte_count: bytes as u64,
                errors: &[],
                started_at: SystemTime::now(),
            })?;
            rev += 1;
        }
        exact.push(begun.elapsed().as_secs_f64());
        bare_store.execute(&format!("DELETE FROM {NAME}"), &[])?;
    }
    catalogue.drop_pipeline(NAME)?;
    bare_store.execute(&format!("DROP TABLE {NAME}"), &[])?;

    let per_second = |seconds: f64| f64::from(BATCHES) * ROWS as f64 / seconds;
    let (bare, exact) = (per_second(median(&mut bare)), per_second(median(&mut exact)));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{url}: {ROWS} rows of {} B in a batch", bytes / ROWS)?;
    writeln!(out, "bare transaction  {bare:>9.0} rows/s")?;
    writeln!(out, "exactly once      {exact:>9.0} rows/s  (ratio {:.2})", exact / bare)?;
    Ok(())
}

/// A record as the Kinesis source writes it, with 100 bytes of payload.
fn record(index: usize) -> String {
    format!(
        "{{\"approximateArrivalTimestamp\":1775700271554,\"data\":\"{}{index:08}\",\
         \"partitionKey\":\"user-b\",\"sequenceNumber\":\"4967342557749725999925894881739691372679{index:016}\",\
         \"shardId\":\"shardId-000000000000\",\"streamName\":\"kinesis-data-stream\"}}",
        "eyJzZXEiOjIsIm1zZyI6InNlY29uZCJ9".repeat(4),
    )
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}
