//! Where rows and offsets are kept: one connection behind a small trait.
//!
//! May touch: the database clients, in `store/*` alone; no client type leaves them. The statements that make
//! a load exactly once are written over the trait, in `catalogue` and `transaction`, so that stores
//! differ in the verbs only. Invariant: nothing here retries or reconnects by itself; an error goes up.

mod answer;
mod container;
mod error;
mod functions;
mod mysql;
mod singlestore;
mod sqlite;
mod table;
mod url;
mod value;
mod warnings;

use std::sync::Arc;
use std::time::Instant;

pub use answer::{Answers, CHARSET_BINARY, CHARSET_TEXT, Column, Datum, Done, flag, gone, kind};
pub use container::Container;
pub use error::{MESSAGE_CHARS_MAX, ServerCode, StoreError, StoreErrorKind};
pub use functions::SERVER_FUNCTIONS;
pub(crate) use table::{STATIC_COLUMNS, is_there};
pub use table::{
    TABLE_NAME_CHARS_MAX, check_table, create_static_table, require_transactional, static_table_ddl,
};
pub use url::{
    ACCEPTED_FORMS, Compression, ENDPOINTS_MAX, Endpoint, LoadMethod, Options, Secret,
    ServerAddress, StoreUrl, Tls, TlsCheck, URL_LEN_MAX,
};
pub use value::{Cell, CellRow, Param, RowSet};

/// What one bound value takes beside its own bytes: in a packet of the MySQL protocol its type (2), its length (up to
/// 9) and its bit in the NULL map; less as a literal.
pub(crate) const VALUE_OVERHEAD: usize = 12;

/// Most rows that one answer may hold.
///
/// Why a million: an answer is kept in memory; the catalogue's own answers are far smaller, and a person
/// who asks for more wants a file instead.
pub const ANSWER_ROWS_MAX: usize = 1_000_000;

/// The SQL that a store understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// An SQLite file.
    Sqlite,
    /// MySQL 8.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// SingleStore.
    SingleStore,
}

impl Dialect {
    /// A name quoted for this dialect.
    pub fn quote(self, name: &str) -> String {
        match self {
            Self::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::Mysql | Self::Mariadb | Self::SingleStore => {
                format!("`{}`", name.replace('`', "``"))
            }
        }
    }

    /// Whether a part of a transaction can be undone. SingleStore's documentation has no savepoint.
    pub(crate) fn has_savepoints(self) -> bool {
        match self {
            Self::Sqlite | Self::Mysql | Self::Mariadb => true,
            Self::SingleStore => false,
        }
    }

    /// What makes a SELECT lock the rows that it reads; SQLite's write transactions lock the whole file.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Mysql | Self::Mariadb | Self::SingleStore => " FOR UPDATE",
        }
    }
}

/// One row of the static table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// The topic or stream that the record came from.
    pub topic: &'a str,
    /// The record's key as JSON text.
    pub id: &'a str,
    /// The record as JSON text.
    pub record: &'a str,
}

/// What a row is handed to.
pub type RowSink<'s> = dyn FnMut(RowRef<'_>) -> Result<(), StoreError> + 's;

/// Rows that can be gone through again after a rollback.
pub trait Rows {
    /// Hands every row over in order and stops at the first error.
    ///
    /// # Errors
    /// Whatever `sink` or the source of the rows reports.
    fn for_each(&self, sink: &mut RowSink<'_>) -> Result<(), StoreError>;

    /// The same rows as the container that they came in, for a store that takes one; `None` where they did
    /// not come so.
    fn container(&self) -> Option<Container> {
        None
    }
}

impl Rows for &[RowRef<'_>] {
    fn for_each(&self, sink: &mut RowSink<'_>) -> Result<(), StoreError> {
        self.iter().try_for_each(|row| sink(*row))
    }
}

/// Where the transaction that [`Store::begin`] opened stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// It is open.
    Open,
    /// The server ended it, or there was none.
    Ended,
    /// This server does not say. Nothing commits by itself all the same; whether what was written is still
    /// there says the rest.
    Untold,
}

/// One connection to a database.
///
/// After any error inside a transaction the caller rolls back and drops the connection: what the server
/// still holds is unknown.
pub trait Store: Send {
    /// The SQL it understands.
    fn dialect(&self) -> Dialect;

    /// The database's name, as the views show it.
    fn database(&self) -> &str;

    /// Runs one statement with bound values and answers how many rows it changed.
    ///
    /// # Errors
    /// The database refuses it or the connection is lost.
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError>;

    /// Runs one statement with bound values and answers its rows.
    ///
    /// # Errors
    /// The database refuses it, the connection is lost, or there are more than [`ANSWER_ROWS_MAX`] rows.
    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowSet, StoreError>;

    /// Runs the text of one statement as it is, for statements that a person typed.
    ///
    /// # Errors
    /// As [`Store::query`].
    fn run(&mut self, sql: &str) -> Result<RowSet, StoreError>;

