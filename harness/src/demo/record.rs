//! The demo's records: orders of a shop, made from their number alone.
//!
//! Touches nothing. Invariant: the same number gives the same bytes, and every key is different.

use std::io::Write;

const CITIES: [&str; 8] = ["Oslo", "Lima", "Accra", "Kyoto", "Austin", "Zürich", "Hanoi", "Tunis"];

const ITEMS: [&str; 8] = [
    "espresso machine",
    "rain jacket",
    "desk lamp",
    "garden chair",
    "travel guide",
    "chess set",
    "tea kettle",
    "bike light",
];

/// Most bytes of a key and a value together, with what a broker keeps beside them; a test holds the
/// records to it.
pub(super) const RECORD_BYTES_MAX: u64 = 256;

/// Writes the key of a record into `key`.
pub(super) fn write_key(number: u64, key: &mut Vec<u8>) {
    key.clear();
    // Writing into memory does not fail.
    write!(key, "order-{number:09}").ok();
}

/// Writes a record into `value`, as JSON.
pub(super) fn write_value(number: u64, value: &mut Vec<u8>) {
    let mixed = mix(number);
    let pick = |list: [&'static str; 8], shift: u32| {
        usize::try_from((mixed >> shift) % 8).ok().and_then(|at| list.get(at).copied())
    };
    let cents = 199 + (mixed >> 8) % 40_000;
    value.clear();
    write!(
        value,
        "{{\"order\":{number},\"customer\":\"c-{:05}\",\"city\":\"{}\",\"item\":\"{}\",\
         \"quantity\":{},\"price\":{}.{:02},\"paid\":{}}}",
        (mixed >> 40) % 100_000,
        pick(CITIES, 3).unwrap_or_default(),
        pick(ITEMS, 6).unwrap_or_default(),
        1 + (mixed >> 32) % 9,
        cents / 100,
        cents % 100,
        mixed & 1 == 0,
    )
    .ok();
}

/// Spreads the bits of a number (the finaliser of splitmix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
