//! The two ways in which rows reach a MySQL-protocol server.
//!
//! May touch: the connection of its store. Invariants (EXACTLY-ONCE E2, E14): every statement's counters are
//! compared with what was sent, and a warning counts as a refusal; no statement is larger than the
//! server accepts; a row that does not fit is named instead of sent.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use mysql::prelude::Queryable as _;
use mysql::{LocalInfileHandler, Params, Value};

use super::{MysqlStore, VALUE_OVERHEAD};
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::{RowRef, Rows, Store as _, Transaction};

/// Rows of the largest insert; others have half as many, a quarter, and so on down to one, so that eleven
/// prepared statements serve every batch.
///
/// Why 1024: between 200 and 5000 rows the speed differs little, and 3072 values stay far below the limit
/// of 65,535.
const INSERT_ROWS_MAX: usize = 1024;

/// Bytes of values after which an insert is sent, however few rows it has.
///
/// Why 4 MiB: larger statements were not faster, and the server keeps a copy.
const INSERT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of text after which a LOAD DATA statement is closed. Why 16 MiB: it is kept in memory.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Rows that wait for their insert.
#[derive(Default)]
struct Pending {
    /// Index within the batch of the first one.
    first: u64,
    values: Vec<Value>,
    rows: usize,
    bytes: usize,
}

impl MysqlStore {
    /// Loads by prepared multi-row inserts.
    pub(super) fn load_by_insert(
        &mut self,
        table: &str,
        rows: &dyn Rows,
    ) -> Result<u64, StoreError> {
        let bytes_max = INSERT_BYTES_MAX.min(self.values_bytes_max());
        let mut pending = Pending::default();
        let mut count = 0_u64;
        rows.for_each(&mut |row| {
            let bytes = self.require_row_fits(row, count)?;
            if pending.rows > 0 && pending.bytes + bytes > bytes_max {
                self.send(table, rows, &mut pending)?;
            }
            pending.values.extend(
                [row.topic, row.id, row.record].map(|text| Value::Bytes(text.as_bytes().to_vec())),
            );
            pending.rows += 1;
            pending.bytes += bytes;
            count += 1;
            if pending.rows == INSERT_ROWS_MAX {
                self.send(table, rows, &mut pending)?;
            }
            Ok(())
        })?;
        self.send(table, rows, &mut pending)?;
        Ok(count)
    }

    /// Sends the pending rows in inserts of 1024, 512, … rows.
    fn send(
        &mut self,
        table: &str,
        rows: &dyn Rows,
        pending: &mut Pending,
    ) -> Result<(), StoreError> {
        let mut values = std::mem::take(&mut pending.values);
        let mut left = pending.rows;
        while left > 0 {
            let size = if left >= INSERT_ROWS_MAX { INSERT_ROWS_MAX } else { 1 << left.ilog2() };
            let rest = values.split_off(size * 3);
            if let Err(error) = self.insert(table, size, values) {
                return Err(self.name_the_row(table, rows, (pending.first, size), error));
            }
            values = rest;
            left -= size;
            pending.first += size as u64;
        }
        *pending = Pending { first: pending.first, ..Pending::default() };
        Ok(())
    }

    /// One insert, with its counters checked.
    fn insert(&mut self, table: &str, size: usize, values: Vec<Value>) -> Result<(), StoreError> {
        let mut sql =
            format!("INSERT INTO {} (topic, id, record) VALUES ", self.dialect.quote(table));
        sql.push_str(&"(?,?,?),".repeat(size));
        sql.pop();
        self.conn.exec_drop(sql, Params::Positional(values)).map_err(|error| self.fail(&error))?;
        if let Some(error) = self.warning()? {
            return Err(error);
        }
        let taken = self.conn.affected_rows();
        if usize::try_from(taken) != Ok(size) {
            return Err(StoreError::new(
                StoreErrorKind::Data { row: None },
                format!("{} took {taken} rows of {size}", self.shown),
            ));
        }
        Ok(())
    }

    /// Finds the row that made a multi-row insert fail, by inserting its rows one at a time.
    ///
    /// This is no second try: the caller rolls back whatever happens here. Only a refused value is looked
    /// for, after which the server keeps the transaction; if it is gone all the same, nothing is sent.
    fn name_the_row(
        &mut self,
        table: &str,
        rows: &dyn Rows,
        (first, size): (u64, usize),
        error: StoreError,
    ) -> StoreError {
        if !matches!(error.kind(), StoreErrorKind::Data { .. } | StoreErrorKind::TooLarge { .. }) {
            return error;
        }
        if size == 1 {
            return at_row(error, first);
        }
        if self.in_transaction() != Ok(Transaction::Open) {
            return error;
        }
        let last = first + size as u64;
        let mut index = 0_u64;
        let mut found = None;
        let looked = rows.for_each(&mut |row| {
            if (first..last).contains(&index) && found.is_none() {
                let values = [row.topic, row.id, row.record]
                    .map(|text| Value::Bytes(text.as_bytes().to_vec()))
                    .to_vec();
                found = self.insert(table, 1, values).err().map(|error| at_row(error, index));
            }
            index += 1;
            Ok(())
        });
        match (looked, found) {
            (Ok(()), Some(named)) => named,
            (Ok(()) | Err(_), _) => error,
        }
    }

