//! The position of a partition under every order of records, ends and limits.

use protocol::Code;

use super::*;

fn part(offset: i64, epoch: Option<i32>) -> Part {
    let place = Place { topic: "t".to_owned(), partition: 0 };
    let key = place.to_key().unwrap();
    Part::new(place, key, Position { offset, epoch })
}

#[track_caller]
fn deliver(part: &mut Part, offset: i64) {
    assert_eq!(part.message(offset, None), Verdict::Deliver);
    part.delivered(offset, None);
}

#[test]
fn the_position_is_behind_the_last_delivered_record() {
    let mut part = part(5, None);
    assert_eq!(part.message(5, None), Verdict::Deliver);
    assert_eq!(part.position(), Position::at(5), "judged, not delivered");
    part.delivered(5, None);
    deliver(&mut part, 9);
    assert_eq!(part.position(), Position::at(10));
}

#[test]
fn e01_the_end_carries_its_own_offset() {
    let mut part = part(0, None);
    deliver(&mut part, 0);
    assert_eq!(part.at_end(5), (Verdict::Drop, true), "an aborted tail up to 5");
    assert_eq!(part.position(), Position::at(5));
    assert!(part.is_at_end());
    assert_eq!(part.at_end(5), (Verdict::Drop, false));
    deliver(&mut part, 5);
    assert!(!part.is_at_end());
}

#[test]
fn what_lies_behind_the_position_is_dropped() {
    let mut part = part(5, None);
    assert_eq!(part.message(4, None), Verdict::Drop);
    deliver(&mut part, 5);
    assert_eq!(part.message(5, None), Verdict::Drop);
    assert_eq!(part.at_end(3), (Verdict::Drop, false));
    assert_eq!(part.position(), Position::at(6));
}

#[test]
fn until_is_exclusive_and_exact() {
    let mut part = part(0, None);
    assert!(!part.set_until(Some(3)));
    deliver(&mut part, 0);
    assert_eq!(part.message(7, None), Verdict::Reached, "3..6 are gaps");
    assert_eq!(part.position(), Position::at(3));
    assert_eq!(part.message(8, None), Verdict::Drop);
    assert!(part.is_held());
    assert!(!part.set_until(Some(3)), "still held");
    assert!(part.set_until(None), "start again");
    deliver(&mut part, 7);
}

#[test]
fn until_is_reached_by_the_end_too() {
    let mut part = part(0, None);
    part.set_until(Some(3));
    assert_eq!(part.at_end(2), (Verdict::Drop, true));
    assert!(part.is_short_of_until());
    assert_eq!(part.at_end(3), (Verdict::Reached, true));
    assert!(part.is_held());
    assert_eq!(part.position(), Position::at(3));
}

#[test]
fn an_until_behind_the_position_moves_nothing() {
    let mut part = part(5, None);
    part.set_until(Some(3));
    assert!(part.reaches_now());
    assert!(part.is_held());
    assert_eq!(part.position(), Position::at(5));
    assert!(part.set_until(Some(6)));
}

#[test]
fn e10_an_epoch_that_falls_is_another_topic() {
    let mut part = part(5, Some(3));
    assert_eq!(part.message(5, Some(3)), Verdict::Deliver);
    part.delivered(5, Some(4));
    assert_eq!(part.position(), Position { offset: 6, epoch: Some(4) });
    assert_eq!(part.message(6, None), Verdict::Deliver);
    part.delivered(6, None);
    assert_eq!(part.position().epoch, Some(4), "an unknown epoch changes nothing");
    assert_eq!(part.message(7, Some(3)), Verdict::Broken);
    assert_eq!(part.broken().unwrap().code, Code::SourceRecreated);
    assert_eq!(part.message(8, Some(9)), Verdict::Drop);
    assert_eq!(part.at_end(9), (Verdict::Drop, false));
    assert_eq!(part.position().offset, 7);
}

#[test]
fn a_lost_partition_delivers_nothing_until_it_is_found() {
    let mut part = part(5, None);
    part.lose();
    assert_eq!(part.lost(), Some(None));
    assert_eq!(part.message(5, None), Verdict::Drop);
    assert_eq!(part.at_end(9), (Verdict::Drop, false));
    let failure = || Failure::new(Code::DecodeFailed, "corrupt");
    for _ in 0..RESTARTS_MAX {
        assert!(part.restart(failure()));
        part.lose();
    }
    assert!(!part.restart(failure()));
    assert_eq!(part.broken().unwrap().message, "corrupt");
}

#[test]
fn progress_forgives_restarts() {
    let mut part = part(5, None);
    for offset in 5..20 {
        part.lose();
        assert!(part.restart(Failure::new(Code::DecodeFailed, "corrupt")));
        deliver(&mut part, offset);
    }
}

#[test]
fn a_jump_only_goes_forward() {
    let mut part = part(5, None);
    part.jump(9);
    assert_eq!(part.position(), Position::at(9));
    part.jump(2);
    assert_eq!(part.position(), Position::at(9));
}
