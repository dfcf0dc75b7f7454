//! SingleStore's functions on JSON, as queries of pipeline tables use them, for databases that lack them.
//!
//! Pure. One meaning for all stores: what is not JSON, and what is not there, is NULL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Functions that a MariaDB or MySQL server is given when asked for: by name, as the body of CREATE FUNCTION.
pub const SERVER_FUNCTIONS: [(&str, &str); 2] = [
    (
        "JSON_EXTRACT_STRING",
        "(doc LONGTEXT CHARACTER SET utf8mb4, k TEXT CHARACTER SET utf8mb4) \
         RETURNS LONGTEXT CHARACTER SET utf8mb4 DETERMINISTIC NO SQL \
         RETURN IF(JSON_VALID(doc), \
         (CASE JSON_TYPE(JSON_EXTRACT(doc, CONCAT('$.', JSON_QUOTE(k)))) WHEN 'NULL' THEN NULL \
         ELSE JSON_UNQUOTE(JSON_EXTRACT(doc, CONCAT('$.', JSON_QUOTE(k)))) END), NULL)",
    ),
    (
        "JSON_EXTRACT_BIGINT",
        "(doc LONGTEXT CHARACTER SET utf8mb4, k TEXT CHARACTER SET utf8mb4) \
         RETURNS BIGINT DETERMINISTIC NO SQL \
         RETURN IF(JSON_VALID(doc), \
         (CASE JSON_TYPE(JSON_EXTRACT(doc, CONCAT('$.', JSON_QUOTE(k)))) \
         WHEN 'INTEGER' THEN CAST(JSON_UNQUOTE(JSON_EXTRACT(doc, CONCAT('$.', JSON_QUOTE(k)))) AS SIGNED) \
         WHEN 'BOOLEAN' THEN JSON_UNQUOTE(JSON_EXTRACT(doc, CONCAT('$.', JSON_QUOTE(k)))) = 'true' \
         ELSE NULL END), NULL)",
    ),
];

/// The value of a key: a string without its quotes, anything else as JSON text.
pub(super) fn extract_string(document: &str, key: &str) -> Option<String> {
    match extract(document, key)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// The value of a key that is a whole number, or true as 1 and false as 0.
pub(super) fn extract_bigint(document: &str, key: &str) -> Option<i64> {
    match extract(document, key)? {
        Value::Number(number) => number.as_i64(),
        Value::Bool(flag) => Some(i64::from(flag)),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn extract(document: &str, key: &str) -> Option<Value> {
    match serde_json::from_str(document).ok()? {
        Value::Object(mut map) => map.remove(key),
        _ => None,
    }
}

/// The bytes that a text in base64 stands for; blanks and line breaks in it do not count.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(dense).ok()
}

#[cfg(test)]
mod tests;
