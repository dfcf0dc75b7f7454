//! Keys and values that are not JSON, text or bytes become JSON text, before a row is made of them.
//! Pure but for the schemas, which somebody else fetches: what is not there yet is asked for, and the
//! record is offered again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use protocol::Failure;

use super::avro::Plan;
use super::csv::Csv;
use super::schema::{FRAME_BYTES, Found, Kind, Schema, Schemas};
use super::{RECORD_DEPTH_MAX, Undecodable, json};

/// Bytes of a buffer that is kept for the next record. Why 1 MiB: one large record would else hold
/// its memory for ever.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Schemas that are kept beside the registry's own list. Why 1,024: more than a topic has; where there
/// are more, the registry's list is asked.
const KNOWN_MAX: usize = 1024;

/// How a key or a value becomes JSON text.
#[derive(Clone, Debug)]
pub enum Codec {
    /// It is handed on as it is.
    Plain,
    /// Avro of one schema, with nothing in front.
    Avro(Arc<Plan>),
    /// Behind the id of its schema.
    Framed(Kind),
    /// One line of CSV.
    Csv(Arc<Csv>),
    /// `{"schema": …, "payload": …}`, of which the payload is taken (Kafka Connect's JSON).
    Envelope,
}

/// What bytes were declared to be, for texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Avro of the schema that the settings give.
    Avro,
    /// CSV of the columns that the settings give.
    Csv,
    /// Of a schema of the registry.
    Framed(Kind, u32),
    /// Framed at all.
    Frame,
    /// JSON with a Connect schema.
    Envelope,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Avro => f.write_str("Avro of the given schema"),
            Self::Csv => f.write_str("CSV of the declared columns"),
            Self::Framed(Kind::Json, id) => write!(f, "JSON (schema id {id})"),
            Self::Framed(kind, id) => write!(f, "{kind} of schema id {id}"),
            Self::Frame => f.write_str("framed for a schema registry"),
            Self::Envelope => f.write_str("JSON with `schema` and `payload`"),
        }
    }
}

/// Why there is no text.
#[derive(Debug)]
pub enum Hindrance {
    /// The record is not what was declared.
    Undecodable(Undecodable),
    /// A schema is on its way; offer the record again.
    Waiting,
    /// A schema could not be asked for.
    Failed(Failure),
}

/// A key and a value, translated where that was declared.
pub type Texts<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// See the module.
pub struct Translator {
    key: Side,
    value: Side,
    known: Known,
}

impl Translator {
    /// A translator with its codecs and where schemas come from, which only framed ones need.
    pub fn new(key: Codec, value: Codec, schemas: Option<Box<dyn Schemas + Send>>) -> Self {
        let side = |role, codec| Side { role, codec, text: Vec::new(), field: Vec::new() };
        let known = Known { schemas, found: HashMap::new(), last: None };
        Self { key: side("key", key), value: side("value", value), known }
    }

    /// The texts of a record.
    ///
    /// # Errors
    /// The first of the two that there is no text for.
    pub fn translate<'a>(
        &'a mut self,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Result<Texts<'a>, Hindrance> {
        let Self { key: key_side, value: value_side, known } = self;
        let key = key.map(|bytes| key_side.text_of(bytes, known)).transpose()?;
        let value = value.map(|bytes| value_side.text_of(bytes, known)).transpose()?;
        Ok((key, value))
    }
}

struct Side {
    role: &'static str,
    codec: Codec,
    /// Reused for every record.
    text: Vec<u8>,
    /// Of CSV, the field that is read; reused as well.
    field: Vec<u8>,
}

