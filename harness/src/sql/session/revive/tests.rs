//! Who a pipeline belongs to, by the signs of life of those that run it.

use super::{LEAVES_AWAY, Whose, whose};
use crate::catalogue::{Heartbeat, Pulse};
use crate::run::SILENT_AFTER;

fn beat(leaf: u32, age_us: u128) -> Heartbeat {
    let pulse = Pulse {
        leaf,
        process: format!("host {leaf}"),
        health: "ready".to_owned(),
        reason: None,
        rows_per_s: 0,
        bytes_per_s: 0,
        memory_bytes: 0,
        retries: 0,
        restarts: 0,
    };
    Heartbeat { pulse, age_us: u64::try_from(age_us).unwrap(), beat_us: 0, started_us: 0 }
}

#[test]
fn a_pipeline_is_free_when_who_ran_it_is_silent() {
    let silent = SILENT_AFTER.as_micros();
    assert_eq!(whose(&[]), Whose::Free);
    assert_eq!(whose(&[beat(0, 0)]), Whose::Taken("host 0"));
    assert_eq!(whose(&[beat(0, silent)]), Whose::Taken("host 0"));
    assert_eq!(whose(&[beat(0, silent + 1)]), Whose::Free);
    assert_eq!(whose(&[beat(0, 0), beat(1, 0)]), Whose::Leaves);
    // Leaves that are started again with their machine are not forestalled; those that are gone hold nothing.
    let away = LEAVES_AWAY.as_micros();
    assert_eq!(whose(&[beat(0, silent + 1), beat(1, away)]), Whose::Leaves);
    assert_eq!(whose(&[beat(0, away + 1), beat(1, away + 1)]), Whose::Free);
    assert_eq!(whose(&[beat(0, 0), beat(1, away + 1)]), Whose::Leaves);
}
