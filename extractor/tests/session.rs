//! Whole sessions with the real binary over real pipes, judged by the protocol's host session.

#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "an integration test binary is one test module, helpers included"
)]

#[path = "support/driver.rs"]
mod driver;
#[path = "session/extract.rs"]
mod extract;
#[path = "session/framing.rs"]
mod framing;
#[path = "session/handshake.rs"]
mod handshake;
#[path = "session/liveness.rs"]
mod liveness;
#[path = "session/secrets.rs"]
mod secrets;
