//! Prepared statements of a connection, and the values that a client binds to them.
//!
//! Pure. Invariants: how many there are and how many bytes wait for them is bounded; a packet is read to its
//! last byte or refused.

use std::collections::BTreeMap;

use super::bytes::Reader;
use super::fault::Fault;
use super::value::{self, Bound};
use super::wire::WireError;
use crate::sql::SCRIPT_BYTES_MAX;
use crate::store::kind;

/// Most statements of one connection. Why 1024: a driver that caches them keeps some hundred.
const STATEMENTS_MAX: usize = 1024;

/// Longest texts of all of them together, bytes. Why as much as one text: who has 64 connections full of them
/// takes 1 GiB.
const TEXT_BYTES_MAX: u64 = SCRIPT_BYTES_MAX;

/// A statement that was prepared.
pub(super) struct Prepared {
    pub(super) text: String,
    pub(super) params: u16,
    /// The types of the last values: a client that binds the same types again does not send them.
    types: Vec<(u8, bool)>,
    /// Values that were sent ahead in parts.
    long: BTreeMap<u16, Vec<u8>>,
}

/// The prepared statements of a connection.
#[derive(Default)]
pub(super) struct Statements {
    all: BTreeMap<u32, Prepared>,
    last: u32,
}

/// `EXECUTE` of a statement that does not exist.
fn unknown() -> Fault {
    Fault::new(1243, *b"HY000", "there is no prepared statement of this number")
}

impl Statements {
    /// Keeps one and answers its number.
    ///
    /// # Errors
    /// There are too many, they are too long together, or it has too many values.
    pub(super) fn add(&mut self, text: String, params: usize) -> Result<(u32, u16), Fault> {
        if self.all.len() >= STATEMENTS_MAX {
            let text = format!("this connection has {STATEMENTS_MAX} prepared statements already");
            return Err(Fault::new(1461, *b"42000", text));
        }
        let kept: usize = self.all.values().map(|it| it.text.len()).sum();
        if (kept + text.len()) as u64 > TEXT_BYTES_MAX {
            let text = format!(
                "the prepared statements of this connection would have more than {TEXT_BYTES_MAX} bytes \
                 together; close some, or send values as parameters"
            );
            return Err(Fault::new(1461, *b"42000", text));
        }
        let params = u16::try_from(params)
            .map_err(|_| Fault::new(1390, *b"HY000", "a statement has more than 65535 values"))?;
        self.last = self.last.wrapping_add(1);
        let prepared = Prepared { text, params, types: Vec::new(), long: BTreeMap::new() };
        self.all.insert(self.last, prepared);
        Ok((self.last, params))
    }

    /// Forgets one.
    pub(super) fn close(&mut self, payload: &[u8]) -> Result<(), WireError> {
        self.all.remove(&Reader::new(payload).u32()?);
        Ok(())
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Forgets what was sent ahead.
    pub(super) fn reset(&mut self, payload: &[u8]) -> Result<Result<(), Fault>, WireError> {
        let id = Reader::new(payload).u32()?;
        Ok(self.all.get_mut(&id).map(|it| it.long.clear()).ok_or_else(unknown))
    }

    /// Keeps a part of a value that comes ahead. It has no answer.
    pub(super) fn long_data(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(payload);
        let (id, place) = (reader.u32()?, reader.u16()?);
        let waiting: usize = self.all.values().flat_map(|it| it.long.values()).map(Vec::len).sum();
        let part = reader.rest();
        let Some(statement) = self.all.get_mut(&id) else { return Ok(()) };
        let limit = usize::try_from(SCRIPT_BYTES_MAX).unwrap_or(usize::MAX);
        if waiting + part.len() > limit {
            return Err(WireError::TooLarge(limit));
        }
        if place < statement.params {
            statement.long.entry(place).or_default().extend_from_slice(part);
        }
        Ok(())
    }

    /// The statement that is to be executed, and its values.
    ///
    /// # Errors
    /// The packet is not whole. The inner one: there is no such statement.
    pub(super) fn execute(
        &mut self,
        payload: &[u8],
    ) -> Result<Result<(String, Vec<Bound>), Fault>, WireError> {
        let mut reader = Reader::new(payload);
        let id = reader.u32()?;
        // How a cursor is wanted, which may be had without one; and a count that is always 1.
        reader.take(1 + 4)?;
        let Some(statement) = self.all.get_mut(&id) else { return Ok(Err(unknown())) };
        let values = statement.values(&mut reader)?;
        statement.long.clear();
        Ok(Ok((statement.text.clone(), values)))
    }
}

impl Prepared {
    fn values(&mut self, reader: &mut Reader<'_>) -> Result<Vec<Bound>, WireError> {
        let count = usize::from(self.params);
        if count == 0 {
            return Ok(Vec::new());
        }
        let nulls = reader.take(count.div_ceil(8))?;
        if reader.byte()? == 1 {
            let types = reader.take(2 * count)?;
            let pairs = types.chunks_exact(2);
            self.types =
                pairs.filter_map(|it| Some((*it.first()?, it.last()? & 0x80 != 0))).collect();
        }
        if self.types.len() != count {
            return Err(WireError::Protocol("values of a prepared statement have no types"));
        }
        let mut values = Vec::with_capacity(count);
        for (place, (kind, is_unsigned)) in self.types.iter().enumerate() {
            let is_null = nulls.get(place / 8).is_some_and(|byte| byte & (1 << (place % 8)) != 0);
            let long = u16::try_from(place).ok().and_then(|place| self.long.get(&place));
            values.push(match long {
                Some(bytes) => Bound::of_bytes(*kind, bytes),
                None if is_null || *kind == kind::NULL => Bound::Null,
                None => value::bound(reader, *kind, *is_unsigned)?,
            });
        }
        if !reader.is_empty() {
            return Err(WireError::Protocol("bytes follow the values of a prepared statement"));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests;
