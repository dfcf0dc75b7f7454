//! Shards that stay quiet, of the Kinesis source: when their offset becomes a time, and which pages
//! say that there is nothing more. Canned answers. Each of these fails on a source that pins to the time
//! of now, believes any empty page, begins the quiet time anew or does not count what never works.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kinesis_support/canned.rs"]
mod canned;
#[path = "kinesis_support/server.rs"]
mod server;
#[path = "kinesis_support/support.rs"]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use extractor::source::{Polled, Source};
use serde_json::{Value, json};

use canned::{Answer, CONSUMER, Canned, Event, event, page};
use support::*;

/// The canned clock starts there, milliseconds.
const START_MS: i64 = 1_775_700_271_000;

const CAUGHT_UP: Polled = Polled::Idle { caught_up: true };

/// Where a part stands, if that is a time.
fn pin(source: &dyn Source) -> Option<i64> {
    source.position(0).unwrap().to_map().get("timestamp").and_then(Value::as_i64)
}

fn arrived(mut page: Value, ms: i64) -> Value {
    for record in page["Records"].as_array_mut().unwrap() {
        let (seconds, rest) = (ms / 1_000, ms % 1_000);
        let text = format!("{seconds}.{rest:03}");
        record["ApproximateArrivalTimestamp"] = serde_json::from_str(&text).unwrap();
    }
    page
}

fn stands_at(number: u32) -> [(protocol::OffsetKey, protocol::OffsetValue); 1] {
    [(key(0), value(&json!({"sequenceNumber": number.to_string()})))]
}

/// Nobody polls for a while, and a record arrives meanwhile. The pages of before know nothing of it.
#[track_caller]
fn check_pause(source: &mut dyn Source, server: &Canned, arrival_ms: i64) {
    let mut sink = Sink::new(usize::MAX);
    let started = Instant::now();
    while source.poll(&mut sink, Duration::from_millis(50)).unwrap() != CAUGHT_UP {
        assert!(started.elapsed() < LIMIT);
    }
    thread::sleep(Duration::from_secs(8));
    let calls = server.calls("GetRecords").len();
    // All that waits is taken by one poll.
    let polled = source.poll(&mut sink, Duration::ZERO).unwrap();
    assert_ne!(polled, CAUGHT_UP, "pages of before the pause say nothing of now");
    assert!(pin(source).is_none_or(|ms| ms <= arrival_ms), "{:?} skips it", pin(source));
    while sink.rows.is_empty() {
        assert!(started.elapsed() < LIMIT, "{calls} reads");
        source.poll(&mut sink, Duration::from_millis(50)).unwrap();
        let pin = pin(source).filter(|_| sink.rows.is_empty());
        assert!(pin.is_none_or(|ms| ms <= arrival_ms), "{pin:?} skips {arrival_ms}");
    }
    while source.poll(&mut sink, Duration::from_millis(50)).unwrap() != CAUGHT_UP {
        assert!(started.elapsed() < LIMIT);
    }
    assert_eq!(sink.payloads(), ["7"]);
}

#[test]
fn pages_that_waited_for_a_credit_move_no_pin_past_a_record() {
    const ARRIVES: Duration = Duration::from_secs(4);
    let arrival_ms = START_MS + 4_000;
    let (mut first, mut given) = (true, false);
    let began = Instant::now();
    let server = Canned::start(move |operation, _| {
        (operation == "GetRecords").then(|| {
            if std::mem::take(&mut first) {
                return Answer::Ok(arrived(page(&[5], 0), START_MS));
            }
            let gives = began.elapsed() > ARRIVES
                && !std::mem::replace(&mut given, began.elapsed() > ARRIVES);
            let numbers = if gives { vec![7] } else { Vec::new() };
            Answer::Ok(arrived(page(&numbers, 0), arrival_ms))
        })
    });
    let mut source = open(&server.url, &json!({"kinesis.quiet.pin.ms": 1_000}));
    assign(&mut source, &stands_at(5));
    check_pause(&mut source, &server, arrival_ms);
}

/// The same with events that waited on the way.
#[test]
fn events_that_waited_for_a_credit_move_no_pin_past_a_record() {
    let arrival_ms = START_MS + 4_000;
    let mut first = true;
    let server = Canned::start(move |operation, _| {
        (operation == "SubscribeToShard").then(|| {
            if !std::mem::take(&mut first) {
                return Answer::Events(vec![Event::Silence]);
            }
            let pause = || Event::Pause(Duration::from_millis(400));
            let mut events = vec![event(&[5], 6, 0)];
            for _ in 0..10 {
                events.extend([pause(), event(&[], 6, 0)]);
            }
            let Event::Frame(last) = event(&[7], 8, 0) else { panic!("no frame") };
            events.extend([Event::Frame(arrived(last, arrival_ms))]);
            for _ in 0..12 {
                events.push(Event::Pause(Duration::from_millis(1_200)));
                events.extend([pause(), event(&[], 8, 0)]);
            }
            Answer::Events(events)
        })
    });
    let settings = json!({
        "kinesis.read.mode": "efo", "kinesis.consumer.arn": CONSUMER,
        "kinesis.subscribe.interval.ms": 500, "kinesis.quiet.pin.ms": 1_000,
    });
    let mut source = open(&server.url, &settings);
    assign(&mut source, &stands_at(5));
    check_pause(&mut source, &server, arrival_ms);
}

