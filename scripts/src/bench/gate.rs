//! What a figure must be, and whether it is.
//!
//! Pure. Invariant: a gate on seconds of a clock is judged only where the machine did nothing else;
//! a figure that is not a number misses every gate.

use std::fmt;

/// A limit that a figure, or its ratio to what it stands beside, must keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gate {
    limit: f64,
    is_most: bool,
    unit: &'static str,
    needs_quiet: bool,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// Within the limit.
    Met,
    /// Over or under it, by this share of the limit.
    Missed(f64),
    /// The machine had other work, which moves what a clock shows.
    NotJudged,
}

impl Gate {
    /// At most `limit`, in `unit` (`×` for ratios).
    pub(super) const fn at_most(limit: f64, unit: &'static str) -> Self {
        Self { limit, is_most: true, unit, needs_quiet: false }
    }

    /// At least `limit`, in `unit` (`×` for ratios).
    pub(super) const fn at_least(limit: f64, unit: &'static str) -> Self {
        Self { limit, is_most: false, unit, needs_quiet: false }
    }

    /// The same, judged only where the machine does nothing else.
    #[must_use]
    pub(super) const fn when_quiet(self) -> Self {
        Self { needs_quiet: true, ..self }
    }

    /// Judges what was measured.
    pub(super) fn judge(self, measured: f64, is_quiet: bool) -> Verdict {
        let holds = if self.is_most { measured <= self.limit } else { measured >= self.limit };
        match holds {
            _ if self.needs_quiet && !is_quiet => Verdict::NotJudged,
            true => Verdict::Met,
            false => Verdict::Missed((measured / self.limit - 1.0).abs()),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_most { '≤' } else { '≥' };
        let space = if self.unit == "×" { "" } else { " " };
        let quiet = if self.needs_quiet { " when quiet" } else { "" };
        let limit = format!("{:.2}", self.limit);
        let limit = limit.trim_end_matches('0').trim_end_matches('.');
        write!(out, "{sign} {limit}{space}{}{quiet}", self.unit)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => out.write_str("met"),
            Self::Missed(by) => write!(out, "missed by {:.0} %", by * 100.0),
            Self::NotJudged => out.write_str("not judged, the machine had other work"),
        }
    }
}
