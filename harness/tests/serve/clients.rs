//! Several clients: side by side, gone in the middle, too many, and those that people use.

use std::process::Command;

use mysql::prelude::Queryable as _;

use super::server::{Bench, number, refused, skipped, wait_until};

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
    assert_eq!(refused(clients[1].query_drop("KILL QUERY 1")).0, 1235);
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
