//! The pipe between a database (the host) and an extractor (its child), as a pure codec.
//!
//! Bytes in, values out: no clock, no I/O, no threads, no logging. `SPEC.md` beside this crate is
//! the contract; this is its reference implementation. It is not a client: programs that own the
//! pipe drive it.
//!
//! ```text
//! bytes ─► wire (frames) ─► message (meaning) ─► session (what may come now) ─► program
//! ```

pub mod avro;
pub mod error;
pub mod json;
pub mod limits;
pub mod message;
pub mod offset;
pub mod session;
pub mod wire;

pub use error::{Class, Code, Failure};
pub use offset::{OffsetError, OffsetKey, OffsetValue};
