//! Files of secrets that no pipeline names yet, or not any more: noted before a file is written or let go, so
//! that what a process that died left behind is found by the next one.
//!
//! Touches the database through `Store` alone, no file. Invariant: a path is noted here or named by a pipeline,
//! never both: it changes sides in the transaction that makes, alters or drops the pipeline.

use super::Catalogue;
use super::ids::{key_hash, now_us};
use crate::store::{Param, Store, StoreError};

/// Notes that are read at once. Why 100: a few kilobytes.
const NOTES_PAGE: u32 = 100;

/// How long a note is kept whose file is not there: it may be on another machine. Why 30 days: a machine that
/// did not come back since then does not matter to this list.
const NOTE_KEPT_US: u64 = 30 * 24 * 3600 * 1_000_000;

/// The files that change sides when a pipeline is made, altered or dropped.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Files<'a> {
    /// The one that was noted, and that the pipeline names from now on.
    pub(crate) made: Option<&'a str>,
    /// The one that it names no more, and the store whose it is.
    pub(crate) left: Option<(&'a str, &'a str)>,
}

impl Files<'_> {
    /// Inside the transaction that writes the pipeline.
    pub(super) fn change_sides(self, store: &mut dyn Store) -> Result<(), StoreError> {
        if let Some(path) = self.made {
            forget(store, path)?;
        }
        self.left.map_or(Ok(()), |(path, of)| note(store, path, of))
    }
}

impl Catalogue {
    /// Notes a file before secrets are written into it. `store` is where this catalogue lies: what a copy of
    /// it at another place notes is not for this one to remove.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn note_secret_file(&mut self, path: &str, of: &str) -> Result<(), StoreError> {
        self.transact("note a file of secrets", |store| note(store, path, of))
    }

    /// Files that were noted for `store`, those behind `after` in an order of their own; a bounded number of them.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn noted_secret_files(
        &mut self,
        of: &str,
        after: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        // Before every hash but one of zeros only, which nobody finds a text for.
        let after = after.map_or([0; 32], key_hash);
        self.read("read the noted files of secrets", |store| {
            let sql = "SELECT path FROM s2x_secret_files WHERE store = ? AND path_hash > ? \
                       ORDER BY path_hash LIMIT ?";
            let params = [Param::Text(of), Param::Bytes(&after), Param::from(NOTES_PAGE)];
            let answer = store.query(sql, &params)?;
            answer.rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
        })
    }

    /// Has `remove` take a file away, where it is noted, and forgets the note; answers whether it was noted. A
    /// transaction that makes a pipeline name the file holds the note's row: whoever comes here waits until that
    /// is decided, even where its maker has lost the answer. The error of `remove` is answered as it is, and the
    /// note stays then.
    ///
    /// # Errors
    /// The database cannot be reached, or the transaction that holds the note does not end.
    pub(crate) fn release_secret_file<E>(
        &mut self,
        path: &str,
        remove: impl Fn() -> Result<(), E>,
    ) -> Result<Result<bool, E>, StoreError> {
        self.transact("let a file of secrets go", |store| {
            let lock = store.dialect().for_update();
            let sql = format!("SELECT 1 FROM s2x_secret_files WHERE path_hash = ?{lock}");
            let hash = key_hash(path);
            if store.query(&sql, &[Param::Bytes(&hash)])?.first().is_none() {
                return Ok(Ok(false));
            }
            if let Err(error) = remove() {
                return Ok(Err(error));
            }
            forget(store, path)?;
            Ok(Ok(true))
        })
    }

    /// Forgets notes that are too old to matter.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn forget_old_secret_files(&mut self) -> Result<(), StoreError> {
        self.transact("forget old notes of secrets", |store| {
            let before = now_us().saturating_sub(NOTE_KEPT_US);
            let sql = "DELETE FROM s2x_secret_files WHERE noted_us < ?";
            store.execute(sql, &[Param::from(before)]).map(|_| ())
        })
    }
}

fn note(store: &mut dyn Store, path: &str, of: &str) -> Result<(), StoreError> {
    forget(store, path)?;
    let hash = key_hash(path);
    let sql = "INSERT INTO s2x_secret_files (path_hash, path, store, noted_us) VALUES (?, ?, ?, ?)";
    let params = [Param::Bytes(&hash), Param::Text(path), Param::Text(of), Param::from(now_us())];
    store.execute(sql, &params).map(|_| ())
}

fn forget(store: &mut dyn Store, path: &str) -> Result<(), StoreError> {
    let hash = key_hash(path);
    let sql = "DELETE FROM s2x_secret_files WHERE path_hash = ?";
    store.execute(sql, &[Param::Bytes(&hash)]).map(|_| ())
}
