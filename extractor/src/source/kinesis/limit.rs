//! How many records an answer is asked for: fewer where answers have no room, and more again once it is
//! sure that they would have. Pure.

/// Answers with records in a row, each of which would have had room with twice the records, before as
/// many are asked for. Why 8: large records come in groups, and an answer that has no room is asked for
/// twice more; eight good ones for each such step keep that below what reading costs.
const FITS: u32 = 8;

/// See the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// What the settings allow.
    max: i32,
    now: i32,
    /// Answers in a row that would have had room with twice the records.
    fits: u32,
}

impl Limit {
    /// Asks for `max` records, at least one.
    pub(super) const fn new(max: i32) -> Self {
        Self { max, now: max, fits: 0 }
    }

    /// What to ask for.
    pub(super) const fn now(self) -> i32 {
        self.now
    }

    /// An answer had no room. `false`: it was for one record.
    pub(super) const fn halve(&mut self) -> bool {
        self.fits = 0;
        let can = self.now > 1;
        self.now = if can { self.now / 2 } else { 1 };
        can
    }

    /// An answer came, which took `bytes` of the `room` that one may have at most. Whether more is asked
    /// for from now on.
    pub(super) fn answered(&mut self, records: usize, bytes: usize, room: usize) -> bool {
        if self.now >= self.max || records == 0 {
            return false;
        }
        // Fewer records than asked for say nothing of twice as many: their size does.
        let asked = usize::try_from(self.now).unwrap_or(usize::MAX);
        let each = bytes.div_ceil(records);
        let fits = each.saturating_mul(asked).saturating_mul(2) <= room;
        self.fits = if fits { self.fits.saturating_add(1) } else { 0 };
        if self.fits < FITS {
            return false;
        }
        (self.fits, self.now) = (0, self.now.saturating_mul(2).min(self.max));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_down_to_one_and_grows_to_the_settings() {
        let mut limit = Limit::new(500);
        for now in [250, 125, 62, 31, 15, 7, 3, 1] {
            assert!(limit.halve());
            assert_eq!(limit.now(), now);
        }
        assert!(!limit.halve(), "there is no less than one");
        let mut grown = Vec::new();
        for _ in 0..1_000 {
            let before = limit.now();
            if limit.answered(usize::try_from(before).unwrap(), 1_000, 1_000_000) {
                grown.push(limit.now());
            }
            assert!(limit.now() <= 500 && limit.now() <= before * 2);
        }
        assert_eq!(grown, [2, 4, 8, 16, 32, 64, 128, 256, 500]);
    }

    #[test]
    fn only_answers_that_would_fit_twice_count_and_only_in_a_row() {
        let mut limit = Limit::new(100);
        assert!(limit.halve());
        for _ in 0..100 {
            // 50 records of 10 bytes: 100 of them are 1,000.
            assert!(!limit.answered(50, 500, 999), "twice as many had no room");
            // One record alone is as large as those: asking for 100 asks for 10,000.
            assert!(!limit.answered(1, 100, 9_999));
            assert!(!limit.answered(0, 0, 1_000), "an empty answer says nothing");
        }
        for _ in 1..FITS {
            assert!(!limit.answered(50, 500, 1_000));
        }
        assert!(!limit.answered(50, 500, 999), "one that would not fit begins anew");
        for _ in 1..FITS {
            assert!(!limit.answered(50, 500, 1_000));
            assert!(!limit.answered(0, 0, 1_000));
        }
        assert!(limit.answered(50, 500, 1_000));
        assert_eq!(limit.now(), 100);
    }
}
