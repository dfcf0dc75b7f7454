//! Packets of the MySQL protocol, from the server's side.
//!
//! May touch: one client's socket. Invariant: lengths are checked before memory is taken.
//!
//! Source: "MySQL Packets" and "Connection Phase" in MySQL's protocol documentation.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use super::Guest;

/// Largest payload of one packet.
const PACKET_MAX: usize = 0xff_ffff;

/// Largest statement that is taken; what `@@max_allowed_packet` says.
pub(super) const STATEMENT_MAX: usize = 64 << 20;

/// What this side can do: everything that the harness's client asks for but TLS and compression.
const OFFERED: u32 = 1 // long password
    | 1 << 2 // long flag
    | 1 << 3 // connect with a database
    | 1 << 7 // files of the client
    | 1 << 9 // protocol 4.1
    | 1 << 13 // transactions
    | 1 << 15 // secure connection
    | 1 << 16 // several statements
    | 1 << 17 // several results
    | 1 << 19 // named methods of login
    | 1 << 20 // attributes
    | 1 << 21; // long proofs

/// Number of the collation `utf8mb4_general_ci`.
pub(super) const TEXT: u16 = 45;
/// Number of the collation of bytes.
pub(super) const BINARY: u16 = 63;

/// One column of an answer.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: u8,
    pub(super) character_set: u16,
    pub(super) flags: u16,
}

/// What an `OK` tells.
#[derive(Default)]
pub(super) struct Done {
    pub(super) affected: u64,
    pub(super) warnings: u16,
    pub(super) info: String,
    pub(super) in_transaction: bool,
}

/// A statement that was refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) text: String,
}

pub(super) fn refusal(code: u16, text: impl Into<String>) -> Refusal {
    Refusal { code, text: text.into() }
}

