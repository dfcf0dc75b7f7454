//! `harness serve` as clients meet it: the real binary, the `mysql` crate, the command line client of MariaDB, and
//! bytes that are no client's, over SQLite and over MariaDB where there is one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod clients;
mod hostile;
mod login;
mod pipelines;
mod pool;
mod python;
mod server;
mod stored;
mod values;
