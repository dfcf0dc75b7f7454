//! What is a table of addresses, and what is found in it.

use serde_json::{Map, json};

use super::*;

fn read(table: Value) -> Result<Spoof, Failure> {
    let config = Map::from_iter([(KEY.to_owned(), table)]);
    Spoof::read(&Settings::from_maps(&config, &Map::new()).unwrap())
}

#[track_caller]
fn check(spoof: &Spoof, (host, port): (&CStr, &CStr), to: Option<(&CStr, &CStr)>) {
    let found = spoof.instead_of(host, port).map(|(a, b)| (a.as_c_str(), b.as_c_str()));
    assert_eq!(found, to);
}

#[test]
fn an_address_is_found_by_host_and_port() {
    let table = json!({"Kafka-1.internal:9092": "10.0.0.1:19092", "[fe80::1]:9092": "[::1]:9093"});
    for written in [table.clone(), json!(table.to_string())] {
        let spoof = read(written).unwrap();
        check(&spoof, (c"kafka-1.INTERNAL", c"9092"), Some((c"10.0.0.1", c"19092")));
        check(&spoof, (c"kafka-1.internal", c"9093"), None);
        check(&spoof, (c"kafka-2.internal", c"9092"), None);
        check(&spoof, (c"fe80::1", c"9092"), Some((c"::1", c"9093")));
        for (address, other) in [
            ("KAFKA-1.internal:9092", Some("10.0.0.1:19092")),
            ("kafka-1.internal:9093", None),
            ("[fe80::1]:9092", Some("[::1]:9093")),
            ("kafka-1.internal", None),
        ] {
            assert_eq!(spoof.reached_at(address).as_deref(), other, "{address}");
        }
    }
    assert!(read(json!("")).unwrap().is_empty());
}

#[test]
fn what_is_no_table_of_addresses_is_refused() {
    for (table, part) in [
        (json!("a:1=b:2"), "allowed: an object"),
        (json!("[1]"), "allowed: an object"),
        (json!({"a": "b:2"}), "\"a\""),
        (json!({"a:1": "b"}), "\"a:1\""),
        (json!({"a:1": 2}), "\"a:1\""),
        (json!({"a:1": "b:0"}), "\"a:1\""),
        (json!({"a:1": "b:65536"}), "\"a:1\""),
        (json!({"a:1": "b c:1"}), "\"a:1\""),
        (json!({"a:1": "fe80::1:1"}), "\"a:1\""),
        (json!({"SSL://a:1": "b:1"}), "\"SSL://a:1\""),
        (json!({"a:1": "b:1", "A:1": "c:1"}), "twice"),
    ] {
        let failure = read(table).unwrap_err();
        assert!(failure.message.contains(part), "{failure}");
    }
}
