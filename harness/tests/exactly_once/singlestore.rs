//! The same rules on the path to SingleStore, at every step of it: the double cuts, refuses, forgets and lies.

use harness::store::{RowRef, StoreErrorKind};
use harness::transaction::{LoadError, Loader};
use xtask::double::{At, Double, What, When};

use crate::bed::{Bed, Owner, TABLE, at, rows};

/// Most tries of one batch. Why 5: one fault strikes once.
const TRIES_MAX: usize = 5;

const THREE: [&str; 3] = ["[1]", "[2]", "[3]"];

/// Sends a batch again as long as its owner may, and checks that it is there once.
#[track_caller]
fn send_until_there(bed: &Bed, owner: &mut Owner, loader: &mut Loader, fault: &str) {
    for _ in 0..TRIES_MAX {
        match owner.send(loader, &at(1), &rows(&THREE), &[]) {
            Ok(_) => {
                assert_eq!((bed.row_count(), owner.stands_at().0), (3, 1), "{fault}");
                return;
            }
            Err(LoadError::NotCommitted(_)) => {
                assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0), "{fault}");
            }
            Err(other) => panic!("{fault}: {other}"),
        }
    }
    panic!("{fault}: it strikes again and again");
}

/// Sends one batch with every one of these faults at every statement of it, each time on rows of its own.
fn at_every_statement(faults: &[(When, What)]) {
    // How many statements one batch is, connection included.
    let bed = Bed::double("");
    let owner = Owner::of(&bed);
    bed.as_double().count_from_here();
    owner.send(&mut Loader::new(bed.connect()), &at(1), &rows(&THREE), &[]).expect("commits");
    let steps = bed.as_double().count();
    assert!(steps > 12, "{steps} statements of one batch");
    for (when, what) in faults {
        for step in 0..steps {
            let bed = Bed::double("");
            let mut owner = Owner::of(&bed);
            let double = bed.as_double();
            double.count_from_here();
            double.plan(At::Number(step), *when, what.clone());
            let mut loader = Loader::new(bed.connect());
            let fault = format!("{what:?} {when:?} of statement {step}");
            send_until_there(&bed, &mut owner, &mut loader, &fault);
            assert!(double.is_spent(), "{fault} never struck");
        }
    }
}

/// Take the call of `resolve` out of `attempt` in `transaction.rs` to see it fail: an answer that is lost after
/// COMMIT is then taken for a batch that is not there.
#[test]
fn singlestore_a_connection_that_is_cut_at_any_step_loads_once() {
    let inside = (When::Inside(100), What::Cut);
    at_every_statement(&[(When::Before, What::Cut), inside, (When::After, What::Cut)]);
}

/// A deadlock or a lock wait at any step rolls everything back, and the batch goes again.
/// Take `rollback` out of `attempt` in `transaction.rs`, and keep the connection, to see it fail.
#[test]
fn singlestore_a_statement_that_is_refused_at_any_step_loads_once() {
    let refuse = |code| What::Refuse(code, "refused as planned");
    at_every_statement(&[(When::Before, refuse(1213)), (When::After, refuse(1205))]);
}

/// E3: the server ends the transaction after the swap, or after the load, and tells nobody.
/// Let `in_transaction` in `store/singlestore.rs` answer `Open` to see it fail.
#[test]
fn e03_a_transaction_that_singlestore_ends_silently_is_noticed() {
    for begin in ["UPDATE s2x_offsets SET value_text", "LOAD DATA"] {
        let bed = Bed::double("");
        let mut owner = Owner::of(&bed);
        let double = bed.as_double();
        double.plan(At::Next(begin), When::After, What::Forget);
        let mut loader = Loader::new(bed.connect());
        let sent = owner.send(&mut loader, &at(1), &rows(&THREE), &[]);
        assert!(matches!(sent, Err(LoadError::NotCommitted(_))), "{begin}: {sent:?}");
        assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0), "{begin}");
        send_until_there(&bed, &mut owner, &mut loader, begin);
    }
}

