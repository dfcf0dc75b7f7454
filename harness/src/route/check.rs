//! Whether the tables of a route can take its rows. They are used as they are, never altered.
//!
//! Touches the database through `Store` alone.

use super::{Route, Target};
use crate::store::{Dialect, Param, Store, StoreError, StoreErrorKind, require_transactional};

/// A column as the database has it.
struct Found {
    name: String,
    /// Whether an INSERT that does not name it is refused.
    is_required: bool,
    /// Whether its value is computed.
    is_computed: bool,
}

/// Checks every table of named columns, and makes the table of metadata.
///
/// # Errors
/// As [`check`]; or the table of metadata cannot be made or is another one.
pub(crate) fn ensure(store: &mut dyn Store, route: &Route) -> Result<(), StoreError> {
    check(store, route)?;
    route.metadata.as_deref().map_or(Ok(()), |table| make_metadata(store, table))
}

/// Checks every table of named columns, and the keys of those in which rows are replaced.
///
/// # Errors
/// A table is not there, lacks a column, demands another, computes one, or has not the key that replacing needs.
pub(crate) fn check(store: &mut dyn Store, route: &Route) -> Result<(), StoreError> {
    for (_, target) in route.used() {
        if !target.is_static() {
            require_columns(store, target)?;
        }
        if route.is_upsert {
            require_one_key(store, &target.table)?;
            require_set_key(store, target)?;
        }
    }
    Ok(())
}

fn refused(text: String) -> StoreError {
    StoreError::new(StoreErrorKind::Schema, text)
}

fn require_columns(store: &mut dyn Store, target: &Target) -> Result<(), StoreError> {
    let table = &target.table;
    if !crate::store::is_there(store, table)? {
        return Err(refused(format!(
            "Table {table} is missing and auto-creation is disabled; create it with the columns {}",
            target.names().join(", ")
        )));
    }
    require_transactional(store, &[table])?;
    let found = columns(store, table)?;
    let is = |found: &Found, name: &str| found.name.eq_ignore_ascii_case(name);
    for name in target.names() {
        match found.iter().find(|column| is(column, name)) {
            None => {
                let there: Vec<&str> = found.iter().map(|column| column.name.as_str()).collect();
                let there = there.join(", ");
                return Err(refused(format!("table {table} has no column {name}; it has {there}")));
            }
            Some(column) if column.is_computed => {
                let text = format!(
                    "column {name} of table {table} is computed; take it out of the mapping"
                );
                return Err(refused(text));
            }
            Some(_) => {}
        }
    }
    let names = target.names();
    let demanded = |it: &&Found| it.is_required && !names.iter().any(|name| is(it, name));
    match found.iter().find(demanded) {
        None => Ok(()),
        Some(column) => Err(refused(format!(
            "column {} of table {table} is NOT NULL without a default, and no field goes to it; add \
             singlestore.columnToField.{table}.{0}",
            column.name
        ))),
    }
}

fn columns(store: &mut dyn Store, table: &str) -> Result<Vec<Found>, StoreError> {
    let sql = match store.dialect() {
        Dialect::Sqlite => {
            "SELECT name, `notnull` = 1 AND dflt_value IS NULL AND hidden = 0 \
             AND NOT (pk = 1 AND upper(type) = 'INTEGER' AND NOT EXISTS \
             (SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk')), hidden IN (2, 3) \
             FROM pragma_table_xinfo(?1)"
        }
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            "SELECT column_name, CAST(is_nullable = 'NO' AND column_default IS NULL \
             AND extra NOT LIKE '%auto_increment%' AND extra NOT LIKE '%GENERATED%' AS SIGNED), \
             CAST(extra LIKE '%GENERATED%' AND extra NOT LIKE '%DEFAULT_GENERATED%' AS SIGNED) \
             FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position"
        }
    };
    let answer = store.query(sql, &[Param::Text(table)])?;
    let found = answer.rows.iter().map(|row| {
        Ok(Found {
            name: row.text(0)?.to_owned(),
            is_required: row.int(1)? != 0,
            is_computed: row.int(2)? != 0,
        })
    });
    found.collect()
}

