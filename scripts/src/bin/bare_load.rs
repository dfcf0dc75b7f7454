//! What the harness is measured against: the best loop that loads rows and does nothing else. No
//! Kafka, pipe, offsets, checks or retries.
//!
//! `bare_load STORE TABLE ROWS [DDL]` reads lines of topic, id and record between tabs into memory, then
//! loads them into the table and prints the seconds of that on stderr, of the clock and of the processor. DDL makes the table in a new
//! file of SQLite. STORE is
//! `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE` or a path for SQLite.
#![expect(clippy::print_stderr, reason = "the figure is what a benchmark reads")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mysql::prelude::Queryable;
use mysql::{Conn, Opts, TxOpts, Value};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use rusqlite::Connection;
use serde_json::json;

/// Rows of a transaction, as the harness has them.
const TRANSACTION_ROWS: usize = 10_000;

/// Pages of SQLite's log, as the harness has them: with the default of 1000 nearly every batch waits for its
/// pages to be moved into the file.
const CHECKPOINT_PAGES: u32 = 4000;

/// Rows of one prepared statement: the fastest of 200, 1000 and 5000 on MariaDB.
const STATEMENT_ROWS: usize = 1000;

type Row<'a> = [&'a str; 3];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (store, table, path) = (args.next(), args.next(), args.next());
    let path = path.context("give STORE TABLE ROWS")?;
    let (store, table) = store.zip(table).context("give STORE TABLE ROWS")?;
    if let Some(ddl) = args.next() {
        Connection::open(&store)?.execute_batch(&ddl)?;
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, '\t');
        let mut part = || parts.next().context("a line has less than three parts");
        rows.push([part()?, part()?, part()?]);
    }
    let (begun, used) = (Instant::now(), cpu_seconds()?);
    if store.starts_with("mysql:") {
        mariadb(&store, &table, &rows)?;
    } else {
        sqlite(&store, &table, &rows)?;
    }
    let (seconds, cpu_seconds) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - used);
    eprintln!("{}", json!({"rows": rows.len(), "seconds": seconds, "cpu_seconds": cpu_seconds}));
    Ok(())
}

/// Processor time of this process so far, user and system.
fn cpu_seconds() -> Result<f64> {
    let used = getrusage(UsageWho::RUSAGE_SELF).context("ask for the processor time")?;
    let seconds = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs());
    Ok((seconds(used.user_time()) + seconds(used.system_time())).as_secs_f64())
}

/// Prepared statements of many rows: their parameters are binary, which the server need not parse.
fn mariadb(url: &str, table: &str, rows: &[Row<'_>]) -> Result<()> {
    let mut server = Conn::new(Opts::from_url(url)?)?;
    let statement = |rows: usize| {
        let groups = vec!["(?, ?, ?)"; rows].join(", ");
        format!("INSERT INTO {table} VALUES {groups}")
    };
    let many = server.prep(statement(STATEMENT_ROWS))?;
    for batch in rows.chunks(TRANSACTION_ROWS) {
        let mut transaction = server.start_transaction(TxOpts::default())?;
        for group in batch.chunks(STATEMENT_ROWS) {
            let values: Vec<Value> =
                group.iter().flatten().map(|text| Value::from(*text)).collect();
            if group.len() == STATEMENT_ROWS {
                transaction.exec_drop(&many, values)?;
            } else {
                transaction.exec_drop(statement(group.len()), values)?;
            }
        }
        transaction.commit()?;
    }
    Ok(())
}

/// One prepared statement for each row, with the harness's own settings: in this process a call
/// costs next to nothing.
fn sqlite(path: &str, table: &str, rows: &[Row<'_>]) -> Result<()> {
    let mut store = Connection::open(path)?;
    store.pragma_update(None, "journal_mode", "WAL")?;
    store.pragma_update(None, "synchronous", "FULL")?;
    store.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    for batch in rows.chunks(TRANSACTION_ROWS) {
        let transaction = store.transaction()?;
        let mut insert =
            transaction.prepare_cached(&format!("INSERT INTO {table} VALUES (?, ?, ?)"))?;
        for row in batch {
            insert.execute(*row)?;
        }
        drop(insert);
        transaction.commit()?;
    }
    Ok(())
}
