//! The JSON of SET OFFSETS. Touches nothing.

use super::moved;
use crate::catalogue::Split;
use crate::sql::statement::Json;

fn split(key: &str, value: &str) -> Split {
    let (key, value) = (key.to_owned(), value.to_owned());
    Split { key, value, rev: 0, epoch: 0, ordinal: 0, task_id: 0 }
}

fn kafka(topic: &str, partition: u32) -> Split {
    split(&format!(r#"{{"partition":{partition},"topic":"{topic}"}}"#), r#"{"offset":7}"#)
}

fn check(text: &str, splits: &[Split], wanted: Result<&[&str], &str>) {
    let json = Json { text: text.to_owned(), at: 3 };
    match (moved(&json, splits, false), wanted) {
        (Ok(moved), Ok(values)) => {
            assert_eq!(
                moved.iter().map(|it| it.value.as_str()).collect::<Vec<_>>(),
                values,
                "{text}"
            );
        }
        (Err(error), Err(wanted)) => {
            assert!(error.message.contains(wanted), "{text}: {}", error.message);
            assert_eq!(error.at, 3);
        }
        (found, _) => panic!("{text}: {found:?}"),
    }
}

#[test]
fn partitions_shards_and_keys_are_moved() {
    let topic = [kafka("t", 0), kafka("t", 1)];
    check(r#"{"1": 150}"#, &topic, Ok(&[r#"{"offset":150}"#]));
    check(r#"{"1": 0, "0": 1}"#, &topic, Ok(&[r#"{"offset":1}"#, r#"{"offset":0}"#]));
    let long = r#"[{"key": {"topic":"t","partition":1}, "value": {"offset": 9}, "rows": 3}]"#;
    check(long, &topic, Ok(&[r#"{"offset":9}"#]));
    let shard = [split(r#"{"shardId":"shardId-0"}"#, r#"{"position":"TRIM_HORIZON"}"#)];
    check(r#"{"shardId-0": "49673"}"#, &shard, Ok(&[r#"{"sequenceNumber":"49673"}"#]));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let topics = [kafka("t", 0), kafka("u", 0)];
    check(r#"{"0": 1}"#, &topics, Err("0 is a partition of more than one topic"));
    check(r#"{"4": 1}"#, &topics, Err(r#"no split 4; it has {"partition":0,"topic":"t"}, "#));
    check(r#"{"0": -1}"#, &topics[..1], Err("0: expected an offset, a whole number from 0"));
    check(r#"{"0": "1"}"#, &topics[..1], Err("expected an offset"));
    check("{}", &topics, Err("it moves no split"));
    check("[]", &topics, Err("it moves no split"));
    check("7", &topics, Err("expected {\"PARTITION\": OFFSET"));
    check("{", &topics, Err("not valid JSON"));
    check(r#"{"0": 1, "0": 2}"#, &topics, Err("duplicate key"));
    check(
        r#"[{"key": {"topic":"t","partition":0}}]"#,
        &topics,
        Err("expected {\"key\": {…}, \"value\""),
    );
    let shard = [split(r#"{"shardId":"a"}"#, r#"{"position":"TRIM_HORIZON"}"#)];
    check(r#"{"a": 49673}"#, &shard, Err("expected a sequence number, digits in quotes"));
}

#[test]
fn all_keeps_the_splits_that_are_not_named() {
    let json = Json { text: r#"{"1": 150}"#.to_owned(), at: 0 };
    let all = moved(&json, &[kafka("t", 0), kafka("t", 1)], true).unwrap();
    let values: Vec<&str> = all.iter().map(|it| it.value.as_str()).collect();
    assert_eq!(values, [r#"{"offset":7}"#, r#"{"offset":150}"#]);
}
