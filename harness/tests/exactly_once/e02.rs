//! E2: a load that lies.

use harness::store::{RowRef, StoreErrorKind};
use harness::transaction::{LoadError, Loader};

use crate::bed::{Bed, Owner, TABLE, at, rows};

/// Makes the table one that refuses the third of these rows.
fn picky(bed: &Bed) {
    let mut store = bed.store();
    store
        .execute(
            &format!(
                "CREATE TABLE {TABLE} (topic VARCHAR(3) NOT NULL CHECK (length(topic) <= 3), \
         id VARCHAR(100) NOT NULL UNIQUE, record VARCHAR(100) NOT NULL)"
            ),
            &[],
        )
        .expect("creates");
}

fn row<'a>(topic: &'a str, id: &'a str) -> RowRef<'a> {
    RowRef { topic, id, record: "{}" }
}

#[track_caller]
fn refused_at(bed: &Bed, rows: &[RowRef<'_>], index: u64) {
    picky(bed);
    let mut owner = Owner::of(bed);
    let mut loader = Loader::new(bed.connect());
    let error = owner.send(&mut loader, &at(1), rows, &[]).expect_err("a row is refused");
    assert!(matches!(error, LoadError::Refused(_)), "{error}");
    let kind = error.store_error().kind();
    assert_eq!(kind, StoreErrorKind::Data { row: Some(index) }, "{error}");
    assert!(error.to_string().contains(&format!("row {index} of the batch")), "{error}");
    assert!(!error.to_string().contains("quite long"), "no payload in an error: {error}");
    assert_eq!(bed.row_count(), 0, "nothing stays of a refused batch");
    assert_eq!(owner.stands_at().0, 0, "nor does the offset move");
}

const TOO_LONG: [RowRef<'static>; 5] = [
    RowRef { topic: "a", id: "1", record: "{}" },
    RowRef { topic: "b", id: "2", record: "{}" },
    RowRef { topic: "quite long", id: "3", record: "{}" },
    RowRef { topic: "d", id: "4", record: "{}" },
    RowRef { topic: "e", id: "5", record: "{}" },
];

/// A multi-row insert is refused as a whole; the row is found and named.
/// Take the call of `name_the_row` out of `store/mysql/load.rs` to see it fail.
#[test]
fn e02_a_refused_row_is_named() {
    for bed in Bed::all() {
        refused_at(&bed, &TOO_LONG, 2);
    }
}

/// LOAD DATA LOCAL cuts the long value and goes on, with a warning and five rows of five.
/// Make `send_file` in `store/mysql/load.rs` answer `Ok` without reading the counters to see it fail.
#[test]
fn e02_a_value_that_load_data_cuts_is_refused() {
    let Some(bed) = Bed::server("?load=load-data") else { return };
    refused_at(&bed, &TOO_LONG, 2);
}

/// LOAD DATA LOCAL skips a duplicate and says so in a counter only.
/// Compare `records` alone in `send_file` to see it fail.
#[test]
fn e02_a_duplicate_that_load_data_skips_is_refused() {
    let Some(bed) = Bed::server("?load=load-data") else { return };
    refused_at(&bed, &[row("a", "1"), row("b", "2"), row("c", "3"), row("d", "2")], 3);
}

/// Bad JSON in the static table: MariaDB's LOAD DATA skips the row with a warning.
/// Compare `records` alone in `send_file` to see it fail.
#[test]
fn e02_bad_json_that_load_data_skips_is_refused() {
    let Some(bed) = Bed::server("?load=load-data") else { return };
    let owner = Owner::of(&bed);
    let mut loader = Loader::new(bed.connect());
    let sent = owner.send(&mut loader, &at(1), &rows(&["{}", "{\"half\":", "{}"]), &[]);
    let error = sent.expect_err("bad JSON");
    assert_eq!(error.store_error().kind(), StoreErrorKind::Data { row: Some(1) }, "{error}");
    assert_eq!(bed.row_count(), 0);
}

/// A trigger that drops a row without an error.
/// Take the comparison with 1 out of `load` in `store/sqlite.rs` to see it fail.
#[test]
fn e02_a_row_that_a_trigger_drops_is_refused() {
    let bed = Bed::sqlite();
    let mut owner = Owner::of(&bed);
    let trigger = format!(
        "CREATE TRIGGER drops BEFORE INSERT ON {TABLE} WHEN NEW.record = '[2]' \
         BEGIN SELECT RAISE(IGNORE); END"
    );
    bed.store().execute(&trigger, &[]).expect("creates");
    let mut loader = Loader::new(bed.connect());
    let sent = owner.send(&mut loader, &at(1), &rows(&["[1]", "[2]", "[3]"]), &[]);
    let error = sent.expect_err("one is dropped");
    assert_eq!(error.store_error().kind(), StoreErrorKind::Data { row: Some(1) }, "{error}");
    assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0));
}

/// The caller promised other rows than it handed over.
/// Take the comparison out of `load_rows` in `transaction.rs` to see it fail.
#[test]
fn e02_rows_are_counted_against_the_promise() {
    for bed in Bed::all() {
        let mut owner = Owner::of(&bed);
        let mut loader = Loader::new(bed.connect());
        let moves = [harness::transaction::Move { key: crate::bed::KEY, rev: 0, to_value: "{}" }];
        let two = rows(&["[1]", "[2]"]);
        let two: &[RowRef<'_>] = &two;
        let batch = owner.batch(&moves, &two);
        let error = loader
            .commit(&harness::transaction::BatchCommit { row_count: 3, ..batch })
            .expect_err("two are not three");
        assert!(matches!(error, LoadError::Refused(_)), "{error}");
        assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0));
    }
}

/// Every byte arrives as it was sent, by either method.
#[test]
fn e02_text_arrives_unchanged() {
    let odd = "{\"a\":\"tab\\t \\\\N \\u0000 quote' é 𝄞 \\r\\n\"}";
    let beds = Bed::all().into_iter().chain(Bed::server("?load=load-data"));
    for bed in beds {
        let owner = Owner::of(&bed);
        let mut loader = Loader::new(bed.connect());
        let row = RowRef { topic: "tab\tline\nzero\0back\\N\\", id: "\"\\\\\"", record: odd };
        owner.send(&mut loader, &at(1), &[row], &[]).expect("commits");
        let sql = format!("SELECT topic, id, record FROM {TABLE}");
        let answer = bed.store().query(&sql, &[]).expect("reads");
        assert_eq!(answer.rows[0].text(0), Ok(row.topic));
        assert_eq!(answer.rows[0].text(1), Ok(row.id));
        assert_eq!(answer.rows[0].text(2), Ok(row.record));
    }
}
