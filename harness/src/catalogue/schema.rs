//! The catalogue's tables, and how a database gets from one version of them to the next.
//!
//! Touches the database through `Store` alone. Invariants: every statement here runs outside the
//! transactions that load rows (DDL commits implicitly); the version is written last, so a creator that
//! dies half way is finished by the next one; a newer version is refused, never guessed at.

use super::{audit, heartbeats, views};
use crate::store::{Dialect, Param, Store, StoreError, StoreErrorKind, require_transactional};

/// The version of the catalogue that this program reads and writes.
pub const CATALOGUE_VERSION: u32 = 6;

/// How long a creator waits for another one, in seconds.
const CREATE_WAIT_S: i64 = 30;

/// The tables that a load writes; each must be able to roll back.
pub(crate) const TABLES: [&str; 14] = [
    "s2x_catalogue",
    "s2x_pipelines",
    "s2x_leaves",
    "s2x_offsets",
    "s2x_offset_history",
    "s2x_batches",
    "s2x_errors",
    "s2x_variables",
    "s2x_ends",
    "s2x_lags",
    "s2x_heartbeats",
    "s2x_audit",
    "s2x_secret_files",
    "s2x_source_ends",
];

/// Version 1. `{…}` stands for a type that the databases spell differently.
const VERSION_1: [&str; 8] = [
    // Pipeline ids come from a counter, never from a deleted row's number: an id is not used twice.
    "CREATE TABLE IF NOT EXISTS s2x_catalogue (
        id BIGINT NOT NULL PRIMARY KEY,
        version BIGINT NOT NULL,
        next_pipeline_id BIGINT NOT NULL
    ){engine}",
    "CREATE TABLE IF NOT EXISTS s2x_pipelines (
        pipeline_id BIGINT NOT NULL{key},
        name {name} NOT NULL{unique},
        state {name} NOT NULL,
        config_json {long} NOT NULL,
        credentials {long},
        incarnation {text},
        sync_marker {name} NOT NULL,
        leaf_count BIGINT NOT NULL,
        tasks_max BIGINT NOT NULL,
        epoch BIGINT NOT NULL,
        last_batch_id BIGINT NOT NULL,
        last_error_id BIGINT NOT NULL,
        next_ordinal BIGINT NOT NULL,
        target_table {name} NOT NULL,
        error {long},
        row_total BIGINT NOT NULL,
        byte_total BIGINT NOT NULL,
        error_total BIGINT NOT NULL,
        created_us BIGINT NOT NULL,
        altered_us BIGINT NOT NULL{keys}
    ){engine}",
    // Which process runs a leaf: the newest claim.
    "CREATE TABLE IF NOT EXISTS s2x_leaves (
        pipeline_id BIGINT NOT NULL,
        leaf BIGINT NOT NULL,
        claim BIGINT NOT NULL,
        PRIMARY KEY (pipeline_id, leaf)
    ){engine}",
    "CREATE TABLE IF NOT EXISTS s2x_offsets (
        pipeline_id BIGINT NOT NULL,
        key_hash {hash} NOT NULL,
        key_text {text} NOT NULL,
        value_text {text} NOT NULL,
        rev BIGINT NOT NULL,
        epoch BIGINT NOT NULL,
        commit_id {nonce},
        ordinal BIGINT NOT NULL,
        task_id BIGINT NOT NULL,
        updated_us BIGINT NOT NULL,
        PRIMARY KEY (pipeline_id, key_hash)
    ){engine}",
    "CREATE TABLE IF NOT EXISTS s2x_offset_history (
        pipeline_id BIGINT NOT NULL,
        key_hash {hash} NOT NULL,
        rev BIGINT NOT NULL,
        batch_id BIGINT NOT NULL,
        task_id BIGINT NOT NULL,
        key_text {text} NOT NULL,
        value_text {text} NOT NULL,
        PRIMARY KEY (pipeline_id, key_hash, rev)
    ){engine}",
    "CREATE TABLE IF NOT EXISTS s2x_batches (
        pipeline_id BIGINT NOT NULL,
        batch_id BIGINT NOT NULL,
        task_id BIGINT NOT NULL,
        leaf BIGINT NOT NULL,
        state {name} NOT NULL,
        epoch BIGINT NOT NULL,
        start_us BIGINT NOT NULL,
        batch_us BIGINT NOT NULL,
        load_us BIGINT NOT NULL,
        row_count BIGINT NOT NULL,
        byte_count BIGINT NOT NULL,
        error_count BIGINT NOT NULL,
        split_count BIGINT NOT NULL,
        error {long},
        PRIMARY KEY (pipeline_id, batch_id)
    ){engine}",
    "CREATE TABLE IF NOT EXISTS s2x_errors (
        pipeline_id BIGINT NOT NULL,
        error_id BIGINT NOT NULL,
        batch_id BIGINT,
        task_id BIGINT NOT NULL,
        leaf BIGINT NOT NULL,
        time_us BIGINT NOT NULL,
        error_type {name} NOT NULL,
        kind {name} NOT NULL,
        code {name} NOT NULL,
        reason {long} NOT NULL,
        split_key {text},
        position {text},
        raw_key {blob},
        raw_value {blob},
        raw_headers {blob},
        PRIMARY KEY (pipeline_id, error_id)
    ){engine}",
    "CREATE TABLE IF NOT EXISTS s2x_variables (
        name {name} NOT NULL PRIMARY KEY,
        value {text} NOT NULL
    ){engine}",
];

