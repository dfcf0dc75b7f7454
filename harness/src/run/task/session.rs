//! What a task asks its extractor, from HELLO to STOP, one request and its answer after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::OffsetKey;
use protocol::message::{
    AddedSplit, Configured, Discovered, GetOffsets, OffsetEntry, Partitions, Settings, Start,
};
use protocol::wire::Kind;

use super::{Answer, Event, FromChild, News, RunError, Stop, TICK, Task, Wake, line};
use crate::catalogue::Catalogue;
use crate::link::{
    CONFIGURE_WAIT, Fault, HELLO_WAIT, Link, REQUEST_WAIT, REQUEST_WAIT_MAX, STOP_WAIT,
};
use crate::run::pool::Files;
use crate::run::{Retry, incarnation};

impl Task {
    /// Starts an extractor if none runs: HELLO, CONFIGURE.
    pub(in crate::run) fn prepare(&mut self) -> Result<(), Stop> {
        if self.link.is_some() {
            return Ok(());
        }
        self.link_number += 1;
        let number = self.link_number;
        let wake = self.wake.clone();
        let frames = move |what| wake.send(Wake::Child { number, what }).is_ok();
        self.lines.set(Some(Arc::clone(&self.setup)));
        let lines = self.lines.clone();
        let lines = move |line: &str| lines.tell(line);
        let command = line::command(&self.setup, self.slot);
        let configure = line::configure(&self.setup, self.slot, self.claim);
        self.files = Files::of(&command.program, &configure);
        let link = Link::start(&command, frames, lines).map_err(|error| {
            let program = command.program.display().to_string();
            RunError::Spawn { program, reason: error.to_string() }
        })?;
        self.link = Some(link);
        self.alive = Some(self.setup.control.living().started());
        self.is_configured = false;
        self.setup.tell(&Event::Started { task: self.slot });
        self.looked = false;
        let session = format!("{:016x}", fastrand::u64(..));
        self.link()?.hello(&session, "info")?;
        self.answer(HELLO_WAIT, |answer| matches!(answer, Answer::HelloOk(_)).then_some(()))
            .map_err(|stop| self.not_an_extractor(stop))?;
        self.link()?.configure(&configure)?;
        let configured = self.answer(CONFIGURE_WAIT, |answer| match answer {
            Answer::Configured(configured) => Some(configured),
            _ => None,
        })?;
        self.accept(&configured)
    }

