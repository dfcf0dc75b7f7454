//! Values that travel to and from a database, without any client's types.
//!
//! Touches nothing. Invariant: a cell read as another type than it has is a typed error that names the
//! column, never a default value.

use super::error::StoreError;

/// One value bound to a `?` of a statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Param<'a> {
    /// SQL NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// Text in UTF-8.
    Text(&'a str),
    /// Raw bytes.
    Bytes(&'a [u8]),
}

impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl<'a> From<Option<&'a [u8]>> for Param<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        bytes.map_or(Self::Null, Self::Bytes)
    }
}

impl From<u64> for Param<'_> {
    /// Counters of this program; those beyond `i64::MAX` cannot be stored and stay at the maximum.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Param<'_> {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

/// One value of a result.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// SQL NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// Text in UTF-8.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
}

/// One row of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct CellRow(pub Vec<Cell>);

impl CellRow {
    /// The cell at this place.
    ///
    /// # Errors
    /// The statement has fewer columns.
    pub fn cell(&self, index: usize) -> Result<&Cell, StoreError> {
        self.0.get(index).ok_or_else(|| mistyped(index, "a column", &Cell::Null))
    }

    /// Text that is not NULL.
    ///
    /// # Errors
    /// The cell is no text.
    pub fn text(&self, index: usize) -> Result<&str, StoreError> {
        match self.cell(index)? {
            Cell::Text(text) => Ok(text),
            other => Err(mistyped(index, "text", other)),
        }
    }

    /// Text or NULL.
    ///
    /// # Errors
    /// The cell is something else.
    pub fn text_or_null(&self, index: usize) -> Result<Option<&str>, StoreError> {
        match self.cell(index)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            other => Err(mistyped(index, "text", other)),
        }
    }

    /// A whole number that is not NULL.
    ///
    /// # Errors
    /// The cell is no whole number.
    pub fn int(&self, index: usize) -> Result<i64, StoreError> {
        match self.cell(index)? {
            Cell::Int(number) => Ok(*number),
            other => Err(mistyped(index, "a whole number", other)),
        }
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// The cell is no such number.
    pub fn count(&self, index: usize) -> Result<u64, StoreError> {
        let number = self.int(index)?;
        u64::try_from(number)
            .map_err(|_| StoreError::internal(format!("column {index} holds {number}, below 0")))
    }

    /// A whole number from 0 on, or nothing.
    ///
    /// # Errors
    /// It is neither.
    pub fn count_or_null(&self, index: usize) -> Result<Option<u64>, StoreError> {
        match self.cell(index)? {
            Cell::Null => Ok(None),
            _ => self.count(index).map(Some),
        }
    }

    /// A whole number that fits 32 bits.
    ///
    /// # Errors
    /// The cell is no such number.
    pub fn count32(&self, index: usize) -> Result<u32, StoreError> {
        let number = self.int(index)?;
        u32::try_from(number).map_err(|_| {
            StoreError::internal(format!("column {index} holds {number}, not 0 to {}", u32::MAX))
        })
    }

    /// Bytes, or nothing where the cell is NULL.
    ///
    /// # Errors
    /// The cell is something else.
    pub fn bytes_or_null(&self, index: usize) -> Result<Option<&[u8]>, StoreError> {
        match self.cell(index)? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes)),
            other => Err(mistyped(index, "bytes", other)),
        }
    }
}

/// The answer to one statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowSet {
    /// The names of the columns; empty for a statement without a result.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<CellRow>,
    /// Rows that the statement changed.
    pub affected: u64,
}

impl RowSet {
    /// The first row, if there is one.
    pub fn first(&self) -> Option<&CellRow> {
        self.rows.first()
    }
}

fn mistyped(index: usize, wanted: &str, found: &Cell) -> StoreError {
    let found = match found {
        Cell::Null => "NULL",
        Cell::Int(_) => "a whole number",
        Cell::Real(_) => "a real number",
        Cell::Text(_) => "text",
        Cell::Bytes(_) => "bytes",
    };
    StoreError::internal(format!(
        "column {index} of a catalogue answer: wanted {wanted}, found {found}"
    ))
}
