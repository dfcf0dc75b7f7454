//! The log gate; everything else needs a broker.

use super::*;

#[test]
fn the_gate_lets_a_bounded_number_of_lines_pass() {
    let start = Instant::now();
    let mut gate = LogGate::default();
    let passed = (0..100).filter(|_| gate.pass(start).is_some()).count();
    assert_eq!(passed as u64, LOG_LINES_PER_SECOND_MAX);
    let later = start + Duration::from_secs(2);
    assert_eq!(gate.pass(later), Some(100 - LOG_LINES_PER_SECOND_MAX));
    assert_eq!(gate.pass(later), Some(0));
}
