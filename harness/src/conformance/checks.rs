//! The table of checks, by group. Adding one is a function and an entry.
//!
//! Touches nothing. Invariant: ids are unique, and every rule of section 7.3 has one owner.

mod config;
mod discover;
mod extract;
mod framing;
mod handshake;
mod liveness;
mod process;
mod replay;
mod rows;
mod shared;
mod states;

use super::bench::Bench;
use super::fault::Done;
use super::{Check, Level};

/// Every group and its checks, in the order of the report.
pub(super) const GROUPS: &[(&str, &[Check])] = &[
    ("handshake", handshake::CHECKS),
    ("framing", framing::CHECKS),
    ("configuration", config::CHECKS),
    ("discover", discover::CHECKS),
    ("extract", extract::CHECKS),
    ("rows", rows::CHECKS),
    ("replay", replay::CHECKS),
    ("liveness", liveness::CHECKS),
    ("process", process::CHECKS),
];

/// A check of the test source at level core.
const fn core(
    id: &'static str,
    title: &'static str,
    section: &'static str,
    rule: &'static str,
    check: fn(&mut Bench) -> Done,
) -> Check {
    Check {
        id,
        title,
        level: Level::Core,
        section,
        rule,
        owns: &[],
        needs_test_source: true,
        check,
    }
}

impl Check {
    /// Violations of these rules in any check are this one's.
    const fn owns(mut self, rules: &'static [&'static str]) -> Self {
        self.owns = rules;
        self
    }

    /// It needs no source.
    const fn bare(mut self) -> Self {
        self.needs_test_source = false;
        self
    }
}
