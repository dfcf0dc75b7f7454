//! Tests of what the service's errors mean.

use super::*;

fn check(name: &str, kind: Kind, code: Code) {
    let (found, failure) = from_code("read shardId-0", name, "the reason");
    assert_eq!((found, failure.code), (kind, code), "{name}");
    assert!(failure.message.starts_with(&format!("read shardId-0: {name}: the reason")));
}

#[test]
fn every_error_of_the_service_has_a_meaning() {
    check("ExpiredIteratorException", Kind::IteratorExpired, Code::SourceUnavailable);
    check("ExpiredNextTokenException", Kind::TokenExpired, Code::SourceUnavailable);
    check("ProvisionedThroughputExceededException", Kind::Other, Code::SourceThrottled);
    check("LimitExceededException", Kind::Other, Code::SourceThrottled);
    check("KMSThrottlingException", Kind::Other, Code::SourceThrottled);
    check("ResourceNotFoundException", Kind::Other, Code::SourceNotFound);
    check("AccessDeniedException", Kind::Other, Code::PermissionDenied);
    check("KMSAccessDeniedException", Kind::Other, Code::PermissionDenied);
    check("UnrecognizedClientException", Kind::Other, Code::AuthFailed);
    check("ExpiredTokenException", Kind::Other, Code::CredentialsExpired);
    check("InvalidArgumentException", Kind::Refused, Code::ConfigInvalid);
    check("InternalFailure", Kind::Other, Code::SourceUnavailable);
    check("ResourceInUseException", Kind::Other, Code::SourceUnavailable);
    check("KMSInvalidStateException", Kind::Other, Code::SourceUnavailable);
}

#[test]
fn a_name_that_does_not_resolve_is_told_apart() {
    let failure = unreachable("list shards", false, true, "io error: dns error: failed to lookup");
    assert_eq!(failure.code, Code::Dns);
    let failure = unreachable("list shards", false, true, "io error: connection refused");
    assert_eq!(failure.code, Code::SourceUnavailable);
    let failure = unreachable("list shards", true, false, "timeout");
    assert_eq!(failure.code, Code::Timeout);
}

#[test]
fn what_expired_is_named() {
    let five = || Sequence::parse("5").unwrap();
    let places = [Position::At(five()), Position::After(five()), Position::Inside(five(), 1)];
    for place in places {
        let text = expired("shardId-0", &place, None).message;
        assert!(text.starts_with("shardId-0: the records at sequence number 5 have"), "{text}");
    }
    let text = expired("shardId-0", &Position::AtTimestamp(7), Some(9)).message;
    assert!(text.contains("at time 7 have expired (the oldest left is of 9)"), "{text}");
}

#[test]
fn what_can_not_sign_says_nothing_of_the_consumer() {
    let unsigned = unsigned("subscribe", "profile p is not there");
    assert_eq!(unsigned.code, Code::ConfigInvalid);
    assert!(is_unsigned(&unsigned));
    assert!(!is_unsigned(&from_code("subscribe", "InvalidArgumentException", "why").1));
}
