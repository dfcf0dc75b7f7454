//! Reads a source for a database. Modules follow the data: `source` → `decode` → `row` → `batch` →
//! `pump` → `pipe`.

pub mod args;
pub mod batch;
pub mod config;
pub mod decode;
pub mod encode;
pub mod exit;
pub mod log;
pub mod pipe;
pub mod pump;
pub mod redact;
pub mod row;
pub mod source;
