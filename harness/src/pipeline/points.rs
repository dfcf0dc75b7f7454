//! `start` and `end` as people write them: a word for all splits, or a map by partition or shard.
//!
//! Touches nothing. Partitions of Kafka are named `TOPIC/PARTITION` here, and nowhere else; shards of
//! Kinesis have their own names, and places of their own: a word, a time, or a record by its number.

use std::collections::BTreeMap;

use jiff::Timestamp;
use protocol::message::Start;
use protocol::{OffsetKey, OffsetValue};
use serde_json::{Map, Value, json};

use crate::catalogue::SPLITS_MAX;
use crate::run::{Point, Points};

/// What `start` may be.
pub(super) const START_FORM: &str = "earliest, latest, timestamp:MILLISECONDS, \
    timestamp:2026-01-31T00:00:00Z, -N for the last N of each partition, or a map such as \
    {\"orders/0\": 5, \"orders/1\": -100, \"orders/2\": \"latest\"}, of shards \
    {\"shardId-000000000000\": {\"atSequenceNumber\": \"4967…\"}} (or afterSequenceNumber, or a word)";

/// What `end` may be.
pub(super) const END_FORM: &str = "latest, timestamp:MILLISECONDS, timestamp:2026-01-31T00:00:00Z, or a map \
    such as {\"orders/0\": 500, \"orders/1\": \"latest\"}";

/// Reads where to start.
///
/// # Errors
/// What was expected instead.
pub fn parse_start(text: &str) -> Result<Points, String> {
    parse(text, START_FORM, &is_start, Some(Point::At(Start::Earliest)))
}

/// Reads where to end.
///
/// # Errors
/// What was expected instead.
pub fn parse_end(text: &str) -> Result<Points, String> {
    parse(text, END_FORM, &is_end, None)
}

/// Reads the numbers of records that `kinesis.position` asks for: a map that names shards. `side`: the
/// key of a place in a shard.
///
/// # Errors
/// What was expected instead.
pub(super) fn parse_numbers(text: &str, side: &str) -> Result<Points, String> {
    let form = NUMBERS_FORM;
    let mut named = BTreeMap::new();
    for (name, number) in map(text, form)? {
        let place = Value::Object(Map::from_iter([(side.to_owned(), number.clone())]));
        let entry = shard_key(&name).zip(record(&place));
        let (key, point) = entry.ok_or_else(|| strange(form, &name, &number))?;
        named.insert(key, point);
    }
    Ok(Points { named, others: None })
}

/// What `kinesis.position.sequence.numbers` may be.
const NUMBERS_FORM: &str = "a map that names every shard, such as \
    {\"shardId-000000000000\": \"4967…\", \"shardId-000000000001\": \"4968…\"}";

/// A moment as people write it: milliseconds since 1970, or a time such as `2026-01-31T00:00:00Z`.
pub(super) fn moment(text: &str) -> Option<Start> {
    let from_millis = digits(text).and_then(|ms| i64::try_from(ms).ok());
    let from_text = || text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    from_millis.or_else(from_text).map(Start::Timestamp)
}

const fn is_start(_: &Point) -> bool {
    true
}

const fn is_end(point: &Point) -> bool {
    !matches!(point, Point::At(Start::Earliest) | Point::Last(_) | Point::Value(_))
}

/// `others`: what holds for partitions that a map does not name.
fn parse(
    text: &str,
    form: &str,
    fits: &dyn Fn(&Point) -> bool,
    others: Option<Point>,
) -> Result<Points, String> {
    let text = text.trim();
    if !text.starts_with('{') {
        // A number is the offset of one partition, so that it makes sense in a map alone.
        let point = point(text).filter(|point| !matches!(point, Point::Offset(_)) && fits(point));
        return point.map(Points::all).ok_or_else(|| form.to_owned());
    }
    let mut named = BTreeMap::new();
    for (name, value) in map(text, form)? {
        let (key, point) = entry(&name, &value)
            .filter(|(_, point)| fits(point))
            .ok_or_else(|| strange(form, &name, &value))?;
        if named.insert(key, point).is_some() {
            return Err(format!("{form}; {name:?} is named twice"));
        }
    }
    Ok(Points { named, others })
}

fn map(text: &str, form: &str) -> Result<Map<String, Value>, String> {
    let map = match protocol::json::parse(text.trim().as_bytes()) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return Err(form.to_owned()),
        Err(error) => return Err(format!("{form} ({error})")),
    };
    if map.is_empty() || map.len() > SPLITS_MAX {
        return Err(format!("{form}; a map names 1 to {SPLITS_MAX} partitions"));
    }
    Ok(map)
}

