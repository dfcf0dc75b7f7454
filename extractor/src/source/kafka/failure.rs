//! What goes wrong with a broker, said to users: what, where, and what to do. Pure but for the
//! last cause that the client remembers.

use protocol::{Code, Failure};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::Client;
use super::position::{Place, Position};
use super::refused::{expired, refused, suspected};
use super::topics::{Pattern, TOPICS_MAX};

/// What to do about offsets of a topic that is not there any more.
const READ_THE_NEW_ONE: &str = "set the offsets of its partitions to {\"offset\":0} with harness \
                                set-offsets --reset-incarnation";

/// The code in an error of the safe crate.
pub(super) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

/// No broker answers.
pub(super) fn unreachable(client: &Client) -> Failure {
    if let Some(failure) = refused(client).or_else(|| suspected(client)) {
        return failure;
    }
    let servers = client.servers();
    let (code, cause) = match client.link().cause() {
        Some(cause) if cause.code == RDKafkaErrorCode::Resolve => (Code::Dns, cause.text),
        Some(cause) => (Code::SourceUnavailable, cause.text),
        None if client.link().down_for().is_some() => {
            (Code::SourceUnavailable, "all brokers are down".to_owned())
        }
        None => {
            let text = format!(
                "no answer from the brokers in time (bootstrap.servers {servers}); try again"
            );
            return Failure::new(Code::Timeout, text).with("servers", servers);
        }
    };
    let text = format!(
        "no broker of bootstrap.servers {servers} can be reached: {cause}; check the address and \
         that the broker is running"
    );
    Failure::new(code, text).with("servers", servers)
}

/// A broker answered with an error, or librdkafka made one up.
pub(super) fn from_code(client: &Client, what: &str, code: RDKafkaErrorCode) -> Failure {
    use RDKafkaErrorCode as E;
    let servers = client.servers();
    match code {
        E::BrokerTransportFailure
        | E::AllBrokersDown
        | E::Resolve
        | E::SSL
        | E::OperationTimedOut
        | E::TimedOutQueue
        | E::WaitCache
        | E::NetworkException
        | E::RequestTimedOut => unreachable(client),
        E::UnknownTopicOrPartition | E::UnknownTopic | E::UnknownPartition => Failure::new(
            Code::SourceNotFound,
            format!("{what}: not on the brokers {servers}; create it or correct its name"),
        ),
        E::InvalidTopic => Failure::new(
            Code::ConfigInvalid,
            format!("{what}: the broker does not accept the name of the topic"),
        ),
        E::TopicAuthorizationFailed => Failure::new(
            Code::PermissionDenied,
            format!(
                "{what}: the broker denies it; allow READ and DESCRIBE on the topic to the user \
                 of the pipeline"
            ),
        ),
        E::ClusterAuthorizationFailed => Failure::new(
            Code::PermissionDenied,
            format!("{what}: the broker denies it; allow DESCRIBE on the cluster"),
        ),
        E::Authentication | E::SaslAuthenticationFailed => refused(client).unwrap_or_else(|| {
            let text = format!("{what}: the broker refuses the login; check its credentials");
            let failure = Failure::new(Code::AuthFailed, text);
            if client.link().token_is_over() { expired(failure, what) } else { failure }
        }),
        E::UnsupportedForMessageFormat | E::UnsupportedVersion | E::UnsupportedFeature => {
            Failure::new(
                Code::SourceUnavailable,
                format!("{what}: the broker is too old for it ({code})"),
            )
        }
        other => Failure::new(
            Code::SourceUnavailable,
            format!("{what}: the brokers {servers} answer {other}; it is tried again"),
        ),
    }
}

/// Partitions that an error names. Why 5: the first tells which broker is away.
const PLACES_SHOWN: usize = 5;

/// What a question for offsets that cannot be asked means, and what to do.
const UNASKED: &str = "where reading begins and ends cannot be asked there, and nothing is read before \
     that is known; bring the broker back that has it; it is tried again";

/// Partitions whose offsets cannot be asked now.
pub(super) fn no_leader(places: &[&Place]) -> Failure {
    let (text, names) = shown(places.iter().copied(), places.len());
    let text = format!("no leader for {text}: {UNASKED}");
    Failure::new(Code::SourceUnavailable, text).with("partitions", names)
}

/// One of them cannot be asked now, and the client does not tell which one.
pub(super) fn leader_moved(places: &[Place], code: RDKafkaErrorCode) -> Failure {
    let (text, names) = shown(places.iter(), places.len());
    let of = if places.len() == 1 { "" } else { "one of " };
    let text = format!("the leader of {of}{text} moved or is away ({code}): {UNASKED}");
    Failure::new(Code::SourceUnavailable, text).with("partitions", names)
}

