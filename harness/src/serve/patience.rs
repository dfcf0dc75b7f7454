//! Guessing the password costs time: each wrong one makes the next answer to its address later.
//!
//! Pure: whoever asks brings the time. Invariants: attempts of an address are looked at one behind the other, with
//! the pause between them, however many connections they come on; what is remembered is bounded, and who is not
//! remembered shares the pauses of all others that are not.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pause behind the first wrong password; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(250);

/// The longest pause. Why 8 s: ten thousand guesses a day, and a person who mistyped waits no longer.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Addresses that are remembered, each for itself. Why 1024: more of them that guess are one attacker, and share
/// the pauses of one.
const NETWORKS_MAX: usize = 1024;

/// How long one is remembered after its last pause, where others need the room. Why 1 hour: a hundred thousand
/// addresses then have a thousand guesses an hour together, and those of the shared pause.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Who gave wrong passwords, and when the next one is looked at.
#[derive(Default)]
pub(super) struct Patience(Mutex<Suspects>);

#[derive(Default)]
struct Suspects {
    by_network: BTreeMap<IpAddr, Suspect>,
    /// All who have no room there.
    others: Option<Suspect>,
}

#[derive(Clone, Copy)]
struct Suspect {
    wrong: u32,
    next: Instant,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It is to be made again after this time; nobody has looked at it.
    Later(Duration),
    Right,
    Wrong,
}

impl Patience {
    /// An attempt of this address. Whether it is right is looked at only where no pause is running, and begins the
    /// next one before anybody else's turn comes.
    pub(super) fn attempt(
        &self,
        address: IpAddr,
        now: Instant,
        is_right: impl FnOnce() -> bool,
    ) -> Attempt {
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let who = suspects.who(network(address), now);
        let known = suspects.of(who).copied();
        let pause_left = known.map(|it| it.next.saturating_duration_since(now));
        if let Some(left) = pause_left.filter(|left| !left.is_zero()) {
            return Attempt::Later(left);
        }
        if is_right() {
            suspects.forget(who);
            return Attempt::Right;
        }
        let wrong = known.map_or(0, |it| it.wrong).saturating_add(1);
        suspects.suspect(who, Suspect { wrong, next: now + pause(wrong) });
        Attempt::Wrong
    }
}

/// Who is suspected as one.
#[derive(Clone, Copy)]
enum Who {
    Network(IpAddr),
    Others,
}

impl Suspects {
    /// Makes room where there is none, and answers as whom an address counts.
    fn who(&mut self, network: IpAddr, now: Instant) -> Who {
        if self.by_network.contains_key(&network) {
            return Who::Network(network);
        }
        if self.by_network.len() >= NETWORKS_MAX {
            let is_fresh = |it: &Suspect| now.saturating_duration_since(it.next) < REMEMBERED;
            self.by_network.retain(|_, it| is_fresh(it));
        }
        if self.by_network.len() < NETWORKS_MAX { Who::Network(network) } else { Who::Others }
    }

    fn of(&self, who: Who) -> Option<&Suspect> {
        match who {
            Who::Network(network) => self.by_network.get(&network),
            Who::Others => self.others.as_ref(),
        }
    }

    fn suspect(&mut self, who: Who, suspect: Suspect) {
        match who {
            Who::Network(network) => drop(self.by_network.insert(network, suspect)),
            Who::Others => self.others = Some(suspect),
        }
    }

    fn forget(&mut self, who: Who) {
        match who {
            Who::Network(network) => drop(self.by_network.remove(&network)),
            // Another one of them is not known to be right.
            Who::Others => {}
        }
    }
}

/// Who counts as one. Why /64: a household or a machine has that many addresses of IPv6 for itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        four @ IpAddr::V4(_) => four,
    }
}

fn pause(wrong: u32) -> Duration {
    let doubled = 1_u32.checked_shl(wrong.saturating_sub(1)).unwrap_or(u32::MAX);
    PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests;
