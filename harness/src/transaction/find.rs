//! Which rows of a batch the database refuses.
//!
//! Touches the database through `Store` alone. Invariants: whatever is found, the caller rolls back: nothing
//! that was sent here stays; only a refusal of a value is held against a row (EXACTLY-ONCE E8): a lost
//! connection, a lock or a full disk ends the search; a row that is fine alone, and refused only beside another
//! row of the batch, is refused where it comes second, as the database itself would have it; a constraint that is
//! checked at the commit alone is not looked for.
//!
//! Each piece is one statement for each of its tables, behind a savepoint. A piece that is refused is undone and halved until one row is
//! left, so that `k` bad rows of `n` take about `k × log2(n)` statements. A database without savepoints undoes a
//! statement that it refuses by itself; there a piece is one statement: one table's, or one row.

use super::BatchCommit;
use super::place::{Placer, bytes_max};
use crate::route::Route;
use crate::store::{
    Dialect, RowRef, Store, StoreError, StoreErrorKind, Transaction, VALUE_OVERHEAD,
};

/// Rows of one piece at first. Why 256: one bad row then costs sixteen statements.
const PIECE_ROWS: usize = 256;

/// The savepoint before a piece. Not the one that a store sets itself to know its transaction again.
const SAVEPOINT: &str = "s2x_piece";

/// A row that the database refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which row of the batch, from 0.
    pub index: u64,
    /// What the database says of it, one line.
    pub reason: String,
}

/// One row, kept while its piece is tried.
struct Kept {
    topic: String,
    id: String,
    record: String,
}

/// The first `most` rows of the batch that the database refuses, in the transaction that is open.
///
/// # Errors
/// Anything but a refusal of a row.
pub(super) fn find(
    store: &mut dyn Store,
    batch: &BatchCommit<'_>,
    route: Option<&Route>,
    most: usize,
) -> Result<Vec<Refused>, StoreError> {
    let plain = Route::plain(batch.table);
    let route = route.unwrap_or(&plain);
    let has_savepoints = store.dialect().has_savepoints();
    let piece_rows = if has_savepoints || route.is_plain() { PIECE_ROWS } else { 1 };
    // As a statement is cut, so that no piece becomes two.
    let bytes_max = bytes_max(store);
    let mut search = Search { store, route, has_savepoints, first: 0, most, found: Vec::new() };
    let mut piece: Vec<Kept> = Vec::new();
    let mut bytes = 0;
    batch.rows.for_each(&mut |row| {
        let RowRef { topic, id, record } = row;
        let len = topic.len() + id.len() + record.len() + 3 * VALUE_OVERHEAD;
        if piece.len() == piece_rows || (!piece.is_empty() && bytes + len > bytes_max) {
            search.piece(&std::mem::take(&mut piece))?;
            bytes = 0;
        }
        bytes += len;
        let [topic, id, record] = [topic, id, record].map(str::to_owned);
        piece.push(Kept { topic, id, record });
        Ok(())
    })?;
    search.piece(&piece)?;
    Ok(search.found)
}

struct Search<'a> {
    store: &'a mut dyn Store,
    route: &'a Route,
    has_savepoints: bool,
    /// Index of the first row that was not tried.
    first: u64,
    most: usize,
    found: Vec<Refused>,
}

impl Search<'_> {
    /// Tries a piece, then its halves, the first one first: what was taken stays, so that a row which is
    /// refused because of one before it is found.
    fn piece(&mut self, rows: &[Kept]) -> Result<(), StoreError> {
        let mut open: Vec<&[Kept]> = vec![rows];
        while let Some(rows) = open.pop() {
            if rows.is_empty() || self.found.len() >= self.most {
                continue;
            }
            let error = match self.insert(rows) {
                Ok(()) => {
                    self.first += rows.len() as u64;
                    continue;
                }
                Err(error) => error,
            };
            if !error.is_refusal() {
                return Err(error);
            }
            self.undo(&error)?;
            if rows.len() == 1 {
                let reason = cause(self.store, &error);
                self.found.push(Refused { index: self.first, reason });
                self.first += 1;
                continue;
            }
            let (before, after) = rows.split_at(rows.len() / 2);
            open.extend([after, before]);
        }
        Ok(())
    }

    /// Undoes a piece after this refusal. A database that ended the transaction over it does so each time.
    fn undo(&mut self, refusal: &StoreError) -> Result<(), StoreError> {
        if !self.has_savepoints {
            return Ok(());
        }
        let undone = self.store.execute(&format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}"), &[]);
        if undone.is_ok() {
            // It stays after that.
            self.release()?;
        }
        if self.store.in_transaction()? == Transaction::Open {
            return undone.map(drop);
        }
        let text = format!(
            "{refusal}; the database ended the transaction over it, so that such rows cannot be put aside: let the \
             constraint or trigger refuse the row alone (ON CONFLICT ABORT, RAISE(ABORT, …))"
        );
        Err(StoreError::new(StoreErrorKind::Schema, text))
    }

    fn release(&mut self) -> Result<(), StoreError> {
        self.store.execute(&format!("RELEASE SAVEPOINT {SAVEPOINT}"), &[]).map(drop)
    }

    fn insert(&mut self, rows: &[Kept]) -> Result<(), StoreError> {
        if self.has_savepoints {
            self.store.execute(&format!("SAVEPOINT {SAVEPOINT}"), &[])?;
        }
        let mut placer = Placer::new(self.route);
        for Kept { topic, id, record } in rows {
            placer.add(self.store, RowRef { topic, id, record })?;
        }
        placer.finish(self.store)?;
        if self.has_savepoints {
            self.release()?;
        }
        Ok(())
    }
}

/// What the database says of a row, without its address: others than its users may read that.
fn cause(store: &dyn Store, error: &StoreError) -> String {
    let (text, shown) = (error.to_string(), store.shown());
    let text = text.replacen(&format!("{shown}: "), "", 1);
    match store.dialect() {
        // A path may be any text.
        Dialect::Sqlite => text,
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            text.replace(&shown, "the server")
        }
    }
}
