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

fn terms(pattern: Option<&str>) -> Terms {
    let pattern = pattern.map(|text| {
        let config = serde_json::json!({"topics.regex": text});
        let none = serde_json::Map::new();
        let settings = crate::config::Settings::from_maps(config.as_object().unwrap(), &none);
        Selection::read(&settings.unwrap()).unwrap().pattern().unwrap().clone()
    });
    Terms { servers: "b:1".to_owned(), pattern }
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
    watch.look(&seen(Some("B"), 2), &terms(None));
    assert!(watch.suspect && watch.verdict.is_none());
    watch.look(&seen(Some("A"), 2), &terms(None));
    assert!(!watch.suspect, "a stale answer");
    watch.look(&seen(Some("B"), 2), &terms(None));
    watch.look(&seen(Some("B"), 2), &terms(None));
    assert_eq!(watch.verdict.as_ref().unwrap().code, Code::SourceRecreated);
    watch.assign(&BTreeMap::from([("t".to_owned(), Some("B".to_owned()))]), &[]);
    watch.look(&seen(Some("B"), 2), &terms(None));
    assert!(watch.verdict.is_none());
}

#[test]
fn without_ids_nothing_is_compared() {
    let mut watch = watch(None, 1);
    for id in [None, Some("A"), Some("B"), None] {
        watch.look(&seen(id, 1), &terms(None));
        assert!(!watch.suspect && watch.verdict.is_none());
    }
}

#[test]
fn e05_new_partitions_are_reported_once() {
    let mut watch = watch(Some("A"), 2);
    watch.look(&seen(Some("A"), 2), &terms(None));
    assert!(watch.added.is_empty());
    watch.look(&seen(Some("A"), 4), &terms(None));
    watch.look(&seen(Some("A"), 4), &terms(None));
    let added: Vec<_> =
        watch.added.iter().map(|(place, begin)| (place.partition, *begin)).collect();
    assert_eq!(added, [(2, 0), (3, 0)]);
    watch.learn(&seen(Some("A"), 6));
    watch.look(&seen(Some("A"), 6), &terms(None));
    assert_eq!(watch.added.len(), 4, "a later list does not hide new partitions");
}

#[test]
fn a_vanished_topic_is_believed_after_three_looks() {
    let mut watch = watch(Some("A"), 2);
    watch.look(&unknown(), &terms(None));
    watch.look(&unknown(), &terms(None));
    assert!(watch.suspect && watch.verdict.is_none());
    watch.look(&seen(Some("A"), 2), &terms(None));
    assert!(!watch.suspect);
    for _ in 0..VANISHED_LOOKS {
        watch.look(&unknown(), &terms(None));
    }
    assert_eq!(watch.verdict.unwrap().code, Code::SourceNotFound);
}

#[test]
fn a_vanished_partition_is_named() {
    let mut watch = watch(Some("A"), 3);
    for _ in 0..VANISHED_LOOKS {
        watch.look(&seen(Some("A"), 2), &terms(None));
    }
    let failure = watch.verdict.unwrap();
    assert_eq!(failure.code, Code::SourceNotFound);
    assert!(failure.message.contains("topic t partition 2"), "{}", failure.message);
}

#[test]
fn a_partial_answer_changes_nothing() {
    let mut watch = watch(Some("A"), 1);
    let denied = Err(RDKafkaErrorCode::TopicAuthorizationFailed);
    watch.look(&Topics::from([("t".to_owned(), denied)]), &terms(None));
    watch.look(&Topics::new(), &terms(None));
    assert!(!watch.suspect && watch.verdict.is_none());
}

fn with_new(mut topics: Topics) -> Topics {
    let topic = Topic { id: Some("N".to_owned()), partitions: vec![0, 1] };
    topics.insert("t2".to_owned(), Ok(topic));
    topics
}

#[test]
fn a_new_topic_that_matches_is_reported_once() {
    let mut watch = watch(Some("A"), 1);
    let seen = with_new(seen(Some("A"), 1));
    let places = watch.unknown(&seen);
    assert_eq!(
        places.iter().map(|it| (it.topic.as_str(), it.partition)).collect::<Vec<_>>(),
        [("t2", 0), ("t2", 1)]
    );
    watch.look(&seen, &terms(Some("t.*")));
    assert!(watch.added.is_empty(), "not before its beginning is known");
    watch.add(&seen, places.into_iter().zip([7, 0]).collect());
    let added: Vec<_> = watch.added.iter().map(|(place, at)| (place.partition, *at)).collect();
    assert_eq!(added, [(0, 7), (1, 0)]);
    assert!(watch.unknown(&seen).is_empty());
    watch.look(&seen, &terms(Some("t.*")));
    assert_eq!(watch.added.len(), 2);
}

#[test]
fn a_matched_topic_that_is_gone_is_an_error_where_it_is_read_and_only_there() {
    let terms = terms(Some("t.*"));
    let mut reads = watch(Some("A"), 1);
    let mut reads_not = watch(Some("A"), 1);
    reads_not.assign(&BTreeMap::new(), &[]);
    for _ in 0..VANISHED_LOOKS {
        reads.look(&unknown(), &terms);
        reads_not.look(&unknown(), &terms);
        assert!(!reads_not.suspect, "what is read of other topics goes on");
    }
    let failure = reads.verdict.unwrap();
    assert_eq!(failure.code, Code::SourceNotFound);
    assert!(failure.message.contains("run the pipeline again to go on without it"), "{failure}");
    assert!(reads_not.verdict.is_none());
    assert_eq!(reads_not.unknown(&seen(Some("B"), 1)).len(), 1, "it may come again");
}

/// One partition has no leader: where it begins is not known, and it may not be taken for told.
#[test]
fn a_new_topic_is_reported_once_all_its_partitions_tell_where_they_begin() {
    let mut watch = watch(Some("A"), 1);
    let seen = with_new(seen(Some("A"), 1));
    let places = watch.unknown(&seen);
    let offsets = vec![Ok(Some(7)), Err(RDKafkaErrorCode::LeaderNotAvailable)];
    assert!(watch.add(&seen, told(places, offsets)).is_empty());
    assert!(watch.added.is_empty());
    let places = watch.unknown(&seen);
    assert_eq!(places.len(), 2, "it is asked for again");
    assert_eq!(watch.add(&seen, told(places, vec![Ok(Some(7)), Ok(Some(3))])), ["t2"]);
    let added: Vec<_> = watch.added.iter().map(|(place, at)| (place.partition, *at)).collect();
    assert_eq!(added, [(0, 7), (1, 3)]);
}

#[test]
fn one_that_cannot_be_asked_hides_no_other() {
    let place = |partition| Place { topic: "t".to_owned(), partition };
    let offsets = vec![Err(RDKafkaErrorCode::LeaderNotAvailable), Ok(Some(9)), Ok(None)];
    assert_eq!(told((0..3).map(place).collect(), offsets), [(place(1), 9)]);
}
