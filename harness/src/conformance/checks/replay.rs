//! The same place gives the same rows: other cuts, other processes, other surroundings (`SPEC.md` 5.5, 7.7).

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use protocol::message::{Extract, Reason};
use protocol::{OffsetKey, OffsetValue};
use serde_json::json;

use super::core;
use super::shared::{drain, quick};
use crate::conformance::Check;
use crate::conformance::bench::{Bench, Start};
use crate::conformance::fault::{Done, Fault, demand, equal, miss};
use crate::conformance::peer::{Batch, Peer, credit, key, row_value};

/// Runs with other cuts.
const CUTS: usize = 4;

/// Kills at random moments.
const KILLS: usize = 5;

pub(super) const CHECKS: &[Check] = &[
    core(
        "R66",
        "same_rows_in_other_cuts",
        "5.5",
        "from one place to the end the rows are the same, however batches are cut",
        same_rows_in_other_cuts,
    ),
    core(
        "R67",
        "same_rows_elsewhere",
        "5.5",
        "the rows are the same in another process, time zone, locale and hash seed",
        same_rows_elsewhere,
    ),
    core(
        "R68",
        "resumes_where_it_was_told",
        "6, 7.7",
        "a new process goes on with the row that the VALUE of the last move names: none is lost, none comes twice",
        resumes_where_it_was_told,
    ),
    core(
        "R69",
        "killed_at_random_loses_nothing",
        "7.7",
        "killed at any moment and begun again at the last BATCH_END, the program gives every row once",
        killed_at_random_loses_nothing,
    ),
    core(
        "R73",
        "children_after_their_parent",
        "B, E 5",
        "a split that branches is told in PARTITIONS after the BATCH_END that closed it, with its children",
        children_after_their_parent,
    ),
    core(
        "R74",
        "assigned_back_to_the_start",
        "4.6",
        "an ASSIGN further back reads the same rows again, in the same process",
        assigned_back_to_the_start,
    ),
    core(
        "R75",
        "closed_parents_are_told_again",
        "E 5",
        "a new process that is given a closed split tells its children",
        closed_parents_are_told_again,
    ),
];

