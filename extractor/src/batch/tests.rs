//! Tests of batches: what comes out of the frames is what went in, whatever the limits are.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::avro::Blocks;

use super::*;

const MARKER: Marker = Marker([3; MARKER_LEN]);

fn batch(parts: usize, max_frame: u32, max_row_bytes: u64) -> Batch {
    let mut batch = Batch::new(Link::alone());
    batch.tell_digests();
    batch.limit(max_frame, max_row_bytes);
    batch.assign(MARKER, parts, &[]);
    batch
}

fn credit(max_rows: u64, max_bytes: u64) -> Extract {
    Extract { max_rows, max_bytes, max_interval_ms: 1, until: Vec::new() }
}

fn at(row: u64) -> OffsetValue {
    OffsetValue::parse(&format!(r#"{{"row":{row}}}"#)).unwrap()
}

fn put(batch: &mut Batch, part: u32, datum: &[u8]) -> Taken {
    batch.row(part, &mut |out| out.extend_from_slice(datum))
}

/// What lies in the outbox: per split and schema the datums one after the other, and all counts.
#[derive(Debug, Default, PartialEq)]
struct Came {
    bytes: BTreeMap<(u32, u32), Vec<u8>>,
    rows: BTreeMap<(u32, u32), u64>,
    payload_bytes: u64,
    largest: usize,
    frames: u64,
}

fn came(batch: &Batch) -> Came {
    let mut came = Came::default();
    while let Some((head, payload, crc)) = batch.link.take_frame() {
        assert_eq!(head.kind, Kind::Batch);
        assert_eq!(crc, crc32c::crc32c(&payload), "checksum made of pieces");
        let (prefix, blocks) = BatchPrefix::decode(&payload).unwrap();
        for block in Blocks::new(blocks, MARKER) {
            let block = block.unwrap();
            let key = (head.part, prefix.schema);
            came.bytes.entry(key).or_default().extend_from_slice(block.data);
            *came.rows.entry(key).or_default() += block.rows;
        }
        came.payload_bytes += payload.len() as u64;
        came.largest = came.largest.max(payload.len());
        came.frames += 1;
    }
    came
}

#[test]
fn a_checksum_that_was_carried_on_often_is_that_of_the_whole() {
    // A frame takes six of the rows; the seventh was appended before it turned out not to fit.
    let mut batch = batch(2, 256 * 1024, 1 << 20);
    batch.begin(1, 1, &credit(100, 1 << 30));
    let rows: Vec<Vec<u8>> = (0..40_u8).map(|row| vec![row; 41_000 + usize::from(row)]).collect();
    for (row, part) in rows.iter().zip([0, 0, 1].into_iter().cycle()) {
        assert_eq!(put(&mut batch, part, row), Taken::Yes);
    }
    let of = |part: u32| {
        let rows = rows.iter().zip([0, 0, 1].into_iter().cycle()).filter(|(_, it)| *it == part);
        rows.flat_map(|(row, _)| row.iter().copied()).collect::<Vec<_>>()
    };
    let (_, moves) = batch.finish([(at(0), at(1)), (at(0), at(1))].into_iter());
    for (part, step) in (0..).zip(&moves) {
        let digest = format!("crc32c:{:08x}", crc32c::crc32c(&of(part)));
        assert_eq!(step.digest.as_ref(), Some(&digest));
    }
    let came = came(&batch);
    assert_eq!(came.bytes[&(0, STATIC_SCHEMA_NUMBER)], of(0));
    assert_eq!(came.bytes[&(1, STATIC_SCHEMA_NUMBER)], of(1));
    assert!(came.frames > 6, "{}", came.frames);
}

fn finish(batch: &mut Batch, parts: u64) -> (Counts, Vec<Move>) {
    batch.finish((0..parts).map(|part| (at(0), at(part + 1))))
}

#[test]
fn rows_are_exact_and_the_last_one_closes_the_batch() {
    let mut batch = batch(1, 1 << 20, 1000);
    batch.begin(1, 1, &credit(3, 1 << 20));
    for left in [3, 2, 1] {
        assert_eq!(batch.rows_left(), left);
        assert_eq!(put(&mut batch, 0, b"x"), Taken::Yes);
    }
    assert_eq!((batch.rows_left(), batch.full()), (0, Some(Reason::Rows)));
    assert_eq!(put(&mut batch, 0, b"x"), Taken::No);
    assert_eq!(batch.taken(), 3);
}

#[test]
fn bytes_are_exact_and_one_larger_row_passes_alone() {
    let mut batch = batch(1, 1 << 20, 1000);
    batch.begin(1, 1, &credit(100, 10));
    assert_eq!(put(&mut batch, 0, b"123456"), Taken::Yes);
    assert_eq!(put(&mut batch, 0, b"12345"), Taken::No);
    assert_eq!(batch.full(), Some(Reason::Bytes));
    finish(&mut batch, 1);
    assert_eq!(came(&batch).bytes[&(0, 1)], b"123456", "the refused row left nothing");
    batch.begin(1, 2, &credit(100, 10));
    assert_eq!(put(&mut batch, 0, &[7; 11]), Taken::Yes);
    assert_eq!(batch.full(), Some(Reason::Bytes));
}

#[test]
fn a_row_over_the_limit_leaves_nothing() {
    let mut batch = batch(1, 1 << 20, 10);
    batch.begin(1, 1, &credit(100, 1000));
    assert_eq!(put(&mut batch, 0, &[7; 11]), Taken::TooLarge { bytes: 11 });
    assert_eq!((batch.taken(), batch.full()), (0, None));
    assert_eq!(finish(&mut batch, 0).0, Counts::default());
    assert_eq!(came(&batch), Came::default());
}

#[test]
fn the_pipe_refuses_rows_until_the_host_reads() {
    let mut batch = batch(1, 64 << 20, 1 << 20);
    batch.begin(1, 1, &credit(u64::MAX, u64::MAX));
    let datum = vec![0; 100_000];
    let mut rows = 0;
    while put(&mut batch, 0, &datum) == Taken::Yes {
        rows += 1;
        assert!(rows < 100, "the pipe never fills");
    }
    assert!(batch.waits_for_pipe() && batch.full().is_none());
    assert!(came(&batch).frames > 0);
    batch.resume();
    assert_eq!(put(&mut batch, 0, &datum), Taken::Yes);
}

#[test]
fn only_splits_that_moved_are_told() {
    let mut batch = batch(3, 1 << 20, 1000);
    batch.begin(1, 1, &credit(10, 1000));
    put(&mut batch, 1, b"row");
    let places = [(at(5), at(5)), (at(5), at(6)), (at(5), at(9))];
    let (counts, moves) = batch.finish(places.into_iter());
    assert_eq!((counts.rows, counts.frames), (1, 1));
    let told: Vec<_> = moves.iter().map(|step| (step.part, step.rows)).collect();
    assert_eq!(told, [(1, 1), (2, 0)]);
    assert_eq!(moves[0].digest, Some(format!("crc32c:{:08x}", crc32c::crc32c(b"row"))));
    assert_eq!(moves[1].digest, None);
}

#[test]
fn an_error_row_loses_its_parts_one_after_the_other() {
    let big = vec![b'v'; 70_000];
    let check = |row: ErrorRow<'_>, kept: (bool, bool, bool)| {
        let mut batch = batch(1, 65_536, 1000);
        batch.begin(1, 1, &credit(10, 1 << 30));
        assert_eq!(batch.error(0, &row), Taken::Yes);
        finish(&mut batch, 1);
        let bytes = came(&batch).bytes.remove(&(0, 0)).unwrap();
        let read = ErrorRow::read(&mut protocol::avro::Cursor::new(&bytes)).unwrap();
        let found = (read.value.is_some(), !read.headers.is_empty(), read.key.is_some());
        assert_eq!(found, kept);
        assert_eq!(read.reason.contains(PARTS_LEFT_OUT), kept != (true, true, true));
        assert_eq!((read.split, read.position), (row.split, row.position));
    };
    let row = |value, headers, key| ErrorRow {
        split: r#"{"a":1}"#,
        position: r#"{"b":2}"#,
        key: Some(key),
        value: Some(value),
        headers: vec![("h", Some(headers))],
        code: "DECODE_FAILED",
        reason: "bad",
        timestamp: None,
    };
    check(row(b"v", b"h", b"k"), (true, true, true));
    check(row(&big, b"h", b"k"), (false, true, true));
    check(row(&big, &big, b"k"), (false, false, true));
    check(row(&big, &big, &big), (false, false, false));
    let long = "r".repeat(9000);
    check(ErrorRow { reason: &long, ..row(&big, b"h", b"k") }, (false, true, true));
}

fn refused(part: u32, row: u64, datum: &[u8]) -> Refused {
    let (digest, reason) = (Refused::digest_of(datum), format!("reason of {row}"));
    Refused { part, row, digest, reason }
}

/// Offers a row, and where it is refused its error row, as sources do.
fn offer(batch: &mut Batch, part: u32, datum: &[u8]) -> (Taken, bool) {
    match put(batch, part, datum) {
        Taken::Refused => {
            let code = Code::RowRefused.name();
            (batch.error(part, &ErrorRow { value: Some(datum), code, ..ErrorRow::default() }), true)
        }
        taken => (taken, false),
    }
}

/// Rows are refused by their place since the assignment, over all batches, however often they are offered;
/// a row with other bytes in that place is not.
#[test]
fn rows_are_refused_by_place_and_bytes() {
    let mut batch = batch(2, 1 << 20, 1000);
    let list = [refused(0, 1, b"b"), refused(0, 2, b"c"), refused(0, 4, b"x"), refused(1, 0, b"a")];
    batch.assign(MARKER, 2, &list);
    let mut errors = Vec::new();
    for rows in [2, 1, 3] {
        batch.begin(1, 1, &credit(rows, 1 << 20));
        for datum in [b"a", b"b", b"c", b"d", b"e", b"f"].iter().skip(errors.len()) {
            let (taken, was_refused) = offer(&mut batch, 0, *datum);
            if taken == Taken::No {
                break;
            }
            errors.push(was_refused);
        }
        let _frames = finish(&mut batch, 2);
    }
    assert_eq!(errors, [false, true, true, false, false, false]);
    batch.begin(1, 1, &credit(9, 1 << 20));
    assert_eq!(offer(&mut batch, 1, b"a"), (Taken::Yes, true));
    assert!(batch.refusals.is_empty());
}

/// An error row that found no room in its batch is refused again in the next one, with its own reason.
#[test]
fn a_refused_row_without_room_comes_later_with_its_reason() {
    let mut batch = batch(1, 1 << 20, 1000);
    batch.assign(MARKER, 1, &[refused(0, 1, b"bb")]);
    batch.begin(1, 1, &credit(9, 20));
    assert_eq!(offer(&mut batch, 0, b"a"), (Taken::Yes, false));
    assert_eq!(offer(&mut batch, 0, b"bb"), (Taken::No, true));
    let _frames = finish(&mut batch, 1);
    came(&batch);
    batch.begin(1, 2, &credit(9, 1 << 20));
    assert_eq!(offer(&mut batch, 0, b"bb"), (Taken::Yes, true));
    assert_eq!(offer(&mut batch, 0, b"bb"), (Taken::Yes, false));
    let (counts, _) = finish(&mut batch, 1);
    assert_eq!((counts.rows, counts.errors), (1, 1));
    let bytes = came(&batch).bytes.remove(&(0, ERROR_SCHEMA_NUMBER)).unwrap();
    let mut cursor = protocol::avro::Cursor::new(&bytes);
    let row = ErrorRow::read(&mut cursor).unwrap();
    assert_eq!((row.code, row.reason, row.value), ("ROW_REFUSED", "reason of 1", Some(&b"bb"[..])));
}

proptest! {
    #[test]
    fn what_comes_out_is_what_went_in(
        rows in proptest::collection::vec((0u32..4, any::<bool>(), 1usize..40_000), 1..120),
        max_frame in prop_oneof![Just(65_536u32), Just(1 << 20), Just(64 << 20)],
        max_bytes in prop_oneof![Just(10_000u64), Just(u64::MAX)],
    ) {
        let mut batch = batch(4, max_frame, 1 << 20);
        let mut expected: BTreeMap<(u32, u32), Vec<u8>> = BTreeMap::new();
        let mut found: BTreeMap<(u32, u32), Vec<u8>> = BTreeMap::new();
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            batch.begin(1, 1, &credit(50, max_bytes));
            let mut came_so_far = Came::default();
            let mut this: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
            let mut gather = |batch: &Batch, sum: &mut Came| {
                let more = came(batch);
                sum.frames += more.frames;
                sum.payload_bytes += more.payload_bytes;
                sum.largest = sum.largest.max(more.largest);
                for (key, bytes) in more.bytes {
                    found.entry(key).or_default().extend(bytes);
                }
            };
            while let Some((part, is_error, len)) = rows.peek().copied() {
                let fill = u8::try_from(len % 251).unwrap();
                let value = vec![fill; len];
                let row = ErrorRow { value: Some(&value), ..ErrorRow::default() };
                let taken = if is_error {
                    batch.error(part, &row)
                } else {
                    put(&mut batch, part, &value)
                };
                match taken {
                    Taken::Yes if is_error => {
                        row.write(expected.entry((part, 0)).or_default());
                    }
                    Taken::Yes => {
                        expected.entry((part, 1)).or_default().extend(&value);
                        this.entry(part).or_default().extend(&value);
                    }
                    Taken::No if batch.waits_for_pipe() => {
                        gather(&batch, &mut came_so_far);
                        batch.resume();
                        continue;
                    }
                    Taken::No => break,
                    Taken::TooLarge { .. } | Taken::Refused => {
                        prop_assert!(false, "nothing here is too large or refused");
                    }
                }
                rows.next();
            }
            prop_assert!(batch.taken() > 0 && batch.taken() <= 50);
            let (counts, moves) = finish(&mut batch, 4);
            gather(&batch, &mut came_so_far);
            prop_assert_eq!(counts.frames, came_so_far.frames);
            prop_assert_eq!(counts.payload_bytes, came_so_far.payload_bytes);
            prop_assert!(came_so_far.largest <= max_frame as usize);
            for step in &moves {
                let whole = this.get(&step.part);
                let digest = whole.map(|bytes| format!("crc32c:{:08x}", crc32c::crc32c(bytes)));
                prop_assert_eq!(&step.digest, &digest);
            }
        }
        prop_assert_eq!(found, expected);
    }
}
