//! Fields of a record of JSON text. Pure. Invariant: a number never passes through a float.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{Field, misplaced};
use crate::store::StoreError;

/// The outermost fields of a record. Of a field that is there twice, the last one counts, as JSON readers have it.
pub(super) struct Fields<'r>(HashMap<String, &'r RawValue>);

impl<'r> Fields<'r> {
    pub(super) fn of(record: &'r str) -> Result<Self, StoreError> {
        serde_json::from_str(record).map(Self).map_err(|_| {
            misplaced(match record.trim_start().starts_with('{') {
                true => "it is no JSON object, or the name of one of its fields is no text (a lone surrogate, say)",
                false => "it is no JSON object",
            })
        })
    }

    /// What is found behind these names.
    ///
    /// # Errors
    /// It cannot be read as text: it has an escape that is no character, itself or in a name on the way to it.
    pub(super) fn find(&self, path: &[String]) -> Result<Field, StoreError> {
        let mut outer = &self.0;
        let mut inner;
        let mut path = path.iter().peekable();
        while let Some(name) = path.next() {
            let Some(value) = outer.get(name) else { break };
            let text = value.get();
            if path.peek().is_none() {
                return field(text).ok_or_else(|| {
                    let why = format!("its field {name} is no text (it has a lone surrogate, say)");
                    misplaced(&why)
                });
            }
            if !text.starts_with('{') {
                break;
            }
            inner = Fields::of(text)?.0;
            outer = &inner;
        }
        Ok(Field::Null)
    }
}

fn field(text: &str) -> Option<Field> {
    Some(match text {
        "null" => Field::Null,
        "true" => Field::Int(1),
        "false" => Field::Int(0),
        _ if text.starts_with('"') => Field::Text(serde_json::from_str(text).ok()?),
        _ => text.parse().map_or_else(|_| Field::Text(text.to_owned()), Field::Int),
    })
}
