//! Places in splits as people name them: where the first run starts, where a bounded one ends. Pure.
//!
//! Counting from an end, and comparing with one, needs offsets that are numbers: a VALUE of one
//! field that is an integer, as a Kafka partition has it. Other sources are refused, never guessed at;
//! a place in them is the VALUE itself.

use std::collections::BTreeMap;

use protocol::message::Start;
use protocol::{OffsetKey, OffsetValue};
use serde_json::{Map, Value, json};

/// A place in one split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// The source finds it.
    At(Start),
    /// This many before the end.
    Last(u64),
    /// This offset.
    Offset(u64),
    /// This VALUE, as the source writes it.
    Value(OffsetValue),
}

/// A place in each split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// Splits that are named.
    pub named: BTreeMap<OffsetKey, Point>,
    /// All others; `None` leaves them out.
    pub others: Option<Point>,
}

impl Points {
    /// The same place in every split.
    pub const fn all(point: Point) -> Self {
        Self { named: BTreeMap::new(), others: Some(point) }
    }

    /// The place in one split, if it has one.
    pub(super) fn of(&self, key: &OffsetKey) -> Option<Point> {
        self.named.get(key).or(self.others.as_ref()).cloned()
    }

    /// One text for equal places, to be stored and compared.
    pub(super) fn text(&self) -> String {
        let word = |point: &Point| match point {
            Point::At(Start::Earliest) => json!("earliest"),
            Point::At(Start::Latest) => json!("latest"),
            Point::At(Start::Timestamp(ms)) => json!(format!("timestamp:{ms}")),
            Point::Last(count) => json!(format!("-{count}")),
            Point::Offset(offset) => json!(offset),
            Point::Value(value) => Value::Object(value.to_map()),
        };
        let named = self.named.iter().map(|(key, point)| (key.as_str().to_owned(), word(point)));
        let mut all: Map<String, Value> = named.collect();
        if let Some(point) = &self.others {
            all.insert("*".to_owned(), word(point));
        }
        Value::Object(all).to_string()
    }
}

/// The offset of a VALUE whose offsets are numbers, and whose lag counts them (`SPEC.md` section 6.2).
pub(super) fn offset_number(value: &OffsetValue) -> Option<u64> {
    value.to_map().get("offset")?.as_u64()
}

/// A VALUE that is one number, with the name of its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    field: String,
    pub value: i64,
}

impl Number {
    /// Reads a VALUE as the source gives it for a start.
    pub(super) fn of(value: &OffsetValue) -> Option<Self> {
        let map = value.to_map();
        let mut fields = map.iter();
        let (Some((field, number)), None) = (fields.next(), fields.next()) else { return None };
        Some(Self { field: field.clone(), value: number.as_i64()? })
    }

    /// The VALUE with another number.
    pub(super) fn with(&self, number: i64) -> Option<OffsetValue> {
        let fields = Map::from_iter([(self.field.clone(), Value::from(number))]);
        OffsetValue::from_json(&Value::Object(fields)).ok()
    }

    /// Whether a committed VALUE has come further.
    pub(super) fn is_passed_by(&self, value: &OffsetValue) -> bool {
        let map = value.to_map();
        map.get(&self.field).and_then(Value::as_i64).is_some_and(|at| at > self.value)
    }

    /// Whether a committed VALUE, which may say more than its number, has come this far.
    pub(super) fn is_reached_by(&self, value: &OffsetValue) -> bool {
        let map = value.to_map();
        map.get(&self.field).and_then(Value::as_i64).is_some_and(|at| at >= self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> OffsetValue {
        OffsetValue::parse(text).unwrap()
    }

    #[test]
    fn a_number_is_one_field_and_nothing_else() {
        let number = Number::of(&value(r#"{"offset":7}"#)).unwrap();
        assert_eq!(number.with(9).unwrap().as_str(), r#"{"offset":9}"#);
        for other in [r#"{"sequenceNumber":"7"}"#, r#"{"leaderEpoch":1,"offset":7}"#] {
            assert_eq!(Number::of(&value(other)), None, "{other}");
        }
    }

    #[test]
    fn an_end_is_reached_at_it_and_behind_it() {
        let end = Number::of(&value(r#"{"offset":7}"#)).unwrap();
        for (at, reached) in [
            (r#"{"offset":6}"#, false),
            (r#"{"offset":7}"#, true),
            (r#"{"leaderEpoch":3,"offset":8}"#, true),
            (r#"{"row":9}"#, false),
        ] {
            assert_eq!(end.is_reached_by(&value(at)), reached, "{at}");
            let is_behind = at.contains(":8");
            assert_eq!(end.is_passed_by(&value(at)), is_behind, "{at}");
        }
    }

    #[test]
    fn equal_places_have_one_text() {
        let key = OffsetKey::parse(r#"{"topic":"t","partition":0}"#).unwrap();
        let points = Points {
            named: BTreeMap::from([(key, Point::Offset(5))]),
            others: Some(Point::At(Start::Latest)),
        };
        assert_eq!(points.text(), r#"{"*":"latest","{\"partition\":0,\"topic\":\"t\"}":5}"#);
        assert_eq!(Points::all(Point::Last(3)).text(), r#"{"*":"-3"}"#);
    }
}
