//! An SQLite file as a store: nothing to install.
//!
//! May touch: rusqlite and the file. Invariants: a commit survives power loss (WAL with synchronous=FULL:
//! every commit is flushed before it is answered, since an offset that outlives its rows would be a loss);
//! a write transaction takes the write lock at BEGIN, so that it never fails half way on a lock.

mod answer;
mod codes;
mod confine;
mod functions;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, ToSql, params_from_iter};

use super::error::{StoreError, StoreErrorKind};
use super::value::{Cell, CellRow, Param, RowSet};
use super::{ANSWER_ROWS_MAX, Answers, Dialect, Interrupt, LoadMethod, Rows, Store, Transaction};

/// How long a connection waits for another one's write lock.
///
/// Why 10 s: longer than any batch takes to load, shorter than a person waits before asking.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Pages that the write-ahead log grows by before they are moved into the file.
///
/// Why 4000 (16 MiB): a few batches; the default of 1000 pages moves pages after nearly every batch.
const CHECKPOINT_PAGES: u32 = 4000;

/// Bytes that the write-ahead log keeps when it starts over. Why 64 MiB: one huge batch must not hold the
/// disk for ever.
const LOG_BYTES_KEPT: u32 = 64 * 1024 * 1024;

/// SQLite's own limit of a text, bytes (`SQLITE_MAX_LENGTH`).
const VALUES_BYTES_MAX: usize = 1_000_000_000;

/// How many prepared statements a connection keeps.
const STATEMENTS_KEPT: usize = 64;

/// Steps of SQLite's machine between two looks at the clock. Why 10,000: some tenth of a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

const READ_ONLY: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// One connection to a file.
pub(super) struct SqliteStore {
    path: PathBuf,
    connection: Connection,
}

impl SqliteStore {
    /// Opens the file, creating it readable by its owner alone.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|error| classify(path, &error).context("open the store"))?;
        let store = Self { path: path.to_owned(), connection };
        store.prepare_connection()?;
        Ok(store)
    }

    /// Opens the file as [`Self::open`] does, and for reading alone where this user may not write it.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let refused = match Self::open(path) {
            Err(error) if error.kind() == StoreErrorKind::Resource => error,
            done => return done,
        };
        // The first error says what is wrong with the file; the second only what else was tried.
        Self::open_read_only(path).map_err(|_| refused)
    }

    /// Opens the file for reading alone, and leaves nothing beside it that was not there.
    pub(super) fn open_untouched(path: &Path) -> Result<Self, StoreError> {
        // Even a reader makes the log of a file in WAL mode where there is none.
        let opened = match has_log(path) {
            true => Self::open_to_look(path),
            false => Self::open_immutable(path),
        };
        opened.map_err(|error| classify(path, &error).context("open the store"))
    }

    fn open_read_only(path: &Path) -> Result<Self, rusqlite::Error> {
        match Self::open_to_look(path) {
            // A file in WAL mode that nobody has open, in a folder where this user can make no log file.
            Err(_) if !has_log(path) => Self::open_immutable(path),
            done => done,
        }
    }

    fn open_to_look(path: &Path) -> Result<Self, rusqlite::Error> {
        Self::probed(path, Connection::open_with_flags(path, READ_ONLY)?)
    }

    /// For a file that has no log: everything committed is in the file itself.
    fn open_immutable(path: &Path) -> Result<Self, rusqlite::Error> {
        let flags = READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        Self::probed(path, Connection::open_with_flags(immutable(path)?, flags)?)
    }

    fn probed(path: &Path, connection: Connection) -> Result<Self, rusqlite::Error> {
        connection.busy_timeout(BUSY_WAIT)?;
        connection.query_row("SELECT COUNT(*) FROM sqlite_master", [], |_| Ok(()))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        functions::register(&connection)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    fn prepare_connection(&self) -> Result<(), StoreError> {
        let fail = |error| classify(&self.path, &error).context("open the store");
        self.connection.busy_timeout(BUSY_WAIT).map_err(fail)?;
        self.connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        functions::register(&self.connection).map_err(fail)?;
        if self.connection.is_readonly("main").map_err(fail)? {
            return Err(read_only(&self.path));
        }
        let mode: String = self
            .connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(fail)?;
        if mode != "wal" {
            return Err(StoreError::new(
                StoreErrorKind::Resource,
                format!(
                    "{}: the file system allows no write-ahead log (journal mode stays {mode}); \
                     put the file on a local disk",
                    self.path.display()
                ),
            ));
        }
        self.connection.pragma_update(None, "synchronous", "full").map_err(fail)?;
        self.connection
            .pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
            .map_err(fail)?;
        self.connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT).map_err(fail)?;
        Ok(())
    }

    fn fail(&self, error: &rusqlite::Error) -> StoreError {
        classify(&self.path, error)
    }

    fn rows_of(
        &self,
        statement: &mut rusqlite::Statement<'_>,
        params: &[Param<'_>],
    ) -> Result<RowSet, rusqlite::Error> {
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        if columns.is_empty() {
            let before = self.connection.total_changes();
            let affected = statement.execute(params_from_iter(params))?;
            // DDL leaves the count of the statement before it.
            let affected = if self.connection.total_changes() == before { 0 } else { affected };
            let affected = u64::try_from(affected).unwrap_or(u64::MAX);
            return Ok(RowSet { affected, ..RowSet::default() });
        }
        let mut answer = RowSet::default();
        let mut rows = statement.query(params_from_iter(params))?;
        while let Some(row) = rows.next()? {
            if answer.rows.len() == ANSWER_ROWS_MAX {
                return Err(rusqlite::Error::QueryReturnedMoreThanOneRow);
            }
            let cells = (0..columns.len())
                .map(|index| row.get::<_, Value>(index).map(cell))
                .collect::<Result<_, _>>()?;
            answer.rows.push(CellRow(cells));
        }
        drop(rows);
        answer.columns = columns;
        Ok(answer)
    }
}

