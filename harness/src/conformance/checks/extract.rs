//! Batches: limits, reasons, counts, offsets, order (`SPEC.md` 4.7, 4.8, 7.3, 7.5).

use std::time::Duration;

use protocol::Code;
use protocol::message::{Extract, PartValue, Reason};
use protocol::session::host::Event;
use protocol::wire::Kind;
use serde_json::json;

use super::core;
use super::shared::{assign_json, drain, quick, raw_configured, raw_ready, refuses_on};
use crate::conformance::Check;
use crate::conformance::bench::Bench;
use crate::conformance::fault::{Done, demand, equal, miss};
use crate::conformance::peer::{credit, key, other_event, row_value};

/// How long nothing must come. Why: longer than a batch takes that nobody asked for.
const QUIET: Duration = Duration::from_millis(400);

pub(super) const CHECKS: &[Check] = &[
    core(
        "X49",
        "max_rows_exact",
        "4.7, 7.3 H7",
        "`max_rows` counts rows and error rows together, and a batch ends there with reason `rows`",
        max_rows_exact,
    )
    .owns(&["H7"]),
    core(
        "X50",
        "max_bytes_bound",
        "4.7",
        "datums of a batch have at most `max_bytes`; one row that is larger passes alone",
        max_bytes_bound,
    ),
    core(
        "X51",
        "idle_batch_in_time",
        "4.7, 4.8",
        "where nothing comes within `max_interval_ms`, an empty batch with reason `idle` does",
        idle_batch_in_time,
    ),
    core(
        "X52",
        "no_rows_without_credit",
        "7.3 H5, 7.5",
        "rows come for the oldest open EXTRACT, and without one nothing comes",
        no_rows_without_credit,
    )
    .owns(&["H5"]),
    core(
        "X53",
        "answers_in_order",
        "7.3 H1, 7.4",
        "answers come in the order of the requests: eight EXTRACTs, and others between them",
        answers_in_order,
    )
    .owns(&["H1"]),
    core(
        "X54",
        "counts_agree",
        "7.3 H9",
        "`frames`, `bytes`, `rows`, `errors` and digests of BATCH_END are what came, in total and for each part",
        counts_agree,
    )
    .owns(&["H9"]),
    core(
        "X55",
        "offsets_chain",
        "7.3 H8, H10",
        "`from` is the assigned VALUE, then `to` of the move before; batch numbers grow",
        offsets_chain,
    )
    .owns(&["H8", "H10"]),
    core(
        "X63",
        "until_is_exact",
        "4.7",
        "a part with `until` is not read beyond that place, and the batch ends with reason `until`",
        until_is_exact,
    ),
    core(
        "X64",
        "cancel_ends_a_batch",
        "4.10",
        "CANCEL of a running EXTRACT ends its batch with the rows it has, reason `cancel`",
        cancel_ends_a_batch,
    ),
    core(
        "X65",
        "places_move_without_rows",
        "7.5, E",
        "a place moves over a gap and to the closed end without a row",
        places_move_without_rows,
    ),
    core(
        "X66",
        "interval_ends_a_batch",
        "4.7",
        "a batch ends `max_interval_ms` after its first row, reason `interval`",
        interval_ends_a_batch,
    ),
    core(
        "X67",
        "cancel_ends_a_request",
        "4.10",
        "CANCEL of CHECK or DISCOVER that is under way is answered by ERROR CANCELLED",
        cancel_ends_a_request,
    ),
    core(
        "X68",
        "assign_voids_credits",
        "7.5, 7.3 H3, H11",
        "ASSIGN answers every open EXTRACT by a void batch without counts and moves, and then itself",
        assign_voids_credits,
    )
    .owns(&["H3", "H11"]),
    core(
        "X69",
        "extract_is_judged",
        "7.2 X5",
        "an EXTRACT of another epoch, beyond its limits, or the ninth open one is BAD_PAYLOAD",
        extract_is_judged,
    ),
    core(
        "X70",
        "rows_before_the_failure",
        "7.5",
        "rows that came before the source failed end a batch; the ERROR answers the next credit, and the place \
         stays",
        rows_before_the_failure,
    ),
    core(
        "X71",
        "caught_up_at_the_end_only",
        "4.8, E",
        "`caught_up` is true when every split was read to its end, and not before",
        caught_up_at_the_end_only,
    ),
    core(
        "X72",
        "closed_splits_are_eof",
        "4.8",
        "where every assigned split is closed and read, the reason is `eof`",
        closed_splits_are_eof,
    ),
];

