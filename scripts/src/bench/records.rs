//! Test data: numbered JSON records of a given size, and the topics that hold them.
//!
//! May touch: `kcat`, Kafka's own client, a file. Invariant: record `n` is the same bytes wherever
//! it is written.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::kafka::Client;

/// Partitions of each topic.
pub(super) const PARTITIONS: u32 = 4;

/// A set of records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records {
    pub(crate) topic: &'static str,
    pub(crate) count: u32,
    pub(crate) bytes: usize,
}

impl Records {
    /// Record `n`: JSON of exactly `bytes` bytes, without a character that any format escapes.
    pub(crate) fn write(&self, n: u32, line: &mut Vec<u8>) -> Result<()> {
        line.clear();
        // Ten digits, none of them a leading zero.
        let number = u64::from(n) + 1_000_000_000;
        write!(line, r#"{{"n":{number},"user":"user-{:05}","pad":""#, n % 20_011)?;
        let end = self.bytes.saturating_sub(2);
        let mut letter = n;
        while line.len() < end {
            letter = letter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            line.push(b'a' + u8::try_from((letter >> 24) % 26).unwrap_or(0));
        }
        line.extend_from_slice(b"\"}");
        Ok(())
    }

    /// Makes the topic of the usual partitions anew and fills it.
    pub(super) fn produce(&self, bootstrap: &str) -> Result<()> {
        self.produce_to(bootstrap, PARTITIONS)
    }

    /// Makes the topic anew and fills it.
    pub(super) fn produce_to(&self, bootstrap: &str, partitions: u32) -> Result<()> {
        let mut client = Client::start(bootstrap)?;
        // There is none on a broker of our own.
        client.call(&format!("topic-delete {}", self.topic)).ok();
        client.call(&format!("topic-create {} partitions={partitions}", self.topic))?;
        let mut kcat = Command::new("kcat");
        kcat.args(["-P", "-b", bootstrap, "-t", self.topic, "-X", "linger.ms=20"]);
        kcat.args(["-X", "batch.size=262144", "-X", "queue.buffering.max.messages=500000"]);
        let mut child = kcat
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start kcat: run ./scripts/install --real")?;
        let input = child.stdin.take().context("kcat has no stdin")?;
        let mut input = BufWriter::with_capacity(1 << 18, input);
        let mut line = Vec::with_capacity(self.bytes + 1);
        for n in 0..self.count {
            self.write(n, &mut line)?;
            line.push(b'\n');
            input.write_all(&line).context("write to kcat")?;
        }
        drop(input.into_inner().context("write to kcat")?);
        let status = child.wait().context("wait for kcat")?;
        let there = client.call(&format!("count {}", self.topic))?;
        let there = there.get("count").and_then(serde_json::Value::as_u64);
        if !status.success() || there != Some(self.count.into()) {
            bail!("kcat ended with {status}; topic {} has {there:?} records", self.topic);
        }
        Ok(())
    }

    /// Removes the topic.
    pub(super) fn remove(&self, bootstrap: &str) -> Result<()> {
        Client::start(bootstrap)?.call(&format!("topic-delete {}", self.topic))?;
        Ok(())
    }

    /// The rows that these records become, as lines of topic, id and record between tabs.
    pub(super) fn write_rows(&self, path: &Path) -> Result<()> {
        let file =
            std::fs::File::create(path).with_context(|| format!("create {}", path.display()))?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        let mut line = Vec::with_capacity(self.bytes);
        for n in 0..self.count {
            self.write(n, &mut line)?;
            let (offset, partition) = (n / PARTITIONS, n % PARTITIONS);
            let topic = self.topic;
            write!(out, "{topic}\t{{\"offset\":{offset},\"partition\":{partition}}}\t")?;
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
        out.flush().context("write rows")
    }
}
