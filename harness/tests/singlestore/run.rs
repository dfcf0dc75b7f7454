//! `harness run` from a source to the double, whole.

use std::collections::BTreeSet;
use std::process::Command;

use apache_avro::Reader;
use apache_avro::types::Value as Avro;
use harness::store::{Cell, Dialect, StoreUrl, connect, static_table_ddl};
use xtask::double::{At, What, When};

use crate::bench::{Bench, generator, say};

const ROWS: u64 = 1_000;

/// Every row of the generator is in the table once, and was in exactly one of the streams.
#[track_caller]
fn assert_whole(bench: &Bench) {
    let wanted: BTreeSet<String> = (0..3)
        .flat_map(|split| (0..ROWS).map(move |row| format!(r#"{{"gen":"p{split}","row":{row}}}"#)))
        .collect();
    let found = bench.query("SELECT id FROM `rows`");
    assert_eq!(found.len() as u64, 3 * ROWS, "rows in the table");
    let ids = found.into_iter().map(|row| match &row[0] {
        Cell::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(ids.collect::<BTreeSet<_>>(), wanted);
}

/// The ids of a container, as `apache-avro` reads them.
fn ids(container: &[u8]) -> Vec<String> {
    let rows = Reader::new(container).unwrap();
    rows.map(|row| match row.unwrap() {
        Avro::Record(fields) => match &fields[1] {
            (name, Avro::String(text)) if name == "id" => text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn generated_rows_arrive_whole_and_once() {
    let bench = Bench::new();
    let store = bench.double.url("");
    bench.run_well(&store, &generator(3, ROWS));
    assert_whole(&bench);
    let streamed: Vec<String> =
        bench.double.captured().iter().flat_map(|it| ids(&it.bytes)).collect();
    assert_eq!(streamed.len() as u64, 3 * ROWS, "rows in the streams");
    let log = bench.double.log();
    let made = static_table_ddl(Dialect::SingleStore, "rows")
        .replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS");
    assert!(log.iter().any(|it| it.sql == made), "the documented table");
    assert!(!log.iter().any(|it| it.sql.starts_with("INSERT INTO `rows`")), "no row by itself");
    // Nothing is left to be read.
    bench.run_well(&store, &generator(3, ROWS));
    assert_whole(&bench);
}

#[test]
fn streams_are_compressed_where_the_address_says_so() {
    for (option, name, magic) in [
        ("?compress=gzip", "###.gz", &[0x1f, 0x8b][..]),
        ("?compress=lz4", "###.lz4", &[0x04, 0x22, 0x4d, 0x18]),
    ] {
        let bench = Bench::new();
        bench.run_well(&bench.double.url(option), &generator(3, ROWS));
        assert_whole(&bench);
        for stream in bench.double.captured() {
            assert_eq!((stream.file.as_str(), &stream.bytes[..magic.len()]), (name, magic));
        }
    }
}

/// A second reader, by other people: Apache Avro's own for Python.
#[test]
fn streams_are_what_python_reads() {
    let import = |python: &&str| {
        let done = Command::new(python).args(["-c", "import avro.datafile"]).output();
        done.is_ok_and(|done| done.status.success())
    };
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(import) else {
        say(
            "skipped: streams_are_what_python_reads: no Python with the module avro; scripts/install --real",
        );
        return;
    };
    let bench = Bench::new();
    bench.run_well(&bench.double.url(""), &generator(3, ROWS));
    let script = "import sys, avro.datafile, avro.io\n\
                  for path in sys.argv[1:]:\n\
                  \x20with avro.datafile.DataFileReader(open(path, 'rb'), avro.io.DatumReader()) as rows:\n\
                  \x20 for row in rows: print(row['topic'], row['id'], sep='\\t')\n";
    let mut command = Command::new(python);
    command.args(["-c", script]);
    let mut wanted = Vec::new();
    for (index, stream) in bench.double.captured().iter().enumerate() {
        let path = bench.folder.path().join(format!("{index}.avro"));
        std::fs::write(&path, &stream.bytes).unwrap();
        command.arg(path);
        wanted.extend(ids(&stream.bytes));
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let read = String::from_utf8(done.stdout).unwrap();
    let read: Vec<&str> = read.lines().map(|line| line.split_once('\t').unwrap().1).collect();
    assert_eq!(read, wanted);
    assert_eq!(read.len() as u64, 3 * ROWS);
}

/// Statements go wrong while a pipeline runs: at the 40th, the 90th and so on, in turn in each of these ways.
#[test]
fn a_run_goes_on_over_faults() {
    let bench = Bench::new();
    for (index, number) in (40..2_000).step_by(50).enumerate() {
        let (when, what) = [
            (When::Before, What::Cut),
            (When::Inside(1_000), What::Cut),
            (When::After, What::Cut),
            (When::Before, What::Refuse(1205, "lock wait, as planned")),
        ][index % 4]
            .clone();
        bench.double.plan(At::Number(number), when, what);
    }
    let mut config = generator(3, ROWS);
    config["pipelines_extractor_batch_size"] = 50.into();
    bench.run_well(&bench.double.url("?compress=gzip"), &config);
    // What is left of the plan is not meant for the questions that follow.
    bench.double.forget_plan();
    assert_whole(&bench);
    assert!(bench.double.count() > 400, "faults had statements to strike");
}

#[test]
fn status_doctor_and_views_answer() {
    let bench = Bench::new();
    let store = bench.double.url("");
    bench.run_well(&store, &generator(3, ROWS));
    let views = bench.query(
        "SELECT SOURCE_PARTITION_ID, CURSOR_OFFSET FROM PIPELINES_CURSORS ORDER BY SOURCE_PARTITION_ID",
    );
    assert_eq!(views.len(), 3);
    for args in [&["status"][..], &["errors", "rows"], &["batches", "rows"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        let done = command.args(args).args(["--store", &store]).output().unwrap();
        assert!(done.status.success(), "{args:?}: {done:?}");
    }
    let url: StoreUrl = store.parse().unwrap();
    assert_eq!(connect(&url).unwrap().dialect(), Dialect::SingleStore);
}
