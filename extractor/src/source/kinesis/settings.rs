//! The settings table of the Kinesis source: the documented keys, and those of the older connector
//! with their defaults and ranges. Pure; it connects to nothing.
//!
//! No text of this file holds a secret: credentials are kept in a type that prints nothing.

mod credentials;
mod fanout;
mod place;

use std::time::Duration;

use protocol::Failure;
use regex_lite::{Regex, RegexBuilder};

pub use self::credentials::{Credentials, Role};
pub use self::fanout::{ConsumerId, FanOut, OnUnusable};
use crate::config::{Settings, Unknown};

/// The older connector, whose defaults for pauses and page size are kept for its class name.
const OLDER_CLASS: &str = "com.github.jcustenborder.kafka.connect.kinesis.KinesisSourceConnector";

/// Values of `connector.class` that mean this source.
pub const CLASSES: [&str; 3] =
    ["kinesis", "com.singlestore.kafka.connect.kinesis.KinesisSourceConnector", OLDER_CLASS];

/// Keys of reading; those of credentials and of the stream's place stand in files of their own.
const READING_KEYS: &[&str] = &[
    "connector.class",
    "kafka.topic",
    "kinesis.connect.timeout.ms",
    "kinesis.deaggregate",
    "kinesis.deaggregate.outside",
    "kinesis.empty.records.backoff.ms",
    "kinesis.memory.bytes",
    "kinesis.position",
    "kinesis.position.sequence.numbers",
    "kinesis.position.timestamp",
    "kinesis.quiet.pin.ms",
    "kinesis.record.limit",
    "kinesis.request.timeout.ms",
    "kinesis.shard.id",
    "kinesis.shards.refresh.ms",
    "kinesis.throughput.exceeded.backoff.ms",
    "on.invalid.offset",
];

/// Every key that this source reads.
pub fn keys() -> impl Iterator<Item = &'static str> {
    let others = credentials::KEYS.iter().chain(&place::KEYS).chain(&fanout::KEYS);
    READING_KEYS.iter().chain(others).copied()
}

/// Keys that every connector has and that concern the host.
const COMMON_KEYS: [&str; 2] = ["name", "tasks.max"];

/// Bytes of records that were read and are not delivered yet, and room for answers on their way.
///
/// Why 64 MiB: two shards that catch up get whole answers (10 MiB, three times that in memory) side
/// by side while others are delivered, which is more than one core encodes.
const MEMORY_BYTES_DEFAULT: u64 = 64 * MIB;

const MIB: u64 = 1024 * 1024;
/// Why 16 MiB: one whole answer has up to 10 MiB.
const MEMORY_BYTES_MIN: u64 = 16 * MIB;
const MEMORY_BYTES_MAX: u64 = 4096 * MIB;

/// Records of one GetRecords answer, the service's own limit.
const RECORD_LIMIT_MAX: u64 = 10_000;

/// What to do when the service can not go on at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInvalid {
    /// Stop and say so. The default: loss is chosen, never met by surprise.
    Error,
    /// Go on at the oldest record that is left.
    Earliest,
    /// Go on after the newest record.
    Latest,
}

/// What to do with an aggregate that holds user records of other shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Deliver it. The default: whoever packed the records may have written them only once.
    Keep,
    /// Leave all of it out, as the KCL does: the KPL writes such records again where they belong.
    Drop,
}

