//! ALTER PIPELINE: definition, files of secrets and offsets in one transaction.
//!
//! Touches the database through `Store` alone. Invariant: whatever fails, a pipeline is as it was or as it was
//! wished, never half of both.

use std::cell::Cell;

use super::Catalogue;
use super::pipelines::{ALTERED, require_as_read, require_positive, stored_definition, update};
use super::record::Pipeline;
use super::secret_files::Files;
use super::splits::{Places, fence_all};
use crate::store::{Param, Store, StoreError};

/// How a pipeline is to be defined from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Altered<'a> {
    /// CONFIG as it is shown.
    pub(crate) config_json: &'a str,
    /// The definition.
    pub(crate) definition: &'a str,
    /// `tasks.max`.
    pub(crate) tasks_max: u32,
    /// Files of secrets that change sides.
    pub(crate) files: Files<'a>,
}

impl Catalogue {
    /// Alters a pipeline as it was read, and moves it where `places` says so. Every owner is fenced.
    ///
    /// # Errors
    /// It was dropped, or altered since it was read; a key or value of an offset is not usable; the database cannot
    /// be reached.
    pub(crate) fn alter_defined(
        &mut self,
        read: &Pipeline,
        altered: Altered<'_>,
        places: Option<Places<'_>>,
    ) -> Result<(), StoreError> {
        let Altered { config_json, definition, tasks_max, files } = altered;
        require_positive("tasks.max", tasks_max)?;
        places.map_or(Ok(()), Places::check)?;
        let is_first = Cell::new(true);
        self.transact("alter the pipeline", |store| {
            let epoch = fence_all(store, read.id)?;
            // What an attempt of this one wrote whose answer was lost: with the definition it has moved the offsets.
            // Before the first attempt it was somebody else.
            let is_wished = |it: &Option<String>| it.as_deref() == Some(definition);
            let is_done = stored_definition(store, read.id)?.as_ref().is_some_and(is_wished);
            if !is_first.replace(false) && is_done && !is_wished(&read.credentials) {
                return Ok(());
            }
            require_as_read(store, read)?;
            files.change_sides(store)?;
            let values =
                [Param::Text(config_json), Param::Text(definition), Param::from(tasks_max)];
            update(store, read.id, ALTERED, &values)?;
            places.map_or(Ok(()), |places| places.write(store, read.id, epoch).map(drop))
        })
    }
}

/// Writes down which life of the source a pipeline reads.
pub(super) fn write_incarnation(
    store: &mut dyn Store,
    pipeline_id: u64,
    incarnation: &str,
) -> Result<(), StoreError> {
    update(store, pipeline_id, "incarnation = ?", &[Param::Text(incarnation)])
}
