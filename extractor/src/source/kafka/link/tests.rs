//! Causes, ids and the cutting of lines.

use super::*;

#[test]
fn lines_are_short_and_single() {
    assert_eq!(cut("one\ntwo"), "one");
    assert_eq!(cut(&"ä".repeat(400)).len(), LINE_BYTES_MAX);
    assert_eq!(cut(""), "");
}

#[test]
fn the_link_remembers_the_real_cause() {
    let link = Link::default();
    assert!(link.cause().is_none() && link.down_for().is_none());
    link.failed(RDKafkaErrorCode::BrokerTransportFailure, "Connect failed: refused");
    link.failed(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
    assert!(link.take_recheck() && !link.take_recheck());
    assert_eq!(link.cause().unwrap().1, "Connect failed: refused");
    assert!(link.down_for().is_some());
    link.up();
    assert!(link.cause().is_none() && link.down_for().is_none());
}

#[test]
fn another_topic_id_is_read_from_its_line() {
    let link = Link::default();
    assert!(link.take_new_ids().is_empty());
    link.note_id("[thrd:main]: Topic a.b-c changed id from AAAA to BBBB");
    link.note_id("[thrd:main]: Topic a.b-c changed id from BBBB to CCCC");
    link.note_id("[thrd:main]: ===== Received metadata: periodic =====");
    assert_eq!(link.take_new_ids(), [("a.b-c".to_owned(), "CCCC".to_owned())]);
    assert!(link.take_new_ids().is_empty());
}
