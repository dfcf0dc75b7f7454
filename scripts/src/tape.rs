//! `cargo xtask tape`: a Kafka broker that plays the same record batches again and again, so fast
//! that it never is what limits a reader.
//!
//! May touch: one listener on 127.0.0.1 and its connections. Invariants: batches are built once,
//! with checksums; only their base offset, which no checksum covers, is set when they are sent;
//! every partition has as many records as was asked for, then ends.

use std::io::{BufReader, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::Records;

mod roll;
mod wire;

use roll::Roll;
use wire::{Fetch, Head, In, Out};

/// Bytes of one request. Why 1 MiB: a Fetch of ten thousand partitions is smaller.
const REQUEST_BYTES_MAX: u32 = 1 << 20;

/// How long an answer without records is held back at most, whatever the reader allows.
const HOLD_MAX: Duration = Duration::from_millis(500);

/// Connections at the same time. Why 64: a reader makes three.
const CONNECTIONS_MAX: usize = 64;

/// What a broker plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Play {
    /// Partitions of the topic.
    pub partitions: u32,
    /// Records in all partitions together; rounded up to whole batches.
    pub records: u32,
    /// Bytes of each value.
    pub bytes: usize,
}

/// Runs what `args` ask for; tells the address through `print`, and ends when stdin does.
pub fn run(args: &[String], print: fn(&str) -> Result<ExitCode>) -> Result<ExitCode> {
    let (address, records) = listen(Play::parse(args)?)?;
    print(&format!("{address} {records}\n"))?;
    // Whoever started it holds the other end.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).context("read stdin")?;
    Ok(ExitCode::SUCCESS)
}

/// Plays on a thread of this process until it ends; returns the address and how many records there
/// are in all partitions together.
pub fn listen(play: Play) -> Result<(SocketAddr, u64)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on 127.0.0.1")?;
    let address = listener.local_addr().context("read the address")?;
    let roll = Roll::build(play)?;
    let records = roll.end().cast_unsigned() * u64::from(play.partitions);
    thread::spawn(move || serve(&listener, &Arc::new(roll), address));
    Ok((address, records))
}

impl Play {
    fn parse(args: &[String]) -> Result<Self> {
        let mut play = Self { partitions: 4, records: 1_000_000, bytes: 100 };
        for pair in args.chunks(2) {
            let [flag, value] = pair else { bail!("tape: {pair:?} needs a value") };
            let number: u32 =
                value.parse().with_context(|| format!("tape: {flag} {value} is no number"))?;
            match flag.as_str() {
                "--partitions" if (1..=10_000).contains(&number) => play.partitions = number,
                "--records" if number > 0 => play.records = number,
                "--bytes" if (64..=1 << 20).contains(&number) => play.bytes = number as usize,
                _ => bail!("tape takes no `{flag} {value}`: see `cargo xtask help`"),
            }
        }
        Ok(play)
    }
}

/// A broker in a process of its own, which ends with this value.
#[derive(Debug)]
pub struct Tape {
    child: Child,
    /// `HOST:PORT`.
    pub address: String,
    /// Records in all partitions together.
    pub records: u32,
}

impl Tape {
    /// The one topic that it has.
    pub const TOPIC: &'static str = "tape";

    /// Starts one with this very program.
    pub fn start(play: Play) -> Result<Self> {
        let program: PathBuf = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.arg("tape");
        for (flag, value) in [
            ("--partitions", u64::from(play.partitions)),
            ("--records", play.records.into()),
            ("--bytes", play.bytes as u64),
        ] {
            command.args([flag, &value.to_string()]);
        }
        Self::with(&mut command)
    }

