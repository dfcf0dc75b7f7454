//! Bytes become JSON text along a plan. Pure.
//!
//! Recursion is bounded by [`RECORD_DEPTH_MAX`], the text by [`TEXT_BYTES_MAX`]. Every step writes at
//! least one byte, so the second bounds the work as well, whatever counts and empty types say.

use protocol::limits::ROW_BYTES_MAX;

use super::{DECIMAL_BYTES_MAX, Fault, Node, Plan, interval, number, time};
use crate::decode::{RECORD_DEPTH_MAX, json};
use crate::encode::{write_integer, write_json_base64, write_json_string};

/// Bytes of the text of one datum. Why: a longer one is no row.
const TEXT_BYTES_MAX: usize = ROW_BYTES_MAX;

/// Bytes of a varint of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

type Read<T> = Result<T, Fault>;

struct Walk<'a> {
    plan: &'a Plan,
    bytes: &'a [u8],
    at: usize,
    out: &'a mut Vec<u8>,
    /// Where the text may end at the latest.
    end: usize,
}

pub(super) fn write(plan: &Plan, bytes: &[u8], from: usize, out: &mut Vec<u8>) -> Read<()> {
    let end = out.len().saturating_add(TEXT_BYTES_MAX);
    let mut walk = Walk { plan, bytes, at: from, out, end };
    walk.value(plan.root, 0)?;
    if walk.at == bytes.len() { Ok(()) } else { walk.fault("the end") }
}

impl<'a> Walk<'a> {
    fn fault<T>(&self, expected: &'static str) -> Read<T> {
        Err(Fault { at: self.at, expected })
    }

    fn value(&mut self, index: usize, depth: usize) -> Read<()> {
        if self.out.len() > self.end {
            return self.fault("less than 63 MiB of text");
        }
        let plan = self.plan;
        let Some(node) = plan.nodes.get(index) else { return self.fault("a known type") };
        match node {
            Node::Long => {
                let long = self.long()?;
                write_integer(self.out, long);
            }
            Node::String => {
                let text = self.text()?;
                write_json_string(self.out, text);
            }
            Node::Union(branches) => {
                let at = self.at;
                let branch = usize::try_from(self.long()?).ok();
                let Some(branch) = branch.and_then(|branch| branches.get(branch)) else {
                    return Err(Fault { at, expected: "the number of a branch" });
                };
                return self.value(*branch, depth);
            }
            Node::Record(fields) => {
                let depth = self.deeper(depth)?;
                if fields.is_empty() {
                    self.out.push(b'{');
                }
                for field in fields {
                    self.out.extend_from_slice(&field.before);
                    self.value(field.node, depth)?;
                }
                self.out.push(b'}');
            }
            Node::Array(item) => self.array(*item, depth)?,
            Node::Map(value) => self.map(*value, depth)?,
            Node::Enum(symbols) => {
                let at = self.at;
                let symbol = usize::try_from(self.long()?).ok();
                let Some(symbol) = symbol.and_then(|symbol| symbols.get(symbol)) else {
                    return Err(Fault { at, expected: "the number of a symbol" });
                };
                self.out.extend_from_slice(symbol);
            }
            scalar => return self.scalar(scalar, depth),
        }
        Ok(())
    }

    fn scalar(&mut self, node: &Node, depth: usize) -> Read<()> {
        match *node {
            Node::Null => self.out.extend_from_slice(b"null"),
            Node::Boolean => {
                let word: &[u8] = match self.bytes.get(self.at) {
                    Some(0) => b"false",
                    Some(1) => b"true",
                    _ => return self.fault("a boolean"),
                };
                self.at += 1;
                self.out.extend_from_slice(word);
            }
            Node::Int => {
                let int = self.int()?;
                write_integer(self.out, int);
            }
            Node::Float => {
                let float = f32::from_le_bytes(self.array_of()?);
                number::write_float(self.out, float);
            }
            Node::Double => {
                let double = f64::from_le_bytes(self.array_of()?);
                number::write_double(self.out, double);
            }
            Node::Bytes => {
                let bytes = self.sized()?;
                write_json_base64(self.out, bytes);
            }
            Node::Json => self.embedded(depth)?,
            Node::Fixed(size) => {
                let bytes = self.take(size)?;
                write_json_base64(self.out, bytes);
            }
            Node::Decimal { scale, size } => {
                let at = self.at;
                let bytes = match size {
                    Some(size) => self.take(size)?,
                    None => self.sized()?,
                };
                if bytes.len() > DECIMAL_BYTES_MAX {
                    return Err(Fault { at, expected: "a decimal of at most 512 bytes" });
                }
                number::write_decimal(self.out, bytes, scale);
            }
            Node::Unsigned { size, little_endian } => {
                let bytes = self.take(size)?;
                number::write_unsigned(self.out, bytes, little_endian);
            }
            Node::Interval => {
                let bytes = self.array_of()?;
                interval::write(self.out, &bytes);
            }
            Node::Uuid => {
                let bytes = self.array_of()?;
                number::write_uuid(self.out, &bytes);
            }
            Node::Date | Node::Time(_) | Node::Timestamp(_) => self.temporal(node)?,
            _ => return self.fault("a known type"),
        }
        Ok(())
    }

