//! Guessing the password costs time: each wrong one makes the next answer to its address later.
//!
//! Pure: whoever asks brings the time. Invariants: attempts of an address are one behind the other, however many
//! connections they come on; what is remembered is bounded.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pause behind the first wrong password; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(250);

/// The longest pause. Why 8 s: ten thousand guesses a day, and a person who mistyped waits no longer.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Addresses that are remembered. Why 1024: the one that was quiet longest is forgotten first.
const ADDRESSES_MAX: usize = 1024;

/// Who gave wrong passwords, and when the next one is looked at.
#[derive(Default)]
pub(super) struct Patience(Mutex<BTreeMap<IpAddr, Suspect>>);

#[derive(Clone, Copy)]
struct Suspect {
    wrong: u32,
    next: Instant,
}

impl Patience {
    /// How long this attempt has to wait. `None`: longer than `most`, so that it is refused.
    pub(super) fn wait(&self, address: IpAddr, most: Duration, now: Instant) -> Option<Duration> {
        let address = network(address);
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(suspect) = suspects.get_mut(&address) else { return Some(Duration::ZERO) };
        let wait = suspect.next.saturating_duration_since(now);
        if wait > most {
            return None;
        }
        // The one behind this one waits for it, and the pause after it.
        suspect.next = now + wait + pause(suspect.wrong);
        Some(wait)
    }

    /// A wrong password came.
    pub(super) fn wrong(&self, address: IpAddr, now: Instant) {
        let address = network(address);
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if suspects.len() >= ADDRESSES_MAX && !suspects.contains_key(&address) {
            let oldest = suspects.iter().min_by_key(|(_, it)| it.next).map(|(ip, _)| *ip);
            oldest.and_then(|ip| suspects.remove(&ip));
        }
        let suspect = suspects.entry(address).or_insert(Suspect { wrong: 0, next: now });
        suspect.wrong = suspect.wrong.saturating_add(1);
        suspect.next = suspect.next.max(now + pause(suspect.wrong));
    }

    /// The right password came.
    pub(super) fn right(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&network(address));
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
