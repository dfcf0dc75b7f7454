//! Tests against a SingleStore server that runs: the page "Kafka Connect Pipelines" from its table to its computed
//! columns, with what a pipeline loads.
//!
//! They run where `SINGLESTORE_URL` names one (`singlestore://USER[:PASSWORD]@HOST[:PORT]/DATABASE`;
//! `scripts/singlestore` starts SingleStore's development image) and are told as skipped where not. Each makes a
//! database of its own and drops it.

use std::sync::atomic::{AtomicU32, Ordering};

use harness::store::{
    Cell, Dialect, LoadMethod, RowRef, Store, StoreUrl, connect, static_table_ddl,
};
use serde_json::Value;

use crate::bench::{Bench, generator, say};

/// The variable that names a server.
const VARIABLE: &str = "SINGLESTORE_URL";

/// A database of its own; dropped at the end.
struct Live {
    url: String,
    admin: StoreUrl,
    name: String,
}

impl Live {
    fn new(test: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var(VARIABLE) else {
            // Not the word that a run with every service counts as a failure: nothing installs this one.
            say(&format!("skipped (opt-in): {test}: {VARIABLE} is not set"));
            return None;
        };
        let (address, options) = server.split_once('?').unwrap_or((&server, ""));
        let (authority, _) = address.rsplit_once('/').unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("s2x_t_{}_{number}", std::process::id());
        let admin: StoreUrl = server.parse().unwrap();
        connect(&admin).unwrap().run(&format!("CREATE DATABASE {name}")).unwrap();
        let mark = if options.is_empty() { "" } else { "?" };
        Some(Self { url: format!("{authority}/{name}{mark}{options}"), admin, name })
    }

    fn store(&self) -> Box<dyn Store> {
        connect(&self.url.parse().unwrap()).unwrap()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let dropped = connect(&self.admin)
            .and_then(|mut store| store.run(&format!("DROP DATABASE {}", self.name)));
        if let Err(error) = dropped {
            say(&format!("drop database {}: {error}", self.name));
        }
    }
}

fn cells(store: &mut dyn Store, sql: &str) -> Vec<Vec<Cell>> {
    store.run(sql).unwrap().rows.into_iter().map(|row| row.0).collect()
}

/// The records of the page, by number, message and partition key.
const RECORDS: [(u32, &str, &str, &str); 3] = [
    (4, "fourth", "user-c", "eyJzZXEiOjQsIm1zZyI6ImZvdXJ0aCJ9"),
    (2, "second", "user-b", "eyJzZXEiOjIsIm1zZyI6InNlY29uZCJ9"),
    (5, "fifth", "user-b", "eyJzZXEiOjUsIm1zZyI6ImZpZnRoIn0="),
];

