//! A MariaDB or MySQL server as a store.
//!
//! May touch: the `mysql` client and its connection. Invariants: the session is strict, in UTC, in UTF-8, and
//! commits by itself only outside a transaction; nothing reconnects; every reply is checked before
//! the next statement is sent.

pub(super) mod answer;
pub(super) mod classify;
pub(super) mod connect;
pub(super) mod load;
pub(super) mod rows;

use std::sync::Arc;

use mysql::prelude::Queryable as _;
use mysql::{Conn, Params, Value};

use self::answer::Failed;
use self::classify::{SAVEPOINT_IS_GONE, classify, code_of};
use self::connect::Opened;
use self::rows::{collect, require_all};
use super::error::{StoreError, StoreErrorKind};
use super::url::{LoadMethod, ServerAddress};
use super::value::{Param, RowSet};
use super::{Answers, Dialect, Interrupt, Rows, Store, Transaction, VALUE_OVERHEAD, warnings};

/// Bytes of a statement that are not bound values: header, types, lengths, the text of the longest insert.
const STATEMENT_OVERHEAD: usize = 64 * 1024;

/// One connection to a server.
pub(super) struct MysqlStore {
    conn: Conn,
    dialect: Dialect,
    address: ServerAddress,
    /// The address as it may be shown: without the password.
    shown: String,
    /// The largest statement the server accepts, read at connect (E14).
    packet_bytes_max: usize,
}

impl MysqlStore {
    /// On a connection whose session is set up.
    pub(super) fn new(address: &ServerAddress, opened: Opened) -> Self {
        let Opened { conn, dialect, shown, packet_bytes_max } = opened;
        Self { conn, dialect, address: address.clone(), shown, packet_bytes_max }
    }

    fn fail(&self, error: &mysql::Error) -> StoreError {
        classify(&self.shown, error)
    }

    /// Refuses values that would make the server drop the connection (E14).
    fn require_fits(&self, params: &[Param<'_>]) -> Result<(), StoreError> {
        let bytes: usize = params.iter().map(|param| param_len(*param) + VALUE_OVERHEAD).sum();
        if bytes <= self.values_bytes_max() {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::TooLarge { row: None },
            format!(
                "a statement of {bytes} bytes is larger than {} accepts; raise max_allowed_packet \
                 ({} bytes) there",
                self.shown, self.packet_bytes_max
            ),
        ))
    }
}

impl Store for MysqlStore {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn database(&self) -> &str {
        &self.address.database
    }

    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        // Some statements cannot be prepared; those carry no values.
        let done = if params.is_empty() {
            self.conn.query_drop(sql)
        } else {
            self.require_fits(params)?;
            self.conn.exec_drop(sql, bind(params))
        };
        done.map_err(|error| self.fail(&error))?;
        Ok(self.conn.affected_rows())
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowSet, StoreError> {
        self.require_fits(params)?;
        let answered = self.conn.exec_iter(sql, bind(params)).and_then(collect);
        answered.map_err(|error| self.fail(&error)).and_then(require_all)
    }

    fn run(&mut self, sql: &str) -> Result<RowSet, StoreError> {
        let answered = self.conn.query_iter(sql).and_then(collect);
        answered.map_err(|error| self.fail(&error)).and_then(require_all)
    }

