//! The settings table of the Kafka source, and what becomes of `properties.*`. It may ask
//! librdkafka whether it knows a property; it connects to nothing.
//!
//! A property that the source owns can not be set past it: the error names the key to use instead.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use protocol::{Code, Failure};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use serde_json::{Map, Value};

use super::certificate::Authorities;
use super::formats::{self, Formats};
use super::memory::{MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX, MEMORY_BYTES_MIN, Memory, Readers};
use super::security::{self, Protocol, Security, Shows};
use super::spoof::Spoof;
use super::token::Tokens;
use super::topics::Selection;
use crate::config::{Settings, Unknown, is_secret_key};
use crate::decode::Decoder;

/// Values of `connector.class` that mean this source.
pub const CLASSES: [&str; 3] = [
    "kafka",
    "com.singlestore.kafka.connect.kafka.KafkaSourceConnector",
    "com.singlestore.kafka.KafkaSourceConnector",
];

/// Largest value of `topic.wait.ms`.
const TOPIC_WAIT_MS_MAX: u64 = 3_600_000;

/// Keys that this source reads, beside those of `security`; for the listing of unknown ones.
pub const KEYS: [&str; 17] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "connector.class",
    "consumer.batch",
    "isolation.level",
    "kafka.memory.bytes",
    "kafka.topic",
    "key.format",
    "name",
    "record.metadata",
    "spoof.dns",
    "tasks.max",
    "topic.wait.ms",
    "topics",
    "topics.regex",
    "value.format",
];

/// Keys with this prefix go to librdkafka.
pub const PROPERTY_PREFIX: &str = "properties.";

/// What to do when the records at the position are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGap {
    /// Stop with the numbers. The default: loss is chosen, never met by surprise.
    Error,
    /// Go on at the oldest record that is left.
    Earliest,
    /// Go on after the newest record.
    Latest,
}

/// The settings of one Kafka pipeline.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Where to find the brokers, as given.
    pub servers: String,
    /// The topics.
    pub topics: Selection,
    /// How keys and values are declared.
    pub decoder: Decoder,
    /// What makes JSON of those that are neither JSON nor text nor bytes.
    pub(super) formats: Formats,
    /// Bytes of memory for fetched records that wait to be encoded, all partitions together.
    pub memory_bytes: u64,
    /// Whether records are taken in batches by the small part of unsafe code.
    pub batch: bool,
    /// Among what the memory is divided; known once partitions are assigned.
    pub(super) readers: Readers,
    /// What to do when the records at the position are gone.
    pub on_gap: OnGap,
    /// How long a missing topic is waited for.
    pub topic_wait: Duration,
    /// Whether records of open and aborted transactions are delivered.
    pub read_uncommitted: bool,
    /// The name that brokers log.
    pub client_id: String,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
    properties: Properties,
    security: Security,
    spoof: Spoof,
    /// What all of it was read from.
    read_from: Settings,
}

