//! `harness audit`: who did what to pipelines.
//!
//! May touch: the store, stdout.

use serde_json::json;

use super::args::AuditArgs;
use super::error::CliError;
use super::show::{open, print_unless, tell_rest, time};
use crate::exit::Exit;
use crate::report::{Align, Table, out};

pub(super) fn audit(args: &AuditArgs) -> Result<Exit, CliError> {
    let (mut catalogue, _) = open(&args.store)?;
    let entries = catalogue.audit(args.limit)?;
    let mut table = Table::new(&[
        ("time", Align::Left),
        ("user", Align::Left),
        ("host", Align::Left),
        ("database user", Align::Left),
        ("outcome", Align::Left),
        ("statement", Align::Left),
        ("error", Align::Left),
    ]);
    for entry in &entries {
        if args.json {
            out::json(&json!({
                "time": time(entry.time_us), "ended": entry.ended_us.map(time),
                "user": entry.os_user, "host": entry.host, "database_user": entry.database_user,
                "outcome": entry.outcome, "statement": entry.statement, "error": entry.error
            }))?;
        }
        table.row([
            time(entry.time_us),
            entry.os_user.clone(),
            entry.host.clone(),
            entry.database_user.clone(),
            entry.outcome.clone(),
            entry.statement.clone(),
            entry.error.clone().unwrap_or_default(),
        ]);
    }
    print_unless(
        args.json,
        &table,
        entries.is_empty(),
        "nothing was done yet that is written down",
    )?;
    tell_rest(entries.len(), catalogue.audit_count()?);
    Ok(Exit::Done)
}
