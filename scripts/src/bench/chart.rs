//! Bars of blocks in plain text, which every viewer of Markdown shows.
//!
//! Pure. Invariant: the bars of all charts of a report have one scale, from zero.

use std::fmt::Write;

/// Cells of the longest bar.
const WIDTH: f64 = 40.0;

/// What is compared.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) bars: Vec<(String, f64)>,
}

/// The charts below each other.
pub(super) fn draw(charts: &[Chart]) -> String {
    let all = || charts.iter().flat_map(|chart| &chart.bars);
    let longest = all().map(|(_, value)| *value).fold(0.0, f64::max);
    let names = all().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Chart { title, bars } in charts {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a string cannot fail.
        writeln!(text, "{title}").ok();
        for (name, value) in bars {
            writeln!(text, "  {name:names$}  {} {value:.2}", bar(*value, longest)).ok();
        }
    }
    text
}

/// Whole and half cells; what is there has half a cell at least.
fn bar(value: f64, longest: f64) -> String {
    let mut halves = value / longest * WIDTH * 2.0;
    let mut text = String::new();
    while halves >= 1.5 {
        text.push('█');
        halves -= 2.0;
    }
    if halves >= 0.5 || text.is_empty() {
        text.push('▌');
    }
    text
}
