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