    fn temporal(&mut self, node: &Node) -> Read<()> {
        let at = self.at;
        let count = match node {
            Node::Date | Node::Time(time::Unit::Millis) => self.int()?,
            _ => self.long()?,
        };
        let written = match *node {
            Node::Date => time::write_date(self.out, count),
            Node::Time(unit) => time::write_time(self.out, count, unit),
            Node::Timestamp(unit) => time::write_timestamp(self.out, count, unit),
            _ => None,
        };
        written.ok_or(Fault { at, expected: "a time of day, or a date of the years 0 to 9999" })
    }

    /// A string whose text is JSON stands in the text as it is.
    fn embedded(&mut self, depth: usize) -> Read<()> {
        let text = self.sized()?;
        let start = self.at - text.len();
        match json::check_within(text, RECORD_DEPTH_MAX.saturating_sub(depth)) {
            Ok(()) => self.out.extend_from_slice(text),
            Err(json::Fault { at, expected }) => {
                let expected = expected.unwrap_or("JSON of at most 128 levels");
                return Err(Fault { at: start + at, expected });
            }
        }
        Ok(())
    }

    fn array(&mut self, item: usize, depth: usize) -> Read<()> {
        let depth = self.deeper(depth)?;
        let mut before = b'[';
        loop {
            let count = self.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                self.out.push(before);
                before = b',';
                self.value(item, depth)?;
            }
        }
        if before == b'[' {
            self.out.push(before);
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, value: usize, depth: usize) -> Read<()> {
        let depth = self.deeper(depth)?;
        let mut before = b'{';
        loop {
            let count = self.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                self.out.push(before);
                before = b',';
                let key = self.text()?;
                write_json_string(self.out, key);
                self.out.push(b':');
                self.value(value, depth)?;
            }
        }
        if before == b'{' {
            self.out.push(before);
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Items of the next block. A negative count is followed by the bytes of the block, which
    /// only those need who skip it.
    fn block(&mut self) -> Read<u64> {
        let count = self.long()?;
        if count < 0 {
            let at = self.at;
            if self.long()? < 0 {
                return Err(Fault { at, expected: "the bytes of a block" });
            }
        }
        Ok(count.unsigned_abs())
    }

    fn deeper(&self, depth: usize) -> Read<usize> {
        if depth == RECORD_DEPTH_MAX { self.fault("at most 128 levels") } else { Ok(depth + 1) }
    }

    fn text(&mut self) -> Read<&'a str> {
        let bytes = self.sized()?;
        let start = self.at - bytes.len();
        str::from_utf8(bytes).map_err(|e| Fault { at: start + e.valid_up_to(), expected: "UTF-8" })
    }

    /// Bytes behind their length.
    fn sized(&mut self) -> Read<&'a [u8]> {
        let at = self.at;
        let length = self.long()?;
        let Ok(length) = usize::try_from(length) else {
            return Err(Fault { at, expected: "a length" });
        };
        if length > self.bytes.len().saturating_sub(self.at) {
            return Err(Fault { at, expected: "a length within the bytes" });
        }
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(length);
        let Some(bytes) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return self.fault("more bytes");
        };
        self.at += length;
        Ok(bytes)
    }

    fn array_of<const LEN: usize>(&mut self) -> Read<[u8; LEN]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(bytes) = rest.first_chunk() else { return self.fault("more bytes") };
        self.at += LEN;
        Ok(*bytes)
    }

    fn int(&mut self) -> Read<i64> {
        let at = self.at;
        let long = self.long()?;
        if i32::try_from(long).is_err() {
            return Err(Fault { at, expected: "an int of 32 bits" });
        }
        Ok(long)
    }

    /// A zigzag varint of at most 64 bits.
    fn long(&mut self) -> Read<i64> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut bits = 0_u64;
        for (index, byte) in rest.iter().enumerate().take(VARINT_BYTES_MAX) {
            if index == VARINT_BYTES_MAX - 1 && *byte > 1 {
                return self.fault("a number of at most 64 bits");
            }
            bits |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.at += index + 1;
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        self.fault("the end of a number")
    }
}
