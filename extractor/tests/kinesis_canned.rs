//! The Kinesis source against canned answers: what no server that can be embedded does.
#![expect(clippy::indexing_slicing, reason = "a test ends where it fails")]

#[path = "kinesis_support/canned.rs"]
mod canned;
#[path = "kinesis_support/server.rs"]
mod server;
#[path = "kinesis_support/support.rs"]
mod support;

use std::time::{Duration, Instant};

use extractor::source::{Cancel, Polled, Source};
use protocol::Code;
use serde_json::{Value, json};

use canned::{Answer, Canned, page, shard_json};
use server::shard;
use support::*;

/// Answers GetRecords from a list, in order; afterwards with empty pages.
fn pages(answers: Vec<Answer>) -> impl FnMut(&str, &Value) -> Option<Answer> + Send {
    let mut answers = answers.into_iter();
    move |operation, _| if operation == "GetRecords" { answers.next() } else { None }
}

fn ended(mut page: Value, children: &Value) -> Answer {
    page["NextShardIterator"] = Value::Null;
    page["ChildShards"] = children.clone();
    Answer::Ok(page)
}

fn child(number: u32, parents: &[u32]) -> Value {
    let parents: Vec<_> = parents.iter().map(|parent| shard(*parent)).collect();
    json!({
        "ShardId": shard(number), "ParentShards": parents,
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
    })
}

#[test]
fn times_are_exact_to_the_millisecond_from_the_wire() {
    let server = Canned::start(pages(vec![Answer::Ok(page(&[7], 0))]));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let sink = read_all(&mut source);
    assert_eq!(sink.rows[0].record["approximateArrivalTimestamp"], 1_775_700_271_554_i64);
    assert_eq!(sink.rows[0].record["data"], "Nw==");
}