    fn answer(
        &mut self,
        sql: &str,
        params: Option<&[Param<'_>]>,
        to: &mut dyn Answers,
    ) -> Result<(), StoreError> {
        let prepared = match params {
            Some(params) => {
                self.require_fits(params)?;
                match self.conn.prep(sql) {
                    Ok(statement) => Some((statement, params)),
                    // Not every statement can be prepared; those have no values.
                    Err(error) if code_of(&error) == Some(classify::NOT_PREPARED) => None,
                    Err(error) => return Err(self.fail(&error)),
                }
            }
            None => None,
        };
        let as_text = params.is_some();
        let done = match prepared {
            Some((statement, params)) => self
                .conn
                .exec_iter(statement, bind(params))
                .map_err(Failed::Server)
                .and_then(|result| answer::hand_over(result, false, to)),
            None => self
                .conn
                .query_iter(sql)
                .map_err(Failed::Server)
                .and_then(|result| answer::hand_over(result, as_text, to)),
        };
        done.map_err(|failed| match failed {
            Failed::Server(error) => self.fail(&error),
            Failed::Client(error) => error,
        })
    }

    fn parameters(&mut self, sql: &str) -> Result<usize, StoreError> {
        match self.conn.prep(sql) {
            Ok(statement) => Ok(usize::from(statement.num_params())),
            Err(error) if code_of(&error) == Some(classify::NOT_PREPARED) => Ok(0),
            Err(error) => Err(self.fail(&error)),
        }
    }

    fn confine(&mut self) -> Result<(), StoreError> {
        // What its user may do is the server's business.
        Ok(())
    }

    fn interrupter(&self) -> Option<Arc<dyn Interrupt>> {
        let (address, id) = (self.address.clone(), self.conn.connection_id());
        Some(Arc::new(Killer { address, id }))
    }

    fn shown(&self) -> String {
        self.shown.clone()
    }

    fn values_bytes_max(&self) -> usize {
        // Half of a packet stays usable where the limit itself is tiny.
        let overhead = STATEMENT_OVERHEAD.min(self.packet_bytes_max / 2);
        self.packet_bytes_max - overhead
    }

    fn warning(&mut self) -> Result<Option<StoreError>, StoreError> {
        if self.conn.warnings() == 0 {
            return Ok(None);
        }
        let sql = format!("SHOW WARNINGS LIMIT {}", warnings::WARNINGS_MAX);
        let listed: Vec<(String, u16, String)> =
            self.conn.query(sql).map_err(|error| self.fail(&error))?;
        let codes: Vec<u16> = listed.into_iter().map(|(_, code, _)| code).collect();
        Ok(Some(warnings::judge(&self.shown, &codes)))
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        let begun = self.conn.query_drop("START TRANSACTION");
        begun
            .and_then(|()| self.conn.query_drop("SAVEPOINT s2x"))
            .map_err(|error| self.fail(&error))
    }

    fn load(
        &mut self,
        table: &str,
        rows: &dyn Rows,
        method: LoadMethod,
    ) -> Result<u64, StoreError> {
        match method {
            LoadMethod::Insert => self.load_by_insert(table, rows),
            LoadMethod::LoadData => self.load_by_file(table, rows),
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.conn.query_drop("COMMIT").map_err(|error| self.fail(&error))
    }

    fn rollback(&mut self) -> Result<(), StoreError> {
        self.conn.query_drop("ROLLBACK").map_err(|error| self.fail(&error))
    }

    /// Asks for the savepoint that [`Store::begin`] set. A transaction that the server ended took its
    /// savepoints along, so this says more than the in-transaction flag: another transaction that was
    /// opened since does not pass for this one.
    fn in_transaction(&mut self) -> Result<Transaction, StoreError> {
        match self.conn.query_drop("RELEASE SAVEPOINT s2x") {
            Ok(()) => {}
            Err(error) if code_of(&error) == Some(SAVEPOINT_IS_GONE) => {
                return Ok(Transaction::Ended);
            }
            Err(error) => return Err(self.fail(&error)),
        }
        self.conn.query_drop("SAVEPOINT s2x").map_err(|error| self.fail(&error))?;
        Ok(Transaction::Open)
    }

    fn load_method(&self) -> LoadMethod {
        self.address.options.load.unwrap_or(LoadMethod::Insert)
    }
}

/// Ends what a connection does by a second one.
struct Killer {
    address: ServerAddress,
    id: u32,
}

impl Interrupt for Killer {
    fn interrupt(&self) -> Result<(), StoreError> {
        let mut opened = connect::open(&self.address, &self.address.endpoint)?;
        match opened.conn.query_drop(format!("KILL QUERY {}", self.id)) {
            // It has ended by itself.
            Err(error) if code_of(&error) == Some(classify::NO_SUCH_THREAD) => Ok(()),
            done => done.map_err(|error| classify(&opened.shown, &error)),
        }
    }
}

fn param_len(param: Param<'_>) -> usize {
    match param {
        Param::Null => 0,
        Param::Int(_) | Param::Real(_) => 8,
        Param::Text(text) => text.len(),
        Param::Bytes(bytes) => bytes.len(),
    }
}

fn bind(params: &[Param<'_>]) -> Params {
    if params.is_empty() {
        return Params::Empty;
    }
    Params::Positional(
        params
            .iter()
            .map(|param| match param {
                Param::Null => Value::NULL,
                Param::Int(number) => Value::Int(*number),
                Param::Real(number) => Value::Double(*number),
                Param::Text(text) => Value::Bytes(text.as_bytes().to_vec()),
                Param::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests;
