//! What the demo says at the end: is the table what was produced, a look at it, and how to go on.
//!
//! Touches the store. Invariant: the numbers are those of the database.

use serde_json::json;

use super::names::Names;
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
    /// Records that the topic holds.
    pub(super) produced: u64,
}

impl Outcome<'_> {
    /// Prints everything to stdout.
    pub(super) fn tell(&self, style: Style) -> Result<Exit, CliError> {
        let mut store = store::connect(self.url)?;
        let table = store.dialect().quote(&self.names.table);
        let rows = number(&mut *store, &format!("SELECT COUNT(*) FROM {table}"))?;
        let ids = number(&mut *store, &format!("SELECT COUNT(DISTINCT id) FROM {table}"))?;
        // Ended by Ctrl-C, the topic holds more than the table; what was committed must be there.
        let is_complete = self.produced == self.args.rows && self.summary.rows == self.produced;
        let is_exact = rows == self.summary.rows && ids == rows;
        match style {
            Style::Json => out::json(&json!({
                "event": "demo", "produced": self.produced, "rows": rows, "distinct_ids": ids,
                "exact": is_exact && is_complete, "store": self.url.to_string(),
                "table": self.names.table, "pipeline": self.names.pipeline
            }))?,
            Style::Progress => {
                self.verdict(rows, ids, is_complete)?;
                self.look(&mut *store, &table)?;
            }
            Style::Quiet => {}
        }
        if is_exact {
            return Ok(Exit::Done);
        }
        let text = format!(
            "the table {} holds {} rows with {} distinct ids; {} rows were committed",
            self.names.table,
            count(rows),
            count(ids),
            count(self.summary.rows)
        );
        Err(CliError::other(Exit::Internal, text))
    }

    fn verdict(&self, rows: u64, ids: u64, is_complete: bool) -> Result<(), CliError> {
        let table = &self.names.table;
        let is_exact = rows == self.produced && ids == rows;
        out::line("")?;
        if is_complete && is_exact {
            out::line(&format!(
                "Exactly once: {} produced, {} rows, {} distinct ids.",
                count(self.produced),
                count(rows),
                count(ids)
            ))?;
        } else {
            out::line(&format!(
                "Stopped early: {} of {} records are in {table}, {} distinct ids.",
                count(rows),
                count(self.args.rows),
                count(ids)
            ))?;
        }
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
            let answer = store.run(sql)?;
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
    let answer = store.run(sql)?;
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
