//! The names that are documented, and hostile names inside labels.

use std::time::Instant;

use super::*;
use crate::catalogue::Behind;
use crate::run::{Batch, Event, Tally};

fn numbers(name: &str) -> Numbers {
    let begin = Instant::now();
    let tally = Tally::new(begin, None);
    tally.add(&Event::Discovered { splits: 3, tasks: 2 }, begin);
    tally.add(&Event::Started { task: 0 }, begin);
    tally.add(&Event::Started { task: 0 }, begin);
    tally.add(&Event::Memory { task: 0, bytes: 5 << 20, peak_bytes: 6 << 20 }, begin);
    let batch = Batch {
        id: Some(1),
        task: 0,
        rows: 10,
        errors: 1,
        bytes: 1000,
        lag_rows: Some(7),
        caught_up: false,
    };
    tally.add(&Event::Committed(batch), begin);
    let behind = Behind { rows: Some(7), ms: Some(1500), latest: None };
    let unknown = Behind { rows: None, ms: None, latest: None };
    let splits = vec![("{\"p\":0}".to_owned(), behind), ("{\"p\":1}".to_owned(), unknown)];
    tally.add(&Event::Lag { task: 0, splits }, begin);
    let now = tally.snapshot(begin + Duration::from_secs(2));
    Numbers { name: name.to_owned(), now, lags: tally.lags() }
}

#[test]
fn every_number_has_its_line_and_the_text_its_end() {
    let text = render(&[numbers("orders")]).unwrap();
    for line in [
        "s2x_rows_total{pipeline=\"orders\"} 10",
        "s2x_error_rows_total{pipeline=\"orders\"} 1",
        "s2x_payload_bytes_total{pipeline=\"orders\"} 1000",
        "s2x_batches_total{pipeline=\"orders\"} 1",
        "s2x_fences_total{pipeline=\"orders\"} 0",
        "s2x_extractor_restarts_total{pipeline=\"orders\"} 1",
        "s2x_retries_total{pipeline=\"orders\",of=\"source\"} 0",
        "s2x_retries_total{pipeline=\"orders\",of=\"store\"} 0",
        "s2x_tasks{pipeline=\"orders\"} 2",
        "s2x_splits{pipeline=\"orders\"} 3",
        "s2x_extractor_memory_bytes{pipeline=\"orders\"} 5242880",
        "s2x_extractor_memory_peak_bytes{pipeline=\"orders\"} 6291456",
        "s2x_lag_records{pipeline=\"orders\",split=\"{\\\"p\\\":0}\"} 7",
        "s2x_lag_seconds{pipeline=\"orders\",split=\"{\\\"p\\\":0}\"} 1.5",
        "s2x_uptime_seconds{pipeline=\"orders\"} 2.0",
        "s2x_state{pipeline=\"orders\",state=\"running\"} 1",
        "s2x_state{pipeline=\"orders\",state=\"waiting\"} 0",
        "# TYPE s2x_rows counter",
        "# UNIT s2x_payload_bytes bytes",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
    }
    assert!(text.contains("s2x_last_commit_timestamp_seconds{pipeline=\"orders\"} "), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(!text.contains(":1}"), "what is not known has no series: {text}");
}

#[test]
fn a_hostile_name_cannot_make_a_line_of_its_own() {
    let text = render(&[numbers("a\"} 1\ns2x_rows_total{x=\"\\")]).unwrap();
    assert!(
        text.contains("s2x_rows_total{pipeline=\"a\\\"} 1\\ns2x_rows_total{x=\\\"\\\\\"} 10\n"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("s2x_")), "{text}");
}

#[test]
fn series_of_splits_are_bounded_and_the_farthest_are_told() {
    let mut pipeline = numbers("p");
    let behind = |split: u64| Behind { rows: Some(split), ms: None, latest: None };
    pipeline.lags = (0..2000).map(|split| (format!("s{split}"), behind(split))).collect();
    let text = render(&[pipeline]).unwrap();
    let count = text.lines().filter(|line| line.starts_with("s2x_lag_records{")).count();
    assert_eq!(count, SPLITS_TOLD_MAX);
    assert!(text.contains("split=\"s1999\"} 1999\n") && !text.contains("split=\"s5\"}"), "{text}");
}
