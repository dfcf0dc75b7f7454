//! A source that needs no service: seeded rows in splits that close, branch, stall, fail and
//! flood. What it delivers is defined to the byte, so that another implementation can be compared.
//!
//! Row `i` of a split depends on the seed, the split's name and `i`, and on nothing else.

use std::io::{self, Write};
use std::time::{Duration, Instant};
use std::{mem, thread};

use protocol::avro::ErrorRow;
use protocol::{Code, Failure, OffsetError, OffsetKey, OffsetValue};
use serde_json::{Map, Value};

use super::{
    Cancel, Discovery, Lag, Opened, Polled, Probe, RowSink, Source, Split, Start, Taken, Topology,
};
use crate::config::Settings;

mod rows;
mod settings;

use rows::Generator;
use settings::Plan;

/// Value of `connector.class`.
pub const CLASS: &str = "test";

/// The one key of an offset KEY.
pub const KEY: &str = "gen";

/// Name of the split that branches.
const BRANCHING: &str = "p0";

/// Names of its children.
const CHILDREN: [&str; 2] = ["p0a", "p0b"];

/// Rows of one split in one poll, so that splits take turns.
const TURN_ROWS: u64 = 1000;

/// Makes the source.
pub fn open(settings: &Settings) -> Result<Opened, Failure> {
    let plan = Plan::read(settings)?;
    let unknown = settings.unknown(&settings::KEYS, &[]);
    let source = TestSource {
        plan,
        parts: Vec::new(),
        until: Vec::new(),
        turn: 0,
        news: Topology::default(),
        pause: None,
        stalled: false,
    };
    Ok(Opened { source: Box::new(source), unknown, warnings: Vec::new() })
}

/// An assigned split.
struct Part {
    name: String,
    key: OffsetKey,
    rows: Generator,
    /// Next row.
    at: u64,
    closed: bool,
    /// As assigned, until something moves: an advisory key must not look like a move.
    assigned: Option<(Place, OffsetValue)>,
}

struct TestSource {
    plan: Plan,
    parts: Vec<Part>,
    /// Part and row before which it ends, and whether it must be closed to have got there.
    until: Vec<(u32, Place)>,
    /// Part that has the next turn.
    turn: usize,
    /// What changed in the set of splits since it was last told.
    news: Topology,
    /// Nothing is delivered before this time.
    pause: Option<Instant>,
    stalled: bool,
}

/// A place in a split. A closed split is behind all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    row: u64,
    closed: bool,
}

/// What one step over a split found.
enum Step {
    Moved,
    Full,
    Nothing,
}

impl TestSource {
    fn split_names(&self) -> Vec<String> {
        let mut names: Vec<String> = (0..self.plan.splits).map(|n| format!("p{n}")).collect();
        if self.plan.split_at > 0 {
            names.extend(CHILDREN.map(ToOwned::to_owned));
        }
        names
    }

