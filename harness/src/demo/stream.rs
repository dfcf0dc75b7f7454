//! The other side of the Kinesis demo: a program with a server and a producer inside, which this
//! starts, follows and ends (`harness/examples/kinesis_server.rs`).
//!
//! May touch: one child process and its pipes. Invariant: the child ends with this, because its
//! stdin does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use crate::cli::CliError;
use crate::exit::Exit;

/// The program's place beside this one, where a build puts it.
const BESIDE: &str = "examples/kinesis_server";

/// What a shard was given.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Filled {
    /// Records.
    pub(super) records: u64,
    /// The sequence number of the last one.
    pub(super) last: String,
}

/// What the child says.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Said {
    /// It serves.
    Ready {
        /// Where.
        endpoint: String,
        /// The stream that it made.
        stream: String,
    },
    /// A shard was split in two.
    Split {
        /// Which.
        shard: String,
        /// After how many records.
        records: u64,
    },
    /// Everything was put.
    Done {
        /// Records that the server took.
        records: u64,
        /// By shard.
        shards: BTreeMap<String, Filled>,
    },
}

/// A stream and its producer.
#[derive(Debug)]
pub(super) struct Stream {
    child: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    /// Where it is.
    pub(super) endpoint: String,
    /// Its name.
    pub(super) name: String,
}

impl Stream {
    /// Starts the server and waits until it serves.
    pub(super) fn start(rows: u64, shards: u32) -> Result<Self, CliError> {
        let program = program()?;
        let mut command = Command::new(&program);
        command.arg(rows.to_string()).arg(shards.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for the demo, which drains first.
        command.process_group(0);
        let failed = |error: &dyn std::fmt::Display| {
            let text = format!("start the Kinesis server {}: {error}", program.display());
            CliError::other(Exit::Resource, text)
        };
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&"it has no pipes"));
        };
        let mut stream = Self {
            child,
            input: Some(input),
            lines: BufReader::new(output),
            endpoint: String::new(),
            name: String::new(),
        };
        match stream.listen()? {
            Said::Ready { endpoint, stream: name } => {
                (stream.endpoint, stream.name) = (endpoint, name);
                Ok(stream)
            }
            other => Err(failed(&format!("it said {other:?} first"))),
        }
    }

    /// Has the producer begin.
    pub(super) fn go(&mut self) -> Result<(), CliError> {
        let told = self.input.as_mut().map(|input| input.write_all(b"go\n"));
        match told {
            Some(Ok(())) => Ok(()),
            _ => Err(gone()),
        }
    }

    /// The next thing that it says.
    pub(super) fn listen(&mut self) -> Result<Said, CliError> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(count) if count > 0 => serde_json::from_str(&line).map_err(|error| {
                let text = format!("the Kinesis server said what is not understood: {error}");
                CliError::other(Exit::Internal, text)
            }),
            _ => Err(gone()),
        }
    }

    /// What ends the child when it is dropped, for whoever has to end it while another listens.
    pub(super) fn take_end(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may have ended; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn gone() -> CliError {
    CliError::other(Exit::Internal, "the Kinesis server ended; its own words are above")
}

fn program() -> Result<PathBuf, CliError> {
    let own = std::env::current_exe()
        .map_err(|error| CliError::other(Exit::Resource, format!("find this program: {error}")))?;
    let program = own.parent().unwrap_or_else(|| Path::new(".")).join(BESIDE);
    if program.is_file() {
        return Ok(program);
    }
    let text = format!(
        "no Kinesis server at {}: ./scripts/demo kinesis builds it, or: cargo build --release -p \
         harness --bins --example kinesis_server",
        program.display()
    );
    Err(CliError::other(Exit::Usage, text))
}
