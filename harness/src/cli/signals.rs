//! Ctrl-C and its relatives.
//!
//! May touch: signals, one thread that waits for them. Invariant: the first signal drains, the second
//! ends the run at once, the third ends the process.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::error::CliError;
use crate::exit::Exit;
use crate::report::{Report, out};
use crate::run::Control;

/// Ends the run of `control` when the process is told to.
///
/// # Errors
/// The signals cannot be watched.
pub(crate) fn watch(control: &Control, report: &Report) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::other(Exit::Resource, format!("watch for Ctrl-C: {error}"))
    };
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(failed)?;
    let (control, report) = (control.clone(), report.clone());
    let wait = move || {
        for signal in signals.forever() {
            if control.is_now() {
                drop(emulate_default_handler(signal));
            } else if control.is_draining() {
                control.now();
                report.note("stopping at once; what is not committed is read again next time");
            } else {
                control.drain();
                report.note("stopping after what was extracted is committed; press Ctrl-C again to stop now");
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop).map_err(failed)
}

/// A prompt: Ctrl-C ends the statement that runs, whose control is in `statement`; what else ends a process, and
/// a second Ctrl-C, ends the prompt at once.
///
/// # Errors
/// The signals cannot be watched.
pub(super) fn watch_prompt(statement: &Arc<Mutex<Option<Control>>>) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::other(Exit::Resource, format!("watch for Ctrl-C: {error}"))
    };
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(failed)?;
    let statement = Arc::clone(statement);
    let wait = move || {
        for signal in signals.forever() {
            let running = statement.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match running {
                Some(running) if signal == SIGINT && !running.is_draining() => {
                    running.drain();
                    out::note("ending the statement; press Ctrl-C again to leave at once");
                }
                // The line editor would wait for the next key; a pipeline goes on where it stands.
                Some(_) | None => drop(emulate_default_handler(signal)),
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop).map_err(failed)
}
