//! Where reading begins: with a record that is named, or after it, polled and by fan-out. Against
//! ferrokinesis, and against canned answers where the record has expired.

#[path = "kinesis_support/canned.rs"]
mod canned;
#[path = "kinesis_support/server.rs"]
mod server;
#[path = "kinesis_support/support.rs"]
mod support;

use extractor::source::Source;
use protocol::Code;
use serde_json::{Value, json};

use canned::{Answer, CONSUMER, Canned, Event, event, page};
use server::Server;
use support::*;

fn at(sequence: &str) -> Value {
    json!({"position": "AT_SEQUENCE_NUMBER", "sequenceNumber": sequence})
}

/// A record that is named comes first; a restart before anything came reads the same again, and one
/// after the first record goes on behind it.
#[test]
fn reading_begins_with_the_record_that_is_named() {
    let server = Server::start(1);
    let put = server.put(&records(0..100));
    let mut source = open(&server.url, &json!({}));
    for first in [0, 1, 57, 99] {
        let stands = value(&at(&put[first].sequence));
        assign(&mut source, &[(key(0), stands.clone())]);
        assert_eq!(source.position(0), Some(stands.clone()), "until something is delivered");
        let mut sink = Sink::new(1);
        poll_until(&mut source, &mut sink, |sink, _| sink.room == 0).unwrap();
        assert_eq!(sink.payloads(), [first.to_string()]);
        let after = value(&json!({"sequenceNumber": put[first].sequence}));
        assert_eq!(source.position(0), Some(after.clone()));
        for (begin, stands) in [(first, stands), (first + 1, after)] {
            assign(&mut source, &[(key(0), stands)]);
            let wanted: Vec<_> = (begin..100).map(|n| n.to_string()).collect();
            assert_eq!(read_all(&mut source).payloads(), wanted);
        }
    }
}

/// `until` at a record ends before it, whatever the start.
#[test]
fn an_end_at_a_record_lies_before_it() {
    let server = Server::start(1);
    let put = server.put(&records(0..20));
    let mut source = open(&server.url, &json!({}));
    let until = value(&at(&put[9].sequence));
    for (stands, wanted) in [(horizon(), 0..9), (value(&at(&put[4].sequence)), 4..9)] {
        assign(&mut source, &[(key(0), stands)]);
        source.set_until(&[(0, until.clone())]).unwrap();
        let mut sink = Sink::new(usize::MAX);
        let reached = extractor::source::Polled::ReachedUntil;
        poll_until(&mut source, &mut sink, |_, polled| polled == reached).unwrap();
        assert_eq!(sink.payloads(), wanted.map(|n| n.to_string()).collect::<Vec<_>>());
    }
    assign(&mut source, &[(key(0), until.clone())]);
    source.set_until(&[(0, until)]).unwrap();
    let mut sink = Sink::new(usize::MAX);
    let polled = source.poll(&mut sink, std::time::Duration::ZERO).unwrap();
    assert_eq!(polled, extractor::source::Polled::ReachedUntil);
}

/// What the service is asked for, and what comes, by polling and by fan-out.
#[test]
fn a_record_that_is_named_and_gone_is_an_error() {
    let efo = json!({"kinesis.read.mode": "efo", "kinesis.consumer.arn": CONSUMER});
    let read = |settings: &Value, numbers: &'static [u32]| {
        let server = Canned::start(move |operation, input| match operation {
            "GetRecords" => {
                let first = input["ShardIterator"].as_str().is_some_and(|it| it.contains("AT_SEQ"));
                Some(Answer::Ok(page(if first { numbers } else { &[] }, 0)))
            }
            "SubscribeToShard" => Some(Answer::Events(vec![event(numbers, 9, 0), Event::Silence])),
            _ => None,
        });
        let mut source = open(&server.url, settings);
        assign(&mut source, &[(key(0), value(&at("5")))]);
        let mut sink = Sink::new(usize::MAX);
        let read = poll_until(&mut source, &mut sink, |sink, _| sink.rows.len() >= 2);
        let asked = [("GetShardIterator", ""), ("SubscribeToShard", "StartingPosition")];
        let asked = asked.iter().find_map(|(operation, inner)| {
            let input = server.calls(operation).first()?.input.clone();
            Some(if inner.is_empty() { input } else { input[*inner].clone() })
        });
        let asked = asked.unwrap();
        let kind = asked.get("ShardIteratorType").or_else(|| asked.get("Type")).unwrap();
        let number =
            asked.get("StartingSequenceNumber").or_else(|| asked.get("SequenceNumber")).unwrap();
        assert_eq!((kind, number), (&json!("AT_SEQUENCE_NUMBER"), &json!("5")));
        (sink.payloads(), read.map_err(|failure| failure.code), source.position(0).unwrap())
    };
    for settings in [json!({}), efo] {
        let stands = value(&json!({"sequenceNumber": "6"}));
        assert_eq!(read(&settings, &[5, 6]), (vec!["5".into(), "6".into()], Ok(()), stands));
        let stands = value(&at("5"));
        assert_eq!(read(&settings, &[6, 7]), (vec![], Err(Code::OffsetOutOfRange), stands));
    }
}
