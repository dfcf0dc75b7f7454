//! Random ids: the mark of one commit attempt, the sync marker of a pipeline.
//!
//! Touches the operating system's random source through the standard library's hash keys and the clock.
//! Invariant: two calls, in whatever process, do not answer the same 16 bytes.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

/// Length of a nonce in bytes.
pub(crate) const NONCE_LEN: usize = 16;

/// Sixteen bytes that nobody has answered before.
///
/// `RandomState` draws 128 random bits for each thread; the process id, a counter and the clock keep
/// attempts apart even if two machines drew the same.
pub(crate) fn fresh() -> [u8; NONCE_LEN] {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let random = RandomState::new();
    let mut hash = Sha256::new();
    for part in 0_u8..4 {
        hash.update(random.hash_one((part, call)).to_be_bytes());
    }
    hash.update(now.to_be_bytes());
    hash.update(call.to_be_bytes());
    hash.update(std::process::id().to_be_bytes());
    let digest = hash.finalize();
    let mut nonce = [0; NONCE_LEN];
    for (byte, from) in nonce.iter_mut().zip(digest.iter()) {
        *byte = *from;
    }
    nonce
}

/// A name for a file that nobody has used before.
pub(crate) fn fresh_name() -> String {
    hex(&fresh())
}

/// The bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |index: u8| DIGITS.get(usize::from(index)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The hash under which a split's key is stored: keys may be longer than an index allows.
pub(crate) fn key_hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Microseconds since 1970, by this machine's clock; for people to read, never for a decision.
pub(crate) fn now_us() -> u64 {
    us(SystemTime::now())
}

/// A moment in microseconds since 1970.
pub(crate) fn us(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
