//! The frame layer: bytes to frames and back. The only module that knows byte order.
//!
//! ```text
//!  0        4    5    6      8        12     16     20     24       28       32
//! ┌────────┬────┬────┬──────┬────────┬──────┬──────┬──────┬────────┬────────┬─────────┐
//! │ magic  │ver │type│flags │ epoch  │ part │ seq  │ ref  │ length │ crc32c │ payload │
//! │ "S2XF" │ u8 │ u8 │ u16  │  u32   │ u32  │ u32  │ u32  │  u32   │  u32   │ length  │
//! └────────┴────┴────┴──────┴────────┴──────┴──────┴──────┴────────┴────────┴─────────┘
//! ```
//!
//! Integers are big-endian. The checksum covers bytes 0..28 and the payload. `SPEC.md` section 2.

pub mod checksum;
pub mod frame;
pub mod header;
pub mod kind;

pub use frame::{Frame, FrameDecoder, FrameError, FrameSealer};
pub use header::{FLAG_SENSITIVE, Head, NONE};
pub use kind::{Direction, Kind};

#[cfg(test)]
mod tests;
