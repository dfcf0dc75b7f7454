//! What only a server shows: its session, its refusals, its views, and connections that it ends.

use harness::catalogue::{Catalogue, VIEWS};
use harness::store::{Cell, StoreErrorKind, StoreUrl, connect, static_table_ddl};
use harness::transaction::{LoadError, Loader};

use crate::bed::{Bed, KEY, Owner, START, TABLE, at, new_pipeline, rows};

#[test]
fn server_session_is_strict_whatever_the_servers_default() {
    let Some(bed) = Bed::server("") else { return };
    let mut store = bed.store();
    let answer = store
        .query(
            "SELECT @@sql_mode, @@time_zone, @@autocommit, @@tx_isolation, \
             @@character_set_client, @@unique_checks",
            &[],
        )
        .expect("answers");
    let row = &answer.rows[0];
    assert!(row.text(0).expect("text").contains("STRICT_ALL_TABLES"), "{row:?}");
    assert_eq!(row.text(1), Ok("+00:00"));
    assert_eq!(row.int(2), Ok(1));
    assert_eq!(row.text(3), Ok("REPEATABLE-READ"));
    assert_eq!(row.text(4), Ok("utf8mb4"));
}

#[track_caller]
fn refuses(url: &str, kind: StoreErrorKind, expected: &str) {
    let url: StoreUrl = url.parse().expect("an address");
    let Err(error) = connect(&url) else { panic!("{url} opens") };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[test]
fn server_refusals_say_what_to_do() {
    let Some(bed) = Bed::server("") else { return };
    let address = bed.address().to_owned();
    let (_, place) = address.split_once('@').expect("user@host");
    let (host, _) = place.rsplit_once('/').expect("host/database");
    refuses(&format!("mysql://nobody:s3cret@{place}"), StoreErrorKind::Auth, "password");
    let user = address.rsplit_once('@').expect("user@host").0;
    let no_database = format!("{user}@{host}/s2x_no_such_database");
    refuses(&no_database, StoreErrorKind::Config, "CREATE DATABASE");
}

#[test]
fn server_that_is_not_there_is_transient_and_named() {
    // Port 1 of this machine: nothing listens there.
    refuses("mysql://u:s3cret@127.0.0.1:1/d", StoreErrorKind::Transient, "is the server running");
}

#[test]
fn server_answers_what_people_type() {
    let Some(bed) = Bed::server("") else { return };
    let mut store = bed.store();
    store.run("CREATE TABLE n (i INT, b VARBINARY(9), d DATETIME)").expect("creates");
    let changed = store.run("INSERT INTO n VALUES (1, x'00ff', '2026-04-09'), (2, NULL, NULL)");
    assert_eq!(changed.expect("inserts").affected, 2);
    let answer = store.run("SELECT * FROM n ORDER BY i").expect("reads");
    assert_eq!(answer.columns, ["i", "b", "d"]);
    assert_eq!(answer.rows[0].0[0], Cell::Int(1));
    assert_eq!(answer.rows[0].0[1], Cell::Bytes(vec![0, 255]));
    assert_eq!(answer.rows[0].0[2], Cell::Text("2026-04-09 00:00:00".to_owned()));
    let error = store.run("SELEC 1").expect_err("a typing error");
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    store.run("SELECT 1").expect("the connection goes on");
}

#[test]
fn server_makes_one_catalogue_for_racing_creators() {
    let Some(bed) = Bed::server("") else { return };
    let racers: Vec<_> = (0..6)
        .map(|racer| {
            let connect = bed.connect();
            std::thread::spawn(move || {
                let mut catalogue = Catalogue::open(connect).expect("opens");
                catalogue.create_pipeline(&new_pipeline("p")).expect("creates");
                let name = format!("p{racer}");
                catalogue.create_pipeline(&new_pipeline(&name)).expect("creates").into_pipeline().id
            })
        })
        .collect();
    let mut ids: Vec<u64> = racers.into_iter().map(|racer| racer.join().expect("ends")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert_eq!(bed.number("SELECT COUNT(*) FROM s2x_pipelines"), 7);
    assert_eq!(bed.number("SELECT COUNT(*) FROM s2x_catalogue"), 1);
}

#[test]
fn server_views_answer_like_the_documented_ones() {
    let Some(bed) = Bed::server("") else { return };
    let mut owner = Owner::of(&bed);
    owner.catalogue.insert_splits(owner.pipeline.id, &[("\"b\"", START)]).expect("inserts");
    owner.send(&mut Loader::new(bed.connect()), &at(1), &rows(&["[1]"]), &[]).expect("commits");
    let mut store = bed.store();
    let sql = "SELECT * FROM PIPELINES_SOURCE_OFFSETS WHERE PIPELINE_NAME = 'p' ORDER BY BATCH_ID";
    let answer = store.query(sql, &[]).expect("answers");
    let columns = ["DATABASE_NAME", "PIPELINE_NAME", "BATCH_ID", "TASK_ID", "KEY", "VALUE"];
    assert_eq!(answer.columns, columns);
    assert_eq!((answer.rows[0].int(2), answer.rows[0].text(5)), (Ok(0), Ok(START)));
    assert_eq!((answer.rows[1].int(2), answer.rows[1].text(4)), (Ok(1), Ok(KEY)));
    assert_eq!(answer.rows[1].text(5), Ok(at(1).as_str()));
    let database = store.database().to_owned();
    assert_eq!(answer.rows[1].text(0), Ok(database.as_str()));
    for view in VIEWS {
        store.query(&format!("SELECT * FROM {view}"), &[]).expect(view);
    }
    let sql = "SELECT BATCH_STATE, ROWS_STREAMED, START_TIME > '2020-01-01' \
               FROM PIPELINES_BATCHES_SUMMARY";
    let answer = store.query(sql, &[]).expect("answers");
    assert_eq!(answer.rows[0].text(0), Ok("Succeeded"));
    assert_eq!((answer.rows[0].int(1), answer.rows[0].int(2)), (Ok(1), Ok(1)));
}

#[test]
fn server_static_table_is_as_documented_for_it() {
    let Some(bed) = Bed::server("") else { return };
    let mut store = bed.store();
    store.execute(&static_table_ddl(store.dialect(), "odd `name"), &[]).expect("creates");
    let sql = "SELECT engine, table_collation FROM information_schema.tables \
               WHERE table_schema = DATABASE() AND table_name = 'odd `name'";
    let answer = store.query(sql, &[]).expect("answers");
    assert_eq!((answer.rows[0].text(0), answer.rows[0].text(1)), (Ok("InnoDB"), Ok("utf8mb4_bin")));
}

/// A person kills the connection in the middle; the batch is sent again and is there once.
#[test]
fn server_that_kills_a_connection_is_transient() {
    let Some(bed) = Bed::server("") else { return };
    let mut owner = Owner::of(&bed);
    let mut loader = Loader::new(bed.connect());
    for number in 1..=3 {
        let sent = owner.send(&mut loader, &at(number), &rows(&["[1]"]), &[]);
        sent.expect("the kept connection is replaced when it was killed");
        owner.split.rev += 1;
        let mut admin = bed.store();
        let sql = "SELECT id FROM information_schema.processlist \
                   WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        for row in admin.query(sql, &[]).expect("lists").rows {
            let kill = format!("KILL {}", row.int(0).expect("a number"));
            admin.execute(&kill, &[]).expect("kills");
        }
    }
    assert_eq!((bed.row_count(), owner.stands_at()), (3, (3, at(3))));
}

/// A lock that is held for longer than the server waits is no reason to stop the pipeline.
#[test]
fn server_lock_wait_is_transient() {
    let Some(bed) = Bed::server("") else { return };
    let mut owner = Owner::of(&bed);
    let mut holder = bed.store();
    holder.begin().expect("begins");
    holder.execute("UPDATE s2x_offsets SET updated_us = 1", &[]).expect("locks");
    let impatient = Impatient(bed.url.clone());
    let mut loader = Loader::new(std::sync::Arc::new(impatient));
    let sent = owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]);
    assert!(matches!(sent, Err(LoadError::NotCommitted(_))), "{sent:?}");
    holder.rollback().expect("lets go");
    owner.send(&mut loader, &at(1), &rows(&["[1]"]), &[]).expect("commits");
    assert_eq!((bed.row_count(), owner.stands_at().0), (1, 1));
    assert_eq!(bed.number(&format!("SELECT COUNT(*) FROM {TABLE}")), 1);
}

struct Impatient(StoreUrl);

impl harness::store::Connect for Impatient {
    fn connect(&self) -> Result<Box<dyn harness::store::Store>, harness::store::StoreError> {
        let mut store = connect(&self.0)?;
        store.run("SET SESSION innodb_lock_wait_timeout = 1")?;
        Ok(store)
    }
}