    /// Loads by LOAD DATA LOCAL INFILE. The server turns refused values into warnings, cuts them, or skips
    /// rows, so nothing passes but equal counts and no warning.
    pub(super) fn load_by_file(&mut self, table: &str, rows: &dyn Rows) -> Result<u64, StoreError> {
        let mut text = Vec::with_capacity(64 * 1024);
        let mut lines = 0_u64;
        let mut count = 0_u64;
        rows.for_each(&mut |row| {
            self.require_row_fits(row, count)?;
            for (field, end) in [(row.topic, b'\t'), (row.id, b'\t'), (row.record, b'\n')] {
                escape(&mut text, field);
                text.push(end);
            }
            lines += 1;
            count += 1;
            if text.len() >= FILE_BYTES_MAX {
                self.send_file(table, std::mem::take(&mut text), std::mem::take(&mut lines))?;
            }
            Ok(())
        })?;
        if lines > 0 {
            self.send_file(table, text, lines)?;
        }
        Ok(count)
    }

    fn send_file(&mut self, table: &str, text: Vec<u8>, lines: u64) -> Result<(), StoreError> {
        let sql = format!(
            "LOAD DATA LOCAL INFILE 's2x' INTO TABLE {} CHARACTER SET utf8mb4 \
             FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' \
             (topic, id, record)",
            self.dialect.quote(table)
        );
        // The handler serves this text whatever file the server names, once.
        let text = Arc::new(Mutex::new(Some(text)));
        self.conn.set_local_infile_handler(Some(LocalInfileHandler::new(move |_, stream| {
            let text = text.lock().unwrap_or_else(PoisonError::into_inner).take();
            let text = text.ok_or_else(|| std::io::Error::other("asked for the rows twice"))?;
            stream.write_all(&text)
        })));
        let sent = self.conn.query_drop(sql);
        self.conn.set_local_infile_handler(None);
        sent.map_err(|error| {
            let error = self.fail(&error);
            match error.kind() {
                StoreErrorKind::Data { .. } => error.with_kind(StoreErrorKind::LoadMismatch),
                _ => error,
            }
        })?;
        let counters = self.conn.info_str().into_owned();
        if Counters::parse(&counters) == Some(Counters { records: lines, skipped: 0, warnings: 0 })
            && self.conn.warnings() == 0
        {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::LoadMismatch,
            format!("{}: LOAD DATA of {lines} rows answered {counters:?}", self.shown),
        ))
    }

    /// Refuses a row that does not fit into one statement (E14); answers the bytes it takes.
    fn require_row_fits(&self, row: RowRef<'_>, index: u64) -> Result<usize, StoreError> {
        let bytes = row.topic.len() + row.id.len() + row.record.len() + 3 * VALUE_OVERHEAD;
        if bytes <= self.values_bytes_max() {
            return Ok(bytes);
        }
        Err(StoreError::new(
            StoreErrorKind::TooLarge { row: Some(index) },
            format!(
                "row {index} of the batch has {bytes} bytes, more than {} accepts in one statement; \
                 raise max_allowed_packet ({} bytes) there",
                self.shown, self.packet_bytes_max
            ),
        ))
    }
}

/// The counters that LOAD DATA answers with.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Counters {
    pub(in crate::store) records: u64,
    pub(in crate::store) skipped: u64,
    pub(in crate::store) warnings: u64,
}

impl Counters {
    /// Reads `Records: 5  Deleted: 0  Skipped: 0  Warnings: 0`.
    pub(in crate::store) fn parse(text: &str) -> Option<Self> {
        let counter = |name: &str| {
            let (_, rest) = text.split_once(name)?;
            rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        Some(Self {
            records: counter("Records:")?,
            skipped: counter("Skipped:")?,
            warnings: counter("Warnings:")?,
        })
    }
}

/// Appends a field of LOAD DATA's text form.
fn escape(text: &mut Vec<u8>, field: &str) {
    for byte in field.bytes() {
        match byte {
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'\t' => text.extend_from_slice(b"\\t"),
            b'\n' => text.extend_from_slice(b"\\n"),
            0 => text.extend_from_slice(b"\\0"),
            other => text.push(other),
        }
    }
}

/// The same error with the row that it is about, where it is about one.
pub(in crate::store) fn at_row(error: StoreError, row: u64) -> StoreError {
    let kind = match error.kind() {
        StoreErrorKind::TooLarge { .. } => StoreErrorKind::TooLarge { row: Some(row) },
        _ => StoreErrorKind::Data { row: Some(row) },
    };
    match error.kind() {
        StoreErrorKind::Data { .. } | StoreErrorKind::TooLarge { .. } => {
            error.with_kind(kind).context(format!("row {row} of the batch"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests;