    /// Waits as a slow service would.
    fn connect(&self, cancel: &Cancel) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_millis(self.plan.connect_ms);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if cancel.is_set() {
                return Err(Failure::new(Code::Cancelled, "cancelled by the host"));
            }
            thread::sleep(left.min(Duration::from_millis(20)));
        }
        Ok(())
    }

    /// Name of the split that a KEY means.
    fn name(&self, key: &OffsetKey) -> Result<String, Failure> {
        let map = key.to_map();
        let (Some(Value::String(name)), 1) = (map.get(KEY), map.len()) else {
            let text = format!("offset KEY {key} is not of the form {{\"{KEY}\":\"p0\"}}");
            return Err(Failure::new(Code::OffsetInvalid, text));
        };
        if self.plan.is_child(name) || (0..self.plan.splits).any(|n| *name == format!("p{n}")) {
            return Ok(name.clone());
        }
        let text = format!("no split {name:?}: there are p0 to p{}", self.plan.splits - 1);
        Err(Failure::new(Code::SourceNotFound, text))
    }

    /// The place that a VALUE means.
    fn place(&self, name: &str, value: &OffsetValue) -> Result<Place, Failure> {
        let map = value.to_map();
        let known = |key: &String| key == "row" || key == "closed" || key.starts_with("x-");
        if let Some(key) = map.keys().find(|key| !known(key)) {
            let text = format!("offset VALUE of {name} has the unknown key {key:?}");
            return Err(Failure::new(Code::OffsetInvalid, text));
        }
        let row = map.get("row").and_then(Value::as_u64);
        let closed = map.get("closed");
        let (Some(row), None | Some(Value::Bool(true))) = (row, closed) else {
            let text = format!("offset VALUE {value} of {name} is not of the form {{\"row\":0}}");
            return Err(Failure::new(Code::OffsetInvalid, text));
        };
        let end = self.plan.end(name);
        let closed = closed.is_some();
        if row > end || (closed && (row != end || !self.plan.closes(name))) {
            let text = format!("{value} is no place in {name}, which has {end} rows");
            return Err(Failure::new(Code::OffsetOutOfRange, text)
                .with("earliest", 0)
                .with("latest", end));
        }
        Ok(Place { row, closed })
    }

    /// Notes that a split was read to its end.
    fn close(&mut self, index: usize) {
        let Some(part) = self.parts.get_mut(index) else { return };
        part.closed = true;
        let (name, key) = (part.name.clone(), part.key.clone());
        self.news.closed.push(key.clone());
        // Told each time: the batch that closed the split may have been voided.
        if name == BRANCHING && self.plan.split_at > 0 {
            for child in CHILDREN {
                let split = self.describe(child.to_owned());
                self.news.added.push((split, Place { row: 0, closed: false }.value()));
            }
        }
    }

    fn describe(&self, name: String) -> Split {
        let parents = if self.plan.is_child(&name) { vec![key(BRANCHING)] } else { Vec::new() };
        Split { key: key(&name), parents, closed: self.plan.closes(&name) }
    }

    /// Moves one split over one row or one gap.
    fn step(&mut self, index: usize, sink: &mut dyn RowSink) -> Result<Step, Failure> {
        let Self { plan, parts, until, .. } = self;
        let Some(part) = parts.get_mut(index).filter(|part| !part.closed) else {
            return Ok(Step::Nothing);
        };
        let limit = until.iter().find(|(part, _)| *part as usize == index).map(|(_, at)| *at);
        let end = plan.end(&part.name);
        let stop = limit.map_or(end, |limit| limit.row.min(end));
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let held = limit.is_some_and(|limit| part.at >= limit.row);
        if !held
            && plan.after_gap(part.at) == part.at
            && let Some(code) = plan.failure_at(part.at)
        {
            return Err(provoke(code, number, part));
        }
        if part.at >= stop {
            let may_close = part.at >= end && limit.is_none_or(|limit| limit.closed);
            if may_close && plan.closes(&part.name) {
                self.close(index);
                return Ok(Step::Moved);
            }
            return Ok(Step::Nothing);
        }
        let after_gap = plan.after_gap(part.at).min(stop);
        if after_gap > part.at {
            part.at = after_gap;
            return Ok(Step::Moved);
        }
        if plan.stall_ms > 0 && part.at == plan.stall_at && !self.stalled {
            self.stalled = true;
            self.pause = Instant::now().checked_add(Duration::from_millis(plan.stall_ms));
            return Ok(Step::Full);
        }
        if part.deliver(plan, number, sink) == Taken::Yes {
            part.at += 1;
            return Ok(Step::Moved);
        }
        Ok(Step::Full)
    }

    fn reached_until(&self) -> bool {
        !self.until.is_empty()
            && self.until.iter().all(|(part, until)| {
                self.parts.get(*part as usize).is_some_and(|part| part.place() >= *until)
            })
    }

    fn is_at_end(&self) -> bool {
        self.parts.iter().all(|part| {
            part.at >= self.plan.end(&part.name) && (part.closed || !self.plan.closes(&part.name))
        })
    }

    /// Prints what libraries print although nobody asked.
    fn make_noise(&self) {
        const LINE: &str = "noise of a library that nobody asked for, one line of many\n";
        if self.plan.print {
            #[expect(clippy::print_stdout, reason = "a print must do no harm, which is checked")]
            {
                println!("a library prints to stdout");
            }
        }
        let mut left = self.plan.stderr_flood;
        while left > 0 {
            let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(LINE.len());
            // A closed stderr is nobody's problem.
            let _written = io::stderr().write_all(LINE.get(..bytes).unwrap_or_default().as_bytes());
            left -= bytes as u64;
        }
    }

    /// Time that must pass before anything is delivered.
    fn pause_left(&mut self) -> Option<Duration> {
        let left = self.pause?.checked_duration_since(Instant::now());
        if left.is_none() {
            self.pause = None;
        }
        left
    }

    /// Gives each split a turn.
    fn turns(&mut self, sink: &mut dyn RowSink) -> Result<Polled, Failure> {
        let mut polled = Polled::Idle { caught_up: false };
        for _ in 0..self.parts.len() {
            let index = self.turn;
            for _ in 0..TURN_ROWS {
                match self.step(index, sink)? {
                    Step::Moved => polled = Polled::Progress,
                    Step::Full => return Ok(Polled::Full),
                    Step::Nothing => break,
                }
            }
            self.turn = (index + 1) % self.parts.len();
        }
        Ok(polled)
    }
}

