//! The answer to a statement as it comes, row by row, with the types that the MySQL protocol has for them.
//!
//! Touches nothing. Invariant: what a database sent is handed on as it was sent; nothing is kept.

use super::error::{StoreError, StoreErrorKind};

/// Character set of text: utf8mb4 with its general collation.
pub const CHARSET_TEXT: u16 = 45;

/// Character set of everything that is not text.
pub const CHARSET_BINARY: u16 = 63;

/// Types of columns, by their number in the MySQL protocol.
pub mod kind {
    /// One byte.
    pub const TINY: u8 = 1;
    /// Two bytes.
    pub const SHORT: u8 = 2;
    /// Four bytes.
    pub const LONG: u8 = 3;
    /// A float of four bytes.
    pub const FLOAT: u8 = 4;
    /// A float of eight bytes.
    pub const DOUBLE: u8 = 5;
    /// Nothing but NULL.
    pub const NULL: u8 = 6;
    /// A point in time.
    pub const TIMESTAMP: u8 = 7;
    /// Eight bytes.
    pub const LONGLONG: u8 = 8;
    /// Three bytes, sent as four.
    pub const INT24: u8 = 9;
    /// A day.
    pub const DATE: u8 = 10;
    /// A time of day, or a span.
    pub const TIME: u8 = 11;
    /// A day and a time.
    pub const DATETIME: u8 = 12;
    /// A year, two bytes.
    pub const YEAR: u8 = 13;
    /// Text of any length in tables; parameters are sent as it.
    pub const VARCHAR: u8 = 15;
    /// A decimal, as text.
    pub const NEWDECIMAL: u8 = 246;
    /// JSON text, ENUM, SET and BLOB in their sizes lie between this and [`BLOB`].
    pub const JSON: u8 = 245;
    /// Bytes, or text of a TEXT column.
    pub const BLOB: u8 = 252;
    /// Text.
    pub const VAR_STRING: u8 = 253;
    /// Text of fixed length.
    pub const STRING: u8 = 254;
}

/// Flags of columns, as the MySQL protocol has them.
pub mod flag {
    /// Never NULL.
    pub const NOT_NULL: u16 = 1;
    /// Not negative.
    pub const UNSIGNED: u16 = 32;
    /// Bytes, not characters.
    pub const BINARY: u16 = 128;
}

/// Decimals of a float whose digits are not fixed.
const DECIMALS_ANY: u8 = 31;

/// One column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The database it comes from; may be empty.
    pub schema: String,
    /// The table as the statement calls it; may be empty.
    pub table: String,
    /// The table itself; may be empty.
    pub org_table: String,
    /// The name in this answer.
    pub name: String,
    /// The column itself; may be empty.
    pub org_name: String,
    /// One of [`kind`].
    pub kind: u8,
    /// The number of the collation.
    pub character_set: u16,
    /// Widest value, bytes.
    pub length: u32,
    /// Some of [`flag`].
    pub flags: u16,
    /// Digits behind the point that are shown.
    pub decimals: u8,
}

impl Column {
    fn new(name: impl Into<String>, kind: u8, character_set: u16) -> Self {
        let empty = String::new;
        let name = name.into();
        Self {
            schema: empty(),
            table: empty(),
            org_table: empty(),
            org_name: name.clone(),
            name,
            kind,
            character_set,
            length: 0,
            flags: 0,
            decimals: 0,
        }
    }

    /// Text.
    pub fn text(name: impl Into<String>) -> Self {
        Self { length: u32::MAX, ..Self::new(name, kind::VAR_STRING, CHARSET_TEXT) }
    }

    /// Bytes.
    pub fn bytes(name: impl Into<String>) -> Self {
        let column = Self::new(name, kind::BLOB, CHARSET_BINARY);
        Self { length: u32::MAX, flags: flag::BINARY, ..column }
    }

    /// Whole numbers.
    pub fn int(name: impl Into<String>) -> Self {
        let column = Self::new(name, kind::LONGLONG, CHARSET_BINARY);
        Self { length: 20, flags: flag::BINARY, ..column }
    }

    /// Floats.
    pub fn real(name: impl Into<String>) -> Self {
        let column = Self::new(name, kind::DOUBLE, CHARSET_BINARY);
        Self { length: 22, flags: flag::BINARY, decimals: DECIMALS_ANY, ..column }
    }
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// SQL NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// A whole number that is not negative.
    UInt(u64),
    /// A float of four bytes.
    Single(f32),
    /// A float.
    Real(f64),
    /// Text, bytes, or any value in the text form of the database.
    Bytes(Vec<u8>),
    /// Year, month, day, hour, minute, second, microsecond.
    Date(u16, u8, u8, u8, u8, u8, u32),
    /// Whether it is negative, days, hours, minutes, seconds, microseconds.
    Time(bool, u32, u8, u8, u8, u32),
}

/// What one statement, or one of the results of a procedure, came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows that were changed.
    pub affected: u64,
    /// The newest AUTO_INCREMENT value, 0 where there is none.
    pub last_insert_id: u64,
    /// Warnings that SHOW WARNINGS would list.
    pub warnings: u16,
    /// What the database says about it.
    pub info: String,
    /// Whether another result of the same statement follows.
    pub has_more: bool,
}

/// Who takes an answer as it comes.
pub trait Answers {
    /// A result with rows begins.
    ///
    /// # Errors
    /// The one who asked is gone.
    fn columns(&mut self, columns: &[Column]) -> Result<(), StoreError>;

    /// The next row, as many values as columns.
    ///
    /// # Errors
    /// The one who asked is gone.
    fn row(&mut self, row: &[Datum]) -> Result<(), StoreError>;

    /// The result has ended, or the statement had none.
    ///
    /// # Errors
    /// The one who asked is gone.
    fn done(&mut self, done: Done) -> Result<(), StoreError>;
}

/// The error of [`Answers`] that a client went away.
pub fn gone(why: impl std::fmt::Display) -> StoreError {
    StoreError::new(StoreErrorKind::Transient, format!("the client is gone: {why}"))
}
