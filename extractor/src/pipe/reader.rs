//! The one thread that reads from the host. It answers PING itself, hands everything else to the
//! pump, and ends the process when stdin ends.
//!
//! Invariant: it waits for nothing but the host.

use std::fs::File;

use bytes::BytesMut;
use protocol::limits::HEADER_LEN;
use protocol::message::{Stop, decode};
use protocol::wire::{Direction, Frame, FrameDecoder, Head, Kind};
use protocol::{Class, Failure};
use std::time::Duration;

use super::{LAST_WORDS_MAX, Link, OutFrame, os};

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;

/// Reads frames until the process ends.
pub(super) fn run(link: &Link, from_host: &File) {
    let mut decoder = FrameDecoder::new(Direction::FromHost);
    let mut unread = BytesMut::new();
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let count = match os::read_some(from_host, &mut chunk) {
            Ok(0) => end(link, &decoder, &unread),
            Ok(count) => count,
            Err(error) => {
                link.stderr.say(&format!("fatal: cannot read from the host: {error}"));
                os::exit_now(Class::Internal.exit_code())
            }
        };
        unread.extend_from_slice(chunk.get(..count).unwrap_or_default());
        loop {
            match decoder.decode(&mut unread) {
                Ok(Some(frame)) => take(link, frame),
                Ok(None) => break,
                Err(error) => fail(link, Failure::new(error.code(), error.to_string())),
            }
        }
        if unread.is_empty() {
            // Payloads share the buffer; a fresh one keeps a small frame from holding a large one.
            unread = BytesMut::with_capacity(HEADER_LEN);
        }
    }
}

fn take(link: &Link, frame: Frame) {
    let (kind, reference) = (frame.head.kind, frame.head.reference);
    // Before HELLO even a PING is out of order; the pump says so.
    if kind == Kind::Ping && frame.seq > 0 {
        let head = Head::new(Kind::Pong, frame.head.epoch).answers(frame.seq);
        link.outbox.pong(OutFrame::control(head, &frame.payload));
        return;
    }
    // The deadline is armed here: it must hold although the pump hangs.
    let stop = (kind == Kind::Stop).then(|| decode::<Stop>(kind, &frame.payload));
    if let Err(failure) = link.inbox.push(frame) {
        fail(link, failure);
    }
    // After the push: the pump looks into the inbox after it began a request, so it sees either
    // the frame or the mark.
    match kind {
        Kind::Cancel => link.board.cancel(reference),
        Kind::Stop => {
            if let Some(Ok(stop)) = stop {
                link.board.stop(Duration::from_millis(stop.deadline_ms));
            }
        }
        _ => {}
    }
}

fn fail(link: &Link, failure: Failure) -> ! {
    link.fail(failure, Head::new(Kind::Error, 0))
}

fn end(link: &Link, decoder: &FrameDecoder, unread: &[u8]) -> ! {
    if let Err(error) = decoder.end(unread) {
        fail(link, Failure::new(error.code(), error.to_string()));
    }
    if link.outbox.is_closed() {
        // Another thread is saying last words and ends the process with its own code.
        os::pause(LAST_WORDS_MAX);
    }
    os::exit_now(0)
}
