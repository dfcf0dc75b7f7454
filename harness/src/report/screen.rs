//! The bar of a run on a terminal.
//!
//! May touch: stderr, through indicatif, whose thread redraws the bar. Invariant: lines printed
//! above the bar never tear it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::format::{bytes, count, counted, duration, lag};
use super::terminal::Terminal;
use crate::run::{REACHING, Tally};

/// Drawings per second at most; lines above the bar draw it too.
const REDRAWS_PER_S: u8 = 20;

/// How often the bar is redrawn.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Screen {
    bar: ProgressBar,
}

impl Screen {
    pub(super) fn start(name: &str, tally: &Arc<Tally>) -> Self {
        let total = tally.snapshot(Instant::now()).total;
        let target =
            ProgressDrawTarget::term_like_with_hz(Box::new(Terminal::stderr()), REDRAWS_PER_S);
        let bar = ProgressBar::with_draw_target(total, target);
        bar.set_style(style(tally, total.is_some()));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Prints a line above the bar.
    pub(super) fn line(&self, text: &str) {
        if self.bar.is_finished() {
            super::out::note(text);
        } else {
            self.bar.println(text);
        }
    }

    pub(super) fn stop(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(tally: &Arc<Tally>, has_total: bool) -> ProgressStyle {
    let template = if has_total {
        "{prefix:.bold} {progress}  {speed}\n{details:.dim}"
    } else {
        "{spinner} {prefix:.bold}  {progress}  {speed}\n{details:.dim}"
    };
    // A template that does not parse would be a bug; the plain bar still shows that it goes on.
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    let (first, second, third) = (Arc::clone(tally), Arc::clone(tally), Arc::clone(tally));
    style
        .with_key("progress", move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
            to.write_str(&progress(&first)).ok();
        })
        .with_key("speed", move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
            let now = second.snapshot(Instant::now());
            let (rows, data) = (count(now.rows_per_s), bytes(now.bytes_per_s));
            write!(to, "{rows} rows/s  {data}/s").ok();
        })
        .with_key("details", move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
            to.write_str(&details(&third)).ok();
        })
}

/// Width of the bar in characters. Why 14: with the numbers beside it, it fits 80 columns.
const BAR: u64 = 14;

/// Width of the bar on a terminal that has room for it.
const BAR_WIDE: u64 = 30;

/// Columns from which a terminal has room.
const COLUMNS_WIDE: u16 = 100;

fn progress(tally: &Tally) -> String {
    let now = tally.snapshot(Instant::now());
    if !now.is_reached {
        return REACHING.to_owned();
    }
    let Some(total) = now.total else { return counted(now.rows, "row", "rows") };
    let (_, columns) = console::Term::stderr().size();
    let width = if columns < COLUMNS_WIDE { BAR } else { BAR_WIDE };
    let done = (now.rows.min(total) * width).checked_div(total).unwrap_or(width);
    let mut text = String::new();
    for place in 0..width {
        text.push(if place < done { '█' } else { '░' });
    }
    let percent = (now.rows * 100).checked_div(total).unwrap_or(100);
    format!("{text} {percent:>3}% {} of {}", count(now.rows), count(total))
}

fn details(tally: &Tally) -> String {
    let now = tally.snapshot(Instant::now());
    let mut parts = vec![duration(now.elapsed), counted(now.batches, "batch", "batches")];
    parts.extend(lag(now.lag_rows, now.lag_ms));
    if now.errors > 0 {
        parts.push(counted(now.errors, "error row", "error rows"));
    }
    if let Some(left) = now.remaining().filter(|left| !left.is_zero()) {
        parts.push(format!("{} left", duration(left)));
    }
    if let Some(waiting) = now.waiting {
        parts.push(super::out::one_line(&waiting));
    }
    format!("  {}", parts.join(", "))
}
