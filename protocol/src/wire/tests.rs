//! Tests of the frame layer: golden bytes, cut anywhere, noise, over-limit.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::limits::{CONTROL_FRAME_BYTES_MAX, DATA_FRAME_BYTES_MAX, HEADER_LEN};

fn sample() -> Vec<(Head, Vec<u8>)> {
    vec![
        (Head::new(Kind::HelloOk, 0).answers(0), br#"{"protocol":1}"#.to_vec()),
        (Head::new(Kind::Batch, 7).answers(4).part(2), vec![0xab; 300]),
        (Head::new(Kind::Pong, 7).answers(5), Vec::new()),
        (Head::new(Kind::Error, u32::MAX).sensitive(), b"{}".to_vec()),
    ]
}

fn encode(frames: &[(Head, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sealer = FrameSealer::default();
    for (head, payload) in frames {
        sealer.write(head, payload, &mut out).unwrap();
    }
    out
}

/// Feeds `bytes` in the given pieces and collects what comes out.
fn decode_in_pieces(pieces: &[&[u8]]) -> Result<Vec<(Head, Vec<u8>)>, FrameError> {
    let mut decoder = FrameDecoder::new(Direction::FromExtractor);
    let mut buf = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut buf)? {
            assert_eq!(frame.seq as usize, frames.len());
            frames.push((frame.head, frame.payload.to_vec()));
        }
    }
    decoder.end(&buf)?;
    Ok(frames)
}

#[test]
fn waits_at_every_cut() {
    let bytes = encode(&sample());
    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(decode_in_pieces(&[front, back]).unwrap(), sample(), "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode_in_pieces(&single).unwrap(), sample());
}

#[test]
fn end_inside_a_frame_is_an_error_that_counts() {
    let bytes = encode(&sample());
    let first = HEADER_LEN + 14;
    for cut in 1..first {
        let expected = if cut < HEADER_LEN { HEADER_LEN - cut } else { first - cut };
        assert_eq!(
            decode_in_pieces(&[&bytes[..cut]]),
            Err(FrameError::Truncated { seq: 0, missing: expected }),
        );
    }
    assert_eq!(decode_in_pieces(&[&bytes[..first]]).unwrap().len(), 1);
}

#[track_caller]
fn check_damage(at: usize, byte: u8, expected: fn(&FrameError) -> bool) {
    let mut bytes = encode(&sample());
    bytes[at] = byte;
    let error = decode_in_pieces(&[&bytes]).unwrap_err();
    assert!(expected(&error), "{error:?}");
}

#[test]
fn names_each_damage() {
    check_damage(
        0,
        b'X',
        |e| matches!(e, FrameError::BadMagic { seq: 0, seen } if seen.len() == 64),
    );
    check_damage(4, 2, |e| matches!(e, FrameError::HeaderVersion { version: 2, .. }));
    check_damage(5, 0x01, |e| matches!(e, FrameError::Direction { kind: 1, .. }));
    check_damage(19, 9, |e| matches!(e, FrameError::BadSeq { expected: 0, found: 9 }));
    check_damage(
        24,
        0xff,
        |e| matches!(e, FrameError::TooLarge { length, .. } if *length > 1 << 30),
    );
    check_damage(31, 0, |e| matches!(e, FrameError::BadCrc { seq: 0, .. }));
    check_damage(40, b'!', |e| matches!(e, FrameError::BadCrc { seq: 0, .. }));
}

#[test]
fn foreign_text_is_told_from_its_first_byte() {
    let error = decode_in_pieces(&[b"hi\n"]).unwrap_err();
    assert_eq!(error, FrameError::BadMagic { seq: 0, seen: b"hi\n".to_vec() });
}

fn raw(kind: u8, flags: u16, payload: &[u8]) -> Vec<u8> {
    let raw = header::RawHeader {
        magic: header::MAGIC,
        version: 1,
        kind,
        flags,
        epoch: 0,
        part: NONE,
        seq: 0,
        reference: NONE,
        length: payload.len().try_into().unwrap(),
        crc: 0,
    };
    let mut out = raw.seal(crc32c::crc32c(payload)).to_vec();
    out.extend_from_slice(payload);
    out
}

#[test]
fn skips_unknown_ancillary_frames_and_nothing_else() {
    assert_eq!(decode_in_pieces(&[&raw(0xb5, 0, b"news")]).unwrap(), []);
    for (kind, flags) in [(0xa0, 0), (0xf1, 0), (0xb5, 0x0100), (0x8f, 0x8000)] {
        let error = decode_in_pieces(&[&raw(kind, flags, b"")]).unwrap_err();
        assert_eq!(error, FrameError::Unsupported { seq: 0, kind, flags });
    }
    // Reserved flags that are not critical are ignored.
    assert_eq!(decode_in_pieces(&[&raw(0x8f, 0x00fe, b"")]).unwrap().len(), 1);
}

#[test]
fn refuses_before_it_allocates() {
    for (kind, max) in [(0x89, DATA_FRAME_BYTES_MAX), (0x81, CONTROL_FRAME_BYTES_MAX), (0x8f, 64)] {
        let mut bytes = raw(kind, 0, b"");
        bytes[24..28].copy_from_slice(&(max + 1).to_be_bytes());
        let mut buf = BytesMut::from(&bytes[..]);
        let before = buf.capacity();
        let error = FrameDecoder::new(Direction::FromExtractor).decode(&mut buf).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { .. }));
        assert_eq!(buf.capacity(), before);
    }
}