/// Ends what a connection does.
struct Handle(InterruptHandle);

impl Interrupt for Handle {
    fn interrupt(&self) -> Result<(), StoreError> {
        self.0.interrupt();
        Ok(())
    }
}

/// Whether a write-ahead log lies beside the file.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).exists()
}

/// The file as a URI that tells SQLite to look for no log and to take no lock.
fn immutable(path: &Path) -> Result<String, rusqlite::Error> {
    let text = path.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(path.to_owned()))?;
    let text = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Ok(format!("file:{text}?immutable=1"))
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Integer(number) => Cell::Int(number),
        Value::Real(number) => Cell::Real(number),
        Value::Text(text) => Cell::Text(text),
        Value::Blob(bytes) => Cell::Bytes(bytes),
    }
}

impl Store for SqliteStore {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn database(&self) -> &str {
        "main"
    }

    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.fail(&e))?;
        let affected = statement.execute(params_from_iter(params)).map_err(|e| self.fail(&e))?;
        Ok(u64::try_from(affected).unwrap_or(u64::MAX))
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowSet, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.fail(&e))?;
        self.rows_of(&mut statement, params).map_err(|e| self.fail(&e))
    }

    fn run(&mut self, sql: &str) -> Result<RowSet, StoreError> {
        let mut statement = self.connection.prepare(sql).map_err(|e| self.fail(&e))?;
        self.rows_of(&mut statement, &[]).map_err(|e| self.fail(&e))
    }

    fn answer(
        &mut self,
        sql: &str,
        params: Option<&[Param<'_>]>,
        to: &mut dyn Answers,
    ) -> Result<(), StoreError> {
        answer::answer(&self.connection, &self.path, sql, params.unwrap_or_default(), to)
    }

    fn parameters(&mut self, sql: &str) -> Result<usize, StoreError> {
        let statement = self.connection.prepare(sql).map_err(|e| self.fail(&e))?;
        Ok(statement.parameter_count())
    }

    fn confine(&mut self) -> Result<(), StoreError> {
        confine::confine(&mut self.connection).map_err(|e| self.fail(&e))
    }

    fn interrupter(&self) -> Option<Arc<dyn Interrupt>> {
        Some(Arc::new(Handle(self.connection.get_interrupt_handle())))
    }

    fn end_statements_at(&mut self, until: Option<Instant>) -> Result<(), StoreError> {
        let late = until.map(|until| move || Instant::now() >= until);
        self.connection.progress_handler(STEPS_BETWEEN_LOOKS, late).map_err(|e| self.fail(&e))
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// As long as a text may be: SQLite has no limit for a whole statement's values.
    fn values_bytes_max(&self) -> usize {
        VALUES_BYTES_MAX
    }

    fn warning(&mut self) -> Result<Option<StoreError>, StoreError> {
        Ok(None)
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.execute("BEGIN IMMEDIATE", &[]).map(|_| ())
    }

    fn load(
        &mut self,
        table: &str,
        rows: &dyn Rows,
        _method: LoadMethod,
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "INSERT INTO {} (topic, id, record) VALUES (?1, ?2, ?3)",
            Dialect::Sqlite.quote(table)
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(|e| self.fail(&e))?;
        let mut loaded = 0_u64;
        rows.for_each(&mut |row| {
            let changed = statement
                .execute([row.topic, row.id, row.record])
                .map_err(|error| at_row(self.fail(&error), loaded))?;
            if changed != 1 {
                return Err(StoreError::new(
                    StoreErrorKind::Data { row: Some(loaded) },
                    format!("row {loaded} of the batch was not stored: a trigger or rule took it"),
                ));
            }
            loaded += 1;
            Ok(())
        })?;
        Ok(loaded)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.execute("COMMIT", &[]).map(|_| ())
    }

    fn rollback(&mut self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.execute("ROLLBACK", &[]).map(|_| ())
    }

    fn in_transaction(&mut self) -> Result<Transaction, StoreError> {
        Ok(if self.connection.is_autocommit() { Transaction::Ended } else { Transaction::Open })
    }
}

/// Makes an absent file with mode 0600; SQLite gives its log files the same mode.
///
/// A file that may be in use is never opened here: closing any descriptor of a file drops every lock
/// that this process holds on it (sqlite.org/howtocorrupt.html, section 2.2), and with them the fence
/// between two programs. So the new file is made under another name, closed, and then linked in.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let Err(error) = make_absent(path) else { return Ok(()) };
    let shown = path.display();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => StoreError::new(
            StoreErrorKind::Config,
            format!(
                "{shown}: the folder {} does not exist; make it first",
                parent.unwrap_or_else(|| Path::new(".")).display()
            ),
        ),
        std::io::ErrorKind::IsADirectory => {
            StoreError::new(StoreErrorKind::Config, format!("{shown} is a folder; name a file"))
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            read_only(path)
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => full(path),
        _ => StoreError::new(StoreErrorKind::Resource, format!("open {shown}: {error}")),
    })
}