/// Properties of librdkafka; their values may be secret.
#[derive(Clone, Default)]
struct Properties(BTreeMap<String, String>);

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl KafkaSettings {
    /// Reads the table.
    ///
    /// # Errors
    /// The first value that cannot be used, with `detail.pointer`.
    pub fn read(settings: &Settings) -> Result<Self, Failure> {
        let formats = Formats::read(settings)?;
        let security = Security::read(settings)?;
        let servers = servers(settings, security.protocol)?;
        let topics = Selection::read(settings)?;
        let decoder = formats.decoder(settings.flag("record.metadata", false)?);
        let bytes_range = MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX;
        let memory_bytes =
            settings.number("kafka.memory.bytes", bytes_range, MEMORY_BYTES_DEFAULT)?;
        let batch = settings.flag("consumer.batch", true)?;
        let spoof = Spoof::read(settings)?;
        if !batch && !spoof.is_empty() {
            return Err(settings.invalid("consumer.batch", "spoof.dns needs the batch consumer"));
        }
        let gaps =
            [("error", OnGap::Error), ("earliest", OnGap::Earliest), ("latest", OnGap::Latest)];
        let on_gap = settings.choice("auto.offset.reset", &gaps, OnGap::Error)?;
        let wait = settings.number("topic.wait.ms", 0..=TOPIC_WAIT_MS_MAX, 0)?;
        let levels = [("read_committed", false), ("read_uncommitted", true)];
        let read_uncommitted = settings.choice("isolation.level", &levels, false)?;
        let client_id = settings.text("client.id").unwrap_or("s2x-extractor").to_owned();
        let properties = properties(settings)?;
        let topic_wait = Duration::from_millis(wait);
        let mut warnings = warnings(on_gap, read_uncommitted, batch);
        warnings.extend(security.warnings.iter().cloned());
        warnings.extend(insecure(&properties));
        warnings.extend(formats.warnings());
        Ok(Self {
            servers,
            topics,
            decoder,
            formats,
            memory_bytes,
            batch,
            readers: Readers::default(),
            on_gap,
            topic_wait,
            read_uncommitted,
            client_id,
            warnings,
            properties: Properties(properties),
            security,
            spoof,
            read_from: settings.clone(),
        })
    }

    /// The same settings with other CREDENTIALS.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn with_credentials(&self, credentials: &Map<String, Value>) -> Result<Self, Failure> {
        let read = Self::read(&self.read_from.with_credentials(credentials)?)?;
        Ok(Self { readers: self.readers, ..read })
    }

    /// Brokers that are reached at another address than they advertise.
    pub(super) const fn spoof(&self) -> &Spoof {
        &self.spoof
    }

    /// Where tokens come from, where the login takes some.
    pub(super) const fn tokens(&self) -> Option<&Tokens> {
        self.security.tokens.as_ref()
    }

    /// Where the authorities of brokers' certificates stand.
    pub(super) fn authorities(&self) -> Authorities {
        self.security.authorities()
    }

    /// What the client shows to brokers over TLS.
    pub(super) const fn shows(&self) -> Shows {
        self.security.shows
    }

    /// Keys that nothing reads.
    pub fn unknown(settings: &Settings) -> Vec<Unknown> {
        let known: Vec<&str> = KEYS.into_iter().chain(security::KEYS).collect();
        let mut unknown = settings.unknown(&known, &[PROPERTY_PREFIX]);
        unknown.retain(|it| !formats::is_key(&it.key));
        unknown
    }

    /// How the memory is spent.
    pub(super) fn memory(&self) -> Memory {
        let memory = Memory::of(self.memory_bytes, self.readers);
        let asked = self.properties.0.get("fetch.max.bytes");
        asked.and_then(|text| text.trim().parse().ok()).map_or(memory, |it| memory.fetching(it))
    }

    /// The configuration of librdkafka: the user's properties first, then what this source owns.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let memory = self.memory();
        let defaults = [
            ("fetch.message.max.bytes", memory.fetch_bytes.to_string()),
            ("fetch.max.bytes", memory.fetch_bytes.to_string()),
            // For producers, but librdkafka wants it to be at most the one before.
            ("message.max.bytes", memory.fetch_bytes.min(1_000_000).to_string()),
            ("receive.message.max.bytes", memory.receive_bytes.to_string()),
            ("topic.metadata.refresh.interval.ms", "10000".to_owned()),
            // The end of a partition is told by an empty answer, which the broker holds this long.
            ("fetch.wait.max.ms", "200".to_owned()),
            // A topic that is gone is gone at once; the source itself looks more than once.
            ("topic.metadata.propagation.max.ms", "0".to_owned()),
            ("check.crcs", "true".to_owned()),
            ("enable.metrics.push", "false".to_owned()),
            ("socket.keepalive.enable", "true".to_owned()),
            // librdkafka begins no second connection within half of this, and the first one to a
            // broker follows at once on that to the address it was found at: with the default of
            // 100 ms every start waits 50. It grows twofold, to the limit below, from attempt to attempt.
            ("reconnect.backoff.ms", "22".to_owned()),
            ("reconnect.backoff.max.ms", "2000".to_owned()),
        ];
        for (key, value) in defaults {
            config.set(key, value);
        }
        for (key, value) in &self.properties.0 {
            config.set(key, value);
        }
        for (key, value) in self.security.properties() {
            config.set(*key, value);
        }
        let isolation = if self.read_uncommitted { "read_uncommitted" } else { "read_committed" };
        let owned = [
            ("bootstrap.servers", self.servers.clone()),
            ("client.id", self.client_id.clone()),
            ("isolation.level", isolation.to_owned()),
            // The default of 1000 ms stops the fetcher for a second whenever the queue was full.
            // Fetching rests this long whenever the queue is full: less than what it holds lasts. Of
            // records of 100 B it holds 8192, which are read in less than 2 ms; a rest of 2 ms cost a
            // fifth of the throughput.
            ("fetch.queue.backoff.ms", "1".to_owned()),
            ("queued.max.messages.kbytes", memory.queue_kbytes.to_string()),
            ("queued.min.messages", memory.queue_records.to_string()),
            ("enable.partition.eof", "true".to_owned()),
            ("enable.auto.commit", "false".to_owned()),
            ("enable.auto.offset.store", "false".to_owned()),
            ("auto.offset.reset", "error".to_owned()),
            ("allow.auto.create.topics", "false".to_owned()),
        ];
        for (key, value) in owned {
            config.set(key, value);
        }
        if !self.batch {
            // The safe consumer fetches nothing without a name; no group is joined under it.
            config.set("group.id", &self.client_id);
        }
        config
    }
}