fn max_rows_exact(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 200, "test.splits": 2, "test.error.every": 7});
    let mut peer = bench.ready(config, &["p0", "p1"])?;
    for max in [1, 2, 10, 99] {
        let batch = peer.extract(&credit(max))?;
        let due = format!("{max} rows and error rows, reason rows");
        let is_right = batch.count() == max && batch.end.reason == Reason::Rows;
        demand(is_right, due, || batch.line())?;
    }
    Ok(())
}

fn max_bytes_bound(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 100, "test.row.bytes": 1000}), &["p0"])?;
    let batch = peer.extract(&Extract { max_bytes: 5_500, ..credit(1000) })?;
    let is_right =
        batch.datum_bytes <= 5_500 && batch.end.rows == 5 && batch.end.reason == Reason::Bytes;
    let seen = || format!("{} bytes of datums, {}", batch.datum_bytes, batch.line());
    demand(is_right, "5 rows of about 1,050 bytes for max_bytes 5500, reason bytes", seen)?;
    let alone = peer.extract(&Extract { max_bytes: 10, ..credit(1000) })?;
    let is_right = alone.end.rows == 1 && alone.end.reason == Reason::Bytes;
    demand(is_right, "one row for max_bytes 10, reason bytes", || alone.line())
}

fn idle_batch_in_time(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 0}), &["p0"])?;
    let began = std::time::Instant::now();
    let batch = peer.extract(&Extract { max_interval_ms: 300, ..credit(10) })?;
    let took = began.elapsed().as_millis();
    let is_right = batch.end.reason == Reason::Idle && batch.count() == 0 && took >= 290;
    let seen = || format!("after {took} ms {}", batch.line());
    demand(is_right, "an empty batch with reason idle, after 300 ms", seen)
}

fn interval_ends_a_batch(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 100_000, "test.stall.at": 10, "test.stall.ms": 5_000});
    let mut peer = bench.ready(config, &["p0"])?;
    let batch = peer.extract(&Extract { max_interval_ms: 200, ..credit(1000) })?;
    let is_right = batch.end.reason == Reason::Interval && batch.end.rows == 10;
    demand(is_right, "10 rows before the stall, reason interval", || batch.line())
}

fn no_rows_without_credit(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 10}), &["p0"])?;
    for round in ["after ASSIGN", "after a batch"] {
        let deadline = std::time::Instant::now() + QUIET;
        while peer.hears(deadline.saturating_duration_since(std::time::Instant::now()))? {
            match peer.any_event("silence")? {
                Event::Schema(_) | Event::Log(_) => {}
                other => return Err(other_event(&format!("silence {round}"), &other)),
            }
        }
        peer.extract(&credit(3))?;
    }
    Ok(())
}

fn answers_in_order(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 100}), &["p0"])?;
    let mut asked = Vec::new();
    for max in 1..=8 {
        asked.push(peer.send_extract(&credit(max))?);
    }
    let discover = peer.session.discover()?;
    peer.send(&discover)?;
    let mut answered = Vec::new();
    for max in 1..=8 {
        let batch = peer.batch()?;
        answered.push(batch.extract);
        let due = format!("{max} rows for the EXTRACT of {max}");
        demand(batch.end.rows == max, due, || batch.line())?;
    }
    equal("EXTRACTs in the order of their answers", &answered, &asked)?;
    match peer.event("DISCOVERED behind the batches")? {
        Event::Discovered(_) => Ok(()),
        other => Err(other_event("DISCOVERED behind the batches", &other)),
    }
}

/// Batches of every shape: the judge compares the counts.
fn counts_agree(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 400, "test.splits": 3, "test.error.every": 11,
        "test.tombstone.every": 3, "test.gap.at": 100, "test.gap.len": 50});
    let mut peer = bench.ready(config, &["p0", "p1", "p2"])?;
    let (mut rows, mut errors) = (0, 0);
    for max in [1, 17, 400].into_iter().cycle() {
        let batch = peer.extract(&quick(max))?;
        (rows, errors) = (rows + batch.rows.len(), errors + batch.errors.len());
        if batch.end.caught_up {
            break;
        }
    }
    let is_bad = |row: &u64| !(100..150).contains(row) && (row + 1).is_multiple_of(11);
    let bad = 3 * (0..400).filter(is_bad).count();
    equal("rows and error rows in all batches", &(rows, errors), &(3 * 350 - bad, bad))
}

