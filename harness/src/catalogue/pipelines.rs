//! Pipelines: create, alter, drop.
//!
//! Touches the database through `Store` alone. Invariant: whatever makes the owners of a pipeline's splits
//! wrong (a drop, another count of leaves) fences them in the same transaction.

use super::alter::write_incarnation;
use super::ids::{fresh, hex, now_us};
use super::record::{Creation, NewPipeline, Pipeline, PipelineState};
use super::secret_files::Files;
use super::splits::fence_all;
use super::{Catalogue, schema};
use crate::route::{self, Route};
use crate::store::{
    CellRow, Param, Store, StoreError, StoreErrorKind, create_static_table, require_transactional,
};

/// Longest pipeline name, in characters. Why 255: an indexed VARCHAR of four-byte characters.
const NAME_CHARS_MAX: usize = 255;

const COLUMNS: &str = "pipeline_id, name, state, config_json, credentials, incarnation, sync_marker, \
     leaf_count, tasks_max, epoch, last_batch_id, target_table, error, row_total, byte_total, \
     error_total, created_us, altered_us";

/// What ALTER assigns.
pub(super) const ALTERED: &str = "config_json = ?, credentials = ?, tasks_max = ?";

impl Catalogue {
    /// Creates a pipeline, stopped, or answers the one of that name.
    ///
    /// # Errors
    /// The name or a count is not usable, or the existing one has another count of leaves (E13).
    pub fn create_pipeline(&mut self, new: &NewPipeline<'_>) -> Result<Creation, StoreError> {
        check_new(new)?;
        let creation = self.transact("create the pipeline", |store| create(store, new))?;
        if let Creation::Existed(pipeline) = &creation {
            pipeline.require_leaf_count(new.leaf_count)?;
        }
        Ok(creation)
    }

    /// Creates a pipeline in the place of another one, in one transaction: whoever looks, and whatever is
    /// killed, there is the old one with its offsets, or the new one without any. A pipeline that came up
    /// meanwhile under the name is answered and stays.
    ///
    /// # Errors
    /// The name or a count is not usable, the old one was altered since it was read, or the database cannot be
    /// reached.
    pub(crate) fn define_pipeline(
        &mut self,
        new: &NewPipeline<'_>,
        replaced: Option<&Pipeline>,
        files: Files<'_>,
    ) -> Result<Creation, StoreError> {
        check_new(new)?;
        self.transact("create the pipeline", |store| {
            // The catalogue's row first, as every creator takes it.
            next_id(store)?;
            if let Some(read) = replaced {
                remove_as_read(store, read)?;
            }
            match create(store, new)? {
                // What an attempt made whose answer was lost: its definition names a file of its own.
                Creation::Existed(made) if made.credentials.as_deref() == new.credentials => {
                    Ok(Creation::Created(made))
                }
                Creation::Created(made) => {
                    files.change_sides(store)?;
                    Ok(Creation::Created(made))
                }
                existed @ Creation::Existed(_) => Ok(existed),
            }
        })
    }