impl Side {
    fn text_of<'a>(
        &'a mut self,
        bytes: &'a [u8],
        known: &mut Known,
    ) -> Result<&'a [u8], Hindrance> {
        let role = self.role;
        let fault = |form, at, expected| {
            let len = bytes.len();
            Hindrance::Undecodable(Undecodable::Form { role, len, form, at, expected })
        };
        match &self.codec {
            Codec::Plain => Ok(bytes),
            Codec::Envelope => {
                let range = json::payload(bytes)
                    .map_err(|e| fault(Form::Envelope, e.at, expected_of(e.expected)))?;
                Ok(bytes.get(range).unwrap_or_default())
            }
            Codec::Avro(plan) => {
                clear(&mut self.text);
                plan.write(bytes, 0, &mut self.text)
                    .map_err(|e| fault(Form::Avro, e.at, e.expected))?;
                Ok(&self.text)
            }
            Codec::Csv(csv) => {
                clear(&mut self.text);
                csv.write(bytes, &mut self.text, &mut self.field)
                    .map_err(|e| fault(Form::Csv, e.at, e.expected))?;
                Ok(&self.text)
            }
            Codec::Framed(kind) => {
                let kind = *kind;
                let Some((&[0, a, b, c, d], payload)) = bytes.split_first_chunk::<FRAME_BYTES>()
                else {
                    let at = if bytes.first() == Some(&0) { bytes.len() } else { 0 };
                    return Err(fault(Form::Frame, at, "a zero byte and a schema id of four"));
                };
                let id = u32::from_be_bytes([a, b, c, d]);
                let form = Form::Framed(kind, id);
                if kind == Kind::Json {
                    json::check(payload)
                        .map_err(|e| fault(form, FRAME_BYTES + e.at, expected_of(e.expected)))?;
                    return Ok(payload);
                }
                let unusable =
                    |reason| Hindrance::Undecodable(Undecodable::Schema { role, reason });
                match &*known.schema(id, role)? {
                    Schema::Avro(plan) if kind == Kind::Avro => {
                        clear(&mut self.text);
                        plan.write(bytes, FRAME_BYTES, &mut self.text)
                            .map_err(|e| fault(form, e.at, e.expected))?;
                        Ok(&self.text)
                    }
                    other => {
                        let is = other.kind();
                        Err(unusable(format!("schema id {id} is {is}, and {kind} was declared")))
                    }
                }
            }
        }
    }
}

/// What was expected, where a text may also be nested too deep.
fn expected_of(expected: Option<&'static str>) -> &'static str {
    const _: () = assert!(RECORD_DEPTH_MAX == 128);
    expected.unwrap_or("at most 128 levels")
}

fn clear(text: &mut Vec<u8>) {
    text.clear();
    text.shrink_to(KEPT_BYTES_MAX);
}

/// Schemas that were found, so that a record costs no lock.
struct Known {
    schemas: Option<Box<dyn Schemas + Send>>,
    found: HashMap<u32, Arc<Schema>>,
    last: Option<(u32, Arc<Schema>)>,
}

impl Known {
    fn schema(&mut self, id: u32, role: &'static str) -> Result<Arc<Schema>, Hindrance> {
        if let Some((last, schema)) = &self.last
            && *last == id
        {
            return Ok(Arc::clone(schema));
        }
        let schema = match self.found.get(&id) {
            Some(schema) => Arc::clone(schema),
            None => self.find(id, role)?,
        };
        self.last = Some((id, Arc::clone(&schema)));
        Ok(schema)
    }

    fn find(&mut self, id: u32, role: &'static str) -> Result<Arc<Schema>, Hindrance> {
        let found = self.schemas.as_mut().map(|schemas| schemas.find(id));
        match found {
            Some(Found::Ready(schema)) => {
                if self.found.len() < KNOWN_MAX {
                    self.found.insert(id, Arc::clone(&schema));
                }
                Ok(schema)
            }
            Some(Found::Waiting) => Err(Hindrance::Waiting),
            Some(Found::Failed(failure)) => Err(Hindrance::Failed(failure)),
            Some(Found::Unusable(reason)) => {
                Err(Hindrance::Undecodable(Undecodable::Schema { role, reason }))
            }
            None => {
                let reason = format!("schema id {id} is asked nowhere");
                Err(Hindrance::Undecodable(Undecodable::Schema { role, reason }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
