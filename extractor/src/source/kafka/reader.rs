//! The hot loop: from the fetch queue through the decoder into the sink, and the order of events.
//! It may use the queue and the parts; it knows no metadata.

use std::collections::HashMap;
use std::time::Duration;

use protocol::avro::ErrorRow;
use protocol::{Code, Failure};
use rdkafka::types::RDKafkaErrorCode;

use super::failure;
use super::fetcher::{Fetched, Fetcher, HEADERS_MAX};
use super::formats::Foreign;
use super::monitor::is_unknown;
use super::part::{Part, Verdict};
use super::position::{Place, Position};
use super::queue::MESSAGES_MAX;
use crate::decode::translate::Hindrance;
use crate::decode::{Decoder, Record};
use crate::source::{RowSink, Taken};

/// Bytes of records that are taken out of the queue at once, by the mean size of the last ones.
///
/// Why 1 MiB: what was taken is outside the memory limit of the queue, which is filled again.
const TAKEN_BYTES: usize = 1024 * 1024;

/// Bytes that a record is taken for before the first came. Why 64 KiB: 16 are taken then, and they
/// tell more.
const MEAN_BYTES_FIRST: usize = 64 * 1024;

/// What a call of [`Reader::fetch`] or [`Reader::deliver`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// Something was delivered, moved or dropped.
    Something,
    /// The sink took no more.
    Full,
    /// There was nothing to do.
    Nothing,
    /// The next record waits for its schema.
    Waiting,
}

/// What an item asks for after it was handled.
enum Next {
    /// The item is a record that is in the batch.
    Delivered,
    /// The same, and its partition has reached its `until`.
    DeliveredLast,
    /// The item is done, and nothing of it is in the batch.
    Done,
    /// The item stays: the sink is full.
    Full,
    /// The item stays: its schema is on its way.
    Waiting,
    /// The partition has reached its `until`.
    Stop,
    /// The item is done, and the state of the topic is in doubt.
    Doubt,
}

/// The assigned partitions and what was fetched for them.
pub(super) struct Reader<F> {
    pub(super) parts: Vec<Part>,
    pub(super) queue: F,
    pub(super) decoder: Decoder,
    /// Makes JSON of what is none yet.
    pub(super) foreign: Option<Foreign>,
    /// The topics are in doubt; set here, taken by the owner.
    pub(super) doubt: bool,
    /// Mean bytes of the records delivered last.
    mean_bytes: usize,
    known: Known,
}

/// Which part an item belongs to, by its topic tag and partition; the queue keeps the tags valid.
#[derive(Default)]
struct Known {
    found: HashMap<(usize, i32), usize>,
    /// That of the last item, since items come in runs.
    last: Option<((usize, i32), usize)>,
}

impl Known {
    fn index_of(&mut self, parts: &[Part], item: &impl Fetched) -> Option<usize> {
        let tag = (item.topic_tag(), item.partition());
        if let Some((last, index)) = self.last
            && last == tag
        {
            return Some(index);
        }
        let index = self.found.get(&tag).copied().or_else(|| find(parts, item))?;
        self.found.insert(tag, index);
        self.last = Some((tag, index));
        Some(index)
    }
}

impl<F: Fetcher> Reader<F> {
    pub(super) fn new(queue: F, decoder: Decoder) -> Self {
        let (parts, known, mean_bytes) = (Vec::new(), Known::default(), MEAN_BYTES_FIRST);
        let foreign = None;
        Self { parts, queue, decoder, foreign, doubt: false, mean_bytes, known }
    }

    /// Stops all partitions, forgets what was fetched for them, and gives them away.
    pub(super) fn stop_all(&mut self) -> Vec<Part> {
        let parts = std::mem::take(&mut self.parts);
        for part in &parts {
            stop(&mut self.queue, &part.place);
        }
        self.queue.clear();
        self.known = Known::default();
        parts
    }

    /// Takes a partition that another reader had, at its position.
    pub(super) fn resume(&mut self, mut part: Part) -> Result<(), Failure> {
        if part.resume() {
            start(&mut self.queue, &part)?;
        }
        self.parts.push(part);
        Ok(())
    }

    /// Starts one more partition at its position.
    pub(super) fn start(&mut self, part: Part) -> Result<(), Failure> {
        start(&mut self.queue, &part)?;
        self.parts.push(part);
        Ok(())
    }

    /// Stops and starts a partition at its position.
    pub(super) fn start_again(&mut self, index: usize) -> Result<(), Failure> {
        let Some(part) = self.parts.get(index) else { return Ok(()) };
        stop(&mut self.queue, &part.place);
        start(&mut self.queue, part)
    }

    /// Stops a partition that is to be read no further for now.
    pub(super) fn stop(&mut self, index: usize) {
        if let Some(part) = self.parts.get(index) {
            stop(&mut self.queue, &part.place);
        }
    }

