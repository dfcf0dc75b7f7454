//! Reads a source for a database. Modules follow the data: `source` → `row` → (batch, pump) →
//! `pipe`.

pub mod row;
pub mod source;
