//! One client: its commands, one after the other, on a session of its own.
//!
//! May touch: the client's wire, its session, the hub. Invariants: every command has its answer before the next
//! one is read; what a client leaves open is rolled back when it goes, however it goes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::Turn;
use super::bytes::Reader;
use super::clients::GUESTS_MAX;
use super::fault::Fault;
use super::handshake::{self, Door, can};
use super::hub::Hub;
use super::password::Salt;
use super::reply::{self, AUTOCOMMIT, Form, IN_TRANSACTION};
use super::statements::Statements;
use super::turn::{Opened, too_long};
use super::value::Bound;
use super::wire::{Wire, WireError};
use crate::sql::{self, Piece, SCRIPT_BYTES_MAX, Session};
use crate::store::{Column, Done, StoreUrl};

/// How long a client may be silent. Why 8 hours: the default of MySQL's `wait_timeout`.
const IDLE_WAIT: Duration = Duration::from_secs(28_800);

/// How long a client may be silent while it has a transaction open in an SQLite store. Why 120 s: the file has one
/// writer at a time, and every pipeline waits for it; a person who thinks about a statement takes less.
const TRANSACTION_WAIT: Duration = Duration::from_secs(120);

/// How long a transaction in an SQLite store may take, however busy its client is. Why 240 s: a pipeline waits five
/// minutes for its store (`retry.away.ms`), and fails then.
const TRANSACTION_MAX: Duration = Duration::from_secs(240);

/// How long a client may be silent, and hold an SQLite store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    pub(super) idle: Duration,
    pub(super) in_transaction: Duration,
    pub(super) transaction: Duration,
}

impl Waits {
    pub(super) const DEFAULT: Self =
        Self { idle: IDLE_WAIT, in_transaction: TRANSACTION_WAIT, transaction: TRANSACTION_MAX };
}

/// A client and everything that is its own.
pub(super) struct Connection {
    pub(super) id: u32,
    pub(super) wire: Wire,
    pub(super) hub: Arc<Hub>,
    pub(super) session: Session,
    pub(super) state: State,
    pub(super) opened: Opened,
    statements: Statements,
    /// What it calls itself, and where it is.
    who: String,
    can: u32,
    salt: Salt,
    /// The database that it has chosen.
    pub(super) database: Option<String>,
    address: IpAddr,
}

/// What clients are told of their session.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Statements outside a transaction commit by themselves.
    pub(super) autocommit: bool,
    pub(super) in_transaction: bool,
}

impl State {
    const START: Self = Self { autocommit: true, in_transaction: false };

    /// As packets have it.
    pub(super) fn flags(self) -> u16 {
        let auto = if self.autocommit { AUTOCOMMIT } else { 0 };
        auto | if self.in_transaction { IN_TRANSACTION } else { 0 }
    }
}

