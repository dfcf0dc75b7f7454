//! Numbers and health of what runs here, over HTTP: `/metrics` for Prometheus, `/healthz`, `/readyz`.
//!
//! May touch: one listening socket and one thread. Invariants: it reads numbers and changes nothing; who asks
//! waits for nobody, and nobody waits for who asks; beyond loopback it answers who has the token.

mod address;
mod server;
mod text;

pub(crate) use address::{FORM, address};
pub(crate) use server::{Token, serve};

use std::collections::BTreeMap;

use crate::catalogue::Behind;
use crate::run::Snapshot;

/// What is told of a pipeline.
#[derive(Clone)]
pub(crate) struct Numbers {
    /// Its name.
    pub(crate) name: String,
    pub(crate) now: Snapshot,
    /// How far each split is behind, by KEY.
    pub(crate) lags: BTreeMap<String, Behind>,
}

/// The pipelines of this process and their numbers now.
pub(crate) type Source = dyn Fn() -> Vec<Numbers> + Send + Sync;
