//! Checks that only an answer that lists the asked port counts.

use super::*;

fn response(brokers: &[(u32, Option<&str>)]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 1];
    bytes.extend(u32::try_from(brokers.len()).unwrap().to_be_bytes());
    for (port, rack) in brokers {
        bytes.extend([0, 0, 0, 7, 0, 9]);
        bytes.extend(b"127.0.0.1");
        bytes.extend(port.to_be_bytes());
        match rack {
            None => bytes.extend([0xff, 0xff]),
            Some(text) => {
                bytes.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
                bytes.extend(text.as_bytes());
            }
        }
    }
    bytes
}

#[test]
fn only_a_broker_at_the_port_counts() {
    let check = |brokers: &[(u32, Option<&str>)], expected: bool| {
        assert_eq!(lists(&response(brokers), 20_001), expected, "{brokers:?}");
    };
    check(&[], false);
    check(&[(20_001, None)], true);
    check(&[(20_002, Some("rack")), (20_001, Some(""))], true);
    check(&[(20_002, None)], false);
}

#[test]
fn a_cut_answer_never_counts() {
    let whole = response(&[(20_002, Some("rack")), (20_001, None)]);
    assert!(lists(&whole, 20_001));
    for len in 0..whole.len() {
        assert!(!lists(&whole[..len], 20_001), "{len}");
    }
    assert!(!lists(&[0xff; 64], 20_001));
}

#[test]
fn nobody_listening_is_not_ready() {
    let held = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    drop(held);
    assert!(!answers(port));
}
