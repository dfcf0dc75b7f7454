//! Records are JSON, within their size, and the same every time.

use super::*;

#[test]
fn records_are_json_and_within_their_size() {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for number in (0..20_000).chain([999_999_999]) {
        write_key(number, &mut key);
        write_value(number, &mut value);
        let record: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(record["order"], number);
        // A broker keeps about 20 bytes beside each record.
        let len = u64::try_from(key.len() + value.len() + 24).unwrap();
        assert!(len <= RECORD_BYTES_MAX, "{len} bytes: {record}");
    }
}

#[test]
fn the_same_number_gives_the_same_bytes() {
    let mut value = Vec::new();
    write_value(7, &mut value);
    let first = value.clone();
    write_value(8, &mut value);
    assert_ne!(value, first);
    write_value(7, &mut value);
    assert_eq!(value, first);
    let mut key = Vec::new();
    write_key(7, &mut key);
    assert_eq!(key, b"order-000000007");
}
