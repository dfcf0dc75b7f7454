//! A row costs no allocation and one copy of its payload: what the hot path promises, counted.
#![expect(unsafe_code, reason = "an allocator that counts has no safe form")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use extractor::decode::avro::{Options, Plan};
use extractor::decode::csv::{Csv, parse_columns};
use extractor::decode::translate::{Codec, Translator};
use extractor::decode::{Decoder, Format, Record};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(start, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_row_allocates_nothing() {
    let value = format!(r#"{{"n":1,"text":"Gr\u00fcße","pad":"{}"}}"#, "x".repeat(1000));
    let mut frame = Vec::with_capacity(4 << 20);
    for (key, value_format) in [
        (Format::String, Format::Json),
        (Format::Json, Format::String),
        (Format::Bytes, Format::Bytes),
    ] {
        let decoder = Decoder { key, value: value_format, metadata: false };
        for key in [None, Some(b"\"key\"".as_slice())] {
            frame.clear();
            let before = CALLS.get();
            for offset in 0..1000 {
                let value = Some(value.as_bytes());
                let record = Record { topic: "t", offset, key, value, ..Record::default() };
                decoder.decode(&record).unwrap().write(&mut frame);
            }
            assert_eq!(CALLS.get() - before, 0, "{decoder:?} {key:?}");
            assert!(frame.len() > 1_000_000);
        }
    }
}

/// Nor does one of another format, once the buffer for its text is there.
#[test]
fn a_row_of_avro_or_csv_allocates_nothing() {
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"n","type":"long"},
        {"name":"text","type":["null","string"]},{"name":"list","type":{"type":"array","items":"r"}},
        {"name":"sum","type":{"type":"bytes","logicalType":"decimal","precision":78,"scale":39}},
        {"name":"float","type":"double"},{"name":"bytes","type":"bytes"}]}"#;
    let plan = Arc::new(Plan::parse(schema, &[], Options::default()).unwrap());
    let tail = [&[0, 66][..], &[0x5a; 33], &1.5_f64.to_le_bytes(), b"\x04ab"].concat();
    let inner = [&b"\x02\x00"[..], &tail].concat();
    let avro = [&b"\x02\x02\x06abc\x02"[..], &inner, &tail].concat();
    let csv = Csv {
        columns: parse_columns("n BIGINT, text, list ARRAY<INT>, sum DECIMAL").unwrap(),
        delimiter: b',',
        quote: Some(b'"'),
        escape: None,
        null: None,
        item_delimiter: b';',
        comments: false,
    };
    let line = b"1,\"a \"\"b\"\"\",1;2;3,12345678901234567890.10".to_vec();
    let decoder = Decoder { key: Format::Written, value: Format::Written, metadata: false };
    let mut frame = Vec::with_capacity(4 << 20);
    for (codec, value) in [(Codec::Avro(plan), avro), (Codec::Csv(Arc::new(csv)), line)] {
        let mut translator = Translator::new(Codec::Plain, codec, None);
        let mut before = 0;
        for offset in 0..1001 {
            let (_, text) = translator.translate(None, Some(&value)).unwrap();
            let record = Record { topic: "t", offset, value: text, ..Record::default() };
            decoder.decode(&record).unwrap().write(&mut frame);
            if offset == 0 {
                before = CALLS.get();
            }
        }
        assert_eq!(CALLS.get() - before, 0);
    }
}
