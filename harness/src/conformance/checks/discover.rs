//! CHECK, DISCOVER, GET_OFFSETS and the form of offsets (`SPEC.md` 4.3 to 4.6, 6).

use protocol::message::{Reason, Start};
use protocol::session::host::Event;
use protocol::wire::Kind;
use protocol::{Code, Failure, OffsetKey, OffsetValue};
use serde_json::{Value, json};

use super::core;
use super::shared::{assign_json, quick, raw_configured, refuses_on};
use crate::conformance::Check;
use crate::conformance::bench::Bench;
use crate::conformance::fault::{Done, Fault, demand, equal, miss};
use crate::conformance::peer::{Peer, credit, key, other_event, row_value, value};
use crate::conformance::rows::key_text;

pub(super) const CHECKS: &[Check] = &[
    core("D42", "check_tells_what_was_tried", "4.3", "CHECKED names what was tried", check_tells),
    core(
        "D43",
        "discover_is_stable_and_sorted",
        "4.4",
        "DISCOVERED lists all splits, sorted by the bytes of the canonical KEY, twice the same",
        discover_is_stable_and_sorted,
    ),
    core(
        "D44",
        "starts_become_places",
        "4.5, E",
        "earliest, latest and timestamps become definite VALUEs, in the order of the keys",
        starts_become_places,
    ),
    core(
        "D45",
        "places_of_error_rows_are_canonical",
        "5.2, 6.1",
        "`split` and `position` of an error row are canonical text",
        places_of_error_rows_are_canonical,
    ),
    core(
        "D46",
        "unknown_keys_of_a_value",
        "6.5",
        "a key of a VALUE that is not known is OFFSET_INVALID; one that begins with x- is ignored",
        unknown_keys_of_a_value,
    ),
    core(
        "D47",
        "another_incarnation",
        "6.6",
        "an ASSIGN with another incarnation is SOURCE_RECREATED or OFFSET_INCARNATION",
        another_incarnation,
    ),
    core(
        "D48",
        "order_of_keys_means_nothing",
        "6.1",
        "offsets may be written in any way on the pipe: order of keys and spaces mean nothing",
        order_of_keys_means_nothing,
    ),
    core(
        "D49",
        "keys_that_name_no_split",
        "4.5",
        "a KEY that names no split is SOURCE_NOT_FOUND, one of another form is OFFSET_INVALID",
        keys_that_name_no_split,
    ),
    core(
        "D50",
        "place_out_of_range",
        "4.6",
        "a VALUE beyond the end is OFFSET_OUT_OF_RANGE with `part`, `at`, and the range in `detail`",
        place_out_of_range,
    ),
    core(
        "D51",
        "assign_is_judged",
        "7.2 X4",
        "an ASSIGN with a KEY twice, or a `sync` that is no 32 digits, is BAD_PAYLOAD",
        assign_is_judged,
    ),
    core(
        "D52",
        "failed_assign_voids_and_recovers",
        "4.6, 7.1",
        "an EXTRACT after an ASSIGN that failed gets a void batch, and the next ASSIGN is as good as ever",
        failed_assign_voids_and_recovers,
    ),
];

fn check_tells(bench: &mut Bench) -> Done {
    let done = bench.configured(json!({}))?.check()?;
    let is_told = !done.checks.is_empty() && done.checks.iter().all(|it| !it.name.is_empty());
    demand(is_told, "at least one name of something that was tried", || format!("{done:?}"))
}

fn discover_is_stable_and_sorted(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(json!({"test.splits": 12, "test.seed": 3}))?;
    let first = peer.discover()?;
    let texts: Vec<&str> = first.splits.iter().map(|split| split.key.as_str()).collect();
    let mut sorted: Vec<String> = (0..12).map(|number| key_text(&format!("p{number}"))).collect();
    sorted.sort();
    equal("splits", &texts, &sorted.iter().map(|text| &**text).collect())?;
    equal("incarnation", &&*first.incarnation, &"test-3")?;
    let again = peer.discover()?;
    demand(again == first, "the same answer again", || format!("{again:?}"))
}

fn starts_become_places(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 50, "test.split.at": 20, "test.splits": 2});
    let mut peer = bench.configured(config)?;
    let keys = [key("p1"), key("p0")];
    for (start, places) in [
        (Start::Earliest, [0, 0]),
        (Start::Latest, [50, 20]),
        (Start::Timestamp(30), [30, 20]),
        (Start::Timestamp(-5), [0, 0]),
    ] {
        let what = format!("OFFSETS of p1 and p0 for {start:?}");
        let found =
            peer.offsets(start, &keys)?.map_err(|failure| miss(&*what, failure.to_string()))?;
        let due: Vec<_> = keys.iter().cloned().zip(places.map(row_value)).collect();
        let show = |it: &[(OffsetKey, OffsetValue)]| {
            it.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
        };
        equal(&what, &show(&found), &show(&due))?;
    }
    Ok(())
}

