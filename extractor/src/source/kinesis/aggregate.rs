//! Records that a producer's library (KPL) packed into one record. Pure; nothing is copied.
//!
//! ```text
//! F3 89 9A C2 │ AggregatedRecord (protobuf) │ MD5 of the message
//!               1: partition keys (text)   2: explicit hash keys (text)
//!               3: records { 1: number of the key  2: number of the hash key  3: payload }
//! ```
//!
//! Invariant: a record is taken apart as a whole or not at all, and its bytes alone decide. The
//! format is that of `aggregation-format.md` of the KPL, and what is broken is passed on as it is.

use md5::{Digest, Md5};

/// The first bytes of a packed record.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// Their first 30 bits in base64.
const MAGIC_BASE64: &[u8] = b"84maw";

/// Bytes of the digest at the end.
const DIGEST_BYTES: usize = 16;

/// Entries of each of the two tables.
///
/// Why 2^19: a record of 10 MiB whose user records have 20 bytes each, all with keys of their own; it
/// bounds what hostile bytes can make us hold to 16 MiB: 8 MiB for each table, 16 bytes an entry.
const KEYS_MAX: usize = 1 << 19;

/// Why a record is not taken apart although it begins as a packed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

/// What the payload of a record is.
#[derive(Debug)]
pub(super) enum Packed<'a> {
    /// An ordinary payload.
    No,
    /// It begins as a packed one and is none.
    Broken(Broken),
    /// User records.
    Yes(Aggregate<'a>),
}

/// The user records of one record. All of it was checked.
#[derive(Debug)]
pub(super) struct Aggregate<'a> {
    message: &'a [u8],
    keys: Vec<&'a str>,
    hashes: Vec<&'a str>,
    /// How many user records there are.
    pub(super) count: u64,
}

/// One record as its producer wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserRecord<'a> {
    /// Its own partition key.
    pub(super) key: &'a str,
    /// Its explicit hash key, as decimal digits, if it was given one.
    pub(super) hash: Option<&'a str>,
    /// Its payload.
    pub(super) data: &'a [u8],
}

/// Which hash keys belong to a shard, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HashRange {
    first: u128,
    last: u128,
}

/// Whether a payload, in base64, may begin as a packed one: what does not look so is none, and the
/// payload itself decides about what does.
pub(super) fn looks_packed(base64: &[u8]) -> bool {
    base64.starts_with(MAGIC_BASE64)
}

/// Takes a payload apart.
pub(super) fn read(data: &[u8]) -> Packed<'_> {
    let Some(rest) = data.strip_prefix(MAGIC.as_slice()) else { return Packed::No };
    let Some((message, digest)) = rest.split_last_chunk::<DIGEST_BYTES>() else {
        return Packed::Broken(Broken("it is too short"));
    };
    if Md5::digest(message).as_slice() != digest {
        return Packed::Broken(Broken("its digest is wrong"));
    }
    match Aggregate::read(message) {
        Ok(aggregate) => Packed::Yes(aggregate),
        Err(broken) => Packed::Broken(broken),
    }
}