fn make_absent(path: &Path) -> std::io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(std::io::ErrorKind::IsADirectory.into()),
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made = tempfile::Builder::new()
        .prefix(".s2x-")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
    match made.into_temp_path().persist_noclobber(path) {
        Ok(()) => Ok(()),
        // Somebody else was faster.
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

fn read_only(path: &Path) -> StoreError {
    StoreError::new(
        StoreErrorKind::Resource,
        format!(
            "{} cannot be written; make the file and its folder writable for this user",
            path.display()
        ),
    )
}

fn full(path: &Path) -> StoreError {
    StoreError::new(
        StoreErrorKind::Resource,
        format!("{}: no room left on its disk; free some space, then start again", path.display()),
    )
}

fn at_row(error: StoreError, row: u64) -> StoreError {
    match error.kind() {
        StoreErrorKind::Data { .. } => error
            .with_kind(StoreErrorKind::Data { row: Some(row) })
            .context(format!("row {row} of the batch")),
        StoreErrorKind::TooLarge { .. } => error
            .with_kind(StoreErrorKind::TooLarge { row: Some(row) })
            .context(format!("row {row} of the batch")),
        StoreErrorKind::Transient
        | StoreErrorKind::Fenced
        | StoreErrorKind::LoadMismatch
        | StoreErrorKind::Schema
        | StoreErrorKind::Resource
        | StoreErrorKind::Config
        | StoreErrorKind::Auth
        | StoreErrorKind::InDoubt
        | StoreErrorKind::Internal => error,
    }
}

/// Sorts a client error by what the caller may do.
fn classify(path: &Path, error: &rusqlite::Error) -> StoreError {
    sort(path, error).with_code(codes::of(error))
}

fn sort(path: &Path, error: &rusqlite::Error) -> StoreError {
    let shown = path.display();
    if matches!(error, rusqlite::Error::QueryReturnedMoreThanOneRow) {
        return StoreError::new(
            StoreErrorKind::Resource,
            format!("the answer has more than {ANSWER_ROWS_MAX} rows; add a LIMIT"),
        );
    }
    // The message of a failure with an SQL text quotes the whole statement: take the code's own text.
    let (code, message) = match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            let text = message.clone().unwrap_or_else(|| failure.to_string());
            (Some(failure.code), text)
        }
        rusqlite::Error::SqlInputError { error: failure, msg, .. } => {
            (Some(failure.code), msg.clone())
        }
        other => (None, other.to_string()),
    };
    let kind = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged) => {
            return StoreError::new(
                StoreErrorKind::Transient,
                format!("{shown} is locked by another process ({message})"),
            );
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            return read_only(path);
        }
        Some(ErrorCode::DiskFull) => return full(path),
        Some(ErrorCode::NotADatabase) => {
            return StoreError::new(
                StoreErrorKind::Config,
                format!("{shown} is not an SQLite database; name another file"),
            );
        }
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => {
            StoreErrorKind::Data { row: None }
        }
        Some(ErrorCode::AuthorizationForStatementDenied) => {
            return StoreError::new(
                StoreErrorKind::Auth,
                "this statement would reach another file of this machine, write a table of the catalogue \
                 (s2x_…), or make a trigger, which could do so; harness serve --allow-host-access allows that",
            );
        }
        Some(ErrorCode::TooBig) => StoreErrorKind::TooLarge { row: None },
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::OutOfMemory) => {
            StoreErrorKind::Resource
        }
        Some(ErrorCode::OperationInterrupted) => {
            let text =
                "the statement was interrupted; a transaction that it wrote in is rolled back";
            return StoreError::new(StoreErrorKind::Transient, text);
        }
        Some(ErrorCode::Unknown) => StoreErrorKind::Schema,
        Some(_) | None => StoreErrorKind::Internal,
    };
    StoreError::new(kind, format!("{shown}: {message}"))
}

#[cfg(test)]
mod tests;
