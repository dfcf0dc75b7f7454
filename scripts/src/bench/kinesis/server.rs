//! A server for the measurement, as a process of its own.
//!
//! May touch: one child process. Invariant: it ends with this.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Load;

/// The program with servers and plain loops, built beside the extractor's profile.
pub(super) fn program(extractor: &Path) -> PathBuf {
    extractor.parent().unwrap_or(extractor).join("examples/kinesis_speed")
}

/// See the file.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Where it is.
    pub(super) url: String,
}

impl Server {
    /// Starts it and waits until it holds its records.
    pub(super) fn start(program: &Path, load: Load) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg(load.server);
        for number in [load.bytes, load.records, load.shards, load.pages] {
            command.arg(number.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let mut server = Self { child, url: String::new() };
        let output = server.child.stdout.take().context("the server has no stdout")?;
        BufReader::new(output).read_line(&mut server.url).context("read the server's address")?;
        server.url.truncate(server.url.trim_end().len());
        if server.url.is_empty() {
            bail!("the server {} ended before it was ready", load.server);
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its stdin ends with the child's handle; this is for one that does not listen.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
