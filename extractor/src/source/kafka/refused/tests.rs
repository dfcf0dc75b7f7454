//! Each text that librdkafka is known to give, and what the user reads.

use super::*;

#[track_caller]
fn check(code: RDKafkaErrorCode, text: &str, expected: Code, message: &str) {
    let failure = classify(code, text, Shows::Nothing).unwrap();
    assert_eq!(failure.code, expected, "{}", failure.message);
    assert!(failure.message.contains(message), "{}", failure.message);
    assert!(!failure.message.contains('\n'));
}

const E: RDKafkaErrorCode = RDKafkaErrorCode::SSL;
const LOGIN: RDKafkaErrorCode = RDKafkaErrorCode::Authentication;
const LOST: RDKafkaErrorCode = RDKafkaErrorCode::BrokerTransportFailure;

#[test]
fn certificates() {
    let tls = Code::TlsHandshake;
    check(
        E,
        "ssl://h:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate \
         verify failed: broker certificate could not be verified, verify that ssl.ca.location is \
         correctly configured or root CA certificates are installed (after 5ms in state \
         SSL_HANDSHAKE)",
        tls,
        "broker h:9093: the broker's certificate is not signed by an authority",
    );
    let mismatch = "ssl://h:1/2: SSL handshake failed: ...certificate verify failed: hostname \
                    mismatch: broker certificate could not be verified";
    check(E, mismatch, tls, "is for another name");
    let expired = "ssl://h:1/2: certificate verify failed: certificate has expired";
    check(E, expired, tls, "not valid at this time");
    let wanted = "ssl://h:1/2: Disconnected: error:0A00045C:SSL routines::tlsv13 alert certificate \
                  required";
    check(LOST, wanted, tls, "wants a client certificate");
    let alert = "ssl://h:1/2: tlsv1 alert unknown ca";
    check(E, alert, tls, "wants a client certificate");
    let shown = classify(E, alert, Shows::Certificate).unwrap();
    assert!(shown.message.contains("refuses the client certificate"), "{}", shown.message);
    check(E, "ssl://h:1/2: something new", tls, "TLS fails: ssl://h:1/2: something new");
}

#[test]
fn ports_that_speak_something_else() {
    let tls = Code::TlsHandshake;
    let text = "ssl://h:1/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT \
                broker listener?";
    check(LOST, text, tls, "does not speak TLS");
    let text = "h:1/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN \
                (after 64ms in state APIVERSION_QUERY)";
    check(LOST, text, tls, "broker h:1: the broker closes the connection at once");
    assert_eq!(classify(LOST, &format!("ssl://{text}"), Shows::Nothing), None);
    let text = "h:1/1: Disconnected: connection closed by peer (after 3ms in state UP)";
    check(LOST, text, Code::SourceUnavailable, "probably wants a login");
    let sending = "h:1/bootstrap: Send failed: Broken pipe (after 0ms in state UP)";
    check(LOST, sending, Code::SourceUnavailable, "probably wants a login");
    assert_eq!(classify(LOST, &format!("sasl_plaintext://{text}"), Shows::Nothing), None);
}

#[test]
fn logins() {
    let text = "sasl_ssl://h:9/bootstrap: SASL authentication error: Authentication failed during \
                authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256";
    check(LOGIN, text, Code::AuthFailed, "broker h:9: the broker refuses the login");
    let text = "sasl_ssl://h:9/1: Unsupported SASL mechanism: broker supports PLAIN";
    check(LOGIN, text, Code::AuthFailed, "does not offer this sasl.mechanism");
    let text = "sasl_ssl://h:9/1: SASL authentication error: Access denied: token expired";
    check(LOGIN, text, Code::CredentialsExpired, "give the pipeline new ones");
}

#[test]
fn the_network_is_not_judged() {
    let text = "h:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused";
    assert_eq!(classify(LOST, text, Shows::Nothing), None);
    assert_eq!(
        classify(RDKafkaErrorCode::Resolve, "h:1/b: Failed to resolve", Shows::Nothing),
        None
    );
}

#[test]
fn secret_values_are_not_quoted() {
    let secret = |key: &str| {
        let error = KafkaError::ClientConfig(
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "Invalid value \"hunter2\"".to_owned(),
            key.to_owned(),
            "hunter2".to_owned(),
        );
        unusable(&error).message
    };
    assert_eq!(secret("sasl.password"), "librdkafka refuses the value of sasl.password");
    let created = KafkaError::ClientCreation("ssl.key.pem failed: not in PEM format?".to_owned());
    assert!(unusable(&created).message.contains("ssl.key.password"));
}

#[test]
fn an_answer_that_is_too_large_says_what_to_raise() {
    let text = "h:9092/1: Receive failed: Invalid response size 40000000 (0..33554432): increase \
                receive.message.max.bytes";
    check(RDKafkaErrorCode::BadMessage, text, Code::BufferLimit, "broker h:9092: the broker sends");
}

#[test]
fn f30_only_a_refused_login_becomes_an_expired_one() {
    let of = |code| expired(Failure::new(code, "why"), "broker h:1");
    let failure = of(Code::AuthFailed);
    assert_eq!(failure.code, Code::CredentialsExpired);
    assert!(failure.message.starts_with("broker h:1: the credentials have expired"), "{failure}");
    assert_eq!(of(Code::TlsHandshake), Failure::new(Code::TlsHandshake, "why"));
}
