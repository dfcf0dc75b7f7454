//! What `scripts/bench kinesis` stands the Kinesis source beside, and where both read from.
//!
//! ```text
//! kinesis_speed canned   BYTES RECORDS SHARDS PAGES   a server of prepared answers; prints its address
//! kinesis_speed emulator BYTES RECORDS SHARDS PAGES   ferrokinesis with as many records
//! kinesis_speed touch    URL   SHARDS                 the plain loop: get_records().send(), data counted
//! kinesis_speed rows     URL   SHARDS                 the same, and rows of it: serde_json and base64
//! ```
//!
//! Servers end with their stdin; loops begin with its end, once they said `ready` on stderr. The loops are what a careful user of AWS's SDK writes: one client, one
//! thread, its types, one reused buffer, which goes to stdout as lengths and texts.
#![expect(clippy::print_stdout, reason = "addresses and counts are told to who started it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Record, ShardIteratorType};
use aws_smithy_http_client::Builder as HttpBuilder;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferrokinesis::store::StoreOptions;
use serde::Serialize;
use serde_json::{Value, json};

const STREAM: &str = "bench";

/// Digits of a page in a sequence number, which the server writes into its answer.
const PAGE_DIGITS: usize = 8;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().with_context(|| format!("no number: {text}"));
    match args.as_slice() {
        ["canned", bytes, records, shards, pages] => {
            canned(number(bytes)?, number(records)?, number(shards)?, number(pages)?)
        }
        ["emulator", bytes, records, shards, pages] => runtime()?.block_on(emulator(
            number(bytes)?,
            number(records)?,
            number(shards)?,
            number(pages)?,
        )),
        ["touch", url, shards] => runtime()?.block_on(plain(url, number(shards)?, false)),
        ["rows", url, shards] => runtime()?.block_on(plain(url, number(shards)?, true)),
        _ => bail!("see the head of this file for what it takes"),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn client(url: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .http_client(HttpBuilder::new().build_http())
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .endpoint_url(url);
    Client::from_conf(config.build())
}

fn shard(number: usize) -> String {
    format!("shardId-{number:012}")
}

/// JSON of `bytes` bytes, other for each number.
fn payload(number: usize, bytes: usize) -> Vec<u8> {
    let mut text = format!("{{\"n\":{number:010},\"text\":\"");
    while text.len() + 2 < bytes {
        let letter = b'a' + u8::try_from(text.len() * 7 % 26).unwrap_or_default();
        text.push(char::from(letter));
    }
    (text + "\"}").into_bytes()
}

fn wait_for_the_end_of_stdin() {
    std::io::stdin().lock().lines().for_each(drop);
}

/// One prepared body, and where in it the page's number stands.
struct Tape {
    body: Vec<u8>,
    places: Vec<usize>,
    shards: usize,
    pages: usize,
}

fn canned(bytes: usize, records: usize, shards: usize, pages: usize) -> Result<()> {
    let record = |n: usize| {
        let (page, data) = ("0".repeat(PAGE_DIGITS), STANDARD.encode(payload(n, bytes)));
        format!(
            r#"{{"SequenceNumber":"4967{page}{n:044}","ApproximateArrivalTimestamp":1.775700271554E9,"Data":"{data}","PartitionKey":"key-{:04}"}}"#,
            n % 5_000
        )
    };
    let all: Vec<String> = (0..records).map(record).collect();
    let body = format!(
        r#"{{"NextShardIterator":"SHARD00{}","MillisBehindLatest":1000,"Records":[{}]}}"#,
        "0".repeat(PAGE_DIGITS),
        all.join(",")
    );
    let places = body.match_indices(r#""4967"#).map(|(at, text)| at + text.len()).collect();
    let tape = Arc::new(Tape { body: body.into_bytes(), places, shards, pages });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tape = Arc::clone(&tape);
            // Its client is gone when it fails.
            std::thread::spawn(move || serve(stream, &tape).ok());
        }
    });
    wait_for_the_end_of_stdin();
    Ok(())
}

fn serve(stream: TcpStream, tape: &Tape) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut body = tape.body.clone();
    while let Some((operation, input)) = request(&mut reader)? {
        let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
        let answer = match operation.as_str() {
            "GetRecords" => {
                let page: usize = text("ShardIterator").parse().unwrap_or(0);
                if page < tape.pages {
                    write_page(&mut body, tape, page);
                    head(&mut writer, body.len())?;
                    writer.write_all(&body)?;
                    continue;
                }
                json!({"Records": [], "NextShardIterator": page.to_string(), "MillisBehindLatest": 0})
            }
            "GetShardIterator" => json!({"ShardIterator": "0"}),
            "ListShards" => {
                let one = |n: usize| {
                    json!({
                        "ShardId": shard(n), "SequenceNumberRange": {"StartingSequenceNumber": "1"},
                        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
                    })
                };
                json!({"Shards": (0..tape.shards).map(one).collect::<Vec<_>>()})
            }
            _ => json!({"StreamDescriptionSummary": {
                "StreamName": STREAM, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
                "StreamARN": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}"),
                "OpenShardCount": tape.shards, "StreamCreationTimestamp": 1_775_600_000,
                "EnhancedMonitoring": [],
            }}),
        };
        let answer = answer.to_string();
        head(&mut writer, answer.len())?;
        writer.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Puts the page's number into every sequence number and the next one into the iterator.
