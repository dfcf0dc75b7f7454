//! Merging of warnings: equal ones, others between them, and the bound on what is remembered.

use super::*;

#[test]
fn an_equal_warning_is_counted_and_the_count_is_told() {
    let (mut repeats, start) = (Repeats::default(), Instant::now());
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    assert_eq!(repeats.pass("away", "away in 1 s", at(0)), ["away in 1 s"]);
    assert!(repeats.pass("away", "away in 2 s", at(1)).is_empty());
    assert_eq!(repeats.pass("other", "other", at(2)), ["other"]);
    assert!(repeats.pass("away", "away in 4 s", at(29)).is_empty());
    let lines = repeats.pass("away", "away in 5 s", at(30));
    assert_eq!(lines, ["away (2 times more)", "away in 5 s"]);
    assert!(repeats.pass("away", "away in 5 s", at(31)).is_empty());
    assert_eq!(repeats.rest(), ["away (once more)"]);
    assert!(repeats.rest().is_empty());
}

#[test]
fn what_is_remembered_is_bounded_and_no_count_is_lost() {
    let (mut repeats, start) = (Repeats::default(), Instant::now());
    let mut lines = 0;
    for number in 0..1000 {
        for _ in 0..3 {
            lines += repeats.pass(&number.to_string(), "text", start).len();
        }
        assert!(repeats.told.len() <= REMEMBERED_MAX);
    }
    assert_eq!(lines + repeats.rest().len(), 2000, "each is told once, and its count once");
}
