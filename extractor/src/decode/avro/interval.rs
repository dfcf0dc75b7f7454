//! Materialize's interval as the text that PostgreSQL prints (`intervalstyle = postgres`). Pure.

use std::io::Write;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// Appends a JSON string of 16 bytes: months and days of 32 bits, microseconds of 64, each with its
/// lowest byte first.
pub(super) fn write(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    let [a, b, c, d, e, f, g, h, micros @ ..] = *bytes;
    let months = i32::from_le_bytes([a, b, c, d]);
    let days = i32::from_le_bytes([e, f, g, h]);
    let micros = i64::from_le_bytes(micros);
    out.push(b'"');
    let start = out.len();
    // A positive part has its sign where the one before it is negative.
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "month"), (days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if out.len() == start { "" } else { " " };
        let sign = if after_negative && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        put(out, format_args!("{space}{sign}{value} {unit}{plural}"));
        after_negative = value < 0;
    }
    if micros != 0 || out.len() == start {
        let space = if out.len() == start { "" } else { " " };
        let sign = match (micros < 0, after_negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let seconds = micros.unsigned_abs() / MICROS_PER_SECOND;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        put(out, format_args!("{space}{sign}{hours:02}:{minutes:02}:{seconds:02}"));
        let fraction = micros.unsigned_abs() % MICROS_PER_SECOND;
        if fraction != 0 {
            put(out, format_args!(".{fraction:06}"));
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
    }
    out.push(b'"');
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    #[expect(clippy::expect_used, reason = "text is written to memory, which takes it")]
    out.write_fmt(text).expect("write text to memory");
}
