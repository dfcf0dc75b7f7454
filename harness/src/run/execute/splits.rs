//! Which splits there are: asking the source, writing starts down before anything is read, and judging
//! what the catalogue and the source do not agree on.

use std::collections::HashSet;
use std::time::Duration;

use super::{Asked, Coordinator, begin};
use crate::catalogue::Split;
use crate::run::failure::Stop;
use crate::run::patience::persist;
use crate::run::points::offset_number;
use crate::run::share::own_slots;
use crate::run::task::Task;
use crate::run::{Event, Point, Points, RunError, incarnation};
use protocol::message::{self, Discovered, Partitions, Start};
use protocol::{OffsetKey, OffsetValue};

/// How often the source is asked before a split that was read before counts as missing.
///
/// Why 3: as often as the Kafka source itself asks before it calls a topic vanished.
const LOOKS: u32 = 3;

/// Pause between two of them. Why 1 s: brokers tell each other of a topic within that.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How long a source may take to tell where splits begin, for people alone. Why 5 s: it answers in milliseconds where
/// it can, and the first rows of a run wait for it.
const EARLIEST_WAIT: Duration = Duration::from_secs(5);

impl Coordinator {
    /// Asks the source for its splits, and makes their starts durable before anything is read
    /// (E5): a start that is resolved again after a crash would lose what came in between.
    pub(super) fn scout(&mut self, task: &mut Task) -> Result<(), Stop> {
        task.prepare()?;
        task.check()?;
        let known = self.catalogue.splits(self.setup.pipeline.id)?;
        let discovered = self.discover(task, &known)?;
        self.remember(&discovered)?;
        let new: Vec<OffsetKey> = discovered
            .splits
            .iter()
            .map(|split| split.key.clone())
            .filter(|key| known.iter().all(|split| split.key != key.as_str()))
            .collect();
        for split in &known {
            self.require_listed(split)?;
        }
        let start = self.start_of_new(known.is_empty());
        self.require_named(&start, "start")?;
        self.tell_aged_out(&known);
        // All is resolved before any of it is written: what is refused leaves nothing behind.
        let pairs = match new.is_empty() {
            true => Vec::new(),
            false => {
                let pairs = begin::places(task, &start, "start", new.clone())?;
                begin::require_all(&new, &pairs)?;
                pairs
            }
        };
        let ends = self.pin_ends(task, &discovered, &pairs)?;
        let starts: Vec<(&str, &str)> =
            pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        if !starts.is_empty() {
            self.catalogue.insert_splits(self.setup.pipeline.id, &starts)?;
        }
        self.leave_ended(ends)?;
        let share = &self.setup.plan.share;
        let tasks = own_slots(share).len().min(discovered.splits.len());
        self.setup.tell(&Event::Discovered { splits: discovered.splits.len(), tasks });
        // Who waits for the start waits no longer.
        let places = known.iter().map(|split| (split.key.as_str(), split.value.as_str()));
        let numbered: HashSet<&str> =
            places.chain(starts).filter(is_number).map(|it| it.0).collect();
        let listed = discovered.splits.iter().map(|split| &split.key);
        let keys = listed.filter(|key| numbered.contains(key.as_str())).cloned().collect();
        self.note_earliest(task, keys);
        Ok(())
    }

    /// Notes where splits begin at their source, for people, where offsets are numbers. Nothing depends on it: a
    /// source that does not tell, or a database that does not take it, costs the run a moment and no more.
    fn note_earliest(&mut self, task: &mut Task, keys: Vec<OffsetKey>) {
        if keys.is_empty() || self.setup.plan.is_probe || self.setup.is_draining() {
            return;
        }
        match task.offsets_if_told(Start::Earliest, keys, EARLIEST_WAIT) {
            Ok(Some(found)) => {
                let places: Vec<(&str, u64)> = found
                    .iter()
                    .filter_map(|entry| Some((entry.key.as_str(), offset_number(&entry.value)?)))
                    .collect();
                drop(self.catalogue.note_earliest(self.setup.pipeline.id, &places));
            }
            Err(Stop::Fault(fault)) => {
                let line = format!("where splits begin is not known: {fault}");
                self.setup.tell(&Event::Log { level: "info".to_owned(), line });
                // Its task starts another one, and judges that.
                task.forget_link();
            }
            // The run is to end: the tasks see to that.
            Ok(None) | Err(_) => {}
        }
    }

    /// Asks which splits there are. What was read before and is missing is asked for again: brokers may
    /// not know a topic for a moment, and a run that ends by itself would end without it.
    fn discover(&self, task: &mut Task, known: &[Split]) -> Result<Discovered, Stop> {
        let is_end =
            |split: &Split| OffsetValue::parse(&split.value).is_ok_and(|value| value.is_end());
        let mut discovered = task.discover()?;
        for _ in 1..LOOKS {
            let listed: HashSet<&str> =
                discovered.splits.iter().map(|split| split.key.as_str()).collect();
            let is_there = |split: &Split| listed.contains(split.key.as_str()) || is_end(split);
            if known.iter().all(is_there) || self.setup.is_draining() {
                break;
            }
            self.setup.pause(LOOK_PAUSE);
            discovered = task.discover()?;
        }
        Ok(discovered)
    }

