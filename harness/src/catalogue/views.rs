//! The views that people and monitors query: the documented names and columns of a pipeline's state.
//!
//! Touches the database through `Store` alone. Invariant: no view shows the column `credentials`.

use crate::store::{Dialect, Param, Store, StoreError, StoreErrorKind};

/// The views, by the names under which they are documented.
pub const VIEWS: [&str; 7] = [
    "PIPELINES",
    "PIPELINES_SOURCE_OFFSETS",
    "PIPELINES_SOURCE_OFFSETS_HISTORY",
    "PIPELINES_BATCHES",
    "PIPELINES_BATCHES_SUMMARY",
    "PIPELINES_ERRORS",
    "PIPELINES_CURSORS",
];

/// `{db}` is the database's name, `{time:…}` a column of microseconds shown as a date, `{field:COLUMN NAME}` a
/// field of a column of JSON, NULL where it is not there.
const BODIES: [&str; 7] = [
    "SELECT {db} AS DATABASE_NAME, p.name AS PIPELINE_NAME, p.pipeline_id AS PIPELINE_ID,
        p.config_json AS CONFIG_JSON, p.state AS STATE, 0 AS SKIPPED_BATCH_PARTITIONS,
        {time:p.created_us} AS CREATE_TIME, {time:p.altered_us} AS ALTER_TIME,
        p.target_table AS TABLE_NAME, p.error AS ERROR
     FROM s2x_pipelines p",
    // One row for each split, as it stands: the newest batch that moved it, 0 before the first.
    "SELECT {db} AS DATABASE_NAME, p.name AS PIPELINE_NAME, COALESCE(h.batch_id, 0) AS BATCH_ID,
        o.task_id AS TASK_ID, o.key_text AS `KEY`, o.value_text AS `VALUE`
     FROM s2x_offsets o JOIN s2x_pipelines p ON p.pipeline_id = o.pipeline_id
     LEFT JOIN s2x_offset_history h
        ON h.pipeline_id = o.pipeline_id AND h.key_hash = o.key_hash AND h.rev = o.rev",
    "SELECT {db} AS DATABASE_NAME, p.name AS PIPELINE_NAME, h.batch_id AS BATCH_ID,
        h.task_id AS TASK_ID, h.key_text AS `KEY`, h.value_text AS `VALUE`
     FROM s2x_offset_history h JOIN s2x_pipelines p ON p.pipeline_id = h.pipeline_id",
    // One row for each split that a batch moved.
    "SELECT {db} AS DATABASE_NAME, p.name AS PIPELINE_NAME, b.batch_id AS BATCH_ID,
        b.state AS BATCH_STATE, b.row_count AS BATCH_ROWS_WRITTEN,
        b.batch_us / 1000000.0 AS BATCH_TIME,
        b.start_us / 1000000.0 AS BATCH_START_UNIX_TIMESTAMP,
        b.state AS BATCH_PARTITION_STATE, h.key_text AS BATCH_SOURCE_PARTITION_ID,
        h.value_text AS BATCH_LATEST_OFFSET, b.leaf AS `PARTITION`
     FROM s2x_batches b JOIN s2x_pipelines p ON p.pipeline_id = b.pipeline_id
     LEFT JOIN s2x_offset_history h
        ON h.pipeline_id = b.pipeline_id AND h.batch_id = b.batch_id",
    "SELECT {db} AS DATABASE_NAME, p.name AS PIPELINE_NAME, b.batch_id AS BATCH_ID,
        b.state AS BATCH_STATE, {time:b.start_us} AS START_TIME,
        (b.batch_us - b.load_us) / 1000000.0 AS EXTRACTOR_WAIT_TIME, 0 AS TRANSFORM_WAIT_TIME,
        b.batch_us / 1000000.0 AS BATCH_TIME,
        b.row_count * 1000000.0 / NULLIF(b.batch_us, 0) AS ROWS_PER_SEC,
        b.row_count AS ROWS_STREAMED, b.split_count AS NUM_PARTITIONS,
        CASE b.state WHEN 'Succeeded' THEN b.split_count ELSE 0 END AS NUM_PARTITIONS_FINISHED,
        b.byte_count / 1048576.0 AS MB_STREAMED,
        b.byte_count / 1.048576 / NULLIF(b.batch_us, 0) AS MB_PER_SEC
     FROM s2x_batches b JOIN s2x_pipelines p ON p.pipeline_id = b.pipeline_id",
    "SELECT {db} AS DATABASE_NAME, p.name AS PIPELINE_NAME,
        e.time_us / 1000000.0 AS ERROR_UNIX_TIMESTAMP, e.error_type AS ERROR_TYPE,
        e.code AS ERROR_CODE, e.reason AS ERROR_MESSAGE, e.kind AS ERROR_KIND,
        e.raw_value AS LOAD_DATA_LINE, e.batch_id AS BATCH_ID, e.error_id AS ERROR_ID,
        e.split_key AS BATCH_SOURCE_PARTITION_ID, e.position AS BATCH_EARLIEST_OFFSET,
        e.leaf AS `PARTITION`
     FROM s2x_errors e JOIN s2x_pipelines p ON p.pipeline_id = e.pipeline_id",
    // What the source did not tell is NULL; KEY and VALUE are in EXTRA_FIELDS. A split that was read beyond the
    // end that was told last ends there at least.
    "SELECT {db} AS DATABASE_NAME, p.name AS PIPELINE_NAME,
        CASE WHEN {field:o.key_text shardId} IS NOT NULL THEN 'KINESIS'
            WHEN {field:o.key_text partition} IS NOT NULL THEN 'KAFKA' END AS SOURCE_TYPE,
        COALESCE({field:o.key_text shardId}, {field:o.key_text partition}, o.key_text)
            AS SOURCE_PARTITION_ID,
        lo.place AS EARLIEST_OFFSET,
        CASE WHEN hi.place < {field:o.value_text offset} + 0
            THEN {field:o.value_text offset} + 0 ELSE hi.place END AS LATEST_OFFSET,
        {field:o.value_text offset} + 0 AS CURSOR_OFFSET,
        {field:o.value_text offset} + 0 AS SUCCESSFUL_CURSOR_OFFSET,
        o.updated_us / 1000000.0 AS UPDATED_UNIX_TIMESTAMP,
        {pair:o.key_text o.value_text} AS EXTRA_FIELDS
     FROM s2x_offsets o JOIN s2x_pipelines p ON p.pipeline_id = o.pipeline_id
     LEFT JOIN s2x_source_ends lo ON lo.pipeline_id = o.pipeline_id
        AND lo.key_hash = o.key_hash AND lo.side = 'earliest'
     LEFT JOIN s2x_source_ends hi ON hi.pipeline_id = o.pipeline_id
        AND hi.key_hash = o.key_hash AND hi.side = 'latest'",
];

