//! Rows of an SQLite statement as they come, with a type for each column.
//!
//! May touch: rusqlite. SQLite's values have types, its columns do not: the first rows are looked at to choose
//! one. Invariant: a value that does not fit what was announced is an error, never another value.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};

use super::classify;
use crate::store::answer::{Answers, Column, Datum, Done};
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::value::Param;

/// Bytes of first rows that are looked at before the types of the columns are told.
///
/// Why 256 KiB: nearly every answer is smaller and so has the types of all of its values; it bounds what
/// is kept.
const LOOKED_AT_BYTES: usize = 256 * 1024;

/// Longest name of a column, characters. Why 256: MySQL's own limit; SQLite calls an expression as it was written.
const NAME_CHARS_MAX: usize = 256;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Only NULL so far.
    Unknown,
    Int,
    Real,
    Text,
    Bytes,
}

impl Shape {
    fn of(value: &ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Unknown,
            ValueRef::Integer(_) => Self::Int,
            ValueRef::Real(_) => Self::Real,
            ValueRef::Text(_) => Self::Text,
            ValueRef::Blob(_) => Self::Bytes,
        }
    }

    /// What holds values of both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, it) | (it, Self::Unknown) => it,
            (a, b) if a == b => a,
            (Self::Int, Self::Real) | (Self::Real, Self::Int) => Self::Real,
            (Self::Bytes, _) | (_, Self::Bytes) => Self::Bytes,
            _ => Self::Text,
        }
    }

    /// What the declaration of a column says, by SQLite's own rules of affinity.
    fn declared(declaration: Option<&str>) -> Self {
        let Some(declaration) = declaration.map(str::to_ascii_uppercase) else {
            return Self::Unknown;
        };
        let has = |word: &str| declaration.contains(word);
        if has("INT") {
            Self::Int
        } else if has("CHAR") || has("CLOB") || has("TEXT") || has("JSON") {
            Self::Text
        } else if has("BLOB") {
            Self::Bytes
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Unknown
        }
    }

    fn column(self, name: &str) -> Column {
        match self {
            Self::Int => Column::int(name),
            Self::Real => Column::real(name),
            Self::Bytes => Column::bytes(name),
            Self::Unknown | Self::Text => Column::text(name),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "NULL",
            Self::Int => "a whole number",
            Self::Real => "a real number",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }

    /// The value in a column of this shape; `None` where it does not fit.
    fn datum(self, value: ValueRef<'_>) -> Option<Datum> {
        Some(match (self, value) {
            (_, ValueRef::Null) => Datum::Null,
            (Self::Int, ValueRef::Integer(number)) => Datum::Int(number),
            (Self::Real, ValueRef::Real(number)) => Datum::Real(number),
            // Exact, or another shape: a float has 53 bits.
            (Self::Real, ValueRef::Integer(number)) if number.unsigned_abs() <= 1 << 53 =>
            {
                #[expect(clippy::cast_precision_loss, reason = "at most 2^53 is exact")]
                Datum::Real(number as f64)
            }
            (Self::Text | Self::Unknown | Self::Bytes, ValueRef::Integer(number)) => {
                Datum::Bytes(number.to_string().into_bytes())
            }
            (Self::Text | Self::Unknown | Self::Bytes, ValueRef::Real(number)) => {
                Datum::Bytes(format!("{number:?}").into_bytes())
            }
            (Self::Text | Self::Unknown | Self::Bytes, ValueRef::Text(bytes)) => {
                Datum::Bytes(bytes.to_vec())
            }
            (Self::Bytes, ValueRef::Blob(bytes)) => Datum::Bytes(bytes.to_vec()),
            _ => return None,
        })
    }
}

