//! Tests of the schedule of one shard.

use super::*;

const IDLE: Duration = Duration::from_secs(5);

fn fresh() -> Pace {
    let mut pace = Pace::new(IDLE, Duration::from_secs(10));
    pace.calls();
    pace
}

fn size(payload: usize, records: usize) -> Size {
    Size { records, payload, memory: 2 * payload }
}

/// From one read to the next.
fn pause(pace: &Pace) -> Duration {
    pace.next.unwrap() - pace.called.unwrap()
}

fn about(pace: &Pace, expected: Duration) {
    let pause = pause(pace);
    let near = expected.saturating_sub(Duration::from_millis(1));
    assert!((near..=expected).contains(&pause), "{pause:?}, expected {expected:?}");
}

#[test]
fn more_is_read_at_once_within_what_is_allowed() {
    let mut pace = fresh();
    assert_eq!(pace.wait(), Duration::ZERO);
    pace.answered(size(1000, 10), 10_000, 5);
    about(&pace, INTERVAL_MIN);
    let mut pace = fresh();
    pace.answered(size(6 * 1024 * 1024, 10), 10_000, 5);
    about(&pace, Duration::from_secs(3));
    let mut pace = fresh();
    pace.answered(size(1000, 50), 50, 0);
    about(&pace, INTERVAL_MIN);
}

#[test]
fn an_idle_shard_is_asked_less_and_less_and_never_in_a_hot_loop() {
    let mut pace = fresh();
    let mut waits = Vec::new();
    for _ in 0..7 {
        pace.calls();
        pace.answered(size(0, 0), 10_000, 0);
        waits.push(pause(&pace));
    }
    assert!(waits.iter().all(|wait| *wait > Duration::from_millis(400)), "{waits:?}");
    assert!(waits.is_sorted() && waits[6] == IDLE, "{waits:?}");
    pace.calls();
    pace.answered(size(10, 1), 10_000, 0);
    about(&pace, FIRST);
}

#[test]
fn empty_answers_far_from_the_end_are_no_rest() {
    let mut pace = fresh();
    for _ in 0..5 {
        pace.calls();
        pace.answered(size(0, 0), 10_000, 60_000);
        about(&pace, INTERVAL_MIN);
    }
}

#[test]
fn trouble_is_backed_off_with_jitter_up_to_the_limit() {
    let waits: Vec<Duration> = (0..20)
        .map(|_| {
            let mut pace = fresh();
            (0..10).for_each(|_| pace.trouble(true));
            pace.wait()
        })
        .collect();
    // From the last failure, less what the test took itself.
    let range = Duration::from_millis(3_000)..=Duration::from_secs(10);
    assert!(waits.iter().all(|wait| range.contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| wait.abs_diff(waits[0]) > Duration::from_millis(50)));
    let mut pace = fresh();
    (0..10).for_each(|_| pace.trouble(false));
    assert!(pace.wait() <= Duration::from_secs(5));
}

#[test]
fn room_is_taken_for_what_is_likely_to_come() {
    let mut pace = fresh();
    assert_eq!(pace.expected_bytes(), ANSWER_BYTES_MAX);
    pace.answered(size(0, 0), 10_000, 0);
    assert_eq!(pace.expected_bytes(), 4 * WRITE_BYTES_PER_SECOND);
    pace.answered(size(4 << 20, 10_000), 10_000, 700);
    assert_eq!(pace.expected_bytes(), 12 << 20);
    pace.answered(size(10, 1), 10_000, 700);
    assert_eq!(pace.expected_bytes(), ANSWER_BYTES_MIN);
    pace.answered(size(10 << 20, 10), 10_000, 700);
    assert_eq!(pace.expected_bytes(), ANSWER_BYTES_MAX);
    pace.answered(size(0, 0), 10_000, 0);
    pace.no_room(0);
    assert_eq!(pace.expected_bytes(), ANSWER_BYTES_MAX);
}

#[test]
fn an_answer_without_room_is_paid_for_like_any_other() {
    let mut pace = fresh();
    pace.answered(size(0, 0), 10_000, 0);
    pace.no_room(8 << 20);
    about(&pace, Duration::from_secs(3));
    assert_eq!(pace.expected_bytes(), ANSWER_BYTES_MAX, "the next call has all the room");
    pace.no_room(1_000);
    about(&pace, INTERVAL_MIN);
    pace.no_room(usize::MAX);
    about(&pace, Duration::from_secs(5));
}