impl Part {
    fn value(&self) -> OffsetValue {
        let assigned = self.assigned.as_ref().filter(|(place, _)| *place == self.place());
        assigned.map_or_else(|| self.place().value(), |(_, value)| value.clone())
    }

    const fn place(&self) -> Place {
        Place { row: self.at, closed: self.closed }
    }

    /// Offers the next row.
    fn deliver(&self, plan: &Plan, number: u32, sink: &mut dyn RowSink) -> Taken {
        let row = self.at;
        let tombstone = plan.is_tombstone(row);
        if plan.is_error(row) {
            let reason = "declared bad by test.error.every";
            return self.deliver_error(sink, number, tombstone, (Code::DecodeFailed, reason));
        }
        let mut write = |out: &mut Vec<u8>| self.rows.write(out, &plan.topic, row, tombstone);
        match sink.row(number, &mut write) {
            Taken::TooLarge { bytes } => {
                let reason = format!("row has {bytes} bytes, which is over the limit");
                self.deliver_error(sink, number, tombstone, (Code::RowTooLarge, &reason))
            }
            Taken::Refused => self.deliver_error(sink, number, tombstone, (Code::RowRefused, "")),
            taken => taken,
        }
    }

    fn deliver_error(
        &self,
        sink: &mut dyn RowSink,
        number: u32,
        tombstone: bool,
        (code, reason): (Code, &str),
    ) -> Taken {
        let id = self.rows.id(self.at);
        let record = if tombstone { b"null".to_vec() } else { self.rows.record(self.at) };
        sink.error(
            number,
            &ErrorRow {
                split: self.key.as_str(),
                position: Place { row: self.at, closed: false }.value().as_str(),
                timestamp: None,
                key: Some(&id),
                value: Some(&record),
                headers: Vec::new(),
                code: code.name(),
                reason,
            },
        )
    }
}

impl Place {
    fn value(self) -> OffsetValue {
        let mut map = Map::new();
        map.insert("row".to_owned(), Value::from(self.row));
        if self.closed {
            map.insert("closed".to_owned(), Value::from(true));
        }
        object(map, OffsetValue::from_json)
    }
}

/// Makes a KEY or VALUE of a small object.
fn object<T>(map: Map<String, Value>, make: impl Fn(&Value) -> Result<T, OffsetError>) -> T {
    #[expect(clippy::expect_used, reason = "row numbers and names are within all limits")]
    make(&Value::Object(map)).expect("small canonical object")
}

fn key(name: &str) -> OffsetKey {
    let mut map = Map::new();
    map.insert(KEY.to_owned(), Value::from(name));
    object(map, OffsetKey::from_json)
}

/// The failure that the settings ask for.
fn provoke(code: Code, number: u32, part: &Part) -> Failure {
    #[expect(clippy::panic, reason = "what a panic does to the session is checked")]
    if code == Code::Panic {
        panic!("provoked by test.fail.code");
    }
    let text = format!("provoked by test.fail.at at row {} of {}", part.at, part.name);
    Failure::new(code, text).at(number, Some(part.value()))
}

impl Source for TestSource {
    fn check(&mut self, cancel: &Cancel) -> Result<Vec<Probe>, Failure> {
        self.connect(cancel)?;
        let elapsed = Duration::from_millis(self.plan.connect_ms);
        Ok(vec![Probe { name: format!("topic {}", self.plan.topic), elapsed }])
    }

