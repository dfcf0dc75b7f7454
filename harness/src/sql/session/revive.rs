//! The pipelines that were running when the last server ended, or was killed.
//!
//! May touch: what sessions touch. Invariants: a pipeline that a living process runs, or is about to, is left to it,
//! by the database's clock; one whose leaves are run one by one is theirs until all of them have been silent for long.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::Session;
use crate::catalogue::{Heartbeat, Pipeline, PipelineState};
use crate::run::{SILENT_AFTER, Until, announcement, is_silent};
use crate::sql::error::SqlError;

/// How often pipelines of other processes are looked at again. Why 5 s: as often as a process that has nothing
/// new to say gives a sign of life.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long a pipeline stays that of processes that run one leaf each when none of them gives a sign of life. Why 10
/// minutes: longer than machines take to start again.
const LEAVES_AWAY: Duration = Duration::from_secs(600);

/// How often the wish to end is looked at meanwhile.
const TICK: Duration = Duration::from_millis(100);

/// Whose a pipeline is that is called Running.
#[derive(Debug, PartialEq, Eq)]
enum Whose<'b> {
    /// Nobody's that lives.
    Free,
    /// This process runs it.
    Taken(&'b str),
    /// Processes that run one leaf each.
    Leaves,
}

fn whose(beats: &[Heartbeat]) -> Whose<'_> {
    // The first leaf looks as a process that runs all of them does, until another one says something.
    let is_there = |beat: &Heartbeat| u128::from(beat.age_us) <= LEAVES_AWAY.as_micros();
    if beats.iter().any(|beat| beat.pulse.leaf > 0) && beats.iter().any(is_there) {
        return Whose::Leaves;
    }
    let alive = beats.iter().find(|beat| !is_silent(beat));
    alive.map_or(Whose::Free, |beat| Whose::Taken(&beat.pulse.process))
}

impl Session {
    /// Starts every pipeline whose state says that it runs, and that nobody runs: those of a server that has
    /// ended. Those that another process runs are looked at again until they are free, stopped, or the session
    /// is to end. One that cannot be started is told, and the others go on.
    ///
    /// # Errors
    /// The catalogue cannot be read at first.
    pub(crate) fn start_those_running(&mut self, tell: &dyn Fn(&str)) -> Result<(), SqlError> {
        let is_ours =
            |it: &Pipeline| it.credentials.is_some() && it.state == PipelineState::Running;
        let pipelines = self.catalogue()?.pipelines()?.into_iter().filter(is_ours);
        // By name, whether it was told that it waits.
        let mut waiting: BTreeMap<String, bool> = pipelines.map(|it| (it.name, false)).collect();
        loop {
            if let Err(error) = self.look(&mut waiting, tell) {
                self.report.warn(&format!(
                    "cannot look whether pipelines that were running are free: {error}"
                ));
            }
            if waiting.is_empty() || !self.rest() {
                return Ok(());
            }
        }
    }

    /// Waits until it is time to look again. `false`: the session is to end.
    fn rest(&self) -> bool {
        let until = Instant::now() + LOOK_AGAIN;
        while Instant::now() < until && !self.control.is_draining() {
            thread::sleep(TICK);
        }
        !self.control.is_draining()
    }

    /// Starts what is free of those that wait.
    fn look(
        &mut self,
        waiting: &mut BTreeMap<String, bool>,
        tell: &dyn Fn(&str),
    ) -> Result<(), SqlError> {
        let mut pipelines = self.catalogue()?.pipelines()?;
        pipelines.retain(|it| it.state == PipelineState::Running && !self.running.has(&it.name));
        // Who stopped one, or started it here, has decided.
        waiting.retain(|name, _| pipelines.iter().any(|it| it.name == *name));
        for Pipeline { name, id, .. } in pipelines {
            let Some(is_told) = waiting.get_mut(&name) else { continue };
            if self.control.is_draining() {
                return Ok(());
            }
            // Said before it is started, so that of two who look at once one starts it.
            let pulse = announcement();
            let is_free = |beats: &[Heartbeat]| whose(beats) == Whose::Free;
            if self.catalogue()?.take_where_free(id, &pulse, is_free)? {
                self.start_again(&name, tell);
                // Its run says more, in the place of this, or there is none.
                self.catalogue()?.take_back(id, &pulse)?;
                waiting.remove(&name);
                continue;
            }
            let beats = self.catalogue()?.heartbeats(id)?;
            match whose(&beats) {
                Whose::Taken(process) => {
                    if !std::mem::replace(is_told, true) {
                        tell(&format!(
                            "pipeline {name} is run by process {process}: it is started here when that has \
                             given no sign of life for {} s",
                            SILENT_AFTER.as_secs()
                        ));
                    }
                }
                Whose::Leaves => {
                    if !std::mem::replace(is_told, true) {
                        tell(&format!(
                            "pipeline {name} is run leaf by leaf, by harness sql --leaf, and left to that until \
                             no leaf has given a sign of life for {} s",
                            LEAVES_AWAY.as_secs()
                        ));
                    }
                }
                // It was stopped, or let go, meanwhile: the next look says.
                Whose::Free => {}
            }
        }
        Ok(())
    }

    fn start_again(&mut self, name: &str, tell: &dyn Fn(&str)) {
        let started = self.defined(name).and_then(|(pipeline, definition)| {
            let plan = self.plan_of(&pipeline, &definition, Until::Stopped)?;
            self.running.start(plan, (&self.root, &self.control), &self.report)
        });
        match started {
            Ok(()) => tell(&format!("pipeline {name} is started: it was running before")),
            Err(error) => {
                self.report.warn(&format!("pipeline {name} was running before: {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
