//! What the demo says at the end: is the table what was produced, a look at it, and how to go on.
//!
//! Touches the store. Invariant: the numbers are those of the database.

use serde_json::json;

use super::names::Names;
use super::producer::Produced;
use crate::cli::{CliError, DemoArgs};
use crate::exit::Exit;
use crate::report::{Style, Table, count, out};
use crate::run::Summary;
use crate::store::{self, Store, StoreUrl};

/// Rows of the sample.
const SAMPLE: u32 = 5;

pub(super) struct Outcome<'a> {
    pub(super) args: &'a DemoArgs,
    pub(super) names: &'a Names,
    pub(super) url: &'a StoreUrl,
    pub(super) summary: &'a Summary,
    pub(super) produced: Produced,
}

impl Outcome<'_> {
    /// Prints everything to stdout.
    pub(super) fn tell(&self, style: Style) -> Result<Exit, CliError> {
        if style == Style::Progress {
            out::note("counting what the table holds");
        }
        let mut store = store::connect(self.url)?;
        let table = store.dialect().quote(&self.names.table);
        let rows = number(&mut *store, &format!("SELECT COUNT(*) FROM {table}"))?;
        let ids = number(&mut *store, &format!("SELECT COUNT(DISTINCT id) FROM {table}"))?;
        let is_exact = self.is_exact(rows, ids);
        match style {
            Style::Json => out::json(&json!({
                "event": "demo", "produced": self.produced.records, "rows": rows, "distinct_ids": ids,
                "complete": self.produced.is_everything, "exact": is_exact, "store": self.url.to_string(),
                "table": self.names.table, "pipeline": self.names.pipeline
            }))?,
            Style::Progress => {
                self.verdict(rows, ids)?;
                self.look(&mut *store, &table)?;
            }
            Style::Quiet => {}
        }
        if is_exact {
            return Ok(Exit::Done);
        }
        let text = format!(
            "the table {} holds {} rows with {} distinct ids; {} records were produced and {} rows \
             committed",
            self.names.table,
            count(rows),
            count(ids),
            count(self.produced.records),
            count(self.summary.rows)
        );
        Err(CliError::other(Exit::Internal, text))
    }

    /// Whether the table holds what it must: every record once; and ended before all was produced,
    /// every committed row once.
    fn is_exact(&self, rows: u64, ids: u64) -> bool {
        let wanted =
            if self.produced.is_everything { self.produced.records } else { self.summary.rows };
        rows == wanted && ids == wanted && self.summary.rows == wanted
    }

    fn verdict(&self, rows: u64, ids: u64) -> Result<(), CliError> {
        let (rows_text, ids_text) = (count(rows), count(ids));
        let produced = count(self.produced.records);
        out::line("")?;
        out::line(&match (self.is_exact(rows, ids), self.produced.is_everything) {
            (true, true) => format!(
                "Exactly once: {produced} produced, {rows_text} rows, {ids_text} distinct ids."
            ),
            (true, false) => format!(
                "Stopped early: {rows_text} of {} rows, {ids_text} distinct ids.",
                count(self.args.rows)
            ),
            (false, _) => format!(
                "NOT exactly once: {produced} produced, {rows_text} rows, {ids_text} distinct ids."
            ),
        })?;
        Ok(())
    }

    fn look(&self, store: &mut dyn Store, table: &str) -> Result<(), CliError> {
        let width = out::stdout_width();
        let sample = format!("SELECT topic, id, record FROM {table} LIMIT {SAMPLE}");
        let key = store.dialect().quote("KEY");
        let value = store.dialect().quote("VALUE");
        let offsets = format!(
            "SELECT BATCH_ID, {key}, {value} FROM PIPELINES_SOURCE_OFFSETS \
             WHERE PIPELINE_NAME = '{}' ORDER BY {key}",
            self.names.pipeline
        );
        for (title, sql) in [("The table", &sample), ("The offsets", &offsets)] {
            let answer = store.query(sql, &[])?;
            out::line(&format!("\n{title}:\n{}", Table::from(&answer).render(width)))?;
        }
        let program = program();
        let options = self.store_options();
        let (table, name) = (&self.names.table, &self.names.pipeline);
        out::line(&format!(
            "\nLook further:\n  {program} sql {options} -e 'SELECT COUNT(*) FROM {table}'\n  \
             {program} offsets {name} {options}\n  {program} batches {name} {options} -n 5\n  \
             {program} status {options}"
        ))?;
        Ok(())
    }

    /// The options that name the store again.
    fn store_options(&self) -> String {
        let args = &self.args.store;
        let mut options = Vec::new();
        match (&args.store, self.url) {
            (Some(text), _) => options.push(format!("--store {}", shell_word(text))),
            (None, StoreUrl::Sqlite { .. }) => {
                options.push(format!("--store {}", shell_word(&self.url.to_string())));
            }
            // It came from the environment, maybe with a password.
            (None, StoreUrl::Server(_)) => {}
        }
        if let Some(path) = &args.store_password_file {
            options
                .push(format!("--store-password-file {}", shell_word(&path.display().to_string())));
        }
        options.join(" ")
    }
}

fn number(store: &mut dyn Store, sql: &str) -> Result<u64, CliError> {
    let answer = store.query(sql, &[])?;
    let row = answer.first().ok_or_else(|| {
        CliError::other(Exit::Internal, "the database answered a COUNT without a row")
    })?;
    Ok(row.count(0)?)
}

/// How this program was called.
fn program() -> String {
    let name = std::env::args_os().next().unwrap_or_default();
    shell_word(&name.to_string_lossy())
}

/// As one word of a shell.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%_+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
