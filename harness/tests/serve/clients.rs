//! Several clients: side by side, gone in the middle, too many, and those that people use.

use std::process::Command;

use mysql::ChangeUserOpts;
use mysql::prelude::Queryable as _;
use nix::sys::signal::Signal;

use super::server::{Bench, Server, number, refused, skipped, wait_until};

/// A transaction belongs to its connection, and ends with it.
fn transactions(bench: &Bench) {
    let server = bench.serve(&[]);
    let (mut one, mut other) = (server.client(), server.client());
    one.query_drop("CREATE TABLE t (a BIGINT)").unwrap();
    one.query_drop("BEGIN").unwrap();
    one.query_drop("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(number(&mut one, "SELECT COUNT(*) FROM t"), 1);
    assert_eq!(number(&mut other, "SELECT COUNT(*) FROM t"), 0, "not committed yet");
    drop(one);
    // The lock that it held is free again.
    other.query_drop("INSERT INTO t VALUES (2)").unwrap();
    assert_eq!(number(&mut other, "SELECT SUM(a) FROM t"), 2, "the first is rolled back");
    // As drivers do it that commit by hand.
    other.query_drop("SET autocommit = 0").unwrap();
    other.query_drop("INSERT INTO t VALUES (3)").unwrap();
    other.query_drop("ROLLBACK").unwrap();
    other.query_drop("INSERT INTO t VALUES (4)").unwrap();
    other.query_drop("COMMIT").unwrap();
    other.query_drop("INSERT INTO t VALUES (5)").unwrap();
    other.reset().unwrap();
    assert_eq!(number(&mut other, "SELECT SUM(a) FROM t"), 6, "a reset rolls back");
    // A pipeline statement commits what is open, as documented.
    other.query_drop("START TRANSACTION").unwrap();
    other.query_drop("INSERT INTO t VALUES (7)").unwrap();
    other.query_drop("CLEAR PIPELINE ERRORS").unwrap();
    other.query_drop("ROLLBACK").unwrap();
    assert_eq!(number(&mut other, "SELECT SUM(a) FROM t"), 13);
}

#[test]
fn a_client_that_goes_inside_a_transaction_rolls_back_in_sqlite() {
    transactions(&Bench::sqlite());
}

#[test]
fn a_client_that_goes_inside_a_transaction_rolls_back_in_mariadb() {
    const NAME: &str = "a_client_that_goes_inside_a_transaction_rolls_back_in_mariadb";
    if let Some(bench) = Bench::mariadb(NAME) {
        transactions(&bench);
    }
}

#[test]
fn clients_work_side_by_side() {
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    server.client().query_drop("CREATE TABLE t (who BIGINT, n BIGINT)").unwrap();
    std::thread::scope(|scope| {
        for who in 0..4 {
            let mut client = server.client();
            scope.spawn(move || {
                for n in 0..50 {
                    client.exec_drop("INSERT INTO t VALUES (?, ?)", (who, n)).unwrap();
                    let sql = "SELECT COUNT(*) FROM t WHERE who = ?";
                    let own: Option<u64> = client.exec_first(sql, (who,)).unwrap();
                    assert_eq!(own, Some(n + 1));
                }
            });
        }
    });
    let mut client = server.client();
    assert_eq!(number(&mut client, "SELECT COUNT(DISTINCT who * 1000 + n) FROM t"), 200);
}

#[test]
fn too_many_clients_are_told_and_a_place_is_free_again() {
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut clients: Vec<_> = (0..64).map(|_| server.client()).collect();
    let (code, why) = refused(mysql::Conn::new(server.options()).map(drop));
    assert_eq!(code, 1040, "{why}");
    // One connection is ended by another one.
    let first = clients[0].connection_id();
    clients[1].query_drop(format!("KILL {first}")).unwrap();
    assert!(clients[0].query_drop("SELECT 1").is_err(), "it was ended");
    wait_until("a free place", || mysql::Conn::new(server.options()).is_ok());
    assert_eq!(refused(clients[1].query_drop("KILL 4000000")).0, 1094);
    assert_eq!(refused(clients[1].query_drop("KILL QUERY 4000000")).0, 1094);
}

#[test]
fn the_command_line_client_of_mariadb_is_served() {
    const NAME: &str = "the_command_line_client_of_mariadb_is_served";
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let sql = "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'ä☂'), (NULL, 'x'); \
               SELECT * FROM t; SHOW PIPELINES; SHOW DATABASES; SHOW TABLES LIKE 't'; \
               SELECT DATABASE(), @@version_comment; SHOW VARIABLES LIKE 'pipelines_stop%'";
    let Some((out, err)) = server.mariadb(NAME, &["--table", "-e", sql]) else { return };
    assert_eq!(err, "");
    for line in ["|    1 | ä☂", "| NULL | x", "| main     |", "| pipelines_stop_on_error | ON    |"]
    {
        assert!(out.contains(line), "no {line} in\n{out}");
    }
    // As it connects with a database, where it asks for every table's columns.
    let (out, err) = server.mariadb(NAME, &["main", "-e", "status; SELECT 7 * 6"]).unwrap();
    assert!(
        err.is_empty() && out.contains("42") && out.contains("harness serve on SQLite"),
        "{out} {err}"
    );
    let (_, err) = server.mariadb(NAME, &["nowhere", "-e", "SELECT 1"]).unwrap();
    assert!(err.contains("ERROR 1049 (42000)") && err.contains("\"nowhere\""), "{err}");
    let load = "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t";
    let (_, err) = server.mariadb(NAME, &["--local-infile=1", "-e", load]).unwrap();
    assert!(
        err.contains("ERROR 1148 (42000)") && err.contains("reads a file of the client"),
        "{err}"
    );
}

#[test]
fn python_is_served() {
    const NAME: &str = "python_is_served";
    const SCRIPT: &str = "
import pymysql, sys
c = pymysql.connect(host='127.0.0.1', port=int(sys.argv[1]), user='root')
k = c.cursor()
k.execute('CREATE TABLE t (a INTEGER, b TEXT, c BLOB)')
k.execute('INSERT INTO t VALUES (%s, %s, NULL)', (1, 'ä☂'))
c.commit()
k.execute('INSERT INTO t VALUES (2, NULL, NULL)')
c.rollback()
k.execute('SELECT * FROM t')
assert k.fetchall() == ((1, 'ä☂', None),)
k.execute('SHOW PIPELINES')
assert k.fetchall() == ()
";
    let Some(python) = crate::python::python_with("pymysql") else {
        return skipped(NAME, "python3 has no module pymysql");
    };
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let output =
        Command::new(python).args(["-c", SCRIPT, &server.port.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// As the command line client does it for Ctrl-C: again and again, since the statement may not have begun.
fn killed(server: &Server, kill: &str, sql: &str) -> (u16, String) {
    let (mut one, mut other) = (server.client(), server.client());
    let text = kill.replace("ID", &one.connection_id().to_string());
    let answer = std::thread::scope(|scope| {
        let running = scope.spawn(|| match one.query_drop(sql) {
            Err(mysql::Error::MySqlError(error)) => (error.code, error.message),
            Err(other) => (0, other.to_string()),
            Ok(()) => (0, "it was done".to_owned()),
        });
        while !running.is_finished() {
            // One that is gone is ended.
            let _gone = other.query_drop(&text);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        running.join().unwrap()
    });
    if kill.contains("QUERY") {
        assert_eq!(number(&mut one, "SELECT 41 + 1"), 42, "the connection goes on");
    }
    answer
}

fn endless(bench: &Bench) -> &'static str {
    if bench.store.starts_with("sqlite") {
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c"
    } else {
        "SELECT COUNT(*) FROM information_schema.columns WHERE SLEEP(100) = 2"
    }
}

fn statements_are_killed(bench: &Bench) {
    let server = bench.serve(&[]);
    let sql = endless(bench);
    let (code, why) = killed(&server, "KILL QUERY ID", sql);
    assert_eq!(code, 1317, "{why}");
    // The connection, too: the statement does not go on without it.
    killed(&server, "KILL CONNECTION ID", sql);
    let mut client = server.client();
    client.query_drop("CREATE TABLE t (a BIGINT)").unwrap();
    client.query_drop("INSERT INTO t VALUES (1)").unwrap();
    let own = client.connection_id();
    client.query_drop(format!("KILL QUERY {own}")).unwrap();
    assert_eq!(number(&mut client, "SELECT SUM(a) FROM t"), 1, "where nothing runs, nothing ends");

    // A foreground run ends between two batches, and says what it has done.
    client
        .query_drop("SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'")
        .unwrap();
    client
        .query_drop(
            "CREATE INFERRED PIPELINE p AS LOAD DATA CONNECTOR 't' CONFIG '{\"connector.class\": \"test\", \
             \"test.splits\": 1, \"test.rows\": 100000000, \"batch.rows\": 40}' FORMAT AVRO",
        )
        .unwrap();
    let mut one = server.client();
    let id = one.connection_id();
    let run = std::thread::spawn(move || refused(one.query_drop("START PIPELINE p FOREGROUND")));
    wait_until("its first rows", || number(&mut client, "SELECT COUNT(*) FROM p") > 0);
    client.query_drop(format!("KILL QUERY {id}")).unwrap();
    let (code, why) = run.join().unwrap();
    assert_eq!(code, 1317, "{why}");
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let told = digits(why.split_once("p: ").unwrap().1.split_once(" row").unwrap().0);
    let there = number(&mut client, "SELECT COUNT(*) FROM p");
    assert_eq!(told, there.to_string(), "what it says is what is committed: {why}");
    let state: Option<(String, String)> = client.query_first("SHOW PIPELINES").unwrap();
    assert_eq!(state.unwrap().1, "Stopped");
}

#[test]
fn statements_are_killed_in_sqlite() {
    statements_are_killed(&Bench::sqlite());
}

#[test]
fn statements_are_killed_in_mariadb() {
    if let Some(bench) = Bench::mariadb("statements_are_killed_in_mariadb") {
        statements_are_killed(&bench);
    }
}

/// A server that ends does not wait for a foreground run longer than for any other.
#[test]
fn a_foreground_run_ends_with_its_server() {
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut client = server.client();
    client
        .query_drop("SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'")
        .unwrap();
    client
        .query_drop(
            "CREATE INFERRED PIPELINE p AS LOAD DATA CONNECTOR 't' CONFIG '{\"connector.class\": \"test\", \
             \"test.splits\": 1, \"test.rows\": 100000000, \"batch.rows\": 40}' FORMAT AVRO",
        )
        .unwrap();
    let mut other = server.client();
    let run = std::thread::spawn(move || other.query_drop("START PIPELINE p FOREGROUND"));
    wait_until("its first rows", || number(&mut client, "SELECT COUNT(*) FROM p") > 0);
    assert_eq!(server.end(Signal::SIGTERM), 0);
    drop(run.join().unwrap());
}

fn users_change(bench: &Bench, database: Option<&str>) {
    let server = bench.serve_with(&[], &[("S2X_SERVE_PASSWORD", "geheim ☂")]);
    let mut client = mysql::Conn::new(server.options().pass(Some("geheim ☂"))).unwrap();
    client.query_drop("CREATE TABLE t (a BIGINT)").unwrap();
    client.query_drop("BEGIN").unwrap();
    client.query_drop("INSERT INTO t VALUES (1)").unwrap();
    let other = ChangeUserOpts::new()
        .with_user(Some("other".to_owned()))
        .with_pass(Some("geheim ☂".to_owned()))
        .with_db_name(database.map(str::to_owned));
    client.change_user(other.clone()).unwrap();
    let here: Option<String> = client.query_first("SELECT DATABASE()").unwrap();
    if let Some(database) = database {
        assert_eq!(here.as_deref(), Some(database));
        // A reset keeps it.
        client.reset().unwrap();
        let here: Option<String> = client.query_first("SELECT DATABASE()").unwrap();
        assert_eq!(here.as_deref(), Some(database));
        client.change_user(other.clone().with_db_name(None::<String>)).unwrap();
    }
    assert_eq!(number(&mut client, "SELECT COUNT(*) FROM t"), 0, "rolled back");
    client.query_drop("CLEAR PIPELINE ERRORS").unwrap();
    let who = "SELECT COUNT(*) FROM s2x_audit WHERE os_user LIKE '% for \"other\" at 127.0.0.1'";
    assert_eq!(number(&mut client, who), 1);
    let wrong = other.with_db_name(None::<String>).with_pass(Some("x".to_owned()));
    assert_eq!(refused(client.change_user(wrong)).0, 1045);
    assert!(client.query_drop("SELECT 1").is_err(), "it had to go");
}

#[test]
fn users_change_in_sqlite() {
    users_change(&Bench::sqlite(), None);
}

#[test]
fn users_change_in_mariadb() {
    if let Some(bench) = Bench::mariadb("users_change_in_mariadb") {
        users_change(&bench, Some("information_schema"));
    }
}
