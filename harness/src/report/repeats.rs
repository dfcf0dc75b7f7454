//! Equal warnings are told once, and how often they came.
//!
//! Touches nothing; the time is handed in. Invariant: every warning is told or counted, and every
//! count is told later.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time in which an equal warning is counted and not told again.
const WINDOW: Duration = Duration::from_secs(30);

/// Warnings that are remembered. Why 64: one for every task of a busy run, and a few more.
const REMEMBERED_MAX: usize = 64;

struct Told {
    subject: String,
    since: Instant,
    again: u64,
}

impl Told {
    /// What is left to say of it.
    fn count(self) -> Option<String> {
        match self.again {
            0 => None,
            1 => Some(format!("{} (once more)", self.subject)),
            many => Some(format!("{} ({many} times more)", self.subject)),
        }
    }
}

/// The warnings of the last while, oldest first.
#[derive(Default)]
pub(super) struct Repeats {
    told: VecDeque<Told>,
}

impl Repeats {
    /// The lines to print because of the warning `text`; warnings of one `subject` are equal.
    pub(super) fn pass(&mut self, subject: &str, text: &str, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(oldest) = self.told.front() {
            let is_over = now.saturating_duration_since(oldest.since) >= WINDOW;
            if !is_over && self.told.len() < REMEMBERED_MAX {
                break;
            }
            lines.extend(self.told.pop_front().and_then(Told::count));
        }
        if let Some(told) = self.told.iter_mut().find(|told| told.subject == subject) {
            told.again += 1;
        } else {
            self.told.push_back(Told { subject: subject.to_owned(), since: now, again: 0 });
            lines.push(text.to_owned());
        }
        lines
    }

    /// The counts that were not told yet.
    pub(super) fn rest(&mut self) -> Vec<String> {
        self.told.drain(..).filter_map(Told::count).collect()
    }
}

#[cfg(test)]
mod tests;
