//! What the database lets this user do: asked of what is there with EXPLAIN, which needs the right and does
//! nothing; of what is yet to be made, by the list of rights.
//!
//! Touches the database through `Store` alone. Invariant: nothing is made, changed or locked.

use std::collections::BTreeSet;

use crate::store::{Param, Store, StoreError, StoreErrorKind};

/// What a pipeline's user needs on its database. Why DROP: a newer program makes the views anew, and CREATE OR
/// REPLACE VIEW needs it (MariaDB's page "CREATE VIEW"); no table is ever dropped.
pub(super) const NEEDED: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, CREATE VIEW";

/// The same, where everything is there already.
const TO_MAKE: [&str; 7] =
    ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "CREATE VIEW"];

/// Which rights on a table are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Rows are added.
    Add,
    /// Rows are added, and take the place of others.
    Replace,
    /// Rows are added, changed and removed.
    All,
}

/// What is missing on a table that is there: the server's own words for the first refusal.
///
/// # Errors
/// The database cannot be asked.
pub(super) fn refused(
    store: &mut dyn Store,
    table: &str,
    columns: &[&str],
    how: Use,
) -> Result<Option<String>, StoreError> {
    let dialect = store.dialect();
    let name = dialect.quote(table);
    let columns: Vec<String> = columns.iter().map(|column| dialect.quote(column)).collect();
    // A table of the person may have columns that the server computes, and that take no value.
    let (into, values) = match how {
        Use::Add | Use::Replace => (format!("({})", columns.join(", ")), columns.join(", ")),
        Use::All => (String::new(), "*".to_owned()),
    };
    let mut questions = vec![
        format!("EXPLAIN SELECT 1 FROM {name} LIMIT 1"),
        format!("EXPLAIN INSERT INTO {name} {into} SELECT {values} FROM {name} WHERE 1 = 0"),
    ];
    if let Some(column) = columns.first().filter(|_| how == Use::All) {
        questions.push(format!("EXPLAIN UPDATE {name} SET {column} = {column} WHERE 1 = 0"));
    }
    if how != Use::Add {
        questions.push(format!("EXPLAIN DELETE FROM {name} WHERE 1 = 0"));
    }
    for question in questions {
        match store.run(&question) {
            Ok(_) => {}
            Err(error) if error.kind() == StoreErrorKind::Auth => {
                return Ok(Some(error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What of the rights on the database this user has not been given. Rights that come by a role are not
/// in these lists: `None` where the user has one.
///
/// # Errors
/// The database cannot be asked.
pub(super) fn missing(store: &mut dyn Store) -> Result<Option<Vec<&'static str>>, StoreError> {
    let user = current_user(store)?;
    let (name, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
    let grantee = format!("'{name}'@'{host}'");
    let sql = "SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = ? \
               UNION SELECT privilege_type FROM information_schema.schema_privileges \
               WHERE grantee = ? AND DATABASE() LIKE table_schema";
    let answer = store.query(sql, &[Param::Text(&grantee), Param::Text(&grantee)])?;
    let has: BTreeSet<String> = answer
        .rows
        .iter()
        .map(|row| Ok(row.text(0)?.to_ascii_uppercase()))
        .collect::<Result<_, StoreError>>()?;
    let lacks: Vec<&str> = TO_MAKE.into_iter().filter(|it| !has.contains(*it)).collect();
    if !lacks.is_empty() && has_role(store) {
        return Ok(None);
    }
    Ok(Some(lacks))
}

/// Who the server takes this user for.
///
/// # Errors
/// The database cannot be asked.
pub(super) fn current_user(store: &mut dyn Store) -> Result<String, StoreError> {
    let answer = store.query("SELECT CURRENT_USER()", &[])?;
    answer.first().map_or_else(|| Ok(String::new()), |row| row.text(0).map(str::to_owned))
}

/// A server without roles has no such table.
fn has_role(store: &mut dyn Store) -> bool {
    let sql = "SELECT COUNT(*) FROM information_schema.enabled_roles WHERE role_name IS NOT NULL";
    let count = store.query(sql, &[]).ok().and_then(|answer| answer.first()?.int(0).ok());
    count.unwrap_or(0) > 0
}
