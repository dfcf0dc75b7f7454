//! Who is let in, and what a client may reach of the machine.

use std::time::{Duration, Instant};

use mysql::Conn;
use mysql::prelude::Queryable as _;

use super::server::{Bench, refused};

#[test]
fn another_address_needs_a_password() {
    let bench = Bench::sqlite();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:3307"] {
        let (code, why) = bench.fails(&["--listen", address]);
        assert_eq!(code, 64, "{why}");
        assert!(why.contains("clients need a password"), "{why}");
    }
    let (code, why) = bench.fails(&["--listen", "nowhere"]);
    assert_eq!(code, 64, "{why}");
    std::fs::write(bench.folder.path().join("empty"), "\n").unwrap();
    let (code, why) = bench.fails(&["--password-file", "empty"]);
    assert_eq!(code, 78, "{why}");
    // Not an address of this machine: that it is tried shows that the password was enough.
    std::fs::write(bench.folder.path().join("p"), "geheim\n").unwrap();
    let (code, why) = bench.fails(&["--password-file", "p", "--listen", "192.0.2.1:3307"]);
    assert_eq!(code, 78, "{why}");
    assert!(why.contains("cannot listen on 192.0.2.1:3307"), "{why}");
}

#[test]
fn a_wrong_password_is_refused_later_and_later() {
    const NAME: &str = "a_wrong_password_is_refused_later_and_later";
    let bench = Bench::sqlite();
    let server = bench.serve_with(&[], &[("S2X_SERVE_PASSWORD", "geheim ☂")]);
    let with = |text: &'static str| Conn::new(server.options().pass(Some(text)));
    with("geheim ☂").unwrap().query_drop("SELECT 1").unwrap();
    let began = Instant::now();
    for wrong in ["x", "geheim", ""] {
        let (code, why) = refused(with(wrong).map(drop));
        assert_eq!(code, 1045, "{why}");
    }
    // Pauses of 250 and 500 ms lie between them.
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    with("geheim ☂").unwrap();

    // By the method that every client knows, and without any.
    let native = "--default-auth=mysql_native_password";
    let right = ["--password=geheim ☂", native, "-e", "SELECT 6 * 7"];
    let Some((out, err)) = server.mariadb(NAME, &right) else { return };
    assert!(out.contains("42"), "{err}");
    let (out, err) = server.mariadb(NAME, &["--password=geheim ☂", "-e", "SELECT 6 * 7"]).unwrap();
    assert!(out.contains("42"), "{err}");
    let (_, err) = server.mariadb(NAME, &["--password=x", native, "-e", "SELECT 1"]).unwrap();
    assert!(err.contains("ERROR 1045 (28000)"), "{err}");
    let (_, err) = server.mariadb(NAME, &["--skip-password", "-e", "SELECT 1"]).unwrap();
    assert!(err.contains("ERROR 1045 (28000)"), "{err}");
}

fn create(name: &str, config: &str) -> String {
    format!(
        "CREATE INFERRED PIPELINE {name} AS LOAD DATA CONNECTOR 't' CONFIG '{{\"connector.class\": \"test\", \
         {config}}}' FORMAT AVRO"
    )
}

#[test]
fn what_reaches_this_machine_is_refused() {
    let bench = Bench::sqlite();
    let other = bench.folder.path().join("other.db").display().to_string();
    let program = bench.folder.path().join("program");
    let ran = bench.folder.path().join("ran");
    let script = format!("#!/bin/sh\ntouch {}\n", ran.display());
    std::fs::write(&program, script).unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let run = create("a", &format!("\"extractor.path\": \"{}\"", program.display()));
    let hostile = [
        run.clone(),
        run.replace("CREATE INFERRED PIPELINE a", "INFER PIPELINE"),
        create("b", "\"test.rows\": \"${file:/etc/hostname}\""),
        create("c", "\"test.rows\": \"${env:HOME}\""),
        run.replace("CONNECTOR 't'", "CONNECTOR '${env:HOME}'"),
        "ALTER PIPELINE x SET CONFIG ::extractor.path = '/bin/sh'".to_owned(),
        "ALTER PIPELINE x SET CREDENTIALS '{\"sasl.password\": \"${file:/etc/hostname}\"}'"
            .to_owned(),
        create("d", "\"ssl.key.location\": \"/etc/shadow\""),
        create("e", "\"aws.use.default.chain\": \"true\""),
    ];
    let server = bench.serve(&[]);
    let mut client = server.client();
    client
        .query_drop("SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'")
        .unwrap();
    client.query_drop(create("x", "\"test.rows\": 1")).unwrap();
    for sql in &hostile {
        let answer = client.query_drop(sql);
        assert!(answer.is_err(), "{sql}");
        let (code, why) = refused(answer);
        assert_eq!(code, 1105, "{why}");
        assert!(why.contains("--allow-host-access"), "{sql}: {why}");
    }
    for sql in [
        format!("ATTACH '{other}' AS o"),
        format!("VACUUM INTO '{other}'"),
        format!("\u{feff}ATTACH '{other}' || '' AS o"),
    ] {
        let answer = client.query_drop(&sql);
        assert!(answer.is_err(), "{sql}");
        let (code, why) = refused(answer);
        assert_eq!(code, 1227, "{sql}: {why}");
    }
    assert!(!ran.exists() && !std::path::Path::new(&other).exists());
    client.query_drop("VACUUM").unwrap();
    drop(server);

    // The operator may allow it.
    let server = bench.serve_without_extractor(&["--allow-host-access"]);
    let mut client = server.client();
    client.query_drop(format!("VACUUM INTO '{other}'")).unwrap();
    client.query_drop(format!("ATTACH '{other}' AS o")).unwrap();
    let (_, why) = refused(client.query_drop(&run));
    assert!(!why.contains("--allow-host-access"), "{why}");
    assert!(ran.exists(), "it was run: {why}");
}
