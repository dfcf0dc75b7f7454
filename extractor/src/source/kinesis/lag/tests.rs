//! Tests of the line about lag.

use super::*;

#[test]
fn every_shard_is_told_and_the_farthest_first() {
    let shards = vec![("s-0", Some(0)), ("s-1", Some(60_000)), ("s-2", None), ("s-3", Some(7))];
    let wanted = "4 shards, 60000 ms behind at most, 1 not read yet: s-1 60000, s-3 7, s-0 0";
    assert_eq!(line(shards).as_deref(), Some(wanted));
    assert_eq!(line(vec![("s-0", None)]), None);
    assert_eq!(line(Vec::new()), None);
}

#[test]
fn a_line_is_bounded_and_comes_seldom() {
    let ids: Vec<String> = (0..200).map(|n| format!("shardId-{n:012}")).collect();
    let mut log = LagLog::default();
    let mut told = || log.line(ids.iter().zip(1..).map(|(id, n)| (id.as_str(), Some(n))));
    let line = told().unwrap();
    assert!(line.len() < 2_000 && line.ends_with(", and 160 shards less"), "{line}");
    assert!(line.contains(": shardId-000000000199 200, "), "{line}");
    assert_eq!(told(), None);
}