/// Rows of each part, and its error rows, as text.
type Read = BTreeMap<(u32, &'static str), Vec<String>>;

fn add(read: &mut Read, batch: &Batch) {
    for row in &batch.rows {
        let text = format!("{} {} {}", row.topic, row.id, row.record);
        read.entry((row.part, "rows")).or_default().push(text);
    }
    for row in &batch.errors {
        let text = format!("error {} {} {}", row.split, row.position, row.reason);
        read.entry((row.part, "error rows")).or_default().push(text);
    }
}

/// Both lists part by part; the first place where they differ.
fn same(seen: &Read, due: &Read) -> Done {
    for (place, due) in due {
        let seen = seen.get(place).map(Vec::as_slice).unwrap_or_default();
        let differs = due.iter().zip(seen).position(|(due, seen)| due != seen);
        if let Some(at) = differs {
            let show = |rows: &[String]| rows.get(at).cloned().unwrap_or_default();
            let place = format!("number {at} of the {} of part {}", place.1, place.0);
            return Err(miss(
                format!("{place}: {}", show(due)),
                format!("{place}: {}", show(seen)),
            ));
        }
        equal(&format!("{} of part {}", place.1, place.0), &seen.len(), &due.len())?;
    }
    Ok(())
}

fn two_splits() -> serde_json::Value {
    json!({"test.rows": 600, "test.splits": 2, "test.error.every": 9, "test.gap.at": 100,
        "test.gap.len": 20, "test.unicode": true, "test.row.bytes": 30})
}

fn read_all(peer: &mut Peer, extract: &Extract) -> Result<Read, Fault> {
    let mut read = Read::new();
    for batch in drain(peer, extract)? {
        add(&mut read, &batch);
    }
    Ok(read)
}

fn same_rows_in_other_cuts(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(two_splits(), &["p0", "p1"])?;
    let whole = read_all(&mut peer, &quick(1_000_000))?;
    for _ in 0..CUTS {
        let mut peer = bench.ready(two_splits(), &["p0", "p1"])?;
        let mut read = Read::new();
        loop {
            let batch = peer.extract(&quick(bench.random.u64(1..400)))?;
            add(&mut read, &batch);
            if batch.end.caught_up {
                break;
            }
        }
        same(&read, &whole)?;
    }
    Ok(())
}

fn same_rows_elsewhere(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(two_splits(), &["p0", "p1"])?;
    let here = read_all(&mut peer, &quick(250))?;
    let env = ["TZ=Pacific/Kiritimati", "LC_ALL=C", "LANG=tr_TR.UTF-8", "PYTHONHASHSEED=77"];
    let mut peer = bench.start_with(Start { env: &env, ..Start::default() })?;
    peer.greet()?;
    peer.configure(two_splits())?;
    peer.assign(&["p0", "p1"].map(|name| (key(name), row_value(0))))?;
    let there = read_all(&mut peer, &quick(250))?;
    same(&there, &here)
}

/// Where each split stands, as a host keeps it.
struct Places(Vec<(OffsetKey, OffsetValue)>);

impl Places {
    fn start() -> Self {
        Self(["p0", "p1"].map(|name| (key(name), row_value(0))).into())
    }

    fn take(&mut self, batch: &Batch) {
        for step in &batch.end.offsets {
            if let Some(place) = self.0.get_mut(step.part as usize) {
                place.1 = step.to.clone();
            }
        }
    }
}

fn resumes_where_it_was_told(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(two_splits(), &["p0", "p1"])?;
    let whole = read_all(&mut peer, &quick(1_000_000))?;
    let (mut places, mut read) = (Places::start(), Read::new());
    for size in [1, 50, 130, 1_000_000] {
        let mut peer = bench.configured(two_splits())?;
        peer.assign(&places.0)?;
        let batch = peer.extract(&quick(size))?;
        add(&mut read, &batch);
        places.take(&batch);
    }
    same(&read, &whole)
}

fn killed_at_random_loses_nothing(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(two_splits(), &["p0", "p1"])?;
    let whole = read_all(&mut peer, &quick(1_000_000))?;
    let (mut places, mut read) = (Places::start(), Read::new());
    for kill in 0..=KILLS {
        let mut peer = bench.configured(two_splits())?;
        peer.assign(&places.0)?;
        for _ in 0..3 {
            peer.send_extract(&quick(bench.random.u64(20..120)))?;
        }
        let is_last = kill == KILLS;
        if !is_last {
            // What was written before the kill is read after it, a cut frame at the end included.
            let wait = std::time::Duration::from_micros(bench.random.u64(0..3_000));
            std::thread::sleep(wait);
            peer.signal(Signal::SIGKILL)?;
        }
        while let Ok(batch) = peer.batch() {
            add(&mut read, &batch);
            places.take(&batch);
            if batch.end.caught_up {
                break;
            }
            if is_last {
                peer.send_extract(&quick(1_000))?;
            }
        }
    }
    same(&read, &whole)
}

fn branching() -> serde_json::Value {
    json!({"test.rows": 5, "test.split.at": 8, "test.seed": 2})
}

fn children_after_their_parent(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(branching(), &["p0"])?;
    let batch = peer.extract(&quick(100))?;
    demand(peer.seen.news.is_empty(), "PARTITIONS after BATCH_END", || {
        "it came before".to_owned()
    })?;
    let is_right = batch.end.rows == 8 && batch.to(0) == Some(r#"{"closed":true,"row":8}"#);
    demand(is_right, "8 rows and a closed p0", || batch.line())?;
    let splits = peer.discover()?.splits;
    equal("splits of DISCOVERED", &splits.len(), &3)?;
    told_children(&peer)
}

/// PARTITIONS came, and tells the children of p0.
fn told_children(peer: &Peer) -> Done {
    let news = peer.seen.news.first();
    let news = news.ok_or_else(|| miss("PARTITIONS before the next answer", "none"))?;
    equal("closed", &news.closed, &vec![key("p0")])?;
    let added: Vec<_> = news.added.iter().map(|it| (it.key.clone(), it.value.clone())).collect();
    equal("added", &added, &vec![(key("p0a"), row_value(0)), (key("p0b"), row_value(0))])?;
    let is_right = news.added.iter().all(|it| it.parents == [key("p0")]);
    demand(is_right, "p0 as the parent of both", || format!("{news:?}"))
}

fn assigned_back_to_the_start(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 60}), &["p0"])?;
    let first = peer.extract(&credit(40))?;
    peer.assign(&[(key("p0"), row_value(0))])?;
    // A program that goes on from elsewhere breaks the chain: that is this check's own matter.
    let again = peer.extract(&credit(40)).map_err(|fault| match fault {
        Fault::Broken { seen, .. } => miss("reading from the assigned place", seen),
        other => other,
    })?;
    demand(first.rows == again.rows, "the same 40 rows", || again.line())?;
    demand(again.end.reason == Reason::Rows, "reason rows", || again.line())
}

fn closed_parents_are_told_again(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(branching())?;
    let closed = crate::conformance::peer::value(&json!({"closed": true, "row": 8}));
    peer.assign(&[(key("p0"), closed)])?;
    peer.discover()?;
    told_children(&peer)
}
