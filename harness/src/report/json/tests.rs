//! The documented shape of every event.

use std::collections::BTreeSet;

use super::*;
use crate::run::Batch;

fn events() -> Vec<Value> {
    let batch = Batch {
        id: Some(7),
        task: 1,
        rows: 10,
        errors: 0,
        bytes: 500,
        lag_rows: None,
        caught_up: true,
    };
    let text = || "why".to_owned();
    let pause = Duration::from_millis(250);
    [
        Event::Discovered { splits: 8, tasks: 2 },
        Event::Committed(batch),
        Event::Warning(text()),
        Event::Log { level: "warn".to_owned(), line: text() },
        Event::Retrying { task: 1, reason: text(), pause },
        Event::Started { task: 1 },
        Event::Fenced { task: 1 },
        Event::StoreRetry { task: 1, reason: text(), pause },
        Event::Waiting { task: 1, phase: "polling".to_owned(), reason: None },
    ]
    .iter()
    .map(|item| event(item, Duration::from_millis(42)))
    .chain([
        note("x", Duration::from_millis(42)),
        summary("p", &Summary::default()),
        failed("x", Exit::Config),
    ])
    .collect()
}

#[test]
fn fields_are_those_of_the_documentation() {
    let doc = include_str!("../json.rs");
    for value in events() {
        let name = value["event"].as_str().unwrap();
        let line = doc
            .lines()
            .find(|line| {
                line.starts_with("//! | `")
                    && line.split('|').nth(1).unwrap().contains(&format!("`{name}`"))
            })
            .unwrap_or_else(|| panic!("{name} is not documented"));
        let documented: BTreeSet<&str> =
            line.split('|').nth(2).unwrap().split('`').skip(1).step_by(2).collect();
        let found: BTreeSet<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .filter(|key| !["event", "at_ms"].contains(key))
            .collect();
        assert_eq!(found, documented, "{name}");
    }
}

#[test]
fn values() {
    let committed = events().into_iter().find(|event| event["event"] == "committed").unwrap();
    assert_eq!(
        committed,
        json!({"event": "committed", "at_ms": 42, "batch": 7, "task": 1, "rows": 10, "errors": 0,
               "bytes": 500, "lag_rows": null, "caught_up": true})
    );
    assert_eq!(failed("x", Exit::Config)["exit"], 78);
    assert_eq!(cell(&Cell::Bytes(vec![0, 255])), "0x00ff");
    assert_eq!(cell(&Cell::Int(i64::MIN)), i64::MIN);
}
