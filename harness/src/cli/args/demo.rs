//! What may be typed for the demo.
//!
//! Touches nothing but arguments.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{StoreArgs, ViewArgs, options};

/// What the demo is asked for.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  harness demo\n  harness demo kinesis\n  harness demo --rows 5000000 --store sqlite:/tmp/demo.db\n  \
    harness demo --bootstrap 127.0.0.1:9092 --store mysql://root@127.0.0.1:3306/demo\n\n\
    Without --store and S2X_STORE it loads into sqlite:s2x-demo.db in the folder where it runs.\n\
    Without --bootstrap it starts a small Kafka broker inside this process, and for kinesis a server\n\
    that ./scripts/demo kinesis builds. It makes a topic and a table\n\
    of their own and removes nothing; run it again and the next ones are demo_2."
)]
pub(crate) struct DemoArgs {
    /// Where the records come from
    #[arg(value_enum, value_name = "SOURCE", default_value = "kafka")]
    pub(crate) source: DemoSource,
    /// Records to produce [default: 1000000, kinesis: 300000]
    #[arg(long, value_name = "N",
          value_parser = |text: &str| options::whole(text, 1, 1_000_000_000))]
    rows: Option<u64>,
    /// Partitions of the topic, or shards of the stream [default: 8, kinesis: 4]
    #[arg(long, visible_alias = "shards", value_name = "N", value_parser = options::partitions)]
    partitions: Option<u32>,
    /// Extractor processes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = options::in_range("tasks.max"))]
    pub(crate) tasks: u64,
    /// A Kafka broker that is there already, host:port; not with kinesis
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) bootstrap: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The program that reads the source
    #[arg(long, value_name = "PATH")]
    pub(crate) extractor: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

/// Where the demo's records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoSource {
    /// A topic
    Kafka,
    /// A stream, one of whose shards is split on the way
    Kinesis,
}

impl DemoArgs {
    /// Records to produce.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.unwrap_or(match self.source {
            DemoSource::Kafka => 1_000_000,
            // The server keeps them in memory.
            DemoSource::Kinesis => 300_000,
        })
    }

    /// Partitions or shards.
    pub(crate) fn partitions(&self) -> u32 {
        self.partitions.unwrap_or(match self.source {
            DemoSource::Kafka => 8,
            DemoSource::Kinesis => 4,
        })
    }
}
