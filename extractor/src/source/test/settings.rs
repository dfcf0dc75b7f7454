//! What the settings ask of the test source. Pure.

use protocol::{Code, Failure};

use super::{BRANCHING, CHILDREN, CLASS};
use crate::config::Settings;
use crate::source::CLASS as CLASS_KEY;

/// Every key that the test source reads.
pub(super) const KEYS: [&str; 21] = [
    CLASS_KEY,
    "test.seed",
    "test.splits",
    "test.rows",
    "test.row.bytes",
    "test.topic",
    "test.tombstone.every",
    "test.unicode",
    "test.error.every",
    "test.gap.at",
    "test.gap.len",
    "test.close",
    "test.split.at",
    "test.stall.at",
    "test.stall.ms",
    "test.throttle.ms",
    "test.fail.at",
    "test.fail.code",
    "test.stderr.flood",
    "test.print",
    "test.connect.ms",
];

/// Most splits. Why: as many as one assignment holds.
const SPLITS_MAX: u64 = protocol::limits::PARTS_MAX as u64;

/// Longest payload, in characters of up to four bytes.
const ROW_CHARS_MAX: u64 = 32 * 1024 * 1024;

/// Longest wait.
const WAIT_MS_MAX: u64 = 3_600_000;

/// Most noise in one poll.
const FLOOD_BYTES_MAX: u64 = 1 << 30;

/// Rows of a split are numbered within what an offset can hold.
const ROWS_MAX: u64 = protocol::limits::OFFSET_INTEGER_MAX.unsigned_abs();

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub seed: u64,
    pub splits: u64,
    pub rows: u64,
    pub row_chars: usize,
    pub topic: String,
    pub tombstone_every: u64,
    pub unicode: bool,
    pub error_every: u64,
    pub gap_at: u64,
    pub gap_len: u64,
    pub close: bool,
    /// Rows of p0 before it branches; 0 when it does not.
    pub split_at: u64,
    pub stall_at: u64,
    pub stall_ms: u64,
    pub throttle_ms: u64,
    pub connect_ms: u64,
    pub fail: Option<(u64, Code)>,
    pub stderr_flood: u64,
    pub print: bool,
}

impl Plan {
    pub(super) fn read(settings: &Settings) -> Result<Self, Failure> {
        debug_assert!(settings.text(CLASS_KEY) == Some(CLASS), "another source was asked for");
        let row_bytes = settings.number("test.row.bytes", 0..=ROW_CHARS_MAX, 100)?;
        Ok(Self {
            seed: settings.number("test.seed", 0..=u64::MAX, 0)?,
            splits: settings.number("test.splits", 1..=SPLITS_MAX, 1)?,
            rows: settings.number("test.rows", 0..=ROWS_MAX, 1000)?,
            row_chars: usize::try_from(row_bytes).unwrap_or(usize::MAX),
            topic: settings.text("test.topic").unwrap_or("test").to_owned(),
            tombstone_every: settings.number("test.tombstone.every", 0..=ROWS_MAX, 0)?,
            unicode: settings.flag("test.unicode", false)?,
            error_every: settings.number("test.error.every", 0..=ROWS_MAX, 0)?,
            gap_at: settings.number("test.gap.at", 0..=ROWS_MAX, 0)?,
            gap_len: settings.number("test.gap.len", 0..=ROWS_MAX, 0)?,
            close: settings.flag("test.close", false)?,
            split_at: settings.number("test.split.at", 0..=ROWS_MAX, 0)?,
            stall_at: settings.number("test.stall.at", 0..=ROWS_MAX, 0)?,
            stall_ms: settings.number("test.stall.ms", 0..=WAIT_MS_MAX, 0)?,
            throttle_ms: settings.number("test.throttle.ms", 0..=WAIT_MS_MAX, 0)?,
            connect_ms: settings.number("test.connect.ms", 0..=WAIT_MS_MAX, 0)?,
            fail: fail(settings)?,
            stderr_flood: settings.number("test.stderr.flood", 0..=FLOOD_BYTES_MAX, 0)?,
            print: settings.flag("test.print", false)?,
        })
    }

    /// Rows of a split.
    pub(super) fn end(&self, name: &str) -> u64 {
        if self.split_at > 0 && name == BRANCHING { self.split_at } else { self.rows }
    }

    /// Whether a split takes no more records after its last row.
    pub(super) fn closes(&self, name: &str) -> bool {
        self.close || (self.split_at > 0 && name == BRANCHING)
    }

    /// Whether a name is one of the children of the split that branches.
    pub(super) fn is_child(&self, name: &str) -> bool {
        self.split_at > 0 && CHILDREN.contains(&name)
    }

    /// The first row from `row` on that is in no gap.
    pub(super) fn after_gap(&self, row: u64) -> u64 {
        let end = self.gap_at.saturating_add(self.gap_len);
        if (self.gap_at..end).contains(&row) { end } else { row }
    }

    pub(super) fn failure_at(&self, row: u64) -> Option<Code> {
        self.fail.and_then(|(at, code)| (at == row).then_some(code))
    }

    pub(super) fn is_error(&self, row: u64) -> bool {
        is_every(self.error_every, row)
    }

    pub(super) fn is_tombstone(&self, row: u64) -> bool {
        is_every(self.tombstone_every, row)
    }

    /// Which life of the source this is.
    pub(super) fn incarnation(&self) -> String {
        format!("test-{}", self.seed)
    }
}

const fn is_every(every: u64, row: u64) -> bool {
    every > 0 && (row + 1).is_multiple_of(every)
}

fn fail(settings: &Settings) -> Result<Option<(u64, Code)>, Failure> {
    let at = settings.number("test.fail.at", 0..=ROWS_MAX, 0)?;
    let words: Vec<(&str, Code)> = Code::ALL.iter().map(|code| (code.name(), *code)).collect();
    if settings.text("test.fail.code").is_none() || settings.text("test.fail.at").is_none() {
        return Ok(None);
    }
    Ok(Some((at, settings.choice("test.fail.code", &words, Code::Bug)?)))
}
