//! Numbers at the edges of their units.

use super::*;

#[test]
fn counts() {
    let check = |number: u64, wanted: &str| assert_eq!(count(number), wanted);
    check(0, "0");
    check(999, "999");
    check(1000, "1,000");
    check(12_345, "12,345");
    check(1_000_000, "1,000,000");
    check(u64::MAX, "18,446,744,073,709,551,615");
}

#[test]
fn sizes() {
    let check = |number: u64, wanted: &str| assert_eq!(bytes(number), wanted);
    check(0, "0 B");
    check(999, "999 B");
    check(1000, "1.0 kB");
    check(999_999, "999.9 kB");
    check(312_400_000, "312.4 MB");
    check(u64::MAX, "18446744.0 TB");
    assert_eq!(memory(1023), "1023 B");
    assert_eq!(memory(47_316_992), "45.1 MiB");
}

#[test]
fn times() {
    let check = |ms: u64, wanted: &str| assert_eq!(duration(Duration::from_millis(ms)), wanted);
    check(0, "0.0 s");
    check(12_340, "12.3 s");
    check(59_999, "59.9 s");
    check(60_000, "1 min 00 s");
    check(3_725_000, "1 h 02 min");
}

#[test]
fn rates() {
    assert_eq!(rate(1_000_000, Duration::from_millis(12_500)), 80_000);
    assert_eq!(rate(5, Duration::ZERO), 0);
    assert_eq!(rate(u64::MAX, Duration::from_micros(1)), u64::MAX);
}

#[test]
fn pauses() {
    let check = |us: u64, wanted: &str| assert_eq!(after(Duration::from_micros(us)), wanted);
    check(999, "at once");
    check(99_000, "in 99 ms");
    check(1_500_000, "in 1.5 s");
}

#[test]
fn lag_is_told_as_far_as_it_is_known() {
    let check = |rows, ms, wanted: Option<&str>| assert_eq!(lag(rows, ms).as_deref(), wanted);
    check(None, None, None);
    check(Some(1_234), None, Some("lag 1,234"));
    check(None, Some(2_500), Some("lag 2.5 s"));
    check(Some(7), Some(2_500), Some("lag 7, 2.5 s"));
}
