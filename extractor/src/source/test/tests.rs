//! Tests of the test source against its definition (SPEC.md appendix E), computed another way.

use super::*;
use serde_json::json;

/// Takes everything; counts calls.
#[derive(Default)]
struct Sink {
    room: usize,
    rows: Vec<(u32, Vec<u8>)>,
    errors: Vec<String>,
}

impl RowSink for Sink {
    fn rows_left(&self) -> usize {
        self.room
    }

    fn row(&mut self, part: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        if self.room == 0 {
            return Taken::No;
        }
        self.room -= 1;
        let mut datum = Vec::new();
        write(&mut datum);
        self.rows.push((part, datum));
        Taken::Yes
    }

    fn error(&mut self, _: u32, row: &ErrorRow<'_>) -> Taken {
        if self.room == 0 {
            return Taken::No;
        }
        self.room -= 1;
        self.errors.push(row.position.to_owned());
        Taken::Yes
    }
}

fn source(config: Value) -> Box<dyn Source> {
    let Value::Object(mut config) = config else { panic!("no object") };
    config.insert("connector.class".into(), json!("test"));
    open(&Settings::from_maps(&config, &Map::new()).unwrap()).unwrap().source
}

fn value(row: u64) -> OffsetValue {
    Place { row, closed: false }.value()
}

fn assigned(config: Value, parts: &[(&str, u64)]) -> Box<dyn Source> {
    let mut source = source(config);
    let parts: Vec<_> = parts.iter().map(|(name, row)| (key(name), value(*row))).collect();
    source.assign("", &parts, &Cancel::default()).unwrap();
    source
}

fn texts(datum: &[u8]) -> [String; 3] {
    let row = protocol::avro::RowRef::read(&mut protocol::avro::Cursor::new(datum)).unwrap();
    [row.topic, row.id, row.record].map(ToOwned::to_owned)
}

