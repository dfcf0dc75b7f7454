//! What a registry answers, as its published API has it (Confluent's "Schema Registry API Reference").
//! Fields that are not named here are left alone. Pure.

use serde::Deserialize;

/// `GET /schemas/ids/{id}` and `GET /subjects/{subject}/versions/{version}`.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaAnswer {
    pub(super) schema: String,
    /// None means Avro.
    pub(super) schema_type: Option<String>,
    /// None, null and empty are the same.
    #[serde(default)]
    pub(super) references: Option<Vec<ReferenceAnswer>>,
}

/// One of `references`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct ReferenceAnswer {
    /// How the schema names the other one.
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) version: i64,
}

/// What comes with an HTTP error.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorAnswer {
    #[serde(default)]
    pub(super) error_code: i64,
}

/// `error_code` of what is not there: a subject, a version, a schema.
const NOT_FOUND: [i64; 3] = [40401, 40402, 40403];

impl ErrorAnswer {
    /// Whether the registry knows its own answer, and not some server that is no registry.
    pub(super) fn is_not_found(&self) -> bool {
        NOT_FOUND.contains(&self.error_code)
    }
}
