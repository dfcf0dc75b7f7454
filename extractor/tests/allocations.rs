//! A row costs no allocation and one copy of its payload: what the hot path promises, counted.
#![expect(unsafe_code, reason = "an allocator that counts has no safe form")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

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
