//! Kafka Connect in standalone mode, which reads a topic and throws the records away.
//!
//! May touch: `java`, a folder. Invariant: what is cheapest for Connect is measured: texts are not
//! parsed, nothing is written, and the start of the JVM does not count.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use super::read::Cost;
use crate::cache::{self, Cache};

/// From the start of the JVM to the last record. Why: ten times what it takes on two busy cores.
const PATIENCE: Duration = Duration::from_secs(180);

/// Bytes of what it prints: one line of three numbers.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Reads `records` of a topic once.
pub(super) fn read(folder: &Path, kafka: &str, topic: &str, records: u32) -> Result<Cost> {
    let cache = Cache::from_env()?;
    let (libs, sink) = (cache.connect_class_path()?, cache.connect_sink()?);
    let offsets = folder.join("connect.offsets");
    let worker = folder.join("worker.properties");
    let text = format!(
        "bootstrap.servers={kafka}\n\
         listeners=http://127.0.0.1:0\n\
         plugin.discovery=only_scan\n\
         offset.storage.file.filename={}\n\
         key.converter=org.apache.kafka.connect.storage.StringConverter\n\
         value.converter=org.apache.kafka.connect.storage.StringConverter\n",
        offsets.display()
    );
    std::fs::write(&worker, text).context("write worker.properties")?;
    let connector = folder.join("connector.properties");
    // A group of its own each time, so that it starts at the first record.
    let text = format!(
        "name=discard-{}\nconnector.class=DiscardSink\ntasks.max=1\ntopics={topic}\ncount={records}\n",
        std::process::id()
    );
    std::fs::write(&connector, text).context("write connector.properties")?;
    let mut java = Command::new(cache::java_program("java"));
    java.args(["-Xmx1g", "-XX:-UsePerfData", "-Ds2x.log.level=ERROR"]);
    java.arg(cache::joined("-Dlog4j2.configurationFile=", cache.kafka_logging()?.as_os_str()));
    java.arg("-cp").arg(format!("{}:{libs}", sink.display()));
    java.arg("org.apache.kafka.connect.cli.ConnectStandalone").arg(&worker).arg(&connector);
    java.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Ended(java.spawn().context("start java")?);
    let text = child.answer()?;
    let told: Value = serde_json::from_str(&text).context("read what Connect tells")?;
    let number = |key: &str| told.get(key).and_then(Value::as_f64);
    if number("rows") != Some(records.into()) {
        bail!("Connect read {:?} of {records} records", told.get("rows"));
    }
    let (seconds, cpu) = number("seconds").zip(number("cpu_seconds")).context("no seconds told")?;
    Ok(Cost { seconds, cpu_seconds: cpu, peak_mebibytes: 0.0 })
}

/// A child that does not outlive this.
struct Ended(Child);

impl Ended {
    /// The first line that it prints, without waiting forever.
    fn answer(&mut self) -> Result<String> {
        use std::os::fd::AsFd;
        let mut output = self.0.stdout.take().context("Connect has no stdout")?;
        let wait = PollTimeout::try_from(PATIENCE).context("wait for Connect")?;
        let begun = Instant::now();
        let mut ready = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, wait).context("wait for Connect")? == 0 {
            bail!("Kafka Connect did not end within {:?}", begun.elapsed());
        }
        let mut text = String::new();
        output.by_ref().take(ANSWER_BYTES_MAX).read_to_string(&mut text).context("read Connect")?;
        Ok(text)
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
