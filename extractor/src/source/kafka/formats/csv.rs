//! The options of CSV, by the names that Flink has for them, behind `key.csv.` or `value.csv.`.

use protocol::Failure;

use crate::config::Settings;
use crate::decode::csv::{Csv, parse_columns};

/// Every option.
pub(super) const OPTIONS: [&str; 9] = [
    "allow-comments",
    "array-element-delimiter",
    "columns",
    "disable-quote-character",
    "escape-character",
    "field-delimiter",
    "ignore-parse-errors",
    "null-literal",
    "quote-character",
];

/// Reads the options of a side, whose keys begin with `prefix`.
pub(super) fn read(settings: &Settings, prefix: &str) -> Result<Csv, Failure> {
    let key = |option: &str| format!("{prefix}{option}");
    let columns = key("columns");
    let what = "the names of the columns, each with its type, as in: id BIGINT, name STRING";
    let text = settings.text(&columns).ok_or_else(|| Settings::missing(&columns, what))?;
    let columns = parse_columns(text).map_err(|why| settings.invalid(&columns, &why))?;
    if settings.flag(&key("ignore-parse-errors"), false)? {
        let text = "a record that is no such CSV is not dropped: errors.tolerance=all writes it \
                    down and goes on";
        return Err(settings.unsupported(&key("ignore-parse-errors"), text));
    }
    let letter = |option: &str| letter(settings, &key(option));
    let is_off = settings.flag(&key("disable-quote-character"), false)?;
    let delimiter = letter("field-delimiter")?.unwrap_or(b',');
    let quote = letter("quote-character")?;
    if is_off && quote.is_some() {
        let text = "disable-quote-character is true";
        return Err(settings.invalid(&key("quote-character"), text));
    }
    let quote = if is_off { None } else { Some(quote.unwrap_or(b'"')) };
    let escape = letter("escape-character")?;
    let item_delimiter = letter("array-element-delimiter")?.unwrap_or(b';');
    let marks = [
        ("field-delimiter", Some(delimiter)),
        ("quote-character", quote),
        ("escape-character", escape),
        ("array-element-delimiter", Some(item_delimiter)),
    ];
    for (index, (option, mark)) in marks.iter().enumerate() {
        let same = marks.iter().take(index).find(|(_, other)| mark.is_some() && other == mark);
        if let Some((other, _)) = same {
            let text = format!("is the same as {}", key(other));
            return Err(settings.invalid(&key(option), &text));
        }
    }
    let null = settings.text(&key("null-literal")).map(str::to_owned);
    let comments = settings.flag(&key("allow-comments"), false)?;
    Ok(Csv { columns, delimiter, quote, escape, null, item_delimiter, comments })
}

/// One ASCII mark, or `\t`.
fn letter(settings: &Settings, key: &str) -> Result<Option<u8>, Failure> {
    match settings.text(key).map(str::as_bytes) {
        None => Ok(None),
        Some(b"\\t") => Ok(Some(b'\t')),
        Some(&[letter @ b'!'..=b'~']) if !letter.is_ascii_alphanumeric() => Ok(Some(letter)),
        Some(_) => {
            let text = "allowed: one ASCII mark, as , or ; or |, or \\t";
            Err(settings.invalid(key, text))
        }
    }
}
