//! Secrets are blanked wherever the stream is cut; digits are read back.

use protocol::wire::{FrameSealer, Head, Kind};

use super::*;

fn stream() -> Vec<u8> {
    let mut sealer = FrameSealer::default();
    let mut bytes = Vec::new();
    sealer.write(&Head::new(Kind::Hello, 0), b"{\"shown\":1}", &mut bytes).unwrap();
    sealer
        .write(&Head::new(Kind::Configure, 0).sensitive(), b"{\"hidden\":2}", &mut bytes)
        .unwrap();
    sealer.write(&Head::new(Kind::Check, 0), b"{\"seen\":3}", &mut bytes).unwrap();
    bytes
}

#[test]
fn secret_payloads_are_blanked_however_they_are_written() {
    for size in [1, 7, 32, 1000] {
        let mut scanner = Scanner::default();
        let masked: Vec<u8> = stream().chunks(size).flat_map(|chunk| scanner.mask(chunk)).collect();
        let text = String::from_utf8_lossy(&masked);
        assert!(text.contains("shown") && text.contains("seen"), "{size}");
        assert!(!text.contains("hidden"), "{size}");
        assert_eq!(masked.len(), stream().len());
    }
}

#[test]
fn a_tape_is_bounded_and_says_so() {
    let mut tape = Tape::default();
    for _ in 0..=LINES_MAX {
        tape.did("close");
    }
    assert!(tape.text().ends_with("# 1 lines are left out\n"));
}

#[test]
fn digits_are_read_back() {
    assert_eq!(unhex(&hex(&stream())).unwrap(), stream());
    assert_eq!(unhex("abc"), None);
    assert_eq!(unhex("zz"), None);
}
