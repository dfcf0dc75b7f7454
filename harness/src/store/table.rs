//! Target tables: the static one of `topic`, `id`, `record`, and what a table must be to take rows.
//!
//! Touches the database through `Store` alone. Invariants: a table that exists is never altered; one whose
//! engine cannot roll back is refused before any row is sent.

use super::error::{StoreError, StoreErrorKind};
use super::value::Param;
use super::{Dialect, Store};

/// The columns that rows are loaded into.
pub(crate) const STATIC_COLUMNS: [&str; 3] = ["topic", "id", "record"];

/// Longest table name, in characters. Why 64: the limit of MySQL, MariaDB and SingleStore.
pub const TABLE_NAME_CHARS_MAX: usize = 64;

/// The CREATE TABLE text of the static table.
///
/// There is no key on `id`: a source may send the same key again, and every record is a row.
pub fn static_table_ddl(dialect: Dialect, name: &str) -> String {
    ddl(dialect, name, "CREATE TABLE")
}

fn ddl(dialect: Dialect, name: &str, create: &str) -> String {
    let table = dialect.quote(name);
    match dialect {
        Dialect::SingleStore => format!(
            "{create} {table} (\n\
             `topic` TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n\
             `id` JSON COLLATE utf8mb4_bin NOT NULL,\n\
             `record` JSON COLLATE utf8mb4_bin NOT NULL,\n\
             SORT KEY `__UNORDERED` (),\n\
             SHARD KEY ()\n\
             )\n\
             AUTOSTATS_CARDINALITY_MODE = INCREMENTAL\n\
             AUTOSTATS_HISTOGRAM_MODE = CREATE\n\
             AUTOSTATS_SAMPLING = ON\n\
             SQL_MODE = 'STRICT_ALL_TABLES,NO_AUTO_CREATE_USER'\n\
             CHARACTER SET = utf8mb4\n\
             COLLATE = utf8mb4_bin;"
        ),
        // MySQL's JSON type keeps no text: it writes numbers anew as doubles, sorts keys and drops
        // all but the last of equal ones. MariaDB's is text with the same check.
        Dialect::Mysql => format!(
            "{create} {table} (\n\
             `topic` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n\
             `id` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL \
             CHECK (json_valid(`id`)),\n\
             `record` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL \
             CHECK (json_valid(`record`))\n\
             ) ENGINE=InnoDB CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin"
        ),
        Dialect::Mariadb => format!(
            "{create} {table} (\n\
             `topic` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n\
             `id` JSON COLLATE utf8mb4_bin NOT NULL,\n\
             `record` JSON COLLATE utf8mb4_bin NOT NULL\n\
             ) ENGINE=InnoDB CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin"
        ),
        Dialect::Sqlite => format!(
            "{create} {table} (\n\
             \"topic\" TEXT NOT NULL,\n\
             \"id\" TEXT NOT NULL CHECK (json_valid(\"id\")),\n\
             \"record\" TEXT NOT NULL CHECK (json_valid(\"record\"))\n\
             )"
        ),
    }
}

/// Makes the static table unless a table of that name is there, and checks what is there then.
///
/// # Errors
/// The table that exists cannot take rows, or the database refuses the statement.
pub fn create_static_table(store: &mut dyn Store, name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.chars().count() > TABLE_NAME_CHARS_MAX {
        return Err(StoreError::new(
            StoreErrorKind::Schema,
            format!("a table name has 1 to {TABLE_NAME_CHARS_MAX} characters"),
        ));
    }
    store
        .execute(&ddl(store.dialect(), name, "CREATE TABLE IF NOT EXISTS"), &[])
        .map_err(|error| error.context(format!("create table {name}")))?;
    check_table(store, name)
}

/// Whether the database has a table or view of this name.
///
/// # Errors
/// The database cannot be asked.
pub(crate) fn is_there(store: &mut dyn Store, name: &str) -> Result<bool, StoreError> {
    let sql = match store.dialect() {
        Dialect::Sqlite => {
            "SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')"
        }
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            "SELECT 1 FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = ?"
        }
    };
    Ok(store.query(sql, &[Param::Text(name)])?.first().is_some())
}

