//! Tokens for AWS MSK with IAM: a request for `kafka-cluster:Connect` that is signed and not sent
//! (Signature Version 4, query form), in base64. Pure.
//!
//! The form is that of AWS's own signers (`aws-msk-iam-sasl-signer-go` and its siblings). It was
//! not tried against AWS; the signature is tested against the example that AWS publishes.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use protocol::Failure;
use sha2::{Digest, Sha256};

use super::token::{Token, ms, unix_ms};
use crate::config::Settings;

/// How long a token is good: what AWS's own signers ask for.
const LIFE: Duration = Duration::from_secs(900);

/// SHA-256 of no bytes: the request has no body.
const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Who signs, and where.
#[derive(Clone)]
pub(super) struct Msk {
    region: String,
    id: String,
    secret: String,
    session: Option<String>,
}

impl Msk {
    /// Reads the keys.
    pub(super) fn read(settings: &Settings) -> Result<Self, Failure> {
        let text = |key: &str, what: &str| {
            settings.text(key).map(str::to_owned).ok_or_else(|| Settings::missing(key, what))
        };
        let region = text("aws.region", "the region of the MSK cluster, for example us-east-1")?;
        if !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(settings.invalid("aws.region", "no region; one is us-east-1"));
        }
        Ok(Self {
            region,
            id: text("aws.access.key.id", "AWS_MSK_IAM signs with an access key")?,
            secret: text("aws.secret.access.key", "the secret of aws.access.key.id")?,
            session: settings.text("aws.session.token").map(str::to_owned),
        })
    }

    /// A token that is good from `now` on.
    pub(super) fn token(&self, now: SystemTime) -> Token {
        let host = format!("kafka.{}.amazonaws.com", self.region);
        let signed = Presign {
            host: &host,
            path: "/",
            region: &self.region,
            service: "kafka-cluster",
            body: NO_BODY,
            life: LIFE,
        };
        let url = signed.url(self, &[("Action", "kafka-cluster:Connect")], now);
        let url =
            format!("{url}&User-Agent={}", quoted(concat!("s2x/", env!("CARGO_PKG_VERSION"))));
        Token {
            value: URL_SAFE_NO_PAD.encode(url),
            expires_ms: unix_ms(now).saturating_add(ms(LIFE)),
            extensions: Vec::new(),
        }
    }
}

/// A GET request to be signed in its query.
struct Presign<'a> {
    host: &'a str,
    path: &'a str,
    region: &'a str,
    service: &'a str,
    body: &'a str,
    life: Duration,
}

impl Presign<'_> {
    fn url(&self, keys: &Msk, query: &[(&str, &str)], now: SystemTime) -> String {
        let (day, time) = date(now);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let credential = format!("{}/{scope}", keys.id);
        let stamp = format!("{day}T{time}Z");
        let life = self.life.as_secs().to_string();
        let mut pairs = query.to_vec();
        pairs.extend([
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &stamp),
            ("X-Amz-Expires", &life),
            ("X-Amz-SignedHeaders", "host"),
        ]);
        pairs.extend(keys.session.as_deref().map(|token| ("X-Amz-Security-Token", token)));
        let mut pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", quoted(name), quoted(value)))
            .collect();
        pairs.sort_unstable();
        let query = pairs.join("&");
        let (host, path, body) = (self.host, self.path, self.body);
        let request = format!("GET\n{path}\n{query}\nhost:{host}\n\nhost\n{body}");
        let hash = hex(&Sha256::digest(request));
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}");
        let mut key = format!("AWS4{}", keys.secret).into_bytes();
        for part in [day.as_str(), self.region, self.service, "aws4_request"] {
            key = hmac(&key, part);
        }
        let signature = hex(&hmac(&key, &to_sign));
        format!("https://{host}{path}?{query}&X-Amz-Signature={signature}")
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length, so that there is no other case.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

const HEX: [char; 16] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| HEX.get(usize::from(digit))).collect()
}

/// As Signature Version 4 wants it: all but letters, digits and `-._~`, in upper case.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

/// `YYYYMMDD` and `HHMMSS` in UTC.
fn date(now: SystemTime) -> (String, String) {
    let seconds = unix_ms(now) / 1000;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01, in cycles of 400 years (Howard Hinnant, "chrono-compatible
    // low-level date algorithms", civil_from_days).
    let shifted = days + 719_468;
    let (cycle, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + cycle * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    (format!("{year:04}{month:02}{day_of_month:02}"), format!("{hour:02}{minute:02}{second:02}"))
}

#[cfg(test)]
mod tests;
