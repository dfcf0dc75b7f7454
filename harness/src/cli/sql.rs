//! `harness sql` and `harness ddl`.
//!
//! May touch: the store. The text of a statement is handed to the database as it is.

use serde_json::Value;

use super::args::{DdlArgs, SqlArgs};
use super::error::CliError;
use crate::exit::Exit;
use crate::report::{Table, counted, json_cell, out};
use crate::store::{self, Connect, RowSet, ToRead};

pub(super) fn ddl(args: &DdlArgs) -> Result<Exit, CliError> {
    out::line(&store::static_table_ddl(args.dialect.into(), &args.name))?;
    Ok(Exit::Done)
}

pub(super) fn sql(args: &SqlArgs) -> Result<Exit, CliError> {
    let is_empty =
        |text: &String| text.trim_matches(|c: char| c.is_whitespace() || c == ';').is_empty();
    if args.statements.iter().any(is_empty) {
        return Err(CliError::usage("the statement is empty: write one after -e"));
    }
    let mut store = ToRead(args.store.existing()?).connect()?;
    for statement in &args.statements {
        let answer = store.run(statement)?;
        if args.json { print_json(&answer)? } else { print(&answer)? }
    }
    Ok(Exit::Done)
}

/// An answer as a table, or how many rows the statement changed.
pub(super) fn print(answer: &RowSet) -> Result<(), CliError> {
    if answer.columns.is_empty() {
        out::line(&format!("done, {} changed", counted(answer.affected, "row", "rows")))?;
        return Ok(());
    }
    out::line(&Table::from(answer).render(out::stdout_width()))?;
    Ok(())
}

/// One object for each row.
pub(super) fn print_json(answer: &RowSet) -> Result<(), CliError> {
    for row in &answer.rows {
        let pairs = answer.columns.iter().cloned().zip(row.0.iter().map(json_cell));
        out::json(&Value::Object(pairs.collect()))?;
    }
    Ok(())
}
