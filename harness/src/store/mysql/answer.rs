//! Rows of a server's answer as they come, with the server's own types.
//!
//! May touch: the client of this store. Invariant: values pass as the server sent them.

use mysql::prelude::Protocol;
use mysql::{QueryResult, Value};

use crate::store::answer::{
    Answers, CHARSET_BINARY, CHARSET_TEXT, Column, Datum, Done, flag, kind,
};
use crate::store::error::StoreError;

/// Why an answer could not be handed over.
pub(in crate::store) enum Failed {
    Server(mysql::Error),
    Client(StoreError),
}

impl From<mysql::Error> for Failed {
    fn from(error: mysql::Error) -> Self {
        Self::Server(error)
    }
}

/// Hands every result of a statement over.
///
/// `as_text`: the values are told as text, since the client wants them in binary form and the server gave
/// text.
///
/// # Errors
/// The server refuses to go on, or the one who asked is gone.
pub(in crate::store) fn hand_over<T: Protocol>(
    mut result: QueryResult<'_, '_, '_, T>,
    as_text: bool,
    to: &mut dyn Answers,
) -> Result<(), Failed> {
    loop {
        // What the counters are of is gone once the result was iterated.
        let mut done = Done {
            affected: result.affected_rows(),
            last_insert_id: result.last_insert_id().unwrap_or(0),
            warnings: result.warnings(),
            info: result.info_str().into_owned(),
            has_more: false,
        };
        let columns: Vec<Column> = result.columns().as_ref().iter().map(column).collect();
        let has_rows = !columns.is_empty();
        if has_rows {
            let told: Vec<Column> =
                if as_text { columns.iter().map(textual).collect() } else { columns };
            to.columns(&told).map_err(Failed::Client)?;
        }
        let Some(rows) = result.iter() else { return Ok(()) };
        for row in rows {
            let row: Vec<Datum> = row?.unwrap().into_iter().map(datum).collect();
            to.row(&row).map_err(Failed::Client)?;
        }
        // A result that is left says whether another one begins.
        let more = next_is_there(&mut result);
        done.has_more = more;
        to.done(done).map_err(Failed::Client)?;
        if !more {
            return Ok(());
        }
    }
}

/// Whether the result stands at another set, which stays to be read.
fn next_is_there<T: Protocol>(result: &mut QueryResult<'_, '_, '_, T>) -> bool {
    match result.iter() {
        Some(set) => {
            // Dropping it would read it to its end; it owns nothing.
            std::mem::forget(set);
            true
        }
        None => false,
    }
}

fn column(column: &mysql::Column) -> Column {
    Column {
        schema: column.schema_str().into_owned(),
        table: column.table_str().into_owned(),
        org_table: column.org_table_str().into_owned(),
        name: column.name_str().into_owned(),
        org_name: column.org_name_str().into_owned(),
        kind: column.column_type() as u8,
        character_set: column.character_set(),
        length: column.column_length(),
        flags: column.flags().bits(),
        decimals: column.decimals(),
    }
}

fn textual(column: &Column) -> Column {
    let is_bytes = column.character_set == CHARSET_BINARY && column.kind >= kind::JSON;
    let (kind, character_set) =
        if is_bytes { (kind::BLOB, CHARSET_BINARY) } else { (kind::VAR_STRING, CHARSET_TEXT) };
    let flags = column.flags & flag::NOT_NULL;
    Column { kind, character_set, flags, decimals: 0, ..column.clone() }
}

fn datum(value: Value) -> Datum {
    match value {
        Value::NULL => Datum::Null,
        Value::Bytes(bytes) => Datum::Bytes(bytes),
        Value::Int(number) => Datum::Int(number),
        Value::UInt(number) => Datum::UInt(number),
        Value::Float(number) => Datum::Single(number),
        Value::Double(number) => Datum::Real(number),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            Datum::Date(year, month, day, hour, minute, second, micros)
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            Datum::Time(negative, days, hours, minutes, seconds, micros)
        }
    }
}
