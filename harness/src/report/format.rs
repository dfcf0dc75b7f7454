//! Numbers as people read them.
//!
//! Touches nothing. Data is counted in powers of ten (MB), memory in powers of two (MiB).

use std::time::Duration;

pub use crate::run::rate;

/// A count with a comma after every three digits.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many of what: `1 batch`, `1,200 batches`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A size of data: `312.4 MB`.
pub fn bytes(number: u64) -> String {
    scaled(number, 1000, &["B", "kB", "MB", "GB", "TB"])
}

/// A size of memory: `45.1 MiB`.
pub fn memory(number: u64) -> String {
    scaled(number, 1024, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn scaled(number: u64, step: u64, units: &[&str]) -> String {
    let mut unit = 1;
    let mut names = units.iter();
    let mut name = names.next().copied().unwrap_or_default();
    for larger in names {
        if number / unit < step {
            break;
        }
        unit *= step;
        name = larger;
    }
    if unit == 1 {
        return format!("{number} {name}");
    }
    let tenths = u128::from(number) * 10 / u128::from(unit);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// A time: `0.4 s`, `12.3 s`, `3 min 05 s`, `2 h 07 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        return format!("{seconds}.{} s", time.subsec_millis() / 100);
    }
    let minutes = seconds / 60;
    if minutes < 60 {
        return format!("{minutes} min {:02} s", seconds % 60);
    }
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

/// When something happens after a pause: `at once`, `in 250 ms`, `in 1.5 s`.
pub(super) fn after(pause: Duration) -> String {
    match pause.as_millis() {
        0 => "at once".to_owned(),
        ms @ 1..=999 => format!("in {ms} ms"),
        _ => format!("in {}", duration(pause)),
    }
}

/// How far behind, in records and in time, as far as each is known.
pub(super) fn lag(rows: Option<u64>, ms: Option<u64>) -> Option<String> {
    let time = |ms| duration(Duration::from_millis(ms));
    match (rows, ms) {
        (Some(rows), Some(ms)) => Some(format!("lag {}, {}", count(rows), time(ms))),
        (Some(rows), None) => Some(format!("lag {}", count(rows))),
        (None, Some(ms)) => Some(format!("lag {}", time(ms))),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests;
