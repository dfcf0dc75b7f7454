//! Picks loopback ports that stay free while a service is down.
//!
//! May touch: /proc/sys/net, loopback sockets that it closes again. Invariant: a picked port lies
//! outside the range the kernel hands to outgoing connections whenever that leaves room, so a
//! service that is restarted finds its port still free.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Context, Result, bail};

/// Where ports are looked for: above what system services use.
const PORT_MIN: u16 = 20_000;

/// Where ports end when the kernel's own range cannot be read; the default range starts here.
const PORT_END: u16 = 32_768;

/// Fewer candidates than this are not worth guessing among; the kernel picks then.
const CANDIDATES_MIN: u16 = 100;

/// Guesses before giving up: with half the range taken, all failing is as likely as 2^-500.
const GUESSES_MAX: usize = 500;

/// Picks `count` different free ports of 127.0.0.1, none of them in `taken`.
pub(crate) fn pick(count: usize, taken: &BTreeSet<u16>) -> Result<Vec<u16>> {
    let local = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = candidates(local.ok().as_deref());
    let mut picked = Vec::new();
    // Held until all are picked, so that none is picked twice.
    let mut held = Vec::new();
    for _ in 0..GUESSES_MAX {
        if picked.len() == count {
            return Ok(picked);
        }
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, guess(&range))) else {
            continue;
        };
        let port = listener.local_addr().context("read a bound port")?.port();
        if !taken.contains(&port) {
            picked.push(port);
        }
        held.push(listener);
    }
    if picked.len() == count {
        return Ok(picked);
    }
    bail!("no free port on 127.0.0.1 in {range:?} after {GUESSES_MAX} tries");
}

/// Fails, with what to do, when somebody else listens on `port`.
pub(crate) fn check_free(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "port {port} of 127.0.0.1 is taken ({error}): end what listens there (`ss -ltnp`), \
             or run `cargo xtask services down` and `up` for other ports"
        ),
    }
}

/// The ports to guess among; empty means that the kernel shall pick.
fn candidates(local_range: Option<&str>) -> Range<u16> {
    let mut numbers = local_range.unwrap_or_default().split_ascii_whitespace();
    let low = numbers.next().and_then(|text| text.parse().ok()).unwrap_or(PORT_END);
    let high = numbers.next().and_then(|text| text.parse::<u16>().ok()).unwrap_or(u16::MAX);
    if low.saturating_sub(PORT_MIN) >= CANDIDATES_MIN {
        PORT_MIN..low.min(PORT_END)
    } else if u16::MAX - high >= CANDIDATES_MIN && high >= PORT_MIN {
        high + 1..u16::MAX
    } else {
        0..0
    }
}

fn guess(range: &Range<u16>) -> u16 {
    let len = range.end - range.start;
    if len == 0 {
        return 0;
    }
    // Each RandomState has other keys: enough randomness to keep concurrent runs apart.
    let random = RandomState::new().build_hasher().finish();
    range.start + u16::try_from(random % u64::from(len)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