/// A row that replaces needs a key to be found by, and one alone: with a second one, it would take the place of
/// a row of another key too (EXACTLY-ONCE E7).
fn require_one_key(store: &mut dyn Store, table: &str) -> Result<(), StoreError> {
    let sql = match store.dialect() {
        Dialect::Sqlite => {
            "SELECT (SELECT COUNT(*) FROM pragma_index_list(?1) WHERE \"unique\" = 1) \
             + (SELECT COUNT(*) FROM pragma_table_info(?1) WHERE pk = 1 AND upper(type) = 'INTEGER' \
                AND (SELECT COUNT(*) FROM pragma_table_info(?1) WHERE pk > 0) = 1 \
                AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk'))"
        }
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            "SELECT COUNT(DISTINCT index_name) FROM information_schema.statistics \
             WHERE table_schema = DATABASE() AND table_name = ? AND non_unique = 0"
        }
    };
    let answer = store.query(sql, &[Param::Text(table)])?;
    match answer.first().map_or(Ok(0), |row| row.count(0))? {
        1 => Ok(()),
        0 => Err(refused(format!(
            "table {table} has no primary or unique key, so that singlestore.upsert would append; add one"
        ))),
        many => Err(refused(format!(
            "table {table} has {many} unique keys: a row would take the place of rows of other keys too; \
             singlestore.upsert takes a table with one"
        ))),
    }
}

/// A key that no field goes to is made by the database: no row would ever take the place of another.
fn require_set_key(store: &mut dyn Store, target: &Target) -> Result<(), StoreError> {
    let sql = match store.dialect() {
        Dialect::Sqlite => {
            "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 UNION SELECT it.name \
             FROM pragma_index_list(?1) AS list, pragma_index_info(list.name) AS it \
             WHERE list.\"unique\" = 1 AND it.name IS NOT NULL"
        }
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            "SELECT DISTINCT column_name FROM information_schema.statistics WHERE non_unique = 0 \
             AND table_schema = DATABASE() AND table_name = ? AND column_name IS NOT NULL"
        }
    };
    let (table, names) = (&target.table, target.names());
    let answer = store.query(sql, &[Param::Text(table)])?;
    let key: Vec<&str> = answer.rows.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    let is_set = |column: &&str| names.iter().any(|name| name.eq_ignore_ascii_case(column));
    if key.is_empty() || key.iter().any(is_set) {
        return Ok(());
    }
    Err(refused(format!(
        "no field goes to the key of table {table} ({}), so that singlestore.upsert would append; add \
         singlestore.columnToField.{table}.{}",
        key.join(", "),
        key.first().copied().unwrap_or_default()
    )))
}

/// The table of metadata, as SingleStore's sink has it, with room for the longest topic.
fn make_metadata(store: &mut dyn Store, table: &str) -> Result<(), StoreError> {
    let dialect = store.dialect();
    let (name, now, engine) = match dialect {
        Dialect::Sqlite => ("TEXT", "CURRENT_TIMESTAMP", ""),
        Dialect::SingleStore => ("VARCHAR(300)", "NOW()", ""),
        Dialect::Mysql | Dialect::Mariadb => (
            "VARCHAR(300) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "CURRENT_TIMESTAMP",
            " ENGINE=InnoDB",
        ),
    };
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {} (id {name} PRIMARY KEY, count INT NOT NULL, \
         createdAt TIMESTAMP DEFAULT {now}){engine}",
        dialect.quote(table)
    );
    store.execute(&sql, &[]).map_err(|error| error.context(format!("create table {table}")))?;
    require_transactional(store, &[table])?;
    let found = columns(store, table)?;
    let has = |name: &&str| found.iter().any(|it| it.name.eq_ignore_ascii_case(name));
    match ["id", "count", "createdAt"].iter().find(|name| !has(name)) {
        None => Ok(()),
        Some(lacks) => Err(refused(format!(
            "table {table} has no column {lacks}; name another one with singlestore.metadata.table"
        ))),
    }
}