/// One column of a table that exists.
struct Column {
    name: String,
    /// Whether an INSERT that does not name it is refused.
    required: bool,
}

/// Checks that rows of `topic`, `id`, `record` can be loaded into the table.
///
/// # Errors
/// It does not exist, is a view, lacks a column, demands another, or cannot roll back.
pub fn check_table(store: &mut dyn Store, name: &str) -> Result<(), StoreError> {
    require_transactional(store, &[name])?;
    let columns = columns(store, name)?;
    let is = |column: &Column, wanted: &str| column.name.eq_ignore_ascii_case(wanted);
    let lacks = STATIC_COLUMNS.iter().any(|wanted| !columns.iter().any(|c| is(c, wanted)));
    let demands = columns
        .iter()
        .any(|column| column.required && !STATIC_COLUMNS.iter().any(|wanted| is(column, wanted)));
    if lacks || demands {
        let found: Vec<String> = columns
            .iter()
            .map(|c| if c.required { format!("{} NOT NULL", c.name) } else { c.name.clone() })
            .collect();
        return Err(StoreError::new(
            StoreErrorKind::Schema,
            format!(
                "table {name} has columns ({}); wanted ({}) and no other column that is NOT NULL \
                 without a default; name another table or change this one",
                found.join(", "),
                STATIC_COLUMNS.join(", ")
            ),
        ));
    }
    Ok(())
}

fn columns(store: &mut dyn Store, table: &str) -> Result<Vec<Column>, StoreError> {
    let sql = match store.dialect() {
        Dialect::Sqlite => {
            "SELECT name, `notnull` = 1 AND dflt_value IS NULL \
             AND NOT (pk = 1 AND upper(type) = 'INTEGER') FROM pragma_table_info(?)"
        }
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            "SELECT column_name, CAST(is_nullable = 'NO' AND column_default IS NULL \
             AND extra NOT LIKE '%auto_increment%' AND extra NOT LIKE '%GENERATED%' \
             AND extra NOT LIKE '%computed%' AS SIGNED) \
             FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position"
        }
    };
    let answer = store.query(sql, &[Param::Text(table)])?;
    answer
        .rows
        .iter()
        .map(|row| Ok(Column { name: row.text(0)?.to_owned(), required: row.int(1)? != 0 }))
        .collect()
}

/// Checks that every one of these tables exists, is a table, and can roll back (EXACTLY-ONCE E3: rows in a
/// table whose engine has no transactions stay after a rollback and come twice).
///
/// # Errors
/// One of them does not.
pub fn require_transactional(store: &mut dyn Store, tables: &[&str]) -> Result<(), StoreError> {
    for table in tables {
        let sql = match store.dialect() {
            Dialect::Sqlite => {
                "SELECT type, 'SQLite' FROM sqlite_master WHERE name = ? COLLATE NOCASE \
                 AND type IN ('table', 'view')"
            }
            Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
                "SELECT CASE table_type WHEN 'BASE TABLE' THEN 'table' ELSE 'view' END, engine \
                 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?"
            }
        };
        let answer = store.query(sql, &[Param::Text(table)])?;
        let Some(row) = answer.first() else {
            return Err(StoreError::new(
                StoreErrorKind::Schema,
                format!(
                    "table {table} does not exist in {}; create it, or let CREATE INFERRED PIPELINE do it",
                    store.database()
                ),
            ));
        };
        let engine = row.text_or_null(1)?.unwrap_or("none");
        if row.text(0)? != "table" {
            return Err(StoreError::new(
                StoreErrorKind::Schema,
                format!("{table} is a view; rows can be loaded into a table only"),
            ));
        }
        let rolls_back = match store.dialect() {
            Dialect::Sqlite | Dialect::SingleStore => true,
            Dialect::Mysql | Dialect::Mariadb => engine.eq_ignore_ascii_case("InnoDB"),
        };
        if !rolls_back {
            return Err(StoreError::new(
                StoreErrorKind::Schema,
                format!(
                    "table {table} has the engine {engine}, which cannot roll back; \
                     run ALTER TABLE {table} ENGINE=InnoDB, or name another table"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
