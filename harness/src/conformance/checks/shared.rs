//! What several checks do alike.

use protocol::message::Extract;
use protocol::wire::{FrameSealer, Head, Kind};
use protocol::{Code, Failure};
use serde_json::{Value, json};

use crate::conformance::bench::Bench;
use crate::conformance::fault::{Done, Fault, demand, miss};
use crate::conformance::peer::{Batch, Peer, hello};

/// The exit code of class protocol.
const PROTOCOL_EXIT: i32 = 76;

/// HELLO as JSON.
pub(super) fn hello_json() -> Value {
    serde_json::to_value(hello()).unwrap_or_default()
}

/// A whole frame with any payload.
pub(super) fn frame(sealer: &mut FrameSealer, kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut head = Head::new(kind, 0);
    if matches!(kind, Kind::Configure | Kind::Update) {
        head = head.sensitive();
    }
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = sealer.seal(&head, length, crc32c::crc32c(payload)).to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// HELLO as a frame, the first one of a session.
pub(super) fn hello_frame(sealer: &mut FrameSealer) -> Vec<u8> {
    frame(sealer, Kind::Hello, hello_json().to_string().as_bytes())
}

/// A frame whose header is changed and sealed anew.
pub(super) fn changed(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    damage(&mut frame, at, bytes);
    let covered = frame.get(..28).map_or(0, crc32c::crc32c);
    let crc = crc32c::crc32c_append(covered, frame.get(32..).unwrap_or_default());
    damage(&mut frame, 28, &crc.to_be_bytes());
    frame
}

/// Replaces bytes of a frame, and nothing else.
pub(super) fn damage(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// A program that gets these bytes ends with a fatal ERROR of this code and the exit code of class protocol.
pub(super) fn refuses(bench: &mut Bench, bytes: &[u8], code: Code, what: &str) -> Done {
    let mut peer = bench.start()?;
    peer.write(bytes)?;
    refuses_on(&mut peer, code, what).map(drop)
}

/// The same for a session that is under way.
pub(super) fn refuses_on(peer: &mut Peer, code: Code, what: &str) -> Result<Failure, Fault> {
    let due = format!("ERROR {code}, fatal, for {what}");
    peer.probes = true;
    let failure = peer.raw_failure(&due)?;
    demand(failure.code == code, &*due, || format!("ERROR {failure}"))?;
    demand(failure.fatal, &*due, || format!("ERROR {failure}, which is not fatal"))?;
    peer.rest()?;
    peer.exits(PROTOCOL_EXIT)?;
    Ok(failure)
}

/// A session without the judge up to READY: CONFIGURE with the test source, ASSIGN of p0.
pub(super) fn raw_ready(bench: &mut Bench, config: &Value) -> Result<Peer, Fault> {
    let mut peer = raw_configured(bench, config)?;
    peer.raw(Kind::Assign, 1, &assign_json(&[("p0", 0)]))?;
    peer.raw_answer(Kind::Assigned)?;
    Ok(peer)
}

/// A session without the judge up to CONFIGURED.
pub(super) fn raw_configured(bench: &mut Bench, config: &Value) -> Result<Peer, Fault> {
    let mut peer = bench.start()?;
    peer.raw(Kind::Hello, 0, &hello_json())?;
    peer.raw_answer(Kind::HelloOk)?;
    let mut config = config.clone();
    if let Value::Object(config) = &mut config {
        config.insert("connector.class".to_owned(), json!("test"));
    }
    peer.raw(Kind::Configure, 0, &json!({ "config": config }))?;
    peer.raw_answer(Kind::Configured)?;
    Ok(peer)
}

/// ASSIGN of splits of the test source.
pub(super) fn assign_json(splits: &[(&str, u64)]) -> Value {
    let parts =
        splits.iter().map(|(name, row)| json!({"key": {"gen": name}, "value": {"row": row}}));
    json!({"sync": "000102030405060708090a0b0c0d0e0f", "parts": parts.collect::<Vec<_>>()})
}

/// Batches until everything was read.
pub(super) fn drain(peer: &mut Peer, extract: &Extract) -> Result<Vec<Batch>, Fault> {
    let mut batches = Vec::new();
    // More batches than any check has rows.
    for _ in 0..100_000 {
        let batch = peer.extract(extract)?;
        let is_done = batch.end.caught_up;
        batches.push(batch);
        if is_done {
            return Ok(batches);
        }
    }
    Err(miss("caught_up in the end", "100,000 batches without it"))
}

/// The same for a pause after the last row.
pub(super) fn quick(max_rows: u64) -> Extract {
    Extract { max_interval_ms: 100, ..crate::conformance::peer::credit(max_rows) }
}
