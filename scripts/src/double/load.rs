//! LOAD DATA LOCAL INFILE … FORMAT AVRO: the statement as documented, the stream as other libraries read it.
//!
//! May touch: the client's stream. Invariant: rows are those that `apache-avro` reads, whole or none.

use std::io::Read;

use apache_avro::Reader;
use apache_avro::types::Value;
use rusqlite::Connection;

use super::dialect::{Token, tokens};
use super::state;
use super::wire::{Refusal, refusal};

/// What such a statement says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) file: String,
    pub(super) table: String,
    /// Columns and the fields they are taken from.
    mapping: Vec<(String, String)>,
}

/// Reads the statement; its form is that of the page "Load Avro Files with LOAD DATA", without clauses that
/// nobody sends.
pub(super) fn parse(sql: &str) -> Result<Load, Refusal> {
    let found: Vec<Token> = tokens(sql).into_iter().map(|(_, token)| token).collect();
    read(&mut found.iter()).ok_or_else(|| {
        refusal(1064, "no LOAD DATA LOCAL INFILE … FORMAT AVRO ( … ) that this double knows")
    })
}

fn read(rest: &mut std::slice::Iter<'_, Token>) -> Option<Load> {
    words(rest, &["LOAD", "DATA", "LOCAL", "INFILE"])?;
    let Some(Token::Text(file)) = rest.next() else { return None };
    words(rest, &["INTO", "TABLE"])?;
    let Some(Token::Name(table)) = rest.next() else { return None };
    words(rest, &["FORMAT", "AVRO"])?;
    signs(rest, "(")?;
    let mut mapping = Vec::new();
    loop {
        let Some(Token::Name(column)) = rest.next() else { return None };
        signs(rest, "<-%::")?;
        let Some(Token::Name(field)) = rest.next() else { return None };
        mapping.push((column.clone(), field.clone()));
        match rest.next() {
            Some(Token::Sign(',')) => {}
            Some(Token::Sign(')')) => break,
            _ => return None,
        }
    }
    let is_end = rest.next().is_none();
    is_end.then(|| Load { file: file.clone(), table: table.clone(), mapping })
}

fn words(rest: &mut std::slice::Iter<'_, Token>, wanted: &[&str]) -> Option<()> {
    wanted.iter().try_for_each(|word| rest.next().filter(|it| it.is(word)).map(|_| ()))
}

fn signs(rest: &mut std::slice::Iter<'_, Token>, wanted: &str) -> Option<()> {
    wanted.chars().try_for_each(|sign| rest.next().filter(|it| it.is_sign(sign)).map(|_| ()))
}

/// Inserts every row of a stream and answers how many there were.
pub(super) fn run(connection: &Connection, load: &Load, stream: &[u8]) -> Result<u64, Refusal> {
    let plain = plain(&load.file, stream)?;
    connection.execute_batch("SAVEPOINT load").map_err(|error| state::of(&error))?;
    let done = insert(connection, load, &plain);
    let end = if done.is_ok() { "RELEASE load" } else { "ROLLBACK TO load; RELEASE load" };
    connection.execute_batch(end).map_err(|error| state::of(&error))?;
    done
}

/// What the stream is behind its compression, which the file's name tells.
fn plain(file: &str, stream: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut plain = Vec::new();
    let read = match file.rsplit_once('.') {
        Some((_, "gz")) => flate2::read::GzDecoder::new(stream).read_to_end(&mut plain),
        Some((_, "lz4")) => lz4_flex::frame::FrameDecoder::new(stream).read_to_end(&mut plain),
        _ => return Ok(stream.to_vec()),
    };
    read.map_err(|error| refusal(1105, format!("the stream of {file}: {error}")))?;
    Ok(plain)
}

fn insert(connection: &Connection, load: &Load, bytes: &[u8]) -> Result<u64, Refusal> {
    let unread = |error: apache_avro::Error| refusal(1105, format!("no Avro: {error}"));
    let columns: Vec<String> =
        load.mapping.iter().map(|(column, _)| format!("`{}`", column.replace('`', "``"))).collect();
    let marks = vec!["?"; columns.len()].join(", ");
    let table = load.table.replace('`', "``");
    let sql = format!("INSERT INTO `{table}` ({}) VALUES ({marks})", columns.join(", "));
    let mut statement = connection.prepare(&sql).map_err(|error| state::of(&error))?;
    let mut count = 0;
    for row in Reader::new(bytes).map_err(unread)? {
        let Value::Record(fields) = row.map_err(unread)? else {
            return Err(refusal(1105, "a datum is no record"));
        };
        let mut values = Vec::with_capacity(columns.len());
        for (_, wanted) in &load.mapping {
            let field = fields.iter().find(|(name, _)| name == wanted);
            match field {
                Some((_, Value::String(text))) => values.push(text.clone()),
                Some(_) => return Err(refusal(1105, format!("field {wanted} is no string"))),
                None => return Err(refusal(1054, format!("there is no field {wanted}"))),
            }
        }
        statement.execute(rusqlite::params_from_iter(values)).map_err(|error| state::of(&error))?;
        count += 1;
    }
    Ok(count)
}
