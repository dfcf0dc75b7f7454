//! Questions to a schema registry over HTTP: bounded in time, size, number and depth. Runs on the
//! thread of the registry and blocks it alone.
//!
//! Errors name the registry's host and its status. What it answers is shown to nobody, and neither is
//! what was sent.

use std::fmt;
use std::thread;
use std::time::Duration;

use protocol::limits::SCHEMA_BYTES_MAX;
use protocol::{Code, Failure};
use serde::de::DeserializeOwned;
use ureq::Agent;

use super::answer::{ErrorAnswer, ReferenceAnswer, SchemaAnswer};
use crate::decode::schema::{Kind, Reference, Text};

/// Bytes of an answer. Why four times the longest schema: it stands in a JSON string, with its quotation
/// marks escaped.
const ANSWER_BYTES_MAX: u64 = 4 * SCHEMA_BYTES_MAX as u64;

/// Times that a question is asked, at one address after the other, before it has failed.
const ATTEMPTS: u32 = 3;

/// Longest pause before the second attempt; doubles with each.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest pause that a registry may ask for (`retry-after`).
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Schemas that one schema may name, directly or not. Why 64: far above what people write, and each is
/// a question.
const REFERENCES_MAX: usize = 64;

/// How deep schemas may name each other.
const REFERENCE_DEPTH_MAX: usize = 16;

/// Bytes of the texts of a schema and of what it names.
const TEXTS_BYTES_MAX: usize = 4 * SCHEMA_BYTES_MAX;

/// Why there is no schema.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The registry does not know it, now.
    Unknown(String),
    /// It is there and cannot be used.
    Broken(String),
    /// The registry could not be asked.
    Failed(Failure),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(reason) | Self::Broken(reason) => f.write_str(reason),
            Self::Failed(failure) => f.write_str(&failure.message),
        }
    }
}

/// Where to ask.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Without a slash at its end.
    pub(super) url: String,
    /// What errors name.
    pub(super) host: String,
}

/// Asks one registry, which may have several addresses.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) agent: Agent,
    pub(super) addresses: Vec<Address>,
    /// The value of the header, secret.
    pub(super) authorization: Option<String>,
    pub(super) timeout: Duration,
}

/// Schemas that a schema names, found so far.
#[derive(Default)]
struct Gathered {
    texts: Vec<Reference>,
    /// Subjects and versions of `texts`.
    done: Vec<(String, i64)>,
    /// Those that lead to the one that is looked at.
    path: Vec<(String, i64)>,
    bytes: usize,
}

impl Client {
    /// Asks for a schema and for all that it names.
    pub(super) fn schema(&self, id: u32) -> Result<Text, Unanswered> {
        let what = format!("schema id {id}");
        let answer: SchemaAnswer = self.ask(&format!("/schemas/ids/{id}"), &what)?;
        let broken = |why: String| Unanswered::Broken(format!("{what} cannot be used: {why}"));
        let kind = match &answer.schema_type {
            None => Kind::Avro,
            Some(name) => Kind::from_name(name).ok_or_else(|| {
                broken("its schemaType is none of AVRO, JSON, PROTOBUF".to_owned())
            })?,
        };
        let mut gathered = Gathered::default();
        gathered.weigh(&answer.schema).map_err(&broken)?;
        for reference in answer.references.iter().flatten() {
            self.gather(reference, &mut gathered, &what)?;
        }
        Ok(Text { kind, text: answer.schema, references: gathered.texts })
    }

