//! Delivering the user records of a packed record one by one. The part stands inside the record
//! until the last one is taken, so that a batch may end anywhere in it.
//!
//! The record is opened again for each batch that it reaches into: at most one is open in the
//! process, however many shards wait.

use protocol::{Code, Failure};

use super::super::aggregate::{Aggregate, Broken};
use super::super::position::{Position, Sequence};
use super::super::records::{Data, Key, View};
use super::super::row::Frame;
use super::super::settings::Outside;
use super::Part;
use crate::source::{RowSink, Taken};

/// How packed records are treated, and what was met so far in all shards.
#[derive(Debug)]
pub(in super::super) struct Unfolding {
    rule: Outside,
    /// Records that begin as packed ones and are none.
    broken: u64,
    /// User records that belong to other shards.
    outside: u64,
}

/// A packed record on its way.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    /// The part's number in the sink.
    pub(super) number: u32,
    pub(super) frame: &'a Frame<'a>,
    pub(super) aggregate: Aggregate<'a>,
    pub(super) sequence: Sequence,
    pub(super) arrival_ms: Option<i64>,
    /// The first user record that is still to be delivered.
    pub(super) first: u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfolded {
    /// All was delivered.
    Whole,
    /// The part stands at its `until`, inside.
    Until,
    /// The sink is full.
    Full,
}

impl Unfolding {
    /// Nothing was met yet.
    pub(in super::super) const fn new(rule: Outside) -> Self {
        Self { rule, broken: 0, outside: 0 }
    }

    /// Counts a record that was passed on as it is.
    pub(super) fn passed_on(&mut self, shard: &str, sequence: &str, why: &str) {
        self.broken += 1;
        if is_worth_a_line(self.broken, 1) {
            tracing::warn!(
                shard,
                sequence,
                count = self.broken,
                "begins as an aggregated record and is passed on as it is: {why}"
            );
        }
    }

    /// Counts user records of other shards. True when the record is to be left out.
    fn met_outside(&mut self, shard: &str, sequence: &Sequence, count: u64) -> bool {
        self.outside = self.outside.saturating_add(count);
        let dropped = self.rule == Outside::Drop;
        if is_worth_a_line(self.outside, count) {
            let fate = if dropped {
                "the aggregate is left out, as kinesis.deaggregate.outside says"
            } else {
                "they are delivered; if the KPL wrote them, it writes them again to their shard"
            };
            tracing::warn!(
                shard, %sequence, count = self.outside,
                "an aggregated record holds records that belong to other shards: {fate}"
            );
        }
        dropped
    }
}

/// Whether a count has passed a power of two by its last step: few lines, however many are met.
const fn is_worth_a_line(count: u64, step: u64) -> bool {
    count.leading_zeros() < count.saturating_sub(step).leading_zeros()
}

impl Part {
    /// Delivers the user records that are due, until the sink is full.
    pub(super) fn unfold(
        &mut self,
        opened: &Opened<'_>,
        unfolding: &mut Unfolding,
        sink: &mut dyn RowSink,
    ) -> Result<Unfolded, Failure> {
        let Opened { aggregate, sequence, first, .. } = opened;
        if *first > aggregate.count {
            let why = format!("the record has {} user records", aggregate.count);
            return Err(super::failure::no_such_place(&self.shard, &self.value(), &why));
        }
        if self.leaves_out(opened, unfolding)? {
            self.is_inside(sequence, aggregate.count, aggregate.count);
            return Ok(Unfolded::Whole);
        }
        let last = match &self.until {
            Some(Position::Inside(until, last)) if until == sequence => Some(*last),
            _ => None,
        };
        let records = (0_u64..).zip(aggregate.records()).skip_while(|(sub, _)| sub < first);
        for (sub, record) in records {
            let bug = |Broken(why)| {
                let text = format!("{sequence}: a record that was whole is broken: {why}");
                Failure::new(Code::Bug, text)
            };
            let record = record.map_err(bug)?;
            if last.is_some_and(|last| sub > last) {
                return Ok(Unfolded::Until);
            }
            let view = View {
                arrival_ms: opened.arrival_ms,
                key: Some(Key::Text(record.key)),
                data: Data::Bytes(record.data),
                sequence: sequence.as_str(),
            };
            if self.row(opened.number, opened.frame, &view, sink) == Taken::No {
                return Ok(Unfolded::Full);
            }
            self.delivered_ms = opened.arrival_ms;
            self.is_inside(sequence, sub + 1, aggregate.count);
        }
        self.is_inside(sequence, aggregate.count, aggregate.count);
        Ok(Unfolded::Whole)
    }

    /// Whether the rule for records of other shards leaves this one out. They are counted when the
    /// record is opened for the first time.
    fn leaves_out(&self, opened: &Opened<'_>, unfolding: &mut Unfolding) -> Result<bool, Failure> {
        if opened.first > 0 && unfolding.rule == Outside::Keep {
            return Ok(false);
        }
        let Some(range) = self.range else {
            if unfolding.rule == Outside::Keep {
                return Ok(false);
            }
            let text = format!(
                "{}: the service does not tell the hash keys of the shard, which \
                 kinesis.deaggregate.outside=drop needs",
                self.shard
            );
            return Err(Failure::new(Code::SourceUnavailable, text));
        };
        if range.is_everything() {
            return Ok(false);
        }
        let outside = opened.aggregate.count_outside(range);
        Ok(outside > 0 && unfolding.met_outside(&self.shard, &opened.sequence, outside))
    }

    /// The part stands after `done` of `count` user records of a record.
    fn is_inside(&mut self, sequence: &Sequence, done: u64, count: u64) {
        self.assigned = None;
        match (&mut self.position, done.checked_sub(1)) {
            (position, last) if done >= count || last.is_none() => {
                *position = Position::After(sequence.clone());
            }
            (Position::Inside(begun, at), Some(last)) if begun == sequence => *at = last,
            (position, last) => *position = Position::Inside(sequence.clone(), last.unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests;
