//! Plain lines of progress where stderr is no terminal.
//!
//! May touch: stderr, one ticker thread. Invariant: a line is printed only when something changed,
//! so a log of an idle run does not grow.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::format::{bytes, count, counted, duration, lag};
use super::out;
use crate::run::{REACHING, Snapshot, Tally};

/// The time between two lines.
const EVERY: Duration = Duration::from_secs(2);

pub(super) struct Lines {
    ticker: Mutex<Option<(SyncSender<()>, JoinHandle<()>)>>,
}

impl Lines {
    pub(super) fn start(name: &str, tally: &Arc<Tally>) -> Self {
        let (name, tally) = (name.to_owned(), Arc::clone(tally));
        let (end, ended) = sync_channel::<()>(1);
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            let mut last = None;
            loop {
                let is_over = !matches!(ended.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout));
                let now = tally.snapshot(Instant::now());
                let shown =
                    (now.rows, now.errors, now.batches, now.waiting.clone(), now.is_reached);
                let is_new = last.as_ref() != Some(&shown);
                let is_slow = !now.is_reached && !is_over;
                if is_new && (now.batches > 0 || now.waiting.is_some() || is_slow) {
                    out::note(&text(&name, &now));
                    last = Some(shown);
                }
                if is_over {
                    return;
                }
            }
        });
        // Without a thread there are no lines; the run itself needs none.
        Self { ticker: Mutex::new(thread.ok().map(|thread| (end, thread))) }
    }

    /// Prints the last line.
    pub(super) fn stop(&self) {
        let ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((end, thread)) = ticker {
            drop(end);
            drop(thread.join());
        }
    }
}

fn is_behind(now: &Snapshot) -> bool {
    [now.lag_rows, now.lag_ms].into_iter().flatten().any(|it| it > 0)
}

fn text(name: &str, now: &Snapshot) -> String {
    let waiting = now
        .waiting
        .as_deref()
        .map_or_else(String::new, |waiting| format!("; {}", out::one_line(waiting)));
    if !now.is_reached {
        return format!("{name}: {REACHING}, {}{waiting}", duration(now.elapsed));
    }
    let of = now.total.map_or_else(String::new, |total| format!(" of {}", count(total)));
    let mut text = format!(
        "{name}: {}{of} {}, {} rows/s, {}/s, {}, {}",
        count(now.rows),
        if now.rows == 1 && now.total.is_none() { "row" } else { "rows" },
        count(now.rows_per_s),
        bytes(now.bytes_per_s),
        counted(now.batches, "batch", "batches"),
        duration(now.elapsed)
    );
    if let Some(lag) = lag(now.lag_rows, now.lag_ms).filter(|_| is_behind(now)) {
        text.push_str(", ");
        text.push_str(&lag);
    }
    if now.errors > 0 {
        text.push_str(", error rows ");
        text.push_str(&count(now.errors));
    }
    text.push_str(&waiting);
    text
}
