//! Offsets of a Kafka Connect pipeline taken over by a pipeline of ours.
//!
//! May touch: the catalogue, and the source where its splits are not known yet. Invariant: of what the file does
//! not name, nothing was delivered: it begins at its beginning, or stays where this pipeline has come to.

use std::collections::BTreeMap;

use protocol::message::Start;
use protocol::{OffsetKey, OffsetValue};

use super::error::SqlError;
use super::session::Session;
use crate::catalogue::{Places, Split};
use crate::run::{Point, Points, Until};

/// KEYs that an error names.
const KEYS_SHOWN: usize = 5;

/// What became of offsets that were imported.
pub(crate) struct Imported {
    /// Splits that stand where the file says.
    pub(crate) splits: Vec<Split>,
    /// KEYs of the file that the source does not have any more.
    pub(crate) gone: Vec<String>,
    /// Splits that the file does not name: they begin at their beginning, or stay where they were.
    pub(crate) others: Vec<Split>,
}

impl Session {
    /// Sets a pipeline to the offsets of another program; one that never ran is given all of its splits.
    ///
    /// # Errors
    /// There is no such pipeline, none of the splits is its own, or its source does not answer.
    pub(crate) fn import(
        &mut self,
        name: &str,
        offsets: &BTreeMap<OffsetKey, OffsetValue>,
    ) -> Result<Imported, SqlError> {
        let pipeline = self.pipeline(name)?;
        let known = self.catalogue()?.splits(pipeline.id)?;
        let (all, incarnation) = match known.is_empty() {
            false => (known, None),
            true => {
                if pipeline.credentials.is_none() {
                    return Err(SqlError::refused(format!(
                        "pipeline {name} has no splits before its first run, which would read from the start: \
                         make it with CREATE PIPELINE, import, and START PIPELINE"
                    )));
                }
                let (_, definition) = self.defined(name)?;
                let plan = self.plan_of(&pipeline, &definition, Until::Stopped)?;
                let earliest = Points::all(Point::At(Start::Earliest));
                let found = self.probe(&plan)?.splits(Some(earliest))?;
                (found.splits, Some(found.incarnation))
            }
        };
        let by_key: BTreeMap<&str, &OffsetValue> =
            offsets.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let (named, others): (Vec<Split>, Vec<Split>) =
            all.into_iter().partition(|split| by_key.contains_key(split.key.as_str()));
        if named.is_empty() {
            return Err(not_ours(name, &by_key, &others));
        }
        let is_there = |key: &str| named.iter().any(|split| split.key == key);
        let gone =
            by_key.keys().filter(|key| !is_there(key)).map(|key| (*key).to_owned()).collect();
        let mut values: Vec<(&str, &str)> = named
            .iter()
            .filter_map(|split| {
                Some((split.key.as_str(), by_key.get(split.key.as_str())?.as_str()))
            })
            .collect();
        if incarnation.is_some() {
            values.extend(others.iter().map(|split| (split.key.as_str(), split.value.as_str())));
        }
        let catalogue = self.catalogue()?;
        let places = Places { values: &values, incarnation: incarnation.as_deref() };
        let mut splits = catalogue.place(pipeline.id, places)?;
        splits.truncate(named.len());
        Ok(Imported { splits, gone, others })
    }
}

fn not_ours(name: &str, offsets: &BTreeMap<&str, &OffsetValue>, splits: &[Split]) -> SqlError {
    let some = |keys: Vec<&str>| keys.join(", ");
    let theirs = some(offsets.keys().copied().take(KEYS_SHOWN).collect());
    let ours = some(splits.iter().map(|split| split.key.as_str()).take(KEYS_SHOWN).collect());
    SqlError::refused(format!(
        "none of the splits of the file ({theirs}, …) is one of pipeline {name} ({ours}, …): it is another \
         stream or topic"
    ))
}
