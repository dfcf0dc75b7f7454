//! Planted secrets at every place of a statement.

use super::*;
use crate::sql::lex::{Rules, split};

fn check(statement: &str, expected: &str) {
    let pieces = split(statement, Rules::Server).unwrap();
    assert_eq!(redacted(&pieces[0]), expected);
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    check("START  PIPELINE p", "START PIPELINE p");
    check("DROP PIPELINE IF EXISTS `a b`", "DROP PIPELINE IF EXISTS `a b`");
    check("SET GLOBAL x = \"y\"", "SET GLOBAL x = \"y\"");
    check("ALTER PIPELINE p SET OFFSETS '{\"0\": 5}'", "ALTER PIPELINE p SET OFFSETS '{\"0\": 5}'");
    check(
        "ALTER PIPELINE p SET OFFSETS TIMESTAMP '2026-01-31'",
        "ALTER PIPELINE p SET OFFSETS TIMESTAMP '2026-01-31'",
    );
}

#[test]
fn planted_secrets_are_nowhere() {
    check(
        "CREATE PIPELINE p AS LOAD DATA KAFKACONNECT 'c' CONFIG '{\"topics\": \"t\", \"sasl.password\": \
         \"canary\", \"url\": \"http://u:canary@h/\", \"repeats\": \"is canary2 here\", \"key.format\": \
         \"${env:X}\"}' CREDENTIALS '{\"a\": \"canary2\"}' -- canary\n/* canary */ FORMAT AVRO",
        "CREATE PIPELINE p AS LOAD DATA KAFKACONNECT 'c' CONFIG '{\"key.format\":\"${env:X}\",\
         \"repeats\":\"is *** here\",\"sasl.password\":\"***\",\"topics\":\"t\",\"url\":\"http://u:***@h/\"}' CREDENTIALS '***' \
         FORMAT AVRO",
    );
    for (statement, expected) in [
        (
            "CREATE PIPELINE p AS LOAD DATA KAFKA 'h/t' CONFIG 'canary' FORMAT JSON",
            "CONFIG '***' FORMAT",
        ),
        (
            "CREATE PIPELINE p AS LOAD DATA KAFKA 'x://u:canary@h/t' FORMAT JSON",
            "KAFKA '***' FORMAT",
        ),
        ("ALTER PIPELINE p SET CREDENTIALS '{\"k\": \"canary\"}'", "CREDENTIALS '***'"),
        ("ALTER PIPELINE p SET CREDENTIALS `::k` = 'canary'", "`::k` = '***'"),
        (
            "ALTER PIPELINE p SET CONFIG ::sasl.password = 'canary' SET CREDENTIALS ::'k' = 'canary'",
            "SET CONFIG ::sasl.password = '***' SET CREDENTIALS ::'***' = '***'",
        ),
        (
            "ALTER PIPELINE p SET CONFIG '{\"note\": \"canary\"}' SET CREDENTIALS ::k = 'canary'",
            "SET CONFIG '***' SET CREDENTIALS ::k = '***'",
        ),
        (
            "ALTER PIPELINE p SET CREDENTIALS '{}' SET CONFIG '{\"n\": \"canary\"}' SET CREDENTIALS '{\"k\": \"canary\"}'",
            "SET CONFIG '***'",
        ),
        ("ALTER PIPELINE p SET RETRY_OPTIONS 'canary'", "RETRY_OPTIONS '***'"),
    ] {
        let pieces = split(statement, Rules::Server).unwrap();
        let text = redacted(&pieces[0]);
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_statement_is_one_line() {
    check("START\nPIPELINE\n\tp", "START PIPELINE p");
}
