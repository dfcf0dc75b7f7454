//! Buffers of frames on their way out, reused. A payload is built behind [`ROOM`] free bytes, into
//! which its own prefix and the frame header are written later: nothing is copied to frame it.

use std::mem;

use protocol::limits::HEADER_LEN;
use protocol::wire::Head;

/// Free bytes in front of a payload's rows: frame header, prefix and two varints of a block.
pub const ROOM: usize = 64;

/// Capacity of a fresh buffer.
const BUFFER_BYTES: usize = 1024 * 1024;

/// A buffer that grew beyond this is given back to the system.
const KEPT_BYTES_MAX: usize = 2 * BUFFER_BYTES;

/// Capacity that idle buffers may hold together.
const POOL_BYTES_MAX: usize = 6 * BUFFER_BYTES;

/// A frame without number and checksum: those are the writer's.
#[derive(Debug)]
pub struct OutFrame {
    /// What it is.
    pub head: Head,
    buffer: Vec<u8>,
    start: usize,
    crc: u32,
}

impl OutFrame {
    /// A small frame with its own buffer.
    pub fn control(head: Head, payload: &[u8]) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_LEN + payload.len());
        buffer.resize(HEADER_LEN, 0);
        buffer.extend_from_slice(payload);
        Self { head, buffer, start: HEADER_LEN, crc: crc32c::crc32c(payload) }
    }

    /// A frame whose payload is `buffer` from `start` on; `crc` is the payload's. At least
    /// [`HEADER_LEN`] bytes before `start` are free.
    pub fn data(head: Head, buffer: Vec<u8>, start: usize, crc: u32) -> Self {
        debug_assert!(start >= HEADER_LEN && start <= buffer.len(), "room for the header");
        Self { head, buffer, start, crc }
    }

    /// Bytes of the payload.
    pub fn payload_len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// CRC-32C of the payload.
    pub(super) fn crc(&self) -> u32 {
        self.crc
    }

    /// Puts the header in front and gives the whole frame.
    pub(super) fn whole(&mut self, header: [u8; HEADER_LEN]) -> &[u8] {
        let from = self.start.saturating_sub(HEADER_LEN);
        if let Some(room) = self.buffer.get_mut(from..self.start) {
            room.copy_from_slice(&header);
        }
        self.buffer.get(from..).unwrap_or_default()
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// Idle buffers. A full pool gives buffers back to the system, an empty one makes new ones.
#[derive(Debug, Default)]
pub struct Pool {
    idle: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    /// A buffer that holds nothing but [`ROOM`] free bytes.
    pub fn take(&mut self) -> Vec<u8> {
        let mut buffer = self.idle.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer.clear();
        buffer.resize(ROOM, 0);
        buffer
    }

    /// Takes a buffer back.
    pub fn put(&mut self, buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity == 0 || capacity > KEPT_BYTES_MAX || self.bytes + capacity > POOL_BYTES_MAX {
            return;
        }
        self.bytes += capacity;
        self.idle.push(buffer);
    }

    /// Moves all buffers of `from` here.
    pub fn absorb(&mut self, from: &mut Vec<Vec<u8>>) {
        for buffer in mem::take(from) {
            self.put(buffer);
        }
    }
}