    /// Adds a reference behind all that it names itself.
    fn gather(
        &self,
        reference: &ReferenceAnswer,
        gathered: &mut Gathered,
        of: &str,
    ) -> Result<(), Unanswered> {
        let place = (reference.subject.clone(), reference.version);
        let broken = |why: String| Unanswered::Broken(format!("{of} cannot be used: {why}"));
        let (subject, version) = (shown(&place.0), place.1);
        if gathered.path.contains(&place) {
            let why = format!("its references go in a circle at {subject} version {version}");
            return Err(broken(why));
        }
        if gathered.done.contains(&place) {
            return Ok(());
        }
        if gathered.path.len() >= REFERENCE_DEPTH_MAX {
            return Err(broken(format!("references are deeper than {REFERENCE_DEPTH_MAX}")));
        }
        if gathered.path.len() + gathered.done.len() >= REFERENCES_MAX {
            return Err(broken(format!("it has more than {REFERENCES_MAX} references")));
        }
        let path = format!("/subjects/{}/versions/{version}?deleted=true", encoded(&place.0));
        let what = format!("{subject} version {version}, a reference of {of},");
        let answer: SchemaAnswer = self.ask(&path, &what)?;
        gathered.weigh(&answer.schema).map_err(broken)?;
        gathered.path.push(place);
        for inner in answer.references.iter().flatten() {
            self.gather(inner, gathered, of)?;
        }
        gathered.done.extend(gathered.path.pop());
        gathered.texts.push(Reference { name: reference.name.clone(), text: answer.schema });
        Ok(())
    }

    /// Asks for something that every registry has, and forgets it.
    pub(super) fn probe(&self) -> Result<(), Failure> {
        match self.ask::<serde::de::IgnoredAny>("/schemas/types", "the list of types") {
            // A server of another kind may not have it; it answers, which is what was asked.
            Ok(_) | Err(Unanswered::Unknown(_) | Unanswered::Broken(_)) => Ok(()),
            Err(Unanswered::Failed(failure)) => Err(failure),
        }
    }

    fn ask<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, Unanswered> {
        let mut ceiling = PAUSE;
        let mut attempt = 1;
        let mut addresses = self.addresses.iter().cycle();
        loop {
            let Some(address) = addresses.next() else {
                let failure = Failure::new(Code::Bug, "a registry without an address");
                return Err(Unanswered::Failed(failure));
            };
            let (failure, asked) = match self.ask_once(address, path, what) {
                Err((Unanswered::Failed(failure), asked)) => (failure, asked),
                Err((other, _)) => return Err(other),
                Ok(answer) => return Ok(answer),
            };
            let is_transient = failure.class == protocol::Class::Transient;
            if attempt == ATTEMPTS || !is_transient {
                return Err(Unanswered::Failed(failure));
            }
            let pause = ceiling.mul_f64(fastrand::f64()).max(asked.unwrap_or_default());
            thread::sleep(pause.min(ASKED_PAUSE_MAX));
            attempt += 1;
            ceiling *= 2;
        }
    }

