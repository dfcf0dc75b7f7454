//! What the pump needs from a source of splits. A source knows its service; it knows neither the
//! pipe nor the host, and it never waits for them.
//!
//! Contract: all methods are called from one thread. A split is delivered in source order. Nothing
//! is delivered that is not covered by [`Source::position`] afterwards, and the position never
//! covers what was not delivered (a row or an error row handed to the sink, or something that is
//! no record, such as a transaction marker).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use protocol::avro::ErrorRow;
use protocol::message::SourceClass;
use protocol::{Code, Failure, OffsetKey, OffsetValue};
use serde_json::{Map, Value};

use crate::config::{Settings, Unknown, nearest};

pub mod test;

pub mod kafka;

pub mod kinesis;

/// A split as DISCOVERED and PARTITIONS report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Names the split.
    pub key: OffsetKey,
    /// Splits that must be read to their end before this one is read.
    pub parents: Vec<OffsetKey>,
    /// Whether the split takes no more records.
    pub closed: bool,
}

/// All splits of the source, in a stable order, and which life of the source they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Changes when the source is deleted and created again; empty where the service cannot tell.
    pub incarnation: String,
    /// Sorted by key.
    pub splits: Vec<Split>,
}

/// Where to begin a split that has no offset yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest record that is still there.
    Earliest,
    /// After the newest record.
    Latest,
    /// The first record at or after this time, milliseconds since the epoch.
    Timestamp(i64),
}

/// One probe of CHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What was tried, for example `topic orders`.
    pub name: String,
    /// How long it took.
    pub elapsed: Duration,
}

/// What one call of [`Source::poll`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Something was delivered or moved; ask again.
    Progress,
    /// The sink took no more; what it refused is kept for the next call.
    Full,
    /// Nothing to deliver within the wait. `caught_up`: every assigned split was read to the end
    /// that the service reports, and nothing is held back.
    Idle {
        /// See the variant.
        caught_up: bool,
    },
    /// Every split with an `until` has reached it.
    ReachedUntil,
}

/// What changed in the set of splits since the last question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Splits that were read to their end; they take no more records.
    pub closed: Vec<OffsetKey>,
    /// New splits with the place where each begins.
    pub added: Vec<(Split, OffsetValue)>,
}

/// Lag over all assigned splits, as far as the source knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Records between the position and the end.
    pub rows: Option<u64>,
    /// Age of the position in milliseconds.
    pub ms: Option<u64>,
}

/// Whether the sink took a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is part of the batch.
    Yes,
    /// The batch is full; nothing was taken. Offer it again for the next batch.
    No,
    /// The datum is larger than one row may be; nothing was taken. Deliver it as an error row.
    TooLarge {
        /// Bytes of the datum.
        bytes: usize,
    },
    /// The host could not load this row before; nothing was taken. Deliver it as an error row with
    /// [`Code::RowRefused`]; the sink knows the reason.
    Refused,
}

/// Where a source delivers rows. The one implementation outside tests is the batch.
pub trait RowSink {
    /// Rows that the batch still takes; 0 when it is full.
    fn rows_left(&self) -> usize;

    /// Appends one datum for `part`: `write` appends exactly one encoded row. It may be undone.
    fn row(&mut self, part: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Taken;

    /// Appends one error row for `part`.
    fn error(&mut self, part: u32, row: &ErrorRow<'_>) -> Taken;
}

/// Tells a blocking call that its answer is no longer wanted. Blocking calls look at it at least
/// every 100 ms.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the running call to end with `CANCELLED`.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Forgets an earlier [`Cancel::set`].
    pub fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether the running call should end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A place where rows come from.
pub trait Source {
    /// Connects, authorises and tries a read; the first thing that is wrong is the error.
    fn check(&mut self, cancel: &Cancel) -> Result<Vec<Probe>, Failure>;

    /// Lists all splits.
    fn discover(&mut self, cancel: &Cancel) -> Result<Discovery, Failure>;

    /// Turns a start into durable positions, by the service's clock, one for each key.
    fn offsets(
        &mut self,
        start: Start,
        keys: &[OffsetKey],
        cancel: &Cancel,
    ) -> Result<Vec<OffsetValue>, Failure>;

    /// Replaces the assignment; the index in `parts` is the part. Everything read for the old one
    /// is forgotten.
    fn assign(
        &mut self,
        incarnation: &str,
        parts: &[(OffsetKey, OffsetValue)],
        cancel: &Cancel,
    ) -> Result<(), Failure>;

    /// Sets where each of the named parts ends for the coming polls; replaces the last call.
    fn set_until(&mut self, until: &[(u32, OffsetValue)]) -> Result<(), Failure>;

    /// Delivers what is there into `sink`; waits at most `wait` when there is nothing.
    fn poll(&mut self, sink: &mut dyn RowSink, wait: Duration) -> Result<Polled, Failure>;

    /// Where `part` stands after everything delivered so far.
    fn position(&self, part: u32) -> Option<OffsetValue>;

    /// Lag over all parts.
    fn lag(&self) -> Lag;

    /// Lag of each part, in their order.
    fn lags(&self) -> Vec<Lag>;

    /// Whether the source gave much memory back to the allocator since the last call, and needs none as large
    /// for a while: then it is worth giving back to the system.
    fn has_freed(&mut self) -> bool {
        false
    }

    /// What changed in the set of splits since the last call; never blocks.
    fn topology(&mut self) -> Option<Topology>;

    /// Takes rotated credentials without losing the position.
    fn rotate(&mut self, credentials: &Map<String, Value>) -> Result<(), Failure>;
}

/// A source that understood its settings; nothing was connected yet.
pub struct Opened {
    /// The source.
    pub source: Box<dyn Source>,
    /// Keys that it does not know.
    pub unknown: Vec<Unknown>,
    /// Things a person should know, one line each.
    pub warnings: Vec<String>,
}

/// Key of CONFIG that names the source.
pub const CLASS: &str = "connector.class";

/// Every source of this program, as HELLO_OK lists them.
pub fn classes() -> Vec<SourceClass> {
    let class = |class: &str, keys: &[&str]| SourceClass {
        class: class.to_owned(),
        offset_key: keys.iter().map(|&key| key.to_owned()).collect(),
    };
    let kafka = kafka::CLASSES.iter().map(|name| class(name, &kafka::OFFSET_KEY));
    let kinesis = kinesis::CLASSES.iter().map(|name| class(name, &kinesis::OFFSET_KEY));
    kafka.chain(kinesis).chain([class(test::CLASS, &[test::KEY])]).collect()
}

/// Makes the source that the settings name.
pub fn open(settings: &Settings) -> Result<Opened, Failure> {
    let class = settings.text(CLASS).ok_or_else(|| Settings::missing(CLASS, "names the source"))?;
    match class {
        test::CLASS => test::open(settings),
        class if kafka::CLASSES.contains(&class) => kafka::open(settings),
        class if kinesis::CLASSES.contains(&class) => kinesis::open(settings),
        other => {
            let known: Vec<String> = classes().into_iter().map(|known| known.class).collect();
            let words: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = nearest(other, &words)
                .map_or_else(String::new, |near| format!(", did you mean {near}?"));
            let text = format!(
                "{CLASS} = {other:?} is no source of this extractor{hint} (it has {})",
                words.join(", ")
            );
            Err(Failure::new(Code::ConfigUnknownClass, text)
                .with("pointer", format!("/config/{CLASS}"))
                .fatal())
        }
    }
}
