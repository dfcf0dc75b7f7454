//! A schema's text becomes a plan. Pure.
//!
//! apache-avro keeps no attributes of simple types, so that its schema and the JSON text that it was
//! read from are followed side by side: the first tells the types, the second `connect.name`.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, RecordSchema, UuidSchema};
use serde_json::Value;

use super::time::Unit;
use super::{Field, Logical, Node, Options, Plan, SCALE_MAX};
use crate::encode::write_json_string;

/// Bytes of a reason that another program wrote. Why 300: it is one line for a person.
const REASON_BYTES_MAX: usize = 300;

/// The attribute in which Connect keeps the name of a type.
const CONNECT_NAME: &str = "connect.name";

/// The name of a string that holds JSON.
const JSON_NAME: &str = "io.debezium.data.Json";

/// Fixed types of Materialize's sink (its documentation, "Avro type conversions"): how many bytes.
const UNSIGNED: [(&str, usize); 3] = [
    ("com.materialize.sink.uint2", 2),
    ("com.materialize.sink.uint4", 4),
    ("com.materialize.sink.uint8", 8),
];

/// Of the same: months, days and microseconds.
const INTERVAL: (&str, usize) = ("com.materialize.sink.interval", 16);

/// A named type with the text that it was read from.
type Definition<'a> = (&'a Schema, &'a Value);

struct Compiler<'a> {
    nodes: Vec<Node>,
    definitions: HashMap<String, Definition<'a>>,
    /// Named types that have a node.
    known: HashMap<String, usize>,
    options: Options,
}

pub(super) fn compile(text: &str, references: &[String], options: Options) -> Result<Plan, String> {
    let json = |text: &str| -> Result<Value, String> {
        serde_json::from_str(text).map_err(|e| line(&format!("its text is not JSON: {e}")))
    };
    let raw = json(text)?;
    let raws = references.iter().map(|text| json(text)).collect::<Result<Vec<_>, _>>()?;
    let (schema, others) = if references.is_empty() {
        (Schema::parse(&raw), Vec::new())
    } else {
        match Schema::parse_str_with_list(text, references) {
            Ok((schema, others)) => (Ok(schema), others),
            Err(error) => (Err(error), Vec::new()),
        }
    };
    let schema = schema.map_err(|e| line(&format!("it is no Avro schema: {e}")))?;
    let mut compiler =
        Compiler { nodes: Vec::new(), definitions: HashMap::new(), known: HashMap::new(), options };
    for (schema, raw) in others.iter().zip(&raws) {
        compiler.gather(schema, raw);
    }
    compiler.gather(&schema, &raw);
    let root = compiler.node(&schema, &raw)?;
    Ok(Plan { nodes: compiler.nodes, root })
}

impl<'a> Compiler<'a> {
    /// Notes the named types, so that a reference finds its definition wherever that stands.
    fn gather(&mut self, schema: &'a Schema, raw: &'a Value) {
        let raw = unwrapped(raw);
        if let Some(name) = name_of(schema) {
            self.definitions.entry(name).or_insert((schema, raw));
        }
        match schema {
            Schema::Array(array) => self.gather(&array.items, part(raw, "items")),
            Schema::Map(map) => self.gather(&map.types, part(raw, "values")),
            Schema::Union(union) => {
                for (branch, raw) in union.variants().iter().zip(items(raw)) {
                    self.gather(branch, raw);
                }
            }
            Schema::Record(record) => {
                for (field, raw) in record.fields.iter().zip(items(part(raw, "fields"))) {
                    self.gather(&field.schema, part(raw, "type"));
                }
            }
            _ => {}
        }
    }

    /// The node of a type.
    fn node(&mut self, schema: &'a Schema, raw: &'a Value) -> Result<usize, String> {
        let raw = unwrapped(raw);
        if let Schema::Ref { name } = schema {
            let name = name.fullname(None);
            if let Some(index) = self.known.get(&name) {
                return Ok(*index);
            }
            let definition = self.definitions.get(&name).copied();
            let (schema, raw) =
                definition.ok_or_else(|| line(&format!("it names {name}, which is nowhere")))?;
            return self.node(schema, raw);
        }
        let name = name_of(schema);
        if let Some(index) = name.as_ref().and_then(|name| self.known.get(name)) {
            return Ok(*index);
        }
        // A type may hold itself, so its index is known before its node.
        let index = self.nodes.len();
        self.nodes.push(Node::Unset);
        if let Some(name) = name {
            self.known.insert(name, index);
        }
        let node = self.of(schema, raw)?;
        if let Some(slot) = self.nodes.get_mut(index) {
            *slot = node;
        }
        Ok(index)
    }