    /// The pipeline of that name.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn pipeline(&mut self, name: &str) -> Result<Option<Pipeline>, StoreError> {
        self.read("read the pipeline", |store| find(store, name))
    }

    /// Every pipeline, by name.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn pipelines(&mut self) -> Result<Vec<Pipeline>, StoreError> {
        self.read("read the pipelines", |store| {
            let sql = format!("SELECT {COLUMNS} FROM s2x_pipelines ORDER BY name");
            store.query(&sql, &[])?.rows.iter().map(pipeline_of).collect()
        })
    }

    /// Removes a pipeline with its offsets, batches and errors; its table stays. Answers whether there
    /// was one.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn drop_pipeline(&mut self, name: &str) -> Result<bool, StoreError> {
        self.transact("drop the pipeline", |store| {
            let Some(pipeline) = find(store, name)? else { return Ok(false) };
            remove(store, pipeline.id)?;
            Ok(true)
        })
    }

    /// Removes this pipeline, as [`Self::drop_pipeline`], and no other one that has its name by now.
    ///
    /// # Errors
    /// It was altered since it was read, or the database cannot be reached.
    pub(crate) fn drop_defined(
        &mut self,
        read: &Pipeline,
        files: Files<'_>,
    ) -> Result<(), StoreError> {
        self.transact("drop the pipeline", |store| {
            remove_as_read(store, read)?;
            files.change_sides(store)
        })
    }

    /// Sets what the pipeline is doing, and why if it stopped by itself.
    ///
    /// # Errors
    /// It was dropped, or the database cannot be reached.
    pub fn set_state(
        &mut self,
        pipeline_id: u64,
        state: PipelineState,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        self.transact("set the pipeline's state", |store| {
            write_state(store, pipeline_id, state, error)
        })
    }

    /// Writes down that a run has ended by itself or because it was told to. What STOP or DETACH said of the
    /// pipeline meanwhile stays.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn end_state(&mut self, pipeline_id: u64) -> Result<(), StoreError> {
        self.transact("set the pipeline's state", |store| {
            let sql = "UPDATE s2x_pipelines SET state = 'Stopped', altered_us = ? \
                       WHERE pipeline_id = ? AND state = 'Running'";
            store.execute(sql, &[Param::from(now_us()), Param::from(pipeline_id)]).map(|_| ())
        })
    }

    /// Replaces the configuration, its credentials and the number of tasks; every owner is fenced, as
    /// what it has extracted belongs to the old configuration (EXACTLY-ONCE E4).
    ///
    /// # Errors
    /// It was dropped, or the database cannot be reached.
    pub fn alter_config(
        &mut self,
        pipeline_id: u64,
        config_json: &str,
        credentials: Option<&str>,
        tasks_max: u32,
    ) -> Result<(), StoreError> {
        require_positive("tasks.max", tasks_max)?;
        self.transact("alter the pipeline", |store| {
            fence_all(store, pipeline_id)?;
            let values =
                [Param::Text(config_json), Param::from(credentials), Param::from(tasks_max)];
            update(store, pipeline_id, ALTERED, &values)
        })
    }

    /// Hands the definition of a pipeline over while nobody can alter or drop it; `None` where it is gone or has
    /// none.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn with_definition<T>(
        &mut self,
        pipeline_id: u64,
        work: impl Fn(Option<&str>) -> T,
    ) -> Result<T, StoreError> {
        self.transact("hold the pipeline's definition", |store| {
            let definition = stored_definition(store, pipeline_id)?.flatten();
            Ok(work(definition.as_deref()))
        })
    }

    /// Remembers which life of the source the pipeline reads.
    ///
    /// # Errors
    /// It was dropped, or the database cannot be reached.
    pub fn set_incarnation(
        &mut self,
        pipeline_id: u64,
        incarnation: &str,
    ) -> Result<(), StoreError> {
        self.transact("set the pipeline's incarnation", |store| {
            write_incarnation(store, pipeline_id, incarnation)
        })
    }

    /// Adds to which life of the source the pipeline reads, in one transaction, so that no process
    /// forgets what another one has stored. `merge` gives the new text for the stored one; its error
    /// is answered as it is, and nothing is written then.
    ///
    /// # Errors
    /// It was dropped, or the database cannot be reached.
    pub fn merge_incarnation<E>(
        &mut self,
        pipeline_id: u64,
        merge: impl Fn(&str) -> Result<String, E>,
    ) -> Result<Result<String, E>, StoreError> {
        self.transact("set the pipeline's incarnation", |store| {
            let lock = store.dialect().for_update();
            let sql = format!("SELECT incarnation FROM s2x_pipelines WHERE pipeline_id = ?{lock}");
            let answer = store.query(&sql, &[Param::from(pipeline_id)])?;
            let row = answer.first().ok_or_else(|| gone(pipeline_id))?;
            let stored = row.text_or_null(0)?.unwrap_or_default();
            let merged = merge(stored);
            if let Ok(text) = merged.as_ref()
                && text != stored
            {
                write_incarnation(store, pipeline_id, text)?;
            }
            Ok(merged)
        })
    }

    /// Changes the number of leaves that share the splits, on purpose; every owner is fenced, and
    /// holds its leaf no more.
    ///
    /// # Errors
    /// It was dropped, or the database cannot be reached.
    pub fn change_leaf_count(
        &mut self,
        pipeline_id: u64,
        leaf_count: u32,
    ) -> Result<(), StoreError> {
        require_positive("the number of leaves", leaf_count)?;
        self.transact("change the number of leaves", |store| {
            fence_all(store, pipeline_id)?;
            // A process of the old count must end, not go on with its old share.
            let sql = "DELETE FROM s2x_leaves WHERE pipeline_id = ?";
            store.execute(sql, &[Param::from(pipeline_id)])?;
            let sql = "DELETE FROM s2x_heartbeats WHERE pipeline_id = ?";
            store.execute(sql, &[Param::from(pipeline_id)])?;
            update(store, pipeline_id, "leaf_count = ?", &[Param::from(leaf_count)])
        })
    }

    /// Makes the static table unless it exists, and checks that rows can be loaded into it exactly
    /// once; the catalogue's own tables are checked too.
    ///
    /// # Errors
    /// The table cannot take rows or cannot roll back.
    pub fn ensure_table(&mut self, name: &str) -> Result<(), StoreError> {
        refuse_own_name(name)?;
        self.read("make the table", |store| {
            require_transactional(store, &schema::TABLES)?;
            create_static_table(store, name)
        })
    }
}

