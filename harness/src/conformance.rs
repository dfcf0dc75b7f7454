//! Certifies an extractor in any language: named checks of `protocol/SPEC.md` against a program.
//!
//! ```text
//! checks (one entry each) ─► bench ─► peer (raw frames, deadlines) ─► the program under test
//!                              └─► tape (what went over the pipe) ─► transcript ─► replay
//! ```
//!
//! May touch: processes and pipes, the files that were asked for. It imports `child` and the protocol, and
//! nothing that loads rows. Invariants: a check fails for one reason of its own; a rule that is broken while
//! another check runs is charged to the check that owns the rule; each check has a broken extractor that
//! fails it and no other (`harness/tests/conformance.rs`); a secret is in no transcript.

mod bench;
mod checks;
mod fault;
mod files;
mod junit;
mod peer;
mod proc;
mod process;
mod profile;
mod replay;
mod report;
mod rows;
mod run;
mod tape;

pub use junit::junit;
pub use profile::Profile;
pub use replay::{Replayed, replay};
pub use report::{json, line, list, summary};
pub use run::{Observer, Options, run};

use std::path::PathBuf;
use std::time::Duration;

use bench::Bench;
use fault::Done;

/// What a group of checks needs, and so when it can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The program alone: no network, the test source of `SPEC.md` appendix E.
    Core,
}

impl Level {
    /// Every level, the least needing first.
    pub const ALL: &[Self] = &[Self::Core];

    /// The word on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
        }
    }
}

/// One named check.
#[derive(Debug)]
pub struct Check {
    /// Short name, unique.
    pub id: &'static str,
    /// What it is about, as one word.
    pub title: &'static str,
    /// What it needs.
    pub level: Level,
    /// Where `SPEC.md` has the rule.
    pub section: &'static str,
    /// The rule in one sentence.
    pub rule: &'static str,
    /// Rules of section 7.3, and `2` for frames, whose violation in any check is charged to this one.
    owns: &'static [&'static str],
    /// Whether the program must know `connector.class` = `test`.
    needs_test_source: bool,
    check: fn(&mut Bench) -> Done,
}

impl Check {
    /// The id and the title.
    pub fn name(&self) -> String {
        format!("{} {}", self.id, self.title)
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program does what the rule says.
    Passed,
    /// It does not.
    Failed {
        /// What the rule demands here.
        expected: String,
        /// What the program did.
        seen: String,
    },
    /// Nothing can be said, because another check failed.
    Undecided {
        /// Id of that check.
        by: &'static str,
    },
    /// Not run, with the reason.
    Skipped(String),
}

/// A check that was run, or not.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The check.
    pub check: &'static Check,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// The check to run again to see it: another one where a rule was broken in passing.
    pub rerun: &'static Check,
    /// What went over the pipe, where it was kept.
    pub transcript: Option<PathBuf>,
}

impl Verdict {
    /// Whether the program broke the rule.
    pub const fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. })
    }
}

/// Every check, in the order of the report.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    checks::GROUPS.iter().flat_map(|(_, checks)| checks.iter())
}

/// The group of a check, for reports that have groups.
fn group(check: &Check) -> &'static str {
    let holds = |checks: &[Check]| checks.iter().any(|it| it.id == check.id);
    checks::GROUPS.iter().find(|(_, checks)| holds(checks)).map_or("", |(name, _)| name)
}

/// The checks of these levels whose id or name fits the pattern; without one, all of them. `*` stands for any
/// text, and a pattern without it for the beginning of a name: `X5` is X50 to X59.
pub fn select(levels: &[Level], pattern: Option<&str>) -> Vec<&'static Check> {
    checks()
        .filter(|check| levels.contains(&check.level))
        .filter(|check| pattern.is_none_or(|pattern| fits(pattern, check)))
        .collect()
}

fn fits(pattern: &str, check: &Check) -> bool {
    pattern.split(',').any(|pattern| {
        let id_only = !pattern.contains('*') && checks().any(|it| it.id == pattern);
        match id_only {
            true => check.id == pattern,
            false => {
                glob(pattern, check.id) || glob(pattern, check.title) || begins(pattern, check)
            }
        }
    })
}

fn begins(pattern: &str, check: &Check) -> bool {
    check.id.starts_with(pattern) || check.title.starts_with(pattern)
}

/// Whether the whole text fits a pattern in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