/// F11.
#[test]
fn f11_every_page_of_shards_is_listed() {
    let server = Canned::start(|operation, input| {
        (operation == "ListShards").then(|| {
            let first = input["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
            assert_ne!(input["NextToken"].is_null(), input["StreamName"].is_null());
            let shards: Vec<_> = (first..first + 100).map(|n| shard_json(n, None, false)).collect();
            let mut body = json!({"Shards": shards});
            if first < 1100 {
                body["NextToken"] = json!((first + 100).to_string());
            }
            Answer::Ok(body)
        })
    });
    let mut source = open(&server.url, &json!({}));
    let discovery = source.discover(&Cancel::default()).unwrap();
    assert_eq!(discovery.splits.len(), 1200);
    assert_eq!(discovery.splits[1199].key, key(1199));
    assert!(discovery.incarnation.ends_with("stream/my-kinesis-stream@1775600000500"));
}

/// The end told with its children by one answer, as the real service does.
#[test]
fn children_are_told_by_the_end_of_their_parent() {
    let children = json!([child(1, &[0]), child(2, &[0])]);
    let server =
        Canned::start(pages(vec![Answer::Ok(page(&[1, 2], 50)), ended(page(&[3], 0), &children)]));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let sink = read_all(&mut source);
    assert_eq!(sink.payloads(), ["1", "2", "3"]);
    let end = value(&json!({"sequenceNumber": "3", "shardEnd": true}));
    assert_eq!(source.position(0), Some(end.clone()));
    let news = source.topology().unwrap();
    assert_eq!(news.closed, [key(0)]);
    let added: Vec<_> = news.added.iter().map(|(split, at)| (split.key.clone(), at)).collect();
    assert_eq!(added, [(key(1), &horizon()), (key(2), &horizon())]);
    assert!(news.added.iter().all(|(split, _)| split.parents == [key(0)]));
    assert!(server.calls("GetRecords").len() == 2, "nothing is read after the end");
}

/// F9: no next iterator and no children, although the shard is open: it is not over.
#[test]
fn f09_a_false_end_is_not_believed() {
    let server =
        Canned::start(pages(vec![ended(page(&[1], 0), &Value::Null), Answer::Ok(page(&[2], 0))]));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let mut sink = Sink::new(usize::MAX);
    let started = Instant::now();
    while sink.rows.len() < 2 {
        assert!(started.elapsed() < LIMIT);
        if let Err(failure) = source.poll(&mut sink, Duration::from_millis(50)) {
            assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
        }
    }
    assert_eq!(sink.payloads(), ["1", "2"]);
    assert_eq!(source.position(0), Some(value(&json!({"sequenceNumber": "2"}))));
    let again = server.calls("GetShardIterator");
    assert_eq!(again[1].input["ShardIteratorType"], "AFTER_SEQUENCE_NUMBER");
    assert_eq!(again[1].input["StartingSequenceNumber"], "1");
}

/// F13: empty pages far from the end, then data.
#[test]
fn f13_an_empty_page_is_no_end_while_the_service_is_ahead() {
    let mut answers: Vec<_> = (0..4).map(|_| Answer::Ok(page(&[], 60_000))).collect();
    answers.push(Answer::Ok(page(&[1], 10)));
    let server = Canned::start(pages(answers));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let mut lags = Vec::new();
    let mut sink = Sink::new(usize::MAX);
    loop {
        let polled = source.poll(&mut sink, Duration::from_millis(20)).unwrap();
        lags.extend(source.lag().ms);
        if polled == (Polled::Idle { caught_up: true }) {
            break;
        }
    }
    assert_eq!(sink.payloads(), ["1"]);
    assert!(lags.contains(&60_000) && lags.last() == Some(&0), "{lags:?}");
}

/// F12: never more than five reads of a shard in a second, whatever happens.
#[test]
fn f12_a_shard_is_never_read_in_a_hot_loop() {
    let mut number = 0;
    let server = Canned::start(move |operation, _| {
        (operation == "GetRecords").then(|| {
            number += 1;
            match number {
                1..=15 => Answer::Ok(page(&[number], 5_000)),
                16 => Answer::Error("ExpiredIteratorException"),
                17..=20 => Answer::Ok(page(&[], 1)),
                _ => Answer::Ok(page(&[], 0)),
            }
        })
    });
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let sink = read_all(&mut source);
    assert_eq!(sink.rows.len(), 15);
    let rest = |source: &mut dyn Source, seconds| {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(seconds) {
            source.poll(&mut Sink::new(1), Duration::from_millis(50)).unwrap();
        }
    };
    rest(&mut source, 2);
    let calls = server.calls("GetRecords");
    for six in calls.windows(6) {
        let time = six[5].at - six[0].at;
        assert!(time > Duration::from_millis(1_000), "six reads within {time:?}");
    }
    let idle = calls.len();
    rest(&mut source, 3);
    let more = server.calls("GetRecords").len() - idle;
    assert!((1..=7).contains(&more), "{more} reads of an idle shard in 3 s");
}

/// Throttling is told, backed off, and costs nothing: the iterator is kept.
#[test]
fn throttled_reads_are_backed_off_and_told() {
    let mut answers = vec![Answer::Ok(page(&[1], 9))];
    answers.extend((0..2).map(|_| Answer::Error("ProvisionedThroughputExceededException")));
    answers.push(Answer::Ok(page(&[2], 0)));
    let server = Canned::start(pages(answers));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let (sink, failure) = read_failure(&mut source);
    assert_eq!(sink.payloads(), ["1"]);
    assert_eq!(failure.code, Code::SourceThrottled, "{failure}");
    assert!(failure.retryable);
    let mut sink = Sink::new(usize::MAX);
    let started = Instant::now();
    while sink.rows.is_empty() {
        assert!(started.elapsed() < LIMIT);
        let _told = source.poll(&mut sink, Duration::from_millis(50));
    }
    assert_eq!(sink.payloads(), ["2"]);
    assert_eq!(server.calls("GetShardIterator").len(), 1);
    let calls = server.calls("GetRecords");
    assert_eq!(calls[1].input["ShardIterator"], calls[2].input["ShardIterator"]);
    assert!(calls[2].at - calls[1].at >= Duration::from_millis(200));
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_told() {
    let server = Canned::start(pages(vec![
        Answer::Status(500),
        Answer::Reset,
        Answer::Status(503),
        Answer::Error("InternalFailure"),
        Answer::Ok(page(&[1], 0)),
        Answer::Error("AccessDeniedException"),
    ]));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let mut sink = Sink::new(usize::MAX);
    let started = Instant::now();
    let failure = loop {
        assert!(started.elapsed() < LIMIT);
        match source.poll(&mut sink, Duration::from_millis(50)) {
            Err(failure) if !failure.retryable => break failure,
            Err(failure) => assert_eq!(failure.code, Code::SourceUnavailable, "{failure}"),
            Ok(_) => {}
        }
    };
    assert_eq!(sink.payloads(), ["1"]);
    assert_eq!(failure.code, Code::PermissionDenied, "{failure}");
    assert_eq!(failure.part, Some(0));
}

/// Bytes that are no answer are told with their place, cost nothing, and are asked for again.
#[test]
fn an_answer_that_can_not_be_read_is_told_and_asked_for_again() {
    let text = page(&[1, 2], 0).to_string().replace("Mg==", "Mh==");
    let server = Canned::start(pages(vec![
        Answer::Text(text.into()),
        Answer::Cut(page(&[1, 2], 0)),
        Answer::Ok(page(&[1, 2], 0)),
    ]));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let (mut sink, mut told) = (Sink::new(usize::MAX), Vec::new());
    let started = Instant::now();
    while sink.rows.is_empty() {
        assert!(started.elapsed() < LIMIT);
        if let Err(failure) = source.poll(&mut sink, Duration::from_millis(50)) {
            assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
            assert!(sink.rows.is_empty());
            told.push(failure.message);
        }
    }
    assert_eq!(sink.payloads(), ["1", "2"]);
    let has = |what: &str| told.iter().any(|text| text.contains(what));
    assert!(has("byte ") && has("Data that is no canonical base64"), "{told:?}");
    assert!(has("ends in the middle"), "{told:?}");
    assert_eq!(server.calls("GetShardIterator").len(), 1);
}

/// More than memory allows for is not held: it comes in smaller parts, in order.
#[test]
fn an_answer_without_room_is_asked_for_in_parts() {
    const LARGE: usize = 9 << 20;
    let server = Canned::start(|operation, input| {
        (operation == "GetRecords").then(|| {
            let from = input["ShardIterator"].as_str().unwrap().strip_prefix("at ");
            let from: usize = from.map_or(0, |from| from.parse().unwrap());
            let count = usize::try_from(input["Limit"].as_u64().unwrap()).unwrap().min(3 - from);
            let record = |n: usize| {
                json!({"SequenceNumber": (n + 1).to_string(), "Data": "A".repeat(LARGE)})
            };
            let records: Vec<_> = (from..from + count).map(record).collect();
            let next = format!("at {}", from + count);
            Answer::Ok(json!({
                "Records": records, "NextShardIterator": next, "MillisBehindLatest": 0,
            }))
        })
    });
    let mut source =
        open(&server.url, &json!({"kinesis.memory.bytes": 16 << 20, "kinesis.record.limit": 4}));
    assign(&mut source, &[(key(0), horizon())]);
    let sink = read_all(&mut source);
    let numbers: Vec<_> = sink.rows.iter().map(|row| row.text("sequenceNumber")).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    assert!(sink.rows.iter().all(|row| row.text("data").len() == LARGE));
    let limits: Vec<_> =
        server.calls("GetRecords").iter().map(|call| call.input["Limit"].clone()).collect();
    assert_eq!(limits[..3], [4, 2, 1], "{limits:?}");
    assert!(limits[3..].iter().all(|limit| *limit == 1));
}

/// Once answers have room again, more and more is asked for, up to what the settings say.
#[test]
fn the_limit_grows_again_after_large_records() {
    const LARGE: usize = 9 << 20;
    let server = Canned::start(|operation, input| {
        (operation == "GetRecords").then(|| {
            let from = input["ShardIterator"].as_str().unwrap().strip_prefix("at ");
            let from: usize = from.map_or(0, |from| from.parse().unwrap());
            let count = usize::try_from(input["Limit"].as_u64().unwrap()).unwrap();
            let record = |n: usize| {
                let data = if n < 2 { "A".repeat(LARGE) } else { "AAAA".to_owned() };
                json!({"SequenceNumber": (n + 1).to_string(), "Data": data})
            };
            let records: Vec<_> = (from..from + count).map(record).collect();
            let next = format!("at {}", from + count);
            Answer::Ok(json!({
                "Records": records, "NextShardIterator": next, "MillisBehindLatest": 9,
            }))
        })
    });
    let settings = json!({"kinesis.memory.bytes": 16 << 20, "kinesis.record.limit": 6});
    let mut source = open(&server.url, &settings);
    assign(&mut source, &[(key(0), horizon())]);
    let limits = || -> Vec<_> {
        let calls = server.calls("GetRecords");
        calls.iter().map(|call| call.input["Limit"].as_u64().unwrap()).collect()
    };
    let mut sink = Sink::new(usize::MAX);
    poll_until(&mut source, &mut sink, |_, _| {
        limits().iter().skip_while(|limit| **limit > 1).any(|limit| *limit == 6)
    })
    .unwrap();
    let mut steps = limits();
    steps.dedup();
    assert_eq!(steps[..6], [6, 3, 1, 2, 4, 6], "{steps:?}");
    let numbers: Vec<_> = sink.rows.iter().map(|row| row.text("sequenceNumber")).collect();
    let wanted: Vec<_> = (1..=numbers.len()).map(|n| n.to_string()).collect();
    assert_eq!(numbers, wanted);
}

/// A listing that keeps failing is no warning for ever: new shards would stay unread. The host is told
/// in bounded time, and reading goes on once there is a listing.
#[test]
fn shards_that_can_not_be_listed_are_an_error_in_bounded_time() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    for (name, code) in [
        ("AccessDeniedException", Code::PermissionDenied),
        ("LimitExceededException", Code::SourceThrottled),
    ] {
        let works = Arc::new(AtomicBool::new(false));
        let mended = Arc::clone(&works);
        let mut number = 0;
        let server = Canned::start(move |operation, _| match operation {
            "ListShards" if !mended.load(Ordering::SeqCst) => Some(Answer::Error(name)),
            "GetRecords" => {
                number += 1;
                Some(Answer::Ok(page(&[number], 60_000)))
            }
            _ => None,
        });
        let mut source = open(&server.url, &json!({"kinesis.shards.refresh.ms": 1000}));
        assign(&mut source, &[(key(0), horizon())]);
        let began = Instant::now();
        let (sink, failure) = read_failure(&mut source);
        let took = began.elapsed();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains("new ones may be there unread"), "{failure}");
        assert!(took > Duration::from_secs(10), "some failures are a warning: {took:?}");
        assert!(sink.rows.len() > 10, "records came meanwhile: {}", sink.rows.len());
        let mut sink = Sink::new(usize::MAX);
        source.poll(&mut sink, Duration::ZERO).unwrap_err();
        works.store(true, Ordering::SeqCst);
        while source.poll(&mut sink, Duration::from_millis(50)).is_err() {
            assert!(began.elapsed() < LIMIT);
            std::thread::sleep(Duration::from_millis(20));
        }
        poll_until(&mut source, &mut sink, |sink, _| !sink.rows.is_empty()).unwrap();
    }
}

