//! Tests of incarnations as text: what is equal, and what is another life.

use protocol::Code;

use super::super::describe::Topic;
use super::*;

fn topics(entries: &[(&str, Option<&str>)]) -> Topics {
    let topic =
        |id: &Option<&str>| Ok(Topic { id: id.map(ToOwned::to_owned), partitions: vec![0] });
    entries.iter().map(|(name, id)| ((*name).to_owned(), topic(id))).collect()
}

#[test]
fn the_incarnation_names_every_topic_that_has_an_id() {
    assert_eq!(incarnation(&topics(&[("b", Some("B")), ("a", Some("A"))])), "a:A,b:B");
    assert_eq!(incarnation(&topics(&[("a", Some("A")), ("c", None)])), "a:A");
    assert_eq!(incarnation(&topics(&[("a", None)])), "");
}

#[test]
fn e10_another_id_is_refused_and_only_that() {
    let now = topics(&[("a", Some("A")), ("b", Some("B")), ("c", None)]);
    for before in ["", "a:A,b:B", "a:A", "z:Z", "a:A,c:C"] {
        expected_ids(before, &now).unwrap();
    }
    let failure = expected_ids("a:A,b:X", &now).unwrap_err();
    assert_eq!(failure.code, Code::SourceRecreated);
    assert!(failure.message.contains("topic b"), "{}", failure.message);
}