/// Events that come in less than a second each say nothing of now for a moment after a pause, and not
/// for ever.
#[test]
fn events_less_than_a_second_apart_are_caught_up_with_after_a_pause() {
    const EVENTS: usize = 90;
    let server = Canned::start(move |operation, _| {
        (operation == "SubscribeToShard").then(|| {
            let mut events = vec![event(&[5, 6], 7, 0)];
            for _ in 1..EVENTS {
                events.push(Event::Pause(Duration::from_millis(300)));
                events.push(event(&[], 7, 0));
            }
            events.push(Event::Silence);
            Answer::Events(events)
        })
    });
    let settings = json!({"kinesis.read.mode": "efo", "kinesis.consumer.arn": CONSUMER});
    let mut source = open(&server.url, &settings);
    assign(&mut source, &stands_at(5));
    assert_eq!(read_all(&mut source).payloads(), ["6"]);
    // Longer than what counts as a pause (5 s).
    thread::sleep(Duration::from_secs(6));
    let before = server.events();
    read_all(&mut source);
    let took = server.events() - before;
    assert!(server.events() < EVENTS && took < 60, "caught up after {took} events and pauses");
}

/// A process that begins anew more often than a shard is quiet for long enough moves its pin as well.
#[test]
fn a_restart_does_not_begin_the_quiet_time_anew() {
    const HOUR_MS: i64 = 3_600_000;
    let server = Canned::start(move |operation, input| {
        let first = input["ShardIterator"].as_str().is_some_and(|it| it.contains("AT_SEQUENCE"));
        let numbers: &[u32] = if first { &[5] } else { &[] };
        (operation == "GetRecords")
            .then(|| Answer::Ok(arrived(page(numbers, 0), START_MS - 2 * HOUR_MS)))
    });
    let old = json!({"position": "AT_TIMESTAMP", "timestamp": START_MS - 2 * HOUR_MS});
    for stands in [json!({"sequenceNumber": "5"}), old] {
        let mut source = open(&server.url, &json!({}));
        assign(&mut source, &[(key(0), value(&stands))]);
        read_all(&mut source);
        let pin = pin(&source).unwrap();
        assert!(pin >= START_MS - 61_000, "{stands}: {pin}");
    }
}

/// One empty page, or pages that do not tell how far they are from the end, are no lost record.
#[test]
fn one_empty_page_is_no_expired_position() {
    let mut unknown = page(&[], 0);
    unknown.as_object_mut().unwrap().remove("MillisBehindLatest");
    let mut answers = vec![Answer::Ok(page(&[], 0))];
    answers.extend((0..4).map(|_| Answer::Ok(unknown.clone())));
    answers.push(Answer::Ok(page(&[], 0)));
    answers.push(Answer::Ok(page(&[5, 6], 0)));
    let mut answers = answers.into_iter();
    let server =
        Canned::start(move |operation, _| (operation == "GetRecords").then(|| answers.next())?);
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &stands_at(5));
    let sink = read_all(&mut source);
    assert_eq!(sink.payloads(), ["6"], "not at the end before the record at the position came");
}

/// Iterators that are never good are told, and asked for less and less often.
#[test]
fn iterators_that_never_work_are_told_with_growing_pauses() {
    for name in ["ExpiredIteratorException", "ResourceNotFoundException"] {
        let server = Canned::start(move |operation, _| {
            (operation == "GetRecords").then_some(Answer::Error(name))
        });
        let mut source = open(&server.url, &json!({}));
        assign(&mut source, &[(key(0), horizon())]);
        let (_, failure) = read_failure(&mut source);
        assert!(failure.retryable && failure.message.contains(name), "{failure}");
        assert_eq!(server.calls("GetRecords").len(), 2, "told after the second");
        let started = Instant::now();
        thread::sleep(Duration::from_secs(5));
        let (calls, took) = (server.calls("GetRecords").len(), started.elapsed());
        let most = 8 * usize::try_from(took.as_secs()).unwrap() / 5;
        assert!((3..=most).contains(&calls), "{calls} reads in {took:?}");
    }
}

/// So are subscriptions that end at once without a word.
#[test]
fn subscriptions_without_an_event_are_told() {
    let server = Canned::start(|operation, _| {
        (operation == "SubscribeToShard").then(|| Answer::Events(Vec::new()))
    });
    let settings = json!({
        "kinesis.read.mode": "efo", "kinesis.consumer.arn": CONSUMER,
        "kinesis.subscribe.interval.ms": 50,
    });
    let mut source = open(&server.url, &settings);
    assign(&mut source, &[(key(0), horizon())]);
    let (_, failure) = read_failure(&mut source);
    assert!(failure.retryable && failure.message.contains("without an event"), "{failure}");
}