    /// Takes messages from the queue, at most as many as the sink has room for.
    pub(super) fn fetch(&mut self, sink: &dyn RowSink, wait: Duration) -> Did {
        let by_bytes = (TAKEN_BYTES / self.mean_bytes.max(1)).clamp(1, MESSAGES_MAX);
        match sink.rows_left() {
            0 => Did::Full,
            room if self.queue.fill(room.min(by_bytes), wait) == 0 => Did::Nothing,
            _ => Did::Something,
        }
    }

    /// Hands what was taken to the sink. What the sink refuses stays.
    pub(super) fn deliver(&mut self, sink: &mut dyn RowSink) -> Result<Did, Failure> {
        let (mut bytes, mut count) = (0_usize, 0_usize);
        // The record delivered last and its part, unless its time was noted.
        let mut newest = None;
        loop {
            let is_last = self.queue.is_last();
            let Some(item) = self.queue.front() else {
                self.note_time(&mut newest);
                self.queue.clear();
                self.mean_bytes = bytes.checked_div(count).unwrap_or(self.mean_bytes);
                return Ok(Did::Something);
            };
            if item.error().is_none() {
                count += 1;
                bytes += item.key().map_or(0, <[u8]>::len) + item.value().map_or(0, <[u8]>::len);
                if is_last {
                    bytes += count * header_bytes(&item);
                }
            }
            let index = self.known.index_of(&self.parts, &item);
            let part = index.and_then(|index| Some((index, self.parts.get_mut(index)?)));
            let Some((index, part)) = part else {
                self.queue.pop();
                continue;
            };
            let next = match item.error() {
                None => record((self.decoder, self.foreign.as_mut()), index, part, &item, sink)?,
                Some(code) => event(part, &item, code),
            };
            // Once for each run of records of one partition: what it costs is a call.
            if newest.is_some_and(|(part, _)| part != index)
                || matches!(next, Next::Full | Next::Waiting)
            {
                self.note_time(&mut newest);
            }
            match next {
                Next::Delivered => {
                    newest = Some((index, self.queue.front_index()));
                    self.queue.pop();
                }
                Next::DeliveredLast => {
                    newest = Some((index, self.queue.front_index()));
                    self.note_time(&mut newest);
                    self.stop(index);
                }
                Next::Done => self.queue.pop(),
                Next::Full => return Ok(Did::Full),
                Next::Waiting => return Ok(Did::Waiting),
                Next::Stop => {
                    self.note_time(&mut newest);
                    self.stop(index);
                }
                Next::Doubt => {
                    self.doubt = true;
                    self.queue.pop();
                }
            }
        }
    }

    /// Has a part tell the time of the record that it delivered last, given by its index in the queue.
    fn note_time(&mut self, newest: &mut Option<(usize, usize)>) {
        let Some((part, record)) = newest.take() else { return };
        if let Some(part) = self.parts.get_mut(part) {
            part.seen_ms = self.queue.time_of(record).or(part.seen_ms);
        }
    }
}

/// Bytes of the headers of one record. Why of the last one taken only: to know them they have to be
/// parsed, and records of one time mostly have headers of one size.
fn header_bytes(item: &impl Fetched) -> usize {
    let headers = item.headers().unwrap_or_default();
    headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum()
}

fn find(parts: &[Part], item: &impl Fetched) -> Option<usize> {
    let (topic, partition) = (item.topic(), item.partition());
    parts.iter().position(|p| p.place.partition == partition && p.place.topic == topic)
}

fn start(queue: &mut impl Fetcher, part: &Part) -> Result<(), Failure> {
    let (place, offset) = (&part.place, part.position().offset);
    queue.start(&place.topic, place.partition, offset).map_err(|code| {
        Failure::new(Code::Bug, format!("{place}: cannot fetch from offset {offset}: {code}"))
    })
}

fn stop(queue: &mut impl Fetcher, place: &Place) {
    if let Err(code) = queue.stop(&place.topic, place.partition) {
        tracing::debug!(topic = place.topic, partition = place.partition, ?code, "stop failed");
    }
}

/// One record.
fn record(
    (decoder, foreign): (Decoder, Option<&mut Foreign>),
    index: usize,
    part: &mut Part,
    item: &impl Fetched,
    sink: &mut dyn RowSink,
) -> Result<Next, Failure> {
    let (offset, epoch) = (item.offset(), item.epoch());
    match part.message(offset, epoch) {
        Verdict::Deliver => {}
        Verdict::Drop | Verdict::Broken => return Ok(Next::Done),
        Verdict::Reached => return Ok(Next::Stop),
    }
    let number = u32::try_from(index).unwrap_or(u32::MAX);
    let (key, value) = match foreign {
        None => (item.key(), item.value()),
        Some(foreign) => match foreign.translate(item.key(), item.value()) {
            Ok(texts) => texts,
            Err(Hindrance::Waiting) => return Ok(Next::Waiting),
            Err(Hindrance::Failed(failure)) => {
                return Err(failure.at(number, Some(Position::at(offset).to_value()?)));
            }
            Err(Hindrance::Undecodable(why)) => {
                return error_row(number, part, item, sink, (why.code(), why.to_string()));
            }
        },
    };
    let mut record = Record {
        topic: &part.place.topic,
        partition: part.place.partition,
        offset,
        key,
        value,
        ..Record::default()
    };
    let mut unreadable = false;
    if decoder.wants_metadata() {
        record.timestamp = item.timestamp();
        match item.headers() {
            Some(headers) => record.headers = headers,
            None => unreadable = true,
        }
    }
    let (code, reason) = match decoder.decode(&record) {
        Ok(_) if unreadable => {
            let reason = format!("its headers are damaged or more than {HEADERS_MAX}");
            (Code::DecodeFailed, reason)
        }
        Ok(row) => match sink.row(number, &mut |out| row.write(out)) {
            Taken::Yes => return Ok(delivered(part, offset, epoch)),
            Taken::No => return Ok(Next::Full),
            Taken::TooLarge { bytes } => {
                let reason = format!("the row of {bytes} bytes is larger than a row may be");
                (Code::RowTooLarge, reason)
            }
            Taken::Refused => (Code::RowRefused, String::new()),
        },
        Err(undecodable) => (undecodable.code(), undecodable.to_string()),
    };
    error_row(number, part, item, sink, (code, reason))
}

