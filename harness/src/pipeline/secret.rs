//! What counts as a secret, and how a configuration is shown without any.
//!
//! Touches nothing. The one definition of "looks like a secret" in the harness is [`is_secret_key`].

use protocol::message::Object;
use serde_json::Value;

use super::document::Entry;
use crate::store::StoreUrl;

/// Stands in for a secret wherever a configuration is shown.
pub const REDACTED: &str = "***";

/// Shortest credential that is looked for inside other values. Why 4: shorter ones are found by chance.
const CREDENTIAL_LEN_MIN: usize = 4;

/// Whether a key names a secret by the way it is called.
pub fn is_secret_key(key: &str) -> bool {
    const PARTS: [&str; 7] =
        ["secret", "password", "passphrase", "token", "sasl.jaas", "credential", "user.info"];
    let key = key.to_ascii_lowercase();
    PARTS.iter().any(|part| key.contains(part)) || key.ends_with("key") || key.ends_with(".pem")
}

/// The configuration as JSON text without secrets: those of secret-looking keys, every credential
/// wherever it is repeated, passwords inside addresses. A reference is shown, not what it stands for.
pub(super) fn redacted_json(config: &[Entry], credentials: &[Entry]) -> String {
    let hidden: Vec<&str> = credentials
        .iter()
        .filter_map(|entry| entry.value.as_str())
        .filter(|text| text.len() >= CREDENTIAL_LEN_MIN)
        .collect();
    let mut shown = Object::new();
    for entry in config {
        let is_credential = credentials.iter().any(|other| other.key == entry.key);
        let value = if is_secret_key(&entry.key) || is_credential {
            Value::from(REDACTED)
        } else {
            redact(entry.written.clone(), &hidden)
        };
        shown.insert(entry.key.clone(), value);
    }
    Value::Object(shown).to_string()
}

/// CONFIG of a statement without secrets, which may be repeated from its CREDENTIALS; `None` where either is
/// no object of JSON.
pub(crate) fn redacted_config(config: &str, credentials: Option<&str>) -> Option<String> {
    let config = super::entries(config).ok()?;
    let credentials = credentials.map_or_else(|| Ok(Vec::new()), super::entries).ok()?;
    Some(redacted_json(&config, &credentials))
}

/// Whether a value may be shown as it is written: its key does not look like one of a secret, and it
/// has no password in it.
pub(crate) fn is_open(key: &str, written: &Value) -> bool {
    !is_secret_key(key) && redact(written.clone(), &[]) == *written
}

fn redact(value: Value, hidden: &[&str]) -> Value {
    match value {
        Value::String(text) => Value::String(redact_text(text, hidden)),
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| redact(item, hidden)).collect())
        }
        Value::Object(map) => {
            let inner = map.into_iter().map(|(key, value)| {
                let value =
                    if is_secret_key(&key) { Value::from(REDACTED) } else { redact(value, hidden) };
                (key, value)
            });
            Value::Object(inner.collect())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

fn redact_text(mut text: String, hidden: &[&str]) -> String {
    if let Ok(StoreUrl::Server(address)) = text.parse::<StoreUrl>() {
        return StoreUrl::Server(address).to_string();
    }
    for secret in hidden {
        text = text.replace(secret, REDACTED);
    }
    without_userinfo(&text)
}

/// Replaces the password of `scheme://user:password@host` by `***`, at every place of the text.
fn without_userinfo(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(['/', ' ', ',', '?', '"']).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((login, host)) => {
                let user = login.split_once(':').map_or(login, |(user, _)| user);
                shown.push_str(user);
                if login.contains(':') {
                    shown.push(':');
                    shown.push_str(REDACTED);
                }
                shown.push('@');
                shown.push_str(host);
            }
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}
