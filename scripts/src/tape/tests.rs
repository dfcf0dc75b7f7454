//! Checks the batches byte by byte, and answers as a client without a library reads them.

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Base offset, count and whether the checksum holds, of each batch of some records.
fn batches(mut bytes: &[u8]) -> Vec<(i64, u32, bool)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = 12 + number(8) as usize;
        let base = i64::from_be_bytes(bytes[..8].try_into().unwrap());
        let holds = crc32c::crc32c(&bytes[21..length]) == number(17);
        found.push((base, number(57), holds));
        bytes = &bytes[length..];
    }
    found
}

#[test]
fn options_are_understood_or_named() {
    let play = Play::parse(&words("--records 5 --bytes 1024 --partitions 16")).unwrap();
    assert_eq!(play, Play { partitions: 16, records: 5, bytes: 1024 });
    for bad in ["--bytes 3", "--bytes", "--records x", "--speed 9", "--partitions 0"] {
        assert!(Play::parse(&words(bad)).is_err(), "{bad}");
    }
}

#[test]
fn batches_follow_each_other_over_the_end_of_the_roll() {
    let play = Play { partitions: 3, records: 300_000, bytes: 100 };
    let mut roll = Roll::build(play).unwrap();
    let (mut offset, mut first) = (0, None);
    while offset < roll.end() {
        let run = roll.run(offset, 1 << 20);
        assert!(run.bytes > 0 && run.bytes <= 1 << 20, "{run:?}");
        roll.stamp(&run);
        let sent: Vec<u8> = roll.pieces(&run).flatten().copied().collect();
        assert_eq!(sent.len(), run.bytes);
        for (base, count, holds) in batches(&sent) {
            assert!(holds && base == offset, "{base} after {offset}");
            assert_eq!(*first.get_or_insert(count), count);
            offset += i64::from(count);
        }
    }
    assert!(offset * 3 >= 300_000 && offset * 3 < 301_000, "{offset}");
    assert_eq!(roll.run(offset, 1 << 20).bytes, 0);
    assert!(roll.run(0, 1).bytes > 16_000, "one batch fits into any room");
}

#[test]
fn a_reader_gets_what_it_asks_for() {
    let (address, records) = listen(Play { partitions: 2, records: 10, bytes: 100 }).unwrap();
    assert_eq!(records, 10);
    let mut stream = TcpStream::connect(address).unwrap();
    // Fetch 11 of both partitions: the first from its start, the second at its end.
    let mut request = Vec::new();
    request.extend_from_slice(&[0, 1, 0, 11, 0, 0, 0, 7, 0xff, 0xff]);
    request.extend_from_slice(&[0xff; 4]);
    for number in [10, 1, 1 << 20] {
        request.extend_from_slice(&i32::to_be_bytes(number));
    }
    request.extend_from_slice(&[0; 9]);
    request.extend_from_slice(&[0, 0, 0, 1, 0, 4, b't', b'a', b'p', b'e', 0, 0, 0, 2]);
    for (partition, offset) in [(0_i32, 0_i64), (1, 5)] {
        request.extend_from_slice(&partition.to_be_bytes());
        request.extend_from_slice(&[0xff; 4]);
        request.extend_from_slice(&offset.to_be_bytes());
        request.extend_from_slice(&[0; 8]);
        request.extend_from_slice(&(1_i32 << 20).to_be_bytes());
    }
    request.extend_from_slice(&[0; 6]);
    stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..4], [0, 0, 0, 7]);
    // Correlation, throttle, error, session, one topic, its name, two partitions; then the first.
    let part = 4 + 4 + 2 + 4 + 4 + 6 + 4;
    assert_eq!(answer[part..part + 6], [0; 6]);
    let size = u32::from_be_bytes(answer[part + 38..part + 42].try_into().unwrap()) as usize;
    let (records, rest) = answer[part + 42..].split_at(size);
    assert_eq!(batches(records), [(0, 5, true)]);
    assert_eq!((rest.len(), &rest[..6], &rest[38..]), (42, &[0, 0, 0, 1, 0, 0][..], &[0; 4][..]));
}
