//! Aggregated (KPL) records: those that another implementation made (`testdata/aggregates`), read
//! through ferrokinesis and through canned answers.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kinesis_support/canned.rs"]
mod canned;
#[path = "kinesis_support/follower.rs"]
mod follower;
#[path = "kinesis_support/server.rs"]
mod server;
#[path = "kinesis_support/support.rs"]
mod support;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use extractor::source::{Cancel, Polled, Source};
use protocol::{Code, OffsetValue};
use serde_json::{Value, json};

use canned::{Answer, Canned};
use follower::assert_once_in_order;
use server::Server;
use support::*;

/// A golden aggregate: its bytes, and for each user record key and payload (base64).
struct Golden {
    data: Vec<u8>,
    records: Vec<(String, String)>,
}

fn golden(name: &str) -> Golden {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/aggregates/cases.json");
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let case = cases.as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
    let text = |json: &Value| json.as_str().unwrap().to_owned();
    let records = case["records"].as_array().unwrap();
    Golden {
        data: STANDARD.decode(text(&case["data"])).unwrap(),
        records: records.iter().map(|it| (text(&it[0]), text(&it[2]))).collect(),
    }
}

/// A stream of one shard whose records are these, with the numbers 10, 11 and so on.
fn holding(data: Vec<Vec<u8>>) -> Canned {
    let mut from = 0;
    Canned::start(move |operation, input| {
        if operation == "GetShardIterator" {
            let start = input["StartingSequenceNumber"].as_str().map(|it| it.parse().unwrap());
            let after = input["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER";
            from = start.map_or(0, |start: usize| start - 10 + usize::from(after));
        }
        (operation == "GetRecords").then(|| {
            let record = |(number, data): (usize, &Vec<u8>)| {
                json!({
                    "SequenceNumber": (number + 10).to_string(), "PartitionKey": "outer",
                    "Data": STANDARD.encode(data), "ApproximateArrivalTimestamp": 1_775_700_271.554,
                })
            };
            let records: Vec<_> = data.iter().enumerate().skip(from).map(record).collect();
            from = data.len();
            Answer::Ok(json!({
                "Records": records, "NextShardIterator": "next", "MillisBehindLatest": 0,
            }))
        })
    })
}

fn unpacking() -> Value {
    json!({"kinesis.deaggregate": true})
}

fn at(sequence: u32, sub: Option<u64>) -> OffsetValue {
    match sub {
        None => value(&json!({"sequenceNumber": sequence.to_string()})),
        Some(sub) => {
            value(&json!({"sequenceNumber": sequence.to_string(), "subSequenceNumber": sub}))
        }
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// F16: through a server, every user record is a row of its own; without the setting, one row.
#[test]
fn f16_user_records_become_rows_with_their_own_keys() {
    let names = ["one", "shared-and-own-keys", "explicit-hash-keys", "empty-payloads"];
    let more = ["unicode-keys", "every-byte", "three-hundred", "aggregate-inside"];
    let server = Server::start(1);
    let mut wanted = Vec::new();
    for name in names.into_iter().chain(more) {
        let golden = golden(name);
        let put = server.put_bytes("outer", &golden.data);
        wanted.extend(
            golden.records.into_iter().map(|(key, data)| (key, data, put.sequence.clone())),
        );
        let plain = server.put(&[("plain".to_owned(), name.to_owned())]);
        wanted.push(("plain".to_owned(), STANDARD.encode(name), plain[0].sequence.clone()));
    }
    let mut source = open(&server.url, &unpacking());
    assign(&mut source, &[(key(0), horizon())]);
    let sink = read_all(&mut source);
    let fields =
        |row: &Seen| (row.text("partitionKey"), row.text("data"), row.text("sequenceNumber"));
    let came: Vec<_> = sink.rows.iter().map(fields).collect();
    assert_eq!(came, wanted);
    for row in &sink.rows {
        assert_eq!(row.id, json!({"partitionKey": row.record["partitionKey"]}));
        assert_eq!(row.record.as_object().unwrap().len(), 6);
    }
    // Those of one aggregate arrived together, with it; the next one may be of another second.
    for pair in sink
        .rows
        .windows(2)
        .filter(|pair| pair[0].text("sequenceNumber") == pair[1].text("sequenceNumber"))
    {
        let arrived = |row: &Seen| row.record["approximateArrivalTimestamp"].as_i64().unwrap();
        assert_eq!(arrived(&pair[0]), arrived(&pair[1]));
    }
    let last = &wanted.last().unwrap().2;
    assert_eq!(source.position(0), Some(value(&json!({"sequenceNumber": last}))));

    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let rows = read_all(&mut source).rows;
    assert_eq!(rows.len(), 16);
    assert_eq!(rows[0].text("data"), STANDARD.encode(&golden("one").data));
}

/// F16: batches are cut inside, and each is read by a source of its own from the offset before.
#[test]
fn f16_batches_cut_inside_an_aggregate_lose_and_repeat_nothing_across_restarts() {
    let server = Server::start(1);
    server.put_bytes("outer", &golden("three-hundred").data);
    server.put(&records(300..310));
    let (mut stands, mut rows, mut inside) = (horizon(), Vec::new(), 0);
    while rows.len() < 310 {
        let mut source = open(&server.url, &unpacking());
        assign(&mut source, &[(key(0), stands.clone())]);
        assert_eq!(source.position(0), Some(stands.clone()));
        // Each source makes two batches, and what the second one read is never committed.
        for commit in [true, false] {
            let mut sink = Sink::new(37);
            poll_until(&mut source, &mut sink, |sink, polled| {
                sink.room == 0 || polled == Polled::Idle { caught_up: true }
            })
            .unwrap();
            if commit {
                rows.extend(sink.rows);
                stands = source.position(0).unwrap();
                inside += usize::from(stands.to_map().contains_key("subSequenceNumber"));
            }
        }
    }
    assert_once_in_order(&rows, 310);
    assert_eq!(inside, 8, "cuts at 37, 74 and so on to 296 lie inside");
}

/// F16: from every place inside, exactly the rest.
#[test]
fn f16_reading_resumes_at_every_sub_sequence_number() {
    let server = holding(vec![b"before".to_vec(), golden("three-hundred").data, b"300".to_vec()]);
    let mut source = open(&server.url, &unpacking());
    for sub in 0..300 {
        assign(&mut source, &[(key(0), at(11, Some(sub)))]);
        let mut sink = Sink::new(usize::MAX);
        let rest = 300 - usize::try_from(sub).unwrap();
        poll_until(&mut source, &mut sink, |sink, _| sink.rows.len() >= rest).unwrap();
        let first = u32::try_from(sub).unwrap() + 1;
        assert_eq!(sink.payloads(), numbers(first..301), "after {sub}");
        assert_eq!(source.position(0), Some(at(12, None)));
    }
    let taken = &server.calls("GetShardIterator")[0].input;
    assert_eq!(taken["ShardIteratorType"], "AT_SEQUENCE_NUMBER");
    assert_eq!(taken["StartingSequenceNumber"], "11");
}

/// Every possible cut: a batch of any size, and the offset says where it ended.
#[test]
fn a_batch_may_end_after_any_user_record() {
    let server = holding(vec![golden("shared-and-own-keys").data, b"5".to_vec()]);
    let ends = [at(10, Some(0)), at(10, Some(1)), at(10, Some(2)), at(10, None), at(11, None)];
    for (size, end) in (1..).zip(ends) {
        let mut source = open(&server.url, &unpacking());
        assign(&mut source, &[(key(0), horizon())]);
        let mut sink = Sink::new(size);
        poll_until(&mut source, &mut sink, |sink, _| sink.room == 0).unwrap();
        assert_eq!(sink.payloads(), numbers(1..u32::try_from(size).unwrap() + 1));
        assert_eq!(source.position(0), Some(end));
    }
}

#[test]
fn until_may_lie_inside_and_reading_goes_on_after_it() {
    let server = holding(vec![golden("three-hundred").data, b"300".to_vec()]);
    let mut source = open(&server.url, &unpacking());
    assign(&mut source, &[(key(0), horizon())]);
    let mut payloads = Vec::new();
    for (until, rows) in [(at(10, Some(0)), 1), (at(10, Some(123)), 124), (at(10, None), 300)] {
        source.set_until(&[(0, until.clone())]).unwrap();
        let mut sink = Sink::new(usize::MAX);
        poll_until(&mut source, &mut sink, |_, polled| polled == Polled::ReachedUntil).unwrap();
        payloads.extend(sink.payloads());
        assert_eq!(payloads.len(), rows);
        assert_eq!(source.position(0), Some(until));
    }
    source.set_until(&[]).unwrap();
    payloads.extend(read_all(&mut source).payloads());
    assert_eq!(payloads, numbers(0..301));
}

/// F16: what begins as an aggregate and is none is passed on as it is, and counted.
#[test]
fn f16_a_bad_digest_is_passed_on_raw() {
    let whole = golden("one").data;
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let cut = whole[..whole.len() - 1].to_vec();
    let magic = whole[..4].to_vec();
    let sent = vec![damaged, cut, whole, magic];
    let server = holding(sent.clone());
    let mut source = open(&server.url, &unpacking());
    assign(&mut source, &[(key(0), horizon())]);
    let rows = read_all(&mut source).rows;
    let came: Vec<_> =
        rows.iter().map(|row| (row.text("partitionKey"), row.text("data"))).collect();
    let raw = |data: &Vec<u8>| ("outer".to_owned(), STANDARD.encode(data));
    let inner = ("key".to_owned(), STANDARD.encode("payload"));
    assert_eq!(came, [raw(&sent[0]), raw(&sent[1]), inner, raw(&sent[3])]);
}

/// An aggregate without records moves the offset and delivers nothing.
#[test]
fn an_empty_aggregate_is_passed() {
    let mut empty = golden("one").data[..4].to_vec();
    empty.extend(STANDARD.decode("1B2M2Y8AsgTpgAmY7PhCfg==").unwrap());
    let server = holding(vec![empty, b"1".to_vec()]);
    let mut source = open(&server.url, &unpacking());
    assign(&mut source, &[(key(0), horizon())]);
    assert_eq!(read_all(&mut source).payloads(), ["1"]);
    assert_eq!(source.position(0), Some(at(11, None)));
}

#[test]
fn a_place_that_is_not_there_is_an_error() {
    let server = holding(vec![golden("shared-and-own-keys").data, b"plain".to_vec()]);
    let mut source = open(&server.url, &json!({}));
    let parts = [(key(0), at(10, Some(0)))];
    let failure = source.assign("", &parts, &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::OffsetInvalid, "{failure}");
    assert!(failure.message.contains("kinesis.deaggregate"), "{failure}");

    let refused = |stands: OffsetValue, why: &str| {
        let mut source = open(&server.url, &unpacking());
        assign(&mut source, &[(key(0), stands)]);
        let (sink, failure) = read_failure(&mut source);
        assert_eq!((failure.code, sink.rows.len()), (Code::OffsetInvalid, 0), "{failure}");
        assert!(failure.message.contains(why), "{failure}");
    };
    refused(at(10, Some(4)), "has 4 user records");
    refused(at(11, Some(0)), "is not one");

    // The last place is the whole record, although it is never written like that.
    let mut source = open(&server.url, &unpacking());
    assign(&mut source, &[(key(0), at(10, Some(3)))]);
    assert_eq!(read_all(&mut source).payloads(), ["plain"]);
}

/// The rest of an aggregate that expired is lost, and that is told.
#[test]
fn a_place_inside_that_expired_is_noticed() {
    let server = Canned::start(|operation, _| {
        (operation == "GetRecords").then(|| Answer::Ok(canned::page(&[12], 0)))
    });
    let mut source = open(&server.url, &unpacking());
    assign(&mut source, &[(key(0), at(11, Some(2)))]);
    let (sink, failure) = read_failure(&mut source);
    assert_eq!((failure.code, sink.rows.len()), (Code::OffsetOutOfRange, 0), "{failure}");
}

#[test]
fn a_user_record_that_is_too_large_is_an_error_row_at_its_place() {
    let server = holding(vec![golden("every-byte").data, b"1".to_vec()]);
    let mut source = open(&server.url, &unpacking());
    assign(&mut source, &[(key(0), horizon())]);
    let mut sink = Sink::new(usize::MAX);
    sink.row_bytes_max = 600;
    let done = |_: &Sink, polled| polled == Polled::Idle { caught_up: true };
    poll_until(&mut source, &mut sink, done).unwrap();
    assert_eq!(sink.rows.len(), 2);
    let position = at(10, Some(0)).as_str().to_owned();
    assert_eq!(sink.errors, [(position, "ROW_TOO_LARGE".to_owned())]);
}

/// The KPL writes an aggregate again that came to another shard, so the KCL leaves it out.
#[test]
fn aggregates_of_other_shards_are_kept_or_dropped_as_wanted() {
    let server = Server::start(2);
    // Hash keys 0, MD5("a") and others: records of both shards, placed by the key of the aggregate.
    let mixed = server.put_bytes("a", &golden("explicit-hash-keys").data);
    let own = server.put_bytes("a", &golden("one").data);
    assert_eq!(mixed.shard, own.shard, "both lie in the shard of the key a");
    let part = if mixed.shard == server::shard(0) { key(0) } else { key(1) };
    let read = |outside: &str| {
        let settings = json!({"kinesis.deaggregate": true, "kinesis.deaggregate.outside": outside});
        let mut source = open(&server.url, &settings);
        assign(&mut source, &[(part.clone(), horizon())]);
        let payloads = read_all(&mut source).payloads();
        (payloads, source.position(0).unwrap())
    };
    let end = value(&json!({"sequenceNumber": own.sequence}));
    // MD5("key") begins with 3c: the record of "one" is of the first shard, as MD5("a") is.
    let all = ["1", "2", "3", "4", "5", "payload"].map(str::to_owned).to_vec();
    assert_eq!(read("keep"), (all, end.clone()));
    assert_eq!(read("drop"), (vec!["payload".to_owned()], end));
}

/// Aggregates across a split: the rest of a parent's aggregate comes before its children.
#[test]
fn aggregates_survive_a_split_with_restarts() {
    let server = Server::start(1);
    server.put_bytes("outer", &golden("three-hundred").data);
    server.split(&server::shard(0));
    server.put(&records(300..340));
    let mut follower = follower::Follower::new();
    let mut source = open(&server.url, &unpacking());
    follower.discover(&mut source);
    for _ in 0..3 {
        let mut source = open(&server.url, &unpacking());
        follower.follow(&mut source, 90);
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut source = open(&server.url, &unpacking());
    follower.follow(&mut source, usize::MAX);
    assert_once_in_order(&follower.rows, 340);
}
