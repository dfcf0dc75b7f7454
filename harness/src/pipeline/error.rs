//! What can be wrong with a pipeline file.
//!
//! Touches nothing. Invariant: every text is one line and says what, where and what to do; none has
//! the value of a secret or a reference.

use crate::exit::Exit;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// The file is not there or cannot be read.
    #[error("cannot read the pipeline file {path}: {reason}")]
    Unreadable {
        /// The file as it was named.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The file's text cannot be understood.
    #[error("{path}:{line}:{column}: {reason}")]
    Malformed {
        /// The file as it was named.
        path: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What was expected, and what to do.
        reason: String,
    },
    /// A value cannot work.
    #[error("{path}:{line}:{column}: {key}: {reason}")]
    Value {
        /// The file as it was named.
        path: String,
        /// Line of the value, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The key.
        key: String,
        /// What was expected, and what to do.
        reason: String,
    },
    /// A key is missing.
    #[error("{path}: {key} is missing: {reason}")]
    Missing {
        /// The file as it was named.
        path: String,
        /// The key.
        key: &'static str,
        /// What to write.
        reason: String,
    },
    /// There is no extractor to start.
    #[error("{0}")]
    NoExtractor(String),
}

impl PipelineError {
    /// The exit code that belongs to it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { .. } => Exit::NoInput,
            Self::Malformed { .. }
            | Self::Value { .. }
            | Self::Missing { .. }
            | Self::NoExtractor(_) => Exit::Config,
        }
    }
}
