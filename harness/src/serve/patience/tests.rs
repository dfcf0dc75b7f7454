//! Pauses grow, are shared by all connections of an address, and end with the right password.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::{Attempt, NETWORKS_MAX, PAUSE_FIRST, PAUSE_MAX, Patience, REMEMBERED, pause};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn other(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(number))
}

#[test]
fn pauses_double_and_end() {
    assert_eq!(pause(1), PAUSE_FIRST);
    assert_eq!(pause(2), PAUSE_FIRST * 2);
    assert_eq!((pause(6), pause(40), pause(u32::MAX)), (PAUSE_MAX, PAUSE_MAX, PAUSE_MAX));
}

/// However many come at once, one is looked at, and the next after the pause.
#[test]
fn attempts_are_one_behind_the_other() {
    let patience = Patience::default();
    let mut now = Instant::now();
    let mut looks = 0;
    for number in 1..12 {
        for connection in 0..30 {
            let done = patience.attempt(HERE, now, || {
                looks += 1;
                false
            });
            let expected =
                if connection == 0 { Attempt::Wrong } else { Attempt::Later(pause(number)) };
            assert_eq!(done, expected, "round {number}, connection {connection}");
        }
        assert_eq!(looks, number);
        let early = now + pause(number) - Duration::from_millis(1);
        let not_yet = Attempt::Later(Duration::from_millis(1));
        assert_eq!(patience.attempt(HERE, early, || true), not_yet, "not even the right one");
        assert_eq!(patience.attempt(other(7), now, || true), Attempt::Right, "another address");
        now += pause(number);
    }
    assert_eq!(patience.attempt(HERE, now, || true), Attempt::Right);
    assert_eq!(
        patience.attempt(HERE, now, || false),
        Attempt::Wrong,
        "the right one ends the pauses"
    );
    assert_eq!(patience.attempt(HERE, now, || true), Attempt::Later(PAUSE_FIRST));
}

#[test]
fn right_ones_wait_for_nobody() {
    let (patience, now) = (Patience::default(), Instant::now());
    assert!((0..100).all(|_| patience.attempt(HERE, now, || true) == Attempt::Right));
}

/// Who has no room in the list shares one pause with all others, instead of taking the place of one.
#[test]
fn what_is_remembered_is_bounded() {
    let patience = Patience::default();
    let now = Instant::now();
    let many = u32::try_from(NETWORKS_MAX).unwrap();
    for number in 0..many {
        assert_eq!(patience.attempt(other(number), now, || false), Attempt::Wrong);
    }
    assert_eq!(patience.attempt(other(many), now, || false), Attempt::Wrong);
    for number in many + 1..many + 50 {
        assert_eq!(patience.attempt(other(number), now, || false), Attempt::Later(PAUSE_FIRST));
    }
    let wrong = |number, now| patience.attempt(other(number), now, || false);
    assert_eq!(wrong(many + 3, now + PAUSE_FIRST), Attempt::Wrong);
    assert_eq!(wrong(many + 4, now + PAUSE_FIRST), Attempt::Later(PAUSE_FIRST * 2), "it has grown");
    assert_eq!(wrong(5, now), Attempt::Later(PAUSE_FIRST), "the first are remembered");
    assert_eq!(patience.0.lock().unwrap().by_network.len(), NETWORKS_MAX);
    // In the end they are forgotten where others need the room.
    let later = now + PAUSE_MAX + REMEMBERED;
    assert_eq!(wrong(many + 5, later), Attempt::Wrong);
    assert_eq!(patience.0.lock().unwrap().by_network.len(), 1);
}

#[test]
fn a_network_of_ipv6_is_one_suspect() {
    let patience = Patience::default();
    let now = Instant::now();
    let attempt = |text: &str, is_right| patience.attempt(text.parse().unwrap(), now, || is_right);
    assert_eq!(attempt("2001:db8:1:2::7", false), Attempt::Wrong);
    assert_eq!(attempt("2001:db8:1:2:ffff::8", true), Attempt::Later(PAUSE_FIRST));
    assert_eq!(attempt("2001:db8:1:3::7", true), Attempt::Right);
    assert_eq!(attempt("::ffff:192.0.2.1", false), Attempt::Wrong);
    assert_eq!(attempt("192.0.2.1", true), Attempt::Later(PAUSE_FIRST));
    assert_eq!(attempt("::ffff:192.0.2.2", true), Attempt::Right);
}
