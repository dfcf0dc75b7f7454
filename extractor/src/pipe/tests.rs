//! Tests of the queues between the threads. What the threads do with descriptors is tested with
//! the whole process in `tests/`.

use bytes::Bytes;
use protocol::limits::{UNREAD_BYTES_MAX, UNREAD_FRAMES_MAX};
use protocol::wire::Frame;

use super::*;

fn frame(kind: Kind, payload: &[u8]) -> OutFrame {
    OutFrame::control(Head::new(kind, 1), payload)
}

fn kinds(link: &Link) -> Vec<Kind> {
    std::iter::from_fn(|| link.take_frame()).map(|(head, ..)| head.kind).collect()
}

#[test]
fn e06_only_pong_progress_and_log_overtake() {
    let link = Link::alone();
    let order = [
        Kind::Schema,
        Kind::Batch,
        Kind::BatchEnd,
        Kind::Partitions,
        Kind::Assigned,
        Kind::Error,
        Kind::Stopped,
    ];
    for kind in order {
        link.outbox.push(frame(kind, b"x"));
    }
    assert!(link.outbox.log(frame(Kind::Log, b"x")));
    link.outbox.progress(frame(Kind::Progress, b"old"));
    link.outbox.progress(frame(Kind::Progress, b"new"));
    link.outbox.pong(frame(Kind::Pong, b"x"));
    let mut expected = vec![Kind::Pong, Kind::Progress, Kind::Log];
    expected.extend(order);
    assert_eq!(kinds(&link), expected);
}

#[test]
fn lanes_that_nobody_empties_stay_small() {
    let link = Link::alone();
    for number in 0u32..1000 {
        link.outbox.pong(frame(Kind::Pong, &number.to_be_bytes()));
        link.outbox.log(frame(Kind::Log, b"x"));
    }
    let (head, payload, _) = link.take_frame().unwrap();
    assert_eq!((head.kind, payload), (Kind::Pong, 984u32.to_be_bytes().to_vec()));
    let rest = kinds(&link);
    assert_eq!(rest.iter().filter(|kind| **kind == Kind::Pong).count(), 15);
    assert_eq!(rest.iter().filter(|kind| **kind == Kind::Log).count(), 256);
}

#[test]
fn rows_are_refused_while_the_host_does_not_read() {
    let link = Link::alone();
    let big = vec![0; 1 << 20];
    for _ in 0..2 {
        assert!(link.outbox.has_room());
        link.outbox.push(frame(Kind::Batch, &big));
    }
    assert!(!link.outbox.has_room());
    link.take_frame().unwrap();
    assert!(link.outbox.has_room());
}

#[test]
fn e06_a_new_assignment_purges_rows_and_voids_their_ends() {
    let link = Link::alone();
    let answer = |kind, seq| OutFrame::control(Head::new(kind, 1).answers(seq), b"rows");
    link.outbox.push(answer(Kind::Checked, 1));
    for seq in [2, 3] {
        link.outbox.push(answer(Kind::Batch, seq));
        link.outbox.push(answer(Kind::BatchEnd, seq));
    }
    link.outbox.push(answer(Kind::Batch, 4));
    link.outbox.void_batches(|head| OutFrame::control(head, b"void"));
    let left: Vec<_> = std::iter::from_fn(|| link.take_frame())
        .map(|(head, payload, _)| (head.kind, head.reference, payload))
        .collect();
    let expected = [
        (Kind::Checked, 1, b"rows".to_vec()),
        (Kind::BatchEnd, 2, b"void".to_vec()),
        (Kind::BatchEnd, 3, b"void".to_vec()),
    ];
    assert_eq!(left, expected);
    assert!(link.outbox.has_room());
}

#[test]
fn nothing_follows_the_last_frame() {
    let link = Link::alone();
    // Without a writer, the wait ends by its time.
    assert!(!link.outbox.finish(frame(Kind::Stopped, b""), Duration::from_millis(1)));
    link.outbox.push(frame(Kind::BatchEnd, b""));
    link.outbox.pong(frame(Kind::Pong, b""));
    assert!(!link.outbox.finish(frame(Kind::Error, b""), Duration::from_millis(1)));
    assert_eq!(kinds(&link), [Kind::Stopped]);
}

