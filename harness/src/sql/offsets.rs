//! The JSON of ALTER PIPELINE … SET OFFSETS: `{"0": 100}` by partition, `{"shardId-…": "49…"}` by shard, or
//! the lines of `harness offsets --json` in an array.
//!
//! Pure. Invariant: only splits that the pipeline has are moved, and each to a place of its own kind.

use protocol::{OffsetKey, OffsetValue};
use serde_json::{Map, Value, json};

use super::error::Syntax;
use super::statement::Json;
use crate::catalogue::Split;

/// KEYs that an error names.
const KEYS_SHOWN: usize = 5;

/// The splits that the JSON moves, at their new places; with `all`, those that it leaves out, too.
///
/// # Errors
/// It is no such JSON, or names a split that there is not.
pub(crate) fn moved(json: &Json, splits: &[Split], all: bool) -> Result<Vec<Split>, Syntax> {
    let refused = |message: String| Syntax { at: json.at, message };
    let value = protocol::json::parse(json.text.as_bytes())
        .map_err(|error| refused(format!("not valid JSON: {error}")))?;
    let pairs: Vec<(String, String)> = match &value {
        Value::Object(map) => {
            map.iter().map(|(split, place)| short(split, place, splits)).collect::<Result<_, _>>()
        }
        Value::Array(lines) => lines.iter().map(|line| long(line, splits)).collect(),
        _ => Err("expected {\"PARTITION\": OFFSET, …}, or [{\"key\": {…}, \"value\": {…}}, …]"
            .to_owned()),
    }
    .map_err(refused)?;
    if pairs.is_empty() {
        return Err(refused("it moves no split".to_owned()));
    }
    let place_of = |key: &str| pairs.iter().find(|(named, _)| named == key).map(|(_, value)| value);
    let moved = splits.iter().filter_map(|split| match place_of(&split.key) {
        Some(value) => Some(Split { value: value.clone(), ..split.clone() }),
        None if all => Some(split.clone()),
        None => None,
    });
    Ok(moved.collect())
}

/// A partition or a shard by its name alone.
fn short(name: &str, place: &Value, splits: &[Split]) -> Result<(String, String), String> {
    let fields = |split: &Split| OffsetKey::parse(&split.key).map(|key| key.to_map()).ok();
    let is_partition = |map: &Map<String, Value>| {
        map.get("partition")
            .and_then(Value::as_u64)
            .is_some_and(|number| name.parse() == Ok(number))
    };
    let is_shard = |map: &Map<String, Value>| {
        map.get("shardId").is_some_and(|shard| shard.as_str() == Some(name))
    };
    let fits =
        |split: &&Split| fields(split).is_some_and(|map| is_partition(&map) || is_shard(&map));
    let mut found = splits.iter().filter(fits);
    let Some(split) = found.next() else { return Err(unknown(name, splits)) };
    if found.next().is_some() {
        return Err(format!(
            "{name} is a partition of more than one topic; write [{{\"key\": {}, \"value\": {{…}}}}]",
            split.key
        ));
    }
    let is_kafka = fields(split).is_some_and(|map| is_partition(&map));
    let value =
        if is_kafka { json!({ "offset": place }) } else { json!({ "sequenceNumber": place }) };
    Ok((split.key.clone(), canonical(&value, name)?))
}

/// A split by its KEY.
fn long(line: &Value, splits: &[Split]) -> Result<(String, String), String> {
    let (Some(key), Some(value)) = (line.get("key"), line.get("value")) else {
        return Err("expected {\"key\": {…}, \"value\": {…}} for each split".to_owned());
    };
    let key = OffsetKey::parse(&key.to_string()).map_err(|error| error.to_string())?;
    if splits.iter().all(|split| split.key != key.as_str()) {
        return Err(unknown(key.as_str(), splits));
    }
    Ok((key.as_str().to_owned(), canonical(value, key.as_str())?))
}

fn canonical(value: &Value, split: &str) -> Result<String, String> {
    let number = value.get("offset").filter(|offset| offset.as_u64().is_none());
    let text = value.get("sequenceNumber").filter(|it| {
        it.as_str().is_none_or(|it| it.is_empty() || !it.bytes().all(|byte| byte.is_ascii_digit()))
    });
    if number.is_some() {
        return Err(format!("{split}: expected an offset, a whole number from 0"));
    }
    if text.is_some() {
        return Err(format!("{split}: expected a sequence number, digits in quotes"));
    }
    let value =
        OffsetValue::parse(&value.to_string()).map_err(|error| format!("{split}: {error}"))?;
    Ok(value.as_str().to_owned())
}

fn unknown(name: &str, splits: &[Split]) -> String {
    let keys: Vec<&str> = splits.iter().take(KEYS_SHOWN).map(|split| split.key.as_str()).collect();
    let more = if splits.len() > KEYS_SHOWN { ", …" } else { "" };
    let name: String =
        name.chars().take(64).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("the pipeline has no split {name}; it has {}{more}", keys.join(", "))
}

#[cfg(test)]
mod tests;
