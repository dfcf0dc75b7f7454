//! Tests of when an event was sent, as far as a reader knows.

use super::*;

fn moment(start: Instant, ms: u64) -> Moment {
    let service_ms = i64::try_from(ms).ok();
    Moment { at: start + Duration::from_millis(ms), service_ms }
}

#[test]
fn waits_together_are_caught_up_and_a_pin_needs_one_long_wait() {
    let start = Instant::now();
    let mut progress = Progress::default();
    progress.subscribes(moment(start, 0));
    let event = |progress: &mut Progress, began: u64, waited: u64, is_empty| {
        let sent = progress.event(moment(start, began), Duration::from_millis(waited), is_empty);
        (sent.at.duration_since(start).as_millis(), sent.service_ms)
    };
    assert_eq!(event(&mut progress, 10, 5_000, true), (0, Some(0)), "the first: since subscribed");
    assert_eq!(event(&mut progress, 5_010, 100, false), (5_010, Some(5_010)));
    progress.unread();
    for began in [60_000, 60_500] {
        let sent = event(&mut progress, began, 400, true);
        assert_eq!(sent, (5_010, Some(5_010)), "it may have waited on the way");
    }
    let sent = event(&mut progress, 61_000, 400, true);
    assert_eq!(sent, (61_000, Some(5_010)), "three waits are caught up, and no pin");
    let sent = event(&mut progress, 62_000, 1_000, true);
    assert_eq!(sent, (62_000, Some(62_000)), "one wait of a second is both");
    progress.unread();
    assert_eq!(event(&mut progress, 90_000, 900, true), (62_000, Some(62_000)));
    assert_eq!(event(&mut progress, 90_900, 900, false), (62_000, Some(62_000)), "records came");
}