/// Who waits to be caught up asks for the shards; a listing that fails is not asked for all the time.
#[test]
fn a_listing_that_fails_is_not_asked_for_in_a_hot_loop() {
    let server = Canned::start(|operation, _| {
        (operation == "ListShards").then_some(Answer::Error("LimitExceededException"))
    });
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let mut sink = Sink::new(usize::MAX);
    let began = Instant::now();
    while server.calls("ListShards").len() < 4 {
        assert!(began.elapsed() < LIMIT);
        let polled = source.poll(&mut sink, Duration::from_millis(20)).unwrap();
        assert_ne!(polled, Polled::Idle { caught_up: true }, "nobody knows of new shards");
    }
    assert!(began.elapsed() > Duration::from_millis(2_900), "4 in {:?}", began.elapsed());
}

/// F17: a service that takes the request and says nothing.
#[test]
fn f17_silence_is_an_error_in_bounded_time() {
    let server = Canned::start(|_, _| Some(Answer::Silence));
    let mut source = open(&server.url, &json!({"kinesis.request.timeout.ms": 700}));
    let started = Instant::now();
    let failure = source.check(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::Timeout, "{failure}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    let mut source = open(&server.url, &json!({}));
    let cancel = Cancel::default();
    cancel.set();
    let started = Instant::now();
    assert_eq!(source.check(&cancel).unwrap_err().code, Code::Cancelled);
    assert!(started.elapsed() < Duration::from_secs(2));
}

/// F17: an address that does not even take a connection: its queue is full, so that more are left
/// without an answer, as by a firewall that drops.
#[test]
fn f17_an_address_that_takes_no_connection_is_an_error_in_bounded_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    loop {
        match std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Ok(stream) => waiting.push(stream),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => break,
            Err(error) => panic!("{error}"),
        }
        assert!(waiting.len() < 5_000, "the queue of a listener has no end");
    }
    let settings = json!({"kinesis.connect.timeout.ms": 500});
    let mut source = open(&format!("http://{address}"), &settings);
    let started = Instant::now();
    let failure = source.check(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::Timeout, "{failure}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn f17_silence_while_reading_is_told_and_reading_goes_on() {
    let server =
        Canned::start(pages(vec![Answer::Silence, Answer::Silence, Answer::Ok(page(&[1], 0))]));
    let mut source = open(&server.url, &json!({"kinesis.request.timeout.ms": 600}));
    assign(&mut source, &[(key(0), horizon())]);
    let (_, failure) = read_failure(&mut source);
    assert_eq!(failure.code, Code::Timeout, "{failure}");
    let mut sink = Sink::new(usize::MAX);
    let started = Instant::now();
    while sink.rows.is_empty() {
        assert!(started.elapsed() < LIMIT);
        let _told = source.poll(&mut sink, Duration::from_millis(50));
    }
}