/// What version 2 adds: the ends of bounded runs.
const VERSION_2: [&str; 1] = ["CREATE TABLE IF NOT EXISTS s2x_ends (
        pipeline_id BIGINT NOT NULL,
        key_hash {hash} NOT NULL,
        key_text {text} NOT NULL,
        value_text {text} NOT NULL,
        wish {name} NOT NULL,
        PRIMARY KEY (pipeline_id, key_hash)
    ){engine}"];

/// What version 3 adds: how far each split is behind its source.
const VERSION_3: [&str; 1] = ["CREATE TABLE IF NOT EXISTS s2x_lags (
        pipeline_id BIGINT NOT NULL,
        key_hash {hash} NOT NULL,
        key_text {text} NOT NULL,
        lag_rows BIGINT,
        lag_ms BIGINT,
        told_us BIGINT NOT NULL,
        PRIMARY KEY (pipeline_id, key_hash)
    ){engine}"];

/// What version 4 adds: signs of life, and the audit log.
const VERSION_4: [&str; 2] = [heartbeats::TABLE, audit::TABLE];

/// What version 5 adds: files of secrets that a pipeline does not name yet, or not any more.
const VERSION_5: [&str; 1] = ["CREATE TABLE IF NOT EXISTS s2x_secret_files (
        path_hash {hash} NOT NULL PRIMARY KEY,
        path {long} NOT NULL,
        store {long} NOT NULL,
        noted_us BIGINT NOT NULL
    ){engine}"];

/// Version 6: where splits begin and end at the source, for those whose offsets are numbers. `side` is one of
/// `earliest` and `latest`.
const VERSION_6: [&str; 1] = ["CREATE TABLE IF NOT EXISTS s2x_source_ends (
        pipeline_id BIGINT NOT NULL,
        key_hash {hash} NOT NULL,
        side {name} NOT NULL,
        place BIGINT NOT NULL,
        told_us BIGINT NOT NULL,
        PRIMARY KEY (pipeline_id, key_hash, side)
    ){engine}"];

/// Makes the catalogue or brings it up to [`CATALOGUE_VERSION`]; other creators may do so at once. Answers what a
/// person should know of it.
///
/// # Errors
/// It is newer than this program, a name is taken, or the database refuses a statement.
pub(super) fn migrate(store: &mut dyn Store) -> Result<Option<String>, StoreError> {
    let mut notice = None;
    if version(store)? != Some(CATALOGUE_VERSION) {
        match store.dialect() {
            Dialect::Sqlite => {
                store.begin()?;
                let done = upgrade(store).and_then(|told| store.commit().map(|()| told));
                if done.is_err() {
                    // The first error is the one to report; closing the file rolls back as well.
                    drop(store.rollback());
                }
                notice = done?;
            }
            Dialect::SingleStore => notice = upgrade_in_a_race(store)?,
            Dialect::Mysql | Dialect::Mariadb => {
                let lock = format!("s2x_{}", store.database());
                // Lock names have at most 64 characters.
                let lock: String = lock.chars().take(64).collect();
                let got = store.query(
                    "SELECT GET_LOCK(?, ?)",
                    &[Param::Text(&lock), Param::Int(CREATE_WAIT_S)],
                )?;
                if got.first().map(|row| row.int(0)).transpose()?.unwrap_or(0) != 1 {
                    return Err(StoreError::new(
                        StoreErrorKind::Transient,
                        format!(
                            "another process has been making the catalogue for {CREATE_WAIT_S} s"
                        ),
                    ));
                }
                let done = upgrade(store);
                let released = store.query("SELECT RELEASE_LOCK(?)", &[Param::Text(&lock)]);
                notice = done?;
                released?;
            }
        }
    }
    require_transactional(store, &TABLES)?;
    Ok(notice)
}

/// The same where the database has no lock to wait for: every step may be done twice, and only one creator writes
/// the row of the catalogue.
fn upgrade_in_a_race(store: &mut dyn Store) -> Result<Option<String>, StoreError> {
    match upgrade(store) {
        // Another creator wrote the row; what is still missing is looked up once more.
        Err(error) if matches!(error.kind(), StoreErrorKind::Data { .. }) => upgrade(store),
        done => done,
    }
}

