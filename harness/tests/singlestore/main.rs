//! The path to SingleStore, against a double that speaks its wire (`xtask::double` says what it does not prove).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

mod bench;
mod connection;
mod live;
mod run;
mod tls;
