//! Packets of the MySQL protocol on a socket: a length, a number, a payload.
//!
//! May touch: the client's socket. Invariants: memory grows with the bytes that came, never with a length that
//! was announced; nothing is waited for without end; bytes that are no packet end the connection.
//!
//! Source: the chapter "MySQL Packets" of MySQL's protocol documentation.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Longest payload of one packet; a longer one goes on in the next.
pub(super) const PACKET_BYTES_MAX: usize = 0xff_ffff;

/// How long the bytes of a packet that has begun may stay away. Why 30 s: a client that is alive sends them
/// at once.
const PACKET_WAIT: Duration = Duration::from_secs(30);

/// How long a client may read nothing at all. Why 60 s: it holds a result of the database open meanwhile.
const WRITE_WAIT: Duration = Duration::from_secs(60);

/// How long a client may take to read the answer to one command, from its first packet on. Why 1 hour: 36 GB at
/// 10 MB/s; until then SQLite's log cannot shrink, and a server keeps what was deleted meanwhile.
const ANSWER_WAIT: Duration = Duration::from_secs(3600);

/// Bytes that are read, and kept before they are written, at once.
const CHUNK: usize = 64 * 1024;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The client closed it, or was shut out.
    #[error("the client has closed the connection")]
    Closed,
    /// It is silent for too long.
    #[error("the client sent nothing for too long")]
    Silent,
    /// It reads too slowly.
    #[error("the client took more than {0:?} to read an answer")]
    Slow(Duration),
    /// It did not speak the protocol.
    #[error("{0}")]
    Protocol(&'static str),
    /// It sent more than is taken.
    #[error("a packet is larger than {0} bytes")]
    TooLarge(usize),
    /// The network.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// One client's socket.
pub(super) struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    /// Where in `input` the bytes begin that were not taken yet.
    at: usize,
    output: Vec<u8>,
    sequence: u8,
    /// How long an answer may take, and when the one that is being sent is to end.
    answer_wait: Duration,
    answer_until: Option<Instant>,
    /// When an answer has to be read by, whenever it began.
    answer_latest: Option<Instant>,
}

impl Wire {
    /// On a socket that was accepted.
    ///
    /// # Errors
    /// The system refuses its settings.
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: Vec::new(),
            at: 0,
            output: Vec::new(),
            sequence: 0,
            answer_wait: ANSWER_WAIT,
            answer_until: None,
            answer_latest: None,
        })
    }

    /// Has answers that are not read by then end the connection.
    pub(super) fn end_answers_at(&mut self, latest: Option<Instant>) {
        self.answer_latest = latest;
    }

    /// The next command of a client, which may take `idle` to come.
    ///
    /// # Errors
    /// See [`WireError`].
    pub(super) fn command(&mut self, idle: Duration, limit: usize) -> Result<Vec<u8>, WireError> {
        self.sequence = 0;
        self.answer_until = None;
        self.payload(Instant::now() + idle, limit)
    }

    /// The client's next packet in a conversation that is to end by `until`.
    ///
    /// # Errors
    /// See [`WireError`].
    pub(super) fn payload(&mut self, until: Instant, limit: usize) -> Result<Vec<u8>, WireError> {
        let mut payload = Vec::new();
        loop {
            let first = payload.is_empty();
            let header = self.take(4, until, first)?;
            let [a, b, c, sequence] = header.as_slice().try_into().unwrap_or([0; 4]);
            let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
            if sequence != self.sequence {
                return Err(WireError::Protocol("a packet is out of order"));
            }
            self.sequence = self.sequence.wrapping_add(1);
            if payload.len() + len > limit {
                return Err(WireError::TooLarge(limit));
            }
            let mut left = len;
            while left > 0 {
                let part = self.take(left.min(CHUNK), until, false)?;
                left -= part.len();
                payload.extend_from_slice(&part);
            }
            if len < PACKET_BYTES_MAX {
                return Ok(payload);
            }
        }
    }

    /// Exactly `count` bytes. Before the first one of a packet the client may take its time.
    fn take(
        &mut self,
        count: usize,
        until: Instant,
        mut may_wait: bool,
    ) -> Result<Vec<u8>, WireError> {
        while self.input.len() - self.at < count {
            may_wait &= self.input.len() == self.at;
            let left = until.saturating_duration_since(Instant::now());
            let wait = if may_wait { left } else { left.min(PACKET_WAIT) };
            if wait.is_zero() {
                return Err(WireError::Silent);
            }
            self.fill(wait)?;
        }
        let end = self.at + count;
        let taken = self.input.get(self.at..end).unwrap_or_default().to_vec();
        self.at = end;
        Ok(taken)
    }

    fn fill(&mut self, wait: Duration) -> Result<(), WireError> {
        self.input.drain(..self.at);
        self.at = 0;
        self.stream.set_read_timeout(Some(wait))?;
        let before = self.input.len();
        self.input.resize(before + CHUNK, 0);
        let read = self.stream.read(self.input.get_mut(before..).unwrap_or_default());
        self.input.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) if before == 0 => Err(WireError::Closed),
            Ok(0) => Err(WireError::Protocol("the connection ended inside a packet")),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if is_late(&error) => Err(WireError::Silent),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a packet, as soon as enough of them wait or [`Self::flush`] says so.
    ///
    /// # Errors
    /// The client does not read, or is gone.
    pub(super) fn send(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let mut rest = payload;
        loop {
            let (part, after) = rest.split_at(rest.len().min(PACKET_BYTES_MAX));
            // Less than 2^24, so that the fourth byte is free.
            let header = u32::try_from(part.len()).unwrap_or(0) | u32::from(self.sequence) << 24;
            self.sequence = self.sequence.wrapping_add(1);
            self.output.extend_from_slice(&header.to_le_bytes());
            self.output.extend_from_slice(part);
            if self.output.len() >= CHUNK {
                self.flush()?;
            }
            if part.len() < PACKET_BYTES_MAX {
                return Ok(());
            }
            rest = after;
        }
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The client does not read, or is gone.
    pub(super) fn flush(&mut self) -> Result<(), WireError> {
        let until = *self.answer_until.get_or_insert_with(|| Instant::now() + self.answer_wait);
        let until = self.answer_latest.map_or(until, |latest| until.min(latest));
        let done = self.write(until);
        self.output.clear();
        done
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "short writes are gone on with: the time is looked at between them"
    )]
    fn write(&mut self, until: Instant) -> Result<(), WireError> {
        let mut rest = self.output.as_slice();
        while !rest.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(WireError::Slow(self.answer_wait));
            }
            self.stream.set_write_timeout(Some(left.min(WRITE_WAIT)))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Of the two limits it may be the one on the whole.
                Err(error) if Instant::now() >= until && is_late(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The socket once more, to shut it from another thread.
    ///
    /// # Errors
    /// The system has no more handles.
    pub(super) fn handle(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Drop for Wire {
    fn drop(&mut self) {
        // A client that is gone already is no failure.
        drop(self.stream.shutdown(Shutdown::Both));
    }
}

#[cfg(test)]
mod tests;
