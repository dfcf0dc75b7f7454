//! Alignment, cutting to a width, and values that try to draw.

use super::*;
use crate::store::CellRow;

#[test]
fn aligned_with_numbers_to_the_right() {
    let answer = RowSet {
        columns: vec!["name".to_owned(), "n".to_owned()],
        rows: vec![
            CellRow(vec![Cell::Text("日本".to_owned()), Cell::Int(5)]),
            CellRow(vec![Cell::Null, Cell::Int(12_345)]),
        ],
        affected: 0,
    };
    let wanted = "name      n\n----  -----\n日本      5\nNULL  12345";
    assert_eq!(Table::from(&answer).render(None), wanted);
}

#[test]
fn no_line_is_wider_than_asked() {
    let mut table =
        Table::new(&[("topic", Align::Left), ("id", Align::Left), ("record", Align::Left)]);
    table.row(["orders", "\"order-0000001\"", &"é".repeat(500)]);
    for width in [40, 80, 120] {
        let text = table.render(Some(width));
        let widest = text.lines().map(measure_text_width).max().unwrap();
        assert!(widest <= width && widest > width - 12, "{widest} of {width}\n{text}");
        assert!(text.contains("order-0000001") || width == 40, "narrow columns stay whole\n{text}");
    }
    assert!(table.render(None).contains(&"é".repeat(500)));
}

#[test]
fn a_value_cannot_draw() {
    let mut table = Table::new(&[("x", Align::Left)]);
    table.row(["a\u{1b}[2Jb\nc\td"]);
    let text = table.render(None);
    assert_eq!(text.lines().count(), 3);
    assert!(!text.contains('\u{1b}'));
    assert!(text.ends_with(r"a\u{1b}[2Jb\nc\td"), "{text}");
}

#[test]
fn bytes_are_hex() {
    assert_eq!(cell_text(&Cell::Bytes(vec![1, 0xab])), "0x01ab");
    assert_eq!(cell_text(&Cell::Bytes(Vec::new())), "0x");
}