fn offsets_chain(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 300, "test.splits": 2, "test.close": true});
    let mut peer = bench.ready(config, &["p0", "p1"])?;
    let batches = drain(&mut peer, &quick(70))?;
    let numbers: Vec<u64> = batches.iter().map(|batch| batch.end.batch).collect();
    demand(numbers.is_sorted(), "growing batch numbers", || format!("{numbers:?}"))?;
    for part in 0..2 {
        let last = batches.iter().rev().find_map(|batch| batch.to(part));
        let due = Some(r#"{"closed":true,"row":300}"#);
        equal(&format!("the last place of part {part}"), &last, &due)?;
    }
    Ok(())
}

fn until_is_exact(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 400, "test.splits": 2}), &["p0", "p1"])?;
    let until: Vec<PartValue> =
        [(0, 110), (1, 333)].map(|(part, row)| PartValue { part, value: row_value(row) }).into();
    let mut rows = [0, 0];
    let mut reason = Reason::Rows;
    while reason == Reason::Rows {
        let batch = peer.extract(&Extract { until: until.clone(), ..credit(150) })?;
        for (part, count) in rows.iter_mut().enumerate() {
            *count += batch.rows.iter().filter(|row| row.part as usize == part).count();
        }
        reason = batch.end.reason;
    }
    equal("rows of the parts, and the last reason", &(rows, reason), &([110, 333], Reason::Until))
}

fn cancel_ends_a_batch(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 1000, "test.stall.at": 10, "test.stall.ms": 8_000});
    let mut peer = bench.ready(config, &["p0"])?;
    let long = Extract { max_interval_ms: 60_000, ..credit(1000) };
    let (first, second) = (peer.send_extract(&long)?, peer.send_extract(&long)?);
    // Each is cancelled when it is read, whether it runs or waits.
    std::thread::sleep(QUIET);
    for seq in [second, first] {
        let sent = peer.session.cancel(seq)?;
        peer.send(&sent)?;
    }
    let (one, two) = (peer.batch()?, peer.batch()?);
    let is_right = one.end.reason == Reason::Cancel && one.end.rows <= 10;
    demand(is_right, "at most the 10 rows before the stall, reason cancel", || one.line())?;
    let is_right = two.end.reason == Reason::Cancel && two.count() == 0;
    demand(is_right, "an empty batch for the one that waited, reason cancel", || two.line())
}

