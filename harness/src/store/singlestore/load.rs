//! The two ways in which rows reach a SingleStore cluster.
//!
//! May touch: the connection of its store. Invariants (EXACTLY-ONCE E2, E14): every statement's counters are
//! compared with what was sent, and a warning counts as a refusal; a stream that broke off is never taken for a
//! whole one; no statement is larger than the server accepts.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::write::GzEncoder;
use lz4_flex::frame::FrameEncoder;
use mysql::LocalInfileHandler;
use mysql::prelude::Queryable as _;

use super::{PACKET_OVERHEAD, SingleStoreStore, literal};
use crate::store::container::WriteError;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::mysql::load::{Counters, at_row};
use crate::store::table::STATIC_COLUMNS;
use crate::store::url::Compression;
use crate::store::{Container, Dialect, Rows, Store as _, warnings};

/// Level of gzip; see [`Compression::Gzip`].
const GZIP_LEVEL: u32 = 1;

/// Rows of the largest insert. Why 1024: as for the other servers.
const INSERT_ROWS_MAX: usize = 1024;

/// Bytes of a statement after which an insert is sent, however few rows it has. Why 4 MiB: as for the other
/// servers.
const INSERT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most warnings that an error names.
const WARNINGS_NAMED: usize = 3;

impl SingleStoreStore {
    /// Streams the rows' container through LOAD DATA LOCAL INFILE.
    ///
    /// With a container the schema is read from its header: the clause SCHEMA is for bare datums ("Load Avro
    /// Files Examples"). The three strings of the static row are not nullable, so their paths name no branch.
    pub(super) fn load_container(
        &mut self,
        table: &str,
        rows: &dyn Rows,
    ) -> Result<u64, StoreError> {
        let container = match rows.container() {
            Some(container) => container,
            None => Container::of(rows)?,
        };
        let compression = self.address.options.compression;
        let sent = container.rows();
        let broken = self.stream(&load_data(table, compression), container, compression)?;
        if let Some(error) = broken {
            return Err(error);
        }
        let told = self.conn.info_str().into_owned();
        let warnings = self.conn.warnings();
        let expected = Counters { records: sent, skipped: 0, warnings: 0 };
        if Counters::parse(&told) == Some(expected) && warnings == 0 {
            return Ok(sent);
        }
        let named = self.warnings();
        Err(StoreError::new(
            StoreErrorKind::LoadMismatch,
            format!("{}: LOAD DATA of {sent} rows answered {told:?}{named}", self.shown),
        ))
    }

    /// Sends the statement and, when the server asks for the file, the container. Answers why the stream broke
    /// off where that was not the connection's doing.
    fn stream(
        &mut self,
        sql: &str,
        container: Container,
        compression: Compression,
    ) -> Result<Option<StoreError>, StoreError> {
        let unread = Arc::new(Mutex::new(None));
        let told = Arc::clone(&unread);
        // The handler serves this container whatever file the server names, once.
        let container = Mutex::new(Some(container));
        self.conn.set_local_infile_handler(Some(LocalInfileHandler::new(move |_, sink| {
            let container = container.lock().unwrap_or_else(PoisonError::into_inner).take();
            let container =
                container.ok_or_else(|| io::Error::other("asked for the rows twice"))?;
            compressed(&container, compression, sink).map_err(|error| match error {
                WriteError::Sink(error) => error,
                WriteError::Staged(error) => {
                    let text = format!("cannot read a staged batch back: {error}");
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                    error
                }
            })
        })));
        let sent = self.conn.query_drop(sql);
        self.conn.set_local_infile_handler(None);
        let unread = unread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(text) = unread {
            // The server waits inside the statement: this connection is of no use any more.
            self.is_spent = true;
            return Ok(Some(StoreError::new(StoreErrorKind::Resource, text)));
        }
        sent.map_err(|error| {
            let error = self.fail(&error);
            match error.kind() {
                StoreErrorKind::Data { .. } => error.with_kind(StoreErrorKind::LoadMismatch),
                _ => error,
            }
        })?;
        Ok(None)
    }

    /// What SHOW WARNINGS lists, by number: the text may quote a value.
    fn warnings(&mut self) -> String {
        type Warning = (String, u16, String);
        let warnings: Result<Vec<Warning>, _> = self.conn.query("SHOW WARNINGS");
        let Ok(warnings) = warnings else { return String::new() };
        let named: Vec<String> = warnings
            .iter()
            .take(WARNINGS_NAMED)
            .map(|(level, code, _)| format!("{} {code}", level.to_ascii_lowercase()))
            .collect();
        match warnings.len() {
            0 => String::new(),
            count if count > named.len() => {
                format!(", {} and {} more", named.join(", "), count - named.len())
            }
            _ => format!(", {}", named.join(", ")),
        }
    }

