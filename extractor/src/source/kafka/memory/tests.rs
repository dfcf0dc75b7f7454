//! How budgets of every size are spent.

use super::*;

const ONE: Readers = Readers { queues: 1, brokers: 1 };

#[test]
fn the_default_and_the_low_memory_budget() {
    let default = Memory {
        queue_kbytes: 4194,
        queue_records: 8192,
        fetch_bytes: MIB,
        receive_bytes: 96 * MIB,
    };
    assert_eq!(Memory::of(MEMORY_BYTES_DEFAULT, ONE), default);
    assert_eq!(Memory::of(MEMORY_BYTES_DEFAULT, Readers::default()), default);
    let low = Memory {
        queue_kbytes: 3145,
        queue_records: 6144,
        fetch_bytes: MIB / 2,
        receive_bytes: 27 * MIB,
    };
    assert_eq!(Memory::of(4 * MIB, ONE), low);
}

#[test]
fn a_larger_budget_than_the_default_is_used() {
    let large = Memory::of(64 * MIB, ONE);
    assert_eq!((large.queue_kbytes, large.fetch_bytes), (16 * MIB / 1000, 4 * MIB));
}

#[test]
fn queues_share_one_budget() {
    let shared = Memory::of(MEMORY_BYTES_DEFAULT, Readers { queues: 64, ..ONE });
    assert_eq!((shared.queue_kbytes, shared.queue_records), (65, 128));
    let many = Memory::of(MEMORY_BYTES_MIN, Readers { queues: 100_000, ..ONE });
    assert_eq!((many.queue_kbytes, many.queue_records), (1, 1));
}

#[test]
fn answers_of_all_brokers_and_the_queue_are_one_budget() {
    for brokers in 2..=64 {
        let memory = Memory::of(MEMORY_BYTES_DEFAULT, Readers { brokers, ..ONE });
        let sum = memory.queue_kbytes * 1000 + memory.fetch_bytes * brokers;
        assert!(sum <= MEMORY_BYTES_DEFAULT, "{brokers}");
    }
}

#[test]
fn librdkafka_takes_every_budget() {
    let mut bytes = MEMORY_BYTES_MIN;
    while bytes <= MEMORY_BYTES_MAX {
        let memory = Memory::of(bytes, ONE);
        assert!(memory.fetch_bytes + ANSWER_HEAD_BYTES <= memory.receive_bytes, "{bytes}");
        assert!(memory.receive_bytes <= PROPERTY_MAX && memory.queue_records <= 10_000_000);
        let fetching = memory.fetching(50 * MIB);
        assert!(fetching.receive_bytes >= 50 * MIB + ANSWER_HEAD_BYTES, "{bytes}");
        bytes += bytes / 7;
    }
}

/// The buffer in which librdkafka unpacks `bytes` that zstd packed into `packed` without saying how
/// many they are: the loop of `rd_kafka_zstd_decompress`.
fn zstd_buffer(packed: u64, bytes: u64) -> u64 {
    let mut buffer = packed * 2;
    while buffer < bytes {
        buffer += (buffer * 2).max(4000);
    }
    buffer
}

#[test]
fn f28_a_zstd_batch_that_does_not_say_its_size_passes_however_well_it_packs() {
    for budget in [1, 2, 4, 16, 64, 256].map(|mib| mib * MIB) {
        let limit = Memory::of(budget, ONE).receive_bytes;
        for bytes in [RECORD_BYTES, RECORD_BYTES + BESIDE_BYTES, 2 * budget] {
            let mut packed = 1000;
            while packed <= bytes + bytes / 255 {
                let buffer = zstd_buffer(packed, bytes);
                assert!(buffer <= limit, "{bytes} in {packed} need {buffer}, of {limit}");
                packed += packed / 97 + 1;
            }
        }
    }
}