impl<'a> Aggregate<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Broken> {
        let (mut keys, mut hashes, mut count) = (Vec::new(), Vec::new(), 0);
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(text)) => add(&mut keys, text)?,
                (2, Value::Bytes(text)) => add(&mut hashes, text)?,
                (3, Value::Bytes(_)) => count += 1,
                (1..=3, _) => return Err(Broken("a field is of another type")),
                _ => {}
            }
        }
        let aggregate = Self { message, keys, hashes, count };
        for record in aggregate.records() {
            record?;
        }
        Ok(aggregate)
    }

    /// The user records in order.
    pub(super) fn records(&self) -> Records<'_, 'a> {
        Records { of: self, fields: Fields(self.message) }
    }

    /// How many user records have a hash key that does not belong to the shard. One that can not be
    /// read as a number counts as the shard's.
    pub(super) fn count_outside(&self, range: HashRange) -> u64 {
        let outside = |record: &UserRecord<'_>| record.hash_key().is_some_and(|it| !range.has(it));
        let records = self.records().filter_map(Result::ok);
        records.filter(outside).fold(0, |count, _| count + 1)
    }

    fn record(&self, message: &'a [u8]) -> Result<UserRecord<'a>, Broken> {
        let (mut key, mut hash, mut data) = (None, None, None);
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Number(index)) => key = Some(index),
                (2, Value::Number(index)) => hash = Some(index),
                (3, Value::Bytes(bytes)) => data = Some(bytes),
                (1..=3, _) => return Err(Broken("a field is of another type")),
                _ => {}
            }
        }
        let of = |table: &[&'a str], index: u64| {
            let index = usize::try_from(index).ok();
            let entry = index.and_then(|index| table.get(index)).copied();
            entry.ok_or(Broken("a record names a key that is not there"))
        };
        let key = of(&self.keys, key.ok_or(Broken("a record has no key"))?)?;
        let hash = hash.map(|index| of(&self.hashes, index)).transpose()?;
        let data = data.ok_or(Broken("a record has no payload"))?;
        Ok(UserRecord { key, hash, data })
    }
}

fn add<'a>(table: &mut Vec<&'a str>, text: &'a [u8]) -> Result<(), Broken> {
    if table.len() >= KEYS_MAX {
        return Err(Broken("it has too many keys"));
    }
    table.push(std::str::from_utf8(text).map_err(|_| Broken("a key is not UTF-8"))?);
    Ok(())
}

impl UserRecord<'_> {
    /// The number that places the record: its explicit hash key, or the MD5 of its partition key.
    fn hash_key(&self) -> Option<u128> {
        match self.hash {
            Some(digits) => digits.parse().ok(),
            None => Some(u128::from_be_bytes(Md5::digest(self.key).into())),
        }
    }
}

impl HashRange {
    /// Takes the two ends as the service gives them.
    pub(super) fn parse(first: &str, last: &str) -> Option<Self> {
        Some(Self { first: first.parse().ok()?, last: last.parse().ok()? })
    }

    /// Whether it holds all hash keys: then none is outside.
    pub(super) const fn is_everything(&self) -> bool {
        self.first == 0 && self.last == u128::MAX
    }

    fn has(self, hash: u128) -> bool {
        (self.first..=self.last).contains(&hash)
    }
}

/// See [`Aggregate::records`]. After [`read`], no item is an error.
#[derive(Debug)]
pub(super) struct Records<'b, 'a> {
    of: &'b Aggregate<'a>,
    fields: Fields<'a>,
}

impl<'a> Iterator for Records<'_, 'a> {
    type Item = Result<UserRecord<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.fields.next() {
                Ok(Some((3, Value::Bytes(message)))) => return Some(self.of.record(message)),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(broken) => {
                    self.fields = Fields(&[]);
                    return Some(Err(broken));
                }
            }
        }
    }
}

/// Fields of a protobuf message that are left to read.
#[derive(Clone, Copy, Debug)]
struct Fields<'a>(&'a [u8]);

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes, which no known field has.
    Fixed,
}

impl<'a> Fields<'a> {
    const CUT: Broken = Broken("its message is cut");

    /// Broken, or the end, or the next field with its number.
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Broken> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(usize::try_from(len).map_err(|_| Self::CUT)?)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Broken("a field has no type")),
        };
        match tag >> 3 {
            0 => Err(Broken("a field has no number")),
            number => Ok(Some((number, value))),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Self::CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of up to ten bytes, seven bits each, the lowest first.
    fn varint(&mut self) -> Result<u64, Broken> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let (&byte, rest) = self.0.split_first().ok_or(Self::CUT)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && bits > 1) {
                return Err(Broken("a number has more than 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
        }
    }
}

#[cfg(test)]
mod tests;
