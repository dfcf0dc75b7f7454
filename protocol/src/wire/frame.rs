//! Frames out of a byte stream, and into one. A decoder never resynchronises: the first damaged
//! frame ends the session, because on a pipe only a bug damages frames.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::header::{FLAGS_CRITICAL, HEADER_VERSION, Head, MAGIC, RawHeader};
use super::kind::{Direction, Kind, is_ancillary};
use crate::error::Code;
use crate::limits::{
    CONTROL_FRAME_BYTES_MAX, DATA_FRAME_BYTES_MAX, HEADER_LEN, LOG_FRAME_BYTES_MAX, PING_BYTES_MAX,
};

/// Bytes of a bad frame that an error keeps for the person who reads it.
const SEEN_MAX: usize = 64;

/// Why a byte stream is not a stream of frames.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The bytes do not start with the magic: something else wrote to the pipe.
    #[error("frame {seq} does not start with the magic \"S2XF\"")]
    BadMagic {
        /// Number of the frame.
        seq: u32,
        /// What came instead, at most 64 bytes.
        seen: Vec<u8>,
    },
    /// A header layout that this version does not know.
    #[error("frame {seq} has header version {version}, this side knows {HEADER_VERSION}")]
    HeaderVersion {
        /// Number of the frame.
        seq: u32,
        /// The version byte.
        version: u8,
    },
    /// A frame of the other direction: the peer echoes, or the pipe is crossed.
    #[error("frame {seq} has type 0x{kind:02x}, which only the other side may send")]
    Direction {
        /// Number of the frame.
        seq: u32,
        /// The type byte.
        kind: u8,
    },
    /// The length is over the limit for this type.
    #[error("frame {seq} of type 0x{kind:02x} has {length} bytes, the limit is {max}")]
    TooLarge {
        /// Number of the frame.
        seq: u32,
        /// The type byte.
        kind: u8,
        /// Payload bytes that the header promises.
        length: u32,
        /// The limit.
        max: u32,
    },
    /// A frame is missing or repeated.
    #[error("frame number {found} came where {expected} was due")]
    BadSeq {
        /// Number that was due.
        expected: u32,
        /// Number that came.
        found: u32,
    },
    /// The checksum does not match.
    #[error("checksum of frame {seq} is {found:08x}, computed {computed:08x}")]
    BadCrc {
        /// Number of the frame.
        seq: u32,
        /// As the header says.
        found: u32,
        /// As computed.
        computed: u32,
    },
    /// A critical flag or an essential type that this version does not know.
    #[error("frame {seq} has type 0x{kind:02x} and flags 0x{flags:04x}, which are not supported")]
    Unsupported {
        /// Number of the frame.
        seq: u32,
        /// The type byte.
        kind: u8,
        /// The flags.
        flags: u16,
    },
    /// The stream ended inside a frame.
    #[error("stream ended inside frame {seq}: {missing} bytes are missing")]
    Truncated {
        /// Number of the frame.
        seq: u32,
        /// Bytes that are missing, as far as the header tells.
        missing: usize,
    },
}

impl FrameError {
    /// The code that ERROR carries.
    pub const fn code(&self) -> Code {
        match self {
            Self::BadMagic { .. } => Code::BadMagic,
            Self::HeaderVersion { .. } | Self::Unsupported { .. } => Code::Unsupported,
            Self::Direction { .. } => Code::UnexpectedMessage,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::BadSeq { .. } => Code::BadSeq,
            Self::BadCrc { .. } => Code::BadCrc,
            Self::Truncated { .. } => Code::Truncated,
        }
    }
}

/// One whole, checked frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the sender said about it.
    pub head: Head,
    /// Its number in its direction.
    pub seq: u32,
    /// Its payload.
    pub payload: Bytes,
}

/// Cuts frames out of a growing buffer.
#[derive(Debug)]
pub struct FrameDecoder {
    peer: Direction,
    next_seq: u32,
    data_max: u32,
}

impl FrameDecoder {
    /// A decoder for what `peer` sends.
    pub const fn new(peer: Direction) -> Self {
        Self { peer, next_seq: 0, data_max: DATA_FRAME_BYTES_MAX }
    }

    /// Applies the limit for data frames that HELLO agreed on.
    pub fn limit_data(&mut self, bytes: u32) {
        self.data_max = bytes.min(DATA_FRAME_BYTES_MAX);
    }

