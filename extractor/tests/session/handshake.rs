//! HELLO, CONFIGURE and the order of requests.

use std::io::Write;

use protocol::Code;
use protocol::message::*;
use protocol::wire::{FrameSealer, Head, Kind};
use serde_json::{Value, json};

use crate::driver::*;

/// A child that got one frame, and the failure with which it ends.
pub(crate) fn refused(frames: &[u8]) -> (protocol::Failure, Option<i32>) {
    let mut host = Host::spawn();
    // It may end before it has read everything.
    drop(host.stdin.as_mut().unwrap().write_all(frames));
    let failure = host.raw_failure();
    assert!(failure.fatal, "{failure}");
    while host.frame().is_some() {}
    (failure, host.wait().code())
}

pub(crate) fn hello_frame(sealer: &mut FrameSealer, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut message = serde_json::to_value(hello()).unwrap();
    change(&mut message);
    raw_frame(sealer, Head::new(Kind::Hello, 0), message.to_string().as_bytes())
}

#[test]
fn hello_picks_one_offered_version_and_a_subset_of_features() {
    let mut host = Host::spawn();
    let offer = Hello {
        protocols: vec![7, 1, 3],
        features: vec!["commit".into(), "digest".into(), "x-unheard-of".into()],
        limits: WireLimits { max_frame: 1 << 20 },
        ..hello()
    };
    let sent = host.session.hello(&offer).unwrap();
    host.send(&sent);
    let protocol::session::host::Event::HelloOk(ok) = host.event() else { panic!("no HELLO_OK") };
    assert_eq!(ok.protocol, 1);
    assert!(ok.features.iter().all(|feature| offer.features.contains(feature)));
    assert_eq!(ok.limits.max_frame, 1 << 20, "the smaller limit counts");
    assert!(ok.sources.iter().any(|source| source.class == "test"));
}

#[test]
fn hello_with_future_versions_only_is_a_version_mismatch() {
    let frame =
        hello_frame(&mut FrameSealer::default(), |hello| hello["protocols"] = json!([2, 9]));
    let (failure, exit) = refused(&frame);
    assert_eq!((failure.code, exit), (Code::VersionMismatch, Some(76)));
    assert!(failure.message.contains("[2, 9]"), "{failure}");
}

#[test]
fn hello_ignores_unknown_fields() {
    let mut host = Host::spawn();
    let frame = hello_frame(&mut FrameSealer::default(), |hello| {
        hello["deadlines"] = json!({"hello_ms": 5000});
        hello["host"]["pid"] = json!(4);
    });
    host.write(&frame);
    assert_eq!(host.frame().unwrap().head.kind, Kind::HelloOk);
}

#[test]
fn another_first_frame_than_hello_is_refused() {
    for kind in [Kind::Check, Kind::Ping, Kind::Stop] {
        let frame = raw_frame(&mut FrameSealer::default(), Head::new(kind, 0), b"{}");
        let (failure, exit) = refused(&frame);
        assert_eq!((failure.code, exit), (Code::UnexpectedMessage, Some(76)), "{kind:?}");
    }
}