    /// Splits that were read to their end and that the source has let go since are left out; their
    /// offsets stay, so that they are never read again.
    fn tell_aged_out(&self, known: &[Split]) {
        let is_end =
            |split: &&Split| OffsetValue::parse(&split.value).is_ok_and(|value| value.is_end());
        let gone = known.iter().filter(|split| self.left.contains(&split.key)).filter(is_end);
        let mut gone = gone.map(|split| split.key.as_str());
        let Some(first) = gone.next() else { return };
        let count = 1 + gone.count();
        self.setup.tell(&Event::Log {
            level: "info".to_owned(),
            line: format!(
                "the source lists {count} splits no more that were read to their end, {first} among \
                 them; they are left out, and their offsets stay"
            ),
        });
    }

    /// Where a split without an offset begins. One that was not there when the pipeline began starts
    /// at its beginning, whatever the user asked for; who asked is told.
    fn start_of_new(&self, is_first_run: bool) -> Points {
        let plan = &self.setup.plan;
        let earliest = Points::all(Point::At(Start::Earliest));
        if is_first_run {
            return plan.start.clone().unwrap_or(earliest);
        }
        if plan.start.is_some() {
            self.setup.tell(&Event::Warning(format!(
                "pipeline {:?} already has offsets; start is not used (harness set-offsets moves \
                 them, harness drop forgets them)",
                plan.name
            )));
        }
        earliest
    }

    /// Notes which splits the source lists, and their parents.
    pub(super) fn note(&mut self, splits: &[message::Split]) {
        for split in splits {
            let parents = split.parents.iter().map(|key| key.as_str().to_owned()).collect();
            self.learn(split.key.as_str(), parents);
        }
    }

    /// Notes a split that the source has. Whether it was left out while the source did not have it.
    fn learn(&mut self, key: &str, parents: Vec<String>) -> bool {
        self.parents.insert(key.to_owned(), parents);
        self.listed.insert(key.to_owned());
        self.left.remove(key)
    }

    fn remember(&mut self, discovered: &Discovered) -> Result<(), Stop> {
        let splits = discovered.splits.iter().map(|split| &split.key);
        self.setup.plan.aside.require_not_read(splits)?;
        self.note(&discovered.splits);
        if discovered.incarnation.is_empty() {
            let text = "the source cannot tell whether it was deleted and created again; a topic \
                        or stream that is re-created under its old name is only noticed by its \
                        offsets";
            self.setup.tell(&Event::Warning(text.to_owned()));
        }
        incarnation::remember(&self.setup, &mut self.catalogue, &discovered.incarnation)
    }

    /// New splits: written down, then given to their tasks.
    pub(super) fn grow(&mut self, partitions: &Partitions) -> Result<(), RunError> {
        let splits = partitions.added.iter().map(|split| &split.key);
        self.setup.plan.aside.require_not_read(splits)?;
        let mut is_back = false;
        for split in &partitions.added {
            let parents = split.parents.iter().map(|key| key.as_str().to_owned()).collect();
            is_back |= self.learn(split.key.as_str(), parents);
        }
        let starts: Vec<(&str, &str)> = partitions
            .added
            .iter()
            .map(|split| (split.key.as_str(), split.value.as_str()))
            .collect();
        if !starts.is_empty() {
            let (setup, catalogue) = (&self.setup, &mut self.catalogue);
            persist(setup, 0, || catalogue.insert_splits(setup.pipeline.id, &starts))?;
        }
        self.assign(is_back || !starts.is_empty())
    }

    /// Judges what the source did not list although it was asked.
    pub(super) fn judge(&mut self, task: u32, order: u64) -> Result<(), RunError> {
        let answered = |asked: &mut Asked| asked.task == task && order >= asked.order;
        let Some(asked) = self.asked.take_if(answered) else { return Ok(()) };
        for split in &asked.strange {
            self.require_listed(split).map_err(Stop::into_error)?;
        }
        Ok(())
    }

    /// Judges a split of the catalogue. One that was read to its end may be gone. One of a topic that
    /// is not part of the pipeline any more is left where it is, with a warning. Anything else that
    /// the source does not list stays assigned, and the source decides by its settings (E11).
    fn require_listed(&mut self, split: &Split) -> Result<(), Stop> {
        if self.listed.contains(&split.key) {
            return Ok(());
        }
        if OffsetValue::parse(&split.value).is_ok_and(|value| value.is_end()) {
            self.left.insert(split.key.clone());
            return Ok(());
        }
        let key = &split.key;
        let topic = |key: &str| OffsetKey::parse(key).ok()?.to_map().get("topic").cloned();
        let own = topic(key);
        if own.is_some() && self.listed.iter().all(|listed| topic(listed) != own) {
            self.setup.tell(&Event::Warning(format!(
                "split {key} is not part of the pipeline any more; it stays at {}",
                split.value
            )));
            self.left.insert(split.key.clone());
            return Ok(());
        }
        // It is assigned as it stands, and its children wait for its end: the source says what is
        // lost, or goes on where its settings allow that.
        self.listed.insert(key.clone());
        self.setup.tell(&Event::Warning(format!(
            "the source does not list split {key} any more, which stands at {}",
            split.value
        )));
        Ok(())
    }
}

/// Whether the VALUE of a split is an offset that is a number.
fn is_number((_, value): &(&str, &str)) -> bool {
    OffsetValue::parse(value).is_ok_and(|value| offset_number(&value).is_some())
}
