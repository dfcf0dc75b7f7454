//! The answer to one statement: by this server, by the harness, or by the database.
//!
//! May touch: the session and the client's wire. Invariant: a statement has one answer, or as many as the
//! database gave; an error in the middle of rows ends them.

use std::time::Instant;

use super::connection::{Connection, State};
use super::fault::Fault;
use super::front::{self, Asked, Front};
use super::reply::{Form, Reply};
use super::turn::{Opened, Running, interrupted, too_long};
use super::wire::WireError;
use crate::sql::{Answer, Piece, SqlError};
use crate::store::{
    Answers, Cell, CellRow, Column, Datum, Dialect, Done, Param, RowSet, StoreError, StoreUrl,
    Transaction,
};

/// How one statement is to be answered.
pub(super) struct Turn<'a> {
    pub(super) form: Form,
    pub(super) params: Option<&'a [Param<'a>]>,
    /// Whether the text has statements after it.
    pub(super) has_more: bool,
}

impl Connection {
    fn is_sqlite(&self) -> bool {
        matches!(self.hub.options.store, StoreUrl::Sqlite { .. })
    }

    /// How many values a statement takes.
    pub(super) fn parameters(&mut self, piece: &Piece<'_>) -> Result<usize, Fault> {
        if front::read(piece, self.is_sqlite()).is_some() {
            return Ok(0);
        }
        self.session.parameters(piece).map_err(|error| Fault::from(&error))
    }

    /// Answers a statement of a text.
    ///
    /// # Errors
    /// The client is gone. The inner one: the statement failed, which is still to be told.
    pub(super) fn answer(
        &mut self,
        text: &str,
        piece: &Piece<'_>,
        turn: &Turn<'_>,
    ) -> Result<Result<(), Fault>, WireError> {
        let began = Instant::now();
        if let Some(front) = front::read(piece, self.is_sqlite()) {
            let done = self.by_front(front, turn)?;
            self.opened.follow(self.state.in_transaction, began);
            return Ok(done);
        }
        if let Err(fault) = self.begin_where_needed(piece) {
            return Ok(Err(fault));
        }
        let until = self.transaction_until();
        let is_late = || until.is_some_and(|until| Instant::now() >= until);
        if is_late() {
            return Ok(Err(self.give_transaction_up()));
        }
        let running = match self.begin_turn(piece, until) {
            Ok(running) => running,
            Err(fault) => return Ok(Err(fault)),
        };
        let done = self.hand_on(text, piece, turn, &running);
        self.hub.clients.runs(self.id, None);
        self.wire.end_answers_at(None);
        let done = done?;
        if done.is_err() && is_late() {
            return Ok(Err(self.give_transaction_up()));
        }
        if let Err(fault) = self.look_at_transaction() {
            return Ok(Err(fault));
        }
        self.opened.follow(self.state.in_transaction, began);
        Ok(done)
    }

    /// Rolls back what has taken too long; answers what the client is told.
    fn give_transaction_up(&mut self) -> Fault {
        let ended = self.session.store().and_then(|store| Ok(store.rollback()?));
        self.opened = Opened::default();
        self.state.in_transaction = false;
        match ended {
            Ok(()) => too_long(self.hub.waits.transaction),
            Err(error) => Fault::from(&error),
        }
    }

    /// Says what runs, so that it can be ended, and until when it may.
    fn begin_turn(&mut self, piece: &Piece<'_>, until: Option<Instant>) -> Result<Running, Fault> {
        let control = self.hub.control.child();
        self.session.run_under(&control);
        let store = if piece.is_ours { Ok(None) } else { self.session.interrupter() };
        let store = store.map_err(|error| Fault::from(&error))?;
        if !piece.is_ours && self.is_sqlite() {
            let store = self.session.store();
            let bounded = store.and_then(|store| Ok(store.end_statements_at(until)?));
            bounded.map_err(|error| Fault::from(&error))?;
        }
        self.wire.end_answers_at(until);
        let running = Running::new(control, store);
        self.hub.clients.runs(self.id, Some(running.clone()));
        Ok(running)
    }

