//! Where splits begin and end: what people asked for becomes definite places, by the source's own
//! clock, written down before anything is read (E5).

use std::collections::{BTreeMap, HashMap, HashSet};

use protocol::message::{Discovered, Start};
use protocol::{OffsetKey, OffsetValue};

use super::Coordinator;
use crate::run::failure::Stop;
use crate::run::points::{Number, Point, Points};
use crate::run::task::Task;
use crate::run::{Event, RunError};

/// Splits that an error names.
const KEYS_SHOWN: usize = 5;

/// Splits that have a line each about their end. Why 20: a screen; the others are counted.
const NOTICES_MAX: usize = 20;

type Pairs = Vec<(OffsetKey, OffsetValue)>;

/// Finds the place of every key in `points`; keys without one are left out. `what`: the key of the
/// pipeline that asks, for errors.
pub(super) fn places(
    task: &mut Task,
    points: &Points,
    what: &str,
    keys: Vec<OffsetKey>,
) -> Result<Pairs, Stop> {
    let mut wanted: BTreeMap<OffsetKey, Point> = BTreeMap::new();
    wanted.extend(keys.into_iter().filter_map(|key| Some((key.clone(), points.of(&key)?))));
    let mut found = Pairs::new();
    let mut starts: Vec<(Start, Vec<OffsetKey>)> = Vec::new();
    let mut counted = Vec::new();
    for (key, point) in wanted {
        match point {
            Point::At(start) => match starts.iter_mut().find(|(it, _)| *it == start) {
                Some((_, keys)) => keys.push(key),
                None => starts.push((start, vec![key])),
            },
            Point::Value(value) => found.push((key, value)),
            Point::Last(_) | Point::Offset(_) => counted.push((key, point)),
        }
    }
    for (start, keys) in starts {
        let entries = task.offsets(start, keys.clone())?;
        found.extend(keys.into_iter().zip(entries.into_iter().map(|entry| entry.value)));
    }
    found.extend(count(task, what, counted)?);
    Ok(found)
}