#[test]
fn agreed_limit_is_applied() {
    let mut decoder = FrameDecoder::new(Direction::FromExtractor);
    decoder.limit_data(100);
    let mut buf = BytesMut::from(&raw(0x89, 0, &[0; 101])[..]);
    assert!(matches!(decoder.decode(&mut buf), Err(FrameError::TooLarge { max: 100, .. })));
}

#[test]
fn the_largest_frame_passes_and_one_more_byte_does_not() {
    let head = Head::new(Kind::Log, 0);
    let mut out = Vec::new();
    let mut sealer = FrameSealer::default();
    sealer.write(&head, &vec![b' '; 8192], &mut out).unwrap();
    assert_eq!(decode_in_pieces(&[&out]).unwrap().len(), 1);
    assert!(sealer.write(&head, &vec![b' '; 8193], &mut out).is_err());
    assert_eq!(sealer.next_seq(), 1);
}

#[test]
fn sequence_numbers_wrap() {
    let mut sealer = FrameSealer::default();
    let mut decoder = FrameDecoder::new(Direction::FromExtractor);
    sealer.set_next(u32::MAX);
    decoder.start_at(u32::MAX);
    let mut out = Vec::new();
    for _ in 0..2 {
        sealer.write(&Head::new(Kind::Pong, 0), b"", &mut out).unwrap();
    }
    let mut buf = BytesMut::from(&out[..]);
    assert_eq!(decoder.decode(&mut buf).unwrap().unwrap().seq, u32::MAX);
    assert_eq!(decoder.decode(&mut buf).unwrap().unwrap().seq, 0);
}

#[test]
fn kinds_round_trip() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_byte(kind.byte()), Some(*kind));
        if let Some(answer) = kind.answer() {
            assert_eq!(kind.direction(), Direction::FromHost);
            assert_eq!(answer.direction(), Direction::FromExtractor);
        }
    }
}

proptest! {
    #[test]
    fn survives_any_split(cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8)) {
        let bytes = encode(&sample());
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode_in_pieces(&pieces).unwrap(), sample());
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..200), real in any::<bool>()) {
        let mut bytes = if real { b"S2XF\x01\x89".to_vec() } else { Vec::new() };
        bytes.extend(noise);
        drop(decode_in_pieces(&[&bytes]));
    }

    #[test]
    fn one_flipped_bit_is_always_found(at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let mut bytes = encode(&sample());
        let index = at.index(bytes.len());
        bytes[index] ^= 1 << bit;
        prop_assert!(decode_in_pieces(&[&bytes]).is_err());
    }
}

#[test]
fn checksums_combine_as_if_computed_at_once() {
    let bytes: Vec<u8> =
        (0..70_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for len in [0, 1, 2, 16, 28, 255, 4096, 65_535, 65_536, 69_999, 70_000] {
        for cut in [0, 1, len / 3, len / 2, len] {
            let (first, second) = bytes[..len].split_at(cut.min(len));
            let (a, b) = (crc32c::crc32c(first), crc32c::crc32c(second));
            let whole = checksum::combine(a, b, second.len());
            assert_eq!(whole, crc32c::crc32c(&bytes[..len]), "{len} cut at {cut}");
            assert_eq!(whole, crc32c::crc32c_combine(a, b, second.len()));
        }
    }
    for len in [1 << 20, 8 << 20, u32::MAX as usize] {
        let whole = checksum::combine(0x1234_5678, 0x9abc_def0, len);
        assert_eq!(whole, crc32c::crc32c_combine(0x1234_5678, 0x9abc_def0, len), "{len}");
    }
}