fn request(seq: u32, kind: Kind, bytes: usize) -> Frame {
    Frame { head: Head::new(kind, 0), seq, payload: Bytes::from(vec![b' '; bytes]) }
}

#[test]
fn requests_are_held_against_the_limit_until_they_are_answered() {
    let inbox = Inbox::default();
    let max = u32::try_from(UNREAD_FRAMES_MAX).unwrap();
    for seq in 0..max {
        inbox.push(request(seq, Kind::Check, 2)).unwrap();
        // Taken is not answered.
        assert!(inbox.try_take().is_some());
    }
    inbox.release(0);
    inbox.push(request(max, Kind::Check, 2)).unwrap();
    let failure = inbox.push(request(max + 1, Kind::Check, 2)).unwrap_err();
    assert_eq!((failure.code, failure.fatal), (Code::BufferLimit, true));
}

#[test]
fn one_large_request_passes_with_small_ones_and_two_do_not() {
    let inbox = Inbox::default();
    inbox.push(request(0, Kind::Configure, 1 << 20)).unwrap();
    inbox.push(request(1, Kind::Assign, 1 << 20)).unwrap();
    for seq in 2..10 {
        inbox.push(request(seq, Kind::Extract, 100)).unwrap();
    }
    let failure = inbox.push(request(10, Kind::GetOffsets, UNREAD_BYTES_MAX)).unwrap_err();
    assert_eq!(failure.code, Code::BufferLimit);
}

#[test]
fn a_cancel_meets_only_the_request_that_it_names() {
    let board = Board::default();
    let token = board.cancel_token();
    board.begin(5, 1, Phase::Connecting);
    board.cancel(4);
    assert!(!token.is_set());
    board.cancel(5);
    assert!(token.is_set());
    board.begin(6, 1, Phase::Connecting);
    assert!(!token.is_set(), "a late cancel of 5 must not meet 6");
    board.end();
    board.cancel(6);
    assert!(!token.is_set());
}

#[test]
fn a_stop_meets_every_later_request_and_only_shortens_the_deadline() {
    let board = Board::default();
    board.stop(Duration::from_secs(5));
    board.stop(Duration::from_secs(60));
    board.begin(7, 1, Phase::Connecting);
    assert!(board.cancel_token().is_set());
    assert!(board.time_left().unwrap() <= Duration::from_secs(5));
    board.stop(Duration::ZERO);
    assert_eq!(board.time_left(), Some(Duration::ZERO));
}

#[test]
fn progress_is_due_at_once_when_the_phase_changes() {
    let board = Board::default();
    assert!(board.due().is_none());
    board.begin(3, 9, Phase::Polling);
    assert!(board.due().is_none(), "it has just begun");
    board.back_off(Instant::now() + Duration::from_secs(2), Phase::Backoff, "down".to_owned());
    let busy = board.due().unwrap();
    assert_eq!((busy.seq, busy.epoch, busy.phase), (3, 9, Phase::Backoff));
    assert!(busy.retry_after_ms.unwrap() > 1_000 && busy.message.as_deref() == Some("down"));
    assert!(board.due().is_none(), "the host knows it now");
    board.polling();
    assert_eq!(board.due().unwrap().phase, Phase::Polling);
}

#[test]
fn buffers_come_back_and_giants_do_not() {
    let mut pool = Pool::default();
    let mut buffer = pool.take();
    assert_eq!(buffer.len(), ROOM);
    buffer.extend_from_slice(&[1; 100_000]);
    let address = buffer.as_ptr();
    pool.put(buffer);
    let again = pool.take();
    assert_eq!((again.as_ptr(), again.len()), (address, ROOM));
    pool.put(vec![0; 64 << 20]);
    assert!(pool.take().capacity() < 1 << 20, "a giant was kept");
}
