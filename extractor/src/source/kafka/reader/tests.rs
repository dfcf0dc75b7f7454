//! The loop over scripted records; real ones are read in `extractor/tests`.

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
    taken: VecDeque<Item>,
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

    fn stop(&mut self, _: &str, _: i32) -> Result<(), RDKafkaErrorCode> {
        Ok(())
    }

    fn fill(&mut self, messages_max: usize, _: Duration) -> usize {
        let count = messages_max.min(self.coming.len());
        self.taken.extend(self.coming.drain(..count));
        self.taken.len()
    }

    fn front(&mut self) -> Option<Item> {
        self.taken.front().copied()
    }

    fn is_last(&self) -> bool {
        self.taken.len() <= 1
    }

    fn pop(&mut self) {
        self.taken.pop_front();
    }

    fn clear(&mut self) {
        self.taken.clear();
    }

    fn end_seen(&self, _: &str, _: i32) -> Option<i64> {
        None
    }
}

/// Takes everything, `0` rows at a time at most.
struct Sink(usize);

impl RowSink for Sink {
    fn rows_left(&self) -> usize {
        self.0
    }

    fn row(&mut self, _: u32, _: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        Taken::Yes
    }

    fn error(&mut self, _: u32, _: &ErrorRow<'_>) -> Taken {
        Taken::Yes
    }
}

/// The age of a partition is that of its own last records, also where others come after them.
#[test]
fn every_partition_of_a_batch_tells_its_own_time() {
    let decoder = Decoder { key: Format::Bytes, value: Format::Bytes, metadata: false };
    let mut reader = Reader::new(Script::default(), decoder);
    for partition in 0..3 {
        let place = Place { topic: "t".to_owned(), partition };
        let key = place.to_key().unwrap();
        reader.start(Part::new(place, key, Position::at(0))).unwrap();
    }
    let mut check = |items: &[Item], seen: [Option<i64>; 3]| {
        reader.queue.coming.extend(items);
        assert_eq!(reader.fetch(&Sink(100), Duration::ZERO), Did::Something);
        reader.deliver(&mut Sink(100)).unwrap();
        assert_eq!([0, 1, 2].map(|part: usize| reader.parts[part].seen_ms), seen);
    };
    check(&[Item(0, 0, 10), Item(1, 0, 11)], [Some(10), Some(11), None]);
    check(&[Item(0, 1, 20), Item(1, 1, 21), Item(2, 0, 22)], [Some(20), Some(21), Some(22)]);
    check(&[Item(2, 1, 32), Item(2, 2, 33)], [Some(20), Some(21), Some(33)]);
}