/// The settings of one Kinesis pipeline.
#[derive(Clone, Debug)]
pub struct KinesisSettings {
    /// The stream.
    pub stream: String,
    /// Its ARN, which is sent along where it is known: streams of other accounts need it.
    pub stream_arn: Option<String>,
    /// Its region, as `us-east-1`.
    pub region: String,
    /// Value of the column `topic`.
    pub topic: String,
    /// Where to send requests instead of the region's endpoint.
    pub endpoint: Option<String>,
    /// Whether to use the region's FIPS endpoint.
    pub fips: bool,
    /// Whether to use the region's endpoint for both kinds of addresses.
    pub dualstack: bool,
    /// Where the first credentials come from.
    pub credentials: Credentials,
    /// The role that is assumed with them.
    pub role: Option<Role>,
    /// Which shards are read; all without it.
    pub shards: Option<Regex>,
    /// Records of one answer.
    pub record_limit: i32,
    /// Longest pause of a shard that stays empty.
    pub idle_max: Duration,
    /// Longest pause of a shard whose reads are throttled.
    pub throttle_max: Duration,
    /// How often the shards are listed again.
    pub refresh: Duration,
    /// How long a shard must be empty before its position becomes a time.
    pub quiet: Duration,
    /// Bytes of records in flight, over all shards.
    pub memory_bytes: u64,
    /// Longest time to a connection.
    pub connect_timeout: Duration,
    /// Longest time of a whole request.
    pub request_timeout: Duration,
    /// What to do when the service can not go on at an offset.
    pub on_invalid: OnInvalid,
    /// Whether packed (KPL) records are taken apart, and what is done with those of other shards.
    pub deaggregate: Option<Outside>,
    /// How shards are read by enhanced fan-out; they are polled without it.
    pub fan_out: Option<FanOut>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

impl KinesisSettings {
    /// Reads the table.
    ///
    /// # Errors
    /// The first value that cannot be used, with `detail.pointer`.
    pub fn read(settings: &Settings) -> Result<Self, Failure> {
        let place = place::place(settings)?;
        let older = settings.text("connector.class") == Some(OLDER_CLASS);
        let millis = |key: &str, range, default| -> Result<Duration, Failure> {
            Ok(Duration::from_millis(settings.number(key, range, default)?))
        };
        // The older connector read 500 records at a time to bound its memory; bytes bound ours.
        let limit_default = if older { 500 } else { RECORD_LIMIT_MAX };
        let limit = settings.number("kinesis.record.limit", 1..=RECORD_LIMIT_MAX, limit_default)?;
        let idle_default = if older { 5_000 } else { 1_000 };
        let policies = [
            ("error", OnInvalid::Error),
            ("earliest", OnInvalid::Earliest),
            ("latest", OnInvalid::Latest),
        ];
        let on_invalid = settings.choice("on.invalid.offset", &policies, OnInvalid::Error)?;
        check_position(settings)?;
        let fan_out = fanout::read(settings, &place.stream)?;
        Ok(Self {
            topic: settings.text("kafka.topic").unwrap_or(&place.stream).to_owned(),
            credentials: credentials::credentials(settings)?,
            role: credentials::role(settings, &place.region)?,
            stream: place.stream,
            stream_arn: place.arn,
            region: place.region,
            endpoint: place.endpoint,
            fips: place.fips,
            dualstack: place.dualstack,
            shards: shards(settings)?,
            record_limit: i32::try_from(limit).unwrap_or(i32::MAX),
            idle_max: millis("kinesis.empty.records.backoff.ms", 500..=600_000, idle_default)?,
            throttle_max: millis("kinesis.throughput.exceeded.backoff.ms", 500..=600_000, 10_000)?,
            refresh: millis("kinesis.shards.refresh.ms", 1_000..=3_600_000, 30_000)?,
            quiet: millis("kinesis.quiet.pin.ms", 1_000..=36_000_000, 3_600_000)?,
            memory_bytes: settings.number(
                "kinesis.memory.bytes",
                MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX,
                MEMORY_BYTES_DEFAULT,
            )?,
            connect_timeout: millis("kinesis.connect.timeout.ms", 100..=60_000, 3_000)?,
            request_timeout: millis("kinesis.request.timeout.ms", 500..=300_000, 20_000)?,
            on_invalid,
            deaggregate: deaggregate(settings)?,
            fan_out,
            warnings: warnings(settings, on_invalid),
        })
    }

    /// Keys that nothing reads.
    pub fn unknown(settings: &Settings) -> Vec<Unknown> {
        let known: Vec<&str> = keys().chain(COMMON_KEYS).collect();
        settings.unknown(&known, &[])
    }

