//! What the host sent and the pump has not taken. Bounded: a host that sends more is broken, and
//! the reader never waits for room.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use protocol::limits::{UNREAD_BYTES_MAX, UNREAD_FRAMES_MAX};
use protocol::wire::{Frame, Kind};
use protocol::{Code, Failure};

use super::lock;

/// One thing for the pump.
#[derive(Debug)]
pub enum Inbound {
    /// A frame of the host.
    Frame(Frame),
    /// SIGTERM: end as after STOP.
    Terminate,
}

/// Size of a request that is not yet answered.
#[derive(Clone, Copy, Debug)]
struct Held {
    seq: u32,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    /// Requests here and in the hands of the pump.
    held: Vec<Held>,
    terminate: bool,
}

/// Frames between the reader and the pump.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl Inbox {
    /// Adds a frame.
    ///
    /// # Errors
    /// The host sent more than it may send ahead. CONFIGURE, of which there is one, and the largest
    /// other frame do not count: a large request with small ones behind it always passes.
    pub(super) fn push(&self, frame: Frame) -> Result<(), Failure> {
        let mut waiting = lock(&self.waiting);
        let counts = frame.head.kind != Kind::Configure;
        let bytes = if counts { frame.payload.len() } else { 0 };
        waiting.held.push(Held { seq: frame.seq, bytes });
        let sizes = waiting.held.iter().map(|held| held.bytes);
        let bytes = sizes.clone().sum::<usize>() - sizes.max().unwrap_or(0);
        let count = waiting.held.len();
        if count > UNREAD_FRAMES_MAX || bytes > UNREAD_BYTES_MAX {
            let text = format!(
                "host sent {count} requests ahead, {bytes} bytes besides the largest; the limits \
                 are {UNREAD_FRAMES_MAX} requests and {UNREAD_BYTES_MAX} bytes"
            );
            return Err(Failure::new(Code::BufferLimit, text).fatal());
        }
        waiting.frames.push_back(frame);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// The pump is done with a request.
    pub fn release(&self, seq: u32) {
        lock(&self.waiting).held.retain(|held| held.seq != seq);
    }

    /// Says that SIGTERM came.
    pub(super) fn terminate(&self) {
        lock(&self.waiting).terminate = true;
        self.arrived.notify_one();
    }

    /// Takes what is there.
    pub fn try_take(&self) -> Option<Inbound> {
        Self::pop(&mut lock(&self.waiting))
    }

    /// Waits until something is there and takes it.
    pub fn take(&self) -> Inbound {
        let mut waiting = lock(&self.waiting);
        loop {
            if let Some(inbound) = Self::pop(&mut waiting) {
                return inbound;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Waits until something is there, at most this long.
    pub fn wait(&self, time: Duration) {
        let waiting = lock(&self.waiting);
        if waiting.frames.is_empty() && !waiting.terminate {
            drop(self.arrived.wait_timeout(waiting, time));
        }
    }

    fn pop(waiting: &mut Waiting) -> Option<Inbound> {
        if let Some(frame) = waiting.frames.pop_front() {
            return Some(Inbound::Frame(frame));
        }
        std::mem::take(&mut waiting.terminate).then_some(Inbound::Terminate)
    }
}
