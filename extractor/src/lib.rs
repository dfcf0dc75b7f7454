//! Reads a source for a database. Modules follow the data: `source` → `row` → (batch, pump) →
//! `pipe`.

pub mod config;
pub mod decode;
pub mod encode;
pub mod row;
pub mod source;
