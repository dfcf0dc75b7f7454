//! The 32 bytes before a payload.

use byteorder::{BigEndian, ByteOrder};

use super::checksum::combine;
use super::kind::Kind;
use crate::limits::HEADER_LEN;

/// First four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"S2XF";

/// Layout of the header.
pub const HEADER_VERSION: u8 = 1;

/// `part` and `ref` of a frame that concerns no split or answers no request.
pub const NONE: u32 = u32::MAX;

/// The payload holds secrets: it is never logged and never recorded.
pub const FLAG_SENSITIVE: u16 = 0x0001;

/// Flags that a receiver must know. A set bit that it does not know ends the session.
pub const FLAGS_CRITICAL: u16 = 0xff00;

/// What a sender says about a frame. Sequence number, length and checksum are the writer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the frame is.
    pub kind: Kind,
    /// See [`FLAG_SENSITIVE`].
    pub flags: u16,
    /// Low 32 bits of the assignment epoch; 0 before the first ASSIGN. Compared for equality only.
    pub epoch: u32,
    /// Index of the split in ASSIGN, or [`NONE`].
    pub part: u32,
    /// Sequence number of the request that this frame answers or concerns, or [`NONE`].
    pub reference: u32,
}

impl Head {
    /// A head without flags, split or reference.
    pub const fn new(kind: Kind, epoch: u32) -> Self {
        Self { kind, flags: 0, epoch, part: NONE, reference: NONE }
    }

    /// Names the request that the frame answers or concerns.
    #[must_use]
    pub const fn answers(mut self, reference: u32) -> Self {
        self.reference = reference;
        self
    }

    /// Names the split.
    #[must_use]
    pub const fn part(mut self, part: u32) -> Self {
        self.part = part;
        self
    }

    /// Marks the payload as secret.
    #[must_use]
    pub const fn sensitive(mut self) -> Self {
        self.flags |= FLAG_SENSITIVE;
        self
    }
}

/// A header as it was read: nothing is checked but its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawHeader {
    pub magic: [u8; 4],
    pub version: u8,
    pub kind: u8,
    pub flags: u16,
    pub epoch: u32,
    pub part: u32,
    pub seq: u32,
    pub reference: u32,
    pub length: u32,
    pub crc: u32,
}

impl RawHeader {
    pub(super) fn read(bytes: &[u8; HEADER_LEN]) -> Self {
        let [m0, m1, m2, m3, version, kind, rest @ ..] = bytes;
        let word = |at: usize| rest.get(at..).map_or(0, BigEndian::read_u32);
        Self {
            magic: [*m0, *m1, *m2, *m3],
            version: *version,
            kind: *kind,
            flags: BigEndian::read_u16(rest),
            epoch: word(2),
            part: word(6),
            seq: word(10),
            reference: word(14),
            length: word(18),
            crc: word(22),
        }
    }

    /// Writes the header with the checksum over itself and a payload whose checksum is given.
    pub(super) fn seal(&self, payload_crc: u32) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let (covered, crc_slot) = out.split_at_mut(HEADER_LEN - 4);
        let (start, words) = covered.split_at_mut(8);
        start.copy_from_slice(&[
            self.magic[0],
            self.magic[1],
            self.magic[2],
            self.magic[3],
            self.version,
            self.kind,
            self.flags.to_be_bytes()[0],
            self.flags.to_be_bytes()[1],
        ]);
        let values = [self.epoch, self.part, self.seq, self.reference, self.length];
        BigEndian::write_u32_into(&values, words);
        let crc = Self::checksum(covered, payload_crc, self.length);
        BigEndian::write_u32(crc_slot, crc);
        out
    }

    /// Checksum over the first 28 header bytes and a payload whose checksum is given.
    pub(super) fn checksum(covered: &[u8], payload_crc: u32, length: u32) -> u32 {
        combine(crc32c::crc32c(covered), payload_crc, length as usize)
    }
}
