//! Checks where ports are looked for and that what is picked can be bound.

use super::*;

#[test]
fn candidates_avoid_the_kernels_range() {
    let check = |text: Option<&str>, expected: Range<u16>| {
        assert_eq!(candidates(text), expected, "{text:?}");
    };
    check(Some("32768\t60999\n"), 20_000..32_768);
    check(None, 20_000..32_768);
    check(Some("49152 65535"), 20_000..32_768);
    check(Some("25000 60999"), 20_000..25_000);
    check(Some("1024 60999"), 61_000..65_535);
    check(Some("1024 65535"), 0..0);
    check(Some("1024 2000"), 0..0);
    check(Some("noise"), 20_000..32_768);
}

#[test]
fn guesses_stay_in_the_range() {
    for _ in 0..1_000 {
        assert!((20_000..20_003).contains(&guess(&(20_000..20_003))));
    }
    assert_eq!(guess(&(0..0)), 0);
}

#[test]
fn picked_ports_differ_are_free_and_are_not_the_taken_ones() {
    let first = pick(20, &BTreeSet::new()).unwrap();
    let taken: BTreeSet<u16> = first.iter().copied().collect();
    assert_eq!(taken.len(), 20);
    let second = pick(20, &taken).unwrap();
    assert!(second.iter().all(|port| !taken.contains(port)));
    // Another process may grab one in between, but not one of every twenty, time and again.
    let is_free = |port: &u16| check_free(*port).is_ok();
    let are_free = || pick(20, &taken).unwrap().iter().all(is_free);
    assert!((0..100).any(|_| are_free()));
}

#[test]
fn a_taken_port_is_named() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    let error = check_free(port).unwrap_err().to_string();
    assert!(error.contains(&port.to_string()) && error.contains("services down"), "{error}");
}
