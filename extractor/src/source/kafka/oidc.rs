//! Tokens by the client-credentials flow of OpenID Connect (RFC 6749 §4.4): one POST to the token
//! endpoint, bounded in time and size. librdkafka's own flow needs libcurl, which is not linked in.
//!
//! Errors name the endpoint's host, its status and the `error` word of its answer; nothing else of
//! an answer is shown.

use std::fs;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::{Code, Failure};
use serde::Deserialize;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::msk::quoted;
use super::security::{location, pem_text};
use super::token::{Token, expiry_of, ms, unix_ms};
use crate::config::Settings;

/// How long one request may take, from the look-up of the name to the last byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer. Why 64 KiB: tokens with many groups reach 10 KB.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Letters of an `error` word that are shown.
const WORD_BYTES_MAX: usize = 40;

/// Life of a token whose end is told nowhere; RFC 6749 leaves it to the endpoint.
const LIFE_UNKNOWN: Duration = Duration::from_secs(300);

/// The endpoint and who asks.
#[derive(Clone)]
pub(super) struct Oidc {
    agent: Agent,
    url: String,
    host: String,
    authorization: String,
    body: String,
    extensions: Vec<(String, String)>,
}

#[derive(Default, Deserialize)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<f64>,
    error: Option<String>,
}

impl Oidc {
    /// Reads the keys.
    pub(super) fn read(
        settings: &Settings,
        extensions: Vec<(String, String)>,
    ) -> Result<Self, Failure> {
        const URL: &str = "sasl.oauthbearer.token.endpoint.url";
        let text =
            |key: &str, what: &str| settings.text(key).ok_or_else(|| Settings::missing(key, what));
        let url = text(URL, "where tokens are fetched")?;
        let rest = url.strip_prefix("https://").or_else(|| {
            let rest = url.strip_prefix("http://")?;
            is_loopback(host_of(rest)).then_some(rest)
        });
        let rest = rest.filter(|rest| !host_of(rest).is_empty() && !host_of(rest).contains('@'));
        let rest = rest.ok_or_else(|| {
            settings.invalid(URL, "allowed: https://host/path; http only to this machine itself")
        })?;
        let id = text("sasl.oauthbearer.client.id", "who asks for tokens")?;
        let secret = text("sasl.oauthbearer.client.secret", "the secret of the client id")?;
        let scope = settings.text("sasl.oauthbearer.scope");
        let scope = scope.map_or_else(String::new, |scope| format!("&scope={}", quoted(scope)));
        let roots = roots(settings)?;
        let tls = TlsConfig::builder().root_certs(roots).build();
        let config = Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            // A redirect would carry the secret to another place.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls)
            .build();
        Ok(Self {
            agent: config.new_agent(),
            url: url.to_owned(),
            host: host_of(rest).to_owned(),
            authorization: format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))),
            body: format!("grant_type=client_credentials{scope}"),
            extensions,
        })
    }

    /// Asks for a token.
    pub(super) fn fetch(&self, now: SystemTime) -> Result<Token, Failure> {
        let host = &self.host;
        let sent = self
            .agent
            .post(&self.url)
            .header("authorization", &self.authorization)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .send(&self.body);
        let mut response = sent.map_err(|e| self.unreachable(&e))?;
        let status = response.status().as_u16();
        let answer = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let answer = answer.map_err(|e| self.unreachable(&e))?;
        let answer: Answer = serde_json::from_slice(&answer).unwrap_or_default();
        match (status, answer.access_token) {
            (200, Some(value)) if !value.is_empty() => {
                let told = answer.expires_in.filter(|seconds| (1.0..1e9).contains(seconds));
                let told = told.map(|seconds| ms(Duration::from_secs_f64(seconds)));
                let start = unix_ms(now);
                let told = told.map(|life| start.saturating_add(life));
                // The token itself is cut to whole seconds, and brokers go by it.
                let expires_ms = [told, expiry_of(&value)].into_iter().flatten().min();
                let expires_ms =
                    expires_ms.unwrap_or_else(|| start.saturating_add(ms(LIFE_UNKNOWN)));
                Ok(Token { value, expires_ms, extensions: self.extensions.clone() })
            }
            (200, _) => Err(Failure::new(
                Code::AuthFailed,
                format!("the token endpoint {host} answers without access_token; check its url"),
            )),
            (500.. | 408 | 429, _) => Err(Failure::new(
                Code::SourceUnavailable,
                format!("the token endpoint {host} answers {status}; it is asked again"),
            )),
            _ => {
                let word = answer.error.filter(|word| is_word(word));
                let word = word.map_or_else(String::new, |word| format!(" ({word})"));
                let text = format!(
                    "the token endpoint {host} refuses with {status}{word}; check \
                     sasl.oauthbearer.client.id, client.secret and scope"
                );
                Err(Failure::new(Code::AuthFailed, text))
            }
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        use ureq::Error as E;
        let host = &self.host;
        let (code, what) = match error {
            E::Timeout(_) => (
                Code::Timeout,
                format!("gives no answer within {REQUEST_TIMEOUT:?}; it is asked again"),
            ),
            E::HostNotFound => (Code::Dns, "has no address; correct its url".to_owned()),
            E::Rustls(error) => (
                Code::TlsHandshake,
                format!("is not trusted ({error}); set https.ca.pem to its authority"),
            ),
            E::Tls(error) => (Code::TlsHandshake, format!("fails in TLS ({error})")),
            E::BodyExceedsLimit(_) => {
                (Code::AuthFailed, format!("answers with more than {ANSWER_BYTES_MAX} bytes"))
            }
            E::Io(error) if is_certificate(error) => (
                Code::TlsHandshake,
                format!("is not trusted ({error}); set https.ca.pem to its authority"),
            ),
            E::Io(error) => (
                Code::SourceUnavailable,
                format!("cannot be reached ({}); it is asked again", error.kind()),
            ),
            _ => (Code::SourceUnavailable, "cannot be asked; it is tried again".to_owned()),
        };
        Failure::new(code, format!("the token endpoint {host} {what}"))
    }
}

fn is_certificate(error: &std::io::Error) -> bool {
    error.to_string().contains("certificate")
}

fn is_word(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=WORD_BYTES_MAX).contains(&word.len()) && word.bytes().all(plain)
}

fn host_of(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

/// Authorities that the endpoint's certificate may be signed by; without the keys, the public ones.
fn roots(settings: &Settings) -> Result<RootCerts, Failure> {
    let (pem, path) = ("https.ca.pem", "https.ca.location");
    let (key, text) = match (settings.text(pem), settings.text(path)) {
        (Some(_), Some(_)) => return Err(settings.invalid(path, &format!("{pem} is set too"))),
        (None, None) => return Ok(RootCerts::WebPki),
        (Some(_), None) => (pem, pem_text(settings, pem)?),
        (None, Some(_)) => {
            let file = location(settings, path)?;
            let text = fs::read_to_string(file)
                .map_err(|e| settings.invalid(path, &format!("cannot read it: {e}")))?;
            (path, text)
        }
    };
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(text.as_bytes()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(settings.invalid(key, "not all of it is PEM")),
        }
    }
    if found.is_empty() {
        return Err(settings.invalid(key, "holds no certificate"));
    }
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests;
