//! What goes wrong with the service, said to users: what, where, and what to do. Pure.
//!
//! The service's own words are quoted; they never hold credentials or payload.

use std::error::Error;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use protocol::{Code, Failure, OffsetKey, OffsetValue};

use super::identity::Unusable;
use super::position::{Position, Sequence};

/// Bytes of the service's own words in an error.
const QUOTED_BYTES_MAX: usize = 600;

/// What kind of answer an error is, as far as a reader has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The iterator is too old; another one goes on from the same place.
    IteratorExpired,
    /// The page token is too old; the listing begins again.
    TokenExpired,
    /// The request names something that the service does not accept.
    Refused,
    /// Everything else; the code of the failure says it.
    Other,
}

/// Says what a failed call means. `what` is a present-tense fragment, such as `list shards`.
pub(super) fn from_sdk<E, R>(what: &str, error: &SdkError<E, R>) -> (Kind, Failure)
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let quoted = |text: String| {
        let mut text = one_line(text);
        text.truncate(text.floor_char_boundary(QUOTED_BYTES_MAX));
        text
    };
    let chain = || quoted(chain_of(error));
    match error {
        SdkError::TimeoutError(_) => {
            let text = format!("{what}: no answer in time; check kinesis.endpoint and the network");
            (Kind::Other, Failure::new(Code::Timeout, text))
        }
        SdkError::DispatchFailure(_) if let Some(unusable) = source_of::<Unusable>(error) => {
            (Kind::Other, unsigned(what, &unusable.to_string()))
        }
        SdkError::DispatchFailure(dispatch) => {
            let chain = chain();
            (Kind::Other, unreachable(what, dispatch.is_timeout(), dispatch.is_io(), &chain))
        }
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("an unnamed error");
            let message = service.err().message().unwrap_or_default();
            from_code(what, code, &quoted(message.to_owned()))
        }
        _ => {
            let text = format!("{what}: the answer can not be read: {}", chain());
            (Kind::Other, Failure::new(Code::SourceUnavailable, text))
        }
    }
}

/// What lies below an error.
fn sources(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    /// Why 16: the SDK nests six or seven.
    const DEPTH_MAX: usize = 16;
    std::iter::successors(error.source(), |&source| source.source()).take(DEPTH_MAX)
}

/// The first of these below an error.
fn source_of<T: Error + 'static>(error: &dyn Error) -> Option<&T> {
    sources(error).find_map(|source| source.downcast_ref())
}

/// What an error and its sources say. The SDK's own listing adds fields of requests and answers.
fn chain_of(error: &dyn Error) -> String {
    sources(error).fold(error.to_string(), |text, source| {
        let more = source.to_string();
        if text.ends_with(&more) { text } else { format!("{text}: {more}") }
    })
}

fn unreachable(what: &str, timeout: bool, io: bool, chain: &str) -> Failure {
    let lower = chain.to_ascii_lowercase();
    if !io && lower.contains("credential") {
        return no_credentials(what, chain, &lower);
    }
    let code = if timeout {
        Code::Timeout
    } else if lower.contains("dns error") || lower.contains("failed to lookup") {
        Code::Dns
    } else if lower.contains("certificate") || lower.contains("tls") {
        Code::TlsHandshake
    } else {
        Code::SourceUnavailable
    };
    Failure::new(code, format!("{what}: the service can not be reached: {chain}"))
}

/// Nobody gave credentials. Whether asking again may help is in the words alone: the SDK hides which
/// error of which service it was.
fn no_credentials(what: &str, chain: &str, lower: &str) -> Failure {
    const FINAL: [&str; 3] = ["not enabled", "not properly configured", "service error"];
    const PASSING: [&str; 5] =
        ["throttl", "internal", "unavailable", "idpcommunicationerror", "requestlimitexceeded"];
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&FINAL) && !says(&PASSING) {
        let text = format!(
            "{what}: no credentials: {chain}; check aws.role.arn and where the first credentials \
             come from"
        );
        return Failure::new(Code::AuthFailed, text);
    }
    let text = format!("{what}: no credentials yet: {chain}");
    Failure::new(Code::SourceUnavailable, text)
}

