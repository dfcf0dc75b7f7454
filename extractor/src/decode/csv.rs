//! One line of CSV as a JSON object, by declared columns. Pure.
//!
//! It is the CSV of Flink's format, which is that of RFC 4180 with options: a field may stand in quotation
//! marks, in which they are doubled; there is no line of names. Nothing is trimmed but numbers and
//! booleans. Numbers pass through no float.

mod columns;

use std::str;

use super::avro::Fault;
use crate::encode::write_json_string;

pub use self::columns::{COLUMNS_MAX, parse_columns};

/// Begins a line that is none.
const COMMENT: u8 = b'#';

/// How a line is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csv {
    /// At least one.
    pub columns: Vec<Column>,
    /// Between fields.
    pub delimiter: u8,
    /// Around fields; `None`: it is a letter as any other.
    pub quote: Option<u8>,
    /// The letter behind it is one as any other.
    pub escape: Option<u8>,
    /// What stands for null where it is not quoted.
    pub null: Option<String>,
    /// Between the items of an array and the fields of a row inside one field.
    pub item_delimiter: u8,
    /// Whether lines that begin with `#` are passed over.
    pub comments: bool,
}

/// A column, or a field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// `{"name":` of the first, `,"name":` of the others.
    before: Vec<u8>,
    typed: Typed,
}

/// A type, and whether it may be null.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Typed {
    kind: Kind,
    not_null: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Also dates, times and base64: as it stands.
    Text,
    Boolean,
    /// Whole numbers of so many bits.
    Integer(u32),
    /// As a string, with the digits that it has.
    Decimal,
    /// As a number, with the digits that it has.
    Float,
    Array(Box<Typed>),
    Row(Vec<Column>),
}

type Read<T> = Result<T, Fault>;

/// A field without its quotation marks; the text is in the buffer.
struct Field {
    is_quoted: bool,
    /// Where it begins in the line.
    at: usize,
}

