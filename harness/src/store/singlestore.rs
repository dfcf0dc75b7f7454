//! A SingleStore cluster as a store.
//!
//! May touch: the `mysql` client and its connections. Invariants: statements are text, since SingleStore prepares
//! only some; between `begin` and `commit` nothing commits by itself; nothing reconnects; every reply is checked
//! before the next statement is sent.
//!
//! What is sent follows SingleStore's documentation: "LOAD DATA", "Load Avro Files with LOAD DATA", "Unsupported
//! MySQL Features". What of it ran against a live cluster is said in the README.

mod literal;
mod load;

use mysql::Conn;
use mysql::prelude::Queryable as _;

use super::error::{StoreError, StoreErrorKind};
use super::mysql::answer::{Failed, hand_over};
use super::mysql::classify::classify;
use super::mysql::connect::{self, Opened};
use super::mysql::rows::{collect, require_all};
use super::url::{LoadMethod, ServerAddress};
use super::value::{Param, RowSet};
use super::{Answers, Dialect, Rows, Store, Transaction, warnings};

/// First words of the statements that define things; they belong to the master aggregator.
const DEFINING: [&str; 5] = ["CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME"];

/// Bytes of a statement that are not its values: names and marks.
const STATEMENT_OVERHEAD: usize = 64 * 1024;

/// Bytes of a packet that are not the statement's text.
const PACKET_OVERHEAD: usize = 16;

/// One connection to an aggregator, and one more for definitions where the address names another endpoint.
pub(super) struct SingleStoreStore {
    conn: Conn,
    ddl: Option<Conn>,
    address: ServerAddress,
    /// The address as it may be shown: without the password.
    shown: String,
    /// The largest statement that the server accepts, read at connect (E14).
    packet_bytes_max: usize,
    /// Whether this session was told not to commit by itself.
    is_manual: bool,
    /// Whether the session is not as it should be: nothing is sent any more.
    is_spent: bool,
}

impl SingleStoreStore {
    /// On a connection whose session is set up.
    pub(super) fn new(address: &ServerAddress, opened: Opened) -> Self {
        let Opened { conn, shown, packet_bytes_max, .. } = opened;
        let address = address.clone();
        Self {
            conn,
            ddl: None,
            address,
            shown,
            packet_bytes_max,
            is_manual: false,
            is_spent: false,
        }
    }

    fn fail(&self, error: &mysql::Error) -> StoreError {
        classify(&self.shown, error)
    }

    /// Puts values into a statement and refuses one that would make the server drop the connection (E14).
    fn filled(&self, sql: &str, params: &[Param<'_>]) -> Result<String, StoreError> {
        let text = literal::fill(sql, params)?;
        let max = self.packet_bytes_max.saturating_sub(PACKET_OVERHEAD);
        if text.len() <= max {
            return Ok(text);
        }
        Err(StoreError::new(
            StoreErrorKind::TooLarge { row: None },
            format!(
                "a statement of {} bytes is larger than {} accepts; raise max_allowed_packet ({} \
                 bytes) there",
                text.len(),
                self.shown,
                self.packet_bytes_max
            ),
        ))
    }

    /// The connection that a statement goes over.
    fn conn_for(&mut self, sql: &str) -> Result<&mut Conn, StoreError> {
        if self.is_spent {
            let text = format!("{}: the connection is of no use any more", self.shown);
            return Err(StoreError::new(StoreErrorKind::Transient, text));
        }
        let Some(endpoint) = self.address.options.ddl.as_ref().filter(|_| defines(sql)) else {
            return Ok(&mut self.conn);
        };
        let conn = match self.ddl.take() {
            Some(conn) => conn,
            None => connect::open(&self.address, endpoint)?.conn,
        };
        Ok(self.ddl.insert(conn))
    }

    fn send(&mut self, sql: &str) -> Result<(), StoreError> {
        let sent = self.conn_for(sql)?.query_drop(sql);
        sent.map_err(|error| self.fail(&error))
    }

    /// Lets the session commit by itself again, where it was told not to. What it was told before has been
    /// done whatever this comes to.
    fn commit_by_itself(&mut self) {
        if self.is_manual {
            self.is_manual = false;
            self.is_spent = self.send("SET SESSION autocommit = 1").is_err();
        }
    }
}

/// Whether a statement defines something.
fn defines(sql: &str) -> bool {
    let first = sql.split_whitespace().next().unwrap_or_default();
    DEFINING.iter().any(|word| first.eq_ignore_ascii_case(word))
}

impl Store for SingleStoreStore {
    fn dialect(&self) -> Dialect {
        Dialect::SingleStore
    }

