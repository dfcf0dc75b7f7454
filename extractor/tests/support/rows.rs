//! What the sinks of tests share, whatever source they are of: reading a row back, and polling until
//! something holds.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where it fails")]

use std::time::{Duration, Instant};

use extractor::source::{Polled, RowSink, Source, Taken};
use protocol::Failure;

/// A sink that counts rows and error rows.
pub(crate) trait Counted: RowSink {
    /// Rows and error rows so far.
    fn counts(&self) -> [usize; 2];
}

/// The three texts of the row that `write` appends, if it has at most `bytes_max` bytes.
pub(crate) fn read_back(
    write: &mut dyn FnMut(&mut Vec<u8>),
    bytes_max: usize,
) -> Result<[String; 3], Taken> {
    let mut datum = Vec::new();
    write(&mut datum);
    if datum.len() > bytes_max {
        return Err(Taken::TooLarge { bytes: datum.len() });
    }
    let mut rest = datum.as_slice();
    let texts = [(); 3].map(|()| text(&mut rest));
    assert!(rest.is_empty(), "bytes after the row");
    Ok(texts)
}

/// Reads one Avro string.
fn text(rest: &mut &[u8]) -> String {
    let (mut zigzag, mut shift) = (0_u64, 0);
    loop {
        let byte = rest[0];
        *rest = &rest[1..];
        zigzag |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let len = usize::try_from(zigzag >> 1).unwrap();
    let (text, tail) = rest.split_at(len);
    *rest = tail;
    String::from_utf8(text.to_vec()).unwrap()
}

/// Polls until `done` says so, or fails after `limit`.
pub(crate) fn poll_until<S: Counted>(
    source: &mut dyn Source,
    sink: &mut S,
    limit: Duration,
    mut done: impl FnMut(&S, Polled) -> bool,
) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let polled = source.poll(sink, Duration::from_millis(50))?;
        if done(sink, polled) {
            return Ok(());
        }
        let [rows, errors] = sink.counts();
        assert!(
            started.elapsed() < limit,
            "gave up after {limit:?}: {polled:?}, {rows} rows, {errors} errors"
        );
    }
}