fn servers(settings: &Settings, protocol: Protocol) -> Result<String, Failure> {
    let keys = ["bootstrap.servers", "properties.bootstrap.servers"];
    let what = "name at least one broker, for example broker1:9092,broker2:9092";
    let (key, text) =
        settings.text_of_any(&keys)?.ok_or_else(|| Settings::missing("bootstrap.servers", what))?;
    let servers: Vec<_> = text.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
    for server in &servers {
        let scheme = server.split_once("://");
        let name = protocol.name();
        if scheme.is_some_and(|(scheme, _)| !scheme.eq_ignore_ascii_case(name)) {
            let text = format!("security.protocol is {name}; both must say the same");
            return Err(settings.invalid(key, &text));
        }
        let address = scheme.map_or(*server, |(_, address)| address);
        let port = address.rsplit_once(':').map(|(_, port)| port);
        let bad_port =
            port.is_some_and(|port| port.parse::<u16>().is_err()) && !address.ends_with(']');
        if address.contains(char::is_whitespace) || bad_port {
            return Err(settings.invalid(key, "allowed: host:port, several separated by commas"));
        }
    }
    if servers.is_empty() {
        return Err(Settings::missing("bootstrap.servers", what));
    }
    Ok(servers.join(","))
}

/// Checks that a property switches off.
fn insecure(properties: &BTreeMap<String, String>) -> Option<String> {
    let value = properties.get("enable.ssl.certificate.verification")?;
    value.trim().eq_ignore_ascii_case("false").then(|| {
        "properties.enable.ssl.certificate.verification=false: the broker's certificate is not \
         checked; anybody can pose as the broker"
            .to_owned()
    })
}

fn warnings(on_gap: OnGap, read_uncommitted: bool, batch: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    match on_gap {
        OnGap::Error => {}
        OnGap::Earliest => warnings.push(
            "auto.offset.reset=earliest: records that expire before they are read are lost without an error"
                .to_owned(),
        ),
        OnGap::Latest => warnings.push(
            "auto.offset.reset=latest: when records expire before they are read, all records up to the end of the partition are lost without an error"
                .to_owned(),
        ),
    }
    if !batch {
        warnings.push(
            "consumer.batch=false: records are copied one by one, and offsets carry no leader epoch"
                .to_owned(),
        );
    }
    if read_uncommitted {
        warnings.push(
            "isolation.level=read_uncommitted: records of aborted transactions are loaded too"
                .to_owned(),
        );
    }
    warnings
}

