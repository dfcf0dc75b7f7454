//! What the secrets of a definition are bound to: everything that says what they are sent with, and where.
//!
//! Pure. Invariants: any change of CONFIG, CREDENTIALS or the source is another binding; clauses, which ALTER
//! changes without writing secrets anew, and a definition that is written down and read again are not.

use serde_json::{Value, json};

use super::Definition;
use crate::catalogue::{hex, key_hash};
use crate::pipeline::OwnSecrets;

impl Definition {
    /// The digest that its file of secrets is bound to.
    pub(crate) fn binding(&self) -> String {
        let sent = json!({
            "bound": 1,
            "source": self.source,
            "target": self.target,
            "config": self.config,
            "credentials": self.credentials,
        });
        hex(&key_hash(&rounded(&sent).to_string()))
    }

    /// The file of secrets that is its own.
    pub(super) fn own_secrets(&self) -> Option<OwnSecrets> {
        let file = self.secrets_file.clone()?;
        Some(OwnSecrets { file, binding: self.binding() })
    }
}

/// Fractions to ten digits: reading one that was written down may change its last.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            Value::from(number.as_f64().map(|it| format!("{it:.9e}")))
        }
        Value::Array(items) => items.iter().map(rounded).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), rounded(value))).collect()
        }
        other => other.clone(),
    }
}
