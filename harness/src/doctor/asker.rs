//! One extractor that is asked one thing after the other, and reads no row.
//!
//! May touch: `link`. Invariant: no wait is longer than a task's own.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use protocol::message::{
    Checked, Configure, Configured, Discovered, GetOffsets, HelloOk, Settings, Start,
};
use protocol::session::host::Event;
use protocol::{OffsetKey, message};

use crate::child::{FromChild, SpawnError};
use crate::link::{CONFIGURE_WAIT, Fault, HELLO_WAIT, Link, REQUEST_WAIT};
use crate::run::Plan;

/// How long an extractor tries a source that does not answer, milliseconds.
///
/// Why 2 s: a person waits, and what passes within seconds is seen by a second look.
const RETRY_MS: u64 = 2_000;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(50);

/// Frames that wait to be looked at; they are taken at once.
const FRAMES_MAX: usize = 16;

/// See the module. Dropping it ends the extractor.
pub(super) struct Asker {
    link: Link,
    frames: Receiver<FromChild>,
}

impl Asker {
    pub(super) fn start(plan: &Plan) -> Result<Self, SpawnError> {
        let (tell, frames) = sync_channel(FRAMES_MAX);
        let mut command = plan.extractor.clone();
        command.args.extend(["--pipeline".to_owned(), plan.name.clone()]);
        // Its log is quoted by an error where it matters.
        let link = Link::start(&command, move |what| tell.send(what).is_ok(), |_| {})?;
        Ok(Self { link, frames })
    }

    pub(super) fn hello(&mut self) -> Result<HelloOk, Fault> {
        let session = format!("{:016x}", fastrand::u64(..));
        self.link.hello(&session, "error")?;
        self.answer(HELLO_WAIT, |event| match event {
            Event::HelloOk(hello) => Some(hello),
            _ => None,
        })
    }

    pub(super) fn configure(&mut self, plan: &Plan) -> Result<Configured, Fault> {
        self.link.configure(&Configure {
            config: plan.source.config.clone(),
            credentials: plan.source.credentials.clone(),
            settings: Settings {
                pipeline: plan.name.clone(),
                max_row_bytes: plan.limits.row_bytes,
                retry_ms: RETRY_MS,
                ..Settings::default()
            },
        })?;
        self.answer(CONFIGURE_WAIT, |event| match event {
            Event::Configured(configured) => Some(configured),
            _ => None,
        })
    }

    pub(super) fn check(&mut self) -> Result<Checked, Fault> {
        self.link.check()?;
        self.answer(REQUEST_WAIT, |event| match event {
            Event::Checked(checked) => Some(checked),
            _ => None,
        })
    }

    pub(super) fn discover(&mut self) -> Result<Discovered, Fault> {
        self.link.discover()?;
        self.answer(REQUEST_WAIT, |event| match event {
            Event::Discovered(discovered) => Some(discovered),
            _ => None,
        })
    }

    pub(super) fn offsets(
        &mut self,
        start: Start,
        keys: Vec<OffsetKey>,
    ) -> Result<Vec<message::OffsetEntry>, Fault> {
        self.link.get_offsets(&GetOffsets { start, keys })?;
        self.answer(REQUEST_WAIT, |event| match event {
            Event::Offsets(offsets) => Some(offsets.offsets),
            _ => None,
        })
    }

    /// Waits for the answer that `pick` takes; everything else is passed over.
    fn answer<T>(
        &mut self,
        wait: Duration,
        mut pick: impl FnMut(Event) -> Option<T>,
    ) -> Result<T, Fault> {
        let deadline = Instant::now() + wait;
        loop {
            match self.frames.recv_timeout(TICK) {
                Ok(FromChild::Frame(frame)) => match self.link.receive(&frame)? {
                    Event::Failed { failure, .. } => return Err(Fault::Failed(failure)),
                    event => {
                        if let Some(picked) = pick(event) {
                            return Ok(picked);
                        }
                    }
                },
                Ok(FromChild::End(error)) => return Err(self.link.ended(error)),
                Err(RecvTimeoutError::Timeout) => self.link.tick()?,
                Err(RecvTimeoutError::Disconnected) => return Err(self.link.ended(None)),
            }
            if Instant::now() > deadline {
                let text = format!("extractor does not answer within {} s", wait.as_secs());
                return Err(Fault::Gone(text));
            }
        }
    }
}
