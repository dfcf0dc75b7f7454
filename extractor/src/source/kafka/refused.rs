//! Why brokers and client do not come together when it is not the network: certificates, logins,
//! a port that speaks something else. Pure but for the last cause that the client remembers.
//!
//! librdkafka tells all of it as texts. A text is only used to find out which case it is, and which
//! broker; what the user reads is written here, so that nothing a peer says is repeated.

use protocol::{Class, Code, Failure};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::certificate::Fault;
use super::client::Client;
use super::link::Cause;
use super::security::Shows;
use crate::config::is_secret_key;

/// Bytes of librdkafka's own words that an error quotes.
const QUOTED_BYTES_MAX: usize = 200;

/// What probably keeps the client from every broker, once a question has failed for it.
pub(super) fn suspected(client: &Client) -> Option<Failure> {
    let cause = client.link().cause().filter(|_| !client.link().was_up())?;
    let failure = explain(&cause, client.shows())?;
    Some(failure.with("servers", client.servers()))
}

/// What keeps the client from every broker and does not pass by itself.
pub(super) fn refused(client: &Client) -> Option<Failure> {
    let link = client.link();
    let cause = || {
        let cause = link.cause()?;
        let told = match cause.code {
            RDKafkaErrorCode::BrokerTransportFailure => link.may_guess(),
            // The other brokers may well answer: this one sends it again and again.
            RDKafkaErrorCode::BadMessage => true,
            _ => link.down_for().is_some(),
        };
        let failure = explain(&cause, client.shows()).filter(|_| told)?;
        let failure = in_detail(client, failure, &cause.text);
        (failure.class != Class::Auth || !link.may_pass()).then_some(failure)
    };
    let failure = link.missing_token().or_else(cause)?;
    Some(failure.with("servers", client.servers()))
}

/// Words of librdkafka, OpenSSL or a broker (in lower case), what they mean, and what the user reads.
/// The first line that has one of its words counts.
type Case = (&'static [&'static str], Code, &'static str);

/// What the user reads when the credentials were good once.
const EXPIRED: &str = "the credentials have expired; give the pipeline new ones";

/// Texts about a login.
const LOGIN: [Case; 3] = [
    (&["expired"], Code::CredentialsExpired, EXPIRED),
    (
        &["unsupported", "not enabled", "not supported"],
        Code::AuthFailed,
        "the broker does not offer this sasl.mechanism on this port; choose another",
    ),
    (
        &[""],
        Code::AuthFailed,
        "the broker refuses the login; check sasl.mechanism, user name, password or token",
    ),
];

/// An answer of a broker is larger than the client takes; which partition it is of is not told.
const TOO_LARGE: &str = "the broker sends a record batch that is larger than the client accepts; \
                         raise properties.receive.message.max.bytes, or kafka.memory.bytes, of \
                         which it is twice";

/// The broker's certificate is for another name.
const NAME: &str = "the broker's certificate is for another name; use the name it has in \
                    bootstrap.servers, or correct the certificate or advertised.listeners";

/// The broker's certificate is too old or too new.
const TIME: &str = "the broker's certificate is not valid at this time; renew it, or set the clock";

/// Nobody who is trusted signed the broker's certificate.
const AUTHORITY: &str = "the broker's certificate is not signed by an authority that is trusted; \
                         set ssl.ca.pem or ssl.ca.location to its authority";

/// Something is wrong with the broker's certificate, and what it is could not be found out.
const NOT_ACCEPTED: &str = "the broker's certificate is not signed by an authority that is \
                            trusted, or it is for another name; set ssl.ca.pem or ssl.ca.location \
                            to its authority, and use the name it has";

/// Texts about connections.
const CONNECTION: [Case; 5] = [
    (&["increase receive.message.max.bytes"], Code::BufferLimit, TOO_LARGE),
    (&["hostname mismatch", "ip address mismatch"], Code::TlsHandshake, NAME),
    (&["certificate has expired", "certificate is not yet valid"], Code::TlsHandshake, TIME),
    (&["could not be verified", "certificate verify failed"], Code::TlsHandshake, NOT_ACCEPTED),
    (
        &["plaintext broker listener", "wrong version number", "packet length too long"],
        Code::TlsHandshake,
        "the port does not speak TLS; set security.protocol to PLAINTEXT or SASL_PLAINTEXT, or \
         use the TLS port",
    ),
];

/// Alerts of a broker about the client's certificate; without one, they mean that it wants one.
const ALERTS: [&str; 7] = [
    "certificate required",
    "client ssl authentication might be required",
    "bad certificate",
    "certificate unknown",
    "unknown ca",
    "certificate expired",
    "certificate revoked",
];

/// What the user reads when a broker wants a certificate.
const CERTIFICATE_WANTED: &str = "the broker wants a client certificate; set ssl.certificate.pem \
                                  and ssl.key.pem (or .location)";

/// What the user reads when a broker does not like the one it saw.
const CERTIFICATE_REFUSED: &str = "the broker refuses the client certificate; set \
                                   ssl.certificate.pem to one that its authority signed and that \
                                   is valid";

