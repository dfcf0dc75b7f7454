//! Log lines: to the host as LOG frames once there is a session, to stderr before. Every line
//! passes the redactor and a rate limit; a line that finds no room is dropped and counted.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::limits::LOG_FRAME_BYTES_MAX;
use protocol::message::{Log, encode};
use protocol::wire::{Head, Kind};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::pipe::{Link, OutFrame};

/// Lines in one second; more are dropped and counted.
const LINES_PER_SECOND_MAX: u32 = 100;

/// Bytes of text in one line. Why a third of a frame: JSON may write six bytes for one control
/// character, and the line must still fit with its other fields.
const TEXT_BYTES_MAX: usize = 1200;

const _: () = assert!(6 * TEXT_BYTES_MAX + 512 < LOG_FRAME_BYTES_MAX as usize);

/// Levels by name, the quietest first.
const LEVELS: [(&str, Level); 5] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

/// Which lines are written, and where.
#[derive(Debug)]
pub struct Control {
    /// Lines of this index in [`LEVELS`] and below are written.
    level: AtomicU8,
    in_session: AtomicBool,
}

/// Index of a level in [`LEVELS`].
fn rank(level: Level) -> u8 {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    }
}

/// The level of a name; `None` for a word that is no level.
pub fn parse_level(name: &str) -> Option<Level> {
    LEVELS.iter().find(|(word, _)| *word == name).map(|(_, level)| *level)
}

impl Control {
    /// Takes another level.
    pub fn set_level(&self, level: Level) {
        self.level.store(rank(level), Ordering::Relaxed);
        // Who remembers the answer asks again.
        tracing::callsite::rebuild_interest_cache();
    }

    /// From now on the host gets the lines.
    pub fn enter_session(&self) {
        self.in_session.store(true, Ordering::Release);
    }

    fn takes(&self, level: Level) -> bool {
        rank(level) <= self.level.load(Ordering::Relaxed)
    }
}

/// Sends all lines of `tracing` through `link`. Called once.
pub fn install(link: Arc<Link>, level: Level) -> Arc<Control> {
    let control =
        Arc::new(Control { level: AtomicU8::new(rank(level)), in_session: AtomicBool::new(false) });
    let rate = Mutex::new(Rate { since: Instant::now(), lines: 0 });
    let layer = ToHost { link, control: Arc::clone(&control), rate, suppressed: AtomicU64::new(0) };
    // Only a second call fails; the first one stays in force.
    let _second =
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
    control
}

struct Rate {
    since: Instant,
    lines: u32,
}

struct ToHost {
    link: Arc<Link>,
    control: Arc<Control>,
    rate: Mutex<Rate>,
    suppressed: AtomicU64,
}

impl ToHost {
    fn within_rate(&self) -> bool {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if rate.since.elapsed() >= Duration::from_secs(1) {
            *rate = Rate { since: Instant::now(), lines: 0 };
        }
        rate.lines += 1;
        rate.lines <= LINES_PER_SECOND_MAX
    }

    fn send(&self, level: Level, target: &str, text: &str) {
        let message = self.link.redactor.text(text).into_owned();
        let level = LEVELS.iter().find(|(_, known)| *known == level).map_or("", |(name, _)| name);
        let suppressed = self.suppressed.swap(0, Ordering::Relaxed);
        let line = Log {
            level: level.to_owned(),
            target: cut(target, 100).to_owned(),
            message: cut(&message, TEXT_BYTES_MAX).to_owned(),
            suppressed,
        };
        let head = Head::new(Kind::Log, self.link.board.epoch());
        if !self.link.outbox.log(OutFrame::control(head, &encode(&line))) {
            self.suppressed.fetch_add(suppressed + 1, Ordering::Relaxed);
        }
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

impl<S: Subscriber> Layer<S> for ToHost {
    // Remembered until the level changes: the AWS SDK has some hundred places for each call that are
    // never written.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.control.takes(*metadata.level()) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.control.takes(*metadata.level())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !self.within_rate() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let text = line.fields + &line.message;
        let metadata = event.metadata();
        if self.control.in_session.load(Ordering::Acquire) {
            self.send(*metadata.level(), metadata.target(), &text);
        } else {
            self.link.stderr.say(&format!("{} {text}", metadata.level()));
        }
    }
}

/// Fields stand before the message.
#[derive(Default)]
struct Line {
    fields: String,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string cannot fail.
        let _written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, "{name}={value:?} "),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name => {
                let _written = write!(self.fields, "{name}={value} ");
            }
        }
    }
}
