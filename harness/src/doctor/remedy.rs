//! What to do about a failure of the source, and what a pipeline's user must be allowed to.
//!
//! Touches nothing. The rights are those of extractor/KAFKA.md and extractor/KINESIS.md.

use protocol::Code;

use super::source::{config, is_kafka, is_kinesis};
use crate::link::Fault;
use crate::run::Plan;

/// What the source must allow.
pub(super) fn needs(plan: &Plan) -> &'static str {
    let fan_out =
        config(plan, "kinesis.read.mode").is_some_and(|it| it.eq_ignore_ascii_case("efo"));
    match (is_kafka(plan), is_kinesis(plan)) {
        (true, _) => "needed: the ACLs READ and DESCRIBE on each topic",
        (_, true) if fan_out => {
            "needed: kinesis:DescribeStreamSummary, ListShards, GetShardIterator, GetRecords, \
             SubscribeToShard, DescribeStreamConsumer (RegisterStreamConsumer to make the consumer)"
        }
        (_, true) => {
            "needed: kinesis:DescribeStreamSummary, ListShards, GetShardIterator, GetRecords \
             (kms:Decrypt where the stream is encrypted)"
        }
        _ => "nothing needs to be allowed",
    }
}

/// What to do.
pub(super) fn of(fault: &Fault, plan: &Plan) -> String {
    let code = match fault {
        Fault::Failed(failure) => failure.code,
        Fault::Spawn(_) => return "make the program executable by this user".to_owned(),
        Fault::Killed(_) => return "find out who ends the extractor, or give it memory".to_owned(),
        Fault::Gone(_) | Fault::Protocol(_) => {
            return "name the extractor of this version with --extractor or extractor.path"
                .to_owned();
        }
    };
    let text = match code {
        Code::Dns => "correct the host's name, or the name service of this machine",
        Code::SourceUnavailable | Code::Timeout => {
            "start the source, correct its address, or open the way to its port"
        }
        Code::SourceThrottled => "try again when the source has room, or raise its limits",
        Code::TlsHandshake if is_kafka(plan) => {
            "set security.protocol to what the port speaks, and the authority with ssl.ca.location"
        }
        Code::TlsHandshake => "use the address whose certificate this machine trusts",
        Code::AuthFailed if is_kafka(plan) => {
            "correct sasl.mechanism, sasl.username and sasl.password, or the client certificate"
        }
        Code::AuthFailed => "correct the access key and its secret, or where they come from",
        Code::CredentialsExpired => "give new credentials",
        Code::PermissionDenied => {
            return format!("allow it to the pipeline's user; {}", needs(plan));
        }
        Code::SourceNotFound => "create the topic or stream, or correct its name",
        Code::SourceRecreated | Code::OffsetIncarnation => {
            "set the offsets anew: harness set-offsets --reset-incarnation"
        }
        Code::ConfigUnknownClass => "set connector.class to a source that the extractor knows",
        Code::ConfigInvalid | Code::ConfigMissing => "correct the key that the line names",
        _ => {
            "do what the line says; if it says nothing, this is a bug: run it with harness run -vv"
        }
    };
    text.to_owned()
}
