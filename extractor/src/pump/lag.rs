//! What the host was told of each part's lag, so that it is told again when it is another. Pure but for
//! the clock.

use std::time::{Duration, Instant};

use protocol::message::PartLag;

use crate::source::Lag;

/// How often it is told while there is more to read. Why 1 s: people look at it, and batches end many
/// times in a second.
const INTERVAL: Duration = Duration::from_secs(1);

/// Parts that one batch tells. Why 1,000: some 40 KB, which leaves the frame to the moves of offsets; the
/// others come with the next batch.
const PARTS_MAX: usize = 1_000;

/// See the file.
#[derive(Debug, Default)]
pub(super) struct LagsTold {
    told: Vec<Lag>,
    at: Option<Instant>,
    /// The part to begin with, so that each gets its turn.
    next: usize,
}

impl LagsTold {
    /// What is to be told of the lags: those that are known and other than they were. They are asked for
    /// only when it is time for that. `at_end`: there is
    /// nothing more to read for now, so that it may be long until the next batch.
    pub(super) fn news(&mut self, lags: impl FnOnce() -> Vec<Lag>, at_end: bool) -> Vec<PartLag> {
        if !at_end && self.at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return Vec::new();
        }
        let lags = lags();
        self.at = Some(Instant::now());
        self.told.resize(lags.len(), Lag::default());
        let mut news = Vec::new();
        let first = if self.next < lags.len() { self.next } else { 0 };
        for index in (first..lags.len()).chain(0..first) {
            let (Some(now), Some(told)) = (lags.get(index), self.told.get_mut(index)) else {
                break;
            };
            if *now == Lag::default() || now == told {
                continue;
            }
            if news.len() == PARTS_MAX {
                self.next = index;
                break;
            }
            *told = *now;
            let part = u32::try_from(index).unwrap_or(u32::MAX);
            news.push(PartLag { part, rows: now.rows, ms: now.ms });
        }
        news
    }

    /// These did not reach the host after all.
    pub(super) fn untold(&mut self, news: &[PartLag]) {
        for part in news {
            let told = usize::try_from(part.part).ok().and_then(|part| self.told.get_mut(part));
            if let Some(told) = told {
                *told = Lag::default();
            }
        }
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Lag {
        Lag { rows: None, ms: Some(ms) }
    }

    fn parts(news: &[PartLag]) -> Vec<u32> {
        news.iter().map(|it| it.part).collect()
    }

    #[test]
    fn what_is_known_and_changed_is_told_once() {
        let mut told = LagsTold::default();
        let mut lags = [ms(5), Lag::default(), ms(0)];
        let news = told.news(|| lags.to_vec(), true);
        assert_eq!(news[0], PartLag { part: 0, rows: None, ms: Some(5) });
        assert_eq!(parts(&news), [0, 2]);
        assert!(told.news(|| lags.to_vec(), true).is_empty());
        (lags[1], lags[2]) = (ms(7), ms(1));
        let early = told.news(|| panic!("asked for, and not told"), false);
        assert!(early.is_empty(), "not twice in a second");
        let news = told.news(|| lags.to_vec(), true);
        assert_eq!(parts(&news), [1, 2], "but at the end");
        told.untold(&news);
        assert_eq!(parts(&told.news(|| lags.to_vec(), false)), [1, 2], "what was left out");
    }

    #[test]
    fn more_than_fit_come_with_the_next_batches_and_none_is_left_out() {
        let mut told = LagsTold::default();
        let mut all = Vec::new();
        for round in 0..3_u64 {
            // All change each time.
            let lags: Vec<Lag> = (0..2_500_u64).map(|n| ms(n * 10 + round)).collect();
            let news = told.news(|| lags.to_vec(), true);
            assert!(news.len() <= PARTS_MAX);
            all.extend(parts(&news));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2_500);
    }
}
