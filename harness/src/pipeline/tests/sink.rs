//! The switches of SingleStore's Kafka sink and of Kafka Connect's error policies: what is understood, and what is
//! refused with its place.

use super::{error, read, with_line};
use crate::route::{Route, Rule};

fn route(lines: &str) -> Route {
    read("p.json", &with_line(lines)).unwrap().route
}

fn tables(route: &Route) -> Vec<(&str, Vec<String>)> {
    let columns = |it: &crate::route::Target| {
        it.columns.iter().map(|it| format!("{}={}", it.name, it.path.join("/"))).collect()
    };
    route.targets.iter().map(|it| (it.table.as_str(), columns(it))).collect()
}

#[test]
fn nothing_said_is_one_table_of_rows_as_they_are() {
    let plan = read("p.json", &with_line(r#""table": "t""#)).unwrap();
    assert_eq!(plan.route, Route::plain("t"));
    assert!(plan.route.is_plain());
    assert_eq!(plan.aside, crate::run::Aside::default());
}

/// Names may have dots, quotes and anything else: what is behind the known table is the column.
#[test]
fn tables_and_columns_have_any_names() {
    let lines = r#""table": "own", "singlestore.tableName.a.b": "x.y", "singlestore.tableName.it's": "x",
        "singlestore.columnToField.x.y.z`\"; DROP": "f.g", "singlestore.columnToField.x.k": "k",
        "fields.whitelist": " k , n""#;
    let route = route(lines);
    let expected = [
        ("own", vec!["k=k", "n=n"]),
        ("x.y", vec!["z`\"; DROP=f/g", "k=k", "n=n"]),
        ("x", vec!["k=k", "n=n"]),
    ];
    let expected: Vec<(&str, Vec<String>)> = expected
        .into_iter()
        .map(|(table, columns)| (table, columns.into_iter().map(str::to_owned).collect()))
        .collect();
    let mut found = tables(&route);
    found.iter_mut().for_each(|(_, columns)| columns.sort());
    let mut expected = expected;
    expected.iter_mut().for_each(|(_, columns)| columns.sort());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let Rule::Topic(topics) = &route.rule else { panic!("{route:?}") };
    assert_eq!(topics.keys().collect::<Vec<_>>(), ["a.b", "it's"]);
}

#[test]
fn the_switches_reach_no_extractor_and_no_view_has_their_secrets() {
    let lines = r#""errors.tolerance": "all", "errors.deadletterqueue.topic.name": "aside",
        "errors.deadletterqueue.bootstrap.servers": "b:1", "producer.override.sasl.password": "hunter2hunter2",
        "singlestore.upsert": "true", "fields.whitelist": "a""#;
    let plan = read("p.json", &with_line(lines)).unwrap();
    assert_eq!(plan.source.config.keys().collect::<Vec<_>>(), ["connector.class"]);
    assert!(!plan.source.redacted_json.contains("hunter2"), "{}", plan.source.redacted_json);
    assert!(!format!("{plan:?}").contains("hunter2"));
    let letters = plan.aside.letters.unwrap();
    assert_eq!((letters.topic.as_str(), letters.servers.as_str()), ("aside", "b:1"));
    assert!(letters.has_context);
    assert_eq!(letters.client, [("sasl.password".to_owned(), "hunter2hunter2".to_owned())]);
    assert!(plan.route.is_upsert);
}

#[test]
fn metadata_are_of_topics() {
    for class in ["kafka", "com.singlestore.kafka.KafkaSourceConnector"] {
        let text = format!(
            r#"{{"name":"p","connector.class":"{class}","store":"sqlite:a","singlestore.metadata.allow":true}}"#
        );
        let route = read("p.json", &text).unwrap().route;
        assert_eq!(route.metadata.as_deref(), Some("kafka_connect_transaction_metadata"));
    }
}

/// The topic may have the name of one that is read elsewhere; which topics a pattern takes, the source says.
#[test]
fn a_topic_is_its_own_only_on_its_own_servers() {
    let letters = |more: &str| {
        let lines = format!(
            r#""errors.tolerance": "all", "errors.deadletterqueue.topic.name": "t", "bootstrap.servers": "b:1, c:1", {more}"#
        );
        read("p.json", &with_line(&lines)).unwrap().aside.letters.unwrap()
    };
    let key = |text| protocol::OffsetKey::parse(text).unwrap();
    let of_t = key(r#"{"partition":0,"topic":"t"}"#);
    let elsewhere = r#""errors.deadletterqueue.bootstrap.servers": "d:1", "topics": "t""#;
    assert!(!letters(elsewhere).is_fed_by(&of_t));
    for own in ["", r#""errors.deadletterqueue.bootstrap.servers": "x:1,c:1", "#] {
        let letters = letters(&format!(r#"{own}"topics.regex": ".*""#));
        assert!(letters.is_fed_by(&of_t));
        assert!(!letters.is_fed_by(&key(r#"{"partition":0,"topic":"tt"}"#)));
        assert!(!letters.is_fed_by(&key(r#"{"shard":"t"}"#)));
    }
}

#[test]
fn retries_have_the_sinks_names() {
    let plan = read("p.json", &with_line(r#""max.retries": 7"#)).unwrap();
    assert_eq!(plan.retry.store, Some((7, std::time::Duration::from_secs(3))));
}

#[test]
fn what_would_mean_nothing_is_refused_with_its_place() {
    let check = |lines: &str, wanted: &str| {
        let error = error("p.json", &with_line(lines));
        assert!(error.starts_with("p.json:3:"), "{error}");
        assert!(error.contains(wanted), "{error}");
    };
    let all = |more: &str| format!(r#""errors.tolerance": "all", {more}"#);
    let null = "Kafka bootstrap servers and topic cannot be null when runtime error mode is KAFKA";
    check(&all(r#""runtime.error.mode": "kafka""#), null);
    check(&all(r#""runtime.error.topic.name": "t""#), null);
    check(r#""errors.deadletterqueue.topic.name": "t""#, "set errors.tolerance=all");
    check(r#""errors.log.enable": true"#, "set errors.tolerance=all");
    check(
        &all(r#""errors.deadletterqueue.context.headers.enable": true"#),
        "means nothing without",
    );
    check(&all(r#""producer.override.sasl.username": "u""#), "means nothing without");
    check(&all(r#""runtime.error.mode": "shrug""#), "expected ignore, table, tablestore or kafka");
    let to = r#""errors.deadletterqueue.topic.name": "t", "bootstrap.servers": "b:1""#;
    for key in ["topics", "kafka.topic"] {
        check(&all(&format!(r#"{to}, "{key}": "s, t""#)), "reads this topic itself");
        let lines = format!(r#""singlestore.tableName.TYPO": "t", "{key}": "typo""#);
        check(&lines, "does not read this topic");
    }
    check(r#""singlestore.metadata.allow": true"#, "topics of Kafka alone");
    check(&all(&format!(r#"{to}, "runtime.error.mode": "ignore""#)), "no record would go there");
    let file = format!(r#"{to}, "producer.override.ssl.ca.location": "/etc/passwd""#);
    check(&all(&file), "the producer takes");
    let plugin = format!(r#"{to}, "producer.override.plugin.library.paths": "x.so""#);
    check(&all(&plugin), "the producer takes");
    check(&all(r#""errors.log.include.messages": true"#), "records are in no log");
    let field = r#""singlestore.recordToTable.mappingField": "a.b""#;
    let value = r#""singlestore.recordToTable.mapping.x": "t""#;
    check(field, "means nothing without singlestore.recordToTable.mapping");
    check(value, "means nothing without singlestore.recordToTable.mappingField");
    check(&format!(r#"{field}, {value}, "singlestore.tableName.x": "t""#), "not by both");
    check(r#""singlestore.tableName.": "t""#, "a name is expected");
    check(r#""singlestore.tableName.x": " ""#, "the name of a table");
    check(r#""singlestore.columnToField.else.c": "f""#, "names no table that rows go to");
    check(r#""table": "t", "singlestore.columnToField.t.c": "f..g""#, "names of fields");
    check(r#""table": "t", "singlestore.columnToField.t.": "f""#, "has no name");
    check(r#""fields.whitelist": "a,,b""#, "names of fields with commas");
    check(r#""singlestore.upsert": "maybe""#, "expected true or false");
    check(r#""singlestore.metadata.table": "t""#, "means nothing without");
    check(r#""max.retries": 1, "retry.away.ms": 5"#, "by attempts or by time");
}
