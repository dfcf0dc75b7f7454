//! Values on their way from the client library.

use super::*;

#[test]
fn cells_keep_their_type() {
    assert_eq!(cell(Value::NULL, Shape::Text), Cell::Null);
    assert_eq!(cell(Value::Int(-1), Shape::Text), Cell::Int(-1));
    assert_eq!(cell(Value::UInt(7), Shape::Text), Cell::Int(7));
    assert_eq!(cell(Value::UInt(u64::MAX), Shape::Text), Cell::Text(u64::MAX.to_string()));
    assert_eq!(cell(Value::Double(0.5), Shape::Text), Cell::Real(0.5));
    assert_eq!(cell(Value::Bytes(b"a".to_vec()), Shape::Text), Cell::Text("a".to_owned()));
    assert_eq!(cell(Value::Bytes(b"a".to_vec()), Shape::Bytes), Cell::Bytes(b"a".to_vec()));
    assert_eq!(cell(Value::Bytes(vec![255]), Shape::Text), Cell::Bytes(vec![255]));
    let date = cell(Value::Date(2026, 4, 9, 1, 2, 3, 4), Shape::Text);
    assert_eq!(date, Cell::Text("2026-04-09 01:02:03.000004".to_owned()));
    let time = cell(Value::Time(true, 1, 2, 3, 4, 5), Shape::Text);
    assert_eq!(time, Cell::Text("-26:03:04.000005".to_owned()));
}
