//! Faults with real processes: kill -9 at random moments, restarts of broker and database, races,
//! full pipes, floods. After each: every record exactly once, and no process left.
//!
//! Random tests print their seed and take `SEED=`. Tests that need a real server say `skipped` and
//! why when it is not there.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

mod formats;
mod kafka;
mod kills;
mod letters;
mod races;
mod refused;
#[path = "../../../extractor/tests/kafka_support/registry.rs"]
mod registry;
mod restarts;
mod routes;
mod serve;
mod sql;
mod stalls;
mod support;
