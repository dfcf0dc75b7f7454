//! The rows, in an SQLite file: transactions, keys and checks are SQLite's.
//!
//! May touch: that file. Invariant: an error of SQLite reaches the client as the number that MySQL has for it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::dialect::{self, Translated};
use super::wire::{BINARY, Column, Refusal, TEXT, refusal};

/// How long a connection waits for another one's transaction. Why 50 s: a server's lock wait.
const LOCK_WAIT: Duration = Duration::from_secs(50);

/// What the harness asks `information_schema` for.
const VIEWS: &str =
    "CREATE TEMP VIEW is_tables AS SELECT database() AS table_schema, name AS table_name, \
     CASE type WHEN 'view' THEN 'VIEW' ELSE 'BASE TABLE' END AS table_type, 'MemSQL' AS engine \
     FROM sqlite_master WHERE type IN ('table', 'view');
     CREATE TEMP VIEW is_columns AS SELECT database() AS table_schema, m.name AS table_name, \
     c.name AS column_name, CASE c.\"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END AS is_nullable, \
     c.dflt_value AS column_default, '' AS extra, c.cid + 1 AS ordinal_position \
     FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table';
     CREATE TEMP VIEW is_statistics AS SELECT database() AS table_schema, m.name AS table_name, \
     i.name AS index_name, NOT i.\"unique\" AS non_unique \
     FROM sqlite_master m JOIN pragma_index_list(m.name) i WHERE m.type = 'table'";

/// Makes the file.
pub(super) fn prepare(path: &Path) -> Result<()> {
    let connection = Connection::open(path).context("make the double's file")?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    Ok(())
}

/// A connection whose database is called so.
pub(super) fn open(path: &Path, database: &str) -> Result<Connection> {
    let connection = Connection::open(path).context("open the double's file")?;
    connection.busy_timeout(LOCK_WAIT)?;
    // Rows need not outlive the machine, only the process.
    connection.pragma_update(None, "synchronous", "off")?;
    let name = database.to_owned();
    let same = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("database", 0, same, move |_| Ok(name.clone()))?;
    connection.create_scalar_function("version", 0, same, |_| Ok("5.7.32"))?;
    connection.create_scalar_function("current_user", 0, same, |_| Ok("root@%"))?;
    connection.create_scalar_function("now", 1, same, |_| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(since.unwrap_or_default().as_secs_f64())
    })?;
    connection.create_scalar_function("unix_timestamp", 1, same, |it| it.get::<f64>(0))?;
    connection.create_scalar_function("from_unixtime", 1, same, |it| it.get::<f64>(0))?;
    connection.create_scalar_function("json_extract_string", 2, same, |it| {
        let (document, key): (Option<String>, String) = (it.get(0)?, it.get(1)?);
        let value = document.and_then(|text| serde_json::from_str(&text).ok());
        Ok(value.and_then(|mut value: serde_json::Value| match value.get_mut(&key)?.take() {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }))
    })?;
    connection.execute_batch(VIEWS)?;
    Ok(connection)
}

/// What a statement came to.
pub(super) enum Answer {
    /// Rows that it changed.
    Changed(u64),
    /// Columns and rows.
    Rows(Vec<Column>, Vec<Vec<Option<Vec<u8>>>>),
}

/// Runs a statement that reads or writes rows.
pub(super) fn run(connection: &Connection, sql: &str) -> Result<Answer, Refusal> {
    let Translated { sql, values } = dialect::rows(sql);
    let mut statement = connection.prepare(&sql).map_err(|error| of(&error))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    if names.is_empty() {
        let changed = statement.execute(params_from_iter(values)).map_err(|error| of(&error))?;
        return Ok(Answer::Changed(changed as u64));
    }
    let mut kinds = vec![Kind::Unknown; names.len()];
    let mut rows = Vec::new();
    let mut found = statement.query(params_from_iter(values)).map_err(|error| of(&error))?;
    while let Some(row) = found.next().map_err(|error| of(&error))? {
        let mut values = Vec::with_capacity(names.len());
        for (index, kind) in kinds.iter_mut().enumerate() {
            let value = row.get_ref(index).map_err(|error| of(&error))?;
            *kind = kind.and(value);
            values.push(written(value));
        }
        rows.push(values);
    }
    let columns = names.into_iter().zip(kinds).map(|(name, kind)| kind.column(name)).collect();
    Ok(Answer::Rows(columns, rows))
}

/// Runs a statement that defines something.
pub(super) fn define(connection: &Connection, sql: &str) -> Result<(), Refusal> {
    connection.execute_batch(&dialect::definition(sql)).map_err(|error| of(&error))
}

/// The type of a column: that of its values.
#[derive(Clone, Copy)]
enum Kind {
    Unknown,
    Int,
    Real,
    Text,
    Bytes,
}

impl Kind {
    fn and(self, value: ValueRef<'_>) -> Self {
        match (self, value) {
            (_, ValueRef::Null) => self,
            (Self::Unknown | Self::Int, ValueRef::Integer(_)) => Self::Int,
            (Self::Unknown | Self::Int | Self::Real, ValueRef::Real(_))
            | (Self::Real, ValueRef::Integer(_)) => Self::Real,
            (_, ValueRef::Blob(_)) | (Self::Bytes, _) => Self::Bytes,
            _ => Self::Text,
        }
    }

    fn column(self, name: String) -> Column {
        let (kind, character_set, flags) = match self {
            Self::Int => (8, BINARY, 128),
            Self::Real => (5, BINARY, 128),
            Self::Bytes => (252, BINARY, 128),
            Self::Text | Self::Unknown => (253, TEXT, 0),
        };
        Column { name, kind, character_set, flags }
    }
}

fn written(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    }
}

/// The number that MySQL has for an error.
pub(super) fn of(error: &rusqlite::Error) -> Refusal {
    let text = error.to_string();
    let (code, extended) = match error {
        rusqlite::Error::SqliteFailure(failure, _) => (Some(failure.code), failure.extended_code),
        rusqlite::Error::SqlInputError { error, .. } => (Some(error.code), error.extended_code),
        _ => (None, 0),
    };
    let number = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => 1205,
        Some(ErrorCode::ConstraintViolation) => match extended {
            rusqlite::ffi::SQLITE_CONSTRAINT_NOTNULL => 1048,
            rusqlite::ffi::SQLITE_CONSTRAINT_CHECK => 3819,
            _ => 1062,
        },
        _ if text.contains("no such table") => 1146,
        _ if text.contains("already exists") => 1050,
        _ if text.contains("no such column") => 1054,
        _ if text.contains("no_such_variable") => 1193,
        _ if text.contains("syntax error") => 1064,
        _ => 1105,
    };
    refusal(number, text)
}