/// Runs the steps that are missing, then writes the version. Answers what a person should know.
fn upgrade(store: &mut dyn Store) -> Result<Option<String>, StoreError> {
    let from = version(store)?;
    if from == Some(CATALOGUE_VERSION) {
        return Ok(None);
    }
    // Every version so far has other views.
    views::require_free_names(store)?;
    if from.unwrap_or(0) < 1 {
        make_tables(store, &VERSION_1)?;
    }
    let later: [(u32, &[&str]); 5] =
        [(2, &VERSION_2), (3, &VERSION_3), (4, &VERSION_4), (5, &VERSION_5), (6, &VERSION_6)];
    for (version, templates) in later {
        if from.unwrap_or(0) < version {
            make_tables(store, templates)?;
        }
    }
    let notice = match views::create(store) {
        // Rows flow without views: a user that may not make them anew goes on with the older ones.
        Err(error) if error.kind() == StoreErrorKind::Auth && from.is_some() => {
            Some(stale_views(from, &error))
        }
        done => done.map(|()| None)?,
    };
    let changed = store.execute(
        "UPDATE s2x_catalogue SET version = ? WHERE id = 1",
        &[Param::from(CATALOGUE_VERSION)],
    )?;
    if changed == 0 {
        store.execute(
            "INSERT INTO s2x_catalogue (id, version, next_pipeline_id) VALUES (1, ?, 1)",
            &[Param::from(CATALOGUE_VERSION)],
        )?;
    }
    Ok(notice)
}

/// What is told where the views stay as an older program made them.
fn stale_views(from: Option<u32>, error: &StoreError) -> String {
    let from = from.unwrap_or(0);
    format!(
        "the views of the catalogue stay as version {from} made them: {error}; grant DROP and CREATE VIEW on the \
         database, then UPDATE s2x_catalogue SET version = {from} has the next opening make them anew"
    )
}

fn make_tables(store: &mut dyn Store, templates: &[&str]) -> Result<(), StoreError> {
    for template in templates {
        store.execute(&spell(store.dialect(), template), &[])?;
    }
    Ok(())
}

/// The version that is there, if any.
///
/// # Errors
/// It is newer than this program, or the database cannot be asked.
pub(crate) fn version(store: &mut dyn Store) -> Result<Option<u32>, StoreError> {
    let sql = match store.dialect() {
        Dialect::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE name = 's2x_catalogue'",
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            "SELECT COUNT(*) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = 's2x_catalogue'"
        }
    };
    let answer = store.query(sql, &[])?;
    if answer.first().map(|row| row.int(0)).transpose()?.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let answer = store.query("SELECT version FROM s2x_catalogue WHERE id = 1", &[])?;
    let Some(row) = answer.first() else { return Ok(None) };
    let found = row.count32(0)?;
    if found > CATALOGUE_VERSION {
        return Err(StoreError::new(
            StoreErrorKind::Schema,
            format!(
                "the catalogue in {} has version {found}; this program knows up to \
                 {CATALOGUE_VERSION}: install the newer program",
                store.database()
            ),
        ));
    }
    Ok(Some(found))
}

/// Fills in the types of a dialect.
fn spell(dialect: Dialect, template: &str) -> String {
    let (name, text) = (
        "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    );
    let long = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    let words: [(&str, &str); 10] = match dialect {
        Dialect::Sqlite => [
            ("{name}", "TEXT"),
            ("{text}", "TEXT"),
            ("{long}", "TEXT"),
            ("{blob}", "BLOB"),
            ("{hash}", "BLOB"),
            ("{nonce}", "BLOB"),
            ("{engine}", ""),
            ("{key}", " PRIMARY KEY"),
            ("{unique}", " UNIQUE"),
            ("{keys}", ""),
        ],
        Dialect::Mysql | Dialect::Mariadb => [
            ("{name}", name),
            ("{text}", text),
            ("{long}", long),
            ("{blob}", "LONGBLOB"),
            ("{hash}", "BINARY(32)"),
            ("{nonce}", "BINARY(16)"),
            ("{engine}", " ENGINE=InnoDB CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin"),
            ("{key}", " PRIMARY KEY"),
            ("{unique}", " UNIQUE"),
            ("{keys}", ""),
        ],
        Dialect::SingleStore => [
            ("{name}", name),
            ("{text}", text),
            ("{long}", long),
            ("{blob}", "LONGBLOB"),
            ("{hash}", "BINARY(32)"),
            ("{nonce}", "BINARY(16)"),
            ("{engine}", " CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin"),
            ("{key}", ""),
            ("{unique}", ""),
            // A unique key must hold the shard key, so that one partition can answer for it. The numbers of
            // pipelines come from a counter and are unique without a key of their own.
            (
                "{keys}",
                ",
        PRIMARY KEY (pipeline_id, name),
        UNIQUE KEY pipeline_name (name),
        SHARD KEY (name)",
            ),
        ],
    };
    let template = match dialect {
        Dialect::SingleStore => by_pipeline(template),
        Dialect::Sqlite | Dialect::Mysql | Dialect::Mariadb => template.to_owned(),
    };
    words.iter().fold(template, |text, (word, spelt)| text.replace(word, spelt))
}

/// A template for SingleStore: rows that are looked up one by one belong into a rowstore, and those of a pipeline
/// onto one partition, so that a load touches one beside those of its rows.
fn by_pipeline(template: &str) -> String {
    template.replacen("CREATE TABLE", "CREATE ROWSTORE TABLE", 1).replace(
        "PRIMARY KEY (pipeline_id,",
        "SHARD KEY (pipeline_id),\n        PRIMARY KEY (pipeline_id,",
    )
}

#[cfg(test)]
mod tests;
