//! Runs the checks, some at once, and charges each violation to the check that owns the rule.
//!
//! May touch: threads; processes and files through others. Invariants: a check that could not be decided is
//! never called passed; verdicts come in the order of the table, whatever ran first.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::bench::Bench;
use super::fault::Fault;
use super::{Check, Outcome, Profile, Verdict, checks, files};
use crate::run::ExtractorCommand;

/// The check without which no other means anything.
const FIRST: &str = "H01";

/// The class of the deterministic source.
const TEST_CLASS: &str = "test";

/// What is to be run.
#[derive(Debug)]
pub struct Options {
    /// The program under test, and its own arguments.
    pub command: ExtractorCommand,
    /// The checks.
    pub checks: Vec<&'static Check>,
    /// Where random choices come from.
    pub seed: u64,
    /// Checks at the same time.
    pub jobs: usize,
    /// What is known of the program.
    pub profile: Profile,
    /// A folder for the transcripts of checks that fail.
    pub transcripts: Option<PathBuf>,
}

/// Is told of each check as it ends.
pub trait Observer: Sync {
    /// A check ended.
    fn ended(&self, verdict: &Verdict);
}

impl<F: Fn(&Verdict) + Sync> Observer for F {
    fn ended(&self, verdict: &Verdict) {
        self(verdict);
    }
}

/// A violation that a check saw of a rule that another one owns.
struct Charge {
    owner: &'static Check,
    seen: String,
    during: &'static Check,
    transcript: Option<PathBuf>,
}

/// Runs the checks; the verdicts in their order, with those that were charged without being asked for.
pub fn run(options: &Options, observer: &dyn Observer) -> Vec<Verdict> {
    let charges = Mutex::new(Vec::new());
    let first = checks().find(|check| check.id == FIRST);
    let mut verdicts: Vec<Verdict> = Vec::new();
    if let Some(first) = first {
        let verdict = one(options, first, &charges);
        if verdict.is_failed() {
            let undecided = |check: &'static Check| {
                verdict_of(check, Outcome::Undecided { by: FIRST }, Duration::ZERO)
            };
            let others = options.checks.iter().filter(|check| check.id != FIRST);
            verdicts.extend(others.map(|check| undecided(check)));
            verdicts.push(verdict);
            return in_order(verdicts);
        }
        if options.checks.iter().any(|check| check.id == FIRST) {
            observer.ended(&verdict);
            verdicts.push(verdict);
        }
    }
    let has_test_source = has_test_source(options);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(verdicts);
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some(check) = options.checks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if check.id == FIRST {
                        continue;
                    }
                    let verdict = match check.needs_test_source && !has_test_source {
                        true => verdict_of(check, no_test_source(), Duration::ZERO),
                        false => one(options, check, &charges),
                    };
                    observer.ended(&verdict);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(verdict);
                }
            });
        }
    });
    let mut verdicts = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    for charge in charges.into_inner().unwrap_or_else(PoisonError::into_inner) {
        settle(&mut verdicts, charge);
    }
    in_order(verdicts)
}

fn no_test_source() -> Outcome {
    Outcome::Skipped(format!(
        "HELLO_OK names no source of class {TEST_CLASS}: build the program with the test source \
         (SPEC.md appendix E)"
    ))
}

fn has_test_source(options: &Options) -> bool {
    let mut bench = Bench::new(options.command.clone(), options.profile.patience, options.seed);
    let hello = bench.start().and_then(|mut peer| peer.greet());
    hello.is_ok_and(|ok| ok.sources.iter().any(|source| source.class == TEST_CLASS))
}

fn in_order(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let place = |check: &Check| checks().position(|it| it.id == check.id);
    verdicts.sort_by_key(|verdict| place(verdict.check));
    verdicts
}

const fn verdict_of(check: &'static Check, outcome: Outcome, took: Duration) -> Verdict {
    Verdict { check, outcome, took, rerun: check, transcript: None }
}

/// Runs one check.
fn one(options: &Options, check: &'static Check, charges: &Mutex<Vec<Charge>>) -> Verdict {
    if let Some(reason) = options.profile.bypass.get(check.id) {
        let reason = format!("by the profile: {reason}");
        return verdict_of(check, Outcome::Skipped(reason), Duration::ZERO);
    }
    let began = Instant::now();
    let seed = options.seed ^ u64::from(crc32c::crc32c(check.id.as_bytes()));
    let mut bench = Bench::new(options.command.clone(), options.profile.patience, seed);
    let result = (check.check)(&mut bench);
    let mut verdict = verdict_of(check, Outcome::Passed, began.elapsed());
    let fault = match result {
        Ok(()) => return verdict,
        Err(Fault::Skip(reason)) => {
            verdict.outcome = Outcome::Skipped(reason);
            return verdict;
        }
        Err(fault) => fault,
    };
    verdict.transcript = files::keep(options, check, &bench);
    verdict.outcome = match fault {
        Fault::Broken { rule, seen } => match owner(rule) {
            // Nothing else is decided when the first check fails, so it has nobody to charge.
            Some(owner) if ![owner.id, FIRST].contains(&check.id) => {
                let transcript = verdict.transcript.clone();
                let charge = Charge { owner, seen, during: check, transcript };
                charges.lock().unwrap_or_else(PoisonError::into_inner).push(charge);
                Outcome::Undecided { by: owner.id }
            }
            _ => Outcome::Failed { expected: check.rule.to_owned(), seen },
        },
        Fault::Miss { expected, seen } => Outcome::Failed { expected, seen },
        Fault::Skip(reason) => Outcome::Skipped(reason),
    };
    verdict
}

/// The check to which a rule belongs.
pub(super) fn owner(rule: &str) -> Option<&'static Check> {
    checks().find(|check| check.owns.contains(&rule))
}

/// Makes a check fail for what another one saw.
fn settle(verdicts: &mut Vec<Verdict>, charge: Charge) {
    let Charge { owner, seen, during, transcript } = charge;
    let at = verdicts.iter().position(|verdict| verdict.check.id == owner.id);
    if at.and_then(|at| verdicts.get(at)).is_some_and(Verdict::is_failed) {
        return;
    }
    let seen = format!("{seen} (while {} ran)", during.name());
    let outcome = Outcome::Failed { expected: owner.rule.to_owned(), seen };
    let took = at.and_then(|at| verdicts.get(at)).map_or(Duration::ZERO, |verdict| verdict.took);
    let verdict = Verdict { check: owner, outcome, took, rerun: during, transcript };
    match at.and_then(|at| verdicts.get_mut(at)) {
        Some(place) => *place = verdict,
        None => verdicts.push(verdict),
    }
}
