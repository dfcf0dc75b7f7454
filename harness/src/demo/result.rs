//! What the demo says at the end: is the table what was produced, a look at it, and how to go on.
//!
//! Touches the store. Invariant: the numbers are those of the database.

use serde_json::json;

use super::Produced;
use super::kinesis::Shards;
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
    pub(super) produced: Produced,
    pub(super) asked: Asked<'a>,
}

/// What the table is asked, by the source of its rows.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    /// Every record of the topic has a key of its own.
    Topic,
    /// Every record of the stream has a sequence number of its own.
    Stream {
        /// What each shard was given.
        shards: &'a Shards,
    },
}

/// What the table holds.
struct Held {
    rows: u64,
    /// Different ids or sequence numbers.
    distinct: u64,
    /// Shards whose rows are not as many as their records.
    wrong_shards: u64,
    /// Rows that were loaded after a later one of the same key, where the table keeps the order.
    disordered: Option<u64>,
}

impl Outcome<'_> {
    /// Prints everything to stdout.
    pub(super) fn tell(&self, style: Style) -> Result<Exit, CliError> {
        if style == Style::Progress {
            out::note("counting what the table holds");
        }
        let mut store = store::connect(self.url)?;
        let table = store.dialect().quote(&self.names.table);
        let held = self.ask(&mut *store, &table)?;
        let is_exact = self.is_exact(&held);
        match style {
            Style::Json => out::json(&self.json(&held))?,
            Style::Progress => {
                self.verdict(&held)?;
                self.look(&mut *store, &table)?;
            }
            Style::Quiet => {}
        }
        if is_exact {
            return Ok(Exit::Done);
        }
        let text = format!(
            "the table {} holds {} rows with {} distinct {}; {} records were produced and {} rows \
             committed",
            self.names.table,
            count(held.rows),
            count(held.distinct),
            self.ids(),
            count(self.produced.records),
            count(self.summary.rows)
        );
        Err(CliError::other(Exit::Internal, text))
    }

    fn json(&self, held: &Held) -> serde_json::Value {
        json!({
            "event": "demo", "produced": self.produced.records, "rows": held.rows,
            "distinct_ids": held.distinct, "disordered": held.disordered,
            "complete": self.produced.is_everything, "exact": self.is_exact(held),
            "store": self.url.to_string(), "table": self.names.table,
            "pipeline": self.names.pipeline
        })
    }

    /// What is counted.
    const fn ids(&self) -> &'static str {
        match self.asked {
            Asked::Topic => "ids",
            Asked::Stream { .. } => "sequence numbers",
        }
    }

    fn ask(&self, store: &mut dyn Store, table: &str) -> Result<Held, CliError> {
        let rows = number(store, &format!("SELECT COUNT(*) FROM {table}"))?;
        let Asked::Stream { shards } = self.asked else {
            let distinct = number(store, &format!("SELECT COUNT(DISTINCT id) FROM {table}"))?;
            return Ok(Held { rows, distinct, wrong_shards: 0, disordered: None });
        };
        let is_file = matches!(self.url, StoreUrl::Sqlite { .. });
        let field = |name: &str| match is_file {
            true => format!("json_extract(record, '$.{name}')"),
            false => format!("JSON_UNQUOTE(JSON_EXTRACT(record, '$.{name}'))"),
        };
        let (sequence, shard) = (field("sequenceNumber"), field("shardId"));
        let distinct = format!("SELECT COUNT(DISTINCT {sequence}) FROM {table}");
        let distinct = number(store, &distinct)?;
        let mut wrong_shards = 0;
        for (id, filled) in shards {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE {shard} = '{id}'");
            wrong_shards += u64::from(number(store, &sql)? != filled.records);
        }
        // Only SQLite keeps the order in which rows were loaded. Numbers have the same digits.
        let order = format!(
            "SELECT COUNT(*) FROM (SELECT {sequence} AS now, LAG({sequence}) OVER (PARTITION BY id \
             ORDER BY rowid) AS earlier FROM {table}) AS pairs WHERE earlier >= now"
        );
        let disordered = if is_file { Some(number(store, &order)?) } else { None };
        Ok(Held { rows, distinct, wrong_shards, disordered })
    }

    /// Whether the table holds what it must: every record once; and ended before all was produced,
    /// every committed row once.
    fn is_exact(&self, held: &Held) -> bool {
        let wanted =
            if self.produced.is_everything { self.produced.records } else { self.summary.rows };
        let shards_right = !self.produced.is_everything || held.wrong_shards == 0;
        held.rows == wanted
            && held.distinct == wanted
            && self.summary.rows == wanted
            && shards_right
            && held.disordered.unwrap_or(0) == 0
    }

    fn verdict(&self, held: &Held) -> Result<(), CliError> {
        let (rows, distinct, ids) = (count(held.rows), count(held.distinct), self.ids());
        let produced = count(self.produced.records);
        out::line("")?;
        out::line(&match (self.is_exact(held), self.produced.is_everything) {
            (true, true) => format!(
                "Exactly once: {produced} produced, {rows} rows, {distinct} distinct {ids}."
            ),
            (true, false) => format!(
                "Stopped early: {rows} of {} rows, {distinct} distinct {ids}.",
                count(self.args.rows())
            ),
            (false, _) => format!(
                "NOT exactly once: {produced} produced, {rows} rows, {distinct} distinct {ids}."
            ),
        })?;
        let Asked::Stream { shards } = self.asked else { return Ok(()) };
        let wrong = held.wrong_shards;
        if !shards.is_empty() {
            out::line(&format!(
                "By shard: {} of {} have exactly the records that the server acknowledged.",
                count((shards.len() as u64).saturating_sub(wrong)),
                shards.len()
            ))?;
        }
        out::line(&match held.disordered {
            Some(0) => {
                "In order: no row was loaded after a later one of its partition key.".to_owned()
            }
            Some(some) => format!(
                "NOT in order: {} rows were loaded after a later one of their partition key.",
                count(some)
            ),
            None => "Order: not asked, this table does not keep it (SQLite's does).".to_owned(),
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
