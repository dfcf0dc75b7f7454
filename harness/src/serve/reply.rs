//! Answers as packets: what was done, what failed, columns and rows.
//!
//! May touch: the client's wire. Invariant: a row is sent in the form that was announced, text or binary.
//!
//! Source: "Command Phase" in MySQL's protocol documentation.

use super::bytes::{put_count, put_counted};
use super::fault::Fault;
use super::value;
use super::wire::{Wire, WireError};
use crate::store::{Answers, Cell, Column, Datum, Done, RowSet, StoreError, gone};

/// The session has an open transaction.
pub(super) const IN_TRANSACTION: u16 = 1;
/// Statements outside a transaction commit by themselves.
pub(super) const AUTOCOMMIT: u16 = 2;
/// Another result follows.
const MORE_RESULTS: u16 = 8;

/// How values are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// To a statement that came as text.
    Text,
    /// To a prepared statement.
    Binary,
}

/// `OK`.
pub(super) fn ok(status: u16, done: &Done) -> Vec<u8> {
    let mut packet = vec![0];
    put_count(&mut packet, done.affected);
    put_count(&mut packet, done.last_insert_id);
    packet.extend_from_slice(&status.to_le_bytes());
    packet.extend_from_slice(&done.warnings.to_le_bytes());
    if !done.info.is_empty() {
        put_counted(&mut packet, done.info.as_bytes());
    }
    packet
}

/// `ERR`.
pub(super) fn error(fault: &Fault) -> Vec<u8> {
    let mut packet = vec![0xff];
    packet.extend_from_slice(&fault.number.to_le_bytes());
    packet.push(b'#');
    packet.extend_from_slice(&fault.state);
    packet.extend_from_slice(fault.message.as_bytes());
    packet
}

/// `EOF`.
pub(super) fn end(status: u16, warnings: u16) -> Vec<u8> {
    let mut packet = vec![0xfe];
    packet.extend_from_slice(&warnings.to_le_bytes());
    packet.extend_from_slice(&status.to_le_bytes());
    packet
}

/// What a column is.
pub(super) fn column(column: &Column) -> Vec<u8> {
    let mut packet = Vec::new();
    put_counted(&mut packet, b"def");
    for text in [&column.schema, &column.table, &column.org_table, &column.name, &column.org_name] {
        put_counted(&mut packet, text.as_bytes());
    }
    // The length of what follows.
    packet.push(12);
    packet.extend_from_slice(&column.character_set.to_le_bytes());
    packet.extend_from_slice(&column.length.to_le_bytes());
    packet.push(column.kind);
    packet.extend_from_slice(&column.flags.to_le_bytes());
    packet.extend_from_slice(&[column.decimals, 0, 0]);
    packet
}

/// Takes the answer of one statement.
pub(super) struct Reply<'w> {
    wire: &'w mut Wire,
    form: Form,
    status: u16,
    /// Whether statements of the same text follow.
    has_more: bool,
    kinds: Vec<u8>,
    row: Vec<u8>,
    /// Why nothing more can be sent.
    broken: Option<WireError>,
}

impl<'w> Reply<'w> {
    pub(super) fn new(wire: &'w mut Wire, form: Form, status: u16, has_more: bool) -> Self {
        Self { wire, form, status, has_more, kinds: Vec::new(), row: Vec::new(), broken: None }
    }

    /// A whole answer of the harness's own.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) fn rows(&mut self, answer: &RowSet) -> Result<(), StoreError> {
        if answer.columns.is_empty() {
            return self.done(Done { affected: answer.affected, ..Done::default() });
        }
        let columns: Vec<Column> = answer
            .columns
            .iter()
            .enumerate()
            .map(|(index, name)| column_of(name, answer, index))
            .collect();
        self.columns(&columns)?;
        for row in &answer.rows {
            let row: Vec<Datum> =
                row.0.iter().zip(&columns).map(|(cell, column)| datum(cell, column)).collect();
            self.row(&row)?;
        }
        self.done(Done::default())
    }

    /// Why the client gets no more, if so.
    pub(super) fn broken(self) -> Option<WireError> {
        self.broken
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), StoreError> {
        self.wire.send(packet).map_err(|error| {
            let told = gone(&error);
            self.broken = Some(error);
            told
        })
    }

    fn status_of(&self, done: &Done) -> u16 {
        if done.has_more || self.has_more { self.status | MORE_RESULTS } else { self.status }
    }
}

impl Answers for Reply<'_> {
    fn columns(&mut self, columns: &[Column]) -> Result<(), StoreError> {
        self.kinds = columns.iter().map(|column| column.kind).collect();
        let mut count = Vec::new();
        put_count(&mut count, columns.len() as u64);
        self.send(&count)?;
        for it in columns {
            self.send(&column(it))?;
        }
        self.send(&end(self.status, 0))
    }

    fn row(&mut self, row: &[Datum]) -> Result<(), StoreError> {
        let mut packet = std::mem::take(&mut self.row);
        packet.clear();
        match self.form {
            Form::Text => row.iter().for_each(|datum| value::put_text(&mut packet, datum)),
            Form::Binary => value::put_binary_row(&mut packet, &self.kinds, row)?,
        }
        let sent = self.send(&packet);
        self.row = packet;
        sent
    }

    fn done(&mut self, done: Done) -> Result<(), StoreError> {
        let status = self.status_of(&done);
        let packet =
            if self.kinds.is_empty() { ok(status, &done) } else { end(status, done.warnings) };
        self.kinds.clear();
        self.send(&packet)
    }
}

/// The type of a column of the harness's own: that of its values.
fn column_of(name: &str, answer: &RowSet, index: usize) -> Column {
    let mut cells = answer.rows.iter().filter_map(|row| row.0.get(index));
    let is_all = |is: fn(&Cell) -> bool| {
        let mut known = answer.rows.iter().filter_map(|row| row.0.get(index)).peekable();
        known.peek().is_some() && known.all(|cell| is(cell) || matches!(cell, Cell::Null))
    };
    if cells.all(|cell| matches!(cell, Cell::Null)) {
        Column::text(name)
    } else if is_all(|cell| matches!(cell, Cell::Int(_))) {
        Column::int(name)
    } else if is_all(|cell| matches!(cell, Cell::Real(_))) {
        Column::real(name)
    } else if is_all(|cell| matches!(cell, Cell::Text(_))) {
        Column::text(name)
    } else {
        Column::bytes(name)
    }
}

fn datum(cell: &Cell, column: &Column) -> Datum {
    let is_number =
        column.kind == crate::store::kind::LONGLONG || column.kind == crate::store::kind::DOUBLE;
    match cell {
        Cell::Null => Datum::Null,
        Cell::Int(number) if is_number => Datum::Int(*number),
        Cell::Real(number) if is_number => Datum::Real(*number),
        Cell::Int(number) => Datum::Bytes(number.to_string().into_bytes()),
        Cell::Real(number) => Datum::Bytes(format!("{number:?}").into_bytes()),
        Cell::Text(text) => Datum::Bytes(text.clone().into_bytes()),
        Cell::Bytes(bytes) => Datum::Bytes(bytes.clone()),
    }
}
