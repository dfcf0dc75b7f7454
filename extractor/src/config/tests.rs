//! Every getter, both origins, and that no secret leaves.

use protocol::Code;
use serde_json::{Map, Value, json};

use super::*;

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

fn settings(config: Value, credentials: Value) -> Settings {
    Settings::from_maps(&map(config), &map(credentials)).unwrap()
}

#[test]
fn scalars_are_text_and_credentials_win() {
    let settings =
        settings(json!({"a": 4, "b": true, "c": " x ", "u": "one"}), json!({"u": "two"}));
    assert_eq!(settings.text("a"), Some("4"));
    assert_eq!(settings.text("b"), Some("true"));
    assert_eq!(settings.text("c"), Some("x"));
    assert_eq!(settings.text("u"), Some("two"));
    assert_eq!(settings.text("absent"), None);
}

#[test]
fn other_kinds_are_refused_with_a_pointer() {
    for (value, kind) in [(json!(null), "null"), (json!([1]), "a list"), (json!({}), "an object")] {
        let failure = Settings::from_maps(&map(json!({"a/b~c": value})), &Map::new()).unwrap_err();
        assert_eq!(failure.code, Code::ConfigInvalid);
        assert_eq!(failure.detail["pointer"], "/config/a~1b~0c");
        assert!(failure.message.contains(kind), "{}", failure.message);
    }
}

#[test]
fn getters_name_what_is_allowed() {
    let settings = settings(json!({"f": "yes", "n": "-1", "w": "jsom"}), json!({}));
    let failure = settings.flag("f", false).unwrap_err();
    assert_eq!(failure.message, "f = \"yes\": allowed: true, false");
    let failure = settings.number("n", 1..=10, 5).unwrap_err();
    assert_eq!(failure.message, "n = \"-1\": allowed: a whole number from 1 to 10");
    let failure = settings.choice("w", &[("json", 1), ("bytes", 2)], 1).unwrap_err();
    assert_eq!(failure.message, "w = \"jsom\": allowed: json, bytes");
    assert_eq!(failure.detail["pointer"], "/config/w");
    assert_eq!(settings.number("absent", 1..=10, 5).unwrap(), 5);
    assert!(settings.flag("absent", true).unwrap());
}

#[test]
fn two_spellings_must_agree() {
    let same = settings(json!({"a": "x", "b": "x"}), json!({}));
    assert_eq!(same.text_of_any(&["a", "b"]).unwrap(), Some(("a", "x")));
    let other = settings(json!({"a": "x", "b": "y"}), json!({}));
    let failure = other.text_of_any(&["a", "b"]).unwrap_err();
    assert_eq!(failure.message, "b = \"y\": a is set to another value");
}

#[test]
fn secrets_never_show() {
    let settings = settings(
        json!({"aws.secret.access.key": "cfgsecret", "properties.ssl.key.pem": "pemsecret", "topics": "t"}),
        json!({"user": "credsecret"}),
    );
    let mut secrets = settings.secrets();
    secrets.sort_unstable();
    assert_eq!(secrets, ["cfgsecret", "credsecret", "pemsecret"]);
    let shown = format!(
        "{settings:?} {:?} {} {}",
        settings.redacted(),
        settings.invalid("user", "wrong"),
        settings.invalid("aws.secret.access.key", "wrong")
    );
    for secret in secrets {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("\"topics\": \"t\""), "{shown}");
}

#[test]
fn secret_keys_are_known_by_name() {
    for key in [
        "db.password",
        "SASL.JAAS.config",
        "api.key",
        "session.Token",
        "ssl.key.pem",
        "aws.container.credentials.url",
        "basic.auth.user.info",
    ] {
        assert!(is_secret_key(key), "{key}");
    }
    for key in ["key.format", "topics", "bootstrap.servers", "kafka.memory.bytes"] {
        assert!(!is_secret_key(key), "{key}");
    }
}

#[test]
fn unknown_keys_come_with_the_nearest_known_one() {
    let settings = settings(json!({"topcis": "a", "zzz": "b", "properties.x": "c"}), json!({}));
    let unknown = settings.unknown(&["topics", "value.format"], &["properties."]);
    let shown: Vec<_> = unknown.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["topcis (did you mean topics?)", "zzz"]);
}

#[test]
fn rotated_credentials_replace_the_old_ones() {
    let settings = settings(json!({"a": "1"}), json!({"user": "old", "gone": "x"}));
    let rotated = settings.with_credentials(&map(json!({"user": "new"}))).unwrap();
    assert_eq!(rotated.text("user"), Some("new"));
    assert_eq!(rotated.text("gone"), None);
    assert_eq!(rotated.text("a"), Some("1"));
}
