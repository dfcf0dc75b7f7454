//! Test data made by Apache Kafka's own client (`scripts/kafka/TxnProducer.java`, whose head lists
//! the commands): topics, transactions, codecs, deleted records.
//!
//! May touch: `java` and its pipes. Invariant: one command, one answer, in order; an answer that
//! says no is an error here.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cache::{self, Cache};

/// Why: an answer lists a few numbers per transaction; 100,000 transactions stay below this.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// A running client. A start costs about a second, so tests keep one for many commands.
#[derive(Debug)]
pub struct Client {
    child: Child,
    // Absent only while it is being dropped.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// Starts a client of the broker at `bootstrap` (`HOST:PORT`).
    pub fn start(bootstrap: &str) -> Result<Self> {
        let mut command = command(&Cache::from_env()?, bootstrap)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("start java: {}", cache::INSTALL))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("take the client's stdout")?);
        Ok(Self { child, input, output })
    }

    /// Sends one command, as `txn orders pattern=c10,a5`, and returns its answer.
    pub fn call(&mut self, command: &str) -> Result<Value> {
        if command.contains(['\n', '\r']) || command.trim().is_empty() {
            bail!("a command is one line");
        }
        let input = self.input.as_mut().context("the client's stdin is closed")?;
        writeln!(input, "{command}").with_context(|| format!("send `{command}`"))?;
        let mut line = String::new();
        let mut limited = (&mut self.output).take(ANSWER_BYTES_MAX);
        limited.read_line(&mut line).with_context(|| format!("read the answer to `{command}`"))?;
        if !line.ends_with('\n') {
            bail!("the Kafka test-data client ended before it answered `{command}`");
        }
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("parse the answer to `{command}`"))?;
        if answer.get("ok") == Some(&Value::Bool(true)) {
            return Ok(answer);
        }
        let reason = answer.get("error").and_then(Value::as_str).unwrap_or("no reason given");
        bail!("`{command}` failed: {}", reason.replace('\n', " "));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // End of input ends it; transactions left open stay open, which is what tests want.
        drop(self.input.take());
        self.child.wait().ok();
    }
}

/// The client's command line up to its commands; without any it reads them from stdin.
pub fn command(cache: &Cache, bootstrap: &str) -> Result<Command> {
    let classes = cache.kafka_client()?;
    let mut java = Command::new(cache::java_program("java"));
    // It lives for seconds: quick to start matters more than quick in the end.
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx512m"]);
    java.arg(cache::joined("-Dlog4j2.configurationFile=", cache.kafka_logging()?.as_os_str()));
    java.args(["-Ds2x.log.level=ERROR", "-cp"]);
    let mut class_path = classes.into_os_string();
    class_path.push(":");
    class_path.push(cache.kafka_class_path()?);
    java.arg(class_path).arg("TxnProducer").arg(bootstrap);
    Ok(java)
}