impl Catalogue {
    /// Makes the tables of a route that take rows as they are, and checks all of them.
    ///
    /// # Errors
    /// A table is not there, cannot take its rows, or cannot roll back.
    pub fn ensure_route(&mut self, route: &Route) -> Result<(), StoreError> {
        for (_, target) in route.used() {
            match target.is_static() {
                true => self.ensure_table(&target.table)?,
                false => refuse_own_name(&target.table)?,
            }
        }
        route.metadata.as_deref().map_or(Ok(()), refuse_own_name)?;
        self.read("check the tables", |store| route::ensure(store, route))
    }
}

/// The next pipeline's number, under the one row that every creator locks: two of them never see "absent" at
/// once.
fn next_id(store: &mut dyn Store) -> Result<u64, StoreError> {
    let lock = store.dialect().for_update();
    let sql = format!("SELECT next_pipeline_id FROM s2x_catalogue WHERE id = 1{lock}");
    let answer = store.query(&sql, &[])?;
    let id = answer.first().map(|row| row.count(0)).transpose()?;
    id.ok_or_else(|| StoreError::internal("the catalogue lost its version row"))
}

fn create(store: &mut dyn Store, new: &NewPipeline<'_>) -> Result<Creation, StoreError> {
    let id = next_id(store)?;
    if let Some(pipeline) = find(store, new.name)? {
        return Ok(Creation::Existed(pipeline));
    }
    insert(store, id, new)?;
    let sql = "UPDATE s2x_catalogue SET next_pipeline_id = ? WHERE id = 1";
    store.execute(sql, &[Param::from(id + 1)])?;
    find(store, new.name)?
        .map(Creation::Created)
        .ok_or_else(|| StoreError::internal("a pipeline vanished while it was created"))
}

/// Removes a pipeline with all that is kept of it. Offsets first, as every load does: a load that is on its way
/// finishes or finds nothing.
fn remove(store: &mut dyn Store, pipeline_id: u64) -> Result<(), StoreError> {
    for table in [
        "s2x_offsets",
        "s2x_pipelines",
        "s2x_leaves",
        "s2x_offset_history",
        "s2x_batches",
        "s2x_errors",
        "s2x_ends",
        "s2x_lags",
        "s2x_source_ends",
        "s2x_heartbeats",
    ] {
        let sql = format!("DELETE FROM {table} WHERE pipeline_id = ?");
        store.execute(&sql, &[Param::from(pipeline_id)])?;
    }
    Ok(())
}

/// Removes a pipeline, unless it was altered since it was read. One that is gone is no error.
fn remove_as_read(store: &mut dyn Store, read: &Pipeline) -> Result<(), StoreError> {
    // In the order of locks: offsets, then the pipeline's row.
    let sql = "DELETE FROM s2x_offsets WHERE pipeline_id = ?";
    store.execute(sql, &[Param::from(read.id)])?;
    require_as_read(store, read)?;
    remove(store, read.id)
}