    /// A program that ends or is silent before HELLO_OK is none, unless it was killed.
    fn not_an_extractor(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Fault(Fault::Gone(text)) => Stop::Fault(Fault::Protocol(format!(
                "{text}, before it answered HELLO: is {} really an extractor?",
                self.setup.plan.extractor.program.display()
            ))),
            other => other,
        }
    }

    /// Asks which splits there are, with nothing to read.
    pub(super) fn look(&mut self) -> Result<(), Stop> {
        let mut catalogue = Catalogue::open(Arc::clone(&self.setup.connect))?;
        self.prepare()?;
        self.look_for_splits(&mut catalogue)
    }

    /// Asks a new extractor which splits there are: the one before may have died with the news of
    /// some. A split that the catalogue does not know starts at its beginning (E5).
    pub(super) fn look_for_splits(&mut self, catalogue: &mut Catalogue) -> Result<(), Stop> {
        if self.looked {
            return Ok(());
        }
        let discovered = self.discover()?;
        incarnation::remember(&self.setup, catalogue, &discovered.incarnation)?;
        let (task, order, splits) = (self.slot, self.order.number, discovered.splits.clone());
        let _gone = self.news.send(News::Listed { task, order, splits });
        let known = catalogue.splits(self.setup.pipeline.id)?;
        let mut new = discovered.splits;
        new.retain(|split| known.iter().all(|it| it.key != split.key.as_str()));
        if new.is_empty() {
            self.looked = true;
            return Ok(());
        }
        let keys = new.iter().map(|split| split.key.clone()).collect();
        let starts = self.offsets(Start::Earliest, keys)?;
        let added = new.into_iter().zip(starts);
        let added = added.map(|(split, start)| AddedSplit {
            key: split.key,
            parents: split.parents,
            value: start.value,
        });
        let news = Partitions { closed: Vec::new(), added: added.collect() };
        let _gone = self.news.send(News::Partitions(news));
        self.looked = true;
        Ok(())
    }

    fn accept(&mut self, configured: &Configured) -> Result<(), Stop> {
        self.told.clone_from(&configured.warnings);
        self.tell_warnings();
        if let Some(unknown) = configured.unknown_config.first() {
            return Err(RunError::Config(crate::pipeline::unknown_key(unknown)).into());
        }
        self.is_configured = true;
        Ok(())
    }

    /// Tells what the extractor said to its configuration.
    pub(super) fn tell_warnings(&self) {
        for warning in &self.told {
            self.setup.tell(&Event::Warning(warning.clone()));
        }
    }

    /// CHECK.
    pub(in crate::run) fn check(&mut self) -> Result<(), Stop> {
        self.link()?.check()?;
        self.answer(REQUEST_WAIT, |answer| matches!(answer, Answer::Checked(_)).then_some(()))
    }

    /// DISCOVER.
    pub(in crate::run) fn discover(&mut self) -> Result<Discovered, Stop> {
        self.link()?.discover()?;
        self.answer(REQUEST_WAIT, |answer| match answer {
            Answer::Discovered(discovered) => Some(discovered),
            _ => None,
        })
    }

    /// GET_OFFSETS.
    pub(in crate::run) fn offsets(
        &mut self,
        start: Start,
        keys: Vec<OffsetKey>,
    ) -> Result<Vec<OffsetEntry>, Stop> {
        let wanted = keys.len();
        self.link()?.get_offsets(&GetOffsets { start, keys })?;
        let entries = self.answer(REQUEST_WAIT, |answer| match answer {
            Answer::Offsets(offsets) => Some(offsets.offsets),
            _ => None,
        })?;
        if entries.len() == wanted {
            return Ok(entries);
        }
        let what = format!("OFFSETS has {} entries, {wanted} were asked for", entries.len());
        Err(Fault::Protocol(what).into())
    }

    /// GET_OFFSETS for what nothing depends on. `None`: the source fails to tell, or not within `wait`; the
    /// question is taken back then.
    pub(in crate::run) fn offsets_if_told(
        &mut self,
        start: Start,
        keys: Vec<OffsetKey>,
        wait: Duration,
    ) -> Result<Option<Vec<OffsetEntry>>, Stop> {
        let wanted = keys.len();
        let seq = self.link()?.get_offsets(&GetOffsets { start, keys })?;
        let until = Instant::now() + wait;
        let mut is_cancelled = false;
        loop {
            match self.next()? {
                Some(Answer::Offsets(told)) => {
                    return Ok(Some(told.offsets).filter(|it| it.len() == wanted));
                }
                Some(Answer::Failed { request: Some(Kind::GetOffsets), failure })
                    if !failure.fatal =>
                {
                    return Ok(None);
                }
                Some(other) => drop(self.aside(other)?),
                None => {}
            }
            let now = Instant::now();
            if now > until + REQUEST_WAIT {
                let text = "extractor does not let a question go that was cancelled".to_owned();
                return Err(Fault::Gone(text).into());
            }
            if now > until && !is_cancelled {
                is_cancelled = true;
                self.link()?.cancel(seq)?;
            }
            if self.setup.is_draining() || self.setup.control.is_now() {
                return Err(Stop::Drained);
            }
        }
    }

    /// Waits for the answer that `pick` takes. PROGRESS extends the wait.
    pub(super) fn answer<T>(
        &mut self,
        wait: Duration,
        mut pick: impl FnMut(Answer) -> Option<T>,
    ) -> Result<T, Stop> {
        let asked = Instant::now();
        loop {
            if let Some(answer) = self.next()? {
                if is_of_old_credit(&answer) {
                    continue;
                }
                let Some(answer) = self.aside(answer)? else { continue };
                if let Some(picked) = pick(answer) {
                    return Ok(picked);
                }
            }
            let extended = self.link()?.last_progress().max(asked) + wait;
            if Instant::now() > extended.min(asked + wait.max(REQUEST_WAIT_MAX)) {
                let text = format!("extractor does not answer within {} s", wait.as_secs());
                return Err(Fault::Gone(text).into());
            }
            if self.setup.control.is_now() {
                return Err(RunError::Interrupted.into());
            }
            if self.setup.is_draining() {
                // Nothing is on its way to the store: there is nothing to wait for.
                return Err(Stop::Drained);
            }
        }
    }

    /// STOP, as far as the extractor still listens.
    pub(super) fn stop(&mut self, link: &mut Link) {
        if link.stop().is_err() {
            return;
        }
        let deadline = Instant::now() + STOP_WAIT;
        while Instant::now() < deadline {
            match self.events.recv_timeout(TICK) {
                Ok(Wake::Child { number, what }) if number == self.link_number => match what {
                    FromChild::Frame(frame) => {
                        if matches!(link.receive(&frame), Ok(Answer::Stopped(_)) | Err(_)) {
                            return;
                        }
                    }
                    FromChild::End(_) => return,
                },
                _ if self.setup.control.is_now() => return,
                _ => {}
            }
        }
    }
}

/// Whether an EXTRACT failed that its task has left: the one before it had failed already. What is asked for
/// now is still to be answered.
fn is_of_old_credit(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed { request: Some(Kind::Extract), failure } if !failure.fatal)
}

/// How long an extractor tries again itself what may pass. Where the pauses between retries were said, it is the
/// host that counts and waits.
pub(super) fn retry_ms(retry: Retry) -> u64 {
    let most = Settings::default().retry_ms;
    let first = retry.pauses.map(|pauses| pauses.first.as_millis());
    first.map_or(most, |first| u64::try_from(first).unwrap_or(most).min(most))
}
