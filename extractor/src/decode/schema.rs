//! Schemas that a registry keeps, and how a record names its own. Pure.
//!
//! A record of such a producer begins with a zero byte and the id of its schema in four bytes, the
//! highest first (Confluent's documentation, "Wire format"). A schema never changes under its id.

use std::fmt;
use std::sync::Arc;

use protocol::Failure;

use super::avro::{self, Plan};

/// Bytes in front of what a producer with a registry writes.
pub const FRAME_BYTES: usize = 5;

/// What the text of a schema is written in, by the name that registries have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Avro; also where the registry names none.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
}

impl Kind {
    /// The kind of a name, in the registry's spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Avro, Self::Json, Self::Protobuf].into_iter().find(|kind| kind.name() == name)
    }

    /// The name in the registry's spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A schema as a registry gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it is written in.
    pub kind: Kind,
    /// The schema.
    pub text: String,
    /// Schemas that it names, each after those that it names itself.
    pub references: Vec<Reference>,
}

/// A schema that another one names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// How it is named.
    pub name: String,
    /// The schema.
    pub text: String,
}

/// A schema that records can be read by.
#[derive(Debug, PartialEq, Eq)]
pub enum Schema {
    /// Avro.
    Avro(Plan),
    /// Of a kind that nothing is read by.
    Other(Kind),
}

impl Schema {
    /// Makes a schema of its text.
    ///
    /// # Errors
    /// Why it cannot be used, as one line.
    pub fn of(text: &Text, options: avro::Options) -> Result<Self, String> {
        match text.kind {
            Kind::Avro => {
                let references: Vec<_> =
                    text.references.iter().map(|reference| reference.text.clone()).collect();
                Plan::parse(&text.text, &references, options).map(Self::Avro)
            }
            kind => Ok(Self::Other(kind)),
        }
    }

    /// What it is written in.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Avro(_) => Kind::Avro,
            Self::Other(kind) => *kind,
        }
    }
}

/// What is known of a schema id.
#[derive(Clone, Debug)]
pub enum Found {
    /// The schema.
    Ready(Arc<Schema>),
    /// Nothing yet: it is asked for; ask again later.
    Waiting,
    /// A record with this id cannot be read, for the given reason.
    Unusable(String),
    /// It could not be asked for. Of the record nothing is known.
    Failed(Failure),
}

/// Where schemas come from. Nothing here waits.
pub trait Schemas {
    /// The schema of an id, as far as it is known; asks for it where it is not.
    fn find(&mut self, id: u32) -> Found;
}
