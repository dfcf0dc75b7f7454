//! Avro's long, string and bytes: written into a buffer, read from a slice with positions.

use thiserror::Error;

/// Longest zigzag varint of 64 bits.
const VARINT_LEN_MAX: usize = 10;

/// Bytes that are not the Avro that they should be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DatumError {
    /// The bytes end inside a value.
    #[error("bytes end at {at}, inside a value that needs {wanted} more")]
    End {
        /// Where the value begins to be read.
        at: usize,
        /// Bytes that are missing, at least.
        wanted: usize,
    },
    /// A varint that does not end within ten bytes.
    #[error("varint at byte {at} is longer than 64 bits")]
    Varint {
        /// Where it begins.
        at: usize,
    },
    /// A length or count below zero.
    #[error("negative length {length} at byte {at}")]
    Negative {
        /// Where it is.
        at: usize,
        /// The length.
        length: i64,
    },
    /// A string that is not UTF-8.
    #[error("string at byte {at} is not UTF-8")]
    Utf8 {
        /// Where it begins.
        at: usize,
    },
    /// A union branch that the schema does not have.
    #[error("union branch {branch} at byte {at} does not exist")]
    Branch {
        /// Where it is.
        at: usize,
        /// The branch.
        branch: i64,
    },
    /// A count over its limit.
    #[error("count {count} at byte {at} is over the limit {max}")]
    Count {
        /// Where it is.
        at: usize,
        /// The count.
        count: u64,
        /// The limit.
        max: u64,
    },
}

/// Appends a long as a zigzag varint.
pub fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    loop {
        let [low, ..] = (rest & 0x7f).to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a length or count.
pub fn put_len(out: &mut Vec<u8>, len: usize) {
    put_long(out, i64::try_from(len).unwrap_or(i64::MAX));
}

/// Appends bytes or a string: its length, then itself.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Reads values from a slice and never past its end.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Reads `bytes` from its start.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Takes the next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DatumError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..len) else {
            return Err(DatumError::End { at: self.at, wanted: len - rest.len() });
        };
        self.at += len;
        Ok(taken)
    }

    /// Takes a long.
    pub fn long(&mut self) -> Result<i64, DatumError> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let mut value = 0u64;
        for (index, byte) in rest.iter().take(VARINT_LEN_MAX).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == VARINT_LEN_MAX - 1 && bits > 1 {
                return Err(DatumError::Varint { at: start });
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.at = start + index + 1;
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        if rest.len() >= VARINT_LEN_MAX {
            return Err(DatumError::Varint { at: start });
        }
        Err(DatumError::End { at: start, wanted: 1 })
    }

    /// Takes a length or count that is at least 0 and at most `max`.
    pub fn count(&mut self, max: u64) -> Result<u64, DatumError> {
        let at = self.at;
        let length = self.long()?;
        let count = u64::try_from(length).map_err(|_| DatumError::Negative { at, length })?;
        if count > max {
            return Err(DatumError::Count { at, count, max });
        }
        Ok(count)
    }

    /// Takes bytes with their length in front.
    pub fn bytes(&mut self) -> Result<&'a [u8], DatumError> {
        let at = self.at;
        let length = self.long()?;
        let len = usize::try_from(length).map_err(|_| DatumError::Negative { at, length })?;
        self.take(len)
    }

    /// Takes a string.
    pub fn string(&mut self) -> Result<&'a str, DatumError> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| DatumError::Utf8 { at })
    }

    /// Takes the branch of a union `["null", T]`: whether there is a value.
    pub fn is_some(&mut self) -> Result<bool, DatumError> {
        let at = self.at;
        match self.long()? {
            0 => Ok(false),
            1 => Ok(true),
            branch => Err(DatumError::Branch { at, branch }),
        }
    }
}
