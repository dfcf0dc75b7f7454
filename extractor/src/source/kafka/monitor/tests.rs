//! What a sequence of looks says about a topic.

use super::super::describe::Topic;
use super::*;

fn seen(id: Option<&str>, partitions: i32) -> Topics {
    let topic = Topic { id: id.map(ToOwned::to_owned), partitions: (0..partitions).collect() };
    Topics::from([("t".to_owned(), Ok(topic))])
}

fn unknown() -> Topics {
    Topics::from([("t".to_owned(), Err(RDKafkaErrorCode::UnknownTopicOrPartition))])
}

fn watch(id: Option<&str>, partitions: i32) -> Watch {
    let mut watch = Watch::default();
    watch.learn(&seen(id, partitions));
    let places: Vec<_> =
        (0..partitions).map(|partition| Place { topic: "t".to_owned(), partition }).collect();
    watch.assign(&BTreeMap::from([("t".to_owned(), id.map(ToOwned::to_owned))]), &places);
    watch
}

#[test]
fn e10_another_id_is_another_topic_once_it_was_seen_twice() {
    let mut watch = watch(Some("A"), 2);
    watch.look(&seen(Some("B"), 2), "b:1");
    assert!(watch.suspect && watch.verdict.is_none());
    watch.look(&seen(Some("A"), 2), "b:1");
    assert!(!watch.suspect, "a stale answer");
    watch.look(&seen(Some("B"), 2), "b:1");
    watch.look(&seen(Some("B"), 2), "b:1");
    assert_eq!(watch.verdict.as_ref().unwrap().code, Code::SourceRecreated);
    watch.assign(&BTreeMap::from([("t".to_owned(), Some("B".to_owned()))]), &[]);
    watch.look(&seen(Some("B"), 2), "b:1");
    assert!(watch.verdict.is_none());
}

#[test]
fn without_ids_nothing_is_compared() {
    let mut watch = watch(None, 1);
    for id in [None, Some("A"), Some("B"), None] {
        watch.look(&seen(id, 1), "b:1");
        assert!(!watch.suspect && watch.verdict.is_none());
    }
}

#[test]
fn e05_new_partitions_are_reported_once() {
    let mut watch = watch(Some("A"), 2);
    watch.look(&seen(Some("A"), 2), "b:1");
    assert!(watch.added.is_empty());
    watch.look(&seen(Some("A"), 4), "b:1");
    watch.look(&seen(Some("A"), 4), "b:1");
    let added: Vec<_> = watch.added.iter().map(|place| place.partition).collect();
    assert_eq!(added, [2, 3]);
    watch.learn(&seen(Some("A"), 6));
    watch.look(&seen(Some("A"), 6), "b:1");
    assert_eq!(watch.added.len(), 4, "a later list does not hide new partitions");
}

#[test]
fn a_vanished_topic_is_believed_after_three_looks() {
    let mut watch = watch(Some("A"), 2);
    watch.look(&unknown(), "b:1");
    watch.look(&unknown(), "b:1");
    assert!(watch.suspect && watch.verdict.is_none());
    watch.look(&seen(Some("A"), 2), "b:1");
    assert!(!watch.suspect);
    for _ in 0..VANISHED_LOOKS {
        watch.look(&unknown(), "b:1");
    }
    assert_eq!(watch.verdict.unwrap().code, Code::SourceNotFound);
}

#[test]
fn a_vanished_partition_is_named() {
    let mut watch = watch(Some("A"), 3);
    for _ in 0..VANISHED_LOOKS {
        watch.look(&seen(Some("A"), 2), "b:1");
    }
    let failure = watch.verdict.unwrap();
    assert_eq!(failure.code, Code::SourceNotFound);
    assert!(failure.message.contains("topic t partition 2"), "{}", failure.message);
}

#[test]
fn a_partial_answer_changes_nothing() {
    let mut watch = watch(Some("A"), 1);
    let denied = Err(RDKafkaErrorCode::TopicAuthorizationFailed);
    watch.look(&Topics::from([("t".to_owned(), denied)]), "b:1");
    watch.look(&Topics::new(), "b:1");
    assert!(!watch.suspect && watch.verdict.is_none());
}
