//! What a client somewhere else may write into CONFIG, and what not.

use super::require_confined;
use crate::sql::statement::{Clauses, Json, Load, SourceWord};

fn check(config: &str, wanted: Option<&str>) {
    check_load("t", config, wanted);
}

fn check_load(target: &str, config: &str, wanted: Option<&str>) {
    let load = Load {
        source: SourceWord::Connector,
        target: target.to_owned(),
        config: Some(Json { text: config.to_owned(), at: 0 }),
        credentials: None,
        clauses: Clauses::default(),
        table: None,
    };
    let found = require_confined(&load, &|error| error.shown("x", config));
    match (found, wanted) {
        (Ok(()), None) => {}
        (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, _) => panic!("{config}: {found:?}"),
    }
}

#[test]
fn nothing_of_this_machine_is_named() {
    check(r#"{"connector.class": "kafka", "topics": "a", "bootstrap.servers": "b:9092"}"#, None);
    check(r#"{"ssl.ca.pem": "-----BEGIN", "topic": "${topic}"}"#, None);
    check(r#"{"a": "x${env:HOME}"}"#, Some("a holds a reference"));
    check(r#"{"a": {"b": ["${file:/etc/passwd}"]}}"#, Some("a holds a reference"));
    check(r#"{"extractor.path": "/bin/sh"}"#, Some("extractor.path names a file or a program"));
    check(r#"{"Extractor.Path": "/bin/sh"}"#, Some("names a file or a program"));
    check(r#"{"properties.ssl.key.location": "/x"}"#, Some("names a file"));
    check(r#"{"aws.container.token.file": "/x"}"#, Some("names a file"));
    check(r#"{"aws.use.default.chain": true}"#, Some("takes credentials of this machine"));
    check(r#"{"aws.profile": "p"}"#, Some("takes credentials of this machine"));
    check_load("${file:/etc/passwd}/t", "{}", Some("the target of LOAD DATA"));
}
