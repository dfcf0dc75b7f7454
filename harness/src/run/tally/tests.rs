//! Sums, the current speed and the lag of several tasks.

use super::*;

fn batch(task: u32, rows: u64, lag_rows: Option<u64>) -> Event {
    let bytes = rows * 10;
    let id = Some(1);
    Event::Committed(Batch { id, task, rows, errors: 1, bytes, lag_rows, caught_up: false })
}

#[test]
fn speed_is_that_of_the_last_seconds() {
    let start = Instant::now();
    let tally = Tally::new(start, Some(10_000));
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    tally.add(&batch(0, 1000, None), at(1));
    assert_eq!(tally.snapshot(at(1)).rows_per_s, 1000);
    // Nothing for a minute, then 5000 rows in 5 seconds.
    for second in 61..=65 {
        tally.add(&batch(0, 1000, None), at(second));
    }
    let now = tally.snapshot(at(66));
    assert_eq!((now.rows, now.bytes, now.batches, now.errors), (6000, 60_000, 6, 6));
    assert!((800..=1000).contains(&now.rows_per_s), "{now:?}");
    assert_eq!(now.remaining(), Some(Duration::from_secs(4000 / now.rows_per_s)));
    assert_eq!(tally.snapshot(at(600)).rows_per_s, 0, "a run that stands still has no speed");
    assert_eq!(tally.snapshot(at(600)).remaining(), None);
}

#[test]
fn a_batch_without_a_number_is_none_of_the_catalogue() {
    let start = Instant::now();
    let tally = Tally::new(start, None);
    let id = None;
    let nothing =
        Batch { id, task: 0, rows: 0, errors: 0, bytes: 0, lag_rows: Some(0), caught_up: true };
    tally.add(&Event::Committed(nothing), start);
    tally.add(&batch(0, 1, None), start);
    assert_eq!(tally.snapshot(start).batches, 1);
}

#[test]
fn samples_are_bounded() {
    let start = Instant::now();
    let tally = Tally::new(start, None);
    for step in 0..100_000 {
        tally.add(&batch(0, 1, None), start + Duration::from_millis(step));
    }
    assert!(tally.state().samples.len() <= 60, "{}", tally.state().samples.len());
}

#[test]
fn lag_is_known_when_every_task_told_it() {
    let start = Instant::now();
    let tally = Tally::new(start, None);
    tally.add(&Event::Discovered { splits: 8, tasks: 2 }, start);
    tally.add(&batch(0, 1, Some(70)), start);
    assert_eq!(tally.snapshot(start).lag_rows, None);
    tally.add(&batch(1, 1, Some(5)), start);
    assert_eq!(tally.snapshot(start).lag_rows, Some(75));
    tally.add(&batch(0, 1, Some(3)), start);
    assert_eq!(tally.snapshot(start).lag_rows, Some(8));
}

#[test]
fn a_wait_with_a_reason_is_shown_until_the_next_batch() {
    let start = Instant::now();
    let tally = Tally::new(start, None);
    let waiting = |reason: Option<&str>| Event::Waiting {
        task: 3,
        phase: "connecting".to_owned(),
        reason: reason.map(str::to_owned),
    };
    tally.add(&waiting(Some("refused")), start);
    assert_eq!(tally.snapshot(start).waiting.as_deref(), Some("task 3 is connecting: refused"));
    tally.add(&batch(3, 1, None), start);
    assert_eq!(tally.snapshot(start).waiting, None);
    tally.add(&waiting(Some("refused")), start);
    tally.add(&waiting(None), start);
    assert_eq!(tally.snapshot(start).waiting, None);
}

#[test]
fn a_source_is_back_once_every_task_reaches_it() {
    let start = Instant::now();
    let tally = Tally::new(start, None);
    let waiting = |task: u32, phase: &str, reason: Option<&str>| {
        let (phase, reason) = (phase.to_owned(), reason.map(str::to_owned));
        tally.add(&Event::Waiting { task, phase, reason }, start)
    };
    assert!(!waiting(0, "polling", None), "it was never away");
    assert!(!waiting(0, "backoff", Some("refused")));
    assert!(!waiting(1, "backoff", Some("refused")));
    let text = tally.snapshot(start).waiting;
    assert_eq!(text.as_deref(), Some("task 0 waits and tries again: refused"));
    assert!(!waiting(0, "connecting", None), "trying is not reaching");
    assert!(!waiting(0, "polling", None), "the other task does not reach it yet");
    assert!(tally.add(&batch(1, 1, None), start));
    assert!(!tally.add(&batch(1, 1, None), start), "told once");
    assert!(!waiting(0, "throttled", Some("too fast")));
    assert!(!waiting(0, "polling", None), "slowed down is not away");
}

