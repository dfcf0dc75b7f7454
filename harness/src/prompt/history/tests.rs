//! Where the history is, who may read it, and what is not in it.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::{place, private};
use crate::sql::may_hold_secret;
use crate::store::StoreUrl;

fn at(pairs: &[(&str, &str)]) -> Option<PathBuf> {
    let find = |name: &str| pairs.iter().find(|(it, _)| *it == name);
    place(&|name| find(name).map(|(_, value)| OsString::from(value)))
}

#[test]
fn the_history_is_below_the_users_state() {
    assert_eq!(at(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some("/s/s2x/history".into()));
    assert_eq!(at(&[("HOME", "/h")]), Some("/h/.local/state/s2x/history".into()));
    let relative = at(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]);
    assert_eq!(relative, Some("/h/.local/state/s2x/history".into()));
    assert_eq!(at(&[]), None);
}

#[test]
fn nobody_else_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/history");
    private(&path).unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    private(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn statements_with_secrets_are_not_remembered() {
    let url: StoreUrl = "sqlite:x.db".parse().unwrap();
    let create = "CREATE INFERRED PIPELINE p AS LOAD DATA KAFKACONNECT 'x'";
    for secret in [
        format!("{create} CONFIG '{{}}' CREDENTIALS '{{}}' FORMAT AVRO;"),
        format!("{create} CONFIG '{{\"aws.secret.access.key\": \"x\"}}' FORMAT AVRO;"),
        format!("{create} CONFIG '{{\"a\": \"https://u:geheim@h/\"}}' FORMAT AVRO;"),
        format!("{create} CONFIG 'no JSON geheim' FORMAT AVRO;"),
        "CREATE PIPELINE p AS LOAD DATA KAFKA 'x://u:geheim@h/t' INTO TABLE t FORMAT JSON;"
            .to_owned(),
        "ALTER PIPELINE p SET CONFIG ::a = 'geheim';".to_owned(),
        "SELECT 1; CREATE USER u IDENTIFIED BY 'geheim';".to_owned(),
        "SET PASSWORD = 'geheim';".to_owned(),
        "SELECT 'geheim".to_owned(),
        "ALTER PIPELINE p SET CREDENTIALS 'geheim';".to_owned(),
    ] {
        assert!(may_hold_secret(&secret, &url), "{secret}");
    }
    for open in [
        format!("{create} CONFIG '{{\"topics\": \"a\", \"sasl.username\": \"u\"}}' FORMAT AVRO;"),
        "SELECT * FROM p WHERE record LIKE '%password%';".to_owned(),
        "START PIPELINE p;".to_owned(),
        "CREATE PIPELINE p AS LOAD DATA KAFKA 'h:9092/t' INTO TABLE t FORMAT JSON;".to_owned(),
        "SET GLOBAL pipelines_stop_on_error = 'ON';".to_owned(),
    ] {
        assert!(!may_hold_secret(&open, &url), "{open}");
    }
}
