//! The report as JUnit's XML, which every build server shows.
//!
//! Touches nothing. Invariant: what the program under test said cannot end an element: every text is
//! escaped, and characters that XML does not have become U+FFFD.

use std::time::Duration;

use super::report::failure_text;
use super::{Options, Outcome, Verdict, checks, group};

/// The whole report.
pub fn junit(verdicts: &[Verdict], options: &Options, took: Duration) -> String {
    let failed = verdicts.iter().filter(|verdict| verdict.is_failed()).count();
    let (count, seconds) = (verdicts.len(), took.as_secs_f64());
    let head = format!(
        "<testsuites name=\"s2x conformance\" tests=\"{count}\" failures=\"{failed}\" \
         time=\"{seconds:.3}\">\n"
    );
    let mut parts = vec!["<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), head];
    for (name, _) in checks::GROUPS {
        let inside: Vec<&Verdict> =
            verdicts.iter().filter(|verdict| group(verdict.check) == *name).collect();
        if !inside.is_empty() {
            parts.extend(suite(name, &inside, options));
        }
    }
    parts.push("</testsuites>\n".to_owned());
    parts.concat()
}

fn suite(name: &str, verdicts: &[&Verdict], options: &Options) -> Vec<String> {
    let failed = verdicts.iter().filter(|verdict| verdict.is_failed()).count();
    let ran = verdicts
        .iter()
        .filter(|it| matches!(it.outcome, Outcome::Passed | Outcome::Failed { .. }))
        .count();
    let (count, skipped) = (verdicts.len(), verdicts.len() - ran);
    let mut parts = vec![format!(
        "  <testsuite name=\"{}\" tests=\"{count}\" failures=\"{failed}\" \
         skipped=\"{skipped}\">\n",
        escape(name)
    )];
    for verdict in verdicts {
        parts.push(format!(
            "    <testcase classname=\"s2x.{}\" name=\"{}\" time=\"{:.3}\"",
            escape(name),
            escape(&verdict.check.name()),
            verdict.took.as_secs_f64()
        ));
        parts.push(match &verdict.outcome {
            Outcome::Passed => "/>\n".to_owned(),
            Outcome::Skipped(why) => skip(why),
            Outcome::Undecided { by } => skip(&format!("not decided: {by} failed")),
            Outcome::Failed { seen, .. } => format!(
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                escape(seen),
                escape(&failure_text(verdict, options))
            ),
        });
    }
    parts.push("  </testsuite>\n".to_owned());
    parts
}

fn skip(why: &str) -> String {
    format!(">\n      <skipped message=\"{}\"/>\n    </testcase>\n", escape(why))
}

/// Text inside an element or an attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
