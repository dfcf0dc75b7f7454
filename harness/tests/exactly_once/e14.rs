//! E14: packets, and what does not fit into one.

use std::sync::Arc;

use harness::route::Route;
use harness::store::{Connect, RowRef, Store, StoreError, StoreErrorKind, StoreUrl};
use harness::transaction::{LoadError, Loader};

use crate::bed::{Bed, KEY, Owner, TABLE, at};

/// Connections that were told a small limit. The limit is the server's alone, so it is lowered for
/// the moment of the connection, by one test at a time on the whole server.
struct SmallPackets(StoreUrl);

const SMALL: usize = 1024 * 1024;

impl Connect for SmallPackets {
    fn connect(&self) -> Result<Box<dyn Store>, StoreError> {
        let mut admin = harness::store::connect(&self.0)?;
        let alone = admin.query("SELECT GET_LOCK('s2x_test_small_packets', 60)", &[])?;
        assert_eq!(alone.rows[0].int(0), Ok(1), "no other test lowers it now");
        let before = admin.query("SELECT @@GLOBAL.max_allowed_packet", &[])?;
        let before = before.rows[0].count(0)?;
        admin.execute(&format!("SET GLOBAL max_allowed_packet = {SMALL}"), &[])?;
        let store = harness::store::connect(&self.0);
        admin.execute(&format!("SET GLOBAL max_allowed_packet = {before}"), &[])?;
        store
    }
}

fn json_of(len: usize) -> String {
    format!("\"{}\"", "x".repeat(len - 2))
}

fn small(query: &str) -> Option<(Bed, Owner, Loader)> {
    let bed = Bed::server(query)?;
    let owner = Owner::of(&bed);
    let url = bed.url.clone();
    let loader = Loader::new(Arc::new(SmallPackets(url)));
    Some((bed, owner, loader))
}

/// Many rows that together are larger than a packet are cut into statements that fit.
/// Let `load_by_insert` in `store/mysql/load.rs` cut at `INSERT_BYTES_MAX` alone to see it fail.
#[test]
fn e14_statements_are_cut_to_the_servers_limit() {
    for query in ["", "?load=load-data"] {
        let Some((bed, owner, mut loader)) = small(query) else { return };
        let record = json_of(SMALL / 5);
        let rows = vec![RowRef { topic: "t", id: "1", record: &record }; 30];
        owner.send(&mut loader, &at(1), &rows, &[]).expect("commits");
        assert_eq!(bed.row_count(), 30);
    }
}

/// A row that alone is larger than a packet is a data error that names it, not a lost connection.
/// Take the call of `require_row_fits` out of `load_by_insert` and `load_by_file` to see it fail.
#[test]
fn e14_a_row_that_cannot_fit_is_named() {
    for query in ["", "?load=load-data"] {
        let Some((bed, mut owner, mut loader)) = small(query) else { return };
        let record = json_of(SMALL + 1);
        let fits = RowRef { topic: "t", id: "1", record: "{}" };
        let rows = [fits, fits, RowRef { record: &record, ..fits }, fits];
        let error = owner.send(&mut loader, &at(1), &rows, &[]).expect_err("too large");
        assert!(matches!(error, LoadError::Refused(_)), "{error}");
        let kind = error.store_error().kind();
        assert_eq!(kind, StoreErrorKind::TooLarge { row: Some(2) }, "{error}");
        assert!(error.to_string().contains("max_allowed_packet"), "{error}");
        assert_eq!((bed.row_count(), owner.stands_at().0), (0, 0));
    }
}

/// A row larger than one packet of the wire (16 MiB) and smaller than the server's limit is stored.
#[test]
fn e14_a_row_of_twenty_mebibytes_is_stored() {
    let record = json_of(20 * 1024 * 1024);
    let beds = Bed::all().into_iter().chain(Bed::server("?load=load-data"));
    for bed in beds {
        let owner = Owner::of(&bed);
        let row = RowRef { topic: "t", id: "1", record: "{}" };
        let rows = [row, RowRef { record: &record, ..row }, row];
        owner.send(&mut Loader::new(bed.connect()), &at(1), &rows, &[]).expect("commits");
        let length = bed.number(&format!("SELECT MAX(LENGTH(record)) FROM {TABLE}"));
        assert_eq!(length, 20 * 1024 * 1024);
        assert_eq!(bed.row_count(), 3);
    }
}

/// An error row whose raw value is larger than a packet is written with its place and without the value; one
/// without a place is refused, and the batch with it.
/// Take the call of `require_fits` out of `execute` in `store/mysql.rs` to see it fail.
#[test]
fn e14_an_error_row_that_cannot_fit_keeps_its_place() {
    use harness::catalogue::{ErrorKind, ErrorRow};
    let Some((_bed, mut owner, mut loader)) = small("") else { return };
    let raw = vec![7; SMALL + 1];
    let poison = ErrorRow {
        kind: ErrorKind::Transform,
        code: "DECODE_FAILED",
        reason: "not Avro",
        split_key: None,
        position: None,
        raw_key: Some(b"k"),
        raw_value: Some(&raw),
        raw_headers: None,
    };
    let error = owner.send(&mut loader, &at(1), &[], &[poison]).expect_err("too large");
    assert_eq!(error.store_error().kind(), StoreErrorKind::TooLarge { row: None }, "{error}");
    assert_eq!(owner.stands_at().0, 0);
    let placed = ErrorRow { split_key: Some(KEY), position: Some("7"), ..poison };
    owner.send(&mut loader, &at(1), &[], &[placed]).expect("commits");
    let errors = owner.catalogue.errors(owner.pipeline.id, 9).expect("reads");
    assert_eq!((errors.len(), errors[0].position.as_deref()), (1, Some("7")));
    assert_eq!((&errors[0].raw_key, &errors[0].raw_value), (&None, &None));
    assert!(errors[0].reason.starts_with("not Avro; left out here"), "{}", errors[0].reason);
    assert_eq!(owner.stands_at().0, 1);
}

/// Rows that go over a route are cut in the same way, and one that alone is larger is a data error.
/// Let `bytes_max` in `transaction/place.rs` answer `BYTES_MAX` alone to see it fail.
#[test]
fn e14_routed_statements_are_cut_to_the_servers_limit() {
    let Some((bed, owner, loader)) = small("") else { return };
    let route = Route { is_upsert: true, ..Route::plain(TABLE) };
    let mut loader = loader.by(Arc::new(route));
    let large = json_of(SMALL);
    let rows = [RowRef { topic: "t", id: "1", record: &large }];
    let sent = owner.send(&mut loader, &at(1), &rows, &[]);
    let Err(LoadError::Refused(error)) = sent else { panic!("{sent:?}") };
    assert!(matches!(error.kind(), StoreErrorKind::TooLarge { .. }), "{error}");
    let record = json_of(SMALL / 16);
    let rows = vec![RowRef { topic: "t", id: "1", record: &record }; 30];
    owner.send(&mut loader, &at(1), &rows, &[]).expect("commits");
    assert_eq!(bed.row_count(), 30);
}