    fn discover(&mut self, cancel: &Cancel) -> Result<Discovery, Failure> {
        self.connect(cancel)?;
        let mut splits: Vec<Split> =
            self.split_names().into_iter().map(|name| self.describe(name)).collect();
        splits.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(Discovery { incarnation: self.plan.incarnation(), splits })
    }

    fn offsets(
        &mut self,
        start: Start,
        keys: &[OffsetKey],
        _: &Cancel,
    ) -> Result<Vec<OffsetValue>, Failure> {
        keys.iter()
            .map(|key| {
                let end = self.plan.end(&self.name(key)?);
                let row = match start {
                    Start::Earliest => 0,
                    Start::Latest => end,
                    Start::Timestamp(ms) => u64::try_from(ms).unwrap_or(0).min(end),
                };
                Ok(Place { row, closed: false }.value())
            })
            .collect()
    }

    fn assign(
        &mut self,
        incarnation: &str,
        parts: &[(OffsetKey, OffsetValue)],
        _: &Cancel,
    ) -> Result<(), Failure> {
        let ours = self.plan.incarnation();
        if !incarnation.is_empty() && incarnation != ours {
            let text = format!("source is {ours}, the offsets belong to {incarnation}");
            return Err(Failure::new(Code::SourceRecreated, text));
        }
        let mut fresh = Vec::new();
        for (number, (key, value)) in (0u32..).zip(parts) {
            let named = self.name(key).and_then(|name| Ok((self.place(&name, value)?, name)));
            let (place, name) = named.map_err(|e| e.at(number, Some(value.clone())))?;
            fresh.push(Part {
                rows: Generator::new(&self.plan, &name),
                name,
                key: key.clone(),
                at: place.row,
                closed: place.closed,
                assigned: Some((place, value.clone())),
            });
        }
        (self.parts, self.turn, self.pause) = (fresh, 0, None);
        self.until.clear();
        self.news = Topology::default();
        for index in 0..self.parts.len() {
            if self.parts.get(index).is_some_and(|part| part.closed) {
                self.close(index);
            }
        }
        Ok(())
    }

    fn set_until(&mut self, until: &[(u32, OffsetValue)]) -> Result<(), Failure> {
        let mut places = Vec::new();
        for (number, value) in until {
            let name = self.parts.get(*number as usize).map(|part| part.name.clone());
            let Some(name) = name else { continue };
            let place = self.place(&name, value).map_err(|e| e.at(*number, Some(value.clone())))?;
            places.push((*number, place));
        }
        self.until = places;
        Ok(())
    }

    fn poll(&mut self, sink: &mut dyn RowSink, wait: Duration) -> Result<Polled, Failure> {
        self.make_noise();
        if let Some(left) = self.pause_left() {
            thread::sleep(left.min(wait));
            return Ok(Polled::Idle { caught_up: false });
        }
        if self.reached_until() {
            return Ok(Polled::ReachedUntil);
        }
        let polled = self.turns(sink)?;
        if matches!(polled, Polled::Idle { .. }) {
            if !self.is_at_end() {
                return Ok(Polled::Idle { caught_up: false });
            }
            thread::sleep(wait);
            return Ok(Polled::Idle { caught_up: true });
        }
        if self.plan.throttle_ms > 0 && self.pause.is_none() {
            self.pause = Instant::now().checked_add(Duration::from_millis(self.plan.throttle_ms));
        }
        Ok(polled)
    }

    fn position(&self, part: u32) -> Option<OffsetValue> {
        self.parts.get(part as usize).map(Part::value)
    }

    fn lag(&self) -> Lag {
        let rows = self.parts.iter().map(|part| self.plan.end(&part.name) - part.at).sum();
        Lag { rows: Some(rows), ms: None }
    }

    fn lags(&self) -> Vec<Lag> {
        let left = |part: &Part| self.plan.end(&part.name) - part.at;
        self.parts.iter().map(|part| Lag { rows: Some(left(part)), ms: None }).collect()
    }

    fn topology(&mut self) -> Option<Topology> {
        let news = mem::take(&mut self.news);
        (news != Topology::default()).then_some(news)
    }

    fn rotate(&mut self, _: &Map<String, Value>) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
