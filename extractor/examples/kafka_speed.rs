//! How fast the Kafka source reads and encodes, beside a bare loop over librdkafka's batch call with
//! the same client settings, in the same run.
//!
//! `cargo run --release -p extractor --example kafka_speed -- BOOTSTRAP TOPIC [RECORDS]
//! [VALUE_BYTES] [ROUNDS]` adds the records to a topic of four partitions and reads it by turns.
#![expect(
    unsafe_code,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "the bare loop is the measure; it prints a table of ratios for people"
)]

use std::ffi::CString;
use std::ptr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use extractor::config::Settings;
use extractor::source::kafka::{KafkaSettings, KafkaSource};
use extractor::source::{Cancel, Polled, RowSink, Source, Taken};
use nix::sys::resource::{UsageWho, getrusage};
use protocol::avro::ErrorRow;
use protocol::{OffsetKey, OffsetValue};
use rdkafka::ClientConfig;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use serde_json::{Map, json};

const PARTITIONS: i32 = 4;

/// Counts rows and encodes each into one reused buffer of a frame's size.
#[derive(Default)]
struct Counter {
    rows: u64,
    frame: Vec<u8>,
}

impl RowSink for Counter {
    fn rows_left(&self) -> usize {
        usize::MAX
    }

    fn row(&mut self, _: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        if self.frame.len() > 1024 * 1024 {
            self.frame.clear();
        }
        write(&mut self.frame);
        self.rows += 1;
        Taken::Yes
    }

    fn error(&mut self, _: u32, _: &ErrorRow<'_>) -> Taken {
        self.rows += 1;
        Taken::Yes
    }
}

/// What one reading cost.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let micros = micros(usage.user_time()) + micros(usage.system_time());
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

fn measure(run: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let (started, before) = (Instant::now(), cpu()?);
    run()?;
    Ok(Cost { wall: started.elapsed(), cpu: cpu()?.saturating_sub(before) })
}

fn settings(servers: &str, topic: &str) -> Result<KafkaSettings> {
    let mut config = Map::new();
    config.insert("bootstrap.servers".to_owned(), servers.into());
    config.insert("topics".to_owned(), topic.into());
    Ok(KafkaSettings::read(&Settings::from_maps(&config, &Map::new())?)?)
}

/// The source as the pump uses it.
fn read_source(settings: KafkaSettings, topic: &str, records: u64) -> Result<()> {
    let mut source = KafkaSource::open(settings, Duration::from_secs(30))?;
    let mut parts = Vec::new();
    for partition in 0..PARTITIONS {
        let key = OffsetKey::from_json(&json!({"partition": partition, "topic": topic}))?;
        parts.push((key, OffsetValue::parse(r#"{"offset":0}"#)?));
    }
    source.assign("", &parts, &Cancel::default())?;
    let mut sink = Counter::default();
    while sink.rows < records {
        let polled = source.poll(&mut sink, Duration::from_millis(100))?;
        ensure!(polled != Polled::Full, "the sink is never full");
    }
    Ok(())
}

/// Nothing but the batch call.
fn read_bare(settings: &KafkaSettings, topic: &str, records: u64) -> Result<()> {
    let consumer: BaseConsumer = settings.client_config().create()?;
    let client = consumer.client().native_ptr();
    let name = CString::new(topic)?;
    let mut seen = 0;
    // SAFETY: the client outlives the queue and the topic; every message is destroyed once.
    unsafe {
        let queue = native::rd_kafka_queue_new(client);
        let handle = native::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut());
        for partition in 0..PARTITIONS {
            native::rd_kafka_consume_start_queue(handle, partition, 0, queue);
        }
        let mut messages = vec![ptr::null_mut(); 1000];
        while seen < records {
            let room = messages.len();
            let count = native::rd_kafka_consume_batch_queue(queue, 0, messages.as_mut_ptr(), room);
            let count = usize::try_from(count)?;
            if count == 0 {
                std::thread::sleep(Duration::from_micros(200));
            }
            for message in messages.iter().take(count) {
                if (**message).err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    seen += 1;
                }
                native::rd_kafka_message_destroy(*message);
            }
        }
        for partition in 0..PARTITIONS {
            native::rd_kafka_consume_stop(handle, partition);
        }
        native::rd_kafka_topic_destroy(handle);
        native::rd_kafka_queue_destroy(queue);
    }
    Ok(())
}

/// Fills the topic; every value is a JSON object of `value_bytes`.
fn fill(servers: &str, topic: &str, records: u64, value_bytes: usize) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    let metadata = producer.client().fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    ensure!(i32::try_from(partitions)? == PARTITIONS, "make topic {topic} with 4 partitions");
    for number in 0..records {
        let mut value = format!("{{\"n\":{number},\"pad\":\"");
        let pad = value_bytes.saturating_sub(value.len() + 2);
        value.extend(std::iter::repeat_n('x', pad));
        value.push_str("\"}");
        let key = format!("key-{number:08}");
        let partition = i32::try_from(number % 4)?;
        loop {
            let record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value);
            match producer.send(record) {
                Ok(()) => break,
                Err((e, _)) if e.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    producer.poll(Duration::from_millis(10));
                }
                Err((e, _)) => return Err(e).context("produce"),
            }
        }
        producer.poll(Duration::ZERO);
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let servers =
        args.next().context("name the broker: BOOTSTRAP TOPIC [RECORDS] [VALUE_BYTES] [ROUNDS]")?;
    let topic = args.next().context("name a topic of four partitions")?;
    let number = |text: Option<String>, default: u64| text.map_or(Ok(default), |t| t.parse());
    let records = number(args.next(), 1_000_000)?;
    let value_bytes = usize::try_from(number(args.next(), 100)?)?;
    let rounds = number(args.next(), 5)?;
    let settings = settings(&servers, &topic)?;
    fill(&servers, &topic, records, value_bytes)?;
    println!("{records} records of {value_bytes} bytes in {PARTITIONS} partitions");
    println!("{:>8} {:>14} {:>14} {:>14} {:>14}", "", "rows/s", "µs CPU/row", "rows/s ÷", "CPU ÷");
    for _ in 0..rounds {
        let bare = measure(|| read_bare(&settings, &topic, records))?;
        let ours = measure(|| read_source(settings.clone(), &topic, records))?;
        let rate = |cost: Cost| records as f64 / cost.wall.as_secs_f64();
        let per_row = |cost: Cost| cost.cpu.as_secs_f64() * 1e6 / records as f64;
        println!("{:>8} {:>14.0} {:>14.3}", "bare", rate(bare), per_row(bare));
        println!(
            "{:>8} {:>14.0} {:>14.3} {:>14.2} {:>14.2}",
            "source",
            rate(ours),
            per_row(ours),
            rate(ours) / rate(bare),
            per_row(ours) / per_row(bare)
        );
    }
    Ok(())
}
