//! The settings table of the Kinesis source: the documented keys, and those of the older connector
//! with their defaults and ranges. Pure; it connects to nothing.
//!
//! No text of this file holds a secret: credentials are kept in a type that prints nothing.

use std::fmt;
use std::time::Duration;

use protocol::Failure;
use regex_lite::{Regex, RegexBuilder};

use crate::config::{Settings, Unknown};

/// The older connector, whose defaults for pauses and page size are kept for its class name.
const OLDER_CLASS: &str = "com.github.jcustenborder.kafka.connect.kinesis.KinesisSourceConnector";

/// Values of `connector.class` that mean this source.
pub const CLASSES: [&str; 3] =
    ["kinesis", "com.singlestore.kafka.connect.kinesis.KinesisSourceConnector", OLDER_CLASS];

/// Every key that this source reads, for the listing of unknown ones.
pub const KEYS: [&str; 26] = [
    "aws.access.key.id",
    "aws.profile",
    "aws.secret.access.key",
    "aws.secret.key.id",
    "aws.session.token",
    "aws.use.default.chain",
    "connector.class",
    "kafka.topic",
    "kinesis.connect.timeout.ms",
    "kinesis.deaggregate",
    "kinesis.dualstack",
    "kinesis.empty.records.backoff.ms",
    "kinesis.endpoint",
    "kinesis.fips",
    "kinesis.memory.bytes",
    "kinesis.position",
    "kinesis.quiet.pin.ms",
    "kinesis.read.mode",
    "kinesis.record.limit",
    "kinesis.region",
    "kinesis.request.timeout.ms",
    "kinesis.shard.id",
    "kinesis.shards.refresh.ms",
    "kinesis.stream",
    "kinesis.throughput.exceeded.backoff.ms",
    "on.invalid.offset",
];

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

/// How requests are signed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A key pair that the pipeline names.
    Static {
        /// `aws.access.key.id`.
        id: String,
        /// `aws.secret.access.key`.
        secret: String,
        /// `aws.session.token`.
        token: Option<String>,
    },
    /// A profile of the machine's AWS files.
    Profile(String),
    /// What the machine offers: environment, files, container, instance.
    Chain,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { .. } => f.write_str("Static(***)"),
            Self::Profile(name) => write!(f, "Profile({name})"),
            Self::Chain => f.write_str("Chain"),
        }
    }
}

/// The settings of one Kinesis pipeline.
#[derive(Clone, Debug)]
pub struct KinesisSettings {
    /// The stream.
    pub stream: String,
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
    /// How requests are signed.
    pub credentials: Credentials,
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
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

impl KinesisSettings {
    /// Reads the table.
    ///
    /// # Errors
    /// The first value that cannot be used, with `detail.pointer`.
    pub fn read(settings: &Settings) -> Result<Self, Failure> {
        let stream = stream(settings)?;
        let older = settings.text("connector.class") == Some(OLDER_CLASS);
        let millis = |key: &str, range, default| -> Result<Duration, Failure> {
            Ok(Duration::from_millis(settings.number(key, range, default)?))
        };
        // The older connector read 500 records at a time to bound its memory; bytes bound ours.
        let limit_default = if older { 500 } else { RECORD_LIMIT_MAX };
        let limit = settings.number("kinesis.record.limit", 1..=RECORD_LIMIT_MAX, limit_default)?;
        let idle_default = if older { 5_000 } else { 1_000 };
        let modes = [("polling", ()), ("poll", ())];
        settings.choice("kinesis.read.mode", &modes, ())?;
        if settings.flag("kinesis.deaggregate", false)? {
            let text = "this build passes aggregated records on as they are";
            return Err(settings.invalid("kinesis.deaggregate", text));
        }
        let policies = [
            ("error", OnInvalid::Error),
            ("earliest", OnInvalid::Earliest),
            ("latest", OnInvalid::Latest),
        ];
        let on_invalid = settings.choice("on.invalid.offset", &policies, OnInvalid::Error)?;
        check_position(settings)?;
        Ok(Self {
            topic: settings.text("kafka.topic").unwrap_or(&stream).to_owned(),
            stream,
            region: region(settings)?,
            endpoint: endpoint(settings)?,
            fips: settings.flag("kinesis.fips", false)?,
            dualstack: settings.flag("kinesis.dualstack", false)?,
            credentials: credentials(settings)?,
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
            warnings: warnings(settings, on_invalid),
        })
    }