fn places_of_error_rows_are_canonical(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 6, "test.error.every": 3}), &["p0"])?;
    let batch = peer.extract(&credit(6))?;
    let found: Vec<(&str, &str)> =
        batch.errors.iter().map(|row| (&*row.split, &*row.position)).collect();
    let split = key_text("p0");
    equal("split and position", &found, &vec![(&*split, r#"{"row":2}"#), (&*split, r#"{"row":5}"#)])
}

/// ASSIGN of one split; the ERROR that answers it.
fn refused(peer: &mut Peer, incarnation: &str, split: &str, at: Value) -> Result<Failure, Fault> {
    peer.send_assign(incarnation, &[(key(split), value(&at))])?;
    let due = format!("an ERROR for ASSIGN of {split} at {at}");
    match peer.event(&due)? {
        Event::Failed { failure, .. } => Ok(failure),
        other => Err(other_event(&due, &other)),
    }
}

fn unknown_keys_of_a_value(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(json!({"test.rows": 5}))?;
    for wrong in [json!({"row": 0, "epoch": 1}), json!({"row": "0"}), json!({"place": 0})] {
        let failure = refused(&mut peer, "", "p0", wrong.clone())?;
        equal(&format!("the code for {wrong}"), &failure.code, &Code::OffsetInvalid)?;
    }
    peer.assign(&[(key("p0"), value(&json!({"x-note": "hi", "row": 5})))])?;
    let batch = peer.extract(&quick(1))?;
    demand(batch.end.offsets.is_empty(), "no move from a place with x-note", || batch.line())
}

fn another_incarnation(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(json!({"test.rows": 5}))?;
    let failure = refused(&mut peer, "test-1", "p0", json!({"row": 0}))?;
    let is_right = matches!(failure.code, Code::SourceRecreated | Code::OffsetIncarnation);
    demand(is_right, "SOURCE_RECREATED or OFFSET_INCARNATION", || failure.to_string())
}

fn order_of_keys_means_nothing(bench: &mut Bench) -> Done {
    let mut peer = raw_configured(bench, &json!({"test.rows": 5, "test.close": true}))?;
    let assign = r#"{"sync":"000102030405060708090a0b0c0d0e0f",
        "parts":[{"value":{ "row":5, "closed":true },"key":{ "gen" : "p0" }}]}"#;
    let head = protocol::wire::Head::new(Kind::Assign, 1);
    let bytes = peer.frame_of(&head, assign.as_bytes());
    peer.write(&bytes)?;
    peer.raw_answer(Kind::Assigned)?;
    let extract = json!({"max_rows": 1, "max_bytes": 1000, "max_interval_ms": 100});
    peer.raw(Kind::Extract, 1, &extract)?;
    let frame = peer.raw_answer(Kind::BatchEnd)?;
    let end: protocol::message::BatchEnd = crate::conformance::peer::read(&frame)?;
    let is_right = end.offsets.is_empty() && end.reason == Reason::Eof;
    demand(is_right, "reason eof and no move of a closed split", || format!("{end:?}"))
}

fn keys_that_name_no_split(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(json!({}))?;
    let foreign = OffsetKey::from_json(&json!({"topic": "x"}))
        .map_err(|error| miss("a KEY", error.to_string()))?;
    for (key, code) in [(key("p9"), Code::SourceNotFound), (foreign, Code::OffsetInvalid)] {
        let what = format!("ERROR {code} for {key}");
        match peer.offsets(Start::Earliest, &[key])? {
            Err(failure) => demand(failure.code == code, what, || failure.to_string())?,
            Ok(found) => return Err(miss(what, format!("{found:?}"))),
        }
    }
    Ok(())
}

fn place_out_of_range(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(json!({"test.rows": 5}))?;
    let failure = refused(&mut peer, "", "p0", json!({"row": 6}))?;
    equal("code", &failure.code, &Code::OffsetOutOfRange)?;
    equal("part", &failure.part, &Some(0))?;
    equal("at", &failure.at, &Some(row_value(6)))?;
    let range = ["earliest", "latest"].map(|name| failure.detail.contains_key(name));
    demand(range == [true; 2], "earliest and latest in detail", || format!("{:?}", failure.detail))
}

fn assign_is_judged(bench: &mut Bench) -> Done {
    let mut other_sync = assign_json(&[("p0", 0)]);
    if let Some(object) = other_sync.as_object_mut() {
        object.insert("sync".to_owned(), json!("0001"));
    }
    for (what, assign) in
        [("a KEY twice", assign_json(&[("p0", 0), ("p0", 1)])), ("a sync of 4 digits", other_sync)]
    {
        let mut peer = raw_configured(bench, &json!({}))?;
        peer.raw(Kind::Assign, 1, &assign)?;
        refuses_on(&mut peer, Code::BadPayload, &format!("ASSIGN with {what}"))?;
    }
    Ok(())
}

fn failed_assign_voids_and_recovers(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(json!({"test.rows": 5}))?;
    peer.send_assign("", &[(key("p9"), row_value(0))])?;
    peer.send_extract(&credit(10))?;
    match peer.event("ERROR SOURCE_NOT_FOUND")? {
        Event::Failed { failure, .. } if failure.code == Code::SourceNotFound && !failure.fatal => {
        }
        other => return Err(other_event("ERROR SOURCE_NOT_FOUND, not fatal", &other)),
    }
    let batch = peer.batch()?;
    demand(batch.end.reason == Reason::Void, "a void batch", || batch.line())?;
    peer.assign(&[(key("p0"), row_value(2))])?;
    let batch = peer.extract(&credit(3))?;
    demand(batch.end.rows == 3, "3 rows after an ASSIGN that is right", || batch.line())
}