/// E2: counters that are not those of the rows, or a warning, are no load: the batch goes by checked inserts.
/// Answer `Ok(sent)` in `load_container` without looking at the counters to see it fail.
#[test]
fn e02_counters_of_singlestore_that_differ_are_refused() {
    for (info, warnings, named) in [
        ("Records: 2  Deleted: 0  Skipped: 0  Warnings: 0", 0, "Records: 2"),
        ("Records: 3  Deleted: 0  Skipped: 1  Warnings: 0", 0, "Skipped: 1"),
        ("Records: 3  Deleted: 0  Skipped: 0  Warnings: 2", 2, "warning 1265, warning 1265"),
        ("Records: 3  Deleted: 0  Skipped: 0  Warnings: 0", 5, "and 2 more"),
        ("", 0, "answered \"\""),
    ] {
        let bed = Bed::double("");
        let mut owner = Owner::of(&bed);
        let double = bed.as_double();
        let tell = || What::Tell { info, warnings, code: 1265 };
        double.plan(At::Next("LOAD DATA"), When::After, tell());
        let mut store = bed.store();
        store.begin().expect("begins");
        let three = rows(&THREE);
        let three: &[RowRef<'_>] = &three;
        let error = store.load(TABLE, &three, store.load_method()).expect_err(info);
        assert_eq!(error.kind(), StoreErrorKind::LoadMismatch, "{error}");
        assert!(error.to_string().contains(named), "{error}");
        store.rollback().expect("rolls back");
        double.count_from_here();
        double.plan(At::Next("LOAD DATA"), When::After, tell());
        send_until_there(&bed, &mut owner, &mut Loader::new(bed.connect()), info);
        assert!(begins(&double, "INSERT INTO `rows_of_p`"), "by checked inserts");
    }
}

fn begins(double: &Double, begin: &str) -> bool {
    double.log().iter().any(|logged| logged.sql.starts_with(begin))
}

/// E2: what LOAD DATA refuses is found by its row, and nothing stays of the batch.
#[test]
fn e02_a_row_that_singlestore_refuses_is_named() {
    let bed = Bed::double("");
    let mut owner = Owner::of(&bed);
    let mut loader = Loader::new(bed.connect());
    let sent = owner.send(&mut loader, &at(1), &rows(&["{}", "{\"half\":", "{}"]), &[]);
    let error = sent.expect_err("bad JSON");
    assert_eq!(error.store_error().kind(), StoreErrorKind::Data { row: Some(1) }, "{error}");
    assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0));
}

/// The order of one batch, and the statement of the load to the byte.
#[test]
fn singlestore_swaps_loads_and_commits_in_this_order() {
    let bed = Bed::double("");
    let owner = Owner::of(&bed);
    let double = bed.as_double();
    double.count_from_here();
    owner.send(&mut Loader::new(bed.connect()), &at(1), &rows(&THREE), &[]).expect("commits");
    let log = double.log();
    let first = log.iter().position(|it| it.sql == "START TRANSACTION").expect("a transaction");
    assert_eq!(log[first - 1].sql, "SET SESSION autocommit = 0");
    let load = "LOAD DATA LOCAL INFILE '###.avro' INTO TABLE `rows_of_p` FORMAT AVRO \
                ( `topic` <- %::`topic`, `id` <- %::`id`, `record` <- %::`record` )";
    let expected = [
        "START TRANSACTION",
        "UPDATE s2x_offsets SET value_text = ",
        "SELECT 1 FROM s2x_offsets WHERE pipeline_id = ",
        load,
        "SELECT 1 FROM s2x_offsets WHERE pipeline_id = ",
        "UPDATE s2x_pipelines SET last_batch_id = ",
    ];
    for (logged, begin) in log[first..].iter().zip(expected) {
        assert!(logged.sql.starts_with(begin), "{} is not {begin}", logged.sql);
        assert_eq!(logged.connection, log[first].connection);
    }
    assert_eq!(log[first + 3].sql, load);
    let [commit, after] = &log[log.len() - 2..] else { panic!("two last ones") };
    assert_eq!((commit.sql.as_str(), after.sql.as_str()), ("COMMIT", "SET SESSION autocommit = 1"));
    assert_eq!(log.iter().filter(|it| it.sql == "COMMIT").count(), 1);
}

/// The limit of these statements.
const SMALL: usize = 1024 * 1024;

/// E14: inserts are cut to what the server takes; a row that alone is larger is named, and its stream has no limit.
/// Let `load_by_insert` in `store/singlestore/load.rs` cut at `INSERT_BYTES_MAX` alone to see it fail.
#[test]
fn e14_statements_are_cut_to_the_limit_of_singlestore() {
    let bed = Bed::double("?load=insert");
    let mut owner = Owner::of(&bed);
    bed.as_double().limit_statements(SMALL);
    let mut loader = Loader::new(bed.connect());
    let fifth = format!("\"{}\"", "x".repeat(SMALL / 5));
    let rows = vec![RowRef { topic: "t", id: "1", record: &fifth }; 30];
    owner.send(&mut loader, &at(1), &rows, &[]).expect("commits");
    assert_eq!(bed.row_count(), 30);
    owner.split.rev += 1;
    let whole = format!("\"{}\"", "x".repeat(SMALL));
    let fits = RowRef { topic: "t", id: "1", record: "{}" };
    let rows = [fits, fits, RowRef { record: &whole, ..fits }, fits];
    let error = owner.send(&mut loader, &at(2), &rows, &[]).expect_err("too large");
    assert_eq!(error.store_error().kind(), StoreErrorKind::TooLarge { row: Some(2) }, "{error}");
    assert_eq!((bed.row_count(), owner.stands_at().0), (30, 1));
    let streamed = Bed::double("");
    let owner = Owner::of(&streamed);
    streamed.as_double().limit_statements(SMALL);
    owner.send(&mut Loader::new(streamed.connect()), &at(1), &rows, &[]).expect("streams");
    assert_eq!(streamed.row_count(), 4);
}
