//! How often a count is told.

use super::is_worth_a_line;

#[test]
fn a_count_is_told_when_it_has_doubled() {
    let told: Vec<u64> = (1..40).filter(|count| is_worth_a_line(*count, 1)).collect();
    assert_eq!(told, [1, 2, 4, 8, 16, 32]);
    assert!(is_worth_a_line(9, 3) && !is_worth_a_line(12, 3) && is_worth_a_line(5, 5));
}
