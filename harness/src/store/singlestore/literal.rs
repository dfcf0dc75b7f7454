//! Values inside the text of a statement, for a server that prepares only some statements.
//!
//! Pure. Invariants: a `?` inside quotes or a comment is no place for a value; no value ends its own literal.
//!
//! Source: "String Literals" in MySQL's manual; the session never sets `NO_BACKSLASH_ESCAPES` or `ANSI_QUOTES`.

use crate::store::error::StoreError;
use crate::store::value::Param;

/// The statement with its values in the places of `?`.
///
/// # Errors
/// It has more or fewer places than values, or a number that SQL cannot write.
pub(super) fn fill(sql: &str, params: &[Param<'_>]) -> Result<String, StoreError> {
    let mut text = String::with_capacity(sql.len() + params.len() * 16);
    let mut values = params.iter();
    let mut rest = sql;
    while let Some(at) = next_place(rest) {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        let Some(value) = values.next() else { return Err(mismatch(sql, params)) };
        put(&mut text, *value)?;
        rest = after.strip_prefix('?').unwrap_or(after);
    }
    if values.next().is_some() {
        return Err(mismatch(sql, params));
    }
    text.push_str(rest);
    Ok(text)
}

/// How many places for values a statement has.
pub(super) fn count(sql: &str) -> usize {
    let mut rest = sql;
    let mut count = 0;
    while let Some(at) = next_place(rest) {
        count += 1;
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    count
}

fn mismatch(sql: &str, params: &[Param<'_>]) -> StoreError {
    let (wanted, given) = (count(sql), params.len());
    StoreError::internal(format!("a statement wants {wanted} values and got {given}"))
}

/// Where the next `?` outside of quotes and comments is. Every sign looked for is one byte of ASCII, which is
/// never part of another character in UTF-8.
fn next_place(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        match (byte, next) {
            (b'?', _) => return Some(at),
            (b'\'' | b'"' | b'`', _) => at = after_quote(bytes, at),
            (b'#', _) | (b'-', Some(b'-')) => at = after(bytes, at, b"\n"),
            (b'/', Some(b'*')) => at = after(bytes, at + 2, b"*/"),
            _ => at += 1,
        }
    }
    None
}

/// The place behind a quoted text that begins at `at`; a doubled quote begins another one, which is the same.
fn after_quote(bytes: &[u8], at: usize) -> usize {
    let Some(quote) = bytes.get(at) else { return bytes.len() };
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        if byte == quote {
            return at + 1;
        }
        at += if *byte == b'\\' && *quote != b'`' { 2 } else { 1 };
    }
    bytes.len()
}

fn after(bytes: &[u8], at: usize, end: &[u8]) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let found = rest.windows(end.len()).position(|window| window == end);
    found.map_or(bytes.len(), |found| at + found + end.len())
}

fn put(text: &mut String, value: Param<'_>) -> Result<(), StoreError> {
    match value {
        Param::Null => text.push_str("NULL"),
        Param::Int(number) => text.push_str(&number.to_string()),
        Param::Real(number) if number.is_finite() => text.push_str(&real(number)),
        Param::Real(number) => {
            return Err(StoreError::internal(format!("{number} is no number of SQL")));
        }
        Param::Text(value) => put_text(text, value),
        Param::Bytes(value) => put_bytes(text, value),
    }
    Ok(())
}

/// A float with its exponent, so that it is no decimal.
fn real(number: f64) -> String {
    format!("{number:e}")
}

/// A string literal.
pub(super) fn put_text(text: &mut String, value: &str) {
    text.push('\'');
    for c in value.chars() {
        match c {
            '\'' => text.push_str("\\'"),
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\0' => text.push_str("\\0"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\u{1a}' => text.push_str("\\Z"),
            other => text.push(other),
        }
    }
    text.push('\'');
}

/// Bytes, by a function that takes them as hexadecimal digits.
fn put_bytes(text: &mut String, value: &[u8]) {
    text.push_str("UNHEX('");
    for byte in value {
        for half in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(half), 16));
        }
    }
    text.push_str("')");
}

#[cfg(test)]
mod tests;
