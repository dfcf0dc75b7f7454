//! `offset.storage.file.filename` of Kafka Connect in standalone mode: a serialized Java
//! `HashMap<byte[], byte[]>` (Java Object Serialization Stream Protocol, version 5), whose keys are JSON
//! `["connector",{…}]` and whose values are JSON objects, or null where an offset was taken back.
//!
//! Pure. Invariant: only the grammar of that one type is read; anything else is refused with the byte where it
//! stands, and no length is believed before the bytes are there.

use serde_json::Value;

use super::{At, ENTRIES_MAX, Found, ImportError, object};
use protocol::limits::{OFFSET_KEY_BYTES_MAX, OFFSET_VALUE_BYTES_MAX};

/// The stream's magic number and version.
const MAGIC: [u8; 4] = [0xac, 0xed, 0x00, 0x05];

const TC_NULL: u8 = 0x70;
const TC_REFERENCE: u8 = 0x71;
const TC_CLASSDESC: u8 = 0x72;
const TC_OBJECT: u8 = 0x73;
const TC_ARRAY: u8 = 0x75;
const TC_BLOCKDATA: u8 = 0x77;
const TC_ENDBLOCKDATA: u8 = 0x78;

/// The first handle that a stream gives.
const HANDLE_FIRST: u32 = 0x007e_0000;

/// Longest array. Why: the longest KEY, and a connector's name beside it of the length that Connect's own tools
/// take; a VALUE is shorter than both.
const ARRAY_LEN_MAX: usize = OFFSET_KEY_BYTES_MAX + OFFSET_VALUE_BYTES_MAX;

/// Most bytes that references hand out again. Why 64 MiB: as many as the largest file has; Connect writes every
/// KEY once, and the few VALUEs that are one object are short.
const REFERRED_BYTES_MAX: usize = 64 << 20;

/// The class `java.util.HashMap` from its name to its fields: serialVersionUID, flags (serializable, own
/// writeObject), `float loadFactor` and `int threshold`, the end of annotations, no superclass.
const HASH_MAP: &[u8] = b"\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x02\
F\x00\x0aloadFactorI\x00\x09thresholdxp";

/// The class `byte[]`.
const BYTES: &[u8] = b"\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00xp";

/// Whether a file is a stream of Java objects.
pub(super) fn is_java(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The offsets of a file, in its order.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Found>, ImportError> {
    let mut stream = Stream { bytes, at: 0, handles: Vec::new(), referred: 0 };
    stream.expect(&MAGIC, "Java's stream header")?;
    stream.expect(&[TC_OBJECT, TC_CLASSDESC], "an object")?;
    stream.expect(HASH_MAP, "a java.util.HashMap, as Kafka Connect writes it")?;
    // The class and the map itself.
    stream.handles = vec![Handle::Other, Handle::Other];
    // loadFactor and threshold, then a block with the number of buckets and of entries.
    stream.take(8, "the fields of the map")?;
    stream.expect(&[TC_BLOCKDATA, 8], "the size of the map")?;
    stream.take(4, "the size of the map")?;
    let (at, count) = (stream.at, stream.number("the number of entries")?);
    if count > ENTRIES_MAX {
        let reason = format!("{count} entries; at most {ENTRIES_MAX} are read");
        return Err(ImportError::new(At::Byte(at), reason));
    }
    let mut found = Vec::new();
    for _ in 0..count {
        let at = At::Byte(stream.at);
        let key = stream.array()?;
        let value = stream.array()?;
        let Some(key) = key else {
            return Err(ImportError::new(at, "an entry without a key"));
        };
        // A null VALUE is an offset that the connector has taken back.
        if let Some(value) = value {
            found.push(entry(at, key, value)?);
        }
    }
    stream.expect(&[TC_ENDBLOCKDATA], "the end of the map")?;
    match bytes.len() - stream.at {
        0 => Ok(found),
        more => {
            let reason = format!("{more} bytes behind the end of the map");
            Err(ImportError::new(At::Byte(stream.at), reason))
        }
    }
}

/// `["connector",{…}]` and `{…}`.
fn entry(at: At, key: &[u8], value: &[u8]) -> Result<Found, ImportError> {
    let parsed = protocol::json::parse(key)
        .map_err(|error| ImportError::new(at, format!("the key is not valid JSON: {error}")))?;
    let Value::Array(parts) = parsed else {
        return Err(ImportError::new(at, "the key is not [\"connector\",{…}]"));
    };
    match <[Value; 2]>::try_from(parts) {
        Ok([Value::String(name), Value::Object(key)]) => {
            let value = object(at, "value", value)?;
            Ok(Found { at, name: Some(name), key, value, batch: None })
        }
        Ok(_) | Err(_) => Err(ImportError::new(at, "the key is not [\"connector\",{…}]")),
    }
}

/// What a handle of the stream stands for.
#[derive(Clone, Copy)]
enum Handle<'b> {
    /// The class of byte arrays.
    BytesClass,
    Array(&'b [u8]),
    Other,
}

struct Stream<'b> {
    bytes: &'b [u8],
    at: usize,
    handles: Vec<Handle<'b>>,
    /// Bytes that references have handed out again.
    referred: usize,
}