/// What the user reads when a connection is closed before the first answer.
const TLS_WANTED: &str = "the broker closes the connection at once: the port probably speaks TLS; \
                          set security.protocol to SSL or SASL_SSL";

/// What the user reads when a connection is closed after the broker told its version.
const LOGIN_WANTED: &str = "the broker closes the connection after the first answer: it probably \
                            wants a login; set security.protocol to SASL_SSL or SASL_PLAINTEXT";

/// The failure that a connection without TLS or without a login is closed with, by the state that
/// it was in. A guess: a broker that is being restarted looks the same.
fn guess(lower: &str) -> Option<(Code, &'static str)> {
    // Whether the end is read or met while sending depends on which comes first.
    let ends = ["disconnected", "connection reset", "broken pipe"];
    if !ends.iter().any(|end| lower.contains(end)) {
        return None;
    }
    if lower.contains("in state apiversion_query") && !lower.contains("ssl://") {
        return Some((Code::TlsHandshake, TLS_WANTED));
    }
    let no_login = !lower.contains("sasl_");
    (lower.contains("in state up") && no_login).then_some((Code::SourceUnavailable, LOGIN_WANTED))
}

/// Says what is wrong with a certificate, where OpenSSL does not.
fn in_detail(client: &Client, failure: Failure, text: &str) -> Failure {
    if !failure.message.ends_with(NOT_ACCEPTED) {
        return failure;
    }
    let at = broker_of(text);
    let what = match client.fault_of_certificate(at.trim_start_matches("broker ")) {
        Some(Fault::Name) => NAME,
        Some(Fault::Time) => TIME,
        Some(Fault::Authority) => AUTHORITY,
        None => return failure,
    };
    Failure::new(failure.code, format!("{at}: {what}"))
}

/// The failure of a connection, if it is one of these.
fn explain(cause: &Cause, shows: Shows) -> Option<Failure> {
    let failure = classify(cause.code, &cause.text, shows)?;
    let at = broker_of(&cause.text);
    Some(if cause.after_token { expired(failure, &at) } else { failure })
}

/// A login that was refused after the token's own end is refused because of that: brokers only say
/// no, and whether one does so before this side has noticed the end is a matter of milliseconds.
pub(super) fn expired(failure: Failure, what: &str) -> Failure {
    match failure.code {
        Code::AuthFailed => Failure::new(Code::CredentialsExpired, format!("{what}: {EXPIRED}")),
        _ => failure,
    }
}

/// The failure that a text of librdkafka tells, if it is one of these.
pub(super) fn classify(code: RDKafkaErrorCode, text: &str, shows: Shows) -> Option<Failure> {
    let lower = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is_login = code == RDKafkaErrorCode::Authentication || has(&["sasl authentication error"]);
    let cases = if is_login { LOGIN.as_slice() } else { CONNECTION.as_slice() };
    let case = cases.iter().find(|(words, ..)| has(words)).map(|(_, code, what)| (*code, *what));
    let alert = has(&ALERTS).then_some(match shows {
        Shows::Nothing => (Code::TlsHandshake, CERTIFICATE_WANTED),
        Shows::Certificate => (Code::TlsHandshake, CERTIFICATE_REFUSED),
    });
    let at = broker_of(text);
    match case.or(alert).or_else(|| guess(&lower)) {
        Some((code, what)) => Some(Failure::new(code, format!("{at}: {what}"))),
        None if code == RDKafkaErrorCode::SSL => {
            let text = format!("{at}: TLS fails: {}", cut(text));
            Some(Failure::new(Code::TlsHandshake, text))
        }
        None => None,
    }
}

/// The client could not be made at all.
pub(super) fn unusable(error: &KafkaError) -> Failure {
    let text = match error {
        KafkaError::ClientConfig(_, _, key, _) if is_secret_key(key) => {
            format!("librdkafka refuses the value of {key}")
        }
        KafkaError::ClientConfig(_, why, key, _) => {
            format!("librdkafka refuses the value of {key}: {}", cut(why))
        }
        KafkaError::ClientCreation(why) if why.contains("ssl.key.") => {
            "ssl.key cannot be used: it is damaged, or ssl.key.password is missing or wrong"
                .to_owned()
        }
        KafkaError::ClientCreation(why) if why.contains("private key check") => {
            "ssl.key does not belong to ssl.certificate".to_owned()
        }
        KafkaError::ClientCreation(why) => format!("librdkafka refuses the settings: {}", cut(why)),
        other => format!("librdkafka refuses the settings: {}", cut(&other.to_string())),
    };
    Failure::new(Code::ConfigInvalid, text).with("pointer", "/config").fatal()
}

/// `broker HOST:PORT` of a text such as `sasl_ssl://HOST:PORT/bootstrap: why`.
fn broker_of(text: &str) -> String {
    let name = text.split_once(": ").map_or("", |(name, _)| name);
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    let address = name.split('/').next().unwrap_or_default();
    if address.is_empty() || address.contains(' ') {
        return "brokers".to_owned();
    }
    format!("broker {address}")
}

fn cut(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.get(..line.floor_char_boundary(QUOTED_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
