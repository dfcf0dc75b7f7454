//! Avro as JSON text, in one walk over the bytes. Pure.
//!
//! apache-avro reads and checks the text of a schema; what becomes of it is a [`Plan`]: a flat list
//! of nodes with every name and symbol already escaped. The walk follows it, checks every length
//! before it takes a byte, and appends to a reused buffer. Integers and decimals pass through no
//! float.

mod compile;
mod interval;
mod number;
mod time;
mod walk;

use self::time::Unit;

/// Bytes of one decimal number. Why 512: 1,233 digits, far above the 33 bytes that the widest
/// `numeric` of known producers takes, and the work grows with the square.
pub const DECIMAL_BYTES_MAX: usize = 512;

/// Digits after the point that a schema may declare. Why 4,096: each value is written with all of
/// them, so that one byte would become a text of any length.
pub const SCALE_MAX: usize = 4096;

/// How dates and times are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Logical {
    /// As the numbers that they are on the wire.
    #[default]
    Raw,
    /// As text: `2011-11-11`, `11:11:11.123456`, `2011-11-11 11:11:11.123456` (UTC).
    Decoded,
}

/// What a schema alone does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How dates and times are written.
    pub logical: Logical,
    /// Whether `com.materialize.sink.uint2`, `4` and `8` have their lowest byte first, as older
    /// releases wrote them.
    pub little_endian: bool,
}

/// A schema, ready to be followed.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    nodes: Vec<Node>,
    root: usize,
}

/// One type; a number is the index of another node.
#[derive(Debug, PartialEq, Eq)]
enum Node {
    /// Reserved for a named type that is being compiled.
    Unset,
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    /// A string whose text is JSON (`connect.name` is `io.debezium.data.Json`).
    Json,
    Fixed(usize),
    /// `size` of a fixed, none of bytes.
    Decimal {
        scale: usize,
        size: Option<usize>,
    },
    Unsigned {
        size: usize,
        little_endian: bool,
    },
    Interval,
    /// A uuid in 16 bytes.
    Uuid,
    Date,
    /// Of an int or a long.
    Time(Unit),
    Timestamp(Unit),
    /// Its symbols as JSON strings.
    Enum(Vec<Vec<u8>>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    /// `{"name":` of the first, `,"name":` of the others.
    before: Vec<u8>,
    node: usize,
}

/// Why bytes are not what a schema says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The byte where reading stopped.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl Plan {
    /// Reads a schema. `references`: the schemas that it names, each after those that it names
    /// itself.
    ///
    /// # Errors
    /// Why the schema cannot be used, as one line.
    pub fn parse(text: &str, references: &[String], options: Options) -> Result<Self, String> {
        compile::compile(text, references, options)
    }

    /// Appends the JSON text of one datum that fills `bytes` from `from` to their end.
    ///
    /// # Errors
    /// Where and why the bytes are no such datum; `out` has a part of the text then.
    pub fn write(&self, bytes: &[u8], from: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        walk::write(self, bytes, from, out)
    }
}

#[cfg(test)]
mod tests;