/// Computed by an independent implementation of appendix E in Python.
#[test]
fn golden_rows() {
    let check = |unicode: bool, row: u64, record: &str| {
        let config = json!({"test.seed": 42, "test.row.bytes": 16, "test.unicode": unicode});
        let mut source = assigned(config, &[("p0", row)]);
        let mut sink = Sink { room: 1, ..Sink::default() };
        source.poll(&mut sink, Duration::ZERO).unwrap();
        let id = format!(r#"{{"gen":"p0","row":{row}}}"#);
        assert_eq!(texts(&sink.rows[0].1), ["test", &id, record]);
    };
    check(false, 0, GOLDEN_PLAIN_0);
    check(false, 999, GOLDEN_PLAIN_999);
    check(true, 0, GOLDEN_UNICODE_0);
}

const GOLDEN_PLAIN_0: &str =
    r#"{"gen":"p0","n":"16893485372562355780","payload":"esnm3mdoxn2uesnm","row":0}"#;
const GOLDEN_PLAIN_999: &str =
    r#"{"gen":"p0","n":"5541326340784376130","payload":"ckspppk44vzzcksp","row":999}"#;
const GOLDEN_UNICODE_0: &str =
    r#"{"gen":"p0","n":"16893485372562355780","payload":"eñnm\\mdoあn\"λeñnm","row":0}"#;

#[test]
fn a_full_sink_loses_nothing() {
    let mut source =
        assigned(json!({"test.rows": 50, "test.splits": 3}), &[("p0", 0), ("p1", 0), ("p2", 0)]);
    let mut rows = Vec::new();
    for room in [1, 7, 0, 30, 200] {
        let mut sink = Sink { room, ..Sink::default() };
        while source.poll(&mut sink, Duration::ZERO).unwrap() == Polled::Progress {}
        rows.extend(sink.rows);
    }
    for part in 0..3 {
        let ids: Vec<_> =
            rows.iter().filter(|row| row.0 == part).map(|row| texts(&row.1)[1].clone()).collect();
        let expected: Vec<_> =
            (0..50).map(|i| format!(r#"{{"gen":"p{part}","row":{i}}}"#)).collect();
        assert_eq!(ids, expected);
        assert_eq!(source.position(part), Some(value(50)));
    }
    assert_eq!(source.lag().rows, Some(0));
}

#[test]
fn places_move_over_gaps_as_far_as_they_may() {
    let config = json!({"test.rows": 30, "test.gap.at": 10, "test.gap.len": 100});
    let mut source = assigned(config, &[("p0", 9)]);
    let mut sink = Sink { room: 1, ..Sink::default() };
    source.set_until(&[(0, value(20))]).unwrap();
    source.poll(&mut sink, Duration::ZERO).unwrap();
    assert_eq!((sink.rows.len(), source.position(0)), (1, Some(value(20))));
    assert_eq!(source.poll(&mut sink, Duration::ZERO).unwrap(), Polled::ReachedUntil);
    source.set_until(&[]).unwrap();
    source.poll(&mut sink, Duration::ZERO).unwrap();
    assert_eq!(source.position(0), Some(value(30)));
    assert_eq!(source.poll(&mut sink, Duration::ZERO).unwrap(), Polled::Idle { caught_up: true });
}

#[test]
fn a_split_closes_at_its_end_unless_until_says_no() {
    let mut source = assigned(json!({"test.rows": 3, "test.close": true}), &[("p0", 3)]);
    let mut sink = Sink { room: 1, ..Sink::default() };
    source.set_until(&[(0, value(3))]).unwrap();
    assert_eq!(source.poll(&mut sink, Duration::ZERO).unwrap(), Polled::ReachedUntil);
    assert_eq!(source.position(0), Some(value(3)));
    assert!(source.topology().is_none());
    source.set_until(&[]).unwrap();
    source.poll(&mut sink, Duration::ZERO).unwrap();
    let closed = Place { row: 3, closed: true }.value();
    assert_eq!(source.position(0), Some(closed.clone()));
    assert_eq!(source.topology().unwrap().closed, [key("p0")]);
    let again = source.assign("", &[(key("p0"), closed)], &Cancel::default());
    assert!(again.is_ok() && source.topology().is_some(), "an assignment tells it again");
}

#[test]
fn places_that_do_not_exist_are_refused() {
    let mut source = source(json!({"test.rows": 3}));
    let mut check = |text: &str, code: Code| {
        let place = OffsetValue::parse(text).unwrap();
        let failure = source.assign("", &[(key("p0"), place)], &Cancel::default()).unwrap_err();
        assert_eq!(failure.code, code, "{text}: {failure}");
    };
    check(r#"{"row":4}"#, Code::OffsetOutOfRange);
    check(r#"{"closed":true,"row":3}"#, Code::OffsetOutOfRange);
    check(r#"{"closed":false,"row":3}"#, Code::OffsetInvalid);
    check(r#"{"row":-1}"#, Code::OffsetInvalid);
    check(r#"{"offset":1}"#, Code::OffsetInvalid);
    let foreign = OffsetKey::parse(r#"{"partition":0,"topic":"t"}"#).unwrap();
    let failure = source.assign("", &[(foreign, value(0))], &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::OffsetInvalid);
}

#[test]
fn a_stall_happens_once_and_a_cancelled_connect_ends() {
    let config =
        json!({"test.rows": 5, "test.stall.at": 2, "test.stall.ms": 30, "test.connect.ms": 60_000});
    let mut source = assigned(config, &[("p0", 0)]);
    let mut sink = Sink { room: 9, ..Sink::default() };
    let began = Instant::now();
    while sink.rows.len() < 5 {
        source.poll(&mut sink, Duration::from_millis(5)).unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(30));
    let cancel = Cancel::default();
    cancel.set();
    assert_eq!(source.check(&cancel).unwrap_err().code, Code::Cancelled);
}