    fn of(&mut self, schema: &'a Schema, raw: &'a Value) -> Result<Node, String> {
        let decoded = self.options.logical == Logical::Decoded;
        let when = |node: Node, raw: Node| if decoded { node } else { raw };
        Ok(match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int => Node::Int,
            Schema::Long => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            // A decimal that tells its own scale is in no language's tools but two: as bytes.
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Node::Bytes,
            Schema::String if raw.get(CONNECT_NAME).is_some_and(|it| it == JSON_NAME) => Node::Json,
            Schema::String | Schema::Uuid(UuidSchema::String) => Node::String,
            Schema::Uuid(UuidSchema::Fixed(_)) => Node::Uuid,
            Schema::Fixed(fixed) => self.fixed(&fixed.name.fullname(None), fixed.size),
            Schema::Duration(fixed) => Node::Fixed(fixed.size),
            Schema::Decimal(decimal) => decimal_node(decimal)?,
            Schema::Date => when(Node::Date, Node::Int),
            Schema::TimeMillis => when(Node::Time(Unit::Millis), Node::Int),
            Schema::TimeMicros => when(Node::Time(Unit::Micros), Node::Long),
            Schema::TimestampMillis | Schema::LocalTimestampMillis => {
                when(Node::Timestamp(Unit::Millis), Node::Long)
            }
            Schema::TimestampMicros | Schema::LocalTimestampMicros => {
                when(Node::Timestamp(Unit::Micros), Node::Long)
            }
            Schema::TimestampNanos | Schema::LocalTimestampNanos => {
                when(Node::Timestamp(Unit::Nanos), Node::Long)
            }
            Schema::Enum(symbols) => {
                Node::Enum(symbols.symbols.iter().map(|symbol| quoted(symbol)).collect())
            }
            Schema::Array(array) => Node::Array(self.node(&array.items, part(raw, "items"))?),
            Schema::Map(map) => Node::Map(self.node(&map.types, part(raw, "values"))?),
            Schema::Union(union) => {
                let branches = union.variants().iter().zip(items(raw));
                let nodes = branches.map(|(branch, raw)| self.node(branch, raw));
                Node::Union(nodes.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => Node::Record(self.fields(record, raw)?),
            Schema::Ref { name } => return Err(line(&format!("{} names a name", name.name()))),
        })
    }

    fn fixed(&self, name: &str, size: usize) -> Node {
        if UNSIGNED.contains(&(name, size)) {
            return Node::Unsigned { size, little_endian: self.options.little_endian };
        }
        if (name, size) == INTERVAL { Node::Interval } else { Node::Fixed(size) }
    }

    fn fields(&mut self, record: &'a RecordSchema, raw: &'a Value) -> Result<Vec<Field>, String> {
        let mut fields = Vec::with_capacity(record.fields.len());
        for (field, raw) in record.fields.iter().zip(items(part(raw, "fields"))) {
            let mut before = vec![if fields.is_empty() { b'{' } else { b',' }];
            write_json_string(&mut before, &field.name);
            before.push(b':');
            fields.push(Field { before, node: self.node(&field.schema, part(raw, "type"))? });
        }
        Ok(fields)
    }
}

fn decimal_node(decimal: &DecimalSchema) -> Result<Node, String> {
    let scale = decimal.scale;
    if scale > SCALE_MAX {
        return Err(format!("a decimal has {scale} digits after the point, at most {SCALE_MAX}"));
    }
    let size = match &decimal.inner {
        InnerDecimalSchema::Bytes => None,
        InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
    };
    Ok(Node::Decimal { scale, size })
}

fn name_of(schema: &Schema) -> Option<String> {
    match schema {
        Schema::Record(record) => Some(record.name.fullname(None)),
        Schema::Enum(symbols) => Some(symbols.name.fullname(None)),
        Schema::Fixed(fixed)
        | Schema::Duration(fixed)
        | Schema::Uuid(UuidSchema::Fixed(fixed))
        | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => {
            Some(fixed.name.fullname(None))
        }
        _ => None,
    }
}

/// `{"type": {…}}` means what stands inside.
fn unwrapped(mut raw: &Value) -> &Value {
    while let Some(inner @ (Value::Object(_) | Value::Array(_))) = raw.get("type") {
        raw = inner;
    }
    raw
}

fn part<'a>(raw: &'a Value, key: &str) -> &'a Value {
    raw.get(key).unwrap_or(&Value::Null)
}

fn items(raw: &Value) -> &[Value] {
    raw.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_json_string(&mut out, text);
    out
}

/// One line of bounded length.
fn line(text: &str) -> String {
    let end = text.floor_char_boundary(REASON_BYTES_MAX);
    text.get(..end).unwrap_or_default().replace(['\n', '\r'], " ")
}
