//! Values of rows in text and in binary form, and the values that clients bind to prepared statements.
//!
//! Pure. Invariant: what cannot be said in the form of its column is an error, never another value.
//!
//! Source: "Binary Protocol Value" in MySQL's protocol documentation.

use super::bytes::{Reader, put_counted};
use super::wire::WireError;
use crate::store::{Datum, Param, StoreError, StoreErrorKind, kind};

/// Appends a value of a row in text form.
pub(super) fn put_text(to: &mut Vec<u8>, datum: &Datum) {
    match text_of(datum) {
        Some(text) => put_counted(to, &text),
        None => to.push(0xfb),
    }
}

fn text_of(datum: &Datum) -> Option<Vec<u8>> {
    Some(match datum {
        Datum::Null => return None,
        Datum::Bytes(bytes) => bytes.clone(),
        Datum::Int(number) => number.to_string().into_bytes(),
        Datum::UInt(number) => number.to_string().into_bytes(),
        // The shortest text that is this float and no other.
        Datum::Single(number) => format!("{number:?}").into_bytes(),
        Datum::Real(number) => format!("{number:?}").into_bytes(),
        Datum::Date(year, month, day, hour, minute, second, micros) => {
            let day = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            with_micros(day, *micros).into_bytes()
        }
        Datum::Time(is_negative, days, hours, minutes, seconds, micros) => {
            let sign = if *is_negative { "-" } else { "" };
            let hours = u64::from(*days) * 24 + u64::from(*hours);
            with_micros(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"), *micros).into_bytes()
        }
    })
}

fn with_micros(text: String, micros: u32) -> String {
    if micros == 0 { text } else { format!("{text}.{micros:06}") }
}

/// Appends a whole row in binary form.
///
/// # Errors
/// A value is none of its column.
pub(super) fn put_binary_row(
    to: &mut Vec<u8>,
    kinds: &[u8],
    row: &[Datum],
) -> Result<(), StoreError> {
    // The first two bits of the map of NULLs are not used.
    let mut nulls = vec![0_u8; (row.len() + 9) / 8];
    for (place, datum) in (2_usize..).zip(row) {
        if let (Datum::Null, Some(byte)) = (datum, nulls.get_mut(place / 8)) {
            *byte |= 1 << (place % 8);
        }
    }
    to.push(0);
    to.extend_from_slice(&nulls);
    for (kind, datum) in kinds.iter().zip(row) {
        put_binary(to, *kind, datum)?;
    }
    Ok(())
}

fn put_binary(to: &mut Vec<u8>, column: u8, datum: &Datum) -> Result<(), StoreError> {
    let misfit = || {
        let text = format!("a value does not fit its column of type {column}");
        StoreError::new(StoreErrorKind::Internal, text)
    };
    let width = match column {
        kind::TINY => Some(1),
        kind::SHORT | kind::YEAR => Some(2),
        kind::LONG | kind::INT24 => Some(4),
        kind::LONGLONG => Some(8),
        _ => None,
    };
    match (datum, width, column) {
        (Datum::Null, ..) => {}
        (Datum::Int(number), Some(width), _) => {
            to.extend(number.to_le_bytes().into_iter().take(width));
        }
        (Datum::UInt(number), Some(width), _) => {
            to.extend(number.to_le_bytes().into_iter().take(width));
        }
        (Datum::Single(number), _, kind::FLOAT) => to.extend_from_slice(&number.to_le_bytes()),
        (Datum::Real(number), _, kind::DOUBLE) => to.extend_from_slice(&number.to_le_bytes()),
        (Datum::Date(..), _, kind::DATE | kind::DATETIME | kind::TIMESTAMP) => put_date(to, datum),
        (Datum::Time(..), _, kind::TIME) => put_time(to, datum),
        (_, Some(_), _)
        | (
            _,
            _,
            kind::FLOAT
            | kind::DOUBLE
            | kind::DATE
            | kind::DATETIME
            | kind::TIMESTAMP
            | kind::TIME
            | kind::NULL,
        ) => return Err(misfit()),
        _ => put_counted(to, &text_of(datum).unwrap_or_default()),
    }
    Ok(())
}

fn put_date(to: &mut Vec<u8>, datum: &Datum) {
    let Datum::Date(year, month, day, hour, minute, second, micros) = datum else { return };
    let has_time = (hour, minute, second) != (&0, &0, &0);
    let is_zero = (*year, *month, *day) == (0, 0, 0) && !has_time && *micros == 0;
    let len = if is_zero {
        0
    } else if *micros != 0 {
        11
    } else if has_time {
        7
    } else {
        4
    };
    let [low, high] = year.to_le_bytes();
    let mut bytes = vec![low, high, *month, *day, *hour, *minute, *second];
    bytes.extend_from_slice(&micros.to_le_bytes());
    bytes.truncate(len);
    put_counted(to, &bytes);
}

fn put_time(to: &mut Vec<u8>, datum: &Datum) {
    let Datum::Time(is_negative, days, hours, minutes, seconds, micros) = datum else { return };
    let is_zero = (*days, *hours, *minutes, *seconds, *micros) == (0, 0, 0, 0, 0);
    let mut bytes = vec![u8::from(*is_negative)];
    bytes.extend_from_slice(&days.to_le_bytes());
    bytes.extend_from_slice(&[*hours, *minutes, *seconds]);
    bytes.extend_from_slice(&micros.to_le_bytes());
    bytes.truncate(if is_zero {
        0
    } else if *micros == 0 {
        8
    } else {
        12
    });
    put_counted(to, &bytes);
}

/// A value that a client has bound.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Bound {
    /// As the store takes it.
    pub(super) fn param(&self) -> Param<'_> {
        match self {
            Self::Null => Param::Null,
            Self::Int(number) => Param::Int(*number),
            Self::Real(number) => Param::Real(*number),
            Self::Text(text) => Param::Text(text),
            Self::Bytes(bytes) => Param::Bytes(bytes),
        }
    }

    /// Of bytes that came as a string of this type.
    pub(super) fn of_bytes(kind: u8, bytes: &[u8]) -> Self {
        // TINY_BLOB to BLOB.
        let is_blob = (249..=kind::BLOB).contains(&kind);
        match std::str::from_utf8(bytes) {
            Ok(text) if !is_blob => Self::Text(text.to_owned()),
            _ => Self::Bytes(bytes.to_vec()),
        }
    }
}

