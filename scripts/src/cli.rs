//! The command line of `cargo xtask`.
//!
//! May touch: stdout for results, stderr for progress. Invariant: every error is one line that says
//! what to do; a word that is not understood is one.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::services::{Extra, Name, Services};
use crate::{bench, cache, check, kafka, tape, tidy};

const USAGE: &str = "\
usage: cargo xtask check  formatting, lints and tidy: what must hold before tests run
       cargo xtask tidy   the house rules that no compiler checks, each with file and line
       cargo xtask bench [--quick] [--readme] [--gate] [--json FILE] [--bytes N]
                          [--partitions N] [--extractor PATH] [--harness PATH] [all]
                          [kafka] [kinesis] [start] [stall] [idle] [read] [canned] [real]
                          [load]
                          what binaries built by ./scripts/bench cost; table and JSON file
       cargo xtask tape [--partitions N] [--records N] [--bytes N]
                          a broker that plays canned records to readers until stdin ends
       cargo xtask services COMMAND [--dir DIR]
         up [kafka] [mariadb] [kinesis] [--kafka-arg KEY=VALUE]... [--mariadb-arg --OPTION]...
                          bring up (default: all) and wait until they answer
         down             stop all and remove their data (logs are kept)
         status           what runs where
         env              shell lines with KAFKA_BOOTSTRAP, MARIADB_URL, KINESIS_ENDPOINT,
                          S2X_SERVICES_DIR
         start NAME       again, at the same port with the same data
         stop NAME        cleanly
         restart NAME     stop, then start
         kill NAME        SIGKILL
       cargo xtask kafka [--dir DIR] [--bootstrap HOST:PORT] [COMMAND ... [-- COMMAND ...]]
                          test data with Kafka's own client; commands on stdin when none is given
                          (listed at the head of scripts/kafka/TxnProducer.java)
DIR is S2X_SERVICES_DIR or target/services; what is fetched once is in S2X_CACHE or
target/services-cache.
";

