//! The text forms of LOAD DATA.

use super::*;

#[test]
fn reads_the_counters() {
    let counters = Counters::parse("Records: 5  Deleted: 0  Skipped: 1  Warnings: 12");
    assert_eq!(counters, Some(Counters { records: 5, skipped: 1, warnings: 12 }));
    assert_eq!(Counters::parse(""), None);
    assert_eq!(Counters::parse("Records: x  Skipped: 1  Warnings: 2"), None);
}

#[test]
fn escapes_what_would_end_a_field() {
    let mut text = Vec::new();
    escape(&mut text, "a\tb\nc\\d\0e\"é");
    assert_eq!(text, b"a\\tb\\nc\\\\d\\0e\"\xc3\xa9");
}