#[test]
fn nobody_there_is_told_with_the_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut source = open(&url, &json!({}));
    let failure = source.check(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
    assert!(failure.message.contains("can not be reached"), "{failure}");
    assert!(!failure.message.contains("secret of tests"), "{failure}");
}

/// The record at the position has expired: the service silently goes on at its oldest.
#[test]
fn an_expired_position_is_noticed_and_is_an_error_unless_wanted() {
    let stands = [(key(0), value(&json!({"sequenceNumber": "5"})))];
    let kept = Canned::start(pages(vec![Answer::Ok(page(&[5, 6], 0))]));
    let mut source = open(&kept.url, &json!({}));
    assign(&mut source, &stands);
    assert_eq!(read_all(&mut source).payloads(), ["6"]);
    let taken = &kept.calls("GetShardIterator")[0].input;
    assert_eq!(taken["ShardIteratorType"], "AT_SEQUENCE_NUMBER");

    let lost = || Canned::start(pages(vec![Answer::Ok(page(&[8, 9], 0))]));
    let server = lost();
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &stands);
    let (sink, failure) = read_failure(&mut source);
    assert_eq!((failure.code, sink.rows.len()), (Code::OffsetOutOfRange, 0), "{failure}");
    assert_eq!(failure.detail["earliest"], 1_775_700_271_554_i64);

    // An end without the record is the same.
    let server = Canned::start(pages(vec![Answer::Ok(page(&[], 0))]));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &stands);
    assert_eq!(read_failure(&mut source).1.code, Code::OffsetOutOfRange);

    // Not asked for again with the first answer: the policy starts anew at the oldest record.
    let mut from_horizon = false;
    let server = Canned::start(move |operation, input| {
        if operation == "GetShardIterator" {
            from_horizon = input["ShardIteratorType"] == "TRIM_HORIZON";
        }
        let first = if from_horizon { vec![8, 9] } else { vec![8] };
        let numbers = if from_horizon && operation == "GetRecords" { first } else { vec![8] };
        (operation == "GetRecords").then(|| Answer::Ok(page(&numbers, 0)))
    });
    let mut source = open(&server.url, &json!({"on.invalid.offset": "earliest"}));
    assign(&mut source, &stands);
    let mut sink = Sink::new(usize::MAX);
    poll_until(&mut source, &mut sink, |sink, _| sink.rows.len() == 2).unwrap();
    assert_eq!(sink.payloads(), ["8", "9"]);
}

