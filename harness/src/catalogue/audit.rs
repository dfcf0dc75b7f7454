//! The audit log: which pipeline statement was run when, by whom, and how it ended.
//!
//! Touches the database through `Store` alone. Invariants: an entry is written before what it tells of is
//! done, and its end is added after; the newest [`ENTRIES_KEPT`] entries are kept.

use super::{Catalogue, NONCE_LEN, fresh, now_us};
use crate::store::{CellRow, Param, Store, StoreError};

/// The table.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS s2x_audit (
        entry {nonce} NOT NULL PRIMARY KEY,
        time_us BIGINT NOT NULL,
        host {name} NOT NULL,
        os_user {name} NOT NULL,
        database_user {name} NOT NULL,
        statement {long} NOT NULL,
        outcome {name} NOT NULL,
        error {long},
        ended_us BIGINT
    ){engine}";

/// Entries that are kept.
///
/// Why 10,000: statements are typed or come from deployments, a few a day; years of them are a few MB.
pub const ENTRIES_KEPT: u32 = 10_000;

/// Old entries are looked for once in so many.
const PRUNE_EVERY: u64 = 64;

/// Longest statement and error that are kept, characters.
const TEXT_CHARS_MAX: usize = 8_000;

/// What an entry says at first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewEntry<'a> {
    pub(crate) host: &'a str,
    pub(crate) os_user: &'a str,
    /// Without any secret.
    pub(crate) statement: &'a str,
}

/// Names an entry that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryId([u8; NONCE_LEN]);

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it began, in microseconds since 1970, by the clock of the machine that ran it.
    pub time_us: u64,
    /// That machine.
    pub host: String,
    /// Who ran the program there.
    pub os_user: String,
    /// Who the database took the program for; empty for an SQLite file.
    pub database_user: String,
    /// The statement, without secrets.
    pub statement: String,
    /// `done`, `failed`, or `begun`: how it ended is not known.
    pub outcome: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When it ended.
    pub ended_us: Option<u64>,
}

impl Catalogue {
    /// Writes down that a statement begins.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn begin_audit(&mut self, new: &NewEntry<'_>) -> Result<EntryId, StoreError> {
        let id = EntryId(fresh());
        self.transact("write the audit log", |store| {
            // Sent again, it finds its entry.
            let sql = "DELETE FROM s2x_audit WHERE entry = ?";
            store.execute(sql, &[Param::Bytes(&id.0)])?;
            let user = match store.dialect() {
                crate::store::Dialect::Sqlite => "''",
                _ => "CURRENT_USER()",
            };
            let sql = format!(
                "INSERT INTO s2x_audit (entry, time_us, host, os_user, database_user, statement, outcome) \
                 VALUES (?, ?, ?, ?, {user}, ?, 'begun')"
            );
            let params = [
                Param::Bytes(&id.0),
                Param::from(now_us()),
                Param::Text(new.host),
                Param::Text(new.os_user),
                Param::Text(&cut(new.statement)),
            ];
            store.execute(&sql, &params)?;
            if fastrand::u64(..).is_multiple_of(PRUNE_EVERY) { prune(store) } else { Ok(()) }
        })?;
        Ok(id)
    }

    /// Writes down how a statement ended; `error`: why it failed, without secrets.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn end_audit(&mut self, id: EntryId, error: Option<&str>) -> Result<(), StoreError> {
        let outcome = if error.is_some() { "failed" } else { "done" };
        let error = error.map(cut);
        self.transact("write the audit log", |store| {
            let sql = "UPDATE s2x_audit SET outcome = ?, error = ?, ended_us = ? WHERE entry = ?";
            let params = [
                Param::Text(outcome),
                Param::from(error.as_deref()),
                Param::from(now_us()),
                Param::Bytes(&id.0),
            ];
            store.execute(sql, &params).map(|_| ())
        })
    }

    /// The newest entries, newest first.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn audit(&mut self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.read("read the audit log", |store| {
            let sql = "SELECT time_us, host, os_user, database_user, statement, outcome, error, ended_us \
                       FROM s2x_audit ORDER BY time_us DESC, entry LIMIT ?";
            let answer = store.query(sql, &[Param::from(limit)])?;
            answer.rows.iter().map(entry_of).collect()
        })
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn audit_count(&mut self) -> Result<u64, StoreError> {
        self.read("count the audit log", |store| {
            let answer = store.query("SELECT COUNT(*) FROM s2x_audit", &[])?;
            answer.first().map_or(Ok(0), |row| row.count(0))
        })
    }
}

/// Removes what is older than the newest entries.
fn prune(store: &mut dyn Store) -> Result<(), StoreError> {
    let sql = "SELECT time_us FROM s2x_audit ORDER BY time_us DESC LIMIT 1 OFFSET ?";
    let answer = store.query(sql, &[Param::from(ENTRIES_KEPT)])?;
    let Some(row) = answer.first() else { return Ok(()) };
    let sql = "DELETE FROM s2x_audit WHERE time_us <= ?";
    store.execute(sql, &[Param::from(row.count(0)?)]).map(|_| ())
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

fn entry_of(row: &CellRow) -> Result<AuditEntry, StoreError> {
    let ended = match row.cell(7)? {
        crate::store::Cell::Null => None,
        _ => Some(row.count(7)?),
    };
    Ok(AuditEntry {
        time_us: row.count(0)?,
        host: row.text(1)?.to_owned(),
        os_user: row.text(2)?.to_owned(),
        database_user: row.text(3)?.to_owned(),
        statement: row.text(4)?.to_owned(),
        outcome: row.text(5)?.to_owned(),
        error: row.text_or_null(6)?.map(str::to_owned),
        ended_us: ended,
    })
}
