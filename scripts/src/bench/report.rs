//! Figures as a table for people, as JSON for machines and as a part of README.md.
//!
//! May touch: the files named. Invariant: all three come from the same figures.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::chart::{self, Chart};
use super::gate::{Gate, Verdict};
use super::median;

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// One measurement.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    baseline: Option<(String, f64)>,
    /// The lowest and the highest of several rounds: ratios where there is a baseline, else values.
    spread: Option<(f64, f64)>,
    rounds: Vec<f64>,
    gate: Option<Gate>,
    is_detail: bool,
}

impl Figure {
    pub(super) fn new(name: &str, value: f64, unit: &'static str) -> Self {
        let (name, baseline, spread, gate) = (name.to_owned(), None, None, None);
        Self { name, value, unit, baseline, spread, rounds: Vec::new(), gate, is_detail: false }
    }

    /// The middle of several rounds, and how far they lie apart.
    pub(super) fn of_rounds(name: &str, rounds: Vec<f64>, unit: &'static str) -> Self {
        let middle = median(&mut rounds.clone());
        Self { spread: extremes(&rounds), rounds, ..Self::new(name, middle, unit) }
    }

    /// Left out of README.md.
    #[must_use]
    pub(super) fn detail(self) -> Self {
        Self { is_detail: true, ..self }
    }

    /// The same of something else, measured in the same run.
    #[must_use]
    pub(super) fn beside(self, what: &str, value: f64) -> Self {
        Self { baseline: Some((what.to_owned(), value)), ..self }
    }

    /// The same of something else, which took turns with it.
    #[must_use]
    pub(super) fn beside_rounds(self, what: &str, mut theirs: Vec<f64>) -> Self {
        let ratios: Vec<_> =
            self.rounds.iter().zip(&theirs).map(|(it, other)| it / other).collect();
        Self { spread: extremes(&ratios), ..self.beside(what, median(&mut theirs)) }
    }