#[test]
fn e12_a_process_is_configured_once() {
    let mut sealer = FrameSealer::default();
    let twice = [hello_frame(&mut sealer, |_| {}), hello_frame(&mut sealer, |_| {})].concat();
    let (failure, exit) = refused(&twice);
    assert_eq!((failure.code, exit), (Code::UnexpectedMessage, Some(76)));

    let mut sealer = FrameSealer::default();
    let mut frames = hello_frame(&mut sealer, |_| {});
    for _ in 0..2 {
        let head = Head::new(Kind::Configure, 0).sensitive();
        frames.extend(raw_frame(&mut sealer, head, br#"{"config":{"connector.class":"test"}}"#));
    }
    let (failure, exit) = refused(&frames);
    assert_eq!((failure.code, exit), (Code::UnexpectedMessage, Some(76)));
}

#[test]
fn a_configuration_that_cannot_work_is_named_and_ends_the_process() {
    let check = |config: Value, code: Code, pointer: &str| {
        let mut host = Host::spawn();
        host.greet();
        host.send_configure(config, json!({}), Settings::default());
        let failure = host.raw_failure();
        assert_eq!(failure.code, code, "{failure}");
        assert_eq!(failure.detail["pointer"], pointer);
        assert!(failure.fatal && !failure.message.contains('\n'), "{failure}");
        assert_eq!(host.wait().code(), Some(78));
    };
    check(json!({"connector.class": "tets"}), Code::ConfigUnknownClass, "/config/connector.class");
    check(json!({"connector.class": ""}), Code::ConfigMissing, "/config/connector.class");
    check(json!({"test.rows": "many"}), Code::ConfigInvalid, "/config/test.rows");
    check(json!({"test.unicode": [true]}), Code::ConfigInvalid, "/config/test.unicode");
}

#[test]
fn unknown_keys_are_reported_with_the_nearest_known_one() {
    let mut host = Host::spawn();
    host.greet();
    let done = host.configure(json!({"test.row": 4, "test.rows": "4"}));
    assert_eq!(done.unknown_config.len(), 1);
    assert_eq!(done.unknown_config[0].key, "test.row");
    assert_eq!(done.unknown_config[0].nearest.as_deref(), Some("test.rows"));
    assert_eq!(done.effective["test.rows"], "4", "text and number mean the same");
}

#[test]
fn every_request_is_refused_where_the_state_does_not_allow_it() {
    // EXTRACT before ASSIGN, ASSIGN before CONFIGURE, CONFIGURE without its flag.
    let extract = br#"{"max_rows":1,"max_bytes":1,"max_interval_ms":1}"#;
    let configure = br#"{"config":{"connector.class":"test"}}"#;
    let cases: [(Kind, &[u8], Code); 3] = [
        (Kind::Extract, extract, Code::UnexpectedMessage),
        (Kind::Assign, b"{}", Code::UnexpectedMessage),
        (Kind::Configure, configure, Code::BadPayload),
    ];
    for (kind, payload, code) in cases {
        let mut sealer = FrameSealer::default();
        let mut frames = hello_frame(&mut sealer, |_| {});
        frames.extend(raw_frame(&mut sealer, Head::new(kind, 0), payload));
        let (failure, exit) = refused(&frames);
        assert_eq!((failure.code, exit), (code, Some(76)), "{kind:?}");
    }
}

#[test]
fn discover_is_stable_sorted_and_canonical() {
    let mut host = Host::configured(json!({"test.splits": 12, "test.seed": 3}));
    let first = host.discover();
    assert_eq!(first, host.discover());
    assert_eq!(first.incarnation, "test-3");
    assert_eq!(first.splits.len(), 12);
    assert!(first.splits.is_sorted_by(|a, b| a.key.as_str() < b.key.as_str()));
}

#[test]
fn starts_become_definite_offsets() {
    let mut host =
        Host::configured(json!({"test.rows": 50, "test.split.at": 20, "test.splits": 2}));
    let keys = [key("p0"), key("p1")];
    let check = |found: Vec<_>, rows: [u64; 2]| assert_eq!(found, rows.map(row_value));
    check(host.offsets(Start::Earliest, &keys), [0, 0]);
    check(host.offsets(Start::Latest, &keys), [20, 50]);
    check(host.offsets(Start::Timestamp(30), &keys), [20, 30]);
    check(host.offsets(Start::Timestamp(-5), &keys), [0, 0]);
}

#[test]
fn an_assignment_that_cannot_be_served_is_refused_and_voids_its_credits() {
    let check = |name: &str, value: Value, incarnation: &str, code: Code| {
        let mut host = Host::configured(json!({"test.rows": 5}));
        let value = protocol::OffsetValue::from_json(&value).unwrap();
        let sent = host.session.assign(1, MARKER, incarnation, &[(key(name), value)]).unwrap();
        host.send(&sent);
        host.send_extract(&credit(10));
        let protocol::session::host::Event::Failed { failure, .. } = host.event() else {
            panic!("{name} was assigned")
        };
        assert_eq!(failure.code, code, "{failure}");
        let is_of_a_part = code != Code::SourceRecreated;
        assert_eq!((failure.part, failure.at.is_some()), (is_of_a_part.then_some(0), is_of_a_part));
        assert!(!failure.fatal);
        assert_eq!(host.batch().end.reason, Reason::Void);
        // The process is as good as before.
        host.assign(&[(key("p0"), row_value(5))]);
        assert_eq!(host.extract(&Extract { max_interval_ms: 1, ..credit(1) }).end.rows, 0);
    };
    check("p9", json!({"row": 0}), "", Code::SourceNotFound);
    check("p0", json!({"row": 6}), "", Code::OffsetOutOfRange);
    check("p0", json!({"row": 0, "epoch": 1}), "", Code::OffsetInvalid);
    check("p0", json!({"row": "0"}), "", Code::OffsetInvalid);
    check("p0", json!({"row": 0}), "test-1", Code::SourceRecreated);
}

#[test]
fn an_advisory_key_is_accepted_and_is_no_move() {
    let mut host = Host::configured(json!({"test.rows": 5}));
    let value = protocol::OffsetValue::from_json(&json!({"x-note": "hi", "row": 5})).unwrap();
    host.assign(&[(key("p0"), value)]);
    let batch = host.extract(&Extract { max_interval_ms: 1, ..credit(1) });
    assert!(batch.end.offsets.is_empty());
}
