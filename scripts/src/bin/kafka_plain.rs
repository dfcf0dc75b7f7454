//! What the Kafka source is measured against: the program that most people would write. It awaits
//! one message after the other from rdkafka's stream, parses JSON with `serde_json`, makes Avro
//! values and lets `apache_avro` write them to stdout.
//!
//! `kafka_plain BOOTSTRAP TOPIC RECORDS` reads every partition from the start, writes blocks to
//! stdout and prints seconds from the first request to the last record on stderr.
#![expect(clippy::print_stderr, reason = "the figure is what a benchmark reads")]

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use apache_avro::types::Value as Avro;
use apache_avro::{Schema, Writer};
use rdkafka::consumer::{Consumer, DefaultConsumerContext, StreamConsumer};
use rdkafka::util::AsyncRuntime;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"type": "record", "name": "row", "fields": [
    {"name": "topic", "type": "string"},
    {"name": "id", "type": "string"},
    {"name": "record", "type": "string"}]}"#;

/// Rows of one block, as many as the extractor's batch has.
const BLOCK_ROWS: u64 = 10_000;

/// What rdkafka's feature `tokio` would bring.
struct Tokio;

impl AsyncRuntime for Tokio {
    type Delay = Pin<Box<tokio::time::Sleep>>;

    fn spawn<T: Future<Output = ()> + Send + 'static>(task: T) {
        tokio::spawn(task);
    }

    fn delay_for(duration: Duration) -> Self::Delay {
        Box::pin(tokio::time::sleep(duration))
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (servers, topic, records) = (args.next(), args.next(), args.next());
    let servers = servers.context("give BOOTSTRAP TOPIC RECORDS")?;
    let topic = topic.context("give BOOTSTRAP TOPIC RECORDS")?;
    let records: u64 = records.context("give BOOTSTRAP TOPIC RECORDS")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let consumer: StreamConsumer<DefaultConsumerContext, Tokio> = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .set("group.id", "plain")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        // Its default stops the fetcher for a second whenever the queue was full.
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(&topic), Duration::from_secs(10))?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions)? {
        list.add_partition_offset(&topic, partition, Offset::Beginning)?;
    }
    let begun = Instant::now();
    consumer.assign(&list)?;
    runtime.block_on(read(&consumer, records))?;
    eprintln!("{}", json!({"rows": records, "seconds": begun.elapsed().as_secs_f64()}));
    Ok(())
}

async fn read(
    consumer: &StreamConsumer<DefaultConsumerContext, Tokio>,
    records: u64,
) -> Result<()> {
    let schema = Schema::parse_str(SCHEMA)?;
    let mut output = std::io::stdout().lock();
    let mut writer = Writer::new(&schema, Vec::new())?;
    for number in 1..=records {
        let message = consumer.recv().await?;
        let value: Value = serde_json::from_slice(message.payload().context("no value")?)?;
        let id = json!({"offset": message.offset(), "partition": message.partition()});
        writer.append_value(Avro::Record(vec![
            ("topic".to_owned(), Avro::String(message.topic().to_owned())),
            ("id".to_owned(), Avro::String(id.to_string())),
            ("record".to_owned(), Avro::String(value.to_string())),
        ]))?;
        if number % BLOCK_ROWS == 0 || number == records {
            writer.flush()?;
            output.write_all(writer.get_ref())?;
            writer = Writer::new(&schema, Vec::new())?;
        }
    }
    Ok(output.flush()?)
}
