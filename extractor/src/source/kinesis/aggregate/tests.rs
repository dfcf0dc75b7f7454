//! Packed records: those of another implementation (`testdata/aggregates`), damaged ones, noise.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn golden() -> Vec<Json> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/aggregates/cases.json");
    let json: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    json.as_array().unwrap().clone()
}

fn bytes(json: &Json) -> Vec<u8> {
    STANDARD.decode(json.as_str().unwrap()).unwrap()
}

/// A packed record with the right digest around any message.
fn packed(message: &[u8]) -> Vec<u8> {
    [&MAGIC, message, &Md5::digest(message)].concat()
}

fn broken(data: &[u8]) -> &'static str {
    match read(data) {
        Packed::Broken(Broken(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn golden_aggregates_are_taken_apart_as_their_maker_does() {
    let cases = golden();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let data = bytes(&case["data"]);
        assert!(looks_packed(case["data"].as_str().unwrap().as_bytes()));
        let Packed::Yes(aggregate) = read(&data) else { panic!("{}", case["name"]) };
        let wanted = case["records"].as_array().unwrap();
        assert_eq!(aggregate.count, wanted.len() as u64);
        let came: Vec<_> = aggregate.records().map(Result::unwrap).collect();
        assert_eq!(came.len(), wanted.len(), "{}", case["name"]);
        for (came, wanted) in came.iter().zip(wanted) {
            assert_eq!(came.key, wanted[0].as_str().unwrap());
            assert_eq!(came.hash, wanted[1].as_str());
            assert_eq!(came.data, bytes(&wanted[2]));
        }
    }
}

#[test]
fn an_aggregate_cut_at_any_byte_or_with_a_flipped_bit_is_none() {
    for case in golden() {
        let mut data = bytes(&case["data"]);
        for cut in 0..data.len() {
            match read(&data[..cut]) {
                Packed::No => assert!(cut < MAGIC.len()),
                Packed::Broken(_) => assert!(cut >= MAGIC.len()),
                Packed::Yes(_) => panic!("{} cut at {cut}", case["name"]),
            }
        }
        let step = data.len().div_ceil(200);
        for at in (0..data.len()).step_by(step) {
            data[at] ^= 1 << (at % 8);
            assert!(!matches!(read(&data), Packed::Yes(_)), "{} flipped at {at}", case["name"]);
            data[at] ^= 1 << (at % 8);
        }
    }
}

/// The digest is right, and the message is not: cut at every byte, it is broken or has fewer
/// records, and never more.
#[test]
fn a_message_cut_at_any_byte_is_broken_or_shorter() {
    for case in golden() {
        let data = bytes(&case["data"]);
        let message = &data[4..data.len() - 16];
        let step = if message.len() > 2_000 { 7 } else { 1 };
        for cut in (0..message.len()).step_by(step) {
            if let Packed::Yes(aggregate) = read(&packed(&message[..cut])) {
                let all = case["records"].as_array().unwrap().len() as u64;
                assert!(aggregate.count < all, "{} cut at {cut}", case["name"]);
                assert_eq!(aggregate.records().count() as u64, aggregate.count);
            }
        }
    }
}

#[test]
fn every_damage_has_its_name() {
    let check = |message: &[u8], why: &str| assert_eq!(broken(&packed(message)), why);
    assert!(matches!(read(b""), Packed::No));
    assert!(matches!(read(b"\xf3\x89\x9a"), Packed::No));
    assert_eq!(broken(b"\xf3\x89\x9a\xc2 fifteen bytes.."), "its digest is wrong");
    assert_eq!(broken(b"\xf3\x89\x9a\xc2 fifteen bytes."), "it is too short");
    check(b"\x0a\x05ab", "its message is cut");
    check(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "its message is cut");
    check(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "a number has more than 64 bits");
    check(b"\x0a\x01\xff", "a key is not UTF-8");
    check(b"\x08\x01", "a field is of another type");
    check(b"\x0b", "a field has no type");
    check(b"\x02\x00", "a field has no number");
    check(b"\x1a\x02\x1a\x00", "a record has no key");
    check(b"\x0a\x01k\x1a\x02\x08\x00", "a record has no payload");
    check(b"\x0a\x01k\x1a\x04\x08\x01\x1a\x00", "a record names a key that is not there");
    check(b"\x0a\x01k\x1a\x06\x08\x00\x10\x00\x1a\x00", "a record names a key that is not there");
    check(b"\x0a\x01k\x1a\x04\x0a\x00\x1a\x00", "a field is of another type");
    // The tables may come after the records, unknown fields are left out, the last value counts.
    let odd = b"\x1a\x09\x08\x05\x08\x00\x1a\x01x\x20\x07\x0a\x01k\x25abcd\x29abcdefgh";
    let data = packed(odd);
    let Packed::Yes(aggregate) = read(&data) else { panic!() };
    let records: Vec<_> = aggregate.records().map(Result::unwrap).collect();
    assert_eq!(records, [UserRecord { key: "k", hash: None, data: b"x" }]);
    // An empty message has the digest of nothing and holds no record.
    assert!(matches!(read(&packed(b"")), Packed::Yes(Aggregate { count: 0, .. })));
}

#[test]
fn tables_are_bounded() {
    let message = b"\x0a\x00".repeat(KEYS_MAX);
    assert!(matches!(read(&packed(&message)), Packed::Yes(_)));
    assert_eq!(broken(&packed(&b"\x12\x00".repeat(KEYS_MAX + 1))), "it has too many keys");
}

#[test]
fn hash_keys_place_records_as_the_service_does() {
    let case = golden().into_iter().find(|it| it["name"] == "explicit-hash-keys").unwrap();
    let data = bytes(&case["data"]);
    let Packed::Yes(aggregate) = read(&data) else { panic!() };
    let half = 1_u128 << 127;
    let outside = |first: u128, last: u128| {
        let range = HashRange::parse(&first.to_string(), &last.to_string()).unwrap();
        aggregate.count_outside(range)
    };
    // Hash keys 0, MD5("a") = 0x0cc1..., the largest, the middle, 0.
    assert_eq!(outside(0, u128::MAX), 0);
    assert_eq!(outside(0, half - 1), 2);
    assert_eq!(outside(0, half), 1);
    assert_eq!(outside(half, u128::MAX), 3);
    assert_eq!(outside(1, 0x0cc1 << 112), 5);
    assert_eq!(outside(1, 0x0cc2 << 112), 4);
    assert!(HashRange::parse("0", &u128::MAX.to_string()).unwrap().is_everything());
    assert_eq!(HashRange::parse("-1", "9"), None);
}

proptest! {
    #[test]
    fn noise_never_panics(message in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _any = read(&message);
        if let Packed::Yes(aggregate) = read(&packed(&message)) {
            prop_assert_eq!(aggregate.records().filter(Result::is_ok).count() as u64, aggregate.count);
        }
    }

    /// Noise that is nearly right: bytes of a golden message exchanged.
    #[test]
    fn near_misses_never_panic(which in 0..8_usize, changes in proptest::collection::vec(any::<(u16, u8)>(), 1..6)) {
        let data = bytes(&golden()[which]["data"]);
        let mut message = data[4..data.len() - 16].to_vec();
        for (at, byte) in changes {
            let len = message.len();
            message[usize::from(at) % len] = byte;
        }
        if let Packed::Yes(aggregate) = read(&packed(&message)) {
            prop_assert_eq!(aggregate.records().filter(Result::is_ok).count() as u64, aggregate.count);
        }
    }
}
