//! Answers of a MySQL-protocol server as cells.
//!
//! May touch: the client's values and results. Invariant: one row above [`ANSWER_ROWS_MAX`] is kept as the sign
//! of too many, and no more.

use mysql::consts::{ColumnFlags, ColumnType};
use mysql::prelude::Protocol;
use mysql::{QueryResult, Value};

use crate::store::ANSWER_ROWS_MAX;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::value::{Cell, CellRow, RowSet};

/// Reads the first result and drains the others. One row above the limit is kept as the sign of it.
///
/// # Errors
/// The connection is lost, or the server refuses to go on.
pub(in crate::store) fn collect<T: Protocol>(
    mut result: QueryResult<'_, '_, '_, T>,
) -> Result<RowSet, mysql::Error> {
    // Read first: the counter belongs to the result that iterating leaves behind.
    let mut answer = RowSet { affected: result.affected_rows(), ..RowSet::default() };
    let columns: Vec<(String, Shape)> = result
        .columns()
        .as_ref()
        .iter()
        .map(|column| (column.name_str().into_owned(), Shape::of(column)))
        .collect();
    if let Some(rows) = result.iter() {
        for row in rows {
            let values = row?.unwrap();
            if answer.rows.len() <= ANSWER_ROWS_MAX {
                let cells = values
                    .into_iter()
                    .zip(columns.iter().map(|(_, shape)| *shape))
                    .map(|(value, shape)| cell(value, shape))
                    .collect();
                answer.rows.push(CellRow(cells));
            }
        }
    }
    answer.columns = columns.into_iter().map(|(name, _)| name).collect();
    while let Some(rest) = result.iter() {
        for row in rest {
            row?;
        }
    }
    Ok(answer)
}

/// Refuses an answer with too many rows.
///
/// # Errors
/// It has more than [`ANSWER_ROWS_MAX`].
pub(in crate::store) fn require_all(answer: RowSet) -> Result<RowSet, StoreError> {
    if answer.rows.len() <= ANSWER_ROWS_MAX {
        return Ok(answer);
    }
    Err(StoreError::new(
        StoreErrorKind::Resource,
        format!("the answer has more than {ANSWER_ROWS_MAX} rows; add a LIMIT"),
    ))
}

/// What the text of a value in a column stands for: a statement without parameters answers in text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Bytes,
    Int,
    Real,
    Text,
}

impl Shape {
    /// Raw bytes are a string type in the binary character set. Numbers and dates say "binary" too,
    /// JSON is text in any case, and so is a decimal, which no float may touch.
    fn of(column: &mysql::Column) -> Self {
        const BINARY_CHARACTER_SET: u16 = 63;
        match column.column_type() {
            ColumnType::MYSQL_TYPE_TINY
            | ColumnType::MYSQL_TYPE_SHORT
            | ColumnType::MYSQL_TYPE_INT24
            | ColumnType::MYSQL_TYPE_LONG
            | ColumnType::MYSQL_TYPE_LONGLONG
            | ColumnType::MYSQL_TYPE_YEAR => Self::Int,
            ColumnType::MYSQL_TYPE_FLOAT | ColumnType::MYSQL_TYPE_DOUBLE => Self::Real,
            ColumnType::MYSQL_TYPE_VARCHAR
            | ColumnType::MYSQL_TYPE_VAR_STRING
            | ColumnType::MYSQL_TYPE_STRING
            | ColumnType::MYSQL_TYPE_TINY_BLOB
            | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
            | ColumnType::MYSQL_TYPE_LONG_BLOB
            | ColumnType::MYSQL_TYPE_BLOB
                if column.character_set() == BINARY_CHARACTER_SET
                    && column.flags().contains(ColumnFlags::BINARY_FLAG) =>
            {
                Self::Bytes
            }
            _ => Self::Text,
        }
    }

    fn read(self, text: String) -> Cell {
        let number = match self {
            Self::Int => text.parse().ok().map(Cell::Int),
            Self::Real => text.parse().ok().map(Cell::Real),
            Self::Bytes | Self::Text => None,
        };
        number.unwrap_or(Cell::Text(text))
    }
}

fn cell(value: Value, shape: Shape) -> Cell {
    match value {
        Value::NULL => Cell::Null,
        Value::Bytes(bytes) if shape == Shape::Bytes => Cell::Bytes(bytes),
        Value::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => shape.read(text),
            Err(error) => Cell::Bytes(error.into_bytes()),
        },
        Value::Int(number) => Cell::Int(number),
        Value::UInt(number) => {
            i64::try_from(number).map_or_else(|_| Cell::Text(number.to_string()), Cell::Int)
        }
        Value::Float(number) => Cell::Real(f64::from(number)),
        Value::Double(number) => Cell::Real(number),
        Value::Date(year, month, day, hour, minute, second, micros) => Cell::Text(format!(
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}"
        )),
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            Cell::Text(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}"))
        }
    }
}

#[cfg(test)]
mod tests;
