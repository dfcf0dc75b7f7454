//! The command line. It carries no configuration and no secret: everybody on the machine can read
//! it. Pure.

use std::ffi::OsString;

use lexopt::prelude::{Long, Short};
use tracing::Level;

use crate::log::parse_level;
use crate::pipe::Dumpable;

/// What the person or the host asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Serve the host on the two pipes.
    Serve(Options),
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// Options of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Level of log lines until HELLO names one.
    pub log_level: Level,
    /// See [`Dumpable`].
    pub dumpable: Dumpable,
}

/// Text of `--help`.
pub const HELP: &str = "\
extractor - reads records of a source for a database, over two pipes

A database (the host) starts this program with pipes on standard input and output and speaks the
s2x/1 protocol: see protocol/SPEC.md. It is not run by hand. To move a topic into a table, use

    harness run pipeline.json

Options:
    --pipeline NAME   ignored; shows in `ps` which pipeline this is
    --task N          ignored; shows in `ps` which task this is
    --log-level L     error, warn, info (default), debug or trace, until the host sets it
    --dumpable        let a debugger and /proc look into the process (it holds credentials)
    --version         print version and protocol
    --help            print this

Exit codes:
    0   stopped by the host, or the host is gone     71  out of memory or descriptors
    64  not started by a host, or bad arguments      75  may work later (network, time limit)
    65  offset or record that cannot be used         76  the host broke the protocol
    69  source does not exist or was re-created      77  credentials or permission refused
    70  a bug of the extractor                       78  configuration cannot work
";

/// Text of `--version`.
pub fn version() -> String {
    let protocol = protocol::message::PROTOCOL;
    format!("extractor {} (protocol s2x/{protocol})\n", env!("CARGO_PKG_VERSION"))
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// One line about the argument that is wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Call, String> {
    let mut options = Options { log_level: Level::INFO, dumpable: Dumpable::No };
    let mut parser = lexopt::Parser::from_args(args);
    let describe = |error: lexopt::Error| format!("{error}; see --help");
    while let Some(arg) = parser.next().map_err(describe)? {
        match arg {
            Long("help") | Short('h') => return Ok(Call::Help),
            Long("version") | Short('V') => return Ok(Call::Version),
            Long("dumpable") => options.dumpable = Dumpable::Yes,
            Long("pipeline" | "task") => {
                parser.value().map_err(describe)?;
            }
            Long("log-level") => {
                let word = parser.value().map_err(describe)?;
                let level = word.to_str().and_then(parse_level);
                options.log_level = level.ok_or_else(|| {
                    format!("--log-level {word:?} is none of error, warn, info, debug, trace")
                })?;
            }
            other => return Err(describe(other.unexpected())),
        }
    }
    Ok(Call::Serve(options))
}

#[cfg(test)]
mod tests;
