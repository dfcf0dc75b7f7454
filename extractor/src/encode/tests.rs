//! Each writer against an independent one: serde_json, base64 and apache-avro.

use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

use super::*;

fn json_string(text: &str) -> String {
    let mut out = Vec::new();
    write_json_string(&mut out, text);
    String::from_utf8(out).unwrap()
}

#[test]
fn escapes_are_those_of_serde_json() {
    for code in 0..=0x2ff_u32 {
        let text = format!("a{}b", char::from_u32(code).unwrap());
        assert_eq!(json_string(&text), serde_json::to_string(&text).unwrap(), "{code:#x}");
    }
}

#[test]
fn a_run_ends_at_the_first_byte_that_ends_one_wherever_it_is() {
    const LEN: usize = 330;
    for byte in 0..=u8::MAX {
        let escaped = byte < 0x20 || byte == b'"' || byte == b'\\';
        for at in 0..LEN {
            let mut text = [b'x'; LEN];
            text[at] = byte;
            assert_eq!(plain_run(&text), if escaped { at } else { LEN }, "{byte:#x} at {at}");
            let end = if escaped || byte >= 0x80 { at } else { LEN };
            assert_eq!(plain_ascii_run(&text), end, "{byte:#x} at {at}");
        }
    }
}

#[test]
fn a_wrong_guess_moves_the_text() {
    let avro = |text: &str| {
        let schema = apache_avro::Schema::parse_str(r#""string""#).unwrap();
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        writer.write_value_to_vec(text).unwrap()
    };
    for len in [0, 1, 63, 64, 8191, 8192, 1_048_575, 1_048_576] {
        let text = "x".repeat(len);
        for guess in [0, 63, 64, 8191, 8192, 1_048_576] {
            let mut out = b"before".to_vec();
            write_string(&mut out, |out| out.extend_from_slice(text.as_bytes()), guess);
            assert_eq!(out.strip_prefix(b"before").unwrap(), avro(&text), "{len} {guess}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_equals_serde_json(text in any::<String>()) {
        prop_assert_eq!(json_string(&text), serde_json::to_string(&text).unwrap());
    }

    #[test]
    fn any_bytes_come_back_from_base64(bytes in any::<Vec<u8>>()) {
        let mut out = Vec::new();
        write_json_base64(&mut out, &bytes);
        let text: String = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(STANDARD.decode(text).unwrap(), bytes);
    }

    #[test]
    fn any_integer_comes_back(number in any::<i64>()) {
        let mut out = Vec::new();
        write_integer(&mut out, number);
        prop_assert_eq!(std::str::from_utf8(&out).unwrap().parse::<i64>().unwrap(), number);
    }
}

#[test]
fn plain_runs_end_at_the_first_byte_that_must_be_escaped() {
    let check = |text: &[u8]| {
        let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        let first = |special: &dyn Fn(u8) -> bool| {
            text.iter().position(|&byte| special(byte)).unwrap_or(text.len())
        };
        assert_eq!(plain_run(text), first(&special), "{text:x?}");
        let ascii = first(&|byte| special(byte) || byte >= 0x80);
        assert_eq!(plain_ascii_run(text), ascii, "{text:x?}");
    };
    let bytes = [0, 0x1f, b'"', b'\\', 0x20, 0x21, b'[', b']', 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff];
    for len in 0..120 {
        for (at, byte) in (0..len).flat_map(|at| bytes.map(|byte| (at, byte))) {
            for around in [b'a', 0x20, 0x7f, 0xff] {
                let mut text = vec![around; len];
                text[at] = byte;
                check(&text);
            }
        }
    }
    for (high, low) in (0..=255_u8).flat_map(|high| (0..=255_u8).map(move |low| (high, low))) {
        check(&[low, high, low, high, high, low, b'x', high, low, b'y']);
    }
}
