//! Batches: limits, counts, offsets, cuts, and what the rows are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use apache_avro::types::Value as Avro;
use protocol::Code;
use protocol::avro::ContainerHeader;
use protocol::avro::row::{STATIC_SCHEMA, STATIC_SCHEMA_NUMBER};
use protocol::message::*;
use protocol::session::host::Event;
use serde_json::{Value, json};

use crate::driver::*;

/// Extracts until everything was read.
fn drain(host: &mut Host, extract: &Extract) -> Vec<Batch> {
    let mut batches = Vec::new();
    loop {
        let batch = host.extract(extract);
        let done = batch.end.caught_up;
        batches.push(batch);
        if done {
            return batches;
        }
    }
}

fn rows(batches: &[Batch]) -> Vec<Row> {
    batches.iter().flat_map(|batch| batch.rows.clone()).collect()
}

#[test]
fn a_session_from_hello_to_stopped() {
    let mut host = Host::ready(json!({"test.rows": 2500, "test.splits": 2}));
    let batches = drain(&mut host, &Extract { max_interval_ms: 50, ..credit(1000) });
    assert_eq!(rows(&batches).len(), 5000);
    let stopped = host.stop();
    assert_eq!((stopped.rows, stopped.batches), (5000, batches.len() as u64));
}

#[test]
fn rows_are_what_the_definition_says() {
    let config = json!({"test.seed": 7, "test.rows": 4, "test.row.bytes": 14,
        "test.tombstone.every": 2, "test.topic": "orders"});
    let mut host = Host::ready(config);
    let rows = host.extract(&credit(4)).rows;
    // Computed by hand from the definition (SPEC.md appendix E).
    assert_eq!(rows[0].topic, "orders");
    assert_eq!(rows[0].id, r#"{"gen":"p0","row":0}"#);
    let record: Value = serde_json::from_str(&rows[0].record).unwrap();
    let n: u64 = record["n"].as_str().unwrap().parse().unwrap();
    assert_eq!(n, splitmix(7, "p0", 0));
    let alphabet: Vec<char> = "abcdefghijklmnopqrstuvwxyz012345".chars().collect();
    let payload: String =
        (0..14).map(|j| alphabet[usize::try_from((n >> ((j % 12) * 5)) & 31).unwrap()]).collect();
    assert_eq!(
        rows[0].record,
        format!(r#"{{"gen":"p0","n":"{n}","payload":"{payload}","row":0}}"#)
    );
    assert_eq!(rows[1].record, "null");
    assert_eq!(rows[3].record, "null");
}

fn splitmix(seed: u64, name: &str, row: u64) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mut z = (seed ^ hash).wrapping_add((row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn max_rows_is_exact_and_counts_error_rows() {
    let mut host = Host::ready(json!({"test.rows": 100, "test.splits": 3, "test.error.every": 7}));
    for max in [1, 2, 10, 99] {
        let batch = host.extract(&credit(max));
        assert_eq!(batch.end.rows + batch.end.errors, max);
        assert_eq!(batch.end.reason, Reason::Rows);
    }
}

#[test]
fn max_bytes_bounds_a_batch_and_one_larger_row_passes_alone() {
    let mut host = Host::ready(json!({"test.rows": 100, "test.row.bytes": 1000}));
    let batch = host.extract(&Extract { max_bytes: 5_500, ..credit(1000) });
    let datum_bytes: usize =
        batch.rows.iter().map(|r| r.topic.len() + r.id.len() + r.record.len() + 4).sum();
    assert_eq!((batch.end.rows, batch.end.reason), (5, Reason::Bytes));
    assert!(datum_bytes <= 5_500);
    let alone = host.extract(&Extract { max_bytes: 10, ..credit(1000) });
    assert_eq!((alone.end.rows, alone.end.reason), (1, Reason::Bytes));
    assert_eq!(alone.rows[0].id, r#"{"gen":"p0","row":5}"#, "nothing was lost between");
}

#[test]
fn an_idle_source_answers_an_empty_batch_in_time() {
    let mut host = Host::ready(json!({"test.rows": 0}));
    let began = Instant::now();
    let batch = host.extract(&Extract { max_interval_ms: 300, ..credit(10) });
    assert_eq!((batch.end.reason, batch.end.rows, batch.end.frames), (Reason::Idle, 0, 0));
    assert!(batch.end.caught_up && batch.end.offsets.is_empty());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_slow_source_ends_its_batch_after_the_interval() {
    let config = json!({"test.rows": 100_000, "test.stall.at": 10, "test.stall.ms": 60_000});
    let mut host = Host::ready(config);
    let batch = host.extract(&Extract { max_interval_ms: 200, ..credit(1000) });
    assert_eq!((batch.end.reason, batch.end.rows), (Reason::Interval, 10));
    assert!(!batch.end.caught_up);
}

#[test]
fn nothing_comes_without_credit() {
    let mut host = Host::ready(json!({"test.rows": 10}));
    assert!(!host.readable(Duration::from_millis(300)));
    host.extract(&credit(5));
    assert!(!host.readable(Duration::from_millis(300)));
}

#[test]
fn credits_are_served_in_order() {
    let mut host = Host::ready(json!({"test.rows": 100}));
    let asked: Vec<u32> = (1..=8).map(|max| host.send_extract(&credit(max))).collect();
    let batches: Vec<Batch> = (0..8).map(|_| host.batch()).collect();
    assert_eq!(batches.iter().map(|b| b.extract).collect::<Vec<_>>(), asked);
    assert_eq!(batches.iter().map(|b| b.end.rows).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
}

/// The host session checks counts, chains, blocks and splits of frames on every batch; here are
/// enough of them, in every shape.
#[test]
fn counts_agree_and_offsets_chain_for_every_shape_of_batch() {
    let config = json!({"test.rows": 3000, "test.splits": 5, "test.error.every": 11,
        "test.tombstone.every": 3, "test.unicode": true, "test.gap.at": 100, "test.gap.len": 50});
    let mut host = Host::ready(config);
    let mut total = (0, 0);
    for max in [1, 17, 400].into_iter().cycle() {
        let batch = host.extract(&Extract { max_interval_ms: 50, ..credit(max) });
        assert_eq!(batch.rows.len() as u64, batch.end.rows);
        assert_eq!(batch.errors.len() as u64, batch.end.errors);
        assert!(batch.frame_rows.iter().all(|rows| *rows > 0));
        assert_eq!(batch.frame_rows.len() as u64, batch.end.frames);
        total = (total.0 + batch.end.rows, total.1 + batch.end.errors);
        if batch.end.caught_up {
            break;
        }
    }
    let errors =
        5 * (0..3000u64).filter(|i| !(100..150).contains(i) && (i + 1) % 11 == 0).count() as u64;
    assert_eq!(total, (5 * 2950 - errors, errors));
}

#[test]
fn header_and_blocks_are_a_valid_avro_file() {
    let config = json!({"test.rows": 2000, "test.row.bytes": 600, "test.unicode": true});
    let mut host = Host::ready(config);
    let batches = drain(&mut host, &Extract { max_interval_ms: 50, ..credit(700) });
    let header = ContainerHeader {
        schema: STATIC_SCHEMA_NUMBER,
        avro_schema: STATIC_SCHEMA.to_owned(),
        topic: None,
        key_columns: Vec::new(),
        marker: MARKER,
    };
    let mut file = header.encode();
    for batch in &batches {
        file.extend_from_slice(&batch.blocks);
    }
    let read: Vec<Avro> =
        apache_avro::Reader::new(&file[..]).unwrap().map(Result::unwrap).collect();
    let ours = rows(&batches);
    assert_eq!((read.len(), ours.len()), (2000, 2000));
    for (value, row) in read.iter().zip(&ours) {
        let Avro::Record(fields) = value else { panic!("no record") };
        assert_eq!(fields[2].1, Avro::String(row.record.clone()));
    }
}

#[test]
fn unicode_survives_and_every_record_is_json() {
    let mut host = Host::ready(json!({"test.rows": 500, "test.unicode": true}));
    let rows = host.extract(&credit(500)).rows;
    let mut seen: Vec<char> = Vec::new();
    for row in &rows {
        let record: Value = serde_json::from_str(&row.record).unwrap();
        let payload = record["payload"].as_str().unwrap();
        assert_eq!(payload.chars().count(), 100);
        seen.extend(payload.chars());
    }
    for wanted in "é漢😀\"\\\n\u{1}".chars() {
        assert!(seen.contains(&wanted), "{wanted:?} never came");
    }
}

#[test]
fn error_rows_carry_the_raw_record_and_its_place() {
    let mut host = Host::ready(json!({"test.rows": 6, "test.error.every": 3}));
    let batch = host.extract(&credit(6));
    assert_eq!(batch.errors.len(), 2);
    let bad = &batch.errors[0];
    assert_eq!((bad.code.as_str(), bad.position.as_str()), ("DECODE_FAILED", r#"{"row":2}"#));
    let raw: Value = serde_json::from_slice(bad.value.as_deref().unwrap()).unwrap();
    assert_eq!(raw["row"], 2);
    assert_eq!(batch.end.offsets[0].to, row_value(6));
}

/// A row that the host could not load comes as an error row with the record as it was received, at its place
/// whatever the batches are; error rows of other kinds do not count.
#[test]
fn a_row_that_the_host_refuses_comes_as_it_was_received() {
    let config = json!({"test.rows": 12, "test.error.every": 4});
    let mut host = Host::configured(config);
    let parts = [(key("p0"), row_value(2))];
    host.assign(&parts);
    let whole = host.extract(&credit(12));
    let datums: Vec<Vec<u8>> = split_datums(&whole.blocks);
    assert_eq!(datums.len(), 7);
    let refuse = |row: u64, datum: &[u8]| Refused {
        part: 0,
        row,
        digest: Refused::digest_of(datum),
        reason: format!("no room for {row}"),
    };
    // Rows 2 4 5 6 8 9 10 are given from row 2 on; 3, 7 and 11 are declared bad.
    let list = [refuse(0, &datums[0]), refuse(3, &datums[3]), refuse(5, &datums[0])];
    for rows in [1, 2, 3, 12] {
        host.assign_without(&parts, &list);
        let (mut given, mut bad) = (Vec::new(), Vec::new());
        while given.len() + bad.len() < whole.rows.len() + whole.errors.len() {
            let batch = host.extract(&credit(rows));
            given.extend(batch.rows);
            bad.extend(batch.errors);
        }
        let kept: Vec<_> =
            whole.rows.iter().enumerate().filter(|(i, _)| ![0, 3].contains(i)).collect();
        assert_eq!(
            given.iter().collect::<Vec<_>>(),
            kept.iter().map(|it| it.1).collect::<Vec<_>>()
        );
        let refused: Vec<_> = bad.iter().filter(|it| it.code == "ROW_REFUSED").collect();
        let places: Vec<_> = refused.iter().map(|it| it.position.as_str()).collect();
        assert_eq!(places, [r#"{"row":2}"#, r#"{"row":6}"#]);
        assert_eq!(refused[1].reason, "no room for 3");
        let record = whole.rows[3].record.as_bytes();
        assert_eq!(refused[1].value.as_deref(), Some(record));
        assert_eq!(bad.len(), whole.errors.len() + 2);
    }
}

fn split_datums(blocks: &[u8]) -> Vec<Vec<u8>> {
    let mut datums = Vec::new();
    for block in protocol::avro::Blocks::new(blocks, MARKER) {
        let block = block.unwrap();
        let mut cursor = protocol::avro::Cursor::new(block.data);
        for _ in 0..block.rows {
            let start = cursor.at();
            protocol::avro::RowRef::read(&mut cursor).unwrap();
            datums.push(block.data[start..cursor.at()].to_vec());
        }
    }
    datums
}

#[test]
fn a_row_over_the_limit_becomes_an_error_row() {
    let mut host = Host::spawn();
    host.greet();
    let settings = Settings { max_row_bytes: 200, ..Settings::default() };
    host.configure_with(json!({"test.rows": 3, "test.row.bytes": 300}), json!({}), settings);
    host.assign(&[(key("p0"), row_value(0))]);
    let batch = host.extract(&credit(3));
    assert_eq!((batch.end.rows, batch.end.errors), (0, 3));
    assert_eq!(batch.errors[0].code, "ROW_TOO_LARGE");
}

#[test]
fn the_smallest_frame_limit_is_kept_for_rows_and_error_rows() {
    let mut host = Host::spawn();
    let small = Hello { limits: WireLimits { max_frame: 65_536 }, ..hello() };
    let sent = host.session.hello(&small).unwrap();
    host.send(&sent);
    assert!(matches!(host.event(), Event::HelloOk(ok) if ok.limits.max_frame == 65_536));
    host.limit_frames(65_536);
    let config = json!({"test.rows": 200, "test.row.bytes": 3000, "test.splits": 2});
    host.configure(config);
    let starts = [(key("p0"), row_value(0)), (key("p1"), row_value(0))];
    host.assign(&starts);
    let batch = host.extract(&credit(400));
    assert_eq!(batch.rows.len(), 400);
    // 64 KiB hold twenty such rows, so nearly full frames are ten for each split.
    assert!(batch.end.frames <= 24, "{} frames", batch.end.frames);

    let mut host = Host::spawn();
    let sent = host.session.hello(&small).unwrap();
    host.send(&sent);
    host.event();
    host.limit_frames(65_536);
    host.configure(json!({"test.rows": 2, "test.row.bytes": 100_000}));
    host.assign(&starts[..1]);
    let batch = host.extract(&credit(2));
    assert_eq!((batch.end.rows, batch.end.errors), (0, 2));
    assert_eq!(batch.errors[0].code, "ROW_TOO_LARGE");
    assert_eq!(batch.errors[0].value, None, "it does not fit either");
    assert!(batch.errors[0].reason.contains("left out"), "{}", batch.errors[0].reason);
}

#[test]
fn a_row_of_many_megabytes_passes() {
    let mut host = Host::ready(json!({"test.rows": 3, "test.row.bytes": 20_000_000}));
    let batch = host.extract(&Extract { max_interval_ms: 60_000, ..credit(3) });
    assert_eq!(batch.rows.iter().map(|r| r.record.len() / 20_000_000).sum::<usize>(), 3);
}

#[test]
fn until_is_exact_and_replays_to_the_same_rows_in_other_cuts() {
    let config = json!({"test.rows": 4000, "test.splits": 2, "test.error.every": 9,
        "test.gap.at": 1000, "test.gap.len": 200, "test.unicode": true});
    let until: Vec<PartValue> = [(0, 1100), (1, 3333)]
        .map(|(part, row)| PartValue { part, value: row_value(row) })
        .to_vec();
    let run = |sizes: &[u64]| {
        let mut host = Host::ready(config.clone());
        let mut per_part: BTreeMap<u32, (Vec<Row>, Vec<Bad>)> = BTreeMap::new();
        let mut digests = Vec::new();
        for max in sizes.iter().cycle() {
            let batch = host.extract(&Extract { until: until.clone(), ..credit(*max) });
            for row in batch.rows {
                per_part.entry(row.part).or_default().0.push(row);
            }
            for bad in batch.errors {
                per_part.entry(bad.part).or_default().1.push(bad);
            }
            digests.push(
                batch.end.offsets.iter().map(|m| (m.part, m.digest.clone())).collect::<Vec<_>>(),
            );
            if batch.end.reason == Reason::Until {
                break;
            }
        }
        (per_part, digests)
    };
    let (whole, digests) = run(&[1_000_000]);
    let ends = |rows: &[Row]| rows.iter().map(|r| r.id.clone()).next_back();
    assert_eq!(ends(&whole[&0].0).as_deref(), Some(r#"{"gen":"p0","row":999}"#), "then the gap");
    assert_eq!(ends(&whole[&1].0).as_deref(), Some(r#"{"gen":"p1","row":3332}"#));
    let (again, same) = run(&[1_000_000]);
    assert_eq!((&whole, &digests), (&again, &same));
    assert!(digests[0].iter().all(|(_, digest)| digest.as_deref().is_some_and(|d| d.len() == 15)));
    for sizes in [&[1u64, 7, 500][..], &[64], &[999, 3]] {
        assert_eq!(run(sizes).0, whole, "cut by {sizes:?}");
    }
}

#[test]
fn offsets_move_without_rows_over_gaps_and_closed_splits() {
    let config =
        json!({"test.rows": 30, "test.gap.at": 10, "test.gap.len": 20, "test.close": true});
    let mut host = Host::configured(config);
    host.assign(&[(key("p0"), row_value(10))]);
    let rest = host.extract(&Extract { max_interval_ms: 100, ..credit(10) });
    assert_eq!((rest.end.rows, rest.end.frames), (0, 0));
    assert_eq!(rest.end.offsets[0].to.as_str(), r#"{"closed":true,"row":30}"#);
    assert_eq!(rest.end.reason, Reason::Eof);
    let after = host.extract(&Extract { max_interval_ms: 60_000, ..credit(10) });
    assert_eq!((after.end.reason, after.end.offsets.len()), (Reason::Eof, 0));
}

#[test]
fn a_split_that_branches_is_reported_after_the_batch_that_closed_it() {
    let config = json!({"test.rows": 5, "test.split.at": 8, "test.seed": 2});
    let mut host = Host::ready(config.clone());
    assert_eq!(host.discover().splits.len(), 3);
    let batch = host.extract(&Extract { max_interval_ms: 100, ..credit(100) });
    assert_eq!((batch.end.rows, host.partitions.len()), (8, 0));
    let closed = batch.end.offsets[0].to.clone();
    assert_eq!(closed.as_str(), r#"{"closed":true,"row":8}"#);
    assert_eq!(host.discover().splits.len(), 3);
    let news = host.partitions[0].clone();
    assert_eq!(news.closed, [key("p0")]);
    let added: Vec<_> = news.added.iter().map(|a| (a.key.clone(), a.value.clone())).collect();
    assert_eq!(added, [(key("p0a"), row_value(0)), (key("p0b"), row_value(0))]);
    assert!(news.added.iter().all(|added| added.parents == [key("p0")]));
    // Another process learns it from the assignment.
    let mut other = Host::configured(config);
    other.assign(&[(key("p0"), closed)]);
    assert_eq!(other.discover().splits.len(), 3);
    assert_eq!(other.partitions, [news]);
}

#[test]
fn a_cancelled_batch_ends_with_the_rows_it_has() {
    let config = json!({"test.rows": 100_000, "test.stall.at": 10, "test.stall.ms": 60_000});
    let mut host = Host::ready(config);
    let first = host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(1000) });
    let second = host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(1000) });
    assert!(!host.readable(Duration::from_millis(200)));
    for seq in [second, first] {
        let sent = host.session.cancel(seq).unwrap();
        host.send(&sent);
    }
    let (one, two) = (host.batch().end, host.batch().end);
    assert_eq!((one.reason, one.rows), (Reason::Cancel, 10));
    assert_eq!((two.reason, two.rows), (Reason::Cancel, 0));
}

#[test]
fn a_new_assignment_voids_the_credits_and_their_rows() {
    let config = json!({"test.rows": 1_000_000, "test.row.bytes": 1000});
    let mut host = Host::ready(config);
    // Fills the pipe and the queue behind it.
    for _ in 0..3 {
        host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(20_000) });
    }
    std::thread::sleep(Duration::from_millis(300));
    host.send_assign(&[(key("p0"), row_value(500_000))]);
    // Reading now would empty the queue before ASSIGN is read.
    host.wait_until_read();
    let (mut voids, mut frames) = (0, 0);
    loop {
        match host.event() {
            Event::Rows(_) => frames += 1,
            Event::BatchEnd(finished) => {
                assert_eq!(finished.end.reason, Reason::Void);
                voids += 1;
            }
            Event::Assigned(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(voids, 3);
    // One frame is in the pipe, one is being written.
    assert!(frames <= 2, "{frames} frames of dead rows came: the queue was not purged");
    for _ in 0..2 {
        assert!(matches!(host.event(), Event::Schema(_)));
    }
    let batch = host.extract(&credit(1));
    assert_eq!(batch.rows[0].id, r#"{"gen":"p0","row":500000}"#);
}

#[test]
fn an_error_comes_after_the_rows_before_it() {
    let config = json!({"test.rows": 100, "test.fail.at": 40, "test.fail.code": "AUTH_FAILED"});
    let mut host = Host::ready(config);
    let batch = host.extract(&credit(100));
    assert_eq!((batch.end.rows, batch.end.reason), (40, Reason::Other));
    host.send_extract(&credit(100));
    let failure = host.try_batch().unwrap_err();
    assert_eq!((failure.code, failure.part), (Code::AuthFailed, Some(0)));
    assert_eq!(failure.at, Some(row_value(40)));
    assert!(!failure.fatal);
    // The assignment stays; reading stands where the last batch ended.
    host.send_extract(&credit(100));
    assert_eq!(host.try_batch().unwrap_err().code, Code::AuthFailed);
    host.stop();
}

#[test]
fn transient_failures_are_tried_again_and_told_before_they_are_reported() {
    let mut host = Host::spawn();
    host.greet();
    let config = json!({"test.rows": 9, "test.fail.at": 0, "test.fail.code": "SOURCE_UNAVAILABLE"});
    let settings = Settings { retry_ms: 900, ..Settings::default() };
    host.configure_with(config, json!({}), settings);
    host.assign(&[(key("p0"), row_value(0))]);
    let began = Instant::now();
    let failure = loop {
        // Empty batches come in time although the source is down.
        host.send_extract(&Extract { max_interval_ms: 200, ..credit(10) });
        match host.try_batch() {
            Ok(batch) => assert_eq!((batch.end.reason, batch.end.rows), (Reason::Idle, 0)),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.code, Code::SourceUnavailable);
    assert!(failure.retryable);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let told = host.progress.iter().any(|p| p.phase == Phase::Backoff && p.message.is_some());
    assert!(told, "{:?}", host.progress);
}

/// The same pipeline read by this extractor and by the independent one in Python: equal rows,
/// error rows, places and digests.
#[test]
fn the_python_peer_delivers_the_same() {
    let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/peer/extractor");
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: the_python_peer_delivers_the_same needs python3");
        return;
    }
    let config = json!({"test.seed": 99, "test.rows": 400, "test.splits": 3, "test.row.bytes": 37,
        "test.unicode": true, "test.error.every": 13, "test.tombstone.every": 5,
        "test.gap.at": 100, "test.gap.len": 33, "test.split.at": 77, "test.close": true});
    let read = |mut host: Host| {
        host.greet();
        host.configure(config.clone());
        let found = host.discover();
        let starts: Vec<_> = found.splits.iter().map(|s| (s.key.clone(), row_value(0))).collect();
        host.assign(&starts);
        let mut rows: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
        let mut errors: BTreeMap<u32, Vec<Bad>> = BTreeMap::new();
        let mut places = BTreeMap::new();
        loop {
            let batch = host.extract(&Extract { max_interval_ms: 500, ..credit(10_000) });
            for row in batch.rows {
                rows.entry(row.part).or_default().push(row);
            }
            for bad in batch.errors {
                errors.entry(bad.part).or_default().push(bad);
            }
            for step in batch.end.offsets {
                places.insert(step.part, (step.to, step.digest));
            }
            if batch.end.reason == Reason::Eof {
                break;
            }
        }
        let later = host.discover();
        (found, rows, errors, places, later)
    };
    let mut command = std::process::Command::new("python3");
    command.arg(peer).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let theirs = read(Host::of(command.spawn().unwrap()));
    let ours = read(Host::spawn());
    assert_eq!(ours, theirs);
    assert!(ours.1.values().map(Vec::len).sum::<usize>() > 500);
}
