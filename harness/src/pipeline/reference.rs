//! References in values: `${env:NAME}`, `${file:/path}`, `${file:/path:key}`.
//!
//! May touch: the environment (through the caller's lookup) and the files referred to. Invariant: an
//! error names the reference, never what it stands for.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};

use serde_json::Value;

use super::bound::{self, OwnSecrets};
use super::properties;

/// Largest file that a reference may stand for. Why 64 KiB: a key or a certificate chain fits; a
/// larger file was named by mistake.
pub const REFERENCE_BYTES_MAX: u64 = 64 * 1024;

/// Looks up an environment variable.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The value with every reference in its texts replaced. `own` is the file of secrets of whom it belongs to.
///
/// # Errors
/// A reference that stands for nothing, as one line.
pub(super) fn resolve(
    value: &Value,
    env: Lookup<'_>,
    own: Option<&OwnSecrets>,
) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(resolve_text(text, env, own)?),
        Value::Array(items) => Value::Array(
            items.iter().map(|item| resolve(item, env, own)).collect::<Result<_, _>>()?,
        ),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| Ok((key.clone(), resolve(value, env, own)?)));
            Value::Object(pairs.collect::<Result<_, String>>()?)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other.clone(),
    })
}

fn resolve_text(text: &str, env: Lookup<'_>, own: Option<&OwnSecrets>) -> Result<String, String> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        resolved.push_str(before);
        let Some((provider, _)) = after.split_once(':').filter(|(name, _)| is_provider(name))
        else {
            // `${topic}` and the like belong to the connector.
            resolved.push_str("${");
            rest = after;
            continue;
        };
        let Some((reference, tail)) = after.split_once('}') else {
            return Err(format!("the reference ${{{provider}:… has no closing brace }}"));
        };
        let name = reference.split_once(':').map_or("", |(_, name)| name);
        let found = match provider {
            "env" => variable(name, env),
            "file" => file(name, own),
            _ => Err("there are ${env:NAME}, ${file:/path} and ${file:/path:key} only".to_owned()),
        };
        let found = found.map_err(|why| format!("the reference ${{{reference}}}: {why}"))?;
        resolved.push_str(&found);
        rest = tail;
    }
    resolved.push_str(rest);
    Ok(resolved)
}

/// Whether a text is one reference and nothing else: it holds no secret itself.
pub(crate) fn is_reference(text: &str) -> bool {
    let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| {
        let provider = inner.split_once(':').map(|(provider, _)| provider);
        matches!(provider, Some("env" | "file")) && !inner.contains(['{', '}'])
    })
}

/// Whether a reference stands anywhere in a value, one of a provider that there is not among them.
pub(crate) fn has_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => text
            .split("${")
            .skip(1)
            .any(|after| after.split_once(':').is_some_and(|(provider, _)| is_provider(provider))),
        Value::Array(items) => items.iter().any(has_reference),
        Value::Object(map) => map.values().any(has_reference),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_provider(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn variable(name: &str, env: Lookup<'_>) -> Result<String, String> {
    let Some(value) = env(name) else {
        return Err(format!("the environment variable {name} is not set; set it before the start"));
    };
    value.into_string().map_err(|_| format!("the environment variable {name} is not UTF-8"))
}

fn file(reference: &str, own: Option<&OwnSecrets>) -> Result<String, String> {
    // Kafka Connect's form names a key of a .properties file after the last colon.
    if let Some((path, key)) = reference.rsplit_once(':') {
        let text = read(path)?;
        bound::require_own(path, &text, own)?;
        let lines = properties::parse(&text).map_err(|error| {
            format!("{path}:{}:{}: {}", error.place.line, error.place.column, error.reason)
        })?;
        let found = lines.into_iter().find(|line| line.key == key);
        return found.map(|line| line.value).ok_or_else(|| format!("{path} has no key {key}"));
    }
    let mut text = read(reference)?;
    bound::require_own(reference, &text, own)?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

fn read(path: &str) -> Result<String, String> {
    let why = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("there is no file {path}"),
        ErrorKind::PermissionDenied => format!("{path} cannot be read by this user"),
        _ => format!("read {path}: {error}"),
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(REFERENCE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(why)?;
    if bytes.len() as u64 > REFERENCE_BYTES_MAX {
        return Err(format!("{path} is larger than {REFERENCE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8"))
}
