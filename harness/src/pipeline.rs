//! Pipeline files: what a person writes about a pipeline, and the plan that comes of it.
//!
//! May touch: the pipeline file, files and environment variables that it refers to, and the file
//! system to find the extractor. Invariants: the value of a secret or of a reference is in no error,
//! no `Debug` output and no redacted text; a key that is not the harness's own reaches the extractor
//! unchanged.

mod aside;
mod bound;
mod document;
mod error;
mod extractor;
mod json;
mod keys;
mod plan;
mod points;
mod properties;
mod reference;
mod route;
mod secret;

pub use bound::OwnSecrets;
pub(crate) use bound::{bound_to, line as binding_line};
pub use document::{Document, Entry, PIPELINE_FILE_BYTES_MAX, Place};
pub use error::PipelineError;
pub use json::{Refusal, entries};
pub(crate) use keys::nearest;
pub use keys::{KEYS, Key, Kind, key, nearest_key, unknown_key};
pub use plan::{Overrides, Surroundings, load, plan};
pub use points::{parse_end, parse_start};
pub use reference::{Lookup, REFERENCE_BYTES_MAX};
pub(crate) use reference::{has_reference, is_reference};
pub use secret::{REDACTED, is_secret_key};
pub(crate) use secret::{is_open, redacted_config};

#[cfg(test)]
mod tests;