    /// Has the harness or the database answer.
    fn hand_on(
        &mut self,
        text: &str,
        piece: &Piece<'_>,
        turn: &Turn<'_>,
        running: &Running,
    ) -> Result<Result<(), Fault>, WireError> {
        // Told with the answer, so guessed before; corrected by what is true afterwards.
        let before = self.state;
        self.follow(piece);
        let status = self.state.flags();
        let mut reply = Reply::new(&mut self.wire, turn.form, status, turn.has_more);
        let done = self.session.answer(text, piece, turn.params, &mut reply);
        let done = match done {
            Ok(None) => Ok(()),
            // What runs for a statement that was to end has ended early.
            Ok(Some(Answer::Done(what))) if running.was_killed() => Err(interrupted(&what)),
            Ok(Some(Answer::Rows(rows))) => reply.rows(&rows).map_err(of_store),
            Ok(Some(Answer::Done(info))) => {
                reply.done(Done { info, ..Done::default() }).map_err(of_store)
            }
            Err(error) if piece.is_ours && running.was_killed() => {
                Err(interrupted(&error.to_string()))
            }
            Err(error) => Err(Fault::from(&error)),
        };
        if let Some(broken) = reply.broken() {
            return Err(broken);
        }
        if done.is_err() {
            self.state = before;
        }
        Ok(done)
    }

    /// When the transaction that is open has to be over; `None` without one, and for a server, which locks rows.
    pub(super) fn transaction_until(&self) -> Option<Instant> {
        let most = self.hub.waits.transaction;
        if self.is_sqlite() { self.opened.until(most) } else { None }
    }

    /// With `autocommit=0` a statement opens a transaction, which SQLite does not know.
    fn begin_where_needed(&mut self, piece: &Piece<'_>) -> Result<(), Fault> {
        if !self.is_sqlite() || self.state.autocommit || self.state.in_transaction || piece.is_ours
        {
            return Ok(());
        }
        self.run("BEGIN")?;
        self.state.in_transaction = true;
        Ok(())
    }

    /// What a statement will have done to the session.
    fn follow(&mut self, piece: &Piece<'_>) {
        let State { autocommit, in_transaction } = &mut self.state;
        if let Some(is_on) = front::sets_autocommit(piece) {
            *autocommit = is_on;
        }
        match front::opens_transaction(piece) {
            Some(is_open) => *in_transaction = is_open,
            None => *in_transaction |= !*autocommit,
        }
    }

    /// SQLite says whether a transaction is open; a server's flag is followed by its statements.
    fn look_at_transaction(&mut self) -> Result<(), Fault> {
        if !self.is_sqlite() {
            return Ok(());
        }
        let found = self.session.store().and_then(|store| Ok(store.in_transaction()?));
        self.state.in_transaction =
            found.map_err(|error| Fault::from(&error))? == Transaction::Open;
        Ok(())
    }

    /// Runs a statement whose answer nobody wants.
    fn run(&mut self, sql: &str) -> Result<(), Fault> {
        let done = self.session.store().and_then(|store| Ok(store.run(sql)?));
        done.map(drop).map_err(|error| Fault::from(&error))
    }

    fn by_front(&mut self, front: Front, turn: &Turn<'_>) -> Result<Result<(), Fault>, WireError> {
        let answer = match self.act(front) {
            Ok(Act::Rows(rows)) => Ok(rows),
            Ok(Act::Run(text)) => {
                let store = self.session.store();
                store.and_then(|store| Ok(store.run(&text)?)).map_err(|error| Fault::from(&error))
            }
            Err(fault) => Err(fault),
        };
        let rows = match answer {
            Ok(rows) => rows,
            Err(fault) => return Ok(Err(fault)),
        };
        if let Err(fault) = self.look_at_transaction() {
            return Ok(Err(fault));
        }
        let mut reply = Reply::new(&mut self.wire, turn.form, self.state.flags(), turn.has_more);
        let done = reply.rows(&rows);
        if let Some(broken) = reply.broken() {
            return Err(broken);
        }
        Ok(done.map_err(|error| Fault::from(&SqlError::from(error))))
    }