/// Refuses a pipeline whose definition is another one than was read: what was decided by that, the files of
/// secrets above all, does not hold any more. Locks its row.
pub(super) fn require_as_read(store: &mut dyn Store, read: &Pipeline) -> Result<(), StoreError> {
    match stored_definition(store, read.id)? {
        Some(stored) if stored != read.credentials => Err(StoreError::new(
            StoreErrorKind::Fenced,
            format!(
                "somebody else altered pipeline {} meanwhile; look at it and try again",
                read.name
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// How a pipeline is defined now, its row locked.
pub(super) fn stored_definition(
    store: &mut dyn Store,
    pipeline_id: u64,
) -> Result<Option<Option<String>>, StoreError> {
    let lock = store.dialect().for_update();
    let sql = format!("SELECT credentials FROM s2x_pipelines WHERE pipeline_id = ?{lock}");
    let answer = store.query(&sql, &[Param::from(pipeline_id)])?;
    answer.first().map(|row| Ok(row.text_or_null(0)?.map(str::to_owned))).transpose()
}

/// Inside a transaction.
pub(super) fn write_state(
    store: &mut dyn Store,
    pipeline_id: u64,
    state: PipelineState,
    error: Option<&str>,
) -> Result<(), StoreError> {
    let params = [Param::Text(state.as_str()), Param::from(error)];
    update(store, pipeline_id, "state = ?, error = ?", &params)
}

/// Assigns columns of a pipeline's row.
pub(super) fn update(
    store: &mut dyn Store,
    pipeline_id: u64,
    assignments: &str,
    params: &[Param<'_>],
) -> Result<(), StoreError> {
    let sql =
        format!("UPDATE s2x_pipelines SET {assignments}, altered_us = ? WHERE pipeline_id = ?");
    let mut params = params.to_vec();
    params.extend([Param::from(now_us()), Param::from(pipeline_id)]);
    match store.execute(&sql, &params)? {
        1 => Ok(()),
        _ => Err(gone(pipeline_id)),
    }
}

/// The error for a pipeline that is not there any more.
pub(super) fn gone(pipeline_id: u64) -> StoreError {
    StoreError::new(
        StoreErrorKind::Fenced,
        format!("pipeline number {pipeline_id} does not exist any more: it was dropped"),
    )
}

fn check_new(new: &NewPipeline<'_>) -> Result<(), StoreError> {
    if new.name.is_empty() || new.name.chars().count() > NAME_CHARS_MAX {
        return Err(StoreError::new(
            StoreErrorKind::Config,
            format!("a pipeline's name has 1 to {NAME_CHARS_MAX} characters"),
        ));
    }
    refuse_own_name(new.target_table)?;
    require_positive("the number of leaves", new.leaf_count)?;
    require_positive("tasks.max", new.tasks_max)
}

/// Keeps rows out of the catalogue's own tables.
fn refuse_own_name(table: &str) -> Result<(), StoreError> {
    let own = |name: &&str| name.eq_ignore_ascii_case(table);
    if schema::TABLES.iter().any(own) || super::VIEWS.iter().any(own) {
        return Err(StoreError::new(
            StoreErrorKind::Config,
            format!("{table} belongs to the catalogue; load into another table"),
        ));
    }
    Ok(())
}

pub(super) fn require_positive(what: &str, number: u32) -> Result<(), StoreError> {
    if number == 0 {
        return Err(StoreError::new(StoreErrorKind::Config, format!("{what} must be 1 or more")));
    }
    Ok(())
}

fn insert(store: &mut dyn Store, id: u64, new: &NewPipeline<'_>) -> Result<(), StoreError> {
    let now = now_us();
    let sync_marker = hex(&fresh());
    store
        .execute(
            "INSERT INTO s2x_pipelines (pipeline_id, name, state, config_json, credentials, \
             sync_marker, leaf_count, tasks_max, epoch, last_batch_id, last_error_id, next_ordinal, \
             target_table, row_total, byte_total, error_total, created_us, altered_us) \
             VALUES (?, ?, 'Stopped', ?, ?, ?, ?, ?, 0, 0, 0, 0, ?, 0, 0, 0, ?, ?)",
            &[
                Param::from(id),
                Param::Text(new.name),
                Param::Text(new.config_json),
                Param::from(new.credentials),
                Param::Text(&sync_marker),
                Param::from(new.leaf_count),
                Param::from(new.tasks_max),
                Param::Text(new.target_table),
                Param::from(now),
                Param::from(now),
            ],
        )
        .map(|_| ())
}

fn find(store: &mut dyn Store, name: &str) -> Result<Option<Pipeline>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM s2x_pipelines WHERE name = ?");
    store.query(&sql, &[Param::Text(name)])?.first().map(pipeline_of).transpose()
}

fn pipeline_of(row: &CellRow) -> Result<Pipeline, StoreError> {
    let text = |index| row.text(index).map(str::to_owned);
    let optional = |index| row.text_or_null(index).map(|text| text.map(str::to_owned));
    Ok(Pipeline {
        id: row.count(0)?,
        name: text(1)?,
        state: PipelineState::parse(row.text(2)?)?,
        config_json: text(3)?,
        credentials: optional(4)?,
        incarnation: optional(5)?,
        sync_marker: text(6)?,
        leaf_count: row.count32(7)?,
        tasks_max: row.count32(8)?,
        epoch: row.count(9)?,
        last_batch_id: row.count(10)?,
        target_table: text(11)?,
        error: optional(12)?,
        row_total: row.count(13)?,
        byte_total: row.count(14)?,
        error_total: row.count(15)?,
        created_us: row.count(16)?,
        altered_us: row.count(17)?,
    })
}