    fn with(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("start the tape broker")?;
        let mut line = String::new();
        let output = child.stdout.take().context("the tape broker has no stdout")?;
        std::io::BufRead::read_line(&mut BufReader::new(output), &mut line)
            .context("read from the tape broker")?;
        let told = line.trim().split_once(' ').and_then(|(address, records)| {
            Some((address.to_owned(), records.parse::<u32>().ok()?))
        });
        let (address, records) = told.context("the tape broker told no address")?;
        Ok(Self { child, address, records })
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        // It ends with its input too; it holds nothing that must be saved.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn serve(listener: &TcpListener, roll: &Arc<Roll>, address: SocketAddr) {
    let open = Arc::new(());
    for stream in listener.incoming().flatten() {
        if Arc::strong_count(&open) > CONNECTIONS_MAX {
            continue;
        }
        let (roll, open) = (Arc::clone(roll), Arc::clone(&open));
        thread::spawn(move || {
            // A reader that hangs up ends its connection and nothing else.
            Connection { stream, roll: Roll::clone(&roll), address }.run().ok();
            drop(open);
        });
    }
}

/// One reader, with a roll of its own whose base offsets are set as it reads.
struct Connection {
    stream: TcpStream,
    roll: Roll,
    address: SocketAddr,
}

impl Connection {
    fn run(mut self) -> Result<()> {
        self.stream.set_nodelay(true)?;
        let mut request = Vec::new();
        loop {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length);
            if length > REQUEST_BYTES_MAX {
                bail!("a request of {length} bytes");
            }
            request.resize(length as usize, 0);
            self.stream.read_exact(&mut request)?;
            let mut body = In::new(&request);
            let head = Head::read(&mut body)?;
            match head.key {
                wire::FETCH => self.fetch(&head, &Fetch::read(&mut body)?)?,
                wire::METADATA => {
                    let answer = wire::metadata(self.address, self.roll.partitions());
                    self.answer(&head, answer)?;
                }
                wire::LIST_OFFSETS => {
                    let answer = wire::list_offsets(&mut body, self.roll.end())?;
                    self.answer(&head, answer)?;
                }
                wire::API_VERSIONS => self.answer(&head, wire::api_versions(head.version))?,
                other => bail!("no answer to requests of kind {other}"),
            }
        }
    }

    fn answer(&mut self, head: &Head, body: Out) -> Result<()> {
        let bytes = body.with_head(head)?;
        self.stream.write_all(&bytes).context("answer")
    }

    /// Answers with whole batches, at least one for a partition that has some.
    fn fetch(&mut self, head: &Head, fetch: &Fetch) -> Result<()> {
        let mut left = fetch.bytes_max;
        let mut runs = Vec::with_capacity(fetch.parts.len());
        for part in &fetch.parts {
            let room = part.bytes_max.min(left);
            let run = if left == 0 && !runs.is_empty() {
                self.roll.nothing()
            } else {
                self.roll.run(part.offset, room)
            };
            left = left.saturating_sub(run.bytes);
            runs.push(run);
        }
        if runs.iter().all(|run| run.bytes == 0) {
            thread::sleep(fetch.wait_max.min(HOLD_MAX));
        }
        let records: usize = runs.iter().map(|run| run.bytes).sum();
        let mut before = wire::fetch_start(head, fetch, records)?;
        for (part, run) in fetch.parts.iter().zip(&runs) {
            wire::fetch_part(&mut before, part.partition, self.roll.end(), run.bytes)?;
            self.roll.stamp(run);
            for piece in self.roll.pieces(run) {
                write_both(&mut self.stream, &before.bytes, piece)?;
                before.bytes.clear();
            }
        }
        self.stream.write_all(&before.bytes).context("answer a fetch")
    }
}

/// Writes two slices, in one call where the system takes both.
fn write_both(stream: &mut TcpStream, first: &[u8], second: &[u8]) -> Result<()> {
    let mut slices = [IoSlice::new(first), IoSlice::new(second)];
    let mut rest: &mut [IoSlice<'_>] = &mut slices;
    while !rest.is_empty() {
        let count = stream.write_vectored(rest).context("answer a fetch")?;
        if count == 0 {
            bail!("the reader takes nothing");
        }
        IoSlice::advance_slices(&mut rest, count);
    }
    Ok(())
}

/// One value as all benchmarks write it.
fn value(number: u32, bytes: usize, line: &mut Vec<u8>) -> Result<()> {
    Records { topic: Tape::TOPIC, count: number, bytes }.write(number, line)
}

#[cfg(test)]
mod tests;