/// Runs one command line, without the program's name.
pub fn run(args: &[String]) -> Result<ExitCode> {
    match args.split_first() {
        Some((first, rest)) if first == "services" => services(rest),
        Some((first, rest)) if first == "kafka" => client(rest),
        Some((first, [])) if first == "check" => check::run(&cache::workspace_root()?, say),
        Some((first, [])) if first == "tidy" => tidy(),
        Some((first, rest)) if first == "tape" => tape::run(rest, print),
        Some((first, rest)) if first == "bench" => bench::run(rest, say, print),
        Some((first, [word, ..])) if first == "check" || first == "tidy" => {
            bail!("{first} takes no `{word}`: see `cargo xtask help`")
        }
        Some((first, _)) if first == "help" || first == "--help" || first == "-h" => print(USAGE),
        Some((first, _)) => bail!("no command `{first}`: see `cargo xtask help`"),
        None => {
            print(USAGE)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What was typed after `services`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Typed {
    dir: Option<PathBuf>,
    words: Vec<String>,
    extra: Extra,
}

impl Typed {
    fn parse(args: &[String]) -> Result<Self> {
        let mut typed = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let (flag, joined) = match arg.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
                _ => (arg.as_str(), None),
            };
            if !flag.starts_with('-') {
                typed.words.push(arg.clone());
                continue;
            }
            if !matches!(flag, "--dir" | "--kafka-arg" | "--mariadb-arg") {
                bail!("no option `{flag}`: see `cargo xtask help`");
            }
            let value = joined.or_else(|| rest.next().cloned());
            let value = value.with_context(|| format!("option {flag} needs a value"))?;
            match flag {
                "--dir" => typed.dir = Some(PathBuf::from(value)),
                "--kafka-arg" => typed.extra.kafka.push(value),
                _ => typed.extra.mariadb.push(value),
            }
        }
        Ok(typed)
    }
}

fn services(args: &[String]) -> Result<ExitCode> {
    let typed = Typed::parse(args)?;
    let words: Vec<&str> = typed.words.iter().map(String::as_str).collect();
    let (&command, names) = words.split_first().context("no command: see `cargo xtask help`")?;
    let names: Vec<Name> = names.iter().map(|name| name.parse()).collect::<Result<_>>()?;
    let services = Services::open(typed.dir.as_deref())?.telling(say);
    if command != "up" && typed.extra != Extra::default() {
        bail!("--kafka-arg and --mariadb-arg go with `services up`");
    }
    match (command, names.as_slice()) {
        ("up", []) => services.up(&Name::ALL, &typed.extra)?,
        ("up", names) => services.up(names, &typed.extra)?,
        ("down", []) => services.down()?,
        ("status", []) => return status(&services),
        ("env", []) => return env(&services),
        ("start", &[name]) => services.start(name)?,
        ("stop", &[name]) => services.stop(name)?,
        ("restart", &[name]) => services.restart(name)?,
        ("kill", &[name]) => services.kill(name)?,
        ("start" | "stop" | "restart" | "kill", _) => {
            bail!("services {command} takes one name: kafka, mariadb or kinesis")
        }
        ("down" | "status" | "env", _) => bail!("services {command} takes no name"),
        _ => bail!("no command `services {command}`: see `cargo xtask help`"),
    }
    if command == "up" { status(&services) } else { Ok(ExitCode::SUCCESS) }
}

fn status(services: &Services) -> Result<ExitCode> {
    let folder = services.folder();
    let state = services.state()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?.as_secs();
    let mut lines = Vec::new();
    for (name, service) in &state.services {
        let what = match service.running() {
            Some(process) => {
                let seconds = now.saturating_sub(service.started_at);
                let ready = service.ready_ms.map_or_else(
                    || "not answering yet".to_owned(),
                    |ms| format!("answered after {ms} ms"),
                );
                format!("running, pid {}, for {seconds} s, {ready}", process.pid)
            }
            None if service.process.is_some() => "not running: ended without `stop`".to_owned(),
            None => "stopped".to_owned(),
        };
        let port = service.port()?;
        let log = folder.log(*name);
        lines.push(format!("{name:8} 127.0.0.1:{port} {what}, log {}\n", log.display()));
    }
    if lines.is_empty() {
        lines.push(format!("nothing is up in {}\n", folder.path().display()));
    }
    print(&lines.concat())
}

fn env(services: &Services) -> Result<ExitCode> {
    let lines: Vec<String> = services
        .variables()?
        .iter()
        .map(|(name, value)| format!("export {name}={}\n", quoted(value)))
        .collect();
    print(&lines.concat())
}

/// As one word of a shell.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_+=:,./-".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

fn client(args: &[String]) -> Result<ExitCode> {
    let mut dir = None;
    let mut bootstrap = None;
    let mut rest = args;
    while let [flag, value, tail @ ..] = rest {
        match flag.as_str() {
            "--dir" => dir = Some(PathBuf::from(value)),
            "--bootstrap" => bootstrap = Some(value.clone()),
            _ => break,
        }
        rest = tail;
    }
    let bootstrap = match (bootstrap, &dir, std::env::var("KAFKA_BOOTSTRAP")) {
        (Some(given), _, _) => given,
        (None, None, Ok(given)) if !given.is_empty() => given,
        _ => Services::open(dir.as_deref())?.kafka_bootstrap()?,
    };
    let mut java = kafka::command(&Cache::from_env()?.telling(say), &bootstrap)?;
    // Becomes the client, so that signals and the exit code are the client's own.
    Err(java.args(rest).exec()).context("start java: run ./scripts/install --real")
}

fn tidy() -> Result<ExitCode> {
    let found = tidy::check(&cache::workspace_root()?)?;
    let lines: Vec<String> = found.iter().map(|finding| format!("{finding}\n")).collect();
    print(&lines.concat())?;
    if found.is_empty() {
        say("tidy");
        return Ok(ExitCode::SUCCESS);
    }
    bail!("{} places are not tidy: each line above says what to do", found.len());
}

fn say(line: &str) {
    // Progress that nobody can read is no reason to fail.
    writeln!(std::io::stderr(), "xtask: {line}").ok();
}

fn print(text: &str) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to stdout")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