/// Properties of librdkafka that this source sets or forbids, with what to use instead.
const OWNED: [(&str, &str); 24] = [
    ("allow.auto.create.topics", "the source never creates a topic"),
    ("auto.commit.enable", "offsets are kept by the database"),
    ("auto.commit.interval.ms", "offsets are kept by the database"),
    ("auto.offset.reset", "use auto.offset.reset without the prefix"),
    ("client.id", "use client.id without the prefix"),
    ("debug", "use the log level of the extractor"),
    ("enable.auto.commit", "offsets are kept by the database"),
    ("enable.auto.offset.store", "offsets are kept by the database"),
    ("enable.partition.eof", "the source needs it to know the end of a partition"),
    ("fetch.queue.backoff.ms", "the source sets it for throughput"),
    ("group.id", "partitions are assigned by the database; no consumer group is joined"),
    ("group.instance.id", "partitions are assigned by the database; no consumer group is joined"),
    ("group.protocol", "partitions are assigned by the database; no consumer group is joined"),
    ("group.remote.assignor", "partitions are assigned by the database"),
    ("isolation.level", "use isolation.level without the prefix"),
    ("log_level", "use the log level of the extractor"),
    ("metadata.broker.list", "use bootstrap.servers"),
    ("partition.assignment.strategy", "partitions are assigned by the database"),
    ("plugin.library.paths", "foreign code is never loaded"),
    ("queued.max.messages.kbytes", "use kafka.memory.bytes"),
    ("queued.min.messages", "use kafka.memory.bytes"),
    ("sasl.kerberos.kinit.cmd", "commands are never run"),
    ("statistics.interval.ms", "the source reports its own progress"),
    ("topic.blacklist", "use topics or topics.regex"),
];

/// Java client names with what librdkafka calls it.
const JAVA_ONLY: [(&str, &str); 7] = [
    ("auto.include.jmx.reporter", "nothing; there is no JVM"),
    ("default.api.timeout.ms", "properties.socket.timeout.ms"),
    ("fetch.max.wait.ms", "properties.fetch.wait.max.ms"),
    ("max.partition.fetch.bytes", "properties.fetch.message.max.bytes"),
    ("max.poll.records", "the batch size of the pipeline"),
    ("metadata.max.age.ms", "properties.topic.metadata.refresh.interval.ms"),
    ("request.timeout.ms", "properties.socket.timeout.ms"),
];

fn properties(settings: &Settings) -> Result<BTreeMap<String, String>, Failure> {
    let mut properties = BTreeMap::new();
    for (name, value) in settings.with_prefix(PROPERTY_PREFIX) {
        let key = format!("{PROPERTY_PREFIX}{name}");
        if name == "bootstrap.servers" {
            continue;
        }
        refuse_owned(settings, name, &key)?;
        check_known(settings, name, value, &key)?;
        properties.insert(name.to_owned(), value.to_owned());
    }
    Ok(properties)
}

fn refuse_owned(settings: &Settings, name: &str, key: &str) -> Result<(), Failure> {
    let find = |table: &[(&str, &'static str)]| {
        table.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
    };
    if security::KEYS.contains(&name) {
        return Err(settings.invalid(key, &format!("use {name} without the prefix")));
    }
    if let Some(instead) = find(&JAVA_ONLY).or_else(|| find(&security::JAVA_ONLY)) {
        let text = format!("a setting of the Java client; here it is {instead}");
        return Err(settings.invalid(key, &text));
    }
    if let Some(instead) = find(&OWNED) {
        return Err(settings.invalid(key, &format!("set by the extractor: {instead}")));
    }
    if name.ends_with("_cb") {
        return Err(settings.invalid(key, "callbacks cannot be set"));
    }
    Ok(())
}

/// Asks librdkafka itself, so that the list of known properties is the one of this build.
fn check_known(settings: &Settings, name: &str, value: &str, key: &str) -> Result<(), Failure> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, reason, _, _)) => {
            let reason = match reason.as_str() {
                _ if is_secret_key(key) => "librdkafka refuses the value".to_owned(),
                reason => format!("librdkafka says: {reason}"),
            };
            Err(settings.invalid(key, &reason))
        }
        Err(other) => Err(Failure::new(Code::Bug, format!("{key}: {other}"))),
    }
}

#[cfg(test)]
mod tests;