    fn database(&self) -> &str {
        &self.address.database
    }

    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        let text = self.filled(sql, params)?;
        let conn = self.conn_for(&text)?;
        let done = conn.query_drop(text).map(|()| conn.affected_rows());
        done.map_err(|error| self.fail(&error))
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowSet, StoreError> {
        let text = self.filled(sql, params)?;
        self.run(&text)
    }

    fn run(&mut self, sql: &str) -> Result<RowSet, StoreError> {
        let answered = self.conn_for(sql)?.query_iter(sql).and_then(collect);
        answered.map_err(|error| self.fail(&error)).and_then(require_all)
    }

    fn answer(
        &mut self,
        sql: &str,
        params: Option<&[Param<'_>]>,
        to: &mut dyn Answers,
    ) -> Result<(), StoreError> {
        let text = match params {
            Some(params) => self.filled(sql, params)?,
            None => sql.to_owned(),
        };
        let done = self
            .conn_for(&text)?
            .query_iter(&text)
            .map_err(Failed::Server)
            .and_then(|result| hand_over(result, params.is_some(), to));
        done.map_err(|failed| match failed {
            Failed::Server(error) => self.fail(&error),
            Failed::Client(error) => error,
        })
    }

    fn parameters(&mut self, sql: &str) -> Result<usize, StoreError> {
        Ok(literal::count(sql))
    }

    fn confine(&mut self) -> Result<(), StoreError> {
        // What its user may do is the server's business.
        Ok(())
    }

    fn shown(&self) -> String {
        self.shown.clone()
    }

    /// Half of what is left beside the statement's own text: a literal has up to two bytes for one.
    fn values_bytes_max(&self) -> usize {
        let overhead = STATEMENT_OVERHEAD.min(self.packet_bytes_max / 2);
        (self.packet_bytes_max - overhead) / 2
    }

    /// Its documentation has the list and not the count.
    fn warning(&mut self) -> Result<Option<StoreError>, StoreError> {
        let listed: Vec<(String, u16, String)> =
            self.conn.query("SHOW WARNINGS").map_err(|error| self.fail(&error))?;
        let listed = listed.into_iter().take(warnings::WARNINGS_MAX);
        let codes: Vec<u16> = listed.map(|(_, code, _)| code).collect();
        Ok((!codes.is_empty()).then(|| warnings::judge(&self.shown, &codes)))
    }

    /// Opens a transaction in a session that commits nothing by itself: where the server ends it without telling,
    /// what follows waits for a `COMMIT` that is not sent (E3).
    fn begin(&mut self) -> Result<(), StoreError> {
        self.is_manual = true;
        self.send("SET SESSION autocommit = 0")?;
        self.send("START TRANSACTION")
    }

    fn load(
        &mut self,
        table: &str,
        rows: &dyn Rows,
        method: LoadMethod,
    ) -> Result<u64, StoreError> {
        match method {
            LoadMethod::Insert => self.load_by_insert(table, rows),
            LoadMethod::LoadData => self.load_container(table, rows),
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.send("COMMIT")?;
        self.commit_by_itself();
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), StoreError> {
        self.send("ROLLBACK")?;
        self.commit_by_itself();
        Ok(())
    }

    /// SingleStore has no savepoint to ask for, and the client library keeps the server's flag to itself.
    fn in_transaction(&mut self) -> Result<Transaction, StoreError> {
        Ok(if self.is_manual { Transaction::Untold } else { Transaction::Ended })
    }

    fn load_method(&self) -> LoadMethod {
        self.address.options.load.unwrap_or(LoadMethod::LoadData)
    }
}
