//! Pauses grow, are shared by all connections of an address, and end with the right password.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{ADDRESSES_MAX, PAUSE_FIRST, PAUSE_MAX, Patience, pause};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LONG: Duration = Duration::from_secs(1000);

#[test]
fn pauses_double_and_end() {
    assert_eq!(pause(1), PAUSE_FIRST);
    assert_eq!(pause(2), PAUSE_FIRST * 2);
    assert_eq!((pause(6), pause(40), pause(u32::MAX)), (PAUSE_MAX, PAUSE_MAX, PAUSE_MAX));
}

#[test]
fn attempts_are_one_behind_the_other() {
    let patience = Patience::default();
    assert_eq!(patience.wait(HERE, LONG), Some(Duration::ZERO));
    for _ in 0..20 {
        patience.wrong(HERE);
    }
    let first = patience.wait(HERE, LONG).unwrap();
    let second = patience.wait(HERE, LONG).unwrap();
    assert!(first > PAUSE_MAX / 2 && second > first + PAUSE_MAX / 2, "{first:?} {second:?}");
    assert_eq!(patience.wait(HERE, Duration::from_secs(1)), None);
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(patience.wait(other, LONG), Some(Duration::ZERO));
    patience.right(HERE);
    assert_eq!(patience.wait(HERE, LONG), Some(Duration::ZERO));
}

#[test]
fn what_is_remembered_is_bounded() {
    let patience = Patience::default();
    for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 50 {
        patience.wrong(IpAddr::V4(Ipv4Addr::from_bits(number)));
    }
    assert_eq!(patience.0.lock().unwrap().len(), ADDRESSES_MAX);
}
