//! The smallest whole: a pipeline, a split, a batch, in an SQLite file.

use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::catalogue::{Catalogue, NewPipeline};
use crate::store::{RowRef, StoreUrl};

#[test]
fn commits_a_batch_and_moves_its_split() {
    let folder = tempfile::tempdir().expect("a folder");
    let connect: Arc<dyn Connect> = Arc::new(StoreUrl::Sqlite { path: folder.path().join("a.db") });
    let mut catalogue = Catalogue::open(Arc::clone(&connect)).expect("opens");
    let new = NewPipeline {
        name: "p",
        config_json: "{}",
        credentials: None,
        target_table: "t",
        leaf_count: 1,
        tasks_max: 1,
    };
    let pipeline = catalogue.create_pipeline(&new).expect("creates").into_pipeline();
    catalogue.ensure_table("t").expect("makes the table");
    let key = r#"{"shardId":"shardId-000000000000"}"#;
    let splits = catalogue
        .insert_splits(pipeline.id, &[(key, r#"{"position":"TRIM_HORIZON"}"#)])
        .expect("inserts");
    assert_eq!(splits.len(), 1);
    let taken = catalogue.take_epoch(pipeline.id, 0, None, &[key]).expect("takes");
    let rows: &[RowRef<'_>] = &[RowRef { topic: "t", id: "{}", record: "[1]" }];
    let moves = [Move { key, rev: taken.splits[0].rev, to_value: r#"{"sequenceNumber":"1"}"# }];
    let mut loader = Loader::new(connect);
    let batch = BatchCommit {
        pipeline_id: pipeline.id,
        epoch: taken.epoch,
        task_id: 0,
        leaf: 0,
        table: "t",
        moves: &moves,
        rows: &rows,
        row_count: 1,
        byte_count: 9,
        errors: &[],
        started_at: SystemTime::now(),
    };
    assert_eq!(loader.commit(&batch), Ok(Committed { batch_id: Some(1) }));
    assert!(matches!(loader.commit(&batch), Err(LoadError::Fenced(_))), "the same batch again");
    let store = catalogue.store().expect("connected");
    let count = store.query("SELECT COUNT(*) FROM t", &[]).expect("counts");
    assert_eq!(count.rows[0].int(0), Ok(1));
    let offsets = store.query("SELECT * FROM PIPELINES_SOURCE_OFFSETS", &[]).expect("reads");
    assert_eq!(
        offsets.columns,
        ["DATABASE_NAME", "PIPELINE_NAME", "BATCH_ID", "TASK_ID", "KEY", "VALUE"]
    );
    assert_eq!(offsets.rows[0].int(2), Ok(1));
    assert_eq!(offsets.rows[0].text(5), Ok(r#"{"sequenceNumber":"1"}"#));
}

#[test]
fn a_fenced_owner_waits_longer_each_time_and_never_in_step() {
    let longest = |fenced| (0..200).map(|_| fenced_pause(fenced)).max().expect("some");
    assert!(longest(0) <= Duration::from_millis(200));
    assert!(longest(3) > Duration::from_millis(200));
    assert!(longest(u32::MAX) <= Duration::from_millis(200) * 64);
    let pauses: std::collections::HashSet<_> = (0..20).map(|_| fenced_pause(2)).collect();
    assert!(pauses.len() > 10, "{pauses:?}");
}
