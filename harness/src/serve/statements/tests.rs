//! Packets of prepared statements: whole, cut, hostile, and too many of them.

use super::{STATEMENTS_MAX, Statements, TEXT_BYTES_MAX};
use crate::serve::value::Bound;
use crate::store::kind;

fn packet(id: u32, rest: &[u8]) -> Vec<u8> {
    let mut packet = id.to_le_bytes().to_vec();
    packet.extend_from_slice(&[0, 1, 0, 0, 0]);
    packet.extend_from_slice(rest);
    packet
}

#[test]
fn values_are_read_to_the_last_byte_or_refused() {
    let mut statements = Statements::default();
    let (id, _) = statements.add("SELECT ?, ?, ?".to_owned(), 3).unwrap();
    let bound = [0b010, 1, kind::TINY, 0, kind::NULL, 0, kind::VAR_STRING, 0, 0xfe, 2, b'a', b'b'];
    let whole = packet(id, &bound);
    let wanted = vec![Bound::Int(-2), Bound::Null, Bound::Text("ab".to_owned())];
    assert_eq!(statements.execute(&whole).unwrap().unwrap().1, wanted);
    // The same types again are not sent again.
    let again = packet(id, &[0b010, 0, 5, 0]);
    let wanted = vec![Bound::Int(5), Bound::Null, Bound::Text(String::new())];
    assert_eq!(statements.execute(&again).unwrap().unwrap().1, wanted);
    for end in 0..whole.len() {
        assert!(statements.execute(&whole[..end]).is_err(), "cut at {end}");
    }
    assert!(statements.execute(&[whole.as_slice(), &[0]].concat()).is_err());
    assert!(statements.execute(&packet(99, &bound)).unwrap().is_err());
    let (untyped, _) = statements.add("SELECT ?".to_owned(), 1).unwrap();
    assert!(statements.execute(&packet(untyped, &[0, 0, 1])).is_err());
}

#[test]
fn noise_is_no_statement_and_no_panic() {
    let mut statements = Statements::default();
    let (id, _) = statements.add("SELECT ?, ?".to_owned(), 2).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let noise: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
        drop(statements.execute(&packet(id, &noise)));
        drop(statements.long_data(&noise));
        drop(statements.reset(&noise));
    }
}

#[test]
fn statements_and_bytes_that_wait_are_bounded() {
    let mut statements = Statements::default();
    for _ in 0..STATEMENTS_MAX {
        statements.add("SELECT ?".to_owned(), 1).unwrap();
    }
    assert_eq!(statements.add("SELECT 1".to_owned(), 0).unwrap_err().number, 1461);
    let mut part = 1_u32.to_le_bytes().to_vec();
    part.extend_from_slice(&[0, 0]);
    part.resize(6 + (9 << 20), 7);
    statements.long_data(&part).unwrap();
    assert!(statements.long_data(&part).is_err(), "16 MiB is the limit of a statement");
    let many = Statements::default().add("SELECT ?".to_owned(), 70_000).unwrap_err();
    assert_eq!(many.number, 1390);
}

#[test]
fn texts_have_one_budget_together() {
    let mut statements = Statements::default();
    let half = "x".repeat(usize::try_from(TEXT_BYTES_MAX / 2).unwrap());
    let (first, _) = statements.add(half.clone(), 0).unwrap();
    statements.add(half.clone(), 0).unwrap();
    let full = statements.add("y".to_owned(), 0).unwrap_err();
    assert_eq!(full.number, 1461);
    assert!(full.message.contains("16777216 bytes"), "{}", full.message);
    statements.close(&first.to_le_bytes()).unwrap();
    statements.add(half, 0).unwrap();
}