/// Runs a statement and hands its answer over as it comes.
pub(super) fn answer(
    connection: &Connection,
    path: &std::path::Path,
    sql: &str,
    params: &[Param<'_>],
    to: &mut dyn Answers,
) -> Result<(), StoreError> {
    let fail = |error: rusqlite::Error| classify(path, &error);
    let before = connection.total_changes();
    let mut statement = connection.prepare(sql).map_err(fail)?;
    let mut rows_told = false;
    if statement.column_count() == 0 {
        statement.execute(params_from_iter(params)).map_err(fail)?;
    } else {
        let cut = |name: &str| name.chars().take(NAME_CHARS_MAX).collect();
        let names: Vec<String> = statement.column_names().map(cut).collect();
        let declared: Vec<Shape> =
            statement.columns().map(|column| Shape::declared(column.decl_type())).collect();
        let mut rows = statement.query(params_from_iter(params)).map_err(fail)?;
        let mut sender = Sender { names, declared, shapes: Vec::new(), kept: Vec::new(), bytes: 0 };
        while let Some(row) = rows.next().map_err(fail)? {
            sender.take(row, to).map_err(|error| error.of(path))?;
        }
        sender.tell(to)?;
        rows_told = true;
    }
    drop(statement);
    let has_changed = connection.total_changes() != before;
    let affected = if has_changed && !rows_told { connection.changes() } else { 0 };
    let last_insert_id = match is_insert(sql) && has_changed {
        true => u64::try_from(connection.last_insert_rowid()).unwrap_or(0),
        false => 0,
    };
    to.done(Done { affected, last_insert_id, ..Done::default() })
}

fn is_insert(sql: &str) -> bool {
    let first: String = sql.chars().take_while(char::is_ascii_alphabetic).collect();
    first.eq_ignore_ascii_case("INSERT") || first.eq_ignore_ascii_case("REPLACE")
}

/// Keeps the first rows until the types of their columns are known.
struct Sender {
    names: Vec<String>,
    /// By the declarations, for columns without a value.
    declared: Vec<Shape>,
    /// Empty until the columns were told.
    shapes: Vec<Shape>,
    kept: Vec<Vec<rusqlite::types::Value>>,
    bytes: usize,
}

/// Why a row could not be taken.
enum Failed {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl Failed {
    fn of(self, path: &std::path::Path) -> StoreError {
        match self {
            Self::Sqlite(error) => classify(path, &error),
            Self::Store(error) => error,
        }
    }
}

impl Sender {
    fn take(&mut self, row: &rusqlite::Row<'_>, to: &mut dyn Answers) -> Result<(), Failed> {
        let count = self.names.len();
        let cells = (0..count)
            .map(|index| row.get_ref(index))
            .collect::<Result<Vec<_>, _>>()
            .map_err(Failed::Sqlite)?;
        if !self.shapes.is_empty() {
            return self.send(&cells, to).map_err(Failed::Store);
        }
        let bytes = |cell: &ValueRef<'_>| match cell {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
        };
        self.bytes +=
            cells.iter().map(|cell| bytes(cell) + size_of::<ValueRef<'_>>()).sum::<usize>();
        // Text that is no UTF-8 stays what it is: bytes.
        let owned = |cell: ValueRef<'_>| match cell {
            ValueRef::Text(bytes) => match String::from_utf8(bytes.to_vec()) {
                Ok(text) => rusqlite::types::Value::Text(text),
                Err(error) => rusqlite::types::Value::Blob(error.into_bytes()),
            },
            ValueRef::Blob(bytes) => rusqlite::types::Value::Blob(bytes.to_vec()),
            ValueRef::Integer(number) => rusqlite::types::Value::Integer(number),
            ValueRef::Real(number) => rusqlite::types::Value::Real(number),
            ValueRef::Null => rusqlite::types::Value::Null,
        };
        self.kept.push(cells.into_iter().map(owned).collect());
        if self.bytes > LOOKED_AT_BYTES {
            self.tell(to).map_err(Failed::Store)?;
        }
        Ok(())
    }

    /// Tells the columns and the rows that were kept; once.
    fn tell(&mut self, to: &mut dyn Answers) -> Result<(), StoreError> {
        if !self.shapes.is_empty() {
            return Ok(());
        }
        let mut shapes = vec![Shape::Unknown; self.names.len()];
        for row in &self.kept {
            for (shape, cell) in shapes.iter_mut().zip(row) {
                *shape = shape.with(Shape::of(&ValueRef::from(cell)));
            }
        }
        for (shape, declared) in shapes.iter_mut().zip(&self.declared) {
            if *shape == Shape::Unknown {
                *shape = *declared;
            }
        }
        let kept = std::mem::take(&mut self.kept);
        // Whole numbers beyond what a float holds exactly, next to floats, are told as text.
        for (index, shape) in shapes.iter_mut().enumerate() {
            let exact = |row: &Vec<rusqlite::types::Value>| {
                row.get(index).is_none_or(|cell| shape.datum(ValueRef::from(cell)).is_some())
            };
            if *shape == Shape::Real && !kept.iter().all(exact) {
                *shape = Shape::Text;
            }
        }
        self.shapes = shapes;
        let columns: Vec<Column> =
            self.names.iter().zip(&self.shapes).map(|(name, shape)| shape.column(name)).collect();
        to.columns(&columns)?;
        for row in &kept {
            let cells: Vec<ValueRef<'_>> = row.iter().map(ValueRef::from).collect();
            self.send(&cells, to)?;
        }
        Ok(())
    }

    fn send(&self, cells: &[ValueRef<'_>], to: &mut dyn Answers) -> Result<(), StoreError> {
        let mut row = Vec::with_capacity(cells.len());
        for ((cell, shape), name) in cells.iter().zip(&self.shapes).zip(&self.names) {
            let datum = shape.datum(*cell).ok_or_else(|| {
                let text = format!(
                    "column {name} has {} where the rows before have {}: SQLite keeps both, an answer has \
                     one type for each column; select CAST(… AS TEXT) or AS BLOB",
                    Shape::of(cell).name(),
                    shape.name()
                );
                StoreError::new(StoreErrorKind::Data { row: None }, text)
            })?;
            row.push(datum);
        }
        to.row(&row)
    }
}