/// A pinned time that the stream keeps no more (the canned clock starts at 1775700271).
#[test]
fn a_pin_older_than_the_retention_is_an_error_unless_wanted() {
    let server = Canned::start(|_, _| None);
    let pin = |ms: i64| [(key(0), value(&json!({"position": "AT_TIMESTAMP", "timestamp": ms})))];
    let now = 1_775_700_271_000_i64;
    let day = 24 * 3_600_000;
    let mut source = open(&server.url, &json!({}));
    let failure = source.assign("", &pin(now - day - 60_000), &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::OffsetOutOfRange, "{failure}");
    source.assign("", &pin(now - day + 60_000), &Cancel::default()).unwrap();
    let mut source = open(&server.url, &json!({"on.invalid.offset": "earliest"}));
    source.assign("", &pin(now - day - 60_000), &Cancel::default()).unwrap();
    assert_eq!(source.position(0), Some(horizon()));
}

/// A shard that stays empty has its position moved on, so that it never expires.
#[test]
fn the_position_of_a_quiet_shard_becomes_a_time() {
    let server = Canned::start(pages(vec![Answer::Ok(page(&[5, 6], 0))]));
    let mut source = open(&server.url, &json!({"kinesis.quiet.pin.ms": 1000}));
    assign(&mut source, &[(key(0), value(&json!({"sequenceNumber": "5"})))]);
    let mut sink = Sink::new(usize::MAX);
    let pinned = |source: &dyn Source| source.position(0).unwrap().to_map();
    let started = Instant::now();
    while !pinned(&source).contains_key("timestamp") {
        assert!(started.elapsed() < LIMIT, "{:?}", pinned(&source));
        source.poll(&mut sink, Duration::from_millis(50)).unwrap();
    }
    assert_eq!(sink.payloads(), ["6"]);
    let at = pinned(&source)["timestamp"].as_i64().unwrap();
    assert!(at > 1_775_700_271_554, "after what was delivered: {at}");
}

