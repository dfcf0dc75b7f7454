//! A MariaDB or MySQL server as a store.
//!
//! May touch: the `mysql` client and its connection. Invariants: the session is strict, in UTC, in UTF-8, and
//! commits by itself only outside a transaction; nothing reconnects; every reply is checked before
//! the next statement is sent.
//!
//! The client is built without TLS: reach the server over loopback, a private network or a tunnel.

mod answer;
mod classify;
mod load;

use std::sync::Arc;
use std::time::Duration;

use mysql::consts::{ColumnFlags, ColumnType};
use mysql::prelude::{Protocol, Queryable as _};
use mysql::{Conn, OptsBuilder, Params, QueryResult, Value};

use self::answer::Failed;
use self::classify::{SAVEPOINT_IS_GONE, classify, code_of};
use super::error::{StoreError, StoreErrorKind};
use super::url::{LoadMethod, Secret, ServerAddress};
use super::value::{Cell, CellRow, Param, RowSet};
use super::{ANSWER_ROWS_MAX, Answers, Dialect, Interrupt, Rows, Store};

/// How long a connection attempt may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long an answer may take.
///
/// Why 300 s: several times the lock wait of a server (50 s), so that only one that hangs is given up; a
/// commit given up is looked up afterwards.
const ANSWER_WAIT: Duration = Duration::from_secs(300);

/// When a silent connection is probed, in milliseconds. A dead server is noticed in about a minute.
const KEEPALIVE_MS: u32 = 20_000;
const KEEPALIVE_PROBE_S: u32 = 10;
const KEEPALIVE_PROBES: u32 = 4;

/// How long a server's machine may leave what was sent to it without an acknowledgement, in milliseconds.
///
/// Why: the probes above rest while something is under way, and the kernel would send it again for a quarter
/// of an hour. Why 75 s: a server that takes nothing more while it waits for a lock (50 s) is not dead.
const UNACKNOWLEDGED_MS: u32 = 75_000;

/// Prepared statements kept by a connection: the sizes of the multi-row insert and the catalogue's own.
const STATEMENTS_KEPT: usize = 128;

/// Bytes of a statement that are not bound values: header, types, lengths, the text of the longest insert.
const STATEMENT_OVERHEAD: usize = 64 * 1024;

/// Overhead of one bound value: its type (2), its length (up to 9), its bit in the NULL map.
const VALUE_OVERHEAD: usize = 12;

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
    /// Connects and sets the session up.
    pub(super) fn open(address: &ServerAddress) -> Result<Self, StoreError> {
        let shown = format!(
            "{}://{}@{}:{}/{}",
            address.scheme, address.user, address.host, address.port, address.database
        );
        let options = OptsBuilder::new()
            .ip_or_hostname(Some(address.host.clone()))
            .tcp_port(address.port)
            .user(Some(address.user.clone()))
            .pass(address.password.as_ref().map(Secret::expose))
            .db_name(Some(address.database.clone()))
            .prefer_socket(false)
            .tcp_nodelay(true)
            .tcp_connect_timeout(Some(CONNECT_WAIT))
            .read_timeout(Some(ANSWER_WAIT))
            .write_timeout(Some(ANSWER_WAIT))
            .tcp_keepalive_time_ms(Some(KEEPALIVE_MS))
            .tcp_keepalive_probe_interval_secs(Some(KEEPALIVE_PROBE_S))
            .tcp_keepalive_probe_count(Some(KEEPALIVE_PROBES))
            .tcp_user_timeout_ms(Some(UNACKNOWLEDGED_MS))
            .stmt_cache_size(STATEMENTS_KEPT);
        let fail = |error: &mysql::Error| classify(&shown, error).context("connect to the store");
        let mut conn = Conn::new(options).map_err(|error| fail(&error))?;
        let version: Option<(String, usize)> = conn
            .query_first("SELECT VERSION(), @@max_allowed_packet")
            .map_err(|error| fail(&error))?;
        let Some((version, packet_bytes_max)) = version else {
            return Err(StoreError::internal(format!("{shown} did not say its version")));
        };
        let dialect = if version.to_ascii_lowercase().contains("mariadb") {
            Dialect::Mariadb
        } else {
            Dialect::Mysql
        };
        for statement in session(dialect) {
            match conn.query_drop(statement) {
                Ok(()) => {}
                // Old servers lack some variables; what they guard is then the server's default.
                Err(error) if code_of(&error) == Some(classify::UNKNOWN_VARIABLE) => {}
                Err(error) => return Err(fail(&error)),
            }
        }
        Ok(Self { conn, dialect, address: address.clone(), shown, packet_bytes_max })
    }

    fn fail(&self, error: &mysql::Error) -> StoreError {
        classify(&self.shown, error)
    }

    /// Bytes of bound values that fit into one statement.
    fn values_bytes_max(&self) -> usize {
        // Half of a packet stays usable where the limit itself is tiny.
        let overhead = STATEMENT_OVERHEAD.min(self.packet_bytes_max / 2);
        self.packet_bytes_max - overhead
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

/// What every session starts with. Each matters: without strict mode a value that does not fit is cut, with
/// another time zone the views' times move, another isolation changes what a locked read sees.
fn session(dialect: Dialect) -> Vec<&'static str> {
    let mut statements = vec![
        "SET NAMES utf8mb4",
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,\
         ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
        "SET SESSION time_zone = '+00:00'",
        "SET SESSION autocommit = 1",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET SESSION unique_checks = 1, foreign_key_checks = 1",
    ];
    if dialect == Dialect::Mariadb {
        // A host that vanished without closing its connection must not hold its row locks for hours.
        statements.push("SET SESSION idle_transaction_timeout = 120");
        statements.push("SET SESSION check_constraint_checks = 1");
    }
    statements
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
    fn in_transaction(&mut self) -> Result<bool, StoreError> {
        match self.conn.query_drop("RELEASE SAVEPOINT s2x") {
            Ok(()) => {}
            Err(error) if code_of(&error) == Some(SAVEPOINT_IS_GONE) => return Ok(false),
            Err(error) => return Err(self.fail(&error)),
        }
        self.conn.query_drop("SAVEPOINT s2x").map_err(|error| self.fail(&error))?;
        Ok(true)
    }

    fn load_method(&self) -> LoadMethod {
        self.address.load
    }
}