    /// What it must be, or `--gate` fails: the ratio where there is a baseline, else the value.
    #[must_use]
    pub(super) fn gate(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// How the gate went; `None` without one.
    pub(super) fn verdict(&self, is_quiet: bool) -> Option<Verdict> {
        let measured = self.baseline.as_ref().map_or(self.value, |(_, value)| self.value / value);
        self.gate.map(|gate| gate.judge(measured, is_quiet))
    }

    fn json(&self, is_quiet: bool) -> Value {
        let baseline = self.baseline.as_ref().map(
            |(what, value)| json!({"what": what, "value": value, "ratio": self.value / value}),
        );
        json!({
            "name": self.name, "value": self.value, "unit": self.unit, "baseline": baseline,
            "spread": self.spread.map(|(least, most)| [least, most]),
            "gate": self.gate.map(|gate| gate.to_string()),
            "verdict": self.verdict(is_quiet).map(|verdict| verdict.to_string()),
        })
    }

    /// How far the rounds lie apart, where there were some.
    fn apart(&self, unit: &str) -> String {
        self.spread.map_or_else(String::new, |(least, most)| {
            format!(
                " ({} to {})",
                with_unit(least, unit).trim_end(),
                with_unit(most, unit).trim_end()
            )
        })
    }

    fn cells(&self, is_quiet: bool) -> [String; 4] {
        let baseline = self.baseline.as_ref().map_or_else(String::new, |(what, value)| {
            let ratio = format!("{:.2}×", self.value / value);
            format!("{} ({what}): {ratio}{}", with_unit(*value, self.unit), self.apart(""))
        });
        let mut value = with_unit(self.value, self.unit);
        if self.baseline.is_none() {
            value += &self.apart(self.unit);
        }
        let gate = self.gate.zip(self.verdict(is_quiet));
        let target = gate.map_or_else(String::new, |(gate, verdict)| format!("{gate}: {verdict}"));
        [self.name.clone(), value, baseline, target]
    }
}

/// All figures of a run.
#[derive(Debug)]
pub(super) struct Report {
    machine: Value,
    figures: Vec<Figure>,
    skipped: Vec<(String, String)>,
    charts: Vec<Chart>,
}

impl Report {
    pub(super) fn new(machine: &Value) -> Self {
        Self {
            machine: machine.clone(),
            figures: Vec::new(),
            skipped: Vec::new(),
            charts: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// The gates that were missed, as lines for people.
    pub(super) fn missed(&self) -> Vec<String> {
        let missed = self.figures.iter().filter_map(|figure| {
            let verdict = figure.verdict(self.is_quiet())?;
            let gate = figure.gate?;
            matches!(verdict, Verdict::Missed(_))
                .then(|| format!("{}: {gate}: {verdict}", figure.name))
        });
        missed.collect()
    }

    /// Whether the machine did nothing else before the run.
    fn is_quiet(&self) -> bool {
        self.machine.get("quiet").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Adds bars to compare.
    pub(super) fn chart(&mut self, title: &str, bars: Vec<(String, f64)>) {
        self.charts.push(Chart { title: title.to_owned(), bars });
    }

    /// Says that a figure could not be taken, and why.
    pub(super) fn skip(&mut self, name: &str, reason: &str) {
        self.skipped.push((name.to_owned(), reason.to_owned()));
    }

    /// Writes the JSON file.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let figures: Vec<Value> =
            self.figures.iter().map(|figure| figure.json(self.is_quiet())).collect();
        let skipped: Vec<Value> = self
            .skipped
            .iter()
            .map(|(name, reason)| json!({"name": name, "reason": reason}))
            .collect();
        let all = json!({"machine": self.machine, "figures": figures, "skipped": skipped});
        let text = serde_json::to_string_pretty(&all).context("encode the figures")?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
    }

    /// The table, in Markdown that reads well as plain text.
    pub(super) fn table(&self) -> String {
        self.table_of(|_| true)
    }

    fn table_of(&self, is_shown: impl Fn(&Figure) -> bool) -> String {
        const HEADS: [&str; 4] = ["what", "measured", "beside: ratio", "gate"];
        let mut rows = vec![HEADS.map(str::to_owned)];
        rows.extend(
            self.figures
                .iter()
                .filter(|figure| is_shown(figure))
                .map(|figure| figure.cells(self.is_quiet())),
        );
        let mut widths = [0; 4];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &[String; 4]| {
            let cells = row.iter().zip(widths);
            let cells: Vec<_> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = String::new();
        for (at, row) in rows.iter().enumerate() {
            text += &line(row);
            if at == 0 {
                text += &line(&widths.map(|width| "-".repeat(width)));
            }
        }
        for (name, reason) in &self.skipped {
            // Writing to a string cannot fail.
            writeln!(text, "\nskipped: {name}: {reason}").ok();
        }
        let of = |name: &str| self.machine.get(name).map_or_else(String::new, text_of);
        let (cpu, cores, memory, kernel) = (of("cpu"), of("cores"), of("memory"), of("kernel"));
        let (date, load, commit) = (of("date"), of("load_before"), of("commit"));
        let command = of("command");
        text + &format!(
            "\n{cpu}, {cores} cores, {memory}, {kernel}; {date}, load before {load}, commit \
             {commit}.\nBroker, extractor and host share these cores. Taken by `{command}`.\n"
        )
    }

    /// Puts chart and table of the headlines between the two marks of a document.
    pub(super) fn put_into(&self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).context("read README.md")?;
        let chart = match chart::draw(&self.charts) {
            none if none.is_empty() => none,
            bars => format!("```text\n{bars}```\n\n"),
        };
        let (head, rest) = text.split_once(BEGIN).context("README.md has no mark for figures")?;
        let (_, tail) = rest.split_once(END).context("README.md has no end mark for figures")?;
        let text = format!(
            "{head}{BEGIN}\n{chart}{}{END}{tail}",
            self.table_of(|figure| !figure.is_detail)
        );
        std::fs::write(path, text).context("write README.md")
    }
}

/// The lowest and the highest.
fn extremes(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().reduce(f64::min)?;
    Some((least, values.iter().copied().reduce(f64::max)?))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Three digits that count; large numbers in groups.
fn with_unit(value: f64, unit: &str) -> String {
    let text = match value.abs() {
        v if v >= 1000.0 => grouped(&format!("{value:.0}")),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    format!("{text} {unit}")
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}
