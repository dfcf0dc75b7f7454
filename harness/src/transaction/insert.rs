//! Rows of any columns, by one checked statement.
//!
//! Touches the database through `Store` alone. Invariants (EXACTLY-ONCE E2, E14): one statement is all or
//! nothing on every database; its count and the server's warnings are compared with what was sent.

use crate::store::{Dialect, Param, Store, StoreError, StoreErrorKind};

/// Bytes of values of one statement, unless one row alone has more or the database takes less.
///
/// Why 1 MiB: the smallest packet that servers accept by default; larger statements are not faster.
pub(super) const BYTES_MAX: usize = 1024 * 1024;

/// A table and the columns that are set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape<'a> {
    pub(super) table: &'a str,
    pub(super) columns: &'a [&'a str],
    /// Whether a row replaces those with the same key.
    pub(super) is_upsert: bool,
}

/// Inserts rows by one statement; `values` holds those of one row after the other.
///
/// # Errors
/// The database refuses one of them, changes a value, or drops a row. Some may be in the table then: the caller
/// rolls back, to a savepoint at least.
pub(super) fn insert(
    store: &mut dyn Store,
    shape: &Shape<'_>,
    values: &[Param<'_>],
) -> Result<(), StoreError> {
    let rows = values.len() / shape.columns.len().max(1);
    let dialect = store.dialect();
    let changed = store.execute(&statement(dialect, shape, rows), values)?;
    if let Some(error) = store.warning()? {
        return Err(error.context(format!("table {}", shape.table)));
    }
    let rows = rows as u64;
    // Servers count a row that took the place of others once for itself and once for each of them; no trigger of
    // theirs can drop a row silently. SQLite's can, and it counts each row once.
    let is_more = shape.is_upsert && dialect != Dialect::Sqlite;
    let is_all = if is_more { changed >= rows } else { changed == rows };
    if is_all {
        return Ok(());
    }
    let what = shape.table;
    let text =
        format!("table {what} took {changed} rows of {rows}: a trigger or rule took the rest");
    Err(StoreError::new(StoreErrorKind::Data { row: None }, text))
}

fn statement(dialect: Dialect, shape: &Shape<'_>, rows: usize) -> String {
    let verb = match (shape.is_upsert, dialect) {
        (false, _) => "INSERT",
        (true, Dialect::Sqlite) => "INSERT OR REPLACE",
        (true, Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore) => "REPLACE",
    };
    let columns: Vec<String> = shape.columns.iter().map(|name| dialect.quote(name)).collect();
    let mut row = "?,".repeat(columns.len());
    row.pop();
    let mut sql =
        format!("{verb} INTO {} ({}) VALUES ", dialect.quote(shape.table), columns.join(", "));
    sql.push_str(&format!("({row}),").repeat(rows));
    sql.pop();
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_values_are_bound() {
        let shape = Shape { table: "a`b\"c", columns: &["x`y", "z"], is_upsert: true };
        let sql = |dialect| statement(dialect, &shape, 2);
        assert_eq!(
            sql(Dialect::Mariadb),
            "REPLACE INTO `a``b\"c` (`x``y`, `z`) VALUES (?,?),(?,?)"
        );
        let wanted = "INSERT OR REPLACE INTO \"a`b\"\"c\" (\"x`y\", \"z\") VALUES (?,?),(?,?)";
        assert_eq!(sql(Dialect::Sqlite), wanted);
    }
}
