//! The little of Avro's binary form that the pipe needs: varints, strings, containers, and the two
//! fixed rows. Everything richer belongs to an Avro library. Avro 1.11 specification, sections
//! "Binary encoding" and "Object container files".

pub mod container;
pub mod primitive;
pub mod row;

pub use container::{Block, Blocks, ContainerError, ContainerHeader, Marker};
pub use primitive::{Cursor, DatumError};
pub use row::{ErrorRow, RowRef};
