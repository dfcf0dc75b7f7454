//! How `kafka.memory.bytes` is spent, in librdkafka's properties. Pure.
//!
//! ```text
//!   budget  ├───────── 3/4: the queue ─────────┼── 1/4: answers under way, one per broker ──┤
//! ```
//!
//! librdkafka stops fetching when its queue holds so many bytes of payload or so many records, all
//! partitions together; what a Fetch brings that was under way then comes on top, one from each
//! broker. Both limits of the queue are made from the budget, since a record costs memory of its own
//! that its payload does not tell: without the second one, small records take several times the
//! budget. Compressed batches are counted as what they hold, once they have come.

/// Bytes that may be set, and what is used where nothing is.
///
/// Why 16 MiB: it keeps the reader busy over a 5 ms round trip at 1 GB/s.
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

/// Brokers whose answers are expected where nothing is known yet.
///
/// Why 2: an eighth of the default budget is 2 MiB at a time, 400 MB/s from each broker over a 5 ms
/// round trip.
const BROKERS_MIN: u64 = 2;

/// Bytes of one Fetch answer, however small the budget is. Why 64 KiB: less costs more requests than
/// records.
const FETCH_BYTES_MIN: u64 = 64 * 1024;

/// Bytes of one Fetch answer, however large the budget is. Why 16 MiB: a larger answer only waits.
const FETCH_BYTES_MAX: u64 = 16 * MIB;

/// Bytes of one answer, and of one decompressed batch, that the client accepts in any case.
///
/// Why 16 MiB: a record of 8 MiB passes alone whatever the budget is, with room for what is packed
/// into the same batch.
const RECEIVE_BYTES_MIN: u64 = 16 * MIB;

/// Budgets' worth of bytes that one answer, or one decompressed batch, may have.
///
/// Why 2: zstd packs 100 GB of zeroes into a batch of the usual 1 MiB; what does not fit into this
/// is refused before it is memory. Brokers let in 1 MiB, compressed, unless they are told otherwise.
const RECEIVE_BUDGETS: u64 = 2;

const _: () = assert!(FETCH_BYTES_MIN + ANSWER_HEAD_BYTES <= RECEIVE_BYTES_MIN);
const _: () = assert!(RECEIVE_BUDGETS * BROKERS_MIN >= 1);

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
    /// `receive.message.max.bytes`: one answer, and what one batch holds.
    pub(super) receive_bytes: u64,
}

impl Memory {
    /// Spends `bytes` over what reads.
    pub(super) fn of(bytes: u64, over: Readers) -> Self {
        let underway = bytes / 4;
        let queue = (bytes - underway) / over.queues.max(1);
        let fetch_bytes = underway / over.brokers.max(BROKERS_MIN);
        Self {
            queue_kbytes: (queue / 1000).max(1),
            queue_records: (queue / RECORD_COST_BYTES).max(1),
            fetch_bytes: fetch_bytes.clamp(FETCH_BYTES_MIN, FETCH_BYTES_MAX),
            receive_bytes: (bytes * RECEIVE_BUDGETS).clamp(RECEIVE_BYTES_MIN, PROPERTY_MAX),
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
