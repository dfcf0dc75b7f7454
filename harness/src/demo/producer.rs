//! Produces the demo's records while the pipeline runs.
//!
//! One of the two files of the harness's demo that use rdkafka. Invariant: a record counts as
//! produced when the broker said so; one that it refuses ends the demo.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::pace::Pace;
use super::record;
use super::{Produced, STILL_MAX};
use crate::cli::CliError;
use crate::exit::Exit;
use crate::run::Control;

/// How long the broker is waited for at the end.
const FLUSH: Duration = Duration::from_secs(60);

/// A pause while the producer is as far ahead as it may be.
const PAUSE: Duration = Duration::from_millis(5);

/// Records between two looks at the answers of the broker.
const POLL_EVERY: u64 = 256;

/// What to produce.
pub(super) struct Job {
    pub(super) bootstrap: String,
    pub(super) topic: String,
    pub(super) rows: u64,
    pub(super) partitions: u32,
    /// The run, to end it when all is committed.
    pub(super) control: Control,
    /// The run has ended by itself.
    pub(super) ended: Arc<AtomicBool>,
}

/// Counts what the broker answers.
#[derive(Clone, Default)]
struct Answers {
    taken: Arc<AtomicU64>,
    refused: Arc<Mutex<Option<KafkaError>>>,
}

impl ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => drop(self.taken.fetch_add(1, Ordering::AcqRel)),
            Err((error, _)) => {
                let mut first = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| error.clone());
            }
        }
    }
}

impl Job {
    /// Produces everything, waits until it is committed, and ends the run.
    pub(super) fn run(self, mut pace: Pace) -> Result<Produced, CliError> {
        let done = self.produce(&mut pace);
        match &done {
            Ok(_) => self.control.drain(),
            Err(_) => self.control.now(),
        }
        done
    }

    fn produce(&self, pace: &mut Pace) -> Result<Produced, CliError> {
        let answers = Answers::default();
        let failed = |error: KafkaError| {
            let text = format!("produce to {} on {}: {error}", self.topic, self.bootstrap);
            CliError::other(Exit::Transient, text)
        };
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("linger.ms", "20")
            .set("batch.size", "500000")
            .set("queue.buffering.max.messages", "200000")
            .set("enable.idempotence", "true");
        let producer: BaseProducer<Answers> =
            config.create_with_context(answers.clone()).map_err(failed)?;
        let mut counts = vec![0_u64; usize::try_from(self.partitions).unwrap_or(1)];
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for number in 0..self.rows {
            let partition = number % u64::from(self.partitions.max(1));
            let Some(count) = usize::try_from(partition).ok().and_then(|at| counts.get_mut(at))
            else {
                continue;
            };
            if !self.wait_for_window(pace, partition, *count, &producer)? {
                break;
            }
            record::write_key(number, &mut key);
            record::write_value(number, &mut value);
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            self.send(&producer, partition, &key, &value).map_err(failed)?;
            *count += 1;
            if number % POLL_EVERY == 0 {
                producer.poll(Duration::ZERO);
                if let Some(error) = refused(&answers) {
                    return Err(failed(error));
                }
            }
        }
        producer.flush(FLUSH).map_err(failed)?;
        if let Some(error) = refused(&answers) {
            return Err(failed(error));
        }
        let is_committed = self.wait_for_commits(pace, &counts)?;
        let records = answers.taken.load(Ordering::Acquire);
        Ok(Produced { records, is_everything: is_committed && records == self.rows })
    }

    fn send(
        &self,
        producer: &BaseProducer<Answers>,
        partition: i32,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), KafkaError> {
        let mut record = BaseRecord::to(&self.topic).partition(partition).key(key).payload(value);
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    producer.poll(PAUSE);
                    record = back;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits until one more record may be produced; `false` when the run is being ended.
    fn wait_for_window(
        &self,
        pace: &mut Pace,
        partition: u64,
        produced: u64,
        producer: &BaseProducer<Answers>,
    ) -> Result<bool, CliError> {
        let partition = usize::try_from(partition).unwrap_or(usize::MAX);
        while !pace.is_open(partition, produced) {
            if self.is_over() {
                return Ok(false);
            }
            pace.look()?;
            if pace.is_open(partition, produced) {
                break;
            }
            self.require_progress(pace)?;
            producer.poll(PAUSE);
        }
        Ok(!self.is_over())
    }

    /// Waits until everything is committed; `false` when the run is being ended before.
    fn wait_for_commits(&self, pace: &mut Pace, counts: &[u64]) -> Result<bool, CliError> {
        loop {
            pace.look()?;
            let is_committed = counts
                .iter()
                .enumerate()
                .all(|(partition, count)| pace.committed(partition) >= *count);
            if is_committed || self.is_over() {
                return Ok(is_committed);
            }
            self.require_progress(pace)?;
            thread::sleep(PAUSE);
        }
    }

    fn is_over(&self) -> bool {
        self.control.is_draining() || self.ended.load(Ordering::Acquire)
    }

    fn require_progress(&self, pace: &Pace) -> Result<(), CliError> {
        if pace.still() < STILL_MAX {
            return Ok(());
        }
        let text = format!(
            "nothing was committed for {} s; run it with -v to see why",
            STILL_MAX.as_secs()
        );
        Err(CliError::other(Exit::Internal, text))
    }
}

fn refused(answers: &Answers) -> Option<KafkaError> {
    answers.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
