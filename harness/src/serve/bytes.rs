//! Values inside packets: numbers with the lowest byte first, and lengths before text.
//!
//! Pure. Invariant: what is too short is an error, whatever it announces.

use super::wire::WireError;

const SHORT: WireError = WireError::Protocol("a packet is shorter than it says");

/// Takes values from a payload.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length or a count in one to nine bytes.
    pub(super) fn count(&mut self) -> Result<usize, WireError> {
        let number = match self.byte()? {
            small @ ..=250 => u64::from(small),
            252 => u64::from(self.u16()?),
            253 => {
                let [a, b, c] = self.array()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            254 => self.u64()?,
            251 | 255 => return Err(WireError::Protocol("a length is none")),
        };
        usize::try_from(number).map_err(|_| SHORT)
    }

    /// Bytes behind their length.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], WireError> {
        let count = self.count()?;
        self.take(count)
    }

    /// Bytes before a zero; all that is left where there is none.
    pub(super) fn terminated(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let (text, rest) = match end {
            Some(end) => (self.0.get(..end), self.0.get(end + 1..)),
            None => (Some(self.0), None),
        };
        self.0 = rest.unwrap_or_default();
        text.unwrap_or_default()
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Appends a length or a count.
pub(super) fn put_count(to: &mut Vec<u8>, number: u64) {
    let bytes = number.to_le_bytes();
    let (mark, len) = match number {
        0..=250 => (None, 1),
        251..=0xffff => (Some(252), 2),
        0x1_0000..=0xff_ffff => (Some(253), 3),
        _ => (Some(254), 8),
    };
    to.extend(mark);
    to.extend(bytes.iter().take(len));
}

/// Appends bytes behind their length.
pub(super) fn put_counted(to: &mut Vec<u8>, bytes: &[u8]) {
    put_count(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
