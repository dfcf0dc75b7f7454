//! What a statement of a confined connection may not do: reach another file, or write the catalogue.
//!
//! Pure. Source: SQLite's "Compile-Time Authorization Callbacks".

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Error};

/// How the names of the catalogue's tables begin.
const CATALOGUE: &str = "s2x_";

/// From now on every statement of this connection is asked about.
///
/// # Errors
/// The library refuses.
pub(super) fn confine(connection: &mut Connection) -> Result<(), Error> {
    // The schema is written by statements that are asked about, never as a table.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.authorizer(Some(decide))
}

fn decide(context: AuthContext<'_>) -> Authorization {
    let is_refused = match context.action {
        // VACUUM attaches a nameless temporary database.
        AuthAction::Attach { filename } => !matches!(filename, "" | ":memory:"),
        AuthAction::Unknown { .. } => true,
        AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => {
            pragma_name.eq_ignore_ascii_case("temp_store_directory")
        }
        // VACUUM writes a copy of every table into a database of another name.
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => {
            context.database_name == Some("main") && is_of_catalogue(table_name)
        }
        AuthAction::DropTable { table_name }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::DropIndex { table_name, .. }
        | AuthAction::DropTrigger { table_name, .. } => is_of_catalogue(table_name),
        // What it does is not asked about here: it runs on whoever writes the table, a pipeline, say.
        AuthAction::CreateTrigger { .. } => true,
        _ => false,
    };
    if is_refused { Authorization::Deny } else { Authorization::Allow }
}

fn is_of_catalogue(table: &str) -> bool {
    table.get(..CATALOGUE.len()).is_some_and(|it| it.eq_ignore_ascii_case(CATALOGUE))
}