fn places_move_without_rows(bench: &mut Bench) -> Done {
    let config =
        json!({"test.rows": 30, "test.gap.at": 10, "test.gap.len": 20, "test.close": true});
    let mut peer = bench.configured(config)?;
    peer.assign(&[(key("p0"), row_value(10))])?;
    let batch = peer.extract(&quick(10))?;
    let is_right = batch.count() == 0 && batch.to(0) == Some(r#"{"closed":true,"row":30}"#);
    demand(is_right, "no row, and a move to {\"closed\":true,\"row\":30}", || batch.line())?;
    // A gap with rows behind it, of which none is asked for.
    let config = json!({"test.rows": 30, "test.gap.at": 10, "test.gap.len": 15});
    let mut peer = bench.ready(config, &["p0"])?;
    let until = vec![PartValue { part: 0, value: row_value(20) }];
    let batch = peer.extract(&Extract { until, ..credit(100) })?;
    let is_right = batch.end.rows == 10 && batch.to(0) == Some(r#"{"row":20}"#);
    demand(is_right, "10 rows, and a move into the gap up to `until`", || batch.line())
}

fn cancel_ends_a_request(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(json!({"test.connect.ms": 8_000}))?;
    for is_check in [true, false] {
        let sent = if is_check { peer.session.check()? } else { peer.session.discover()? };
        peer.send(&sent)?;
        std::thread::sleep(QUIET);
        let cancel = peer.session.cancel(sent.seq)?;
        peer.send(&cancel)?;
        let failure = peer.failure("ERROR CANCELLED")?;
        equal("code", &failure.code, &Code::Cancelled)?;
        demand(!failure.fatal, "an ERROR that is not fatal", || failure.to_string())?;
    }
    // What is not open is ignored.
    let cancel = peer.session.cancel(4_000_000)?;
    peer.send(&cancel)?;
    peer.ping(b"on").map(drop)
}

fn assign_voids_credits(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 5000, "test.stall.at": 10, "test.stall.ms": 8_000});
    let mut peer = bench.ready(config, &["p0"])?;
    for _ in 0..3 {
        peer.send_extract(&Extract { max_interval_ms: 60_000, ..credit(1000) })?;
    }
    std::thread::sleep(QUIET);
    peer.send_assign("", &[(key("p0"), row_value(100))])?;
    let ends = peer.assigned()?;
    let reasons: Vec<Reason> = ends.iter().map(|end| end.reason).collect();
    equal("reasons of the open EXTRACTs", &reasons, &vec![Reason::Void; 3])?;
    let batch = peer.extract(&credit(5))?;
    let first = batch.rows.first().map(|row| &*row.id);
    equal("the first row after ASSIGN", &first, &Some(r#"{"gen":"p0","row":100}"#))
}

fn extract_is_judged(bench: &mut Bench) -> Done {
    let extract = json!({"max_rows": 1, "max_bytes": 1, "max_interval_ms": 1});
    let mut none = extract.clone();
    let mut until = extract.clone();
    if let (Some(none), Some(until)) = (none.as_object_mut(), until.as_object_mut()) {
        none.insert("max_rows".to_owned(), json!(0));
        until.insert("until".to_owned(), json!([{"part": 3, "value": {"row": 1}}]));
    }
    for (what, epoch, payload) in [
        ("another epoch", 2, &extract),
        ("max_rows 0", 1, &none),
        ("until for part 3 of 1", 1, &until),
    ] {
        let mut peer = raw_ready(bench, &json!({"test.rows": 10}))?;
        peer.raw(Kind::Extract, epoch, payload)?;
        refuses_on(&mut peer, Code::BadPayload, &format!("EXTRACT with {what}"))?;
    }
    let mut peer = raw_configured(bench, &json!({"test.rows": 0}))?;
    peer.raw(Kind::Assign, 1, &assign_json(&[("p0", 0)]))?;
    peer.raw_answer(Kind::Assigned)?;
    let long = json!({"max_rows": 1, "max_bytes": 1, "max_interval_ms": 60_000});
    for _ in 0..9 {
        peer.raw(Kind::Extract, 1, &long)?;
    }
    refuses_on(&mut peer, Code::BadPayload, "the ninth open EXTRACT").map(drop)
}

fn rows_before_the_failure(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 9, "test.fail.at": 5, "test.fail.code": "PERMISSION_DENIED"});
    let mut peer = bench.ready(config, &["p0"])?;
    let batch = peer.extract(&credit(9))?;
    let is_right = batch.end.rows == 5 && batch.to(0) == Some(r#"{"row":5}"#);
    demand(is_right, "the 5 rows before the failure, in a batch", || batch.line())?;
    for _ in 0..2 {
        match peer.extract_or_failure(&credit(9))? {
            Err(failure) => {
                let is_right = failure.code == Code::PermissionDenied && !failure.fatal;
                demand(is_right, "ERROR PERMISSION_DENIED, not fatal", || failure.to_string())?;
            }
            Ok(batch) => return Err(miss("ERROR PERMISSION_DENIED", batch.line())),
        }
    }
    Ok(())
}

fn caught_up_at_the_end_only(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 30, "test.splits": 2}), &["p0", "p1"])?;
    let first = peer.extract(&credit(59))?;
    demand(!first.end.caught_up, "caught_up false before the last row", || first.line())?;
    let last = peer.extract(&quick(100))?;
    let is_right = last.end.caught_up && last.end.rows == 1;
    demand(is_right, "the last row, and caught_up true", || last.line())
}

fn closed_splits_are_eof(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 5, "test.close": true}), &["p0"])?;
    let batch = peer.extract(&credit(100))?;
    demand(batch.end.reason == Reason::Eof, "reason eof at the closed end", || batch.line())?;
    let after = peer.extract(&credit(100))?;
    let is_right = after.end.reason == Reason::Eof && after.end.offsets.is_empty();
    demand(is_right, "an empty batch, reason eof", || after.line())
}