/// The page's own statements on its own records: table, queries, computed columns, index.
#[test]
fn live_the_page_holds() {
    let Some(live) = Live::new("live_the_page_holds") else { return };
    let mut store = live.store();
    assert_eq!(store.dialect(), Dialect::SingleStore);
    store.run(&static_table_ddl(Dialect::SingleStore, "kinesis_pipeline")).unwrap();
    let records: Vec<(String, String)> = RECORDS
        .iter()
        .map(|(_, _, key, data)| {
            let id = format!(r#"{{"partitionKey":"{key}"}}"#);
            let record = format!(
                r#"{{"approximateArrivalTimestamp":1775700271554,"data":"{data}","partitionKey":"{key}"}}"#
            );
            (id, record)
        })
        .collect();
    let rows: Vec<RowRef<'_>> =
        records.iter().map(|(id, record)| RowRef { topic: "kinesis-topic", id, record }).collect();
    let rows: &[RowRef<'_>] = &rows;
    for method in [LoadMethod::LoadData, LoadMethod::Insert] {
        store.begin().unwrap();
        assert_eq!(store.load("kinesis_pipeline", &rows, method).unwrap(), 3, "{method:?}");
        store.rollback().unwrap();
        assert_eq!(cells(&mut *store, "SELECT COUNT(*) FROM kinesis_pipeline"), [[Cell::Int(0)]]);
    }
    store.begin().unwrap();
    store.load("kinesis_pipeline", &rows, LoadMethod::LoadData).unwrap();
    store.commit().unwrap();
    for statement in [
        "ALTER TABLE kinesis_pipeline ADD COLUMN partition_key \
         AS JSON_EXTRACT_STRING(record, 'partitionKey') PERSISTED VARCHAR(128)",
        "ALTER TABLE kinesis_pipeline ADD COLUMN seq AS JSON_EXTRACT_BIGINT( \
         FROM_BASE64(JSON_EXTRACT_STRING(record, 'data')), 'seq') PERSISTED BIGINT",
        "ALTER TABLE kinesis_pipeline ADD COLUMN msg AS JSON_EXTRACT_STRING( \
         FROM_BASE64(JSON_EXTRACT_STRING(record, 'data')), 'msg') PERSISTED VARCHAR(512)",
        "CREATE INDEX idx_partition_key ON kinesis_pipeline(partition_key) USING HASH",
    ] {
        store.run(statement).unwrap();
    }
    let found = cells(
        &mut *store,
        "SELECT topic, partition_key, seq, msg FROM kinesis_pipeline WHERE seq > 3 ORDER BY seq",
    );
    let wanted = [("user-c", 4, "fourth"), ("user-b", 5, "fifth")].map(|(key, seq, message)| {
        let text = |text: &str| Cell::Text(text.to_owned());
        vec![text("kinesis-topic"), text(key), Cell::Int(seq), text(message)]
    });
    assert_eq!(found, wanted);
    // Rows still arrive in a table with computed columns and an index.
    store.begin().unwrap();
    store.load("kinesis_pipeline", &rows, LoadMethod::LoadData).unwrap();
    store.commit().unwrap();
    assert_eq!(cells(&mut *store, "SELECT COUNT(*) FROM kinesis_pipeline"), [[Cell::Int(6)]]);
}

/// A pipeline runs into it, plain and compressed, and loads nothing twice.
#[test]
fn live_a_pipeline_loads_once() {
    let Some(live) = Live::new("live_a_pipeline_loads_once") else { return };
    let bench = Bench::new();
    let mark = if live.url.contains('?') { '&' } else { '?' };
    let config: Value = generator(3, 1_000);
    for option in ["none", "gzip", "lz4"] {
        let url = format!("{}{mark}compress={option}", live.url);
        bench.run_well(&url, &config);
        let mut store = live.store();
        let count = cells(&mut *store, "SELECT COUNT(*), COUNT(DISTINCT id) FROM `rows`");
        assert_eq!(count, [[Cell::Int(3_000), Cell::Int(3_000)]], "{option}");
        // The next one begins anew.
        store.run("DROP TABLE `rows`").unwrap();
        store.run("DELETE FROM s2x_offsets").unwrap();
        store.run("DELETE FROM s2x_offset_history").unwrap();
        store.run("DELETE FROM s2x_pipelines").unwrap();
    }
}

/// Bad JSON is refused by either method, and nothing stays of it.
#[test]
fn live_a_bad_row_is_refused() {
    let Some(live) = Live::new("live_a_bad_row_is_refused") else { return };
    let mut store = live.store();
    store.run(&static_table_ddl(Dialect::SingleStore, "t")).unwrap();
    let good = RowRef { topic: "t", id: "1", record: "{}" };
    let rows: &[RowRef<'_>] = &[good, RowRef { record: "{\"half\":", ..good }, good];
    for method in [LoadMethod::LoadData, LoadMethod::Insert] {
        store.begin().unwrap();
        let error = store.load("t", &rows, method).unwrap_err();
        say(&format!("live_a_bad_row_is_refused: {method:?}: {error}"));
        store.rollback().unwrap();
        assert_eq!(cells(&mut *store, "SELECT COUNT(*) FROM t"), [[Cell::Int(0)]]);
    }
}