/// Every split must have got a start: one that was left out would be read from a place that nobody named.
pub(super) fn require_all(new: &[OffsetKey], pairs: &Pairs) -> Result<(), Stop> {
    let named: HashSet<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    let missing = |key: &&OffsetKey| !named.contains(key.as_str());
    let mut missing: Vec<&str> = new.iter().filter(missing).map(OffsetKey::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let count = missing.len();
    missing.sort_unstable();
    missing.truncate(KEYS_SHOWN);
    let more = if count > KEYS_SHOWN { ", …" } else { "" };
    let text = format!(
        "start: no place is named for {count} of the source's splits: {}{more}; name each of them \
         (kinesis.position.sequence.numbers), or use start, whose map leaves the others at earliest",
        missing.join(", ")
    );
    Err(RunError::Config(text).into())
}

/// Places that are counted from the end, or are numbers.
fn count(task: &mut Task, what: &str, counted: Vec<(OffsetKey, Point)>) -> Result<Pairs, Stop> {
    if counted.is_empty() {
        return Ok(Pairs::new());
    }
    let keys: Vec<OffsetKey> = counted.iter().map(|(key, _)| key.clone()).collect();
    // The end first: what expires between the two questions only moves the beginning towards it.
    let latest = task.offsets(Start::Latest, keys.clone())?;
    let earliest = task.offsets(Start::Earliest, keys)?;
    let mut found = Pairs::with_capacity(counted.len());
    for (((key, point), latest), earliest) in counted.into_iter().zip(latest).zip(earliest) {
        let numbers = Number::of(&earliest.value).zip(Number::of(&latest.value));
        let (first, end) = numbers.ok_or_else(|| not_numbers(what, &key))?;
        let number = match point {
            Point::Last(count) => {
                let back = i64::try_from(count).unwrap_or(i64::MAX);
                end.value.saturating_sub(back).max(first.value)
            }
            Point::Offset(offset) => {
                let offset = i64::try_from(offset).unwrap_or(i64::MAX);
                require_within(what, &key, offset, (first.value, end.value))?;
                offset
            }
            Point::At(_) | Point::Value(_) => continue,
        };
        let value = first.with(number).ok_or_else(|| not_numbers(what, &key))?;
        found.push((key, value));
    }
    Ok(found)
}

/// A start must be there; an end may be yet to come.
fn require_within(
    what: &str,
    key: &OffsetKey,
    offset: i64,
    (first, end): (i64, i64),
) -> Result<(), Stop> {
    if what == END || (first..=end).contains(&offset) {
        return Ok(());
    }
    let text = format!(
        "{what}: split {key} has offsets from {first} to {end}, the end; {offset} is none of them"
    );
    Err(RunError::Config(text).into())
}

fn not_numbers(what: &str, key: &OffsetKey) -> Stop {
    let text = format!(
        "{what}: the offsets of split {key} are not numbers, so that nothing can be counted or \
         compared; bounded runs, -N and maps are for sources such as Kafka"
    );
    RunError::Config(text).into()
}

/// The key of the pipeline that bounds a run.
const END: &str = "end";

impl Coordinator {
    /// Refuses a split by name that the source does not have: a slip of the pen.
    pub(super) fn require_named(&self, points: &Points, what: &str) -> Result<(), Stop> {
        let strange = points.named.keys().find(|key| !self.listed.contains(key.as_str()));
        let Some(key) = strange else { return Ok(()) };
        let mut there: Vec<&str> = self.listed.iter().map(String::as_str).collect();
        there.sort_unstable();
        let more = if there.len() > KEYS_SHOWN { ", …" } else { "" };
        there.truncate(KEYS_SHOWN);
        let text = format!(
            "{what}: the source has no split {key}; it has {}{more}",
            if there.is_empty() { "none".to_owned() } else { there.join(", ") }
        );
        Err(RunError::Config(text).into())
    }

    /// Writes the ends of a bounded run down, or takes those that an earlier run wrote for the same
    /// wish and did not come to. `None`: the run has no end. `starts`: where new splits begin.
    pub(super) fn pin_ends(
        &mut self,
        task: &mut Task,
        discovered: &Discovered,
        starts: &[(OffsetKey, OffsetValue)],
    ) -> Result<Option<BTreeMap<String, OffsetValue>>, Stop> {
        let Some(wish) = self.setup.plan.end.clone() else { return Ok(None) };
        let (id, text) = (self.setup.pipeline.id, wish.text());
        let mut pinned = self.catalogue.ends(id, &text)?;
        if let Some(ends) = &pinned
            && self.reached(&parsed(ends)?)?.len() == ends.len()
        {
            // That run is complete: this one has ends of its own.
            self.catalogue.forget_ends(id, &text)?;
            pinned = None;
        }
        let ends = match pinned {
            Some(ends) => ends,
            None => {
                self.require_named(&wish, END)?;
                let keys = discovered.splits.iter().map(|split| split.key.clone()).collect();
                let pairs = places(task, &wish, END, keys)?;
                if let Some((key, _)) = pairs.iter().find(|(_, value)| Number::of(value).is_none())
                {
                    return Err(not_numbers(END, key));
                }
                self.tell_behind(&pairs, starts)?;
                let ends: Vec<(&str, &str)> =
                    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                self.catalogue.pin_ends(id, &text, &ends)?
            }
        };
        parsed(&ends).map(Some)
    }

    /// Says of which splits nothing is read, because their end lies before the place where they stand.
    fn tell_behind(
        &mut self,
        ends: &[(OffsetKey, OffsetValue)],
        starts: &[(OffsetKey, OffsetValue)],
    ) -> Result<(), Stop> {
        let mut at: HashMap<String, OffsetValue> = HashMap::new();
        for split in self.catalogue.splits(self.setup.pipeline.id)? {
            if let Ok(value) = OffsetValue::parse(&split.value) {
                at.insert(split.key, value);
            }
        }
        at.extend(starts.iter().map(|(key, value)| (key.as_str().to_owned(), value.clone())));
        let is_behind = |(key, end): &&(OffsetKey, OffsetValue)| {
            let both = Number::of(end).zip(at.get(key.as_str()));
            both.is_some_and(|(end, at)| end.is_passed_by(at))
        };
        let behind: Vec<_> = ends.iter().filter(is_behind).collect();
        for (key, end) in behind.iter().take(NOTICES_MAX) {
            let at = at.get(key.as_str()).map_or("", OffsetValue::as_str);
            let text = format!(
                "{END}: split {key} stands at {at}, behind its end {end}: nothing of it is read"
            );
            self.setup.tell(&Event::Warning(text));
        }
        if let Some(more @ 1..) = behind.len().checked_sub(NOTICES_MAX) {
            let text = format!("{END}: the same holds for {more} more splits");
            self.setup.tell(&Event::Warning(text));
        }
        Ok(())
    }

    /// What was read to its end before is not asked for again: its records may be gone by now.
    pub(super) fn leave_ended(
        &mut self,
        ends: Option<BTreeMap<String, OffsetValue>>,
    ) -> Result<(), Stop> {
        let Some(ends) = ends else { return Ok(()) };
        let reached = self.reached(&ends)?;
        if reached.len() == ends.len() {
            let text = "every split has come to its end already: there is nothing to read";
            self.setup.tell(&Event::Warning(text.to_owned()));
        }
        self.ended.extend(reached);
        // Set once: a second look of the same run finds what the first one wrote down.
        let _same = self.setup.ends.set(ends);
        Ok(())
    }

    /// The splits whose committed offset is at their end or behind it.
    fn reached(&mut self, ends: &BTreeMap<String, OffsetValue>) -> Result<Vec<String>, Stop> {
        let splits = self.catalogue.splits(self.setup.pipeline.id)?;
        let at: HashMap<&str, &str> =
            splits.iter().map(|it| (it.key.as_str(), it.value.as_str())).collect();
        let is_reached = |key: &str, end: &OffsetValue| {
            let committed = at.get(key).and_then(|text| OffsetValue::parse(text).ok());
            Number::of(end).zip(committed).is_some_and(|(end, at)| end.is_reached_by(&at))
        };
        let reached = ends.iter().filter(|(key, end)| is_reached(key, end));
        Ok(reached.map(|(key, _)| key.clone()).collect())
    }
}

fn parsed(ends: &[(String, String)]) -> Result<BTreeMap<String, OffsetValue>, Stop> {
    let parse = |(key, value): &(String, String)| {
        let value = OffsetValue::parse(value).map_err(|error| {
            RunError::Internal(format!("the catalogue holds an end that is none: {error}"))
        })?;
        Ok((key.clone(), value))
    };
    ends.iter().map(parse).collect()
}
