//! Dates and times as text, in UTC and the proleptic Gregorian calendar. Pure.

use std::io::Write;

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;

const DAY_SECONDS: i64 = 86_400;

/// What a number of an Avro time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    const fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    const fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }
}

/// Appends `"2011-11-11"`; `None`, and nothing, outside of the years 0 to 9999.
pub(super) fn write_date(out: &mut Vec<u8>, days: i64) -> Option<()> {
    let (year, month, day) = civil(days)?;
    put(out, format_args!("\"{year:04}-{month:02}-{day:02}\""));
    Some(())
}

/// Appends `"11:11:11"`, with a fraction of all digits of the unit unless it is zero.
pub(super) fn write_time(out: &mut Vec<u8>, count: i64, unit: Unit) -> Option<()> {
    if !(0..DAY_SECONDS * unit.per_second()).contains(&count) {
        return None;
    }
    out.push(b'"');
    put_time(out, count, unit);
    out.push(b'"');
    Some(())
}

/// Appends `"2011-11-11 11:11:11"`, with a fraction as of a time.
pub(super) fn write_timestamp(out: &mut Vec<u8>, count: i64, unit: Unit) -> Option<()> {
    let day = DAY_SECONDS * unit.per_second();
    let (year, month, date) = civil(count.div_euclid(day))?;
    put(out, format_args!("\"{year:04}-{month:02}-{date:02} "));
    put_time(out, count.rem_euclid(day), unit);
    out.push(b'"');
    Some(())
}

fn put_time(out: &mut Vec<u8>, count: i64, unit: Unit) {
    let (seconds, fraction) = (count / unit.per_second(), count % unit.per_second());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    put(out, format_args!("{hours:02}:{minutes:02}:{seconds:02}"));
    if fraction != 0 {
        put(out, format_args!(".{fraction:0width$}", width = unit.digits()));
    }
}

/// Year, month and day of a day since 1970-01-01: years begin in March here, so that the day of a
/// leap year is the last one.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    let days = days.checked_add(EPOCH_DAYS)?;
    let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    (0..=9999).contains(&year).then_some((year, month, date))
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    #[expect(clippy::expect_used, reason = "text is written to memory, which takes it")]
    out.write_fmt(text).expect("write text to memory");
}
