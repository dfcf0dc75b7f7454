//! What rows are: schemas, blocks, the test source's own rows, large ones, error rows (`SPEC.md` 5, E).

use protocol::message::{Hello, Settings, WireLimits};
use serde_json::{Map, Value, json};

use super::core;
use super::shared::{drain, quick};
use crate::conformance::Check;
use crate::conformance::bench::Bench;
use crate::conformance::fault::{Done, Fault, demand, equal, miss};
use crate::conformance::peer::{Peer, Row, credit, hello, key, row_value};
use crate::conformance::rows::{Expected, Rows, key_text};

/// A row that is larger than a pipe and than the frames that senders aim at. Why not more: a program in a slow
/// language shall pass in time.
const LARGE: u64 = 300_000;

/// The least `max_frame`.
const SMALL_FRAME: u32 = 65_536;

pub(super) const CHECKS: &[Check] = &[
    core(
        "X56",
        "blocks_are_whole",
        "7.3 H6",
        "a BATCH names an assigned part, a live schema and its operation; its blocks are whole, not empty, and \
         end with the sync marker",
        blocks_are_whole,
    )
    .owns(&["H6"]),
    core(
        "X57",
        "rows_are_those_of_the_source",
        "E",
        "topic, id and record of every row are the bytes that the specification computes, in order",
        rows_are_those_of_the_source,
    ),
    core(
        "X58",
        "schemas_before_rows",
        "7.3 H4",
        "SCHEMA is a container header with the sync marker of ASSIGN, comes before its rows, and keeps its \
         meaning",
        schemas_before_rows,
    )
    .owns(&["H4"]),
    core(
        "X59",
        "one_part_in_a_frame",
        "5.3",
        "the rows of a BATCH are of the split that its header names",
        one_part_in_a_frame,
    ),
    core(
        "X60",
        "unicode_and_controls",
        "E, 6.1",
        "every character survives, and only those are escaped that must be",
        unicode_and_controls,
    ),
    core("X61", "tombstones", "5.2, E", "a tombstone is a row whose record is `null`", tombstones),
    core(
        "X62",
        "rows_over_the_limit",
        "4.2, E 6",
        "a row over `max_row_bytes` is an error row ROW_TOO_LARGE with the number of bytes in its reason",
        rows_over_the_limit,
    ),
    core("X73", "large_rows_pass", "5.3", "a row that is larger than a pipe passes whole", large_rows_pass),
    core(
        "X74",
        "error_rows_carry_the_record",
        "5.2, E 1",
        "an error row has split, position, the raw key and value, code and reason",
        error_rows_carry_the_record,
    ),
    core(
        "X75",
        "small_frames_kept",
        "4.1",
        "no SCHEMA or BATCH is larger than the `max_frame` that HELLO asked for",
        small_frames_kept,
    ),
];

fn object(config: &Value) -> Map<String, Value> {
    config.as_object().cloned().unwrap_or_default()
}

fn as_expected(row: &Row) -> Expected {
    let Row { topic, id, record, .. } = row.clone();
    Expected { topic, id, record, is_error: false }
}

/// Compares rows of one split, from its first on, with the specification.
fn compare(config: &Value, split: &str, rows: &[Row], count: u64) -> Done {
    let config = object(config);
    let source = Rows(&config);
    let due: Vec<Expected> =
        (0..count).map(|row| source.row(split, row)).filter(|row| !row.is_error).collect();
    for (at, due) in due.iter().enumerate() {
        let Some(seen) = rows.get(at).map(as_expected) else {
            return Err(miss(format!("{} rows", due_count(&due.id, count)), format!("{at} rows")));
        };
        demand(seen == *due, format!("row {at}: {due:?}"), || format!("{seen:?}"))?;
    }
    equal("number of rows", &rows.len(), &due.len())
}

fn due_count(id: &str, count: u64) -> String {
    format!("{id} among {count}")
}

fn blocks_are_whole(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 900, "test.splits": 2, "test.error.every": 50,
        "test.row.bytes": 1000});
    let mut peer = bench.ready(config, &["p0", "p1"])?;
    let batches = drain(&mut peer, &quick(700))?;
    let rows: u64 = batches.iter().map(|batch| batch.end.rows).sum();
    equal("rows in whole blocks", &rows, &(2 * (900 - 18)))
}

fn rows_are_those_of_the_source(bench: &mut Bench) -> Done {
    let config = json!({"test.seed": 7, "test.rows": 300, "test.row.bytes": 37,
        "test.topic": "orders"});
    let mut peer = bench.ready(config.clone(), &["p0"])?;
    let batch = peer.extract(&credit(300))?;
    compare(&config, "p0", &batch.rows, 300)
}