/// A split that was read to its end, or that another process reads, is not said to be behind for ever.
#[test]
fn lag_of_splits_that_were_left_is_forgotten() {
    let start = Instant::now();
    let tally = Tally::new(start, None);
    let lag = |task: u32, keys: [&str; 2], rows: u64| {
        let behind = Behind { rows: Some(rows), ms: None, latest: None };
        let splits = keys.map(|key| (key.to_owned(), behind)).to_vec();
        tally.add(&Event::Lag { task, splits }, start);
    };
    let left = |task: u32, key: &str| {
        tally.add(&Event::Left { task, splits: vec![key.to_owned()] }, start);
    };
    let rows = |lags: Vec<(String, Behind)>| -> Vec<(String, u64)> {
        lags.into_iter().map(|(key, it)| (key, it.rows.unwrap())).collect()
    };
    let of = |key: &str, rows: u64| (key.to_owned(), rows);
    lag(0, ["a", "b"], 5);
    lag(1, ["b", "c"], 7);
    left(0, "a");
    left(0, "b");
    left(0, "z");
    assert_eq!(rows(tally.lags().into_iter().collect()), [of("b", 7), of("c", 7)]);
    let told = tally.take_unwritten();
    assert_eq!(rows(told.clone()), [of("b", 7), of("c", 7)]);
    assert_eq!(tally.take_unwritten(), []);
    tally.put_back(told);
    left(1, "c");
    assert_eq!(rows(tally.take_unwritten()), [of("b", 7)]);
}

#[test]
fn a_source_is_reached_when_it_answered() {
    let start = Instant::now();
    let tally = Tally::new(start, None);
    assert!(!tally.snapshot(start).is_reached);
    tally.add(&Event::Discovered { splits: 8, tasks: 2 }, start);
    assert!(tally.snapshot(start).is_reached);
}

#[test]
fn trouble_counts_until_the_next_commit_or_until_nothing_more_is_heard_of_it() {
    let start = Instant::now();
    let tally = Tally::new(start, None);
    assert_eq!(tally.snapshot(start).health, Health::Starting);
    tally.add(&Event::Discovered { splits: 2, tasks: 1 }, start);
    assert_eq!(tally.snapshot(start).health, Health::Running);
    let (task, pause) = (0, Duration::from_secs(1));
    let retry = Event::StoreRetry { task, reason: "locked".to_owned(), pause };
    tally.add(&retry, start);
    let waiting = Health::Waiting("task 0 tries again: locked".to_owned());
    assert_eq!(tally.snapshot(start).health, waiting);
    tally.add(&batch(1, 1, None), start);
    assert_eq!(tally.snapshot(start).health, waiting, "that was another task");
    tally.add(&batch(0, 1, None), start);
    assert_eq!(tally.snapshot(start).health, Health::Running);
    tally.add(&retry, start);
    let later = start + pause + TROUBLE_KEPT;
    assert_eq!(tally.snapshot(later).health, Health::Running);
    tally.end(Some("why".to_owned()));
    assert_eq!(tally.snapshot(later).health, Health::Failed("why".to_owned()));
    assert_eq!(tally.snapshot(later).store_retries, 2);
}

#[test]
fn restarts_are_starts_after_the_first_of_a_task() {
    let start = Instant::now();
    let tally = Tally::new(start, None);
    for task in [0, 1, 0, 0] {
        tally.add(&Event::Started { task }, start);
    }
    assert_eq!(tally.snapshot(start).restarts, 2);
    tally.add(&Event::Memory { task: 0, bytes: 5, peak_bytes: 9 }, start);
    tally.add(&Event::Memory { task: 1, bytes: 3, peak_bytes: 3 }, start);
    let now = tally.snapshot(start);
    assert_eq!((now.memory_bytes, now.memory_peak_bytes), (8, 9));
}