    /// Runs one statement and hands its answer over as it comes: as [`Store::run`] without `params`, as a
    /// prepared one with them.
    ///
    /// # Errors
    /// As [`Store::execute`]; or `to` refuses to take more.
    fn answer(
        &mut self,
        sql: &str,
        params: Option<&[Param<'_>]>,
        to: &mut dyn Answers,
    ) -> Result<(), StoreError>;

    /// How many `?` a statement has. One that cannot be prepared has none.
    ///
    /// # Errors
    /// The database refuses the statement.
    fn parameters(&mut self, sql: &str) -> Result<usize, StoreError>;

    /// From now on no statement of this connection reaches another file of this machine, or, where the database
    /// is a file, writes the catalogue.
    ///
    /// # Errors
    /// The database library refuses.
    fn confine(&mut self) -> Result<(), StoreError>;

    /// What ends the statement that this connection runs, from another thread; `None` where nothing can.
    fn interrupter(&self) -> Option<Arc<dyn Interrupt>> {
        None
    }

    /// From now on a statement is ended when this moment has come. For a database that has one writer at a time;
    /// others leave it.
    ///
    /// # Errors
    /// The database library refuses.
    fn end_statements_at(&mut self, _until: Option<Instant>) -> Result<(), StoreError> {
        Ok(())
    }

    /// The database as errors name it: without a password.
    fn shown(&self) -> String;

    /// Bytes of bound values that one statement takes, each counted with `VALUE_OVERHEAD` (E14).
    fn values_bytes_max(&self) -> usize;

    /// What the server warned of in the statement before, as an error: of kind `Data` only where it changed a value.
    /// A database that does not warn has none.
    ///
    /// # Errors
    /// The connection is lost.
    fn warning(&mut self) -> Result<Option<StoreError>, StoreError>;

    /// Opens a transaction that may write.
    ///
    /// # Errors
    /// The database refuses it or the connection is lost.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Appends rows to a table of the static shape and answers how many the database took.
    ///
    /// # Errors
    /// The database refuses a row, or the connection is lost.
    fn load(&mut self, table: &str, rows: &dyn Rows, method: LoadMethod)
    -> Result<u64, StoreError>;

    /// Commits. After an error the outcome is unknown.
    ///
    /// # Errors
    /// The database refuses it or the connection is lost.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Rolls back; harmless without a transaction.
    ///
    /// # Errors
    /// The connection is lost, which rolls back too.
    fn rollback(&mut self) -> Result<(), StoreError>;

    /// Where the transaction that [`Store::begin`] opened stands. A server may end one without
    /// telling (a deadlock, a statement that commits implicitly).
    ///
    /// # Errors
    /// The connection is lost.
    fn in_transaction(&mut self) -> Result<Transaction, StoreError>;

    /// How rows are sent unless a caller asks for the checked way.
    fn load_method(&self) -> LoadMethod {
        LoadMethod::Insert
    }
}

/// Ends the statement that a connection runs, whatever thread that is on. Without one it does nothing.
pub trait Interrupt: Send + Sync {
    /// Ends it; the statement's own answer says that it was.
    ///
    /// # Errors
    /// The database cannot be told.
    fn interrupt(&self) -> Result<(), StoreError>;
}

/// Opens connections; the fault tests open connections that break on purpose.
pub trait Connect: Send + Sync {
    /// A new connection.
    ///
    /// # Errors
    /// The address is wrong, the login is refused, or the database is not there.
    fn connect(&self) -> Result<Box<dyn Store>, StoreError>;
}

impl Connect for StoreUrl {
    fn connect(&self) -> Result<Box<dyn Store>, StoreError> {
        connect(self)
    }
}

/// A store that is looked at: it is opened as always, and for reading alone where this user may not
/// write its file.
#[derive(Debug, Clone)]
pub struct ToRead(pub StoreUrl);

impl Connect for ToRead {
    fn connect(&self) -> Result<Box<dyn Store>, StoreError> {
        match &self.0 {
            StoreUrl::Sqlite { path } => Ok(Box::new(sqlite::SqliteStore::open_to_read(path)?)),
            StoreUrl::Server(_) => connect(&self.0),
        }
    }
}

/// A store that is looked at and must stay as it is to the byte: an SQLite file is opened for reading
/// alone, and is not made.
#[derive(Debug, Clone)]
pub(crate) struct Untouched(pub(crate) StoreUrl);

impl Connect for Untouched {
    fn connect(&self) -> Result<Box<dyn Store>, StoreError> {
        match &self.0 {
            StoreUrl::Sqlite { path } => Ok(Box::new(sqlite::SqliteStore::open_untouched(path)?)),
            StoreUrl::Server(_) => connect(&self.0),
        }
    }
}

/// Opens one connection.
///
/// # Errors
/// The address is wrong, the login is refused, or the database is not there.
pub fn connect(url: &StoreUrl) -> Result<Box<dyn Store>, StoreError> {
    match url {
        StoreUrl::Sqlite { path } => Ok(Box::new(sqlite::SqliteStore::open(path)?)),
        StoreUrl::Server(address) => server(address),
    }
}

/// Opens one connection to the first endpoint that answers, from one drawn at random on, so that several
/// aggregators share the work.
fn server(address: &ServerAddress) -> Result<Box<dyn Store>, StoreError> {
    let mut endpoints: Vec<&Endpoint> =
        std::iter::once(&address.endpoint).chain(&address.others).collect();
    let first = fastrand::usize(..endpoints.len());
    endpoints.rotate_left(first);
    let mut refused = None;
    for endpoint in endpoints {
        match mysql::connect::open(address, endpoint) {
            Ok(opened) if opened.dialect == Dialect::SingleStore => {
                return Ok(Box::new(singlestore::SingleStoreStore::new(address, opened)));
            }
            Ok(opened) => return Ok(Box::new(mysql::MysqlStore::new(address, opened))),
            Err(error) if error.is_transient() => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| StoreError::internal("an address without an endpoint")))
}
