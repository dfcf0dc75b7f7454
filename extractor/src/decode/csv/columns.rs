//! Columns as people declare them: names by commas, each with a SQL type as Flink has it, or none. Pure.

use super::{Column, Kind, Typed};
use crate::encode::write_json_string;

/// Columns, and fields of a row. Why 4,096: what databases take in one table.
pub const COLUMNS_MAX: usize = 4096;

/// Arrays and rows inside of each other.
const DEPTH_MAX: usize = 8;

/// Types with one meaning, and whether a precision may follow.
const TYPES: [(&str, Kind); 21] = [
    ("BIGINT", Kind::Integer(64)),
    ("BINARY", Kind::Text),
    ("BOOLEAN", Kind::Boolean),
    ("BYTES", Kind::Text),
    ("CHAR", Kind::Text),
    ("DATE", Kind::Text),
    ("DEC", Kind::Decimal),
    ("DECIMAL", Kind::Decimal),
    ("DOUBLE", Kind::Float),
    ("FLOAT", Kind::Float),
    ("INT", Kind::Integer(32)),
    ("INTEGER", Kind::Integer(32)),
    ("NUMERIC", Kind::Decimal),
    ("SMALLINT", Kind::Integer(16)),
    ("STRING", Kind::Text),
    ("TIME", Kind::Text),
    ("TIMESTAMP", Kind::Text),
    ("TIMESTAMP_LTZ", Kind::Text),
    ("TINYINT", Kind::Integer(8)),
    ("VARBINARY", Kind::Text),
    ("VARCHAR", Kind::Text),
];

/// Reads `region STRING, pv BIGINT NOT NULL, parts ARRAY<ROW<a INT, b STRING>>, note`. A name with
/// other letters stands in backticks. Without a type it is text.
///
/// # Errors
/// What was expected, and at which byte.
pub fn parse_columns(text: &str) -> Result<Vec<Column>, String> {
    let mut parser = Parser { text, at: 0 };
    let columns = parser.columns(0)?;
    parser.space();
    if parser.at < text.len() {
        return parser.fault("a comma or the end");
    }
    Ok(columns)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fault<T>(&self, expected: &str) -> Result<T, String> {
        Err(format!("expected {expected} at byte {}", self.at))
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Takes a mark, if it comes next.
    fn takes(&mut self, mark: char) -> bool {
        self.space();
        let is_here = self.rest().starts_with(mark);
        self.at += if is_here { mark.len_utf8() } else { 0 };
        is_here
    }

    fn word(&mut self) -> &'a str {
        self.space();
        let rest = self.rest();
        let is_part = |c: char| c.is_alphanumeric() || "_-$.@".contains(c);
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn columns(&mut self, depth: usize) -> Result<Vec<Column>, String> {
        let (mut columns, mut names) = (Vec::<Column>::new(), Vec::new());
        loop {
            let at = self.at;
            let name = self.name()?;
            if names.contains(&name) {
                self.at = at;
                return self.fault("a name that is not there yet");
            }
            let mut before = vec![if columns.is_empty() { b'{' } else { b',' }];
            write_json_string(&mut before, &name);
            before.push(b':');
            names.push(name);
            let typed = self.typed(depth)?;
            columns.push(Column { before, typed });
            if columns.len() > COLUMNS_MAX {
                return self.fault(&format!("at most {COLUMNS_MAX} columns"));
            }
            if !self.takes(',') {
                return Ok(columns);
            }
        }
    }

    fn name(&mut self) -> Result<String, String> {
        if !self.takes('`') {
            let word = self.word();
            return if word.is_empty() { self.fault("a name") } else { Ok(word.to_owned()) };
        }
        let mut name = String::new();
        loop {
            let Some(len) = self.rest().find('`') else { return self.fault("a closing backtick") };
            name.push_str(self.rest().get(..len).unwrap_or_default());
            self.at += len + 1;
            if !self.rest().starts_with('`') {
                break;
            }
            name.push('`');
            self.at += 1;
        }
        if name.is_empty() { self.fault("a name") } else { Ok(name) }
    }

    /// The type behind a name; none is text.
    fn typed(&mut self, depth: usize) -> Result<Typed, String> {
        self.space();
        if self.rest().is_empty() || self.rest().starts_with([',', '>']) {
            return Ok(Typed { kind: Kind::Text, not_null: false });
        }
        let at = self.at;
        let word = self.word().to_ascii_uppercase();
        let kind = match word.as_str() {
            "ARRAY" | "ROW" if depth == DEPTH_MAX => return self.fault("less nesting"),
            "ARRAY" => {
                self.expect('<')?;
                let item = self.typed(depth + 1)?;
                self.expect('>')?;
                Kind::Array(Box::new(item))
            }
            "ROW" => {
                self.expect('<')?;
                let fields = self.columns(depth + 1)?;
                self.expect('>')?;
                Kind::Row(fields)
            }
            word => {
                let Some((_, kind)) = TYPES.into_iter().find(|(name, _)| *name == word) else {
                    self.at = at;
                    return self.fault("a type: STRING, BOOLEAN, INT, BIGINT, DECIMAL, DOUBLE, …");
                };
                self.precision()?;
                kind
            }
        };
        let at = self.at;
        let not_null = self.word().eq_ignore_ascii_case("NOT");
        if !not_null {
            self.at = at;
        } else if !self.word().eq_ignore_ascii_case("NULL") {
            return self.fault("NULL");
        }
        Ok(Typed { kind, not_null })
    }

    /// `(10)` or `(10, 3)`, which changes nothing of a text.
    fn precision(&mut self) -> Result<(), String> {
        if !self.takes('(') {
            return Ok(());
        }
        loop {
            let number = self.word();
            if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return self.fault("a number");
            }
            if !self.takes(',') {
                return self.expect(')');
            }
        }
    }

    fn expect(&mut self, mark: char) -> Result<(), String> {
        if self.takes(mark) { Ok(()) } else { self.fault(&format!("`{mark}`")) }
    }
}