    /// One request; with an error, how long the registry asks to wait.
    fn ask_once<T: DeserializeOwned>(
        &self,
        address: &Address,
        path: &str,
        what: &str,
    ) -> Result<T, (Unanswered, Option<Duration>)> {
        let failed = |failure: Failure| (Unanswered::Failed(failure), None);
        let mut request = self
            .agent
            .get(format!("{}{path}", address.url))
            .header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let mut response = request.call().map_err(|e| failed(self.unreachable(address, &e)))?;
        let status = response.status().as_u16();
        let seconds = response.headers().get("retry-after").and_then(|it| it.to_str().ok());
        let asked = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = match body {
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                let why = format!("{what} is longer than {ANSWER_BYTES_MAX} bytes");
                return Err((Unanswered::Broken(why), None));
            }
            other => other.map_err(|e| failed(self.unreachable(address, &e)))?,
        };
        match status {
            200 => serde_json::from_slice(&body).map_err(|_| failed(no_registry(address, "200"))),
            404 => {
                let error: ErrorAnswer = serde_json::from_slice(&body).unwrap_or_default();
                if error.is_not_found() {
                    let why = format!("{what} is unknown to the schema registry {}", address.host);
                    return Err((Unanswered::Unknown(why), None));
                }
                Err(failed(no_registry(address, "404")))
            }
            _ => Err((Unanswered::Failed(refused(address, status)), asked)),
        }
    }

    fn unreachable(&self, address: &Address, error: &ureq::Error) -> Failure {
        use ureq::Error as E;
        let host = &address.host;
        let is_tls = |error: &std::io::Error| {
            let text = error.to_string();
            ["certificate", "Certificate", "handshake", "alert"].iter().any(|it| text.contains(it))
        };
        let (code, what) = match error {
            E::Timeout(_) => (
                Code::Timeout,
                format!("gives no answer within {:?}; it is asked again", self.timeout),
            ),
            E::HostNotFound => (
                Code::Dns,
                "has no address; correct schema.registry.url or the name service".to_owned(),
            ),
            E::Rustls(error) => (Code::TlsHandshake, tls(&error.to_string())),
            E::Tls(error) => (Code::TlsHandshake, tls(error)),
            E::Io(error) if is_tls(error) => (Code::TlsHandshake, tls(&error.to_string())),
            E::Io(error) => (
                Code::SourceUnavailable,
                format!("cannot be reached ({}); it is asked again", error.kind()),
            ),
            _ => (Code::SourceUnavailable, "cannot be asked; it is tried again".to_owned()),
        };
        Failure::new(code, format!("the schema registry {host} {what}"))
    }
}

impl Gathered {
    fn weigh(&mut self, text: &str) -> Result<(), String> {
        self.bytes += text.len();
        if text.len() > SCHEMA_BYTES_MAX || self.bytes > TEXTS_BYTES_MAX {
            return Err(format!(
                "a schema may have {SCHEMA_BYTES_MAX} bytes, {TEXTS_BYTES_MAX} with its references"
            ));
        }
        Ok(())
    }
}

fn tls(text: &str) -> String {
    format!(
        "fails in TLS ({text}); schema.registry.ssl.ca.* names its authority, \
         schema.registry.ssl.certificate.* and .key.* what it may want to see"
    )
}

/// Something answers that does not speak the API.
fn no_registry(address: &Address, status: &str) -> Failure {
    let text = format!(
        "what answers at {} ({status}) is no schema registry; correct schema.registry.url, which may \
         need a path",
        address.host
    );
    Failure::new(Code::ConfigInvalid, text)
}

fn refused(address: &Address, status: u16) -> Failure {
    let host = &address.host;
    let (code, what) = match status {
        401 => (
            Code::AuthFailed,
            "does not know this user (401); correct schema.registry.basic.auth.user.info or \
             schema.registry.bearer.auth.token"
                .to_owned(),
        ),
        403 => (Code::PermissionDenied, "does not let this user read schemas (403)".to_owned()),
        408 | 500..=599 => {
            (Code::SourceUnavailable, format!("answers {status}; it is asked again"))
        }
        429 => (Code::SourceThrottled, "asks to slow down (429); it is asked again".to_owned()),
        300..=399 => (
            Code::ConfigInvalid,
            format!(
                "sends elsewhere ({status}), which is not followed: it would carry the login along; \
                 name the other address in schema.registry.url"
            ),
        ),
        _ => (Code::ConfigInvalid, format!("refuses the question ({status})")),
    };
    Failure::new(code, format!("the schema registry {host} {what}"))
}

/// A subject in a URL (RFC 3986 section 2.3).
fn encoded(subject: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 0xf] {
                out.extend(HEX.get(usize::from(nibble)).map(|digit| char::from(*digit)));
            }
        }
    }
    out
}

/// A subject in a text for people.
fn shown(subject: &str) -> String {
    /// Why 100: a line is for a person.
    const SHOWN_BYTES_MAX: usize = 100;
    let end = subject.floor_char_boundary(SHOWN_BYTES_MAX);
    format!("{:?}", subject.get(..end).unwrap_or_default())
}
