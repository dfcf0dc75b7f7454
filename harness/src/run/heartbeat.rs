//! Tells the catalogue that this process lives, and what it knows: speed, memory, what it waits for, how far its
//! splits are behind.
//!
//! May touch: the catalogue, on a connection and a thread of its own. Invariants: nothing waits for it but the
//! end of the run, for a moment; a sign of life that cannot be written is left out, and the next one says
//! more; it decides nothing.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Health, Share, Snapshot, Tally};
use crate::catalogue::{
    Behind, Catalogue, First, Heartbeat as Found, Pulse, beat, fall_silent, fresh_name, note_lags,
};
use crate::store::{Connect, Store, StoreError};

/// How often a process that has something new to say says it.
///
/// Why 1 s: a person who watches sees no more, and one write of one row per second costs a database nothing.
const BEAT: Duration = Duration::from_secs(1);

/// How often a process says that nothing changed. Six of them are missing before it counts as silent.
const BEAT_IDLE: Duration = Duration::from_secs(5);

/// How often the lag of splits is written. Why 2 s: people look at it, and each time costs a transaction.
const LAGS_INTERVAL: Duration = Duration::from_secs(2);

/// After which time without a sign of life a process is called silent.
pub const SILENT_AFTER: Duration = Duration::from_secs(30);

/// Whether a process has said nothing for so long that it is called silent.
pub(crate) fn is_silent(beat: &Found) -> bool {
    u128::from(beat.age_us) > SILENT_AFTER.as_micros()
}

/// How long the end of a run waits for the last word. Why 2 s: a database that hangs is not worth more.
const END_WAIT: Duration = Duration::from_secs(2);

/// Longest reason that is kept, characters.
const REASON_CHARS_MAX: usize = 400;

/// See the module. Dropping it ends it.
pub(super) struct Heartbeat {
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Begins: says that the pipeline runs, together with the first sign of life. A system without room for a thread
    /// runs without further ones.
    ///
    /// # Errors
    /// The pipeline was dropped, or the database cannot be reached.
    pub(super) fn start(
        catalogue: &mut Catalogue,
        connect: Arc<dyn Connect>,
        pipeline_id: u64,
        share: &Share,
        tally: Arc<Tally>,
    ) -> Result<Self, StoreError> {
        let (end, ended) = sync_channel::<()>(1);
        let first = if share.leaf.is_some() { First::OfOneLeaf } else { First::OfAllLeaves };
        let mut heart = Heart {
            connect,
            pipeline_id,
            leaf: share.leaf.unwrap_or(0),
            process: process(),
            store: None,
            last: None,
            lags_at: Instant::now(),
        };
        let pulse = heart.pulse(&tally.snapshot(Instant::now()));
        catalogue.begin_running(pipeline_id, &pulse, first)?;
        heart.last = Some((pulse, Instant::now()));
        let beats = move || {
            loop {
                // What cannot be written now is older than what the next one says.
                let _later = heart.beat(&tally.snapshot(Instant::now()));
                if heart.lags_at.elapsed() >= LAGS_INTERVAL {
                    heart.note_lags(&tally);
                }
                match ended.recv_timeout(BEAT) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                    Ok(()) => return,
                }
            }
            heart.note_lags(&tally);
            let _silent_anyway = heart.stop();
        };
        let thread = thread::Builder::new().name("heartbeat".to_owned()).spawn(beats).ok();
        Ok(Self { end: Some(end), thread })
    }

    /// Ends it without a last word, as if the process was killed.
    pub(super) fn abandon(&mut self) {
        if let Some(end) = self.end.take() {
            // A thread that is gone asks nothing more either.
            let _gone = end.try_send(());
        }
        self.thread = None;
    }

    /// Ends it; waits for its last word for a moment.
    pub(super) fn stop(&mut self) {
        drop(self.end.take());
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + END_WAIT;
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

struct Heart {
    connect: Arc<dyn Connect>,
    pipeline_id: u64,
    leaf: u32,
    process: String,
    store: Option<Box<dyn Store>>,
    last: Option<(Pulse, Instant)>,
    /// When the lag of splits was last written.
    lags_at: Instant,
}

impl Heart {
    fn beat(&mut self, now: &Snapshot) -> Result<(), StoreError> {
        let pulse = self.pulse(now);
        if let Some((last, at)) = &self.last
            && *last == pulse
            && at.elapsed() < BEAT_IDLE
        {
            return Ok(());
        }
        let mut store = match self.store.take() {
            Some(store) => store,
            None => self.connect.connect()?,
        };
        // After an error the connection is dropped.
        beat(store.as_mut(), self.pipeline_id, &pulse, None)?;
        self.store = Some(store);
        self.last = Some((pulse, Instant::now()));
        Ok(())
    }

    /// Writes down what was told of lag since the last time; what cannot be written now is written with the next.
    fn note_lags(&mut self, tally: &Tally) {
        self.lags_at = Instant::now();
        let lags = tally.take_unwritten();
        if !lags.is_empty() && self.write_lags(&lags).is_err() {
            tally.put_back(lags);
        }
    }

    fn write_lags(&mut self, lags: &[(String, Behind)]) -> Result<(), StoreError> {
        let mut store = match self.store.take() {
            Some(store) => store,
            None => self.connect.connect()?,
        };
        // After an error the connection is dropped, and the transaction with it.
        store.begin()?;
        let rows = lags.iter().map(|(key, behind)| (key.as_str(), *behind));
        note_lags(store.as_mut(), self.pipeline_id, rows)?;
        store.commit()?;
        self.store = Some(store);
        Ok(())
    }

    fn stop(&mut self) -> Result<(), StoreError> {
        let Some((pulse, _)) = self.last.take() else { return Ok(()) };
        let mut store = match self.store.take() {
            Some(store) => store,
            None => self.connect.connect()?,
        };
        fall_silent(store.as_mut(), self.pipeline_id, &pulse)
    }

    fn pulse(&self, now: &Snapshot) -> Pulse {
        let reason = now.health.reason();
        Pulse {
            leaf: self.leaf,
            process: self.process.clone(),
            health: now.health.word().to_owned(),
            reason: reason.map(|text| text.chars().take(REASON_CHARS_MAX).collect()),
            rows_per_s: now.rows_per_s,
            bytes_per_s: now.bytes_per_s,
            memory_bytes: now.memory_bytes,
            retries: now.retries,
            restarts: now.restarts,
        }
    }
}

/// What a process says of a pipeline that it is about to run.
pub(crate) fn announcement() -> Pulse {
    Pulse {
        leaf: 0,
        process: process(),
        health: Health::Starting.word().to_owned(),
        reason: None,
        rows_per_s: 0,
        bytes_per_s: 0,
        memory_bytes: 0,
        retries: 0,
        restarts: 0,
    }
}

/// This process as nobody else is called: host, number, and a mark, since numbers are used again.
fn process() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let mark: String = fresh_name().chars().take(8).collect();
    format!("{} {} {mark}", host.unwrap_or_else(|| "unknown".to_owned()), std::process::id())
}
