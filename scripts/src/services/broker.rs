//! Apache Kafka's own broker: its settings, its first format, its command line.
//!
//! May touch: the service's folder and `java`. Invariant: both listeners, the broker's and the
//! controller's, are bound to 127.0.0.1.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Service;
use crate::cache::{self, Cache};

/// Why: small enough for a laptop that compiles meanwhile, enough for 8 MiB records.
const HEAP: &str = "-Xmx512m";

/// Settings that do not depend on ports or folders.
const FIXED: &str = "\
process.roles=broker,controller
node.id=1
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
# Nothing may come to be by being asked for.
auto.create.topics.enable=false
delete.topic.enable=true
num.partitions=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# Test records carry old timestamps; only a topic that asks for it loses them.
log.retention.ms=-1
log.retention.bytes=-1
# Compaction, retention and deletion are looked at often, for tests that wait for them.
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=1000
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=16777216
log.segment.delete.delay.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# A killed broker may register again only when its old session is over.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controlled.shutdown.enable=true
";

/// What must be installed.
pub(super) fn programs() -> Vec<PathBuf> {
    let java = ["java", "javac"].map(cache::java_program);
    java.into_iter().chain([PathBuf::from("mvn"), PathBuf::from("setsid")]).collect()
}

/// Writes the settings, formats the data folder the first time, and says what to run.
pub(super) fn prepare(cache: &Cache, folder: &Path, service: &Service) -> Result<Command> {
    let settings = folder.join("server.properties");
    let text = settings_text(folder, service)?;
    fs::write(&settings, text).with_context(|| format!("write {}", settings.display()))?;
    // The codecs unpack their native parts there; a killed broker leaves them behind.
    let scratch = folder.join("tmp");
    cache::remove_folder(&scratch)?;
    fs::create_dir(&scratch).with_context(|| format!("create {}", scratch.display()))?;
    let java = || -> Result<Command> {
        let mut java = Command::new(cache::java_program("java"));
        java.args([HEAP, "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true"]);
        java.arg(cache::joined("-Djava.io.tmpdir=", scratch.as_os_str()));
        java.arg(cache::joined("-Dlog4j2.configurationFile=", cache.kafka_logging()?.as_os_str()));
        java.args(["-Ds2x.log.level=INFO", "-cp", &cache.kafka_class_path()?]);
        java.current_dir(folder);
        Ok(java)
    };
    if !folder.join("data/meta.properties").is_file() {
        let mut format = java()?;
        format.args([
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            "s2x-test-cluster-00000",
        ]);
        format.arg("--config").arg(&settings);
        cache::run(&mut format, "format Kafka's data folder")?;
    }
    let mut broker = java()?;
    broker.arg("kafka.Kafka").arg(&settings);
    Ok(broker)
}

fn settings_text(folder: &Path, service: &Service) -> Result<String> {
    let &[port, controller] = service.ports.as_slice() else {
        bail!("the state file does not name Kafka's two ports: run `cargo xtask services down`");
    };
    let data = folder.join("data");
    let shown = data.to_str().with_context(|| format!("{} is not UTF-8", data.display()))?;
    if shown.contains([',', '\\', '\n']) {
        bail!("folder {shown} has a ',' or '\\', which Kafka cannot take: give another --dir");
    }
    for line in &service.args {
        if !line.contains('=') || line.contains(['\n', '\r']) {
            bail!("Kafka setting `{}` is not KEY=VALUE", line.escape_debug());
        }
    }
    // A later line wins in a properties file, so the user's come last.
    Ok(format!(
        "{FIXED}\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         log.dirs={shown}\n\
         {}\n",
        with_ports(&service.args.join("\n"), port, controller)
    ))
}

/// `{port}` and `{controller}` in the user's settings stand for the two ports, so that more
/// listeners can be declared beside them.
fn with_ports(lines: &str, port: u16, controller: u16) -> String {
    lines.replace("{port}", &port.to_string()).replace("{controller}", &controller.to_string())
}

#[cfg(test)]
mod tests;
