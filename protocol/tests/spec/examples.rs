//! The field tables and examples of section 4, against the structs that read and write payloads.

use protocol::Failure;
use protocol::message::*;
use protocol::wire::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{json_block, marks, table};

/// Reads a payload as its message and writes it again.
type Again = fn(&[u8]) -> Option<Value>;

fn again<T: DeserializeOwned + Serialize>(payload: &[u8]) -> Option<Value> {
    // The kind only stands in the text of a refusal.
    decode::<T>(Kind::Hello, payload).ok().map(|message| serde_json::to_value(message).unwrap())
}

/// How to read a message; `None` where the payload is binary or empty.
fn reader(kind: Kind) -> Option<Again> {
    Some(match kind {
        Kind::Hello => again::<Hello>,
        Kind::HelloOk => again::<HelloOk>,
        Kind::Configure => again::<Configure>,
        Kind::Configured => again::<Configured>,
        Kind::Checked => again::<Checked>,
        Kind::Discovered => again::<Discovered>,
        Kind::GetOffsets => again::<GetOffsets>,
        Kind::Offsets => again::<Offsets>,
        Kind::Assign => again::<Assign>,
        Kind::Assigned => again::<Assigned>,
        Kind::Extract => again::<Extract>,
        Kind::BatchEnd => again::<BatchEnd>,
        Kind::Commit => again::<Commit>,
        Kind::Stop => again::<Stop>,
        Kind::Stopped => again::<Stopped>,
        Kind::Update => again::<Update>,
        Kind::Updated => again::<Updated>,
        Kind::Progress => again::<Progress>,
        Kind::Partitions => again::<Partitions>,
        Kind::Log => again::<Log>,
        Kind::Error => again::<Failure>,
        Kind::Check | Kind::Discover | Kind::Cancel => return None,
        Kind::Schema | Kind::Batch | Kind::Ping | Kind::Pong => return None,
    })
}

fn example(kind: Kind) -> Map<String, Value> {
    let text = json_block("example", kind.name());
    let Value::Object(map) = serde_json::from_str(&text).unwrap() else {
        panic!("example of {} is no object", kind.name());
    };
    map
}

#[test]
fn every_json_message_has_an_example() {
    let with_payload = Kind::ALL.iter().filter(|kind| reader(**kind).is_some());
    let names = with_payload.map(|kind| kind.name().to_owned()).collect();
    assert_eq!(marks("example"), names);
}

/// Nothing in an example is unknown to the code, which would drop it, and nothing changes.
#[test]
fn examples_are_read_and_written_again() {
    for kind in Kind::ALL {
        let Some(again) = reader(*kind) else { continue };
        let example = Value::Object(example(*kind));
        let text = serde_json::to_vec(&example).unwrap();
        assert_eq!(again(&text), Some(example), "example of {}", kind.name());
    }
}

/// The field tables name exactly the fields, and say rightly which of them may be absent and, by
/// their default, what absence means.
#[test]
fn field_tables_are_those_of_the_structs() {
    for kind in Kind::ALL {
        let Some(again) = reader(*kind) else { continue };
        let (example, name) = (example(*kind), kind.name());
        let rows = table("fields", name);
        let fields: Vec<&String> = rows.iter().map(|row| &row[0]).collect();
        let mut sorted = fields.clone();
        sorted.sort();
        assert_eq!(sorted, example.keys().collect::<Vec<_>>(), "fields of {name}");
        for row in &rows {
            let mut without = example.clone();
            without.remove(&row[0]);
            let read = again(&serde_json::to_vec(&without).unwrap());
            let (field, need) = (&row[0], row[2].as_str());
            let Some(read) = read else {
                assert_eq!(need, "required", "{field} of {name} must be there");
                continue;
            };
            assert_ne!(need, "required", "{field} of {name} may be absent");
            let default = read.get(field);
            match need {
                "-" => assert_eq!(default, None, "{field} of {name}"),
                // Objects of defaults are written out.
                "{}" => assert!(default.is_some_and(Value::is_object), "{field} of {name}"),
                text => {
                    let plain = default.map(|value| value.to_string().replace('"', ""));
                    let wanted = text.replace(['"', ','], "");
                    assert_eq!(plain, Some(wanted), "default of {field} of {name}");
                }
            }
        }
    }
}
