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
    assert_eq!(link.cause().unwrap().text, "Connect failed: refused");
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

/// Whether a login that is refused now is refused after its token's end.
fn after_token(ends_in_ms: i64, was_up: bool, renews: bool) -> bool {
    let link = Link::default();
    link.set_renews(renews);
    link.has_token(unix_ms(SystemTime::now()) + ends_in_ms);
    if was_up {
        link.up();
    }
    link.failed(
        RDKafkaErrorCode::Authentication,
        "sasl_ssl://b:1/1: {\"status\":\"invalid_token\"}",
    );
    let cause = link.cause().unwrap();
    assert_eq!(cause.after_token, link.token_is_over());
    cause.after_token
}

#[test]
fn f30_a_refusal_after_the_tokens_end_is_told_apart() {
    assert!(after_token(-1, false, false) && after_token(0, true, true));
    assert!(!after_token(60_000, false, false) && !after_token(60_000, true, false));
    // Another clock ends a token that worked a little earlier; one that never worked is wrong.
    assert!(after_token(2000, true, false));
    assert!(!after_token(2000, false, false) && !after_token(2000, true, true));
    let link = Link::default();
    link.failed(RDKafkaErrorCode::Authentication, "no token at all");
    assert!(!link.cause().unwrap().after_token);
}
