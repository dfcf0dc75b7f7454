//! What each combination of settings tells librdkafka, and each one that is refused.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::*;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";

fn read(config: Value) -> Result<Security, Failure> {
    Security::read(&Settings::from_maps(config.as_object().unwrap(), &Map::new()).unwrap())
}

fn told(config: Value) -> Vec<(&'static str, String)> {
    read(config).unwrap().properties().to_vec()
}

#[track_caller]
fn refused(config: Value, message: &str) {
    let failure = read(config).err().unwrap();
    assert!(failure.message.contains(message), "{}", failure.message);
    assert!(failure.detail.contains_key("pointer"));
    assert!(!failure.message.contains("hunter2"), "{}", failure.message);
}

fn owned(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
}

#[test]
fn plaintext_is_the_default_and_says_nothing() {
    assert_eq!(told(json!({})), []);
    assert_eq!(told(json!({"security.protocol": "plaintext"})), []);
}

#[test]
fn names_are_checked_unless_that_is_switched_off() {
    let expected = [
        ("security.protocol", "ssl"),
        ("ssl.ca.location", "probe"),
        ("ssl.endpoint.identification.algorithm", "https"),
    ];
    let read = read(json!({"security.protocol": "SSL"})).unwrap();
    assert_eq!(read.properties(), owned(&expected));
    assert!(read.warnings.is_empty());
    let off = "ssl.endpoint.identification.algorithm";
    let config = json!({"security.protocol": "SSL", off: "none"});
    let read = self::read(config).unwrap();
    assert_eq!(read.warnings.len(), 1);
    assert!(read.properties().contains(&(off, "none".to_owned())));
}

#[test]
fn pem_comes_as_text_or_as_a_file() {
    let two = format!("{PEM}\\n{PEM}");
    let config = json!({"security.protocol": "SSL", "ssl.ca.pem": two});
    let expected = format!("{PEM}\n{PEM}\n");
    let escaped = told(config.clone());
    // A text with real line ends is left as it is, whatever else it holds.
    assert!(escaped.iter().any(|(key, _)| *key == "ssl.ca.pem"));
    let flat =
        json!({"security.protocol": "SSL", "ssl.ca.pem": expected.trim().replace('\n', "\\n")});
    assert!(told(flat).contains(&("ssl.ca.pem", expected)));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let ca = json!({"security.protocol": "SSL", "ssl.ca.location": path});
    refused(ca.clone(), "no line -----BEGIN");
    file.write_all(PEM.as_bytes()).unwrap();
    assert!(told(ca).contains(&("ssl.ca.location", path.clone())));
    refused(
        json!({"security.protocol": "SSL", "ssl.ca.location": path, "ssl.ca.pem": PEM}),
        "ssl.ca.pem is set too",
    );
    refused(
        json!({"security.protocol": "SSL", "ssl.ca.location": "/nowhere/ca.pem"}),
        "cannot read it: No such file",
    );
    refused(json!({"security.protocol": "SSL", "ssl.ca.pem": "/ca.pem"}), "ssl.ca.location");
    let key = json!({"security.protocol": "SSL", "ssl.key.pem": PEM});
    refused(key, "ssl.certificate.pem is missing");
    let certificate = json!({"security.protocol": "SSL", "ssl.certificate.pem": PEM});
    refused(certificate, "ssl.key.pem is missing");
}

#[test]
fn java_stores_are_recognized() {
    for (bytes, message) in
        [([0xfe, 0xed, 0xfe, 0xed], "a JKS store"), ([0x30, 0x82, 1, 2], "DER or PKCS#12")]
    {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let path = file.path().to_str().unwrap();
        refused(json!({"security.protocol": "SSL", "ssl.ca.location": path}), message);
    }
    refused(json!({"sasl.jaas.config": "x password=hunter2"}), "sasl.username and sasl.password");
    refused(json!({"ssl.truststore.location": "/t.jks"}), "here it is ssl.ca.location (PEM)");
    refused(json!({"ssl.keystore.password": "hunter2"}), "here it is ssl.key.password");
}

#[test]
fn logins_with_a_password() {
    for name in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let config = json!({
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": name,
            "sasl.username": "me",
            "sasl.password": "hunter2",
        });
        let read = read(config).unwrap();
        let expected = [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", name),
            ("sasl.username", "me"),
            ("sasl.password", "hunter2"),
        ];
        assert_eq!(read.properties(), owned(&expected));
        assert_eq!(read.warnings.len(), usize::from(name == "PLAIN"));
        assert!(!format!("{read:?}").contains("hunter2"));
    }
}

#[test]
fn what_would_be_ignored_is_refused() {
    refused(json!({"sasl.password": "hunter2"}), "security.protocol=PLAINTEXT has no login");
    refused(json!({"ssl.ca.pem": PEM}), "security.protocol=PLAINTEXT has no TLS");
    let sasl = |extra: Value| {
        let mut config = json!({"security.protocol": "SASL_PLAINTEXT"});
        config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        config
    };
    refused(sasl(json!({})), "sasl.mechanism is missing");
    refused(sasl(json!({"sasl.mechanism": "GSSAPI"})), "allowed: PLAIN, SCRAM-SHA-256");
    let plain = json!({"sasl.mechanism": "PLAIN", "sasl.username": "me"});
    refused(sasl(plain), "sasl.password is missing");
    let other = json!({"sasl.mechanism": "PLAIN", "aws.region": "x"});
    refused(sasl(other), "the chosen sasl.mechanism does not use it");
    refused(sasl(json!({"sasl.mechanism": "AWS_MSK_IAM"})), "security.protocol=SASL_SSL");
}

#[test]
fn tokens_are_given_fetched_or_signed() {
    let bearer = |extra: Value| {
        let mut config = json!({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"});
        config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        config
    };
    refused(bearer(json!({})), "sasl.oauthbearer.token is missing");
    let given = read(bearer(json!({"sasl.oauthbearer.token": "t"}))).unwrap();
    assert!(matches!(given.tokens, Some(Tokens::Given(_))));
    let endpoint = json!({
        "sasl.oauthbearer.method": "OIDC",
        "sasl.oauthbearer.token.endpoint.url": "https://h/t",
        "sasl.oauthbearer.client.id": "me",
        "sasl.oauthbearer.client.secret": "hunter2",
    });
    let fetched = read(bearer(endpoint.clone())).unwrap();
    assert!(matches!(fetched.tokens, Some(Tokens::Oidc(_))));
    let mut both = bearer(endpoint);
    both["sasl.oauthbearer.token"] = "hunter2".into();
    refused(both, "give one or the other");
    let msk = read(json!({
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "AWS_MSK_IAM",
        "aws.region": "us-east-1",
        "aws.access.key.id": "AK",
        "aws.secret.access.key": "hunter2",
    }))
    .unwrap();
    assert!(matches!(msk.tokens, Some(Tokens::Msk(_))));
    assert!(msk.properties().contains(&("sasl.mechanism", "OAUTHBEARER".to_owned())));
}

#[test]
fn librdkafka_knows_all_that_it_is_told() {
    for key in KEYS.iter().filter(|key| key.starts_with("ssl.")) {
        let value = if key.contains("identification") { "https" } else { "x" };
        rdkafka::ClientConfig::new().set(*key, value).create_native_config().unwrap();
    }
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] {
        rdkafka::ClientConfig::new()
            .set("security.protocol", "sasl_ssl")
            .set("sasl.mechanism", mechanism)
            .create_native_config()
            .unwrap();
    }
}