/// Ends what a connection does by a second one.
struct Killer {
    address: ServerAddress,
    id: u32,
}

impl Interrupt for Killer {
    fn interrupt(&self) -> Result<(), StoreError> {
        let mut store = MysqlStore::open(&self.address)?;
        match store.conn.query_drop(format!("KILL QUERY {}", self.id)) {
            // It has ended by itself.
            Err(error) if code_of(&error) == Some(classify::NO_SUCH_THREAD) => Ok(()),
            done => done.map_err(|error| store.fail(&error)),
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

/// Reads the first result and drains the others. One row above the limit is kept as the sign of it.
fn collect<T: Protocol>(mut result: QueryResult<'_, '_, '_, T>) -> Result<RowSet, mysql::Error> {
    // Read first: the counter belongs to the result that iterating leaves behind.
    let mut answer = RowSet { affected: result.affected_rows(), ..RowSet::default() };
    let columns: Vec<(String, Shape)> = result
        .columns()
        .as_ref()
        .iter()
        .map(|column| (column.name_str().into_owned(), Shape::of(column)))
        .collect();
    if let Some(rows) = result.iter() {
        for row in rows {
            let values = row?.unwrap();
            if answer.rows.len() <= ANSWER_ROWS_MAX {
                let cells = values
                    .into_iter()
                    .zip(columns.iter().map(|(_, shape)| *shape))
                    .map(|(value, shape)| cell(value, shape))
                    .collect();
                answer.rows.push(CellRow(cells));
            }
        }
    }
    answer.columns = columns.into_iter().map(|(name, _)| name).collect();
    while let Some(rest) = result.iter() {
        for row in rest {
            row?;
        }
    }
    Ok(answer)
}

fn require_all(answer: RowSet) -> Result<RowSet, StoreError> {
    if answer.rows.len() <= ANSWER_ROWS_MAX {
        return Ok(answer);
    }
    Err(StoreError::new(
        StoreErrorKind::Resource,
        format!("the answer has more than {ANSWER_ROWS_MAX} rows; add a LIMIT"),
    ))
}

/// What the text of a value in a column stands for: a statement without parameters answers in text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Bytes,
    Int,
    Real,
    Text,
}

impl Shape {
    /// Raw bytes are a string type in the binary character set. Numbers and dates say "binary" too,
    /// JSON is text in any case, and so is a decimal, which no float may touch.
    fn of(column: &mysql::Column) -> Self {
        const BINARY_CHARACTER_SET: u16 = 63;
        match column.column_type() {
            ColumnType::MYSQL_TYPE_TINY
            | ColumnType::MYSQL_TYPE_SHORT
            | ColumnType::MYSQL_TYPE_INT24
            | ColumnType::MYSQL_TYPE_LONG
            | ColumnType::MYSQL_TYPE_LONGLONG
            | ColumnType::MYSQL_TYPE_YEAR => Self::Int,
            ColumnType::MYSQL_TYPE_FLOAT | ColumnType::MYSQL_TYPE_DOUBLE => Self::Real,
            ColumnType::MYSQL_TYPE_VARCHAR
            | ColumnType::MYSQL_TYPE_VAR_STRING
            | ColumnType::MYSQL_TYPE_STRING
            | ColumnType::MYSQL_TYPE_TINY_BLOB
            | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
            | ColumnType::MYSQL_TYPE_LONG_BLOB
            | ColumnType::MYSQL_TYPE_BLOB
                if column.character_set() == BINARY_CHARACTER_SET
                    && column.flags().contains(ColumnFlags::BINARY_FLAG) =>
            {
                Self::Bytes
            }
            _ => Self::Text,
        }
    }

    fn read(self, text: String) -> Cell {
        let number = match self {
            Self::Int => text.parse().ok().map(Cell::Int),
            Self::Real => text.parse().ok().map(Cell::Real),
            Self::Bytes | Self::Text => None,
        };
        number.unwrap_or(Cell::Text(text))
    }
}

fn cell(value: Value, shape: Shape) -> Cell {
    match value {
        Value::NULL => Cell::Null,
        Value::Bytes(bytes) if shape == Shape::Bytes => Cell::Bytes(bytes),
        Value::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => shape.read(text),
            Err(error) => Cell::Bytes(error.into_bytes()),
        },
        Value::Int(number) => Cell::Int(number),
        Value::UInt(number) => {
            i64::try_from(number).map_or_else(|_| Cell::Text(number.to_string()), Cell::Int)
        }
        Value::Float(number) => Cell::Real(f64::from(number)),
        Value::Double(number) => Cell::Real(number),
        Value::Date(year, month, day, hour, minute, second, micros) => Cell::Text(format!(
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}"
        )),
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            Cell::Text(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}"))
        }
    }
}

#[cfg(test)]
mod tests;
