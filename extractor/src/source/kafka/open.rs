//! Making the source from its settings. It connects in the background; nothing is asked of a broker
//! here.

use std::time::Duration;

use protocol::{Failure, OffsetKey, OffsetValue};
use serde_json::{Map, Value};

use super::queue::FetchQueue;
use super::safe::SafeQueue;
use super::{Kafka, KafkaSettings};
use crate::config::{Settings, mistyped};
use crate::source::{
    Cancel, Discovery, Lag, Opened, Polled, Probe, RowSink, Source, Start, Topology,
};

/// How long unreachable brokers are waited for inside one poll. The pump tries again for as long
/// as the host allows, and tells the host why meanwhile.
const UNREACHABLE: Duration = Duration::from_secs(2);

/// The Kafka source, with the fetcher that its settings name.
pub struct KafkaSource(Box<dyn Source + Send>);

impl KafkaSource {
    /// Makes the client and connects in the background. `retry`: how long unreachable brokers are
    /// tried again inside [`Source::poll`] before that is an error.
    ///
    /// # Errors
    /// librdkafka refuses the settings, or the system gives no thread.
    pub fn open(settings: KafkaSettings, retry: Duration) -> Result<Self, Failure> {
        Ok(Self(if settings.batch {
            Box::new(Kafka::<FetchQueue>::connect(settings, retry)?)
        } else {
            Box::new(Kafka::<SafeQueue>::connect(settings, retry)?)
        }))
    }
}

impl Source for KafkaSource {
    fn check(&mut self, cancel: &Cancel) -> Result<Vec<Probe>, Failure> {
        self.0.check(cancel)
    }

    fn discover(&mut self, cancel: &Cancel) -> Result<Discovery, Failure> {
        self.0.discover(cancel)
    }

    fn offsets(
        &mut self,
        start: Start,
        keys: &[OffsetKey],
        cancel: &Cancel,
    ) -> Result<Vec<OffsetValue>, Failure> {
        self.0.offsets(start, keys, cancel)
    }

    fn assign(
        &mut self,
        incarnation: &str,
        parts: &[(OffsetKey, OffsetValue)],
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        self.0.assign(incarnation, parts, cancel)
    }

    fn set_until(&mut self, until: &[(u32, OffsetValue)]) -> Result<(), Failure> {
        self.0.set_until(until)
    }

    fn poll(&mut self, sink: &mut dyn RowSink, wait: Duration) -> Result<Polled, Failure> {
        self.0.poll(sink, wait)
    }

    fn position(&self, part: u32) -> Option<OffsetValue> {
        self.0.position(part)
    }

    fn lag(&self) -> Lag {
        self.0.lag()
    }

    fn lags(&self) -> Vec<Lag> {
        self.0.lags()
    }

    fn topology(&mut self) -> Option<Topology> {
        self.0.topology()
    }

    fn rotate(&mut self, credentials: &Map<String, Value>) -> Result<(), Failure> {
        self.0.rotate(credentials)
    }
}

/// Makes the source that the settings describe.
///
/// # Errors
/// The first setting that cannot be used.
pub fn open(settings: &Settings) -> Result<Opened, Failure> {
    let unknown = KafkaSettings::unknown(settings);
    let mut settings =
        KafkaSettings::read(settings).map_err(|failure| mistyped(failure, &unknown))?;
    let warnings = std::mem::take(&mut settings.warnings);
    let KafkaSource(source) = KafkaSource::open(settings, UNREACHABLE)?;
    Ok(Opened { source, unknown, warnings })
}