/// The same for an error that is only known by its name.
pub(super) fn from_code(what: &str, name: &str, message: &str) -> (Kind, Failure) {
    let said = if message.is_empty() { name.to_owned() } else { format!("{name}: {message}") };
    let of = |code: Code, advice: &str| {
        (Kind::Other, Failure::new(code, format!("{what}: {said}{advice}")))
    };
    match name {
        "ExpiredIteratorException" => (
            Kind::IteratorExpired,
            Failure::new(Code::SourceUnavailable, format!("{what}: {said}")),
        ),
        "ExpiredNextTokenException" => {
            (Kind::TokenExpired, Failure::new(Code::SourceUnavailable, format!("{what}: {said}")))
        }
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "KMSThrottlingException"
        | "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "SlowDown" => of(Code::SourceThrottled, ""),
        "ResourceNotFoundException" => {
            of(Code::SourceNotFound, "; create it, or correct kinesis.stream or kinesis.region")
        }
        "AccessDeniedException"
        | "AccessDenied"
        | "NotAuthorized"
        | "KMSAccessDeniedException"
        | "KMSOptInRequired"
        | "OptInRequired" => of(
            Code::PermissionDenied,
            "; allow kinesis:DescribeStreamSummary, ListShards, GetShardIterator and GetRecords \
             (and kms:Decrypt where the stream is encrypted)",
        ),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidClientTokenId" => of(Code::AuthFailed, "; check the access key and its secret"),
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => {
            of(Code::CredentialsExpired, "; give new credentials")
        }
        "InvalidArgumentException" | "ValidationException" | "SerializationException" => {
            let failure = Failure::new(Code::ConfigInvalid, format!("{what}: {said}"));
            (Kind::Refused, failure)
        }
        "UnknownOperationException" | "InvalidAction" => {
            of(Code::ConfigInvalid, "; kinesis.endpoint is no Kinesis endpoint")
        }
        // 500, 503, a stream or a key that is being changed: it may work later.
        _ => of(Code::SourceUnavailable, "; it is tried again"),
    }
}

/// Where the settings name the profile.
const PROFILE: &str = "/config/aws.profile";

/// No request was sent, because the profile that is to sign it can not be used.
fn unsigned(what: &str, why: &str) -> Failure {
    Failure::new(Code::ConfigInvalid, format!("{what}: {why}")).with("pointer", PROFILE)
}

/// Whether it is that: then nothing is known of what was asked for.
pub(super) fn is_unsigned(failure: &Failure) -> bool {
    failure.detail.get("pointer").is_some_and(|pointer| pointer == PROFILE)
}

/// A place inside a packed record, although packed records are to be left whole.
pub(super) fn left_whole(position: &OffsetValue) -> Failure {
    let text = format!(
        "VALUE {position} lies inside an aggregated record: set kinesis.deaggregate to true; \
         without it the record would be delivered once more, as a whole"
    );
    Failure::new(Code::OffsetInvalid, text)
}

/// A place inside a record that has no such place.
pub(super) fn no_such_place(shard: &str, position: &OffsetValue, why: &str) -> Failure {
    let text = format!(
        "{shard}: VALUE {position} lies inside an aggregated record, but {why}: the offset is not \
         one of this stream; set it to {{\"position\":\"TRIM_HORIZON\"}}, or to the record alone"
    );
    Failure::new(Code::OffsetInvalid, text)
}

/// A number that is not of this shard.
pub(super) fn foreign(shard: &str, sequence: &Sequence, said: &str) -> Failure {
    let text = format!(
        "{shard}: the service refuses sequence number {sequence}: {said}; it belongs to another \
         stream or shard, or to an earlier stream of this name; set the offset to \
         {{\"position\":\"TRIM_HORIZON\"}}, or use on.invalid.offset"
    );
    Failure::new(Code::OffsetIncarnation, text).with("sequenceNumber", sequence.as_str())
}

/// The record at the position is gone: others after it may be gone as well.
pub(super) fn expired(shard: &str, position: &Position, oldest_ms: Option<i64>) -> Failure {
    let at = match position {
        Position::AtTimestamp(ms) => format!("time {ms}"),
        other => {
            format!("sequence number {}", other.first().map_or("none", Sequence::as_str))
        }
    };
    let oldest = oldest_ms.map_or_else(String::new, |ms| format!(" (the oldest left is of {ms})"));
    let text = format!(
        "{shard}: the records at {at} have expired{oldest}: what came after them may have expired \
         before it was read; set the offset to {{\"position\":\"TRIM_HORIZON\"}} to go on without \
         it, or use on.invalid.offset"
    );
    let failure = Failure::new(Code::OffsetOutOfRange, text);
    match oldest_ms {
        Some(ms) => failure.with("earliest", ms),
        None => failure,
    }
}

/// A shard that the service does not list although it was not read to its end.
pub(super) fn vanished(shard: &str, key: &OffsetKey) -> Failure {
    let text = format!(
        "{shard}: the stream has no such shard (any more): it expired before it was read to its \
         end, so records may be lost; set the offset of {key} to {{\"shardEnd\":true}} to go on \
         without it, or use on.invalid.offset"
    );
    Failure::new(Code::OffsetOutOfRange, text).with("shard", shard)
}

/// Another stream has the name now.
pub(super) fn recreated(stream: &str, before: &str, now: &str) -> Failure {
    let text = format!(
        "stream {stream} was deleted and created again (it was {before} and is {now}): offsets of \
         the old one mean nothing here; drop the pipeline, or set its offsets, to read the new one"
    );
    Failure::new(Code::SourceRecreated, text).with("incarnation", now).with("was", before)
}

#[cfg(test)]
mod tests;
