//! The Kinesis side of `harness demo kinesis`: a Kinesis-protocol server (ferrokinesis) inside this
//! process, and a producer that fills a stream through AWS's own client while the demo reads it.
//!
//! An example, so that neither the harness nor the extractor carries a server. It listens on 127.0.0.1
//! alone, speaks lines of JSON on stdout, and ends with its stdin:
//!
//! ```text
//! > kinesis_server ROWS SHARDS
//! < {"event":"ready","endpoint":"http://127.0.0.1:4567","stream":"my-kinesis-stream"}
//! > go
//! < {"event":"split","shard":"shardId-000000000000","records":150000}
//! < {"event":"done","records":300000,"shards":{"shardId-000000000000":{"last":"496…","records":37500}}}
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamStatus};
use aws_smithy_http_client::Builder as HttpBuilder;
use ferrokinesis::store::StoreOptions;
use serde_json::json;

/// The stream, as in SingleStore's documentation.
const STREAM: &str = "my-kinesis-stream";

/// Records of one request, the service's own limit.
const RECORDS_PER_PUT: u64 = 500;

/// Partition keys: so many customers order in turn.
const CUSTOMERS: u64 = 5_000;

/// What became of one shard.
#[derive(Default)]
struct Filled {
    records: u64,
    last: String,
}

fn main() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |what: &str| -> Result<u64> {
        let text = args.next().with_context(|| format!("no {what}: kinesis_server ROWS SHARDS"))?;
        text.parse().with_context(|| format!("{what} is no number: {text}"))
    };
    let (rows, shards) = (number("ROWS")?, number("SHARDS")?);
    let options = StoreOptions {
        create_stream_ms: 0,
        delete_stream_ms: 0,
        update_stream_ms: 0,
        shard_limit: 1_000,
        ..StoreOptions::default()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let (app, _store) = ferrokinesis::create_app(options);
    tokio::spawn(ferrokinesis::serve_plain_http(listener, app, std::future::pending()));
    let client = client(&endpoint);
    let shards = i32::try_from(shards).context("SHARDS is too large")?;
    client.create_stream().stream_name(STREAM).shard_count(shards).send().await?;
    wait_until_active(&client).await?;
    say(&json!({"event": "ready", "endpoint": endpoint, "stream": STREAM}))?;

    let mut go = String::new();
    if std::io::stdin().lock().read_line(&mut go)? == 0 {
        return Ok(());
    }
    let (send, mut closed) = tokio::sync::mpsc::channel::<()>(1);
    std::thread::spawn(move || {
        // The end of the demo, however it ended, ends this process.
        std::io::stdin().lock().lines().for_each(drop);
        drop(send);
    });
    tokio::select! {
        _ = closed.recv() => return Ok(()),
        filled = produce(&client, rows) => {
            let filled = filled?;
            let records: u64 = filled.values().map(|shard| shard.records).sum();
            let shards: BTreeMap<_, _> = filled
                .into_iter()
                .map(|(id, shard)| (id, json!({"records": shard.records, "last": shard.last})))
                .collect();
            say(&json!({"event": "done", "records": records, "shards": shards}))?;
        }
    }
    closed.recv().await;
    Ok(())
}

/// Puts all records in order; in the middle the first shard is split.
async fn produce(client: &Client, rows: u64) -> Result<BTreeMap<String, Filled>> {
    let mut filled: BTreeMap<String, Filled> = BTreeMap::new();
    let mut split = false;
    let mut first = 0;
    while first < rows {
        if !split && first >= rows / 2 {
            split_first(client, first).await?;
            split = true;
        }
        let last = rows.min(first + RECORDS_PER_PUT);
        put(client, first..last, &mut filled).await?;
        first = last;
    }
    Ok(filled)
}

async fn put(
    client: &Client,
    numbers: std::ops::Range<u64>,
    filled: &mut BTreeMap<String, Filled>,
) -> Result<()> {
    const ITEMS: [&str; 4] = ["espresso machine", "rain jacket", "chess set", "bike light"];
    let mut entries = Vec::new();
    for number in numbers {
        let customer = format!("customer-{:04}", number % CUSTOMERS);
        // Spread, and the same every time.
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let item = usize::try_from(mixed % 4).ok().and_then(|at| ITEMS.get(at));
        let order = json!({
            "order": number, "customer": customer, "item": item, "quantity": 1 + mixed % 9,
            "cents": 199 + mixed % 40_000, "paid": mixed & 1 == 0,
        });
        let entry = PutRecordsRequestEntry::builder()
            .partition_key(customer)
            .data(Blob::new(order.to_string()))
            .build()?;
        entries.push(entry);
    }
    let call = client.put_records().stream_name(STREAM).set_records(Some(entries));
    let answer = call.send().await.context("put records")?;
    if answer.failed_record_count.unwrap_or(0) > 0 {
        bail!("the server refused {:?} records", answer.failed_record_count);
    }
    for record in answer.records {
        let (Some(shard), Some(sequence)) = (record.shard_id, record.sequence_number) else {
            bail!("the server took a record without a place");
        };
        let shard = filled.entry(shard).or_default();
        shard.records += 1;
        shard.last = sequence;
    }
    Ok(())
}

/// Splits the first shard in the middle of its hash keys.
async fn split_first(client: &Client, records: u64) -> Result<()> {
    let listed = client.list_shards().stream_name(STREAM).send().await?;
    let shards = listed.shards.unwrap_or_default();
    let first = shards.first().context("the stream has no shard")?;
    let range = first.hash_key_range.as_ref().context("the shard has no hash keys")?;
    let low: u128 = range.starting_hash_key.parse()?;
    let high: u128 = range.ending_hash_key.parse()?;
    let middle = low + (high - low) / 2 + 1;
    let call = client.split_shard().stream_name(STREAM).shard_to_split(&first.shard_id);
    call.new_starting_hash_key(middle.to_string()).send().await.context("split the shard")?;
    wait_until_active(client).await?;
    say(&json!({"event": "split", "shard": first.shard_id, "records": records}))
}

async fn wait_until_active(client: &Client) -> Result<()> {
    const LOOKS_MAX: u32 = 1_000;
    for _ in 0..LOOKS_MAX {
        let answer = client.describe_stream_summary().stream_name(STREAM).send().await?;
        let status = answer.stream_description_summary.map(|summary| summary.stream_status);
        if status == Some(StreamStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    bail!("the stream does not become active");
}

fn client(endpoint: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .http_client(HttpBuilder::new().build_http())
        .credentials_provider(Credentials::new("producer", "producer", None, None, "demo"))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}

fn say(line: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("tell the demo")
}