impl Csv {
    /// Appends the object of a line. `field` is a buffer whose content does not matter.
    ///
    /// # Errors
    /// Where and why the bytes are no such line.
    pub fn write(&self, bytes: &[u8], out: &mut Vec<u8>, field: &mut Vec<u8>) -> Read<()> {
        str::from_utf8(bytes).map_err(|e| Fault { at: e.valid_up_to(), expected: "UTF-8" })?;
        let mut line = Line { csv: self, bytes, at: 0 };
        if self.comments {
            line.skip_comments();
        }
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                if line.peek() != Some(self.delimiter) {
                    return line.fault("a delimiter and another field");
                }
                line.at += 1;
            }
            let found = line.field(field)?;
            out.extend_from_slice(&column.before);
            self.write_field(&column.typed, &found, field, out)?;
        }
        out.push(b'}');
        line.end()
    }

    fn write_field(
        &self,
        typed: &Typed,
        found: &Field,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Read<()> {
        let fault = |expected| Fault { at: found.at, expected };
        let text = str::from_utf8(text).map_err(|_| fault("UTF-8"))?;
        let is_literal = self.null.as_deref() == Some(text) && !found.is_quoted;
        let is_null = is_literal || (text.is_empty() && typed.kind != Kind::Text);
        if is_null {
            if typed.not_null {
                return Err(fault("a value, since the column is NOT NULL"));
            }
            out.extend_from_slice(b"null");
            return Ok(());
        }
        self.write_value(typed, text, out).map_err(fault)
    }

    fn write_value(
        &self,
        typed: &Typed,
        text: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        match &typed.kind {
            Kind::Text => write_json_string(out, text),
            Kind::Boolean => match text.trim() {
                it if it.eq_ignore_ascii_case("true") => out.extend_from_slice(b"true"),
                it if it.eq_ignore_ascii_case("false") => out.extend_from_slice(b"false"),
                _ => return Err("true or false"),
            },
            Kind::Integer(bits) => {
                let number: i64 = text.trim().parse().map_err(|_| "a whole number")?;
                let unused = 64 - bits;
                if number << unused >> unused != number {
                    return Err("a whole number within the range of its type");
                }
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            Kind::Decimal => {
                let text = text.trim();
                if !is_number(text.as_bytes()) {
                    return Err("a decimal number");
                }
                write_json_string(out, text);
            }
            Kind::Float => match text.trim() {
                it @ ("NaN" | "Infinity" | "-Infinity") => write_json_string(out, it),
                it if is_number(it.as_bytes()) => out.extend_from_slice(it.as_bytes()),
                _ => return Err("a number"),
            },
            Kind::Array(item) => {
                for (index, text) in text.split(char::from(self.item_delimiter)).enumerate() {
                    out.push(if index == 0 { b'[' } else { b',' });
                    self.write_item(item, text, out)?;
                }
                out.push(b']');
            }
            Kind::Row(fields) => {
                let mut texts = text.splitn(fields.len(), char::from(self.item_delimiter));
                for field in fields {
                    let text = texts.next().ok_or("a field for each of the row")?;
                    out.extend_from_slice(&field.before);
                    self.write_item(&field.typed, text, out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }

    /// An item of an array or a field of a row, which has no quotation marks.
    fn write_item(&self, typed: &Typed, text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let is_empty = text.is_empty() && typed.kind != Kind::Text;
        if is_empty || self.null.as_deref() == Some(text) {
            if typed.not_null {
                return Err("a value, since it is NOT NULL");
            }
            out.extend_from_slice(b"null");
            return Ok(());
        }
        self.write_value(typed, text, out)
    }
}

/// Whether JSON has this number (RFC 8259 section 6).
fn is_number(text: &[u8]) -> bool {
    let begins = matches!(text, [b'-' | b'0'..=b'9', ..]);
    begins && text.last().is_some_and(u8::is_ascii_digit) && super::json::check(text).is_ok()
}

struct Line<'a> {
    csv: &'a Csv,
    bytes: &'a [u8],
    at: usize,
}

impl Line<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault<T>(&self, expected: &'static str) -> Read<T> {
        Err(Fault { at: self.at, expected })
    }

    /// Bytes of the end of a line that is here.
    fn break_len(&self) -> Option<usize> {
        match self.bytes.get(self.at..) {
            Some([b'\n', ..]) => Some(1),
            Some([b'\r', b'\n', ..]) => Some(2),
            _ => None,
        }
    }

    fn skip_comments(&mut self) {
        while self.peek() == Some(COMMENT) {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let len = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            self.at += len;
        }
    }

    fn field(&mut self, text: &mut Vec<u8>) -> Read<Field> {
        text.clear();
        let at = self.at;
        if self.csv.quote.is_some() && self.peek() == self.csv.quote {
            self.at += 1;
            self.quoted(text)?;
            return Ok(Field { is_quoted: true, at });
        }
        while let Some(byte) = self.peek() {
            if byte == self.csv.delimiter || self.break_len().is_some() {
                break;
            }
            self.letter(byte, text)?;
        }
        Ok(Field { is_quoted: false, at })
    }

    /// The rest of a field that is in quotation marks.
    fn quoted(&mut self, text: &mut Vec<u8>) -> Read<()> {
        while let Some(byte) = self.peek() {
            if Some(byte) != self.csv.quote {
                self.letter(byte, text)?;
                continue;
            }
            self.at += 1;
            if self.peek() != self.csv.quote {
                return Ok(());
            }
            self.at += 1;
            text.push(byte);
        }
        self.fault("a closing quotation mark")
    }

    /// One byte of a field, or the one behind the escape.
    fn letter(&mut self, byte: u8, text: &mut Vec<u8>) -> Read<()> {
        self.at += 1;
        if Some(byte) != self.csv.escape {
            text.push(byte);
            return Ok(());
        }
        let Some(next) = self.peek() else { return self.fault("a letter behind the escape") };
        self.at += 1;
        text.push(next);
        Ok(())
    }

    /// Nothing but one end of a line, and comments, may follow.
    fn end(&mut self) -> Read<()> {
        if let Some(len) = self.break_len() {
            self.at += len;
            if self.csv.comments {
                self.skip_comments();
            }
        }
        let expected = match self.peek() {
            None => return Ok(()),
            Some(byte) if byte == self.csv.delimiter => "the end: no more columns are declared",
            Some(_) => "a delimiter or the end of one line",
        };
        self.fault(expected)
    }
}

#[cfg(test)]
mod tests;