fn write_page(body: &mut [u8], tape: &Tape, page: usize) {
    let digits = format!("{page:0PAGE_DIGITS$}");
    for at in &tape.places {
        if let Some(place) = body.get_mut(*at..at + PAGE_DIGITS) {
            place.copy_from_slice(digits.as_bytes());
        }
    }
    let next = format!("{:0width$}", page + 1, width = PAGE_DIGITS + "SHARD00".len());
    let at = r#"{"NextShardIterator":""#.len();
    if let Some(place) = body.get_mut(at..at + next.len()) {
        place.copy_from_slice(next.as_bytes());
    }
}

fn head(writer: &mut TcpStream, len: usize) -> Result<()> {
    // The date is read by who needs a clock.
    let head = format!(
        "HTTP/1.1 200 OK\r\nDate: Thu, 09 Apr 2026 02:04:31 GMT\r\nContent-Type: \
         application/x-amz-json-1.1\r\nContent-Length: {len}\r\n\r\n"
    );
    Ok(writer.write_all(head.as_bytes())?)
}

fn request(reader: &mut BufReader<TcpStream>) -> Result<Option<(String, Value)>> {
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let (name, value) = line.trim().split_once(':').unwrap_or(("", ""));
        match name.to_ascii_lowercase().as_str() {
            "" if line.trim().is_empty() => break,
            "content-length" => length = value.trim().parse()?,
            "x-amz-target" => {
                value.rsplit('.').next().unwrap_or_default().clone_into(&mut operation)
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((operation, serde_json::from_slice(&body)?)))
}

async fn emulator(bytes: usize, records: usize, shards: usize, pages: usize) -> Result<()> {
    const PER_PUT: usize = 500;
    let options =
        StoreOptions { create_stream_ms: 0, shard_limit: 1_000, ..StoreOptions::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (app, _store) = ferrokinesis::create_app(options);
    tokio::spawn(ferrokinesis::serve_plain_http(listener, app, std::future::pending()));
    let client = client(&url);
    let count = i32::try_from(shards)?;
    client.create_stream().stream_name(STREAM).shard_count(count).send().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let all: Vec<usize> = (0..records * shards * pages).collect();
    for numbers in all.chunks(PER_PUT) {
        let entry = |n: &usize| {
            let entry =
                PutRecordsRequestEntry::builder().partition_key(format!("key-{}", n % 5_000));
            entry.data(Blob::new(payload(*n, bytes))).build()
        };
        let entries = numbers.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        client.put_records().stream_name(STREAM).set_records(Some(entries)).send().await?;
    }
    println!("{url}");
    tokio::task::spawn_blocking(wait_for_the_end_of_stdin).await?;
    Ok(())
}

/// The record of a row, as a user's struct.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    approximate_arrival_timestamp: Option<i64>,
    data: String,
    partition_key: Option<&'a str>,
    sequence_number: &'a str,
    shard_id: &'a str,
    stream_name: &'a str,
}

async fn plain(url: &str, shards: usize, makes_rows: bool) -> Result<()> {
    // Whoever measures leaves the start of the process out.
    writeln!(std::io::stderr(), "ready")?;
    wait_for_the_end_of_stdin();
    let client = client(url);
    let (mut records, mut bytes, mut buffer) = (0, 0, Vec::new());
    let mut out = std::io::stdout().lock();
    for number in 0..shards {
        let shard = shard(number);
        let call = client.get_shard_iterator().stream_name(STREAM).shard_id(&shard);
        let mut iterator =
            call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?.shard_iterator;
        while let Some(current) = iterator.take() {
            let answer = client.get_records().shard_iterator(current).limit(10_000).send().await?;
            let more = !answer.records.is_empty();
            for record in answer.records() {
                records += 1;
                bytes += record.data.as_ref().len();
                if makes_rows {
                    write_row(&mut buffer, &shard, record)?;
                }
            }
            out.write_all(&buffer)?;
            buffer.clear();
            iterator = answer.next_shard_iterator.filter(|_| more);
        }
    }
    let mut told = std::io::stderr().lock();
    writeln!(told, "{records} {bytes}")?;
    Ok(())
}

fn write_row(buffer: &mut Vec<u8>, shard: &str, record: &Record) -> Result<()> {
    let time = record.approximate_arrival_timestamp.as_ref();
    let row = Row {
        approximate_arrival_timestamp: time.and_then(|time| time.to_millis().ok()),
        data: STANDARD.encode(record.data.as_ref()),
        partition_key: record.partition_key.as_deref(),
        sequence_number: &record.sequence_number,
        shard_id: shard,
        stream_name: STREAM,
    };
    let text = serde_json::to_vec(&row)?;
    let id = serde_json::to_vec(&json!({"partitionKey": record.partition_key}))?;
    for text in [b"topic".as_slice(), &id, &text] {
        buffer.extend_from_slice(&u32::try_from(text.len())?.to_le_bytes());
        buffer.extend_from_slice(text);
    }
    Ok(())
}
