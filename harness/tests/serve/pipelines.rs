//! Pipelines through clients: their life, who may end them, and what kills do to them.

use mysql::Conn;
use mysql::prelude::Queryable as _;
use nix::sys::signal::Signal;

use super::server::{Bench, Server, number, refused, skipped, wait_until};

pub(crate) const ON: &str =
    "SET GLOBAL experimental_features_config = \"kafka_connect_enabled=true\"";
pub(crate) const COUNT: &str = "SELECT COUNT(*) FROM p";
pub(crate) const IDS: &str = "SELECT COUNT(DISTINCT id) FROM p";

pub(crate) fn create(rows: u64, batch: u64) -> String {
    format!(
        "CREATE INFERRED PIPELINE p AS LOAD DATA KAFKACONNECT 'test' CONFIG '{{\"connector.class\": \"test\", \
         \"test.splits\": 3, \"test.rows\": {rows}, \"tasks.max\": 2, \"batch.rows\": {batch}}}' \
         CREDENTIALS '{{}}' FORMAT AVRO"
    )
}

fn state(client: &mut Conn) -> String {
    let row: Option<(String, String)> = client.query_first("SHOW PIPELINES").unwrap();
    row.unwrap().1
}

/// Whether the Python peer can run; says so where not.
pub(crate) fn has_python(test: &str) -> bool {
    let is_there = ["/usr/bin/python3", "/usr/local/bin/python3"]
        .iter()
        .any(|path| std::path::Path::new(path).exists());
    if !is_there {
        skipped(test, "python3 not found");
    }
    is_there
}

/// A pipeline is created on one connection, started on a second that goes, and stopped on a third.
fn live(bench: &Bench) {
    let server = bench.serve(&[]);
    let mut first = server.client();
    let (number_of, why) = refused(first.query_drop(create(200, 50)));
    assert_eq!(number_of, 1105, "{why}");
    assert!(why.contains("SET GLOBAL experimental_features_config"), "{why}");
    first.query_drop(ON).unwrap();
    first.query_drop(create(200, 50)).unwrap();
    assert!(first.info_str().contains("START PIPELINE p starts it"), "{}", first.info_str());
    assert_eq!(state(&mut first), "Stopped");
    let mut second = server.client();
    second.query_drop("START PIPELINE p").unwrap();
    let (_, why) = refused(second.query_drop("START PIPELINE p"));
    assert!(why.contains("running already"), "{why}");
    drop(second);
    wait_until("all rows", || number(&mut first, COUNT) >= 600);
    assert_eq!(state(&mut first), "Running");
    let mut third = server.client();
    third.query_drop("STOP PIPELINE p").unwrap();
    assert_eq!(state(&mut third), "Stopped");
    assert_eq!((number(&mut third, COUNT), number(&mut third, IDS)), (600, 600));

    // The documented query, as a prepared statement with a value.
    let sql = "SELECT TASK_ID, COUNT(*) AS offset_count FROM information_schema.PIPELINES_SOURCE_OFFSETS \
               WHERE PIPELINE_NAME = ? GROUP BY TASK_ID ORDER BY TASK_ID";
    let counts: Vec<(u64, u64)> = third.exec(sql, ("p",)).unwrap();
    assert_eq!(counts, [(0, 2), (1, 1)]);
    let rows: Vec<(String, String, String)> = third.query("TEST PIPELINE p LIMIT 1").unwrap();
    assert!(rows.is_empty(), "everything is read");
    let (number_of, why) = refused(third.query_drop("START PIPELIN p"));
    assert_eq!(number_of, 1064, "{why}");
    let (number_of, why) = refused(third.query_drop("CREATE PIPELINE x LOAD DATA"));
    assert_eq!(number_of, 1064, "{why}");
    assert!(why.contains("line 1, column 19"), "{why}");
    third.query_drop("DROP PIPELINE p").unwrap();
    let who = "SELECT COUNT(*) FROM s2x_audit WHERE statement = 'DROP PIPELINE p' AND os_user LIKE \
               '% for \"root\" at 127.0.0.1'";
    assert_eq!(number(&mut third, who), 1);
    assert_eq!(number(&mut third, COUNT), 600, "the table stays");
    assert_eq!(server.end(Signal::SIGTERM), 0);
}

#[test]
fn a_pipeline_outlives_its_connection_in_sqlite() {
    if has_python("a_pipeline_outlives_its_connection_in_sqlite") {
        live(&Bench::sqlite());
    }
}

#[test]
fn a_pipeline_outlives_its_connection_in_mariadb() {
    const NAME: &str = "a_pipeline_outlives_its_connection_in_mariadb";
    if let Some(bench) = has_python(NAME).then(|| Bench::mariadb(NAME)).flatten() {
        live(&bench);
    }
}

