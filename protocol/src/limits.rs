//! Every maximum of the pipe, in one place. Pure constants.
//!
//! A receiver checks a limit before it allocates. `SPEC.md` section 9 lists the same names and
//! values, and a test compares the two.

/// Bytes of a frame header.
pub const HEADER_LEN: usize = 32;

/// Largest payload of a data frame (SCHEMA, BATCH) that a receiver accepts unless HELLO agreed on
/// less.
///
/// Why 64 MiB: it holds the largest row (63 MiB) with its block around it, and a damaged length
/// cannot make the peer reserve more.
pub const DATA_FRAME_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Smallest data frame limit that a host may ask for in HELLO.
///
/// Why 64 KiB: below it the cost per frame is larger than the cost of the rows.
pub const DATA_FRAME_BYTES_MIN: u32 = 64 * 1024;

/// Largest payload of every other frame.
///
/// Why 1 MiB: an ASSIGN of [`PARTS_MAX`] splits with keys and values of common size fits.
pub const CONTROL_FRAME_BYTES_MAX: u32 = 1024 * 1024;

/// Largest payload of a LOG frame. Why: a log line is for a person.
pub const LOG_FRAME_BYTES_MAX: u32 = 8 * 1024;

/// Largest PING payload.
pub const PING_BYTES_MAX: u32 = 64;

/// Splits in one ASSIGN. Why 4,096: ten times the largest topics seen in practice per task.
pub const PARTS_MAX: usize = 4096;

/// Rows that one ASSIGN names as refused.
///
/// Why 512: with the longest reasons they take a quarter of a control frame, and leave the splits their room.
pub const REFUSED_MAX: usize = 512;

/// What the reason of an error row says, with the number of bytes behind it, where the row could not hold the
/// record and came without its larger parts.
pub const PARTS_LEFT_OUT: &str = "(parts left out, there were ";

/// Bytes of the reason of one of them. Why 256: the sentence of a database with a number and names.
pub const REFUSED_REASON_BYTES_MAX: usize = 256;

/// Open EXTRACT requests (credits). Why 8: more than two only adds memory.
pub const CREDITS_MAX: usize = 8;

/// Live schemas in one epoch, the error schema included.
pub const SCHEMAS_MAX: usize = 1024;

/// Bytes of the canonical text of an offset KEY.
pub const OFFSET_KEY_BYTES_MAX: usize = 1024;

/// Bytes of the canonical text of an offset VALUE.
pub const OFFSET_VALUE_BYTES_MAX: usize = 4096;

/// Nesting of objects and arrays in a control payload.
///
/// Why 32: the deepest message of this protocol needs 5; a bomb of brackets ends early.
pub const JSON_DEPTH_MAX: usize = 32;

/// Integers in offsets lie within ± this value (2^53 − 1), so that every JSON reader keeps them.
pub const OFFSET_INTEGER_MAX: i64 = 9_007_199_254_740_991;

/// Bytes of one encoded row (an Avro datum).
///
/// Why 63 MiB: [`DATA_FRAME_BYTES_MAX`] less room for the block around it.
pub const ROW_BYTES_MAX: usize = 63 * 1024 * 1024;

/// Rows of one block.
pub const BLOCK_ROWS_MAX: u64 = 1 << 24;

/// Bytes of the Avro container header in a SCHEMA frame.
pub const SCHEMA_BYTES_MAX: usize = 1024 * 1024;

/// Entries of the metadata map in an Avro container header.
pub const SCHEMA_META_MAX: usize = 64;

/// Bytes of a message text in ERROR; longer texts are cut by the sender.
pub const ERROR_TEXT_BYTES_MAX: usize = 4096;

/// Rows that one EXTRACT may ask for.
pub const EXTRACT_ROWS_MAX: u64 = 100_000_000;

/// Bytes that one EXTRACT may ask for.
pub const EXTRACT_BYTES_MAX: u64 = 1 << 32;

/// Longest `max_interval_ms` of EXTRACT. Why an hour: a longer wait is a pipeline that hangs.
pub const EXTRACT_INTERVAL_MS_MAX: u64 = 3_600_000;

/// Bytes of host frames that an extractor holds unread before it calls the host broken.
pub const UNREAD_BYTES_MAX: usize = 64 * 1024;

/// Frames of requests that an extractor holds unread before it calls the host broken.
pub const UNREAD_FRAMES_MAX: usize = 64;

const _: () = assert!(ROW_BYTES_MAX + 1024 * 1024 <= DATA_FRAME_BYTES_MAX as usize);
const _: () = assert!(SCHEMA_BYTES_MAX <= DATA_FRAME_BYTES_MAX as usize);
const _: () = assert!(LOG_FRAME_BYTES_MAX <= CONTROL_FRAME_BYTES_MAX);
const _: () = assert!(PING_BYTES_MAX <= CONTROL_FRAME_BYTES_MAX);
const _: () = assert!(
    // Each byte of a reason may need an escape of two.
    REFUSED_MAX * (2 * REFUSED_REASON_BYTES_MAX + 128) < CONTROL_FRAME_BYTES_MAX as usize / 2
);
const _: () = assert!(DATA_FRAME_BYTES_MIN <= DATA_FRAME_BYTES_MAX);
