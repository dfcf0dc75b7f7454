//! Rows on their way into the tables of a route.
//!
//! Touches the database through `Store` alone. Invariant: rows of one table keep their order; every statement is
//! counted.

use super::insert::{BYTES_MAX, Shape, insert};
use crate::route::{Field, Route};
use crate::store::{
    LoadMethod, Param, RowRef, RowSink, Rows, Store, StoreError, StoreErrorKind, VALUE_OVERHEAD,
};

/// Values of one statement.
///
/// Why 30,000: SQLite takes 32,766 and the MySQL protocol 65,535.
const VALUES_MAX: usize = 30_000;

/// Rows of one statement. Why 512: larger statements were not faster.
const ROWS_MAX: usize = 512;

/// Bytes of values of one statement for this database, each value counted with [`VALUE_OVERHEAD`] (E14).
pub(super) fn bytes_max(store: &dyn Store) -> usize {
    BYTES_MAX.min(store.values_bytes_max())
}

/// Rows that wait for their statement, of one target.
#[derive(Default)]
struct Pending {
    values: Vec<Field>,
    rows: usize,
    bytes: usize,
}

/// Sends rows to their tables by statements of many rows.
pub(super) struct Placer<'r> {
    route: &'r Route,
    pending: Vec<Pending>,
}

impl<'r> Placer<'r> {
    pub(super) fn new(route: &'r Route) -> Self {
        let pending = route.targets.iter().map(|_| Pending::default()).collect();
        Self { route, pending }
    }

    /// Takes a row; those that fill a statement are sent.
    ///
    /// # Errors
    /// The row has no place, or the database refuses one of those sent.
    pub(super) fn add(&mut self, store: &mut dyn Store, row: RowRef<'_>) -> Result<(), StoreError> {
        let target = self.route.target_of(row)?;
        self.add_to(store, target, row)
    }

    fn add_to(
        &mut self,
        store: &mut dyn Store,
        target: usize,
        row: RowRef<'_>,
    ) -> Result<(), StoreError> {
        let values = self.route.values(target, row)?;
        let bytes: usize = values.iter().map(|value| value.len() + VALUE_OVERHEAD).sum();
        let Some(pending) = self.pending.get(target) else {
            return Err(StoreError::internal("a row has a target that there is not"));
        };
        let is_full = pending.rows >= ROWS_MAX
            || pending.bytes + bytes > bytes_max(store)
            || pending.values.len() + values.len() > VALUES_MAX;
        if is_full {
            self.send(store, target)?;
        }
        if let Some(pending) = self.pending.get_mut(target) {
            pending.values.extend(values);
            pending.rows += 1;
            pending.bytes += bytes;
        }
        Ok(())
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// The database refuses a row.
    pub(super) fn finish(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        (0..self.pending.len()).try_for_each(|target| self.send(store, target))
    }

    fn send(&mut self, store: &mut dyn Store, target: usize) -> Result<(), StoreError> {
        let Some(pending) = self.pending.get_mut(target).map(std::mem::take) else { return Ok(()) };
        let Some(to) = self.route.targets.get(target).filter(|_| pending.rows > 0) else {
            return Ok(());
        };
        let columns = to.names();
        let shape = Shape { table: &to.table, columns: &columns, is_upsert: self.route.is_upsert };
        let values: Vec<Param<'_>> = pending.values.iter().map(Field::param).collect();
        insert(store, &shape, &values)
    }
}

/// Loads the rows of a batch into the tables of a route; answers how many the database took.
pub(super) fn load(
    store: &mut dyn Store,
    route: &Route,
    rows: &dyn Rows,
    method: LoadMethod,
) -> Result<u64, StoreError> {
    let mut taken = 0;
    let mut placer = Placer::new(route);
    let is_mapped: Vec<bool> =
        route.targets.iter().map(|it| route.is_upsert || !it.is_static()).collect();
    let mut counts = vec![0_u64; route.targets.len()];
    rows.for_each(&mut |row| {
        let target = route.target_of(row)?;
        if let Some(count) = counts.get_mut(target) {
            *count += 1;
        }
        if is_mapped.get(target) == Some(&true) {
            placer.add_to(store, target, row)?;
            taken += 1;
        }
        Ok(())
    })?;
    placer.finish(store)?;
    for (target, to) in route.used() {
        let count = counts.get(target).copied().unwrap_or(0);
        if is_mapped.get(target) == Some(&true) || count == 0 {
            continue;
        }
        // Rows as they are take the store's own way.
        let of_target = OfTarget { rows, route, target };
        let took =
            store.load(&to.table, &of_target, method).map_err(|error| match error.kind() {
                // The number counts the rows of this table alone.
                StoreErrorKind::Data { .. } => error.with_kind(StoreErrorKind::Data { row: None }),
                StoreErrorKind::TooLarge { .. } => {
                    error.with_kind(StoreErrorKind::TooLarge { row: None })
                }
                _ => error,
            })?;
        if took != count {
            let table = &to.table;
            return Err(StoreError::internal(format!("table {table} took {took} rows of {count}")));
        }
        taken += took;
    }
    Ok(taken)
}

/// The rows of one target.
struct OfTarget<'a> {
    rows: &'a dyn Rows,
    route: &'a Route,
    target: usize,
}

impl Rows for OfTarget<'_> {
    fn for_each(&self, sink: &mut RowSink<'_>) -> Result<(), StoreError> {
        self.rows.for_each(&mut |row| {
            if self.route.target_of(row)? == self.target { sink(row) } else { Ok(()) }
        })
    }
}
