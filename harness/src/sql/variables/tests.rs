//! Patterns, values and defaults of variables. Touches nothing.

use super::{FEATURES, Values, is_like, known};

#[test]
fn patterns_are_those_of_like() {
    for (text, pattern, wanted) in [
        ("pipelines_x", "pipelines%", true),
        ("pipelines_x", "PIPELINES%", true),
        ("pipelines_x", "pipelines_x", true),
        ("pipelines_x", "pipelines\\_x", true),
        ("pipelinesAx", "pipelines\\_x", false),
        ("abc", "a_c", true),
        ("abc", "a_", false),
        ("abc", "%", true),
        ("", "%", true),
        ("abc", "%b%", true),
        ("abc", "%bb%", false),
        ("abc", "", false),
        ("aXbXc", "a%X%c", true),
    ] {
        assert_eq!(is_like(text, pattern), wanted, "{text} LIKE {pattern}");
    }
}

#[test]
fn values_are_checked_and_brought_into_one_form() {
    let set = |name: &str, value: &str| known(name).and_then(|variable| variable.checked(value));
    assert_eq!(set("pipelines_stop_on_error", "false"), Ok("OFF".to_owned()));
    assert_eq!(set("PIPELINES_EXTRACTOR_BATCH_SIZE", "0500"), Ok("500".to_owned()));
    assert_eq!(set(FEATURES, "a b"), Ok("a b".to_owned()));
    for (name, value, text) in [
        ("pipelines_stop_on_error", "maybe", "pipelines_stop_on_error: expected ON or OFF"),
        ("pipelines_extractor_batch_size", "0", "expected a whole number from 1 to"),
        ("pipelines_batch_interval", "-1", "expected a whole number"),
        (
            "pipelines_extractor_batchsize",
            "1",
            "there is no variable pipelines_extractor_batchsize; did you mean pipelines_extractor_batch_size?",
        ),
        ("pipelines_zzzzzzzzzzzz", "1", "SHOW VARIABLES LIKE 'pipelines%' lists them"),
    ] {
        let error = set(name, value).unwrap_err();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn what_was_set_wins_over_the_documented_default() {
    let values = Values::of(vec![("pipelines_stop_on_error".to_owned(), "OFF".to_owned())]);
    let all = values.like(Some("pipelines%"));
    assert_eq!(all.len(), 12);
    assert!(all.contains(&("pipelines_stop_on_error", "OFF".to_owned())));
    assert!(all.contains(&("pipelines_max_retries_per_batch_partition", "4".to_owned())));
    assert!(all.is_sorted(), "{all:?}");
    assert!(values.like(Some("max%")).is_empty());
}

#[test]
fn the_feature_is_one_word_of_its_list() {
    let is_on =
        |text: &str| Values::of(vec![(FEATURES.to_owned(), text.to_owned())]).has_kafka_connect();
    assert!(is_on("kafka_connect_enabled=true"));
    assert!(is_on("a=b, Kafka_Connect_Enabled=TRUE"));
    assert!(!is_on("kafka_connect_enabled=false"));
    assert!(!Values::default().has_kafka_connect());
}
