//! SingleStore's functions on JSON for the connections of this program to an SQLite file.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};

use crate::store::functions::{extract_bigint, extract_string, from_base64};

/// Makes the functions known to a connection.
///
/// # Errors
/// SQLite has no memory for them.
pub(super) fn register(connection: &Connection) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("json_extract_string", 2, flags, |context| {
        Ok(both(context).and_then(|(document, key)| extract_string(&document, &key)))
    })?;
    connection.create_scalar_function("json_extract_bigint", 2, flags, |context| {
        Ok(both(context).and_then(|(document, key)| extract_bigint(&document, &key)))
    })?;
    connection.create_scalar_function("from_base64", 1, flags, |context| {
        // Text where it is text, so that it can be read and compared as such.
        let bytes = text(context, 0).and_then(|text| from_base64(&text));
        Ok(bytes.map(|bytes| match String::from_utf8(bytes) {
            Ok(text) => rusqlite::types::Value::Text(text),
            Err(error) => rusqlite::types::Value::Blob(error.into_bytes()),
        }))
    })
}

fn both(context: &Context<'_>) -> Option<(String, String)> {
    text(context, 0).zip(text(context, 1))
}

/// An argument as text; NULL, and bytes that are no text, are nothing.
fn text(context: &Context<'_>, index: usize) -> Option<String> {
    match context.get_raw(index) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
    }
}