/// One entry of a map: a partition with a place that may be counted, or a shard with one that may not.
fn entry(name: &str, value: &Value) -> Option<(OffsetKey, Point)> {
    let counted = match value {
        Value::String(text) => point(text.trim()),
        Value::Number(number) => point(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match key(name) {
        Some(key) => Some((key, counted?)),
        None => {
            let found = counted.filter(|point| matches!(point, Point::At(_)));
            Some((shard_key(name)?, found.or_else(|| record(value))?))
        }
    }
}

fn strange(form: &str, name: &str, value: &Value) -> String {
    format!("{form}; {} is none of these", entry_text(name, value))
}

/// A record of a shard by its number: the VALUE of `SPEC.md` section 6.3 that begins with it, or the one
/// that goes on after it.
fn record(value: &Value) -> Option<Point> {
    /// Digits of a number, the service's own limit.
    const DIGITS_MAX: usize = 128;
    let mut fields = value.as_object()?.iter();
    let (Some((side, number)), None) = (fields.next(), fields.next()) else { return None };
    let number = number.as_str()?.trim();
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let plain = number == "0" || !number.starts_with('0');
    if !digits || !plain || number.len() > DIGITS_MAX {
        return None;
    }
    let value = match side.as_str() {
        AT_NUMBER => json!({"position": "AT_SEQUENCE_NUMBER", "sequenceNumber": number}),
        AFTER_NUMBER => json!({"sequenceNumber": number}),
        _ => return None,
    };
    OffsetValue::from_json(&value).ok().map(Point::Value)
}

/// A place in a shard: with this record, or after it.
pub(super) const AT_NUMBER: &str = "atSequenceNumber";
pub(super) const AFTER_NUMBER: &str = "afterSequenceNumber";

fn entry_text(name: &str, value: &Value) -> String {
    let text = format!("{name:?}: {value}");
    text.chars().take(64).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn point(text: &str) -> Option<Point> {
    match text {
        "earliest" => return Some(Point::At(Start::Earliest)),
        "latest" => return Some(Point::At(Start::Latest)),
        _ => {}
    }
    // Every offset is an `i64` on the brokers.
    let number = |text: &str| digits(text).filter(|n| i64::try_from(*n).is_ok());
    if let Some(count) = text.strip_prefix('-') {
        return number(count).filter(|count| *count > 0).map(Point::Last);
    }
    if let Some(offset) = number(text) {
        return Some(Point::Offset(offset));
    }
    moment(text.strip_prefix("timestamp:")?.trim()).map(Point::At)
}

/// The KEY of a shard. Shards of the service are all called like this; other names are slips of the pen.
fn shard_key(name: &str) -> Option<OffsetKey> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let number = name.strip_prefix("shardId-")?;
    let is_name = !number.is_empty() && number.bytes().all(legal);
    is_name.then(|| OffsetKey::from_json(&json!({"shardId": name})).ok())?
}

/// A number of digits alone: the standard library also takes a plus.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The KEY of `TOPIC/PARTITION`.
fn key(name: &str) -> Option<OffsetKey> {
    let (topic, partition) = name.rsplit_once('/')?;
    let partition = digits(partition).filter(|n| i32::try_from(*n).is_ok())?;
    let is_name = !topic.is_empty() && !topic.contains('/');
    is_name.then(|| OffsetKey::from_json(&json!({"partition": partition, "topic": topic})).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn all(text: &str, point: Point) {
        assert_eq!(parse_start(text), Ok(Points::all(point)));
    }

    #[test]
    fn a_word_is_for_all_splits() {
        all("earliest", Point::At(Start::Earliest));
        all(" latest ", Point::At(Start::Latest));
        all("timestamp:0", Point::At(Start::Timestamp(0)));
        all("timestamp:1970-01-01T00:00:01.5Z", Point::At(Start::Timestamp(1500)));
        all("-100", Point::Last(100));
        for bad in [
            "",
            "5",
            "-0",
            "--5",
            "-x",
            "-+5",
            "timestamp:+5",
            "yesterday",
            "timestamp:",
            "timestamp:-1",
            "timestamp:x",
            "Latest",
            "-99999999999999999999",
        ] {
            assert_eq!(parse_start(bad), Err(START_FORM.to_owned()), "{bad}");
        }
        assert_eq!(parse_end("latest"), Ok(Points::all(Point::At(Start::Latest))));
        for bad in ["earliest", "-5", "5", ""] {
            assert_eq!(parse_end(bad), Err(END_FORM.to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_map_names_partitions() {
        let read = parse_start(r#"{"orders/0": 5, "a.b/1": -7, "orders/2": "latest", "o/3": "9"}"#);
        let read = read.unwrap();
        let of = |text: &str| read.named.get(&OffsetKey::parse(text).unwrap()).cloned();
        assert_eq!(of(r#"{"partition":0,"topic":"orders"}"#), Some(Point::Offset(5)));
        assert_eq!(of(r#"{"partition":1,"topic":"a.b"}"#), Some(Point::Last(7)));
        assert_eq!(of(r#"{"partition":2,"topic":"orders"}"#), Some(Point::At(Start::Latest)));
        assert_eq!(of(r#"{"partition":3,"topic":"o"}"#), Some(Point::Offset(9)));
        assert_eq!(read.others, Some(Point::At(Start::Earliest)));
        assert_eq!(parse_end(r#"{"orders/0": 5}"#).unwrap().others, None);
    }

    fn value(text: &str) -> Option<Point> {
        Some(Point::Value(OffsetValue::parse(text).unwrap()))
    }

    #[test]
    fn a_map_names_records_of_shards() {
        let read = parse_start(
            r#"{"shardId-0": {"atSequenceNumber": "4967"}, "shardId-1": "latest",
                "shardId-2": {"afterSequenceNumber": " 0 "}, "shardId-3": "timestamp:5"}"#,
        );
        let read = read.unwrap();
        let of = |name: &str| read.named.get(&shard_key(name).unwrap()).cloned();
        let at = r#"{"position":"AT_SEQUENCE_NUMBER","sequenceNumber":"4967"}"#;
        assert_eq!(of("shardId-0"), value(at));
        assert_eq!(of("shardId-1"), Some(Point::At(Start::Latest)));
        assert_eq!(of("shardId-2"), value(r#"{"sequenceNumber":"0"}"#));
        assert_eq!(of("shardId-3"), Some(Point::At(Start::Timestamp(5))));
        assert_eq!(read.others, Some(Point::At(Start::Earliest)));
        for bad in [
            r#"{"shardId-0": 5}"#,
            r#"{"shardId-0": "-5"}"#,
            r#"{"shardId-0": "4967"}"#,
            r#"{"shardId-": "latest"}"#,
            r#"{"shardId-0": {"sequenceNumber": "4967"}}"#,
            r#"{"shardId-0": {"atSequenceNumber": 4967}}"#,
            r#"{"shardId-0": {"atSequenceNumber": "04967"}}"#,
            r#"{"shardId-0": {"atSequenceNumber": ""}}"#,
            r#"{"shardId-0": {"atSequenceNumber": "1", "afterSequenceNumber": "2"}}"#,
            r#"{"orders/0": {"atSequenceNumber": "1"}}"#,
        ] {
            let error = parse_start(bad).unwrap_err();
            assert!(error.contains("is none of these"), "{bad}: {error}");
        }
        let end = r#"{"shardId-0": {"atSequenceNumber": "1"}}"#;
        assert!(parse_end(end).unwrap_err().contains("is none"), "no end is counted in shards");
    }

    #[test]
    fn numbers_of_the_connector_s_position_name_every_shard() {
        let read = parse_numbers(r#"{"shardId-0": "7"}"#, AFTER_NUMBER).unwrap();
        let key = shard_key("shardId-0").unwrap();
        assert_eq!(read.named.get(&key).cloned(), value(r#"{"sequenceNumber":"7"}"#));
        assert_eq!(read.others, None);
        for bad in ["7", "{}", r#"{"shardId-0": 7}"#, r#"{"orders/0": "7"}"#] {
            let error = parse_numbers(bad, AT_NUMBER).unwrap_err();
            assert!(error.starts_with(NUMBERS_FORM), "{bad}: {error}");
        }
    }

    #[test]
    fn a_map_that_cannot_be_meant_is_refused() {
        for (text, part) in [
            (r#"{"orders": 5}"#, r#""orders": 5 is none"#),
            (r#"{"orders/x": 5}"#, "is none"),
            (r#"{"orders/-1": 5}"#, "is none"),
            (r#"{"orders/+1": 5}"#, "is none"),
            (r#"{"orders/1": "+5"}"#, "is none"),
            (r#"{"/1": 5}"#, "is none"),
            (r#"{"orders/0": 1.5}"#, "is none"),
            (r#"{"orders/0": true}"#, "is none"),
            (r#"{"orders/0": 5, "orders/00": 6}"#, "named twice"),
            (r#"{"orders/0": 5, "orders/0": 6}"#, "earliest"),
            ("{}", "1 to"),
            (r#"{"orders/0": "#, "earliest"),
        ] {
            let error = parse_start(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(parse_end(r#"{"orders/0": -5}"#).unwrap_err().contains("is none"));
        assert!(parse_end(r#"{"orders/0": "earliest"}"#).unwrap_err().contains("is none"));
    }
}