/// Makes every view, replacing older ones. One that is not there needs no right to replace.
pub(super) fn create(store: &mut dyn Store) -> Result<(), StoreError> {
    let dialect = store.dialect();
    let there = match dialect {
        Dialect::Mysql | Dialect::Mariadb => existing(store)?,
        Dialect::Sqlite | Dialect::SingleStore => Vec::new(),
    };
    for (name, body) in VIEWS.iter().zip(BODIES) {
        let body = spell(dialect, store.database(), body);
        let create = match dialect {
            Dialect::Sqlite => {
                store.execute(&format!("DROP VIEW IF EXISTS {name}"), &[])?;
                "CREATE VIEW"
            }
            // Its page "CREATE VIEW" has no OR REPLACE in older versions.
            Dialect::SingleStore => {
                store.execute(&format!("DROP VIEW IF EXISTS {name}"), &[])?;
                "CREATE VIEW"
            }
            Dialect::Mysql | Dialect::Mariadb => {
                let is_there = there.iter().any(|it| it.eq_ignore_ascii_case(name));
                if is_there { "CREATE OR REPLACE VIEW" } else { "CREATE VIEW" }
            }
        };
        match store.execute(&format!("{create} {name} AS {body}"), &[]) {
            // Another creator was faster; both make the same.
            Err(error) if dialect == Dialect::SingleStore && is_taken(&error) => {}
            done => drop(done?),
        }
    }
    Ok(())
}

/// Whether something of that name is there already.
fn is_taken(error: &StoreError) -> bool {
    error.code().is_some_and(|code| code.number == 1050)
}

/// The views that are there, on a server.
fn existing(store: &mut dyn Store) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT table_name FROM information_schema.tables \
               WHERE table_schema = DATABASE() AND table_type = 'VIEW'";
    let answer = store.query(sql, &[])?;
    answer.rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Refuses a database whose own tables have the names of the views, before anything is made in it.
pub(super) fn require_free_names(store: &mut dyn Store) -> Result<(), StoreError> {
    let sql = match store.dialect() {
        Dialect::Sqlite => {
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE"
        }
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() \
             AND table_name = ? AND table_type <> 'VIEW'"
        }
    };
    for name in VIEWS {
        let answer = store.query(sql, &[Param::Text(name)])?;
        if answer.first().map(|row| row.int(0)).transpose()?.unwrap_or(0) != 0 {
            return Err(StoreError::new(
                StoreErrorKind::Schema,
                format!(
                    "{} has a table named {name}, the name of a view of the catalogue; \
                     rename the table or use another database",
                    store.database()
                ),
            ));
        }
    }
    Ok(())
}

fn spell(dialect: Dialect, database: &str, body: &str) -> String {
    let quoted = match dialect {
        Dialect::Sqlite => database.replace('\'', "''"),
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            database.replace('\\', "\\\\").replace('\'', "''")
        }
    };
    let is_sqlite = dialect == Dialect::Sqlite;
    let text = replaced(body, "{time:", |column| match is_sqlite {
        true => format!("strftime('%Y-%m-%d %H:%M:%f', {column} / 1000000.0, 'unixepoch')"),
        false => format!("FROM_UNIXTIME({column} / 1000000)"),
    });
    let text = replaced(&text, "{field:", |names| {
        let (column, field) = names.split_once(' ').unwrap_or((names, ""));
        match dialect {
            Dialect::Sqlite => format!("CAST(json_extract({column}, '$.{field}') AS TEXT)"),
            Dialect::SingleStore => format!("JSON_EXTRACT_STRING({column}, '{field}')"),
            Dialect::Mysql | Dialect::Mariadb => {
                format!("JSON_UNQUOTE(JSON_EXTRACT({column}, '$.{field}'))")
            }
        }
    });
    let text = replaced(&text, "{pair:", |names| {
        let (key, value) = names.split_once(' ').unwrap_or((names, ""));
        match is_sqlite {
            true => format!("'{{\"key\":' || {key} || ',\"value\":' || {value} || '}}'"),
            false => format!("CONCAT('{{\"key\":', {key}, ',\"value\":', {value}, '}}')"),
        }
    });
    text.replace("{db}", &format!("'{quoted}'"))
}

/// Every `BEGIN…}` of a text as `spelt` has what stands between.
fn replaced(text: &str, begin: &str, spelt: impl Fn(&str) -> String) -> String {
    let mut done = String::with_capacity(text.len() + 256);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(begin) {
        let (inner, after) = after.split_once('}').unwrap_or((after, ""));
        done.push_str(before);
        done.push_str(&spelt(inner));
        rest = after;
    }
    done.push_str(rest);
    done
}
