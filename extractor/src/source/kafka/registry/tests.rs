//! What is remembered of an id, at given times; the rest is in `tests/kafka_registry.rs`.

use super::*;
use crate::decode::avro::Options;
use crate::decode::schema::{Kind, Text};

const PATIENCE: Duration = Duration::from_secs(5);

fn schema() -> Schema {
    let text = Text { kind: Kind::Avro, text: "\"int\"".to_owned(), references: Vec::new() };
    Schema::of(&text, Options::default()).unwrap()
}

fn unknown() -> Result<Schema, Unanswered> {
    Err(Unanswered::Unknown("nobody knows it".to_owned()))
}

fn failed() -> Result<Schema, Unanswered> {
    Err(Unanswered::Failed(Failure::new(Code::SourceUnavailable, "down")))
}

fn word(found: Option<Found>) -> &'static str {
    match found {
        None => "ask",
        Some(Found::Waiting) => "wait",
        Some(Found::Ready(_)) => "ready",
        Some(Found::Unusable(_)) => "unusable",
        Some(Found::Failed(_)) => "failed",
    }
}

struct Clock(Entries, Instant);

impl Clock {
    fn look(&mut self, id: u32, seconds: f64) -> &'static str {
        word(self.0.look(id, self.1 + Duration::from_secs_f64(seconds), PATIENCE))
    }

    fn answer(&mut self, id: u32, answer: Result<Schema, Unanswered>, seconds: f64) {
        self.0.ask(id);
        assert_eq!(self.look(id, seconds), "wait");
        self.0.note(id, answer, self.1 + Duration::from_secs_f64(seconds));
    }
}

fn clock() -> Clock {
    Clock(Entries::default(), Instant::now())
}

#[test]
fn what_was_found_is_kept_for_ever() {
    let mut clock = clock();
    assert_eq!(clock.look(1, 0.0), "ask");
    clock.answer(1, Ok(schema()), 0.0);
    assert_eq!(clock.look(1, 1e6), "ready");
}

#[test]
fn an_unknown_id_is_waited_for_and_then_holds_for_a_while() {
    let mut clock = clock();
    clock.answer(1, unknown(), 0.0);
    assert_eq!(clock.look(1, 0.4), "wait");
    assert_eq!(clock.look(1, 0.6), "ask");
    clock.answer(1, unknown(), 4.8);
    assert_eq!(clock.look(1, 4.9), "wait");
    assert_eq!(clock.look(1, 5.0), "unusable");
    // Others are not waited for now.
    clock.answer(2, unknown(), 6.0);
    assert_eq!(clock.look(2, 6.0), "unusable");
    // What held is asked again, and an outage changes nothing.
    assert_eq!(clock.look(1, 34.7), "unusable");
    assert_eq!(clock.look(1, 34.9), "ask");
    clock.answer(1, failed(), 34.9);
    assert_eq!(clock.look(1, 35.0), "unusable");
    clock.answer(1, Ok(schema()), 70.0);
    assert_eq!(clock.look(1, 70.0), "ready");
    // Patience is back after a minute.
    clock.answer(3, unknown(), 66.0);
    assert_eq!(clock.look(3, 66.1), "wait");
}

#[test]
fn an_id_that_is_not_waited_for_is_told_at_once() {
    let mut entries = Entries::default();
    let now = Instant::now();
    entries.note(1, unknown(), now);
    assert_eq!(word(entries.look(1, now, Duration::ZERO)), "unusable");
}

#[test]
fn a_failure_is_told_once_and_a_broken_schema_is_not_waited_for() {
    let mut clock = clock();
    clock.answer(1, failed(), 0.0);
    assert_eq!([clock.look(1, 0.0), clock.look(1, 0.0)], ["failed", "ask"]);
    clock.answer(2, Err(Unanswered::Broken("it is no schema".to_owned())), 0.0);
    assert_eq!([clock.look(2, 0.0), clock.look(2, 31.0)], ["unusable", "ask"]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut clock = clock();
    clock.answer(0, Ok(schema()), 0.0);
    for id in 1..=u32::try_from(ENTRIES_MAX).unwrap() * 2 {
        clock.answer(id, unknown(), 0.0);
        assert!(clock.0.of.len() <= ENTRIES_MAX);
    }
    assert_eq!(clock.look(0, 0.0), "ready");
    for id in 1_000_000..1_000_000 + u32::try_from(ENTRIES_MAX).unwrap() * 2 {
        clock.answer(id, Ok(schema()), 0.0);
        assert!(clock.0.of.len() <= ENTRIES_MAX);
    }
}