    /// Whether a shard is to be read.
    pub fn wants(&self, shard: &str) -> bool {
        self.shards.as_ref().is_none_or(|pattern| pattern.is_match(shard))
    }
}

/// The pattern is looked for anywhere in the name, as the older connector does.
fn shards(settings: &Settings) -> Result<Option<Regex>, Failure> {
    const KEY: &str = "kinesis.shard.id";
    const PATTERN_BYTES_MAX: usize = 1024;
    match settings.text(KEY) {
        None | Some(".*") => Ok(None),
        Some(text) if text.len() > PATTERN_BYTES_MAX => {
            Err(settings.invalid(KEY, &format!("more than {PATTERN_BYTES_MAX} bytes")))
        }
        Some(text) => match RegexBuilder::new(text).case_insensitive(true).build() {
            Ok(pattern) => Ok(Some(pattern)),
            Err(_) => Err(settings.invalid(KEY, "allowed: a regular expression")),
        },
    }
}

fn deaggregate(settings: &Settings) -> Result<Option<Outside>, Failure> {
    const KEY: &str = "kinesis.deaggregate.outside";
    let rules = [("keep", Outside::Keep), ("drop", Outside::Drop)];
    let rule = settings.choice(KEY, &rules, Outside::Keep)?;
    let on = settings.flag("kinesis.deaggregate", false)?;
    if !on && settings.text(KEY).is_some() {
        return Err(settings.invalid(KEY, "it means nothing without kinesis.deaggregate=true"));
    }
    Ok(on.then_some(rule))
}

/// Where a pipeline begins is asked for by the host, which reads the place and makes it durable; here
/// it is checked that a word that needs a place has one, and no other word.
fn check_position(settings: &Settings) -> Result<(), Failure> {
    const KEY: &str = "kinesis.position";
    const TIME: &str = "kinesis.position.timestamp";
    const NUMBERS: &str = "kinesis.position.sequence.numbers";
    const WORDS: [(&str, Option<&str>); 5] = [
        ("TRIM_HORIZON", None),
        ("LATEST", None),
        ("AT_TIMESTAMP", Some(TIME)),
        ("AT_SEQUENCE_NUMBER", Some(NUMBERS)),
        ("AFTER_SEQUENCE_NUMBER", Some(NUMBERS)),
    ];
    let needs = settings.choice(KEY, &WORDS, None)?;
    for (place, form) in [
        (TIME, "milliseconds since 1970, or a time such as 2026-01-31T00:00:00Z"),
        (NUMBERS, r#"a map such as {"shardId-000000000000": "4967…"} that names every shard"#),
    ] {
        if needs == Some(place) && settings.text(place).is_none() {
            return Err(settings.invalid(KEY, &format!("it needs {place}: {form}")));
        }
        if needs != Some(place) && settings.text(place).is_some() {
            let words = WORDS.iter().filter(|(_, needs)| *needs == Some(place));
            let words: Vec<_> = words.map(|(word, _)| *word).collect();
            let text = format!("it means nothing without {KEY}={}", words.join(" or "));
            return Err(settings.invalid(place, &text));
        }
    }
    Ok(())
}

fn warnings(settings: &Settings, on_invalid: OnInvalid) -> Vec<String> {
    let mut warnings = Vec::new();
    match on_invalid {
        OnInvalid::Error => {}
        OnInvalid::Earliest => warnings.push(
            "on.invalid.offset=earliest: records that expire before they are read are lost \
             without an error, and those of a stream that was created again may come twice"
                .to_owned(),
        ),
        OnInvalid::Latest => warnings.push(
            "on.invalid.offset=latest: when an offset can not be used, all records up to the end \
             of its shard are lost without an error"
                .to_owned(),
        ),
    }
    for key in ["kinesis.endpoint", "aws.sts.endpoint"] {
        if settings.text(key).is_some_and(|url| url.starts_with("http://")) {
            warnings.push(format!("{key} is not encrypted (http)"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests;
