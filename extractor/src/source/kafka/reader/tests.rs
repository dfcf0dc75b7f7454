//! The loop over scripted records; real ones are read in `extractor/tests`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::decode::{Format, Header};
use crate::source::kafka::client::Client;

/// Partition, offset and time of a record.
#[derive(Clone, Copy)]
struct Item(i32, i64, i64);

impl Fetched for Item {
    fn error(&self) -> Option<RDKafkaErrorCode> {
        None
    }

    fn error_text(&self) -> String {
        String::new()
    }

    fn topic_tag(&self) -> usize {
        1
    }

    fn topic(&self) -> &str {
        "t"
    }

    fn partition(&self) -> i32 {
        self.0
    }

    fn offset(&self) -> i64 {
        self.1
    }

    fn key(&self) -> Option<&[u8]> {
        None
    }

    fn value(&self) -> Option<&[u8]> {
        Some(b"v")
    }

    fn epoch(&self) -> Option<i32> {
        None
    }

    fn timestamp(&self) -> Option<i64> {
        Some(self.2)
    }

    fn headers(&self) -> Option<Vec<Header<'_>>> {
        Some(Vec::new())
    }
}

/// Gives what it holds, as much at a time as is asked for.
#[derive(Default)]
struct Script {
    coming: VecDeque<Item>,
    taken: Vec<Item>,
    passed: usize,
    /// How often a time was asked for.
    asked: Cell<usize>,
}

impl Fetcher for Script {
    type Item<'a> = Item;

    const QUEUE_PER_PARTITION: bool = false;

    fn open(_: Arc<Client>) -> Option<Self> {
        None
    }

    fn start(&mut self, _: &str, _: i32, _: i64) -> Result<(), RDKafkaErrorCode> {
        Ok(())
    }

    fn stop(&mut self, _: &str, partition: i32) -> Result<(), RDKafkaErrorCode> {
        self.taken.drain(..std::mem::take(&mut self.passed));
        self.taken.retain(|item| item.0 != partition);
        Ok(())
    }

    fn fill(&mut self, messages_max: usize, _: Duration) -> usize {
        if self.front().is_none() {
            self.clear();
            let count = messages_max.min(self.coming.len());
            self.taken.extend(self.coming.drain(..count));
        }
        self.taken.len() - self.passed
    }

    fn front(&mut self) -> Option<Item> {
        self.taken.get(self.passed).copied()
    }

    fn is_last(&self) -> bool {
        self.passed + 1 >= self.taken.len()
    }

    fn front_index(&self) -> usize {
        self.passed
    }

    fn time_of(&self, index: usize) -> Option<i64> {
        self.asked.set(self.asked.get() + 1);
        self.taken.get(index).map(|item| item.2)
    }

    fn pop(&mut self) {
        self.passed += 1;
    }

    fn clear(&mut self) {
        self.taken.clear();
        self.passed = 0;
    }

    fn end_seen(&self, _: &str, _: i32) -> Option<i64> {
        None
    }
}

/// Takes so many rows.
struct Sink(usize);

impl RowSink for Sink {
    fn rows_left(&self) -> usize {
        self.0
    }

    fn row(&mut self, _: u32, _: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Taken::Yes
            }
            None => Taken::No,
        }
    }

    fn error(&mut self, _: u32, _: &ErrorRow<'_>) -> Taken {
        Taken::Yes
    }
}

fn reader() -> Reader<Script> {
    let decoder = Decoder { key: Format::Bytes, value: Format::Bytes, metadata: false };
    let mut reader = Reader::new(Script::default(), decoder);
    for partition in 0..3 {
        let place = Place { topic: "t".to_owned(), partition };
        let key = place.to_key().unwrap();
        reader.start(Part::new(place, key, Position::at(0))).unwrap();
    }
    reader
}

fn seen(reader: &Reader<Script>) -> [Option<i64>; 3] {
    [0, 1, 2].map(|part: usize| reader.parts[part].seen_ms)
}

/// The age of a partition is that of its own last record that was delivered, wherever in a fetch its
/// run begins and ends, and costs one question for each run.
#[test]
fn every_partition_of_a_batch_tells_its_own_time() {
    let mut reader = reader();
    let mut check = |items: &[Item], runs, expected: [Option<i64>; 3]| {
        reader.queue.coming.extend(items);
        reader.queue.asked.set(0);
        assert_eq!(reader.fetch(&Sink(100), Duration::ZERO), Did::Something);
        reader.deliver(&mut Sink(100)).unwrap();
        assert_eq!((seen(&reader), reader.queue.asked.get()), (expected, runs));
    };
    check(&[Item(0, 0, 10), Item(1, 0, 11)], 2, [Some(10), Some(11), None]);
    check(&[Item(0, 1, 20), Item(1, 1, 21), Item(2, 0, 22)], 3, [Some(20), Some(21), Some(22)]);
    check(&[Item(2, 1, 32), Item(2, 2, 33)], 1, [Some(20), Some(21), Some(33)]);
    // Each run is longer than a record; the first goes on with that of the fetch before.
    let longer = [Item(2, 3, 40), Item(2, 4, 41), Item(0, 2, 42), Item(0, 3, 43), Item(1, 2, 44)];
    check(&longer, 3, [Some(43), Some(44), Some(41)]);
    // What was delivered before is dropped and tells nothing.
    check(&[Item(0, 4, 50), Item(0, 0, 10), Item(1, 0, 11)], 1, [Some(50), Some(44), Some(41)]);
}

/// What the sink refuses was not read yet, and what it took before was.
#[test]
fn a_record_that_the_sink_refuses_tells_no_time() {
    let mut reader = reader();
    reader.queue.coming.extend([Item(0, 0, 10), Item(0, 1, 11), Item(0, 2, 12), Item(1, 0, 13)]);
    assert_eq!(reader.fetch(&Sink(100), Duration::ZERO), Did::Something);
    let mut check = |room, did, expected| {
        assert_eq!(reader.deliver(&mut Sink(room)).unwrap(), did);
        assert_eq!(seen(&reader), expected);
    };
    check(0, Did::Full, [None, None, None]);
    check(2, Did::Full, [Some(11), None, None]);
    check(1, Did::Full, [Some(12), None, None]);
    check(1, Did::Something, [Some(12), Some(13), None]);
}

/// The last record before `until` stops its partition, and with it what was taken of it.
#[test]
fn a_partition_that_reaches_its_until_tells_its_last_record() {
    let mut reader = reader();
    reader.parts[1].set_until(Some(2));
    reader.queue.coming.extend([Item(0, 0, 10), Item(1, 0, 11), Item(1, 1, 12), Item(1, 2, 13)]);
    reader.queue.coming.extend([Item(2, 0, 14)]);
    assert_eq!(reader.fetch(&Sink(100), Duration::ZERO), Did::Something);
    assert_eq!(reader.deliver(&mut Sink(100)).unwrap(), Did::Something);
    assert_eq!(seen(&reader), [Some(10), Some(12), Some(14)]);
}