/// The first of `count` places, as a text and as a list.
fn shown<'a>(places: impl Iterator<Item = &'a Place>, count: usize) -> (String, Vec<String>) {
    let names: Vec<_> = places.take(PLACES_SHOWN).map(|place| place.to_string()).collect();
    let more = match count.saturating_sub(PLACES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (format!("{}{more}", names.join(", ")), names)
}

/// The records at the position are gone.
pub(super) fn before_start(place: &Place, position: Position, low: i64, high: i64) -> Failure {
    let offset = position.offset;
    let gap = low.saturating_sub(offset);
    let text = format!(
        "{place}: {gap} records from offset {offset} to {} were deleted before they were read \
         (earliest is {low}, latest is {high}); to go on without them, set it to {{\"offset\":{low}}} \
         with harness set-offsets, or set auto.offset.reset=earliest in the pipeline",
        low.saturating_sub(1)
    );
    numbers(Failure::new(Code::OffsetOutOfRange, text), offset, low, high).with("gap", gap)
}

/// The position lies after the end. `same_life`: the topic id says that it is still the same topic.
pub(super) fn after_end(
    place: &Place,
    position: Position,
    range: (i64, i64),
    same_life: bool,
) -> Failure {
    let ((low, high), offset) = (range, position.offset);
    let numbers_text = format!("(earliest is {low}, latest is {high})");
    let (code, text) = if same_life {
        let text = format!(
            "{place}: offset {offset} is after the end {numbers_text}: the partition was \
             truncated, or the offset never was of this topic; to go on, set it to an offset from \
             {low} to {high} with harness set-offsets"
        );
        (Code::OffsetOutOfRange, text)
    } else {
        let text = format!(
            "{place}: offset {offset} is after the end {numbers_text}: the topic was deleted and \
             created again, or truncated; to read the new one, set the offsets of its partitions to \
             {{\"offset\":{low}}} with harness set-offsets --reset-incarnation"
        );
        (Code::SourceRecreated, text)
    };
    numbers(Failure::new(code, text), offset, low, high)
}

fn numbers(failure: Failure, offset: i64, low: i64, high: i64) -> Failure {
    failure.with("offset", offset).with("earliest", low).with("latest", high)
}

/// The leader epoch fell, which it never does in one life of a topic.
pub(super) fn epoch_fell(place: &Place, offset: i64, before: i32, now: i32) -> Failure {
    let text = format!(
        "{place}: the leader epoch fell from {before} to {now} at offset {offset}: the topic was \
         deleted and created again; to read the new one, {READ_THE_NEW_ONE}"
    );
    Failure::new(Code::SourceRecreated, text)
        .with("offset", offset)
        .with("leaderEpoch", now)
        .with("leaderEpochBefore", before)
}

/// The topic id changed.
pub(super) fn id_changed(topic: &str, before: &str, now: &str) -> Failure {
    let text = format!(
        "topic {topic} was deleted and created again (its id was {before} and is {now}): offsets \
         of the old one mean nothing here; to read the new one, {READ_THE_NEW_ONE}"
    );
    Failure::new(Code::SourceRecreated, text)
        .with("topic", topic)
        .with("id", now)
        .with("was", before)
}

/// A batch that does not match its checksum, or whose form is unknown.
pub(super) fn corrupt(place: &Place, offset: i64, text: &str) -> Failure {
    let text = format!(
        "{place}: the batch at offset {offset} is corrupt on the broker ({text}); repair it there, \
         or set the offset after it with harness set-offsets to go on without it"
    );
    Failure::new(Code::DecodeFailed, text).with("offset", offset)
}

/// The client delivers nothing although there is something.
pub(super) fn stalled(place: &Place, position: i64, end: i64) -> Failure {
    let text = format!(
        "{place}: the brokers have records from offset {position} to {end} and the client delivers \
         none; the partition is read anew from there"
    );
    Failure::new(Code::SourceUnavailable, text).with("offset", position).with("latest", end)
}

/// A batch whose checksum is right and that does not decompress: it is a bomb, or its writer is
/// broken.
pub(super) fn unpackable(place: &Place, offset: i64, text: &str) -> Failure {
    let text = format!(
        "{place}: the batch at offset {offset} does not decompress, or holds more than the client \
         accepts ({text}); if it is meant to be that large, raise \
         properties.receive.message.max.bytes to three times what it holds, or set the offset after it with harness set-offsets to go on without it"
    );
    Failure::new(Code::DecodeFailed, text).with("offset", offset)
}

/// A topic or a partition that was there is no more. `pattern`: what chose the topic, unless a list
/// names it.
pub(super) fn vanished(what: &str, servers: &str, pattern: Option<&Pattern>) -> Failure {
    let without = match pattern {
        None => "take it out of the pipeline",
        Some(_) => "run the pipeline again to go on without it",
    };
    let text = format!(
        "{what} is no more on the brokers {servers}; it was deleted: {without}, or create it again \
         and {READ_THE_NEW_ONE}"
    );
    Failure::new(Code::SourceNotFound, text)
}

/// No topic matches the pattern.
pub(super) fn none_matches(pattern: &str, servers: &str) -> Failure {
    let text = format!(
        "no topic on the brokers {servers} that the pipeline's user may see matches topics.regex = \
         {pattern:?}, which must match the whole name; create one, correct the pattern, allow \
         DESCRIBE, or set topic.wait.ms"
    );
    Failure::new(Code::SourceNotFound, text).with("pattern", pattern)
}

/// The pattern matches more topics than one pipeline may have.
pub(super) fn too_many_match(pattern: &str, count: usize) -> Failure {
    let text = format!(
        "topics.regex = {pattern:?} matches {count} topics, and a pipeline has at most \
         {TOPICS_MAX}; write a narrower pattern, or several pipelines"
    );
    Failure::new(Code::ConfigInvalid, text)
}
