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

/// The lines of the pipeline's file of secrets.
fn secret_file(bench: &Bench, server: &Server) -> std::path::PathBuf {
    let sql = "SELECT credentials FROM s2x_pipelines WHERE name = 'p'";
    let definition: Option<String> = server.client().query_first(sql).unwrap();
    let text = definition.unwrap();
    let path = text.split_once("\"secrets_file\":\"").unwrap().1.split_once('"').unwrap().0;
    assert!(std::path::Path::new(path).starts_with(bench.folder.path()), "{path}");
    path.into()
}

fn refuses_with(server: &Server, sql: &str, words: &str) {
    let (code, why) = refused(server.client().query_drop(sql));
    assert_eq!(code, 1105, "{sql}: {why}");
    assert!(why.contains(words) && !why.contains("canary"), "{sql}: {why}");
}

/// Secrets are sent with the CONFIG that they were stored with, and no other one, whoever starts the pipeline.
fn bound(bench: &Bench, write: &dyn Fn(&Server, &str)) {
    const ELSE: &str = "the secrets in it were stored for another definition";
    let server = bench.serve(&[]);
    let mut client = server.client();
    client.query_drop(ON).unwrap();
    client.query_drop(CREATE).unwrap();
    // What is no part of CONFIG is altered without them.
    client.query_drop("ALTER PIPELINE p SET BATCH_INTERVAL 50").unwrap();
    client.query_drop("START PIPELINE p FOREGROUND").unwrap();
    assert_eq!(number(&mut client, "SELECT COUNT(*) FROM p"), 7);
    // As its text would be written by ALTER: CONFIG, what LOAD DATA names, and what a secret is.
    let replace =
        |from: &str, to: &str| format!("credentials = REPLACE(credentials, '{from}', '{to}')");
    for (from, to) in [
        ("\"connector.class\":", "\"bootstrap.servers\":\"evil\",\"connector.class\":"),
        ("\"target\":\"t\"", "\"target\":\"u\""),
        ("\"test.password\"", "\"test.topic\""),
    ] {
        let (assignment, back) = (replace(from, to), replace(to, from));
        write(&server, &format!("UPDATE s2x_pipelines SET {assignment}"));
        for sql in [
            "START PIPELINE p",
            "TEST PIPELINE p",
            "ALTER PIPELINE p SET OFFSETS EARLIEST",
            "ALTER PIPELINE p SET BATCH_INTERVAL 60",
        ] {
            refuses_with(&server, sql, ELSE);
        }
        assert!(!bench.sql("START PIPELINE p"), "by somebody who may reach the machine");
        assert!(!bench.sql("ALTER PIPELINE p SET CONFIG ::test.rows = '8'"));
        write(&server, &format!("UPDATE s2x_pipelines SET {back}"));
        client.query_drop("TEST PIPELINE p").unwrap();
    }
    // The file is no other pipeline's, either, and not one that a person may name.
    let file = secret_file(bench, &server);
    let other = CREATE.replace("PIPELINE p", "PIPELINE q");
    for reference in
        [format!("${{file:{}:1}}", file.display()), format!("${{file:{}}}", file.display())]
    {
        assert!(
            !bench.sql(&other.replace("\"canary\"", &format!("\"{reference}\""))),
            "{reference}"
        );
    }
    // A program that was there before bound nothing: the next server does, before it listens.
    let whole = std::fs::read_to_string(&file).unwrap();
    let (line, _) = whole.split_once('\n').unwrap();
    std::fs::write(&file, format!("{line}\n")).unwrap();
    refuses_with(&server, "TEST PIPELINE p", "an older program wrote it");
    assert_eq!(server.end(Signal::SIGTERM), 0);
    let server = bench.serve(&[]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
    server.client().query_drop("TEST PIPELINE p").unwrap();
    // One that is called Running is not started either.
    write(
        &server,
        &format!("UPDATE s2x_pipelines SET state = 'Running', {}", replace("rows\":7", "rows\":8")),
    );
    assert_eq!(server.end(Signal::SIGKILL), -1);
    let (server, log) = bench.serve_heard(true);
    wait_until("a word about it", || {
        let said = std::fs::read_to_string(&log).unwrap();
        said.contains("pipeline p was running before: ") && said.contains(ELSE)
    });
    // Given anew, they are for the new definition.
    let mut client = server.client();
    client.query_drop("STOP PIPELINE p").unwrap();
    let anew = "ALTER PIPELINE p SET CONFIG '{\"connector.class\": \"test\", \"test.splits\": 1, \"test.rows\": 9}' \
                SET CREDENTIALS '{\"test.password\": \"other\"}'";
    client.query_drop(anew).unwrap();
    client.query_drop("START PIPELINE p FOREGROUND").unwrap();
    assert_eq!(number(&mut client, "SELECT COUNT(*) FROM p"), 9);
}

#[test]
fn secrets_are_sent_with_what_they_were_stored_with_in_sqlite() {
    let bench = Bench::sqlite();
    bound(&bench, &|_, sql| assert!(bench.sql(sql), "{sql}"));
}

#[test]
fn secrets_are_sent_with_what_they_were_stored_with_in_mariadb() {
    const NAME: &str = "secrets_are_sent_with_what_they_were_stored_with_in_mariadb";
    let Some(bench) = Bench::mariadb(NAME) else { return };
    bound(&bench, &|server, sql| server.client().query_drop(sql).unwrap());
}

/// Two clients who alter or replace a pipeline at once: the later one is refused, or comes after the earlier one; the
/// secrets that are there are those of the definition that is there, and no others.
fn altered_at_once(bench: &Bench) {
    const ROUNDS: usize = 8;
    let server = bench.serve(&[]);
    let mut client = server.client();
    client.query_drop(ON).unwrap();
    client.query_drop(CREATE).unwrap();
    let folder = secret_file(bench, &server).parent().unwrap().to_owned();
    let mut refusals = 0;
    for round in 0..ROUNDS {
        let secrets = ["a", "b"].map(|who| format!("canary-{who}-{round}"));
        let alter =
            format!("ALTER PIPELINE p SET CREDENTIALS '{{\"test.password\": \"{}\"}}'", secrets[0]);
        let other = match round % 2 {
            0 => alter.replace(&secrets[0], &secrets[1]),
            _ => {
                CREATE.replace("CREATE INF", "CREATE OR REPLACE INF").replace("canary", &secrets[1])
            }
        };
        let barrier = std::sync::Barrier::new(2);
        let done = std::thread::scope(|scope| {
            let both = [&alter, &other].map(|sql| {
                let (mut client, barrier) = (server.client(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    client.query_drop(sql)
                })
            });
            both.map(|it| it.join().unwrap())
        });
        assert!(done.iter().any(Result::is_ok), "round {round}: {done:?}");
        let text = std::fs::read_to_string(secret_file(bench, &server)).unwrap();
        let is_there = secrets.each_ref().map(|secret| text.contains(secret.as_str()));
        for ((answer, is_there), secret) in done.into_iter().zip(is_there).zip(&secrets) {
            if answer.is_err() {
                refusals += 1;
                let (code, why) = refused(answer);
                assert_eq!(code, 1105, "round {round}: {why}");
                let is_late = why.contains("meanwhile") || why.contains("it was dropped");
                assert!(is_late, "round {round}: {why}");
                assert!(!is_there, "round {round}: {secret} of the one that was refused");
            }
        }
        assert!(is_there[0] != is_there[1], "round {round}: {is_there:?}");
        let files = std::fs::read_dir(&folder).unwrap().count();
        assert_eq!(files, 1, "round {round}");
        client.query_drop("TEST PIPELINE p").unwrap();
    }
    // They begin together and take as long as a process takes to start: some must have met.
    assert!(refusals > 0, "no two of {ROUNDS} met");
}

#[test]
fn two_who_alter_at_once_keep_the_secrets_of_one_in_sqlite() {
    altered_at_once(&Bench::sqlite());
}

#[test]
fn two_who_alter_at_once_keep_the_secrets_of_one_in_mariadb() {
    const NAME: &str = "two_who_alter_at_once_keep_the_secrets_of_one_in_mariadb";
    if let Some(bench) = Bench::mariadb(NAME) {
        altered_at_once(&bench);
    }
}