/// Serves a client until it goes.
///
/// # Errors
/// Why it went, where it did not say so.
pub(super) fn serve(
    hub: &Arc<Hub>,
    id: u32,
    mut wire: Wire,
    address: IpAddr,
) -> Result<(), WireError> {
    let door = Door { hub, id, address };
    let Some(guest) = handshake::welcome(&mut wire, &door)? else { return Ok(()) };
    if !hub.clients.seat(id) {
        let text = format!("harness serve has {GUESTS_MAX} connections already");
        wire.send(&reply::error(&Fault::new(1040, *b"08004", text)))?;
        return wire.flush();
    }
    let who = named(&guest.user, address);
    let mut connection = Connection {
        id,
        wire,
        hub: Arc::clone(hub),
        session: hub.session(Some(who.clone())),
        who,
        state: State::START,
        opened: Opened::default(),
        statements: Statements::default(),
        can: guest.can,
        salt: guest.salt,
        database: None,
        address,
    };
    if let Some(database) = guest.database
        && let Err(fault) = connection.select(&database)
    {
        connection.tell(&fault)?;
        return connection.wire.flush();
    }
    connection.ok()?;
    connection.wire.flush()?;
    loop {
        let limit = usize::try_from(SCRIPT_BYTES_MAX).unwrap_or(usize::MAX);
        let wait = connection.wait();
        let payload = match connection.wire.command(wait, limit) {
            Ok(payload) => payload,
            Err(WireError::Silent) => {
                // What is open is rolled back with the session.
                let is_over = connection.transaction_until().is_some_and(|it| Instant::now() >= it);
                let fault = if is_over {
                    too_long(hub.waits.transaction)
                } else {
                    let text = format!("nothing was sent for too long ({} s)", wait.as_secs());
                    Fault::new(4031, *b"HY000", text)
                };
                connection.tell(&fault)?;
                return connection.wire.flush();
            }
            Err(WireError::TooLarge(limit)) => {
                let text = format!("a statement has at most {limit} bytes");
                connection.tell(&Fault::new(1153, *b"08S01", text))?;
                return connection.wire.flush();
            }
            Err(WireError::Closed) if hub.control.is_draining() => {
                connection.tell(&Fault::new(1053, *b"08S01", "harness serve is stopping"))?;
                return connection.wire.flush();
            }
            Err(WireError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        };
        let goes_on = connection.command(&payload)?;
        connection.wire.flush()?;
        if !goes_on {
            return Ok(());
        }
    }
}

impl Connection {
    /// How long the next command may take to come.
    fn wait(&self) -> Duration {
        let holds_file =
            self.state.in_transaction && matches!(self.hub.options.store, StoreUrl::Sqlite { .. });
        let silent = if holds_file { self.hub.waits.in_transaction } else { self.hub.waits.idle };
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        self.transaction_until().map_or(silent, |until| silent.min(left(until)))
    }

    /// Does what a client wants. Answers whether the connection goes on.
    fn command(&mut self, payload: &[u8]) -> Result<bool, WireError> {
        let Some((code, rest)) = payload.split_first() else {
            return Err(WireError::Protocol("a command is empty"));
        };
        match code {
            // QUIT
            1 => return Ok(false),
            // INIT_DB
            2 => {
                let done = match std::str::from_utf8(rest) {
                    Ok(name) => self.select(name),
                    Err(_) => Err(not_utf8()),
                };
                match done {
                    Ok(()) => self.ok()?,
                    Err(fault) => return self.fails(&fault),
                }
            }
            3 => return self.query(rest),
            4 => return self.field_list(rest),
            // STATISTICS
            9 => {
                let text = self.hub.statistics();
                self.wire.send(text.as_bytes())?;
            }
            // PROCESS_KILL
            12 => {
                let id = u64::from(Reader::new(rest).u32()?);
                match self.kill(id, false) {
                    Ok(()) => self.ok()?,
                    Err(fault) => return self.fails(&fault),
                }
            }
            17 => return self.change_user(rest),
            // PING
            14 => self.ok()?,
            22 => return self.prepare(rest),
            23 => return self.execute(rest),
            // SEND_LONG_DATA and CLOSE have no answer.
            24 => self.statements.long_data(rest)?,
            25 => self.statements.close(rest)?,
            26 => match self.statements.reset(rest)? {
                Ok(()) => self.ok()?,
                Err(fault) => return self.fails(&fault),
            },
            // SET_OPTION: several statements at once, or not.
            27 => {
                match Reader::new(rest).u16()? {
                    0 => self.can |= can::MULTI_STATEMENTS,
                    _ => self.can &= !can::MULTI_STATEMENTS,
                }
                self.wire.send(&reply::end(self.state.flags(), 0))?;
            }
            // RESET_CONNECTION: the database rolls back what the old session has open.
            31 => {
                self.begin_anew();
                // The database is not among what is reset.
                let chosen = self.database.take();
                match chosen.map_or(Ok(()), |name| self.select(&name)) {
                    Ok(()) => self.ok()?,
                    Err(fault) => return self.fails(&fault),
                }
            }
            _ => {
                let text = format!("command {code} of the MySQL protocol is not known here");
                return self.fails(&Fault::new(1047, *b"08S01", text));
            }
        }
        Ok(true)
    }

    /// A session as a client has it that has just come.
    fn begin_anew(&mut self) {
        self.session = self.hub.session(Some(self.who.clone()));
        self.state = State::START;
        self.opened = Opened::default();
        self.statements.clear();
    }

    /// CHANGE_USER: the client proves anew that it knows the password, or has to go.
    fn change_user(&mut self, payload: &[u8]) -> Result<bool, WireError> {
        let hub = Arc::clone(&self.hub);
        let door = Door { hub: &hub, id: self.id, address: self.address };
        let known = (self.can, self.salt);
        let guest = match handshake::again(&mut self.wire, &door, payload, known)? {
            Ok(guest) => guest,
            Err(fault) => {
                self.tell(&fault)?;
                return Ok(false);
            }
        };
        self.who = named(&guest.user, self.address);
        self.begin_anew();
        self.database = None;
        match guest.database.map_or(Ok(()), |name| self.select(&name)) {
            Ok(()) => self.ok().map(|()| true),
            Err(fault) => self.fails(&fault),
        }
    }

    fn ok(&mut self) -> Result<(), WireError> {
        self.wire.send(&reply::ok(self.state.flags(), &Done::default()))
    }

    fn tell(&mut self, fault: &Fault) -> Result<(), WireError> {
        self.wire.send(&reply::error(fault))
    }

    /// Answers with an error. Tells whether the connection goes on.
    fn fails(&mut self, fault: &Fault) -> Result<bool, WireError> {
        self.tell(fault)?;
        Ok(!fault.is_fatal)
    }

    fn query(&mut self, text: &[u8]) -> Result<bool, WireError> {
        let Ok(text) = std::str::from_utf8(text) else { return self.fails(&not_utf8()) };
        // Old clients end a statement with a zero.
        let text = text.trim_end_matches('\0');
        let pieces = match sql::split("statement", text, &self.hub.options.store) {
            Ok(pieces) => pieces,
            Err(error) => return self.fails(&Fault::from(&error)),
        };
        if pieces.is_empty() {
            return self.fails(&Fault::new(1065, *b"42000", "the statement is empty"));
        }
        if pieces.len() > 1 && self.can & can::MULTI_STATEMENTS == 0 {
            return self.fails(&several());
        }
        let last = pieces.len() - 1;
        for (number, piece) in pieces.iter().enumerate() {
            let turn = Turn { form: Form::Text, params: None, has_more: number < last };
            if let Err(fault) = self.answer(text, piece, &turn)? {
                return self.fails(&fault);
            }
        }
        Ok(true)
    }

    fn prepare(&mut self, text: &[u8]) -> Result<bool, WireError> {
        let Ok(text) = std::str::from_utf8(text) else { return self.fails(&not_utf8()) };
        let prepared = self.one(text).and_then(|piece| {
            let params = self.parameters(&piece)?;
            self.statements.add(text.to_owned(), params)
        });
        let (id, params) = match prepared {
            Ok(prepared) => prepared,
            Err(fault) => return self.fails(&fault),
        };
        let mut packet = vec![0];
        packet.extend_from_slice(&id.to_le_bytes());
        // The columns are told with the answer, when they are known for certain.
        packet.extend_from_slice(&[0, 0]);
        packet.extend_from_slice(&params.to_le_bytes());
        packet.extend_from_slice(&[0, 0, 0]);
        self.wire.send(&packet)?;
        if params > 0 {
            for _ in 0..params {
                self.wire.send(&reply::column(&Column::text("?")))?;
            }
            self.wire.send(&reply::end(self.state.flags(), 0))?;
        }
        Ok(true)
    }

    /// The only statement of a text.
    fn one<'t>(&self, text: &'t str) -> Result<Piece<'t>, Fault> {
        let pieces = sql::split("statement", text, &self.hub.options.store);
        let mut pieces = pieces.map_err(|error| Fault::from(&error))?;
        match (pieces.pop(), pieces.is_empty()) {
            (Some(piece), true) => Ok(piece),
            (Some(_), false) => Err(several()),
            (None, _) => Err(Fault::new(1065, *b"42000", "the statement is empty")),
        }
    }

    fn execute(&mut self, payload: &[u8]) -> Result<bool, WireError> {
        let (text, values) = match self.statements.execute(payload)? {
            Ok(found) => found,
            Err(fault) => return self.fails(&fault),
        };
        let piece = match self.one(&text) {
            Ok(piece) => piece,
            Err(fault) => return self.fails(&fault),
        };
        let params: Vec<_> = values.iter().map(Bound::param).collect();
        let turn = Turn { form: Form::Binary, params: Some(&params), has_more: false };
        match self.answer(&text, &piece, &turn)? {
            Ok(()) => Ok(true),
            Err(fault) => self.fails(&fault),
        }
    }

    /// The columns of a table, as completion in old clients asks for them.
    fn field_list(&mut self, payload: &[u8]) -> Result<bool, WireError> {
        let Ok(table) = std::str::from_utf8(Reader::new(payload).terminated()) else {
            return self.fails(&not_utf8());
        };
        let columns = match self.columns_of(table) {
            Ok(columns) => columns,
            Err(fault) => return self.fails(&fault),
        };
        for column in &columns {
            let mut packet = reply::column(column);
            // No default value.
            packet.push(0xfb);
            self.wire.send(&packet)?;
        }
        self.wire.send(&reply::end(self.state.flags(), 0))?;
        Ok(true)
    }
}

/// A client, as the audit log has it.
fn named(user: &str, address: IpAddr) -> String {
    format!("{user:?} at {address}")
}

fn not_utf8() -> Fault {
    Fault::new(1300, *b"HY000", "a statement is text in UTF-8 (utf8mb4); this one is not")
}

fn several() -> Fault {
    let text = "these are several statements: send one at a time, or let the client turn on multi-statements";
    Fault::new(1064, *b"42000", text)
}

#[cfg(test)]
mod tests;
