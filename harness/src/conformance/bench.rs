//! What a check gets: the program, a seed, and peers that are already some way into a session.
//!
//! May touch: processes, through `peer`. Invariant: everything random comes from the seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::fault::Fault;
use super::peer::{Peer, key, row_value};
use super::tape::Tape;
use crate::run::ExtractorCommand;

/// How a program is started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start<'a> {
    /// Arguments behind its own.
    pub(super) args: &'a [&'a str],
    /// Variables beside those that a host leaves, as `NAME=VALUE`.
    pub(super) env: &'a [&'a str],
    /// Its standard error is not read.
    pub(super) ignores_stderr: bool,
}

/// The surroundings of one check.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) command: ExtractorCommand,
    pub(super) patience: Duration,
    pub(super) random: fastrand::Rng,
    tapes: Vec<Arc<Mutex<Tape>>>,
}

impl Bench {
    pub(super) fn new(command: ExtractorCommand, patience: Duration, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { command, patience, random, tapes: Vec::new() }
    }

    /// What went over the pipe of the process that was started last.
    pub(super) fn transcript(&self) -> Option<String> {
        let tape = self.tapes.last()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(tape.text())
    }

    /// A program that was just started.
    pub(super) fn start(&mut self) -> Result<Peer, Fault> {
        self.start_with(Start::default())
    }

    pub(super) fn start_with(&mut self, start: Start<'_>) -> Result<Peer, Fault> {
        let mut command = self.command.clone();
        command.args.extend(start.args.iter().map(|&arg| arg.to_owned()));
        if !start.env.is_empty() {
            let program = command.program.display().to_string();
            let words = start.env.iter().map(|&word| word.to_owned()).chain([program]);
            command.args = words.chain(command.args).collect();
            command.program = "env".into();
        }
        let tape = Arc::new(Mutex::new(Tape::default()));
        if !start.args.is_empty() {
            let mut tape = tape.lock().unwrap_or_else(PoisonError::into_inner);
            tape.did(&format!("args {}", start.args.join(" ")));
        }
        self.tapes.push(Arc::clone(&tape));
        Peer::start(&command, !start.ignores_stderr, self.patience, tape)
    }

    /// A program that has said HELLO_OK.
    pub(super) fn greeted(&mut self) -> Result<Peer, Fault> {
        let mut peer = self.start()?;
        peer.greet()?;
        Ok(peer)
    }

    /// A program that reads the test source with these settings.
    pub(super) fn configured(&mut self, config: Value) -> Result<Peer, Fault> {
        let mut peer = self.greeted()?;
        peer.configure(config)?;
        Ok(peer)
    }

    /// A program with these splits assigned from their first row.
    pub(super) fn ready(&mut self, config: Value, splits: &[&str]) -> Result<Peer, Fault> {
        let mut peer = self.configured(config)?;
        let parts: Vec<_> = splits.iter().map(|name| (key(name), row_value(0))).collect();
        peer.assign(&parts)?;
        Ok(peer)
    }
}
