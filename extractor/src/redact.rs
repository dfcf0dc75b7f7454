//! Keeps secrets out of everything that leaves the process for people: LOG, ERROR, stderr. Pure
//! but for one lock.
//!
//! Invariant: entries are only added. A rotated credential stays secret.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use protocol::Failure;
use serde_json::Value;

/// Stands in for a secret.
const REDACTED: &str = "***";

/// Shorter values are no secrets worth the name: replacing them would garble every line.
const SECRET_CHARS_MIN: usize = 4;

/// Shorter pieces of base64 would match by chance.
const BASE64_CHARS_MIN: usize = 6;

/// Replaces known secrets, as they are and as they are commonly encoded.
#[derive(Debug, Default)]
pub struct Redactor {
    /// Longest first, so that a secret that holds another one is replaced whole.
    needles: RwLock<Vec<String>>,
}

impl Redactor {
    /// Adds a secret value in all its forms, and each line of a value with several.
    pub fn add(&self, secret: &str) {
        let mut forms = Vec::new();
        for text in std::iter::once(secret).chain(secret.lines()) {
            let text = text.trim();
            // The first and last line of a certificate are known to everybody.
            if text.chars().count() >= SECRET_CHARS_MIN && !is_pem_border(text) {
                forms.push(text.to_owned());
                forms.push(json_form(text));
                forms.push(url_form(text));
                base64_forms(text.as_bytes(), &mut forms);
            }
        }
        let mut needles = self.needles.write().unwrap_or_else(PoisonError::into_inner);
        needles.append(&mut forms);
        needles.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
    }

    /// `text` without secrets.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let needles = self.needles.read().unwrap_or_else(PoisonError::into_inner);
        let mut clean = Cow::Borrowed(text);
        for needle in needles.iter() {
            if clean.contains(needle.as_str()) {
                clean = Cow::Owned(clean.replace(needle.as_str(), REDACTED));
            }
        }
        clean
    }

    /// `failure` without secrets in its texts.
    pub fn failure(&self, mut failure: Failure) -> Failure {
        failure.message = self.text(&failure.message).into_owned();
        for value in failure.detail.values_mut() {
            self.value(value);
        }
        failure
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text).into_owned(),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.value(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn is_pem_border(text: &str) -> bool {
    text.starts_with("-----") && text.ends_with("-----") && !text.contains('\n')
}

/// The secret inside a JSON string.
fn json_form(secret: &str) -> String {
    let quoted = Value::from(secret).to_string();
    quoted.trim_start_matches('"').trim_end_matches('"').to_owned()
}

/// The secret inside a URL (RFC 3986).
fn url_form(secret: &str) -> String {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut out = String::new();
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(HEX.get(usize::from(byte >> 4)));
            out.extend(HEX.get(usize::from(byte & 0xf)));
        }
    }
    out
}

/// The secret inside a longer text in base64, for example `user:password`: at each of the three
/// alignments, only the characters that depend on nothing around it.
fn base64_forms(secret: &[u8], forms: &mut Vec<String>) {
    for before in [&[][..], &[0], &[0, 0]] {
        let padded = [before, secret].concat();
        let first = (before.len() * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            let own = encoded.get(first..last).unwrap_or_default();
            if own.len() >= BASE64_CHARS_MIN {
                forms.push(own.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