    /// Takes one frame off the front of `buf`; `None` means "read more and call again".
    ///
    /// Once a header is in, the room for its payload is reserved, so that the next read can fill
    /// it. Unknown ancillary frames are checked and skipped.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        loop {
            let Some(header) = self.header(buf)? else { return Ok(None) };
            let whole = HEADER_LEN + header.length as usize;
            let Some(bytes) = buf.get(HEADER_LEN..whole) else {
                buf.reserve(whole - buf.len());
                return Ok(None);
            };
            let covered = buf.get(..HEADER_LEN - 4).unwrap_or_default();
            let computed = RawHeader::checksum(covered, crc32c::crc32c(bytes), header.length);
            let seq = header.seq;
            if computed != header.crc {
                return Err(FrameError::BadCrc { seq, found: header.crc, computed });
            }
            let payload = buf.split_to(whole).freeze().slice(HEADER_LEN..);
            self.next_seq = seq.wrapping_add(1);
            let critical = header.flags & FLAGS_CRITICAL != 0;
            let Some(kind) = Kind::from_byte(header.kind).filter(|_| !critical) else {
                if is_ancillary(header.kind) && !critical {
                    continue;
                }
                let RawHeader { kind, flags, .. } = header;
                return Err(FrameError::Unsupported { seq, kind, flags });
            };
            let RawHeader { flags, epoch, part, reference, .. } = header;
            let head = Head { kind, flags, epoch, part, reference };
            return Ok(Some(Frame { head, seq, payload }));
        }
    }

    /// Expects this number next: for recordings that begin inside a session.
    pub const fn start_at(&mut self, seq: u32) {
        self.next_seq = seq;
    }

    /// Judges the end of the stream: fine between frames, an error inside one.
    pub fn end(&self, buf: &[u8]) -> Result<(), FrameError> {
        if buf.is_empty() {
            return Ok(());
        }
        let missing = match buf.first_chunk::<HEADER_LEN>() {
            Some(header) => HEADER_LEN + RawHeader::read(header).length as usize - buf.len(),
            None => HEADER_LEN - buf.len(),
        };
        Err(FrameError::Truncated { seq: self.next_seq, missing })
    }

    /// Reads and judges the header at the front of `buf`. Foreign bytes are told from the first
    /// one on: a program that prints a short text must not look like a slow peer.
    fn header(&self, buf: &[u8]) -> Result<Option<RawHeader>, FrameError> {
        let seq = self.next_seq;
        if buf.iter().zip(MAGIC).any(|(seen, magic)| *seen != magic) {
            let seen = buf.iter().copied().take(SEEN_MAX).collect();
            return Err(FrameError::BadMagic { seq, seen });
        }
        let Some(bytes) = buf.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let header = RawHeader::read(bytes);
        let RawHeader { version, kind, length, .. } = header;
        if version != HEADER_VERSION {
            return Err(FrameError::HeaderVersion { seq, version });
        }
        if Direction::of(kind) != self.peer {
            return Err(FrameError::Direction { seq, kind });
        }
        let max = self.limit(kind);
        if length > max {
            return Err(FrameError::TooLarge { seq, kind, length, max });
        }
        if header.seq != seq {
            return Err(FrameError::BadSeq { expected: seq, found: header.seq });
        }
        Ok(Some(header))
    }

    fn limit(&self, kind: u8) -> u32 {
        match Kind::from_byte(kind) {
            Some(kind) if kind.carries_data() => self.data_max,
            Some(Kind::Log) => LOG_FRAME_BYTES_MAX,
            Some(Kind::Ping | Kind::Pong) => PING_BYTES_MAX,
            _ => CONTROL_FRAME_BYTES_MAX,
        }
    }
}

/// Numbers frames and finishes their headers, in the order in which they are written.
#[derive(Debug, Default)]
pub struct FrameSealer {
    next_seq: u32,
}

impl FrameSealer {
    /// The number that the next frame gets.
    pub const fn next_seq(&self) -> u32 {
        self.next_seq
    }

    #[cfg(test)]
    pub(super) fn set_next(&mut self, seq: u32) {
        self.next_seq = seq;
    }

    /// The header for a payload of `length` bytes with checksum `payload_crc` (CRC-32C).
    pub fn seal(&mut self, head: &Head, length: u32, payload_crc: u32) -> [u8; HEADER_LEN] {
        let header = RawHeader {
            magic: MAGIC,
            version: HEADER_VERSION,
            kind: head.kind.byte(),
            flags: head.flags,
            epoch: head.epoch,
            part: head.part,
            seq: self.next_seq,
            reference: head.reference,
            length,
            crc: 0,
        };
        self.next_seq = self.next_seq.wrapping_add(1);
        header.seal(payload_crc)
    }

    /// Appends a whole frame to `out`.
    ///
    /// # Errors
    /// The payload is over the limit for its type; nothing was written and no number used.
    pub fn write(
        &mut self,
        head: &Head,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        let kind = head.kind.byte();
        let max = FrameDecoder::new(head.kind.direction()).limit(kind);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if length > max {
            return Err(FrameError::TooLarge { seq: self.next_seq, kind, length, max });
        }
        out.extend_from_slice(&self.seal(head, length, crc32c::crc32c(payload)));
        out.extend_from_slice(payload);
        Ok(())
    }
}