    fn act(&mut self, front: Front) -> Result<Act, Fault> {
        let is_open = self.state.in_transaction;
        match front {
            Front::Nothing => {}
            Front::Autocommit(is_on) => {
                if is_on && is_open {
                    self.run("COMMIT")?;
                }
                self.state.autocommit = is_on;
            }
            Front::Begin => {
                if is_open {
                    self.run("COMMIT")?;
                    self.opened = Opened::default();
                }
                self.run("BEGIN")?;
            }
            Front::End(word) => {
                if is_open {
                    self.run(word)?;
                }
            }
            Front::Use(name) => self.select(&name)?,
            Front::Kill { id, is_query } => self.kill(id, is_query)?,
            Front::Select(asked) => return self.asked(&asked).map(Act::Rows),
            Front::Instead(text) => return Ok(Act::Run(text)),
            Front::Rows(rows) => return Ok(Act::Rows(rows)),
        }
        Ok(Act::Rows(RowSet::default()))
    }

    /// Makes a database the session's own.
    pub(super) fn select(&mut self, name: &str) -> Result<(), Fault> {
        if self.is_sqlite() {
            return if name.eq_ignore_ascii_case("main") {
                Ok(())
            } else {
                let text = format!("unknown database {name:?}: an SQLite store has one, main");
                Err(Fault::new(1049, *b"42000", text))
            };
        }
        let quoted = Dialect::Mysql.quote(name);
        self.run(&format!("USE {quoted}"))?;
        self.database = Some(name.to_owned());
        Ok(())
    }

    /// Ends the statement of a connection, and the connection too where not `is_query`.
    pub(super) fn kill(&self, id: u64, is_query: bool) -> Result<(), Fault> {
        let found = u32::try_from(id).ok().and_then(|id| self.hub.clients.end(id, !is_query));
        if let Some(running) = found {
            let ended = running.map_or(Ok(()), |running| running.kill());
            return ended.map_err(|error| Fault::from(&SqlError::from(error)));
        }
        let text = format!(
            "unknown connection {id}; connections of harness serve have numbers of their own"
        );
        Err(Fault::new(1094, *b"HY000", text))
    }

    fn asked(&self, asked: &[(String, Asked)]) -> Result<RowSet, Fault> {
        let cell = |asked: &Asked| {
            Ok(match asked {
                Asked::Database => Cell::Text("main".to_owned()),
                Asked::Version => Cell::Text(self.hub.version.clone()),
                Asked::ConnectionId => Cell::Int(i64::from(self.id)),
                Asked::User => Cell::Text("harness@localhost".to_owned()),
                Asked::Variable(name) if name.eq_ignore_ascii_case("autocommit") => {
                    Cell::Int(i64::from(self.state.autocommit))
                }
                Asked::Variable(name) if name.eq_ignore_ascii_case("version") => {
                    Cell::Text(self.hub.version.clone())
                }
                Asked::Variable(name) => front::variable(name).ok_or_else(|| {
                    Fault::new(1193, *b"HY000", format!("unknown system variable {name:?}"))
                })?,
            })
        };
        let cells = asked.iter().map(|(_, it)| cell(it)).collect::<Result<_, Fault>>()?;
        let columns = asked.iter().map(|(name, _)| name.clone()).collect();
        Ok(RowSet { columns, rows: vec![CellRow(cells)], affected: 0 })
    }

    /// The columns of a table.
    pub(super) fn columns_of(&mut self, table: &str) -> Result<Vec<Column>, Fault> {
        let mut found = Columns(Vec::new());
        let fail = |error: SqlError| Fault::from(&error);
        let store = self.session.store().map_err(fail)?;
        let sql = format!("SELECT * FROM {} LIMIT 0", store.dialect().quote(table));
        store.answer(&sql, None, &mut found).map_err(|error| fail(error.into()))?;
        Ok(found.0)
    }
}

fn of_store(error: StoreError) -> Fault {
    Fault::from(&SqlError::from(error))
}

/// What a front comes to.
enum Act {
    Rows(RowSet),
    /// The answer of this statement.
    Run(String),
}

/// Keeps the columns of an answer.
struct Columns(Vec<Column>);

impl Answers for Columns {
    fn columns(&mut self, columns: &[Column]) -> Result<(), StoreError> {
        self.0 = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, _row: &[Datum]) -> Result<(), StoreError> {
        Ok(())
    }

    fn done(&mut self, _done: Done) -> Result<(), StoreError> {
        Ok(())
    }
}