/// One client.
pub(super) struct Wire {
    stream: TcpStream,
    sequence: u8,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, sequence: 0 })
    }

    /// The next payload; nothing when the client has closed the connection.
    pub(super) fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; 4];
            match self.stream.read_exact(&mut header) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error).context("read a packet"),
            }
            let [a, b, c, sequence] = header;
            let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
            self.sequence = sequence.wrapping_add(1);
            if payload.len() + len > STATEMENT_MAX {
                bail!("a packet is larger than {STATEMENT_MAX} bytes");
            }
            let before = payload.len();
            payload.resize(before + len, 0);
            let part = payload.get_mut(before..).unwrap_or_default();
            self.stream.read_exact(part).context("read a payload")?;
            if len < PACKET_MAX {
                return Ok(Some(payload));
            }
        }
    }

    pub(super) fn write(&mut self, payload: &[u8]) -> Result<()> {
        let mut rest = payload;
        loop {
            let (part, after) = rest.split_at(rest.len().min(PACKET_MAX));
            let header = u32::try_from(part.len())? | u32::from(self.sequence) << 24;
            self.sequence = self.sequence.wrapping_add(1);
            self.stream.write_all(&header.to_le_bytes())?;
            self.stream.write_all(part)?;
            if part.len() < PACKET_MAX {
                return Ok(());
            }
            rest = after;
        }
    }

    /// Greets a client and lets it in, whatever its password.
    pub(super) fn welcome(&mut self, id: u32) -> Result<Option<(Guest, String)>> {
        let [low1, low2, high1, high2] = OFFERED.to_le_bytes();
        let mut greeting = vec![10];
        greeting.extend_from_slice(b"5.7.32\0");
        greeting.extend_from_slice(&id.to_le_bytes());
        greeting.extend_from_slice(b"saltsalt");
        greeting.extend_from_slice(&[0, low1, low2, 45, 2, 0, high1, high2, 21]);
        greeting.extend_from_slice(&[0; 10]);
        greeting.extend_from_slice(b"saltsaltsalt\0mysql_native_password\0");
        self.write(&greeting)?;
        let Some(answer) = self.read()? else { return Ok(None) };
        let mut reader = Reader(&answer);
        let can = u32::from_le_bytes(reader.array()?);
        // Largest packet, collation, reserved.
        reader.take(4 + 1 + 23)?;
        let user = reader.until_zero()?;
        let proof = reader.count()?;
        reader.take(proof)?;
        let database = if can & 1 << 3 == 0 { String::new() } else { reader.until_zero()? };
        if can & 1 << 19 != 0 {
            reader.until_zero()?;
        }
        let mut attributes = Vec::new();
        if can & 1 << 20 != 0 {
            let len = reader.count()?;
            let mut pairs = Reader(reader.take(len)?);
            while !pairs.0.is_empty() {
                attributes.push((pairs.counted()?, pairs.counted()?));
            }
        }
        self.ok(&Done::default())?;
        Ok(Some((Guest { user, attributes }, database)))
    }

    pub(super) fn ok(&mut self, done: &Done) -> Result<()> {
        let mut packet = vec![0];
        put_count(&mut packet, done.affected);
        put_count(&mut packet, 0);
        let status = 2 | u16::from(done.in_transaction);
        packet.extend_from_slice(&status.to_le_bytes());
        packet.extend_from_slice(&done.warnings.to_le_bytes());
        if !done.info.is_empty() {
            put_counted(&mut packet, done.info.as_bytes());
        }
        self.write(&packet)
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) -> Result<()> {
        let mut packet = vec![0xff];
        packet.extend_from_slice(&refusal.code.to_le_bytes());
        packet.extend_from_slice(b"#HY000");
        packet.extend_from_slice(refusal.text.as_bytes());
        self.write(&packet)
    }

    /// Columns and rows; a value is its text, or nothing for NULL.
    pub(super) fn rows(&mut self, columns: &[Column], rows: &[Vec<Option<Vec<u8>>>]) -> Result<()> {
        let mut count = Vec::new();
        put_count(&mut count, columns.len() as u64);
        self.write(&count)?;
        for column in columns {
            let mut packet = Vec::new();
            for text in ["def", "", "", "", &column.name, &column.name] {
                put_counted(&mut packet, text.as_bytes());
            }
            packet.push(12);
            packet.extend_from_slice(&column.character_set.to_le_bytes());
            packet.extend_from_slice(&u32::MAX.to_le_bytes());
            packet.push(column.kind);
            packet.extend_from_slice(&column.flags.to_le_bytes());
            packet.extend_from_slice(&[0, 0, 0]);
            self.write(&packet)?;
        }
        const END: [u8; 5] = [0xfe, 0, 0, 2, 0];
        self.write(&END)?;
        for row in rows {
            let mut packet = Vec::new();
            for value in row {
                match value {
                    Some(bytes) => put_counted(&mut packet, bytes),
                    None => packet.push(0xfb),
                }
            }
            self.write(&packet)?;
        }
        self.write(&END)
    }
}

fn put_count(to: &mut Vec<u8>, count: u64) {
    match u8::try_from(count) {
        Ok(small) if small < 251 => to.push(small),
        _ => {
            to.push(254);
            to.extend_from_slice(&count.to_le_bytes());
        }
    }
}

fn put_counted(to: &mut Vec<u8>, bytes: &[u8]) {
    put_count(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("a packet is too short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn count(&mut self) -> Result<usize> {
        Ok(match self.array::<1>()? {
            [252] => u16::from_le_bytes(self.array()?).into(),
            [253] => {
                let [a, b, c] = self.array()?;
                usize::try_from(u32::from_le_bytes([a, b, c, 0]))?
            }
            [254] => usize::try_from(u64::from_le_bytes(self.array()?))?,
            [small] => small.into(),
        })
    }

    fn counted(&mut self) -> Result<String> {
        let len = self.count()?;
        Ok(String::from_utf8(self.take(len)?.to_vec())?)
    }

    fn until_zero(&mut self) -> Result<String> {
        let len = self.0.iter().position(|byte| *byte == 0).context("a text without its end")?;
        let text = String::from_utf8(self.take(len)?.to_vec())?;
        self.take(1)?;
        Ok(text)
    }
}
