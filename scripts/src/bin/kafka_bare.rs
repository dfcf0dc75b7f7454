//! What the Kafka source is measured against: nothing but librdkafka's batch call, with the very
//! build of librdkafka that the extractor has, and its settings.
//!
//! `kafka_bare BOOTSTRAP TOPIC RECORDS` reads every partition from the start and prints seconds
//! from the first request to the last record on stderr. `./scripts/bench` runs it beside the extractor.
#![expect(
    unsafe_code,
    clippy::print_stderr,
    reason = "the batch call has no safe form; the figure is what a benchmark reads"
)]

use std::ffi::CString;
use std::ptr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;

/// Messages of one call, and how long it waits for the first: as the source has them.
const MESSAGES: usize = 1000;
const WAIT_MS: i32 = 50;

/// What the extractor sets too, checksums above all. Its queue and its answers are smaller, and it looks
/// for room in the queue more often; here that cost as much or more, so this has what costs it least.
const SETTINGS: [(&str, &str); 7] = [
    ("check.crcs", "true"),
    ("enable.auto.commit", "false"),
    ("enable.partition.eof", "true"),
    ("fetch.message.max.bytes", "2097152"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.max.messages.kbytes", "12582"),
    ("queued.min.messages", "24576"),
];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (servers, topic, records) = (args.next(), args.next(), args.next());
    let topic = topic.context("give BOOTSTRAP TOPIC RECORDS")?;
    let records: u64 = records.context("give BOOTSTRAP TOPIC RECORDS")?.parse()?;
    let servers = servers.context("give BOOTSTRAP TOPIC RECORDS")?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    for (key, value) in SETTINGS {
        config.set(key, value);
    }
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(&topic), Duration::from_secs(10))?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let begun = Instant::now();
    let seen = read(&consumer, &topic, i32::try_from(partitions)?, records)?;
    let figure = json!({"rows": seen, "seconds": begun.elapsed().as_secs_f64()});
    eprintln!("{figure}");
    Ok(())
}

/// Reads and destroys, and looks at nothing but whether it is a record.
fn read(consumer: &BaseConsumer, topic: &str, partitions: i32, records: u64) -> Result<u64> {
    let client = consumer.client().native_ptr();
    let name = CString::new(topic)?;
    let mut seen = 0;
    // SAFETY: the client outlives the queue and the topic; every message is destroyed once.
    unsafe {
        let queue = native::rd_kafka_queue_new(client);
        let handle = native::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut());
        for partition in 0..partitions {
            native::rd_kafka_consume_start_queue(handle, partition, 0, queue);
        }
        let mut messages = [ptr::null_mut(); MESSAGES];
        let first = messages.as_mut_ptr();
        while seen < records {
            let mut count = native::rd_kafka_consume_batch_queue(queue, 0, first, MESSAGES);
            if count == 0 {
                count = native::rd_kafka_consume_batch_queue(queue, WAIT_MS, first, 1);
            }
            for message in messages.iter().take(usize::try_from(count)?) {
                if (**message).err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    seen += 1;
                }
                native::rd_kafka_message_destroy(*message);
            }
        }
        for partition in 0..partitions {
            native::rd_kafka_consume_stop(handle, partition);
        }
        native::rd_kafka_topic_destroy(handle);
        native::rd_kafka_queue_destroy(queue);
    }
    Ok(seen)
}
