//! Automation of this repository, as a library so that tests can drive the same real services.
//!
//! May touch processes, files below the services and the cache folder, and loopback sockets.
//! Nothing here is part of what a user installs, and no product crate depends on it except in tests.

pub mod bench;
pub mod cache;
pub mod check;
pub mod cli;
#[cfg(feature = "double")]
pub mod double;
pub mod kafka;
pub mod services;
pub mod tape;
pub mod tidy;
