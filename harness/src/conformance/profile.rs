//! What a user says of the program under test: a JSON file.
//!
//! May touch: that file. Invariant: a key that is not known, and a skip without a reason, are refused.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::checks;

/// How long a check waits for an answer. Why 20 s: no answer of the test source takes longer on any machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Largest profile. Why: a list of checks with a sentence each.
const BYTES_MAX: u64 = 1 << 20;

/// What is known of the program under test.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How long an answer may take.
    pub patience: Duration,
    /// Checks that are left out, each with the reason.
    pub bypass: BTreeMap<String, String>,
}

impl Default for Profile {
    fn default() -> Self {
        Self { patience: PATIENCE, bypass: BTreeMap::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Milliseconds that an answer may take.
    patience_ms: Option<u64>,
    /// Id of a check, and why it is left out.
    #[serde(default)]
    bypass: BTreeMap<String, String>,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// The file cannot be read, or is not a profile: one line that says what to do.
    pub fn load(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        let wrong = |error: std::io::Error| format!("profile {}: {error}", path.display());
        let file = std::fs::File::open(path).map_err(wrong)?;
        file.take(BYTES_MAX).read_to_string(&mut text).map_err(wrong)?;
        Self::parse(&text).map_err(|error| format!("profile {}: {error}", path.display()))
    }

    /// Reads the text of a profile.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for (id, reason) in &document.bypass {
            if !checks().any(|check| check.id == id) {
                return Err(format!(
                    "bypass: there is no check {id}; harness conformance --list names them"
                ));
            }
            if reason.trim().is_empty() {
                return Err(format!("bypass: {id} has no reason; say why it is left out"));
            }
        }
        let patience = document.patience_ms.map_or(PATIENCE, Duration::from_millis);
        Ok(Self { patience, bypass: document.bypass })
    }
}
