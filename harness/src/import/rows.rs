//! Rows of `information_schema.PIPELINES_SOURCE_OFFSETS` as clients print them: JSON (an array, or one object in
//! a line), CSV, or the tabs of `mysql --batch`, each with the names of the columns.
//!
//! Pure. Invariant: a row without KEY and VALUE is an error with its line.

use serde_json::{Map, Value};

use super::{At, ENTRIES_MAX, Found, ImportError, object};

/// The offsets of a file, in its order.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Found>, ImportError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let reason = "it is neither an offsets file of Kafka Connect nor text in UTF-8";
        ImportError::new(At::Byte(error.valid_up_to()), reason)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let found = match text.trim_start().chars().next() {
        Some('[') => from_array(text)?,
        Some('{') => from_lines(text)?,
        Some(_) => from_table(text)?,
        None => Vec::new(),
    };
    Ok(found)
}

fn from_array(text: &str) -> Result<Vec<Found>, ImportError> {
    let parsed = protocol::json::parse(text.as_bytes())
        .map_err(|error| ImportError::whole(format!("not valid JSON: {error}")))?;
    let Value::Array(rows) = parsed else { return Err(ImportError::whole("expected an array")) };
    require_few(rows.len())?;
    (1..)
        .zip(rows)
        .map(|(number, row)| {
            let at = At::Line(number);
            let Value::Object(row) = row else {
                return Err(ImportError::new(at, "expected an object (the number counts them)"));
            };
            from_object(at, &row)
        })
        .collect()
}

fn from_lines(text: &str) -> Result<Vec<Found>, ImportError> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let mut found = Vec::new();
    for (number, line) in lines {
        require_few(found.len() + 1)?;
        let at = At::Line(number);
        found.push(from_object(at, &object(at, "row", line.as_bytes())?)?);
    }
    Ok(found)
}

fn from_object(at: At, row: &Map<String, Value>) -> Result<Found, ImportError> {
    let column = |name: &str| {
        let mut all = row.iter();
        all.find(|(column, _)| column.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let json = |name: &str| match column(name) {
        Some(Value::String(text)) => object(at, name, text.as_bytes()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(_) | None => Err(ImportError::new(at, format!("the row has no {name}"))),
    };
    let batch = match column("BATCH_ID") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(batch(at, text)?),
        Some(value) => Some(batch(at, &value.to_string())?),
    };
    let name = column("PIPELINE_NAME").and_then(Value::as_str).map(str::to_owned);
    Ok(Found { at, name, key: json("KEY")?, value: json("VALUE")?, batch })
}

fn batch(at: At, text: &str) -> Result<u64, ImportError> {
    text.trim().parse().map_err(|_| ImportError::new(at, "BATCH_ID is no whole number"))
}

/// CSV (RFC 4180), or fields between tabs.
fn from_table(text: &str) -> Result<Vec<Found>, ImportError> {
    let header = text.lines().next().unwrap_or_default();
    let separator = if header.contains('\t') { '\t' } else { ',' };
    let mut records = Records { rest: text, line: 1, separator };
    let (at, names) = records.next_record()?.unwrap_or((At::Line(1), Vec::new()));
    let place = |name: &str| names.iter().position(|it| it.trim().eq_ignore_ascii_case(name));
    let (Some(key), Some(value)) = (place("KEY"), place("VALUE")) else {
        let reason = "expected rows of PIPELINES_SOURCE_OFFSETS with the names of the columns, KEY and VALUE \
                      among them: CSV, tabs or JSON; or an offsets file of Kafka Connect";
        return Err(ImportError::new(at, reason));
    };
    let (batch_id, pipeline) = (place("BATCH_ID"), place("PIPELINE_NAME"));
    let mut found = Vec::new();
    while let Some((at, fields)) = records.next_record()? {
        require_few(found.len() + 1)?;
        if fields.len() != names.len() {
            let reason = format!("{} fields, expected {}", fields.len(), names.len());
            return Err(ImportError::new(at, reason));
        }
        let field = |place: usize| fields.get(place).map_or("", String::as_str);
        found.push(Found {
            at,
            name: pipeline.map(|place| field(place).to_owned()),
            key: object(at, "KEY", field(key).as_bytes())?,
            value: object(at, "VALUE", field(value).as_bytes())?,
            batch: batch_id.map(|place| batch(at, field(place))).transpose()?,
        });
    }
    Ok(found)
}

fn require_few(count: usize) -> Result<(), ImportError> {
    if count <= ENTRIES_MAX {
        return Ok(());
    }
    Err(ImportError::whole(format!("it has more than {ENTRIES_MAX} rows")))
}

/// Records of a table, one after the other.
struct Records<'t> {
    rest: &'t str,
    line: usize,
    separator: char,
}

impl Records<'_> {
    /// The fields of the next record that is not empty, and its line.
    fn next_record(&mut self) -> Result<Option<(At, Vec<String>)>, ImportError> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let at = At::Line(self.line);
            let fields = self.record(at)?;
            if fields.iter().any(|field| !field.is_empty()) {
                return Ok(Some((at, fields)));
            }
        }
    }

    fn record(&mut self, at: At) -> Result<Vec<String>, ImportError> {
        let mut fields = Vec::new();
        loop {
            let is_quoted = self.separator == ',' && self.rest.starts_with('"');
            fields.push(if is_quoted { self.quoted(at)? } else { self.plain() });
            let next = self.rest.chars().next();
            self.rest = self.rest.get(next.map_or(0, char::len_utf8)..).unwrap_or_default();
            match next {
                Some(c) if c == self.separator => {}
                Some('\r') => {}
                Some('\n') | None => {
                    self.line += 1;
                    return Ok(fields);
                }
                Some(_) => return Err(ImportError::new(at, "text behind a closing quote")),
            }
            if next == Some('\r') {
                self.rest = self.rest.strip_prefix('\n').unwrap_or(self.rest);
                self.line += 1;
                return Ok(fields);
            }
        }
    }

    /// Up to the separator or the end of the line; what `mysql --batch` escapes, as it was.
    fn plain(&mut self) -> String {
        let end = self.rest.find([self.separator, '\n', '\r']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        self.rest = rest;
        if self.separator == ',' {
            return field.to_owned();
        }
        let mut chars = field.chars();
        let mut plain = String::with_capacity(field.len());
        while let Some(c) = chars.next() {
            match (c, c == '\\') {
                (_, true) => plain.extend(chars.next().map(|c| match c {
                    'n' => '\n',
                    't' => '\t',
                    '0' => '\0',
                    other => other,
                })),
                (c, false) => plain.push(c),
            }
        }
        plain
    }

    /// From a quote to the next one that is not doubled.
    fn quoted(&mut self, at: At) -> Result<String, ImportError> {
        let mut field = String::new();
        self.rest = self.rest.get(1..).unwrap_or_default();
        loop {
            let Some((before, after)) = self.rest.split_once('"') else {
                return Err(ImportError::new(at, "a quote that is not closed"));
            };
            self.line += before.matches('\n').count();
            field.push_str(before);
            self.rest = after;
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    self.rest = after;
                }
                None => return Ok(field),
            }
        }
    }
}