/// Takes a value of this type from a packet.
///
/// # Errors
/// The packet is too short, or there is no such type.
pub(super) fn bound(
    reader: &mut Reader<'_>,
    kind: u8,
    is_unsigned: bool,
) -> Result<Bound, WireError> {
    Ok(match kind {
        kind::NULL => Bound::Null,
        kind::TINY => {
            let [byte] = reader.array()?;
            Bound::Int(if is_unsigned { byte.into() } else { i8::from_le_bytes([byte]).into() })
        }
        kind::SHORT | kind::YEAR => {
            let bytes = reader.array()?;
            Bound::Int(if is_unsigned {
                u16::from_le_bytes(bytes).into()
            } else {
                i16::from_le_bytes(bytes).into()
            })
        }
        kind::LONG | kind::INT24 => {
            let bytes = reader.array()?;
            Bound::Int(if is_unsigned {
                u32::from_le_bytes(bytes).into()
            } else {
                i32::from_le_bytes(bytes).into()
            })
        }
        kind::LONGLONG => {
            let bytes = reader.array()?;
            match i64::try_from(u64::from_le_bytes(bytes)) {
                Ok(number) => Bound::Int(number),
                Err(_) if is_unsigned => Bound::Text(u64::from_le_bytes(bytes).to_string()),
                Err(_) => Bound::Int(i64::from_le_bytes(bytes)),
            }
        }
        kind::FLOAT => Bound::Real(f32::from_le_bytes(reader.array()?).into()),
        kind::DOUBLE => Bound::Real(f64::from_le_bytes(reader.array()?)),
        kind::DATE | kind::DATETIME | kind::TIMESTAMP => date(reader.counted()?, kind)?,
        kind::TIME => time(reader.counted()?)?,
        0 | 15 | 16 | 245..=255 => Bound::of_bytes(kind, reader.counted()?),
        _ => return Err(WireError::Protocol("a bound value has a type that there is not")),
    })
}

fn date(bytes: &[u8], column: u8) -> Result<Bound, WireError> {
    let mut all = [0; 11];
    let given = all.get_mut(..bytes.len()).ok_or(WireError::Protocol("a date is too long"))?;
    given.copy_from_slice(bytes);
    let [y1, y2, month, day, hour, minute, second, m1, m2, m3, m4] = all;
    let year = u16::from_le_bytes([y1, y2]);
    let micros = u32::from_le_bytes([m1, m2, m3, m4]);
    if column == kind::DATE {
        return Ok(Bound::Text(format!("{year:04}-{month:02}-{day:02}")));
    }
    let datum = Datum::Date(year, month, day, hour, minute, second, micros);
    Ok(Bound::of_bytes(kind::VAR_STRING, &text_of(&datum).unwrap_or_default()))
}

fn time(bytes: &[u8]) -> Result<Bound, WireError> {
    let mut all = [0; 12];
    let given = all.get_mut(..bytes.len()).ok_or(WireError::Protocol("a time is too long"))?;
    given.copy_from_slice(bytes);
    let [sign, d1, d2, d3, d4, hours, minutes, seconds, m1, m2, m3, m4] = all;
    let days = u32::from_le_bytes([d1, d2, d3, d4]);
    let micros = u32::from_le_bytes([m1, m2, m3, m4]);
    let datum = Datum::Time(sign != 0, days, hours, minutes, seconds, micros);
    Ok(Bound::of_bytes(kind::VAR_STRING, &text_of(&datum).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
