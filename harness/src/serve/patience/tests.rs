//! Pauses grow, are shared by all connections of an address, and end with the right password.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

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
    let now = Instant::now();
    assert_eq!(patience.wait(HERE, LONG, now), Some(Duration::ZERO));
    for _ in 0..20 {
        patience.wrong(HERE, now);
    }
    assert_eq!(patience.wait(HERE, LONG, now), Some(PAUSE_MAX));
    assert_eq!(patience.wait(HERE, LONG, now), Some(PAUSE_MAX * 2));
    assert_eq!(patience.wait(HERE, LONG, now + PAUSE_MAX), Some(PAUSE_MAX * 2));
    assert_eq!(patience.wait(HERE, Duration::from_secs(1), now), None);
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(patience.wait(other, LONG, now), Some(Duration::ZERO));
    patience.right(HERE);
    assert_eq!(
        patience.wait(HERE, LONG, now),
        Some(Duration::ZERO),
        "the right one ends the pauses"
    );
}

#[test]
fn each_wrong_one_doubles_the_pause() {
    let patience = Patience::default();
    let mut now = Instant::now();
    for times in [1, 2, 4, 8] {
        patience.wrong(HERE, now);
        assert_eq!(patience.wait(HERE, LONG, now), Some(PAUSE_FIRST * times));
        now += LONG;
        assert_eq!(patience.wait(HERE, LONG, now), Some(Duration::ZERO), "who waits is not kept");
        now += LONG;
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let patience = Patience::default();
    let now = Instant::now();
    for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 50 {
        patience.wrong(IpAddr::V4(Ipv4Addr::from_bits(number)), now);
    }
    assert_eq!(patience.0.lock().unwrap().len(), ADDRESSES_MAX);
}

#[test]
fn a_network_of_ipv6_is_one_suspect() {
    let patience = Patience::default();
    let now = Instant::now();
    let of = |text: &str| patience.wait(text.parse().unwrap(), LONG, now);
    patience.wrong("2001:db8:1:2::7".parse().unwrap(), now);
    assert_eq!(of("2001:db8:1:2:ffff::8"), Some(PAUSE_FIRST));
    assert_eq!(of("2001:db8:1:3::7"), Some(Duration::ZERO));
    patience.right("2001:db8:1:2::9".parse().unwrap());
    assert_eq!(of("2001:db8:1:2::7"), Some(Duration::ZERO));
    patience.wrong("::ffff:192.0.2.1".parse().unwrap(), now);
    assert_eq!(of("192.0.2.1"), Some(PAUSE_FIRST));
    assert_eq!(of("::ffff:192.0.2.2"), Some(Duration::ZERO));
}