/// Servers that are killed while they load: the next one goes on by itself, exactly once.
fn killed(bench: &Bench) {
    const ROWS: u64 = 3 * 4000;
    let mut server = bench.serve(&[]);
    let mut client = server.client();
    client.query_drop(ON).unwrap();
    client.query_drop(create(4000, 40)).unwrap();
    client.query_drop("START PIPELINE p").unwrap();
    for kills in 1..4 {
        let enough = kills * ROWS / 8;
        wait_until("some rows", || number(&mut client, COUNT) > enough);
        assert_eq!(server.end(Signal::SIGKILL), -1);
        bench.age_signs_of_life();
        server = bench.serve(&[]);
        client = server.client();
    }
    wait_until("all rows", || number(&mut client, COUNT) >= ROWS);
    client.query_drop("STOP PIPELINE p").unwrap();
    assert_eq!((number(&mut client, COUNT), number(&mut client, IDS)), (ROWS, ROWS));
}

#[test]
fn a_killed_server_goes_on_exactly_once_in_sqlite() {
    if has_python("a_killed_server_goes_on_exactly_once_in_sqlite") {
        killed(&Bench::sqlite());
    }
}

#[test]
fn a_killed_server_goes_on_exactly_once_in_mariadb() {
    const NAME: &str = "a_killed_server_goes_on_exactly_once_in_mariadb";
    if let Some(bench) = has_python(NAME).then(|| Bench::mariadb(NAME)).flatten() {
        killed(&bench);
    }
}

#[test]
fn a_server_that_ends_leaves_pipelines_as_they_were() {
    if !has_python("a_server_that_ends_leaves_pipelines_as_they_were") {
        return;
    }
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut client = server.client();
    client.query_drop(ON).unwrap();
    client.query_drop(create(100, 50)).unwrap();
    client.query_drop(create(100, 50).replace("PIPELINE p", "PIPELINE q")).unwrap();
    client.query_drop("START ALL PIPELINES").unwrap();
    client.query_drop("STOP PIPELINE q").unwrap();
    assert_eq!(server.end(Signal::SIGTERM), 0);

    let server = bench.serve(&[]);
    let mut client = server.client();
    let states: Vec<(String, String)> = client.query("SHOW PIPELINES").unwrap();
    let pair = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(states, [pair("p", "Running"), pair("q", "Stopped")]);
    wait_until("all rows of the one that runs", || number(&mut client, COUNT) == 300);
    assert_eq!(server.end(Signal::SIGINT), 0);
}

/// Two servers on one store: the second leaves a pipeline to the first, until that is silent.
fn shared(bench: &Bench) {
    let (one, _) = bench.serve_heard(true);
    let mut client = one.client();
    client.query_drop(ON).unwrap();
    client.query_drop(create(100, 50)).unwrap();
    client.query_drop("START PIPELINE p").unwrap();
    let runs_in = |server: &Server| {
        let mut client = server.client();
        let of = format!(
            "SELECT COUNT(*) FROM s2x_heartbeats WHERE process LIKE '% {} %'",
            server.child.id()
        );
        number(&mut client, &of) == 1
    };
    wait_until("a sign of life", || runs_in(&one));
    let (two, log) = bench.serve_heard(true);
    let says = |what: &str| std::fs::read_to_string(&log).unwrap().contains(what);
    wait_until("the second looked", || says("pipeline p is run by process "));
    wait_until("all rows", || number(&mut client, COUNT) == 300);
    assert!(runs_in(&one) && !runs_in(&two), "the first still has it");
    assert!(!says("is started: it was"));
    assert_eq!(one.end(Signal::SIGKILL), -1);
    bench.age_signs_of_life();
    wait_until("the second has it", || says("pipeline p is started: it was running before"));
    wait_until("its sign of life", || runs_in(&two));
    let mut client = two.client();
    client.query_drop("STOP PIPELINE p").unwrap();
    assert_eq!((number(&mut client, COUNT), number(&mut client, IDS)), (300, 300));
}

#[test]
fn two_servers_do_not_take_a_pipeline_from_each_other_in_sqlite() {
    if has_python("two_servers_do_not_take_a_pipeline_from_each_other_in_sqlite") {
        shared(&Bench::sqlite());
    }
}

#[test]
fn two_servers_do_not_take_a_pipeline_from_each_other_in_mariadb() {
    const NAME: &str = "two_servers_do_not_take_a_pipeline_from_each_other_in_mariadb";
    if let Some(bench) = has_python(NAME).then(|| Bench::mariadb(NAME)).flatten() {
        shared(&bench);
    }
}
