//! Ends the process when nobody wants it any more, whatever hangs: the parent died, or the time to
//! stop is over. Also tells the host that a long request is still worked on.

use std::time::Duration;

use protocol::Class;

use super::{Link, os};

/// How often the parent is looked for.
const TICK: Duration = Duration::from_secs(1);

/// Time to end after SIGTERM.
const TERMINATE_WITHIN: Duration = Duration::from_secs(5);

/// Watches until the process ends; `parent` is the process that started this one.
pub(super) fn run(link: &Link, parent: i32) {
    loop {
        if os::parent() != parent {
            os::exit_now(0);
        }
        let left = link.board.time_left();
        if left.is_some_and(|left| left.is_zero()) {
            link.stderr.say("stop deadline is over: ending without STOPPED");
            os::exit_now(Class::Transient.exit_code());
        }
        link.progress();
        link.board.wait(left.map_or(TICK, |left| left.min(TICK)));
    }
}

/// Turns SIGTERM into the same drain as STOP.
pub(super) fn listen(link: &Link) {
    loop {
        os::wait_for_sigterm();
        link.inbox.terminate();
        link.board.stop(TERMINATE_WITHIN);
    }
}