impl<'b> Stream<'b> {
    fn take(&mut self, len: usize, what: &str) -> Result<&'b [u8], ImportError> {
        let end = self.at.checked_add(len);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            let left = self.bytes.len().saturating_sub(self.at);
            let reason = format!("the file ends in {what}: {left} of {len} bytes are there");
            return Err(ImportError::new(At::Byte(self.at), reason));
        };
        self.at += len;
        Ok(taken)
    }

    fn expect(&mut self, wanted: &[u8], what: &str) -> Result<(), ImportError> {
        let at = self.at;
        if self.take(wanted.len(), what)? == wanted {
            return Ok(());
        }
        Err(ImportError::new(At::Byte(at), format!("expected {what}")))
    }

    fn byte(&mut self, what: &str) -> Result<u8, ImportError> {
        self.take(1, what).map(|byte| byte.first().copied().unwrap_or_default())
    }

    /// Four bytes, big-endian; a negative one is larger than anything that is expected.
    fn number(&mut self, what: &str) -> Result<usize, ImportError> {
        let bytes = self.take(4, what)?;
        let number = bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        usize::try_from(number)
            .map_err(|_| ImportError::new(At::Byte(self.at), format!("{what} is too large")))
    }

    /// A `byte[]`, one that was there before, or null.
    fn array(&mut self) -> Result<Option<&'b [u8]>, ImportError> {
        let at = At::Byte(self.at);
        match self.byte("a byte array")? {
            TC_NULL => return Ok(None),
            TC_REFERENCE => {
                return match self.handle()? {
                    Handle::Array(bytes) => self.refer(at, bytes).map(Some),
                    Handle::BytesClass | Handle::Other => {
                        Err(ImportError::new(at, "a reference to something that is no byte array"))
                    }
                };
            }
            TC_ARRAY => {}
            _ => return Err(ImportError::new(at, "expected a byte array or null")),
        }
        self.bytes_class()?;
        let len_at = At::Byte(self.at);
        let len = self.number("the length of a byte array")?;
        if len > ARRAY_LEN_MAX {
            let reason = format!("a byte array of {len} bytes; at most {ARRAY_LEN_MAX} are read");
            return Err(ImportError::new(len_at, reason));
        }
        let bytes = self.take(len, "a byte array")?;
        self.handles.push(Handle::Array(bytes));
        Ok(Some(bytes))
    }

    /// An array once more: a small file must not stand for more than a large one holds.
    fn refer(&mut self, at: At, bytes: &'b [u8]) -> Result<&'b [u8], ImportError> {
        self.referred = self.referred.saturating_add(bytes.len());
        if self.referred > REFERRED_BYTES_MAX {
            let reason = format!("references to more than {REFERRED_BYTES_MAX} bytes of arrays");
            return Err(ImportError::new(at, reason));
        }
        Ok(bytes)
    }

    /// The class of an array: in full the first time, a reference after that.
    fn bytes_class(&mut self) -> Result<(), ImportError> {
        let at = At::Byte(self.at);
        match self.byte("the class of an array")? {
            TC_CLASSDESC => {
                self.expect(BYTES, "the class byte[]")?;
                self.handles.push(Handle::BytesClass);
                Ok(())
            }
            TC_REFERENCE => match self.handle()? {
                Handle::BytesClass => Ok(()),
                Handle::Array(_) | Handle::Other => {
                    Err(ImportError::new(at, "an array of something else than bytes"))
                }
            },
            _ => Err(ImportError::new(at, "expected the class of an array")),
        }
    }

    fn handle(&mut self) -> Result<Handle<'b>, ImportError> {
        let at = At::Byte(self.at);
        let number = self.number("a reference")?;
        let first = usize::try_from(HANDLE_FIRST).unwrap_or(usize::MAX);
        let found = number.checked_sub(first).and_then(|index| self.handles.get(index));
        found.copied().ok_or_else(|| ImportError::new(at, "a reference to nothing"))
    }
}
