//! Fields of a record of JSON text. Pure. Invariant: a number never passes through a float.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{Field, misplaced};
use crate::store::StoreError;

/// The outermost fields of a record. Of a field that is there twice, the last one counts, as JSON readers have it.
pub(super) struct Fields<'r>(HashMap<String, &'r RawValue>);

impl<'r> Fields<'r> {
    pub(super) fn of(record: &'r str) -> Result<Self, StoreError> {
        serde_json::from_str(record).map(Self).map_err(|_| misplaced("it is no JSON object"))
    }

    /// What is found behind these names.
    pub(super) fn find(&self, path: &[String]) -> Field {
        let Some((first, rest)) = path.split_first() else { return Field::Null };
        let Some(value) = self.0.get(first) else { return Field::Null };
        if rest.is_empty() {
            return field(value.get());
        }
        Fields::of(value.get()).map_or(Field::Null, |inner| inner.find(rest))
    }
}

fn field(text: &str) -> Field {
    match text {
        "null" => Field::Null,
        "true" => Field::Int(1),
        "false" => Field::Int(0),
        _ if text.starts_with('"') => serde_json::from_str(text).map_or(Field::Null, Field::Text),
        _ => text.parse().map_or_else(|_| Field::Text(text.to_owned()), Field::Int),
    }
}