fn schemas_before_rows(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 30, "test.error.every": 4}), &["p0"])?;
    peer.extract(&credit(9))?;
    // Schemas live until the next ASSIGNED: rows of the new epoch need new ones.
    peer.assign(&[(key("p0"), row_value(3))])?;
    let batch = peer.extract(&credit(9))?;
    demand(batch.count() == 9, "9 rows and error rows", || batch.line())
}

fn one_part_in_a_frame(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 40, "test.splits": 3}), &["p2", "p0", "p1"])?;
    let batch = peer.extract(&credit(120))?;
    for row in &batch.rows {
        let split = ["p2", "p0", "p1"].get(row.part as usize).copied().unwrap_or_default();
        let due = format!("rows of {split} in part {}", row.part);
        let is_right = row.id.starts_with(&format!(r#"{{"gen":"{split}","#));
        demand(is_right, due, || row.id.clone())?;
    }
    demand(batch.rows.len() == 120, "120 rows", || batch.line())
}

fn unicode_and_controls(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 200, "test.unicode": true, "test.row.bytes": 50});
    let mut peer = bench.ready(config.clone(), &["p0"])?;
    let batch = peer.extract(&credit(200))?;
    compare(&config, "p0", &batch.rows, 200)
}

fn tombstones(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 30, "test.tombstone.every": 4});
    let mut peer = bench.ready(config.clone(), &["p0"])?;
    let batch = peer.extract(&credit(30))?;
    compare(&config, "p0", &batch.rows, 30)
}

/// A program whose rows may have so many bytes.
fn limited(bench: &mut Bench, max_row_bytes: u64, config: Value) -> Result<Peer, Fault> {
    let mut peer = bench.greeted()?;
    let settings = Settings { max_row_bytes, ..Settings::default() };
    peer.configure_with(config, json!({}), settings)?;
    peer.assign(&[(key("p0"), row_value(0))])?;
    Ok(peer)
}

fn rows_over_the_limit(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 3, "test.row.bytes": 300});
    let mut peer = limited(bench, 200, config.clone())?;
    let batch = peer.extract(&credit(3))?;
    let config = object(&config);
    let due: Vec<(String, String)> = (0..3)
        .map(|row| {
            let Expected { topic, id, record, .. } = Rows(&config).row("p0", row);
            // Each text has its length before it: one byte up to 63, two from there on.
            let bytes: usize = [&topic, &id, &record]
                .map(|it| it.len() + if it.len() < 64 { 1 } else { 2 })
                .iter()
                .sum();
            let reason = format!("row has {bytes} bytes, which is over the limit");
            ("ROW_TOO_LARGE".to_owned(), reason)
        })
        .collect();
    let seen: Vec<(String, String)> =
        batch.errors.iter().map(|row| (row.code.clone(), row.reason.clone())).collect();
    equal("code and reason of the error rows", &seen, &due)
}

fn large_rows_pass(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 2, "test.row.bytes": LARGE});
    let mut peer = bench.ready(config.clone(), &["p0"])?;
    let batch = peer.extract(&credit(2))?;
    compare(&config, "p0", &batch.rows, 2)
}

fn error_rows_carry_the_record(bench: &mut Bench) -> Done {
    let config = json!({"test.rows": 6, "test.error.every": 3});
    let mut peer = bench.ready(config.clone(), &["p0"])?;
    let batch = peer.extract(&credit(6))?;
    equal("error rows", &batch.errors.len(), &2)?;
    let config = object(&config);
    for (error, row) in batch.errors.iter().zip([2, 5]) {
        let due = Rows(&config).row("p0", row);
        equal("split", &&*error.split, &&*key_text("p0"))?;
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        equal("key", &text(&error.key), &Some(due.id))?;
        equal("value", &text(&error.value), &Some(due.record))?;
        equal("code", &&*error.code, &"DECODE_FAILED")?;
        equal("reason", &&*error.reason, &"declared bad by test.error.every")?;
    }
    Ok(())
}

fn small_frames_kept(bench: &mut Bench) -> Done {
    let mut peer = bench.start()?;
    let limits = WireLimits { max_frame: SMALL_FRAME };
    let ok = peer.greet_with(&Hello { limits, ..hello() })?;
    equal("max_frame of HELLO_OK", &ok.limits.max_frame, &SMALL_FRAME)?;
    peer.limit_frames(SMALL_FRAME);
    peer.configure(json!({"test.rows": 100, "test.row.bytes": 3000}))?;
    peer.assign(&[(key("p0"), row_value(0))])?;
    // A frame over the limit is this check's own matter.
    let batch = peer.extract(&credit(100)).map_err(|fault| match fault {
        Fault::Broken { rule: "2", seen } => miss("frames of at most 65,536 bytes", seen),
        other => other,
    })?;
    demand(batch.rows.len() == 100, "100 rows", || batch.line())
}