    /// Loads by multi-row inserts, which name the row that is refused.
    pub(super) fn load_by_insert(
        &mut self,
        table: &str,
        rows: &dyn Rows,
    ) -> Result<u64, StoreError> {
        let head = format!(
            "INSERT INTO {} ({}) VALUES ",
            Dialect::SingleStore.quote(table),
            STATIC_COLUMNS.join(", ")
        );
        let bytes_max = INSERT_BYTES_MAX.min(self.packet_bytes_max.saturating_sub(PACKET_OVERHEAD));
        let mut pending: Vec<String> = Vec::new();
        let mut bytes = head.len();
        let mut count = 0_u64;
        rows.for_each(&mut |row| {
            let mut text = String::with_capacity(row.record.len() + row.id.len() + 64);
            for (mark, value) in [("(", row.topic), (", ", row.id), (", ", row.record)] {
                text.push_str(mark);
                literal::put_text(&mut text, value);
            }
            text.push(')');
            self.require_row_fits(head.len() + text.len(), count)?;
            if pending.len() == INSERT_ROWS_MAX || bytes + text.len() + 1 > bytes_max {
                self.insert(&head, &pending, count)?;
                pending.clear();
                bytes = head.len();
            }
            bytes += text.len() + 1;
            pending.push(text);
            count += 1;
            Ok(())
        })?;
        self.insert(&head, &pending, count)?;
        Ok(count)
    }

    /// Inserts the pending rows, the last of which is the one before `end`. One that is refused is looked for
    /// one at a time; that is no second try: the caller rolls back whatever happens here, and nothing
    /// commits by itself.
    fn insert(&mut self, head: &str, pending: &[String], end: u64) -> Result<(), StoreError> {
        if pending.is_empty() {
            return Ok(());
        }
        let first = end - pending.len() as u64;
        let Err(error) = self.insert_at_once(head, pending) else { return Ok(()) };
        if !matches!(error.kind(), StoreErrorKind::Data { .. } | StoreErrorKind::TooLarge { .. }) {
            return Err(error);
        }
        if pending.len() == 1 {
            return Err(at_row(error, first));
        }
        for (index, row) in (first..).zip(pending) {
            if let Err(named) = self.insert_at_once(head, std::slice::from_ref(row)) {
                return Err(at_row(named, index));
            }
        }
        Err(error)
    }

    fn insert_at_once(&mut self, head: &str, rows: &[String]) -> Result<(), StoreError> {
        let sql = format!("{head}{}", rows.join(","));
        self.conn.query_drop(sql).map_err(|error| self.fail(&error))?;
        if self.conn.warnings() != 0 {
            let listed = self.warning()?;
            return Err(listed.unwrap_or_else(|| warnings::judge(&self.shown, &[])));
        }
        let taken = self.conn.affected_rows();
        if usize::try_from(taken) == Ok(rows.len()) {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Data { row: None },
            format!("{} took {taken} rows of {}", self.shown, rows.len()),
        ))
    }

    /// Refuses a row that does not fit into one statement (E14).
    fn require_row_fits(&self, bytes: usize, index: u64) -> Result<(), StoreError> {
        if bytes <= self.packet_bytes_max.saturating_sub(PACKET_OVERHEAD) {
            return Ok(());
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

/// The statement. The name says how the stream is compressed, as SingleStore's own connectors name it.
fn load_data(table: &str, compression: Compression) -> String {
    let file = match compression {
        Compression::None => "###.avro",
        Compression::Gzip => "###.gz",
        Compression::Lz4 => "###.lz4",
    };
    let mapping = STATIC_COLUMNS.map(|column| format!("`{column}` <- %::`{column}`"));
    format!(
        "LOAD DATA LOCAL INFILE '{file}' INTO TABLE {} FORMAT AVRO ( {} )",
        Dialect::SingleStore.quote(table),
        mapping.join(", ")
    )
}

/// Writes a container as the compression wants it.
fn compressed(
    container: &Container,
    compression: Compression,
    sink: &mut dyn Write,
) -> Result<(), WriteError> {
    match compression {
        Compression::None => container.write_to(sink),
        Compression::Gzip => {
            let mut gzip = GzEncoder::new(sink, flate2::Compression::new(GZIP_LEVEL));
            container.write_to(&mut gzip)?;
            gzip.finish().map(drop).map_err(WriteError::Sink)
        }
        Compression::Lz4 => {
            let mut lz4 = FrameEncoder::new(sink);
            container.write_to(&mut lz4)?;
            lz4.finish().map(drop).map_err(|error| WriteError::Sink(io::Error::other(error)))
        }
    }
}

#[cfg(test)]
mod tests;
