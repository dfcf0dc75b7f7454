//! The report: lines for people, one document for machines.
//!
//! Touches nothing.

use console::style;
use serde_json::{Value, json};

use super::fault::short;
use super::{Check, Options, Outcome, Verdict, group};

/// Width of the column of names; the longest is `L84 stderr_flood_does_not_stall_rows`.
const NAME_WIDTH: usize = 40;

/// The call that runs one check again.
fn again(verdict: &Verdict, options: &Options) -> String {
    let (id, seed) = (verdict.rerun.id, options.seed);
    format!("harness conformance --only {id} --seed {seed} -- {}", command(options))
}

/// The call that plays the transcript once more.
fn replay(verdict: &Verdict, options: &Options) -> Option<String> {
    let path = verdict.transcript.as_ref()?;
    Some(format!("harness replay {} -- {}", quoted(&path.display().to_string()), command(options)))
}

fn command(options: &Options) -> String {
    let program = options.command.program.display().to_string();
    let words = [program].into_iter().chain(options.command.args.iter().cloned());
    words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A verdict as people read it: one line, and what to do about it below.
pub fn line(verdict: &Verdict, options: &Options) -> Vec<String> {
    let name = format!("{:<NAME_WIDTH$}", verdict.check.name());
    let took = format!("{:>6} ms", verdict.took.as_millis());
    let detail = |word: &str, text: &str| format!("      {:<9} {text}", style(word).dim());
    match &verdict.outcome {
        Outcome::Passed => vec![format!("{}  {name} {took}", style("ok  ").green())],
        Outcome::Skipped(why) => vec![format!("{}  {name} {}", style("skip").yellow(), short(why))],
        Outcome::Undecided { by } => {
            vec![format!("{}  {name} not decided: {by} failed", style("-   ").dim())]
        }
        Outcome::Failed { expected, seen } => {
            let Check { section, rule, .. } = verdict.check;
            let mut lines = vec![
                format!("{}  {name} {took}", style("FAIL").red().bold()),
                detail("rule", &format!("SPEC.md {section}: {rule}")),
                detail("expected", expected),
                detail("seen", seen),
                detail("again", &again(verdict, options)),
            ];
            lines.extend(replay(verdict, options).map(|call| detail("replay", &call)));
            lines
        }
    }
}

/// How many checks ended how.
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
    undecided: usize,
}

fn counts(verdicts: &[Verdict]) -> Counts {
    let mut counts = Counts { passed: 0, failed: 0, skipped: 0, undecided: 0 };
    for verdict in verdicts {
        *match verdict.outcome {
            Outcome::Passed => &mut counts.passed,
            Outcome::Failed { .. } => &mut counts.failed,
            Outcome::Skipped(_) => &mut counts.skipped,
            Outcome::Undecided { .. } => &mut counts.undecided,
        } += 1;
    }
    counts
}

/// The last line.
pub fn summary(verdicts: &[Verdict], took: std::time::Duration) -> String {
    let Counts { passed, failed, skipped, undecided } = counts(verdicts);
    let mut parts = vec![format!("{passed} passed"), format!("{failed} failed")];
    parts.extend((undecided > 0).then(|| format!("{undecided} not decided")));
    parts.extend((skipped > 0).then(|| format!("{skipped} skipped")));
    format!("{} checks: {}, in {:.1} s", verdicts.len(), parts.join(", "), took.as_secs_f64())
}

/// A line of the list of checks.
pub fn list(check: &Check) -> String {
    let Check { level, section, rule, .. } = check;
    let name = format!("{:<NAME_WIDTH$}", check.name());
    format!("{name} {:<5} {section:<8} {rule}", level.name())
}

/// The whole report as one document. Fields are only ever added.
pub fn json(verdicts: &[Verdict], options: &Options, took: std::time::Duration) -> Value {
    let Counts { passed, failed, skipped, undecided } = counts(verdicts);
    let checks: Vec<Value> = verdicts.iter().map(|it| json_of(it, options)).collect();
    json!({
        "command": command(options), "seed": options.seed, "passed": passed, "failed": failed,
        "skipped": skipped, "undecided": undecided, "ms": millis(took), "checks": checks,
    })
}

fn json_of(verdict: &Verdict, options: &Options) -> Value {
    let Check { id, title, level, section, rule, .. } = verdict.check;
    let mut line = json!({
        "id": id, "title": title, "group": group(verdict.check), "level": level.name(),
        "section": section, "rule": rule, "ms": millis(verdict.took),
    });
    let more = match &verdict.outcome {
        Outcome::Passed => json!({"outcome": "passed"}),
        Outcome::Skipped(why) => json!({"outcome": "skipped", "reason": why}),
        Outcome::Undecided { by } => json!({"outcome": "undecided", "by": by}),
        Outcome::Failed { expected, seen } => json!({
            "outcome": "failed", "expected": expected, "seen": seen,
            "again": again(verdict, options), "replay": replay(verdict, options),
        }),
    };
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    line
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a failure says, for reports that have one text for each.
pub(super) fn failure_text(verdict: &Verdict, options: &Options) -> String {
    let Outcome::Failed { expected, seen } = &verdict.outcome else { return String::new() };
    let Check { section, rule, .. } = verdict.check;
    let mut text = format!(
        "rule: SPEC.md {section}: {rule}\nexpected: {expected}\nseen: {seen}\nagain: {}",
        again(verdict, options)
    );
    if let Some(call) = replay(verdict, options) {
        text.push_str("\nreplay: ");
        text.push_str(&call);
    }
    text
}
