//! One row for each split of a batch in a table that users of SingleStore's Kafka sink read.
//!
//! Touches the database through `Store` alone. Nothing is decided by it: the swap of the offsets guards. A row stands
//! for what its batch loaded from a place on; one that is loaded again on purpose replaces it.

use serde_json::Value;

use super::load::PlannedMove;
use crate::store::{Param, Store, StoreError, StoreErrorKind};

/// Writes the rows of a batch.
pub(super) fn write(
    store: &mut dyn Store,
    table: &str,
    moves: &[PlannedMove],
) -> Result<(), StoreError> {
    let name = store.dialect().quote(table);
    for step in moves.iter().filter(|step| step.rows > 0) {
        let id = id_of(step)?;
        store.execute(&format!("DELETE FROM {name} WHERE id = ?"), &[Param::Text(&id)])?;
        let count = i64::try_from(step.rows).unwrap_or(i64::MAX);
        let sql = format!("INSERT INTO {name} (id, count) VALUES (?, ?)");
        store.execute(&sql, &[Param::Text(&id), Param::Int(count)])?;
    }
    Ok(())
}

/// `topic-partition-offset`: the offset from which the batch was read.
fn id_of(step: &PlannedMove) -> Result<String, StoreError> {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (key, from) = (read(&step.key), read(&step.from));
    let topic = key.get("topic").and_then(Value::as_str);
    let partition = key.get("partition").and_then(Value::as_i64);
    match (topic, partition, from.get("offset").and_then(Value::as_i64)) {
        (Some(topic), Some(partition), Some(offset)) => Ok(format!("{topic}-{partition}-{offset}")),
        _ => Err(StoreError::new(
            StoreErrorKind::Config,
            format!(
                "singlestore.metadata.allow is for topics of Kafka; split {} is none",
                step.key
            ),
        )),
    }
}