/// A record that is in the batch. The last one before `until` reaches it: what says that the partition
/// ends there comes with the broker's next answer, which it holds back while there is nothing new.
fn delivered(part: &mut Part, offset: i64, epoch: Option<i32>) -> Next {
    part.delivered(offset, epoch);
    if part.reaches_now() { Next::DeliveredLast } else { Next::Delivered }
}

/// A record that is no row: it goes into the batch as it came, with the reason.
fn error_row(
    number: u32,
    part: &mut Part,
    item: &impl Fetched,
    sink: &mut dyn RowSink,
    (code, reason): (Code, String),
) -> Result<Next, Failure> {
    let offset = item.offset();
    let position = Position::at(offset).to_value()?;
    let (raw, left_out) = match item.headers() {
        Some(headers) => (headers, ""),
        None => (Vec::new(), "; its headers are left out: damaged, or too many"),
    };
    let reason = reason + left_out;
    let names: Vec<_> = raw.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    let headers = names.iter().zip(&raw).map(|(name, (_, value))| (name.as_ref(), *value));
    let short = format!("{reason}; its value is left out here and still on the broker");
    let mut row = ErrorRow {
        split: part.key.as_str(),
        position: position.as_str(),
        timestamp: item.timestamp(),
        key: item.key(),
        value: item.value(),
        headers: headers.collect(),
        code: code.name(),
        reason: &reason,
    };
    let mut taken = sink.error(number, &row);
    if matches!(taken, Taken::TooLarge { .. }) {
        // The value is what is large; the rest still finds the record on the broker.
        row.reason = &short;
        row.value = None;
        taken = sink.error(number, &row);
    }
    match taken {
        Taken::Yes => Ok(delivered(part, offset, item.epoch())),
        Taken::No | Taken::Refused => Ok(Next::Full),
        Taken::TooLarge { bytes } => {
            let text = format!(
                "{}: the record at offset {offset} needs {bytes} bytes even without its value; \
                 raise max_row_bytes",
                part.place
            );
            Err(Failure::new(Code::RowTooLarge, text).at(number, Some(position)))
        }
    }
}

/// One event of a partition. Order matters: it comes after every record before it.
fn event(part: &mut Part, item: &impl Fetched, code: RDKafkaErrorCode) -> Next {
    use RDKafkaErrorCode as E;
    let (place, offset) = (&part.place, item.offset());
    match code {
        E::PartitionEOF => match part.at_end(offset) {
            (Verdict::Reached, _) => Next::Stop,
            _ => Next::Done,
        },
        E::AutoOffsetReset | E::OffsetOutOfRange | E::LogTruncation => {
            tracing::debug!(%place, offset, text = item.error_text(), "the fetcher lost its place");
            part.lose();
            Next::Done
        }
        E::BadMessage | E::BadCompression | E::NotImplemented | E::InvalidMessage => {
            // What follows in the queue lies behind the damage and must not be delivered. The batch
            // may begin before the position, so that its offset decides nothing.
            let tell =
                if code == E::BadCompression { failure::unpackable } else { failure::corrupt };
            let failure = tell(place, offset, &item.error_text());
            part.lose_to(failure);
            Next::Done
        }
        E::MessageSizeTooLarge => {
            let text = format!(
                "{place}: the record batch at offset {offset} is larger than the client accepts; \
                 raise properties.receive.message.max.bytes"
            );
            part.fail(Failure::new(Code::BufferLimit, text));
            Next::Done
        }
        E::TopicAuthorizationFailed => {
            let text = format!("{place}: the broker denies to read it; allow READ on the topic");
            part.fail(Failure::new(Code::PermissionDenied, text));
            Next::Done
        }
        code if is_unknown(code) => Next::Doubt,
        code => {
            // librdkafka tries again by itself.
            tracing::warn!(%place, offset, ?code, text = item.error_text(), "fetch failed");
            Next::Done
        }
    }
}

#[cfg(test)]
mod tests;
