//! One client: its statements in order, its transaction, and the faults that are planned for it.
//!
//! May touch: its socket and its connection to the rows. Invariant: a client that goes takes its open transaction
//! along.

use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rusqlite::Connection;

use super::load::{self, Load};
use super::state::{self, Answer};
use super::wire::{Done, Refusal, Wire, refusal};
use super::{DATABASE, Shared, What, When, lock};

/// Commands of the protocol.
const QUIT: u8 = 1;
const INIT_DB: u8 = 2;
const QUERY: u8 = 3;
const PING: u8 = 14;
const PREPARE: u8 = 22;

/// The one statement that leaves the warnings of the last one as they are.
const SHOW_WARNINGS: &str = "SHOW WARNINGS";

/// One warning of the last statement.
type Warning = (u16, String);

struct Session<'a> {
    wire: Wire,
    rows: Connection,
    shared: &'a Shared,
    number: u64,
    is_autocommit: bool,
    warnings: Vec<Warning>,
}

/// Why a client gets no answer any more.
struct Cut;

/// What a statement is answered with.
enum Reply {
    Done(Done),
    Rows(Answer),
}

/// Serves one client until it goes.
pub(super) fn serve(stream: TcpStream, number: u64, path: &Path, shared: &Arc<Shared>) {
    // What goes wrong here goes wrong for the client, which is what tests look at.
    drop(run(stream, path, shared, number));
    // The handle that is kept for cutting would keep the connection open.
    if let Some(stream) = lock(&shared.clients).remove(&number) {
        drop(stream.shutdown(Shutdown::Both));
    }
}

fn run(stream: TcpStream, path: &Path, shared: &Shared, number: u64) -> Result<()> {
    let mut wire = Wire::new(stream)?;
    let Some((guest, database)) = wire.welcome(u32::try_from(number + 1)?)? else { return Ok(()) };
    lock(&shared.guests).push(guest);
    let database = if database.is_empty() { DATABASE } else { &database };
    let rows = state::open(path, database)?;
    let warnings = Vec::new();
    let mut session = Session { wire, rows, shared, number, is_autocommit: true, warnings };
    while let Some(command) = session.wire.read()? {
        let Some((kind, text)) = command.split_first() else { bail!("an empty command") };
        match *kind {
            QUIT => return Ok(()),
            PING | INIT_DB => session.wire.ok(&Done::default())?,
            QUERY => {
                let sql = std::str::from_utf8(text).context("a statement is no UTF-8")?;
                if let Err(Cut) = session.statement(sql)? {
                    return Ok(());
                }
            }
            PREPARE => session.wire.refuse(&refusal(1295, "statements are not prepared here"))?,
            other => bail!("command {other} is not known"),
        }
    }
    Ok(())
}

