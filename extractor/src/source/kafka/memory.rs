//! How `kafka.memory.bytes` is spent, in librdkafka's properties. Pure.
//!
//! ```text
//!   budget  ├──── up to 3/4: the queue ────┼── up to 1/4: answers under way, one per broker ──┤
//! ```
//!
//! Both are kept as small as the processor's caches (4 MiB, and 1 MiB for an answer) for as long as the
//! budget is not larger than the default; from there on they grow with it.
//!
//! librdkafka stops fetching when its queue holds so many bytes of payload or so many records, all
//! partitions together; what a Fetch brings that was under way then comes on top, one from each
//! broker. Both limits of the queue are made from the budget, since a record costs memory of its own
//! that its payload does not tell: without the second one, small records take several times the
//! budget. Compressed batches are counted as what they hold, once they have come.

/// Bytes that may be set, and what is used where nothing is.
///
/// Why 16 MiB: what is used of it by one broker keeps the reader busy over a millisecond's round trip at
/// 1 GB/s, and there is room for the answers of many.
pub const MEMORY_BYTES_DEFAULT: u64 = 16 * MIB;

/// Smallest budget. Why 1 MiB: less makes a Fetch of a few records.
pub(super) const MEMORY_BYTES_MIN: u64 = MIB;

/// Largest budget. Why 1 GiB: librdkafka counts kilobytes in 31 bits, and more is a mistake.
pub(super) const MEMORY_BYTES_MAX: u64 = 1024 * MIB;

const MIB: u64 = 1024 * 1024;

/// Bytes that librdkafka and the allocator need for a record beside its payload.
///
/// Why 512: with it, 16 partitions of 100-byte records in the default budget were measured at 14 to
/// 18 MiB of heap; by payload alone 168,000 records would fit.
const RECORD_COST_BYTES: u64 = 512;

/// Bytes that wait in the queue where the budget allows as many, and share of a larger budget that does.
///
/// Why 4 MiB: it lasts for 4 ms at 1 GB/s, longer than fetching rests; of 12 MiB a record is in no near
/// cache any more when its turn comes, which cost 5 to 10 % of the processor time.
const QUEUE_WARM_BYTES: u64 = 4 * MIB;
const QUEUE_WARM_SHARE: u64 = 4;

/// The same for one answer. Why 1 MiB: 200 MB/s from each broker over a 5 ms round trip, more than a
/// database takes, and as much as the cache of a processor holds.
const FETCH_WARM_BYTES: u64 = MIB;
const FETCH_WARM_SHARE: u64 = 16;

/// Brokers whose answers are expected where nothing is known yet.
///
/// Why 2: a second broker may turn up at any time.
const BROKERS_MIN: u64 = 2;

/// Bytes of one Fetch answer, however small the budget is. Why 64 KiB: less costs more requests than
/// records.
const FETCH_BYTES_MIN: u64 = 64 * 1024;

/// Bytes of one Fetch answer, however large the budget is. Why 16 MiB: a larger answer only waits.
const FETCH_BYTES_MAX: u64 = 16 * MIB;

/// Bytes of the largest record that passes whatever the budget is.
const RECORD_BYTES: u64 = 8 * MIB;

/// Bytes that may be packed into the same batch beside such a record.
///
/// Why 1 MiB: producers close a batch at their `batch.size`, 16 KiB (Java) to 1 MB (librdkafka)
/// unless told otherwise.
const BESIDE_BYTES: u64 = MIB;

/// Budgets' worth of bytes that one batch may hold, unpacked, where that is more.
///
/// Why 2: zstd packs 100 GB of zeroes into a batch of the usual 1 MiB. Brokers let in 1 MiB,
/// compressed, unless they are told otherwise.
const UNPACKED_BUDGETS: u64 = 2;

/// How many times its bytes a batch of zstd may need as the limit of the client.
///
/// Why 3: such a batch mostly does not say how much it holds. librdkafka (`rdkafka_zstd.c`) then
/// tries buffers of 2, 6, 18, 54… times its compressed length and gives up at the first that is
/// over the limit; the first that is large enough is less than three times what is needed.
const UNPACKING_ROOM: u64 = 3;

const _: () = assert!(FETCH_BYTES_MIN + ANSWER_HEAD_BYTES <= RECORD_BYTES);

/// Bytes of an answer beside its records; librdkafka wants room for them.
const ANSWER_HEAD_BYTES: u64 = 512;

/// Largest number that librdkafka takes.
const PROPERTY_MAX: u64 = i32::MAX as u64;

/// Among what the budget is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Readers {
    /// Queues of librdkafka, where each partition has its own; otherwise there is one.
    pub(super) queues: u64,
    /// Brokers that are fetched from.
    pub(super) brokers: u64,
}

impl Readers {
    /// The larger number of each.
    pub(super) fn most(self, other: Self) -> Self {
        let queues = self.queues.max(other.queues);
        Self { queues, brokers: self.brokers.max(other.brokers) }
    }
}

/// The budget in librdkafka's properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// `queued.max.messages.kbytes`: payload in the queue.
    pub(super) queue_kbytes: u64,
    /// `queued.min.messages`: records in the queue.
    pub(super) queue_records: u64,
    /// `fetch.max.bytes` and `fetch.message.max.bytes`: one answer, which one partition may fill.
    pub(super) fetch_bytes: u64,
    /// `receive.message.max.bytes`: one answer, and the buffer that a batch of zstd is unpacked
    /// into; see [`UNPACKING_ROOM`].
    pub(super) receive_bytes: u64,
}

/// Bytes that one batch may hold, unpacked, in a budget of `bytes`.
const fn unpacked(bytes: u64) -> u64 {
    let (least, budgets) = (RECORD_BYTES + BESIDE_BYTES, bytes * UNPACKED_BUDGETS);
    if budgets > least { budgets } else { least }
}

impl Memory {
    /// Spends `bytes` over what reads.
    pub(super) fn of(bytes: u64, over: Readers) -> Self {
        let underway = bytes / 4;
        let queue = (bytes - underway).min(QUEUE_WARM_BYTES.max(bytes / QUEUE_WARM_SHARE));
        let queue = queue / over.queues.max(1);
        let fetch_bytes = underway / over.brokers.max(BROKERS_MIN);
        let fetch_bytes = fetch_bytes.min(FETCH_WARM_BYTES.max(bytes / FETCH_WARM_SHARE));
        Self {
            queue_kbytes: (queue / 1000).max(1),
            queue_records: (queue / RECORD_COST_BYTES).max(1),
            fetch_bytes: fetch_bytes.clamp(FETCH_BYTES_MIN, FETCH_BYTES_MAX),
            receive_bytes: (unpacked(bytes) * UNPACKING_ROOM).min(PROPERTY_MAX),
        }
    }

    /// The same, for answers of up to `fetch_bytes` that the user asks for.
    pub(super) fn fetching(self, fetch_bytes: u64) -> Self {
        let least = fetch_bytes.saturating_add(ANSWER_HEAD_BYTES).min(PROPERTY_MAX);
        Self { fetch_bytes, receive_bytes: self.receive_bytes.max(least), ..self }
    }
}

#[cfg(test)]
mod tests;
