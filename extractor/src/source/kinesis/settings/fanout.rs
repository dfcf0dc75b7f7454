//! The settings of enhanced fan-out (`kinesis.read.mode=efo`). Pure.

use std::time::Duration;

use protocol::Failure;

use crate::config::Settings;

/// The keys of this file.
pub(super) const KEYS: [&str; 6] = [
    "kinesis.consumer.arn",
    "kinesis.consumer.fallback",
    "kinesis.consumer.name",
    "kinesis.read.mode",
    "kinesis.subscribe.interval.ms",
    "kinesis.subscribe.silence.ms",
];

const MODE: &str = "kinesis.read.mode";
const ARN: &str = "kinesis.consumer.arn";
const NAME: &str = "kinesis.consumer.name";

/// Bytes of an ARN. Why 2,048: the service's own limit.
const ARN_BYTES_MAX: usize = 2048;

/// Bytes of a consumer's name, the service's own limit.
const NAME_BYTES_MAX: usize = 128;

/// Silence of a subscription after which it counts as dead.
///
/// Why 35 s: the service sends an event every 5 s at least; this is what its own client library waits.
const SILENCE_MS: u64 = 35_000;

/// Time between two subscriptions of one shard.
///
/// Why 5,100 ms: within 5 s of a subscription the service refuses the next one of the same consumer
/// (ResourceInUseException).
const INTERVAL_MS: u64 = 5_100;

/// Which consumer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerId {
    /// One that is there.
    Arn(String),
    /// One that is registered where it is not there yet.
    Name(String),
}

/// What to do when the consumer can not be used: no permission, a limit, no such service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnusable {
    /// Read by polling, and say so. The default: data that comes slower is better than none.
    Polling,
    /// Stop and say so.
    Error,
}

/// How shards are read by enhanced fan-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanOut {
    /// Which consumer reads.
    pub consumer: ConsumerId,
    /// What to do when it can not be used.
    pub fallback: OnUnusable,
    /// Silence after which a subscription is dead.
    pub silence: Duration,
    /// Shortest time between two subscriptions of a shard.
    pub interval: Duration,
}

/// Reads the keys; nothing where shards are polled.
pub(super) fn read(settings: &Settings, stream: &str) -> Result<Option<FanOut>, Failure> {
    let consumer = match (settings.text(ARN), settings.text(NAME)) {
        (Some(_), Some(_)) => return Err(settings.invalid(NAME, &format!("{ARN} is set too"))),
        (Some(arn), None) => Some(ConsumerId::Arn(check_arn(settings, arn, stream)?)),
        (None, Some(name)) => Some(ConsumerId::Name(check_name(settings, name)?)),
        (None, None) => None,
    };
    let words = [("polling", OnUnusable::Polling), ("error", OnUnusable::Error)];
    let fallback = settings.choice("kinesis.consumer.fallback", &words, OnUnusable::Polling)?;
    let silence = settings.number("kinesis.subscribe.silence.ms", 500..=300_000, SILENCE_MS)?;
    let interval = settings.number("kinesis.subscribe.interval.ms", 50..=300_000, INTERVAL_MS)?;
    if !settings.choice(MODE, &[("polling", false), ("poll", false), ("efo", true)], false)? {
        return Ok(None);
    }
    let consumer = consumer.ok_or_else(|| {
        Settings::missing(ARN, &format!("{MODE}=efo needs a consumer: give its ARN, or {NAME}"))
    })?;
    let (silence, interval) = (Duration::from_millis(silence), Duration::from_millis(interval));
    Ok(Some(FanOut { consumer, fallback, silence, interval }))
}

/// Checks `arn:aws:kinesis:REGION:ACCOUNT:stream/STREAM/consumer/NAME:TIME`.
fn check_arn(settings: &Settings, arn: &str, stream: &str) -> Result<String, Failure> {
    let form = "arn:aws:kinesis:REGION:ACCOUNT:stream/STREAM/consumer/NAME:TIME";
    let legal = arn.len() <= ARN_BYTES_MAX && arn.bytes().all(|byte| byte.is_ascii_graphic());
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let resource = match parts.as_slice() {
        ["arn", _, "kinesis", _, _, resource] if legal => resource.strip_prefix("stream/"),
        _ => None,
    };
    match resource.and_then(|resource| resource.split_once("/consumer/")) {
        Some((of, name)) if of == stream && !name.is_empty() => Ok(arn.to_owned()),
        Some((of, _)) if of != stream => {
            Err(settings.invalid(ARN, &format!("it is a consumer of the stream {of}")))
        }
        _ => Err(settings.invalid(ARN, &format!("allowed: {form}"))),
    }
}

fn check_name(settings: &Settings, name: &str) -> Result<String, Failure> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(legal) {
        let text = "a consumer name has 1 to 128 letters, digits, dots, underscores and hyphens";
        return Err(settings.invalid(NAME, text));
    }
    Ok(name.to_owned())
}