impl Session<'_> {
    fn statement(&mut self, sql: &str) -> Result<Result<(), Cut>> {
        let number = self.shared.note(self.number, sql);
        if sql.len() >= self.shared.statement_max() {
            return Ok(Err(Cut));
        }
        let fault = self.shared.fault(number, sql);
        let is_load = sql.starts_with("LOAD DATA");
        if sql != SHOW_WARNINGS {
            self.warnings.clear();
        }
        let mut inside = None;
        match &fault {
            Some((When::Inside(bytes), _)) if is_load => inside = Some(*bytes),
            Some((When::Before | When::Inside(_), what)) => {
                if let Some(done) = self.strike(what)? {
                    return Ok(done);
                }
            }
            Some((When::After, _)) | None => {}
        }
        let reply = match is_load {
            true => match self.load(sql, inside)? {
                Ok(reply) => reply,
                Err(Cut) => return Ok(Err(Cut)),
            },
            false => self.run(sql),
        };
        if let Some((When::After, what)) = &fault
            && let Some(done) = self.strike(what)?
        {
            return Ok(done);
        }
        match reply {
            Ok(Reply::Done(mut done)) => {
                done.in_transaction = !self.rows.is_autocommit();
                if let Some((_, What::Tell { info, warnings, code })) = &fault {
                    done.info = (*info).to_owned();
                    done.warnings = *warnings;
                    self.warnings = vec![(*code, "as planned".to_owned()); usize::from(*warnings)];
                }
                self.wire.ok(&done)?;
            }
            Ok(Reply::Rows(Answer::Rows(columns, rows))) => self.wire.rows(&columns, &rows)?,
            Ok(Reply::Rows(Answer::Changed(affected))) => {
                let in_transaction = !self.rows.is_autocommit();
                self.wire.ok(&Done { affected, in_transaction, ..Done::default() })?;
            }
            Err(refusal) => self.wire.refuse(&refusal)?,
        }
        Ok(Ok(()))
    }

    /// Does what is planned. Answers how the statement ends where it ends so.
    fn strike(&mut self, what: &What) -> Result<Option<Result<(), Cut>>> {
        match what {
            What::Cut => Ok(Some(Err(Cut))),
            What::Refuse(code, text) => {
                self.wire.refuse(&refusal(*code, *text))?;
                Ok(Some(Ok(())))
            }
            What::Forget => {
                self.end("ROLLBACK").map_err(|refusal| anyhow::anyhow!(refusal.text))?;
                Ok(None)
            }
            What::Tell { .. } => Ok(None),
        }
    }

    /// Ends the open transaction, if there is one.
    fn end(&self, how: &str) -> Result<(), Refusal> {
        if self.rows.is_autocommit() {
            return Ok(());
        }
        self.rows.execute_batch(how).map_err(|error| state::of(&error))
    }

    fn begin(&self) -> Result<(), Refusal> {
        // The whole file is locked where SingleStore locks rows: what waits there waits here, too.
        self.rows.execute_batch("BEGIN IMMEDIATE").map_err(|error| state::of(&error))
    }

    fn run(&mut self, sql: &str) -> Result<Reply, Refusal> {
        let sql = sql.trim_start();
        let first = sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        let done = Ok(Reply::Done(Done::default()));
        match first.to_ascii_uppercase().as_str() {
            "SET" => self.set(sql).and(done),
            "START" | "BEGIN" => self.end("COMMIT").and_then(|()| self.begin()).and(done),
            "COMMIT" => self.end("COMMIT").and(done),
            "ROLLBACK" => self.end("ROLLBACK").and(done),
            "SHOW" if sql == SHOW_WARNINGS => self.show_warnings(),
            "USE" => done,
            "CREATE" | "DROP" if sql.split_whitespace().nth(1) == Some("DATABASE") => done,
            "CREATE" | "DROP" | "ALTER" | "TRUNCATE" => {
                // What defines commits what is open.
                self.end("COMMIT")?;
                state::define(&self.rows, sql).and(done)
            }
            "SELECT" | "WITH" => {
                let limit = self.shared.statement_max().to_string();
                let sql = sql.replace("@@max_allowed_packet", &limit);
                state::run(&self.rows, &sql).map(Reply::Rows)
            }
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" => {
                self.begin_unless_by_itself()?;
                state::run(&self.rows, sql).map(Reply::Rows)
            }
            other => Err(refusal(1706, format!("Feature '{other}' is not known to this double"))),
        }
    }

    /// Where statements do not commit by themselves, the first one that writes opens a transaction.
    fn begin_unless_by_itself(&self) -> Result<(), Refusal> {
        if self.is_autocommit || !self.rows.is_autocommit() {
            return Ok(());
        }
        self.begin()
    }

    fn set(&mut self, sql: &str) -> Result<(), Refusal> {
        if sql.to_ascii_lowercase().contains("autocommit") {
            self.is_autocommit = sql.trim_end().ends_with('1');
            if self.is_autocommit {
                self.end("COMMIT")?;
            }
        }
        Ok(())
    }

    fn show_warnings(&self) -> Result<Reply, Refusal> {
        let rows: Vec<String> = self
            .warnings
            .iter()
            .map(|(code, text)| {
                format!("SELECT 'Warning' AS Level, {code} AS Code, '{text}' AS Message")
            })
            .collect();
        let none = "SELECT 'Warning' AS Level, 0 AS Code, '' AS Message WHERE 1 = 0".to_owned();
        let sql = if rows.is_empty() { none } else { rows.join(" UNION ALL ") };
        state::run(&self.rows, &sql).map(Reply::Rows)
    }

    /// Asks for the file, takes its bytes, and loads them.
    fn load(
        &mut self,
        sql: &str,
        inside: Option<usize>,
    ) -> Result<Result<Result<Reply, Refusal>, Cut>> {
        let load = match load::parse(sql) {
            Ok(load) => load,
            Err(refusal) => return Ok(Ok(Err(refusal))),
        };
        let mut ask = vec![0xfb];
        ask.extend_from_slice(load.file.as_bytes());
        self.wire.write(&ask)?;
        let mut stream = Vec::new();
        loop {
            let Some(part) = self.wire.read()? else { return Ok(Err(Cut)) };
            if part.is_empty() {
                break;
            }
            stream.extend_from_slice(&part);
            if inside.is_some_and(|bytes| stream.len() >= bytes) {
                return Ok(Err(Cut));
            }
        }
        if inside.is_some() {
            // The stream was shorter: its end is inside as well.
            return Ok(Err(Cut));
        }
        self.shared.capture(&load.file, &stream);
        Ok(Ok(self.take(&load, &stream)))
    }

    fn take(&mut self, load: &Load, stream: &[u8]) -> Result<Reply, Refusal> {
        self.begin_unless_by_itself()?;
        let records = load::run(&self.rows, load, stream)?;
        let info = format!("Records: {records}  Deleted: 0  Skipped: 0  Warnings: 0");
        Ok(Reply::Done(Done { affected: records, info, ..Done::default() }))
    }
}
