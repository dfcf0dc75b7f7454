//! Lengths in all of their sizes, and what is too short.

use super::{Reader, put_count, put_counted};

#[test]
fn lengths_come_back_as_they_went() {
    for number in [0, 1, 250, 251, 252, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000, u64::MAX] {
        let mut bytes = Vec::new();
        put_count(&mut bytes, number);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.count().unwrap() as u64, number);
        assert!(reader.is_empty());
        for end in 0..bytes.len() {
            assert!(Reader::new(&bytes[..end]).count().is_err(), "{number} cut at {end}");
        }
    }
    let mut bytes = Vec::new();
    put_counted(&mut bytes, b"text");
    assert_eq!(Reader::new(&bytes).counted().unwrap(), b"text");
    assert!(Reader::new(&bytes[..4]).counted().is_err());
    assert!(Reader::new(&[254, 255, 255, 255, 255, 255, 255, 255, 255]).counted().is_err());
    assert!(Reader::new(&[251]).count().is_err() && Reader::new(&[255]).count().is_err());
}

#[test]
fn text_ends_at_a_zero_or_with_the_packet() {
    let mut reader = Reader::new(b"a\0b");
    assert_eq!(
        (reader.terminated(), reader.terminated(), reader.rest()),
        (&b"a"[..], &b"b"[..], &b""[..])
    );
}
