//! `start` and `end` as people write them: a word for all splits, or a map by partition.
//!
//! Touches nothing. Partitions of Kafka are named `TOPIC/PARTITION` here, and nowhere else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use protocol::OffsetKey;
use protocol::message::Start;
use serde_json::{Value, json};

use crate::catalogue::SPLITS_MAX;
use crate::run::{Point, Points};

/// What `start` may be.
pub(super) const START_FORM: &str = "earliest, latest, timestamp:MILLISECONDS, \
    timestamp:2026-01-31T00:00:00Z, -N for the last N of each partition, or a map such as \
    {\"orders/0\": 5, \"orders/1\": -100, \"orders/2\": \"latest\"}";

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

const fn is_start(_: Point) -> bool {
    true
}

const fn is_end(point: Point) -> bool {
    !matches!(point, Point::At(Start::Earliest) | Point::Last(_))
}

/// `others`: what holds for partitions that a map does not name.
fn parse(
    text: &str,
    form: &str,
    fits: &dyn Fn(Point) -> bool,
    others: Option<Point>,
) -> Result<Points, String> {
    let text = text.trim();
    if !text.starts_with('{') {
        // A number is the offset of one partition, so that it makes sense in a map alone.
        let point = point(text).filter(|point| !matches!(point, Point::Offset(_)) && fits(*point));
        return point.map(Points::all).ok_or_else(|| form.to_owned());
    }
    let map = match protocol::json::parse(text.as_bytes()) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return Err(form.to_owned()),
        Err(error) => return Err(format!("{form} ({error})")),
    };
    if map.is_empty() || map.len() > SPLITS_MAX {
        return Err(format!("{form}; a map names 1 to {SPLITS_MAX} partitions"));
    }
    let mut named = BTreeMap::new();
    for (name, value) in &map {
        let wrong = || format!("{form}; {} is none of these", entry_text(name, value));
        let written = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err(wrong());
            }
        };
        let point = point(&written).filter(|point| fits(*point)).ok_or_else(wrong)?;
        let key = key(name).ok_or_else(wrong)?;
        if named.insert(key, point).is_some() {
            return Err(format!("{form}; {name:?} is named twice"));
        }
    }
    Ok(Points { named, others })
}

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
    let number = |text: &str| text.parse::<u64>().ok().filter(|n| i64::try_from(*n).is_ok());
    if let Some(count) = text.strip_prefix('-') {
        return number(count).filter(|count| *count > 0).map(Point::Last);
    }
    if let Some(offset) = number(text) {
        return Some(Point::Offset(offset));
    }
    let time = text.strip_prefix("timestamp:")?.trim();
    let from_millis = time.parse::<i64>().ok().filter(|ms| *ms >= 0);
    let from_text = || time.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    from_millis.or_else(from_text).map(|ms| Point::At(Start::Timestamp(ms)))
}

/// The KEY of `TOPIC/PARTITION`.
fn key(name: &str) -> Option<OffsetKey> {
    let (topic, partition) = name.rsplit_once('/')?;
    let partition = partition.parse::<u32>().ok().filter(|n| i32::try_from(*n).is_ok())?;
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
        let of = |text: &str| read.named.get(&OffsetKey::parse(text).unwrap()).copied();
        assert_eq!(of(r#"{"partition":0,"topic":"orders"}"#), Some(Point::Offset(5)));
        assert_eq!(of(r#"{"partition":1,"topic":"a.b"}"#), Some(Point::Last(7)));
        assert_eq!(of(r#"{"partition":2,"topic":"orders"}"#), Some(Point::At(Start::Latest)));
        assert_eq!(of(r#"{"partition":3,"topic":"o"}"#), Some(Point::Offset(9)));
        assert_eq!(read.others, Some(Point::At(Start::Earliest)));
        assert_eq!(parse_end(r#"{"orders/0": 5}"#).unwrap().others, None);
    }

    #[test]
    fn a_map_that_cannot_be_meant_is_refused() {
        for (text, part) in [
            (r#"{"orders": 5}"#, r#""orders": 5 is none"#),
            (r#"{"orders/x": 5}"#, "is none"),
            (r#"{"orders/-1": 5}"#, "is none"),
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