#[test]
fn rotated_credentials_sign_the_next_calls_without_losing_the_position() {
    let server = Canned::start(pages(vec![
        Answer::Ok(page(&[1], 0)),
        Answer::Ok(page(&[], 0)),
        Answer::Ok(page(&[2], 0)),
    ]));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let mut sink = Sink::new(usize::MAX);
    poll_until(&mut source, &mut sink, |sink, _| sink.rows.len() == 1).unwrap();
    let credentials = json!({"aws.access.key.id": "NEW", "aws.secret.access.key": "n"});
    source.rotate(credentials.as_object().unwrap()).unwrap();
    poll_until(&mut source, &mut sink, |sink, _| sink.rows.len() == 2).unwrap();
    assert_eq!(sink.payloads(), ["1", "2"]);
    let wrong = json!({"aws.session.token": "t", "aws.secret.access.key": ""});
    let failure = source.rotate(wrong.as_object().unwrap()).unwrap_err();
    assert_eq!(failure.code, Code::ConfigMissing, "{failure}");
}

/// Credentials that expired are told, and new ones go on where reading stood.
#[test]
fn expired_credentials_are_cured_by_new_ones() {
    let server = Canned::start(pages(vec![
        Answer::Ok(page(&[1], 0)),
        Answer::Error("ExpiredTokenException"),
        Answer::Ok(page(&[1, 2], 0)),
    ]));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let (sink, failure) = read_failure(&mut source);
    assert_eq!(sink.payloads(), ["1"]);
    assert_eq!(failure.code, Code::CredentialsExpired, "{failure}");
    let credentials = json!({"aws.access.key.id": "NEW", "aws.secret.access.key": "n"});
    source.rotate(credentials.as_object().unwrap()).unwrap();
    assert_eq!(read_all(&mut source).payloads(), ["2"]);
}
