//! Bound values of every type and size, cut anywhere; rows in binary form as another library reads them.

use super::{Bound, bound, put_binary_row, put_text};
use crate::serve::bytes::Reader;
use crate::store::{Datum, kind};

#[track_caller]
fn check(kind: u8, is_unsigned: bool, bytes: &[u8], wanted: &Bound) {
    assert_eq!(bound(&mut Reader::new(bytes), kind, is_unsigned).unwrap(), *wanted);
    for end in 0..bytes.len() {
        let cut = bound(&mut Reader::new(&bytes[..end]), kind, is_unsigned);
        assert!(cut.is_err(), "{kind} cut at {end}: {cut:?}");
    }
}

fn text(text: &str) -> Bound {
    Bound::Text(text.to_owned())
}

#[test]
fn bound_values_are_what_was_bound() {
    check(kind::TINY, false, &[0xff], &Bound::Int(-1));
    check(kind::TINY, true, &[0xff], &Bound::Int(255));
    check(kind::SHORT, false, &[0, 0x80], &Bound::Int(-32768));
    check(kind::LONG, true, &[0xff; 4], &Bound::Int(u32::MAX.into()));
    check(kind::LONGLONG, false, &[0xff; 8], &Bound::Int(-1));
    check(kind::LONGLONG, true, &[0xff; 8], &text("18446744073709551615"));
    check(kind::DOUBLE, false, &1.5_f64.to_le_bytes(), &Bound::Real(1.5));
    check(kind::FLOAT, false, &0.5_f32.to_le_bytes(), &Bound::Real(0.5));
    check(kind::VAR_STRING, false, &[3, b'a', 0xc3, 0xa4], &text("aä"));
    check(kind::VAR_STRING, false, &[2, 0xff, 0], &Bound::Bytes(vec![0xff, 0]));
    check(kind::BLOB, false, &[1, b'a'], &Bound::Bytes(vec![b'a']));
    check(kind::DATE, false, &[4, 0xea, 7, 1, 31], &text("2026-01-31"));
    let moment = [11, 0xea, 7, 1, 31, 23, 59, 58, 1, 0, 0, 0];
    check(kind::DATETIME, false, &moment, &text("2026-01-31 23:59:58.000001"));
    check(kind::TIME, false, &[8, 1, 2, 0, 0, 0, 3, 4, 5], &text("-51:04:05"));
    for kind in [17, 99, 244] {
        assert!(bound(&mut Reader::new(&[0; 64]), kind, false).is_err(), "{kind}");
    }
    assert!(bound(&mut Reader::new(&[12; 13]), kind::DATE, false).is_err());
    assert!(bound(&mut Reader::new(&[13; 14]), kind::TIME, false).is_err());
}

#[test]
fn a_binary_row_has_its_nulls_in_a_map() {
    let kinds = [
        kind::TINY,
        kind::LONGLONG,
        kind::VAR_STRING,
        kind::DOUBLE,
        kind::TINY,
        kind::TINY,
        kind::TINY,
    ];
    let row = [
        Datum::Int(-1),
        Datum::Null,
        Datum::Bytes(b"ab".to_vec()),
        Datum::Real(1.0),
        Datum::UInt(255),
        Datum::Null,
        Datum::Null,
    ];
    let mut bytes = Vec::new();
    put_binary_row(&mut bytes, &kinds, &row).unwrap();
    let mut wanted = vec![0, 0b1000_1000, 0b1, 0xff, 2, b'a', b'b'];
    wanted.extend_from_slice(&1.0_f64.to_le_bytes());
    wanted.push(255);
    assert_eq!(bytes, wanted);
    let text_as_number = put_binary_row(&mut bytes, &[kind::LONG], &[Datum::Bytes(b"1".to_vec())]);
    assert!(text_as_number.is_err());
}

#[test]
fn text_rows_hold_the_shortest_text_of_a_float() {
    let mut bytes = Vec::new();
    for datum in [Datum::Null, Datum::Real(0.1), Datum::Real(1e300), Datum::Int(i64::MIN)] {
        put_text(&mut bytes, &datum);
    }
    assert_eq!(bytes, b"\xfb\x030.1\x051e300\x14-9223372036854775808");
}