    /// Keys that nothing reads.
    pub fn unknown(settings: &Settings) -> Vec<Unknown> {
        let known: Vec<&str> = KEYS.iter().chain(&COMMON_KEYS).copied().collect();
        settings.unknown(&known, &[])
    }

    /// Whether a shard is to be read.
    pub fn wants(&self, shard: &str) -> bool {
        self.shards.as_ref().is_none_or(|pattern| pattern.is_match(shard))
    }
}

fn stream(settings: &Settings) -> Result<String, Failure> {
    const KEY: &str = "kinesis.stream";
    let stream = settings.text(KEY).ok_or_else(|| Settings::missing(KEY, "names the stream"))?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=128).contains(&stream.len()) || !stream.bytes().all(legal) {
        let text = "a stream name has 1 to 128 letters, digits, dots, underscores and hyphens";
        return Err(settings.invalid(KEY, text));
    }
    Ok(stream.to_owned())
}

/// Reads `us-east-1` or `US_EAST_1`; the default is that of the older connector.
fn region(settings: &Settings) -> Result<String, Failure> {
    const KEY: &str = "kinesis.region";
    let text = settings.text(KEY).unwrap_or("us-east-1");
    let region = text.to_ascii_lowercase().replace('_', "-");
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let parts = region.split('-').filter(|part| !part.is_empty()).count();
    if region.len() > 32 || parts < 3 || !region.bytes().all(legal) {
        return Err(settings.invalid(KEY, "allowed: a region, as us-east-1 or US_EAST_1"));
    }
    Ok(region)
}

fn endpoint(settings: &Settings) -> Result<Option<String>, Failure> {
    const KEY: &str = "kinesis.endpoint";
    let Some(text) = settings.text(KEY) else { return Ok(None) };
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if host.is_empty() || text.contains(char::is_whitespace) || host.contains('@') {
        return Err(settings.invalid(KEY, "allowed: http://HOST:PORT or https://HOST:PORT"));
    }
    for key in ["kinesis.fips", "kinesis.dualstack"] {
        if settings.flag(key, false)? {
            return Err(settings.invalid(key, "kinesis.endpoint names the endpoint already"));
        }
    }
    Ok(Some(text.to_owned()))
}

fn credentials(settings: &Settings) -> Result<Credentials, Failure> {
    let id = settings.text("aws.access.key.id");
    let secret = settings.text_of_any(&["aws.secret.access.key", "aws.secret.key.id"])?;
    let token = settings.text("aws.session.token");
    let profile = settings.text("aws.profile");
    let chain = settings.flag("aws.use.default.chain", false)?;
    match (id, secret) {
        (Some(id), Some((_, secret))) => {
            if profile.is_some() {
                return Err(settings.invalid("aws.profile", "aws.access.key.id is set too"));
            }
            let (id, secret) = (id.to_owned(), secret.to_owned());
            Ok(Credentials::Static { id, secret, token: token.map(ToOwned::to_owned) })
        }
        (Some(_), None) => {
            Err(Settings::missing("aws.secret.access.key", "aws.access.key.id needs it"))
        }
        (None, Some((key, _))) => {
            Err(Settings::missing("aws.access.key.id", &format!("{key} needs it")))
        }
        (None, None) if token.is_some() => {
            Err(Settings::missing("aws.access.key.id", "aws.session.token needs it"))
        }
        (None, None) => match profile {
            Some(name) => Ok(Credentials::Profile(name.to_owned())),
            None if chain => Ok(Credentials::Chain),
            None => {
                let what = "give aws.access.key.id and aws.secret.access.key, or aws.profile, or \
                            aws.use.default.chain=true to use what the machine offers";
                Err(Settings::missing("aws.access.key.id", what))
            }
        },
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

/// Where a pipeline begins is asked for by the host, which makes it durable; the key is checked.
fn check_position(settings: &Settings) -> Result<(), Failure> {
    const KEY: &str = "kinesis.position";
    const WORDS: [(&str, bool); 5] = [
        ("TRIM_HORIZON", true),
        ("LATEST", true),
        ("AT_TIMESTAMP", false),
        ("AT_SEQUENCE_NUMBER", false),
        ("AFTER_SEQUENCE_NUMBER", false),
    ];
    if settings.choice(KEY, &WORDS, true)? {
        return Ok(());
    }
    let text = "it needs a place that this key can not hold: start at a timestamp, or set the \
                offset of each shard";
    Err(settings.invalid(KEY, text))
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
    let plain = settings.text("kinesis.endpoint").is_some_and(|url| url.starts_with("http://"));
    if plain {
        warnings.push("kinesis.endpoint is not encrypted (http)".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests;
