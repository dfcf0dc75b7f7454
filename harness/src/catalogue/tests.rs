//! The catalogue in an SQLite file; what needs a server is in the integration tests.

use super::*;
use crate::store::{Param, RowRef, StoreErrorKind, StoreUrl};
use crate::transaction::{BatchCommit, Loader, Move};

const KEY: &str = r#"{"partition":0,"topic":"orders"}"#;

struct Bed {
    connect: Arc<dyn Connect>,
    _folder: tempfile::TempDir,
    /// The database on a server, to be dropped at the end, and the address to drop it by.
    made: Option<(StoreUrl, String)>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.made {
            let dropped =
                server.connect().and_then(|mut it| it.run(&format!("DROP DATABASE {name}")));
            dropped.expect("drops");
        }
    }
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = StoreUrl::Sqlite { path: folder.path().join("a.db") };
        Self { connect: Arc::new(url), _folder: folder, made: None }
    }

    /// In a database of its own on MariaDB; nothing, visibly, where there is none.
    fn server(test: &str) -> Option<Self> {
        let Some(url) = std::env::var("MARIADB_URL").ok().filter(|url| !url.is_empty()) else {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "skipped: {test}: MARIADB_URL is not set")
                .expect("says so");
            return None;
        };
        let server: StoreUrl = url.parse().expect("an address");
        let name = format!("s2x_catalogue_{}_{:08x}", std::process::id(), fastrand::u32(..));
        let mut store = server.connect().expect("connects");
        store.run(&format!("CREATE DATABASE {name}")).expect("makes");
        let own = format!("{}/{name}", url.rsplit_once('/').expect("a database").0);
        let own: StoreUrl = own.parse().expect("an address");
        Some(Self {
            connect: Arc::new(own),
            made: Some((server, name)),
            _folder: tempfile::tempdir().expect("a folder"),
        })
    }

    fn catalogue(&self) -> Catalogue {
        Catalogue::open(Arc::clone(&self.connect)).expect("opens")
    }
}

fn new(name: &str) -> NewPipeline<'_> {
    NewPipeline {
        name,
        config_json: r#"{"connector.class":"kafka"}"#,
        credentials: Some("${env:SECRET}"),
        target_table: "t",
        leaf_count: 1,
        tasks_max: 2,
    }
}

#[test]
fn racing_creators_make_one_catalogue() {
    let bed = Bed::new();
    let racers: Vec<_> = (0..8)
        .map(|racer| {
            let connect = Arc::clone(&bed.connect);
            thread::spawn(move || {
                let mut catalogue = Catalogue::open(connect).expect("opens");
                catalogue.create_pipeline(&new("p")).expect("creates");
                catalogue.create_pipeline(&new(&format!("p{racer}"))).expect("creates");
            })
        })
        .collect();
    for racer in racers {
        racer.join().expect("ends");
    }
    let pipelines = bed.catalogue().pipelines().expect("reads");
    let mut ids: Vec<u64> = pipelines.iter().map(|pipeline| pipeline.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=9).collect::<Vec<u64>>());
}

#[test]
fn a_newer_catalogue_is_refused() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let store = catalogue.store().expect("connected");
    store.execute("UPDATE s2x_catalogue SET version = 99", &[]).expect("updates");
    let error = Catalogue::open(Arc::clone(&bed.connect)).err().expect("refused");
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    let wanted = format!("has version 99; this program knows up to {CATALOGUE_VERSION}");
    assert!(error.to_string().contains(&wanted), "{error}");
}

#[test]
fn a_catalogue_of_version_1_is_brought_up_to_date_with_its_pipelines_and_views() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    let store = catalogue.store().expect("connected");
    for table in [
        "s2x_ends",
        "s2x_lags",
        "s2x_heartbeats",
        "s2x_audit",
        "s2x_secret_files",
        "s2x_source_ends",
    ] {
        store.execute(&format!("DROP TABLE {table}"), &[]).expect("drops");
    }
    store.execute("DROP VIEW PIPELINES_CURSORS", &[]).expect("drops");
    store.execute("UPDATE s2x_catalogue SET version = 1", &[]).expect("updates");
    let mut catalogue = bed.catalogue();
    assert_eq!(catalogue.ends(id, "w"), Ok(None));
    assert_eq!(catalogue.lags(id), Ok(Vec::new()));
    assert_eq!(catalogue.heartbeats(id), Ok(Vec::new()));
    assert_eq!(catalogue.audit(1), Ok(Vec::new()));
    assert_eq!(catalogue.pipelines().expect("reads").len(), 1);
    assert_eq!(catalogue.noted_secret_files("x", None), Ok(Vec::new()));
    let store = catalogue.store().expect("connected");
    assert!(store.query("SELECT * FROM PIPELINES_CURSORS", &[]).is_ok());
}

#[test]
fn lags_are_the_last_that_were_told_and_go_with_their_pipeline() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    let keys: Vec<String> = (0..120).map(|n| format!("{{\"shardId\":\"{n:03}\"}}")).collect();
    let mut note = |rows: Option<u64>, ms: Option<u64>, count: usize| {
        let store = catalogue.store().expect("connected");
        let lags =
            keys.iter().take(count).map(|key| (key.as_str(), Behind { rows, ms, latest: None }));
        note_lags(store, id, lags).expect("notes");
        catalogue.lags(id).expect("reads")
    };
    assert_eq!(note(Some(5), None, 120).len(), 120);
    let lags = note(None, Some(7), 2);
    let of = |index: usize| lags[index].behind;
    assert_eq!((lags.len(), lags[1].key.as_str()), (120, keys[1].as_str()));
    assert_eq!(of(1), Behind { rows: None, ms: Some(7), latest: None });
    assert_eq!(of(2), Behind { rows: Some(5), ms: None, latest: None });
    catalogue.drop_pipeline("p").expect("drops");
    assert_eq!(catalogue.lags(id), Ok(Vec::new()));
    let store = catalogue.store().expect("connected");
    let late = Behind { rows: Some(1), ms: None, latest: None };
    note_lags(store, id, [(keys[0].as_str(), late)].into_iter()).expect("notes");
    assert_eq!(catalogue.lags(id), Ok(Vec::new()), "what comes late finds no pipeline");
    let pulse = Pulse {
        leaf: 0,
        process: "host 1".to_owned(),
        health: "running".to_owned(),
        reason: None,
        rows_per_s: 0,
        bytes_per_s: 0,
        memory_bytes: 0,
        retries: 0,
        restarts: 0,
    };
    let store = catalogue.store().expect("connected");
    beat(store, id, &pulse, Some(First::OfAllLeaves)).expect("beats");
    assert_eq!(catalogue.heartbeats(id), Ok(Vec::new()), "as does a late sign of life");
}

#[test]
fn ends_are_written_down_once_for_one_wish() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    let other = r#"{"partition":1,"topic":"t"}"#;
    let first = catalogue.pin_ends(id, "w", &[(KEY, "{\"offset\":5}")]).expect("pins");
    assert_eq!(first, [(KEY.to_owned(), "{\"offset\":5}".to_owned())]);
    let later = [(KEY, "{\"offset\":9}"), (other, "{\"offset\":9}")];
    assert_eq!(catalogue.pin_ends(id, "w", &later), Ok(first.clone()), "they are kept");
    assert_eq!(catalogue.ends(id, "w"), Ok(Some(first)));
    assert_eq!(catalogue.ends(id, "v"), Ok(None));
    assert_eq!(catalogue.pin_ends(id, "v", &later).expect("pins").len(), 2, "another wish");
    assert_eq!(catalogue.ends(id, "w"), Ok(None));
    assert!(catalogue.pin_ends(id, "x", &[]).is_err());
    assert_eq!(catalogue.drop_pipeline("p"), Ok(true));
    assert_eq!(catalogue.ends(id, "v"), Ok(None));
    assert!(catalogue.pin_ends(id, "v", &later).is_err(), "the pipeline is gone");
}

#[test]
fn a_creator_that_died_half_way_is_finished() {
    let bed = Bed::new();
    let mut store = bed.connect.connect().expect("connects");
    let table = "CREATE TABLE s2x_catalogue (id BIGINT PRIMARY KEY, version BIGINT NOT NULL, \
                 next_pipeline_id BIGINT NOT NULL)";
    store.execute(table, &[]).expect("creates");
    drop(store);
    bed.catalogue().create_pipeline(&new("p")).expect("creates");
}

#[test]
fn a_table_with_the_name_of_a_view_is_refused_before_anything_is_made() {
    let bed = Bed::new();
    let mut store = bed.connect.connect().expect("connects");
    store.execute("CREATE TABLE pipelines (n)", &[]).expect("creates");
    let error = Catalogue::open(Arc::clone(&bed.connect)).err().expect("refused");
    assert!(error.to_string().contains("a table named PIPELINES"), "{error}");
    let made = store.query("SELECT name FROM sqlite_master WHERE name LIKE 's2x%'", &[]);
    assert_eq!(made.expect("reads").rows, []);
}

#[test]
fn a_pipeline_is_created_once_and_altered() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let Creation::Created(pipeline) = catalogue.create_pipeline(&new("p")).expect("creates") else {
        panic!("it was not there");
    };
    assert_eq!((pipeline.state, pipeline.leaf_count), (PipelineState::Stopped, 1));
    assert_eq!(pipeline.credentials.as_deref(), Some("${env:SECRET}"));
    assert_eq!(pipeline.sync_marker.len(), 32);
    let again = catalogue.create_pipeline(&new("p")).expect("answers");
    assert_eq!(again, Creation::Existed(pipeline.clone()));

    catalogue.set_state(pipeline.id, PipelineState::Error, Some("no such stream")).expect("sets");
    catalogue.set_incarnation(pipeline.id, "arn:1").expect("sets");
    catalogue.alter_config(pipeline.id, "{}", None, 9).expect("alters");
    let altered = catalogue.pipeline("p").expect("reads").expect("is there");
    assert_eq!(
        (altered.state, altered.error.as_deref()),
        (PipelineState::Error, Some("no such stream"))
    );
    assert_eq!((altered.incarnation.as_deref(), altered.tasks_max), (Some("arn:1"), 9));
    assert_eq!((altered.config_json.as_str(), altered.credentials), ("{}", None));
    assert_eq!(altered.sync_marker, pipeline.sync_marker);

    assert_eq!(catalogue.pipeline("q"), Ok(None));
    let gone = catalogue.set_state(99, PipelineState::Running, None).expect_err("no such");
    assert_eq!(gone.kind(), StoreErrorKind::Fenced);
}

#[test]
fn unusable_pipelines_are_refused() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let long = "x".repeat(256);
    for bad in [
        NewPipeline { name: "", ..new("p") },
        NewPipeline { name: &long, ..new("p") },
        NewPipeline { leaf_count: 0, ..new("p") },
        NewPipeline { tasks_max: 0, ..new("p") },
        NewPipeline { target_table: "S2X_offsets", ..new("p") },
        NewPipeline { target_table: "pipelines_errors", ..new("p") },
    ] {
        let error = catalogue.create_pipeline(&bad).expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    }
    assert_eq!(catalogue.pipelines(), Ok(Vec::new()));
}

/// In one transaction: what is there is the old one with its offsets, or the new one without any.
#[test]
fn a_pipeline_is_replaced_at_once_and_its_files_change_sides() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let old = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline();
    catalogue.insert_splits(old.id, &[(KEY, r#"{"offset":7}"#)]).expect("inserts");
    catalogue.note_secret_file("/made", "s").expect("notes");
    let files = Files { made: Some("/made"), left: Some(("/left", "s")) };
    let other = NewPipeline { credentials: Some("of its own"), ..new("p") };
    let made = catalogue.define_pipeline(&other, Some(&old), files).expect("replaces");
    let Creation::Created(made) = made else { panic!("it is made") };
    assert_ne!(made.id, old.id);
    assert_eq!(catalogue.splits(made.id), Ok(Vec::new()));
    assert_eq!(catalogue.noted_secret_files("s", None), Ok(vec!["/left".to_owned()]));
    // The same again, as after an answer that was lost: it is the one that was made.
    let again = catalogue.define_pipeline(&other, Some(&old), files).expect("replaces");
    assert_eq!(again, Creation::Created(made.clone()));
    // Somebody else's, of the same name, stays; the file is still nobody's.
    catalogue.note_secret_file("/third", "s").expect("notes");
    let files = Files { made: Some("/third"), left: None };
    let third = NewPipeline { credentials: Some("a third"), ..new("p") };
    let existed = catalogue.define_pipeline(&third, Some(&old), files).expect("answers");
    assert_eq!(existed, Creation::Existed(made.clone()));
    let held = catalogue.release_secret_file("/third", || Err::<(), _>("held"));
    assert_eq!(held, Ok(Err("held")), "it is noted, and stays so");
    let released = |catalogue: &mut Catalogue, path| {
        catalogue.release_secret_file(path, || Ok::<(), ()>(())).expect("asks")
    };
    assert_eq!(released(&mut catalogue, "/third"), Ok(true));
    assert_eq!(released(&mut catalogue, "/third"), Ok(false));
    catalogue.drop_defined(&old, Files::default()).expect("drops nothing");
    assert_eq!(catalogue.pipelines().expect("reads").len(), 1);
}

fn altered<'a>(definition: &'a str, files: Files<'a>) -> Altered<'a> {
    Altered { config_json: "{}", definition, tasks_max: 2, files }
}

/// Two people alter a pipeline that both read before: the later one is told, and no file of secrets is let go
/// that the pipeline names.
#[test]
fn what_was_altered_meanwhile_is_not_overwritten() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let read = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline();
    catalogue.note_secret_file("/second", "s").expect("notes");
    let files = Files { made: Some("/second"), left: Some(("/first", "s")) };
    catalogue.alter_defined(&read, altered("names /second", files), None).expect("alters");
    assert_eq!(catalogue.noted_secret_files("s", None), Ok(vec!["/first".to_owned()]));

    let late = Files { made: None, left: Some(("/second", "s")) };
    let other = NewPipeline { credentials: Some("names /third"), ..new("p") };
    let refusals = [
        // The same words, and it is somebody else who said them first.
        catalogue.alter_defined(&read, altered("names /second", files), None).err(),
        catalogue.alter_defined(&read, altered("names /first", Files::default()), None).err(),
        catalogue.alter_defined(&read, altered("names /third", late), None).err(),
        catalogue.drop_defined(&read, late).err(),
        catalogue.define_pipeline(&other, Some(&read), late).err(),
    ];
    for refusal in refusals {
        let error = refusal.expect("refused");
        assert_eq!(error.kind(), StoreErrorKind::Fenced);
        assert!(
            error.to_string().contains("somebody else altered pipeline p meanwhile"),
            "{error}"
        );
    }
    let now = catalogue.pipeline("p").expect("reads").expect("is there");
    assert_eq!(now.credentials.as_deref(), Some("names /second"));
    assert_eq!(catalogue.noted_secret_files("s", None), Ok(vec!["/first".to_owned()]));
    catalogue.drop_defined(&now, late).expect("drops");
    let gone = catalogue.alter_defined(&now, altered("names /third", Files::default()), None);
    assert_eq!(gone.expect_err("refused").kind(), StoreErrorKind::Fenced);
}

#[test]
fn the_end_of_a_run_leaves_what_was_said_meanwhile() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    for (said, left) in [
        (PipelineState::Running, PipelineState::Stopped),
        (PipelineState::Detached, PipelineState::Detached),
        (PipelineState::Error, PipelineState::Error),
    ] {
        catalogue.set_state(id, said, None).expect("sets");
        catalogue.end_state(id).expect("ends");
        assert_eq!(catalogue.pipeline("p").expect("reads").expect("there").state, left);
    }
}

#[test]
fn dropping_removes_everything_but_the_table() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    catalogue.ensure_table("t").expect("makes");
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    commit(&bed, &mut catalogue, id, 3);
    assert_eq!(catalogue.drop_pipeline("p"), Ok(true));
    let store = catalogue.store().expect("connected");
    for table in ["s2x_pipelines", "s2x_offsets", "s2x_offset_history", "s2x_batches", "s2x_errors"]
    {
        let answer = store.query(&format!("SELECT COUNT(*) FROM {table}"), &[]).expect(table);
        assert_eq!(answer.rows[0].int(0), Ok(0), "{table}");
    }
    let rows = store.query("SELECT COUNT(*) FROM t", &[]).expect("the table stays");
    assert_eq!(rows.rows[0].int(0), Ok(3));
}

/// Commits so many batches of one row each.
fn commit(bed: &Bed, catalogue: &mut Catalogue, id: u64, batches: u64) {
    catalogue.insert_splits(id, &[(KEY, r#"{"offset":0}"#)]).expect("inserts");
    let taken = catalogue.take_epoch(id, 1, None, &[KEY]).expect("takes");
    let first = taken.splits[0].rev;
    let mut loader = Loader::new(Arc::clone(&bed.connect));
    let rows: &[RowRef<'_>] = &[RowRef { topic: "t", id: "{}", record: "{}" }];
    for rev in first..first + batches {
        let to_value = format!(r#"{{"offset":{}}}"#, rev + 1);
        let done = loader.commit(&BatchCommit {
            pipeline_id: id,
            epoch: taken.epoch,
            task_id: 1,
            leaf: 0,
            table: "t",
            moves: &[Move { key: KEY, rev, to_value: &to_value }],
            rows: &rows,
            row_count: 1,
            byte_count: 1_048_576,
            errors: &[],
            started_at: std::time::SystemTime::now(),
        });
        done.expect("commits");
    }
}

#[test]
fn views_have_the_documented_columns_and_show_no_secret() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    catalogue.ensure_table("t").expect("makes");
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    commit(&bed, &mut catalogue, id, 2);
    let failed = FailedBatch {
        task_id: 1,
        leaf: 0,
        epoch: 1,
        start_us: now_us(),
        row_count: 5,
        byte_count: 9,
        error: ErrorRow {
            kind: ErrorKind::Load,
            code: "DATA",
            reason: "row 2 of the batch is refused",
            split_key: Some(KEY),
            position: None,
            raw_key: None,
            raw_value: None,
            raw_headers: None,
        },
    };
    assert_eq!(catalogue.record_failed_batch(id, &failed), Ok(3));
    let store = catalogue.store().expect("connected");
    let mut first = |view: &str, columns: &[&str]| {
        let sql = format!("SELECT * FROM {view} WHERE PIPELINE_NAME = 'p' ORDER BY 3 DESC");
        let answer = store.query(&sql, &[]).expect(view);
        for column in columns {
            assert!(answer.columns.iter().any(|c| c == column), "{view} has {column}");
        }
        assert!(!format!("{answer:?}").contains("SECRET"), "{view}");
        answer
    };
    let common = ["DATABASE_NAME", "PIPELINE_NAME"];
    first("PIPELINES", &["PIPELINE_ID", "CONFIG_JSON", "STATE", "CREATE_TIME", "ALTER_TIME"]);
    let offsets = first("PIPELINES_SOURCE_OFFSETS", &common);
    assert_eq!(offsets.columns[2..], ["BATCH_ID", "TASK_ID", "KEY", "VALUE"]);
    assert_eq!(offsets.rows.len(), 1, "one row for each split");
    assert_eq!((offsets.rows[0].int(2), offsets.rows[0].int(3)), (Ok(2), Ok(1)));
    assert_eq!(offsets.rows[0].text(5), Ok(r#"{"offset":2}"#));
    let history = first("PIPELINES_SOURCE_OFFSETS_HISTORY", &common);
    assert_eq!(history.rows.len(), 2, "one row for each batch that moved it");
    let summary = first(
        "PIPELINES_BATCHES_SUMMARY",
        &[
            "BATCH_STATE",
            "START_TIME",
            "BATCH_TIME",
            "ROWS_PER_SEC",
            "ROWS_STREAMED",
            "MB_STREAMED",
            "MB_PER_SEC",
            "NUM_PARTITIONS",
            "NUM_PARTITIONS_FINISHED",
            "EXTRACTOR_WAIT_TIME",
        ],
    );
    let states: Vec<_> = summary.rows.iter().map(|row| row.text(3).expect("a state")).collect();
    assert_eq!(states, ["Failed", "Succeeded", "Succeeded"]);
    first("PIPELINES_BATCHES", &["BATCH_SOURCE_PARTITION_ID", "BATCH_LATEST_OFFSET"]);
    let errors =
        first("PIPELINES_ERRORS", &["ERROR_CODE", "ERROR_MESSAGE", "ERROR_KIND", "ERROR_ID"]);
    assert_eq!(errors.rows.len(), 1);
}

#[test]
fn cursors_have_the_documented_columns_and_numbers() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    catalogue.ensure_table("t").expect("makes");
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    commit(&bed, &mut catalogue, id, 2);
    let store = catalogue.store().expect("connected");
    let cursors = store.query("SELECT * FROM PIPELINES_CURSORS", &[]).expect("answers");
    assert_eq!(
        cursors.columns,
        [
            "DATABASE_NAME",
            "PIPELINE_NAME",
            "SOURCE_TYPE",
            "SOURCE_PARTITION_ID",
            "EARLIEST_OFFSET",
            "LATEST_OFFSET",
            "CURSOR_OFFSET",
            "SUCCESSFUL_CURSOR_OFFSET",
            "UPDATED_UNIX_TIMESTAMP",
            "EXTRA_FIELDS"
        ]
    );
    let row = &cursors.rows[0];
    assert_eq!(
        (row.count_or_null(4), row.count_or_null(5)),
        (Ok(None), Ok(None)),
        "nothing was told"
    );
    assert_eq!((row.text(2), row.text(3)), (Ok("KAFKA"), Ok("0")));
    assert_eq!(row.int(6), Ok(2), "CURSOR_OFFSET");
    let both = r#"{"key":{"partition":0,"topic":"orders"},"value":{"offset":2}}"#;
    assert_eq!(row.text(9), Ok(both));
    // What the source tells; one that was read beyond it since ends there at least.
    catalogue.note_earliest(id, &[(KEY, 1)]).expect("notes");
    for (told, shown) in [(7, 7), (1, 2)] {
        let behind = Behind { latest: Some(told), ..Behind::default() };
        let store = catalogue.store().expect("connected");
        note_lags(store, id, [(KEY, behind)].into_iter()).expect("notes");
        let sql = "SELECT EARLIEST_OFFSET, LATEST_OFFSET FROM PIPELINES_CURSORS";
        let row = store.query(sql, &[]).expect("answers").rows.remove(0);
        assert_eq!((row.int(0), row.int(1)), (Ok(1), Ok(shown)));
    }
    // They are of one life of the source.
    let ends = |catalogue: &mut Catalogue| {
        let store = catalogue.store().expect("connected");
        store.query("SELECT * FROM s2x_source_ends", &[]).expect("answers").rows.len()
    };
    for (life, left) in [("one", 0), ("one", 1), ("two", 0)] {
        let places = Places { values: &[(KEY, r#"{"offset":2}"#)], incarnation: Some(life) };
        catalogue.place(id, places).expect("moves");
        assert_eq!(ends(&mut catalogue), left, "{life}");
        catalogue.note_earliest(id, &[(KEY, 1)]).expect("notes");
    }
    catalogue.drop_pipeline("p").expect("drops");
    catalogue.note_earliest(id, &[(KEY, 1)]).expect("a run that ends later notes nothing");
    assert_eq!(ends(&mut catalogue), 0);
}

/// The query of the documentation: how splits are spread over tasks.
#[test]
fn splits_are_spread_over_tasks() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    let keys: Vec<String> = (0..4).map(|n| format!(r#"{{"shardId":"{n}"}}"#)).collect();
    let starts: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "{}")).collect();
    catalogue.insert_splits(id, &starts).expect("inserts");
    let store = catalogue.store().expect("connected");
    let sql = "SELECT TASK_ID, COUNT(*) AS offset_count FROM PIPELINES_SOURCE_OFFSETS \
               WHERE PIPELINE_NAME = ? GROUP BY TASK_ID ORDER BY TASK_ID";
    let answer = store.query(sql, &[Param::Text("p")]).expect("reads");
    let counts: Vec<_> = answer.rows.iter().map(|row| (row.int(0), row.int(1))).collect();
    assert_eq!(counts, [(Ok(0), Ok(2)), (Ok(1), Ok(2))]);
}

#[test]
fn old_batches_and_offsets_are_pruned_and_the_newest_stays() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    catalogue.ensure_table("t").expect("makes");
    catalogue.set_variable(VARIABLE_BATCHES_KEPT, "10").expect("sets");
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    commit(&bed, &mut catalogue, id, 128);
    let batches = catalogue.batches(id, 1000).expect("reads");
    assert_eq!((batches.len(), batches[0].id), (10, 128));
    let store = catalogue.store().expect("connected");
    let history = store.query("SELECT MIN(rev), MAX(rev) FROM s2x_offset_history", &[]);
    let history = history.expect("reads");
    assert_eq!((history.rows[0].int(0), history.rows[0].int(1)), (Ok(118), Ok(128)));
    catalogue.set_variable(VARIABLE_BATCHES_KEPT, "0").expect("sets");
    commit(&bed, &mut catalogue, id, 64);
    let store = catalogue.store().expect("connected");
    let offsets = store.query("SELECT BATCH_ID FROM PIPELINES_SOURCE_OFFSETS", &[]);
    assert_eq!(
        offsets.expect("reads").rows[0].int(0),
        Ok(192),
        "the newest offset is never pruned"
    );
    let pipeline = catalogue.pipeline("p").expect("reads").expect("is there");
    assert_eq!((pipeline.row_total, pipeline.last_batch_id), (192, 192), "totals outlive batches");
}

#[test]
fn variables_are_kept() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    assert_eq!(catalogue.variable("a"), Ok(None));
    catalogue.set_variable("b", "2").expect("sets");
    catalogue.set_variable("a", "1").expect("sets");
    catalogue.set_variable("a", "3").expect("sets again");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(bed.catalogue().variables(), Ok(vec![pair("a", "3"), pair("b", "2")]));
}

#[test]
fn splits_that_cannot_be_are_refused() {
    let bed = Bed::new();
    let mut catalogue = bed.catalogue();
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    let long = "x".repeat(KEY_LEN_MAX + 1);
    catalogue.insert_splits(id, &[(&long, "{}")]).expect_err("too long a key");
    catalogue.insert_splits(id, &[("", "{}")]).expect_err("no key");
    catalogue.insert_splits(id, &[(KEY, "1"), (KEY, "2")]).expect_err("the same key twice");
    catalogue.take_epoch(id, 0, None, &[KEY]).expect_err("not in the catalogue");
    let gone = catalogue.insert_splits(id + 1, &[(KEY, "{}")]).expect_err("no such pipeline");
    assert_eq!(gone.kind(), StoreErrorKind::Fenced);
    let epoch = catalogue.pipeline("p").expect("reads").expect("is there").epoch;
    assert_eq!(epoch, 0, "nothing of it stays");
    let longest = "k".repeat(KEY_LEN_MAX);
    let many: Vec<String> = (0..250).map(|n| format!("\"{n}\"")).collect();
    let mut starts: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "{}")).collect();
    starts.push((&longest, "{}"));
    assert_eq!(catalogue.insert_splits(id, &starts).expect("inserts").len(), 251);
    let keys: Vec<&str> = starts.iter().map(|(key, _)| *key).collect();
    let taken = catalogue.take_epoch(id, 1, None, &keys).expect("takes");
    assert_eq!(taken.epoch, 1);
    assert!(taken.splits.iter().zip(&keys).all(|(split, key)| split.key == *key));
    assert!(taken.splits.iter().all(|split| split.epoch == 1 && split.task_id == 1));
}

fn said_by(process: &str) -> Pulse {
    Pulse {
        leaf: 0,
        process: process.to_owned(),
        health: "starting".to_owned(),
        reason: None,
        rows_per_s: 0,
        bytes_per_s: 0,
        memory_bytes: 0,
        retries: 0,
        restarts: 0,
    }
}

/// Who sees that a pipeline runs sees who runs it, and of several who want to take one over, one does.
fn taken_over(bed: &Bed) {
    let mut catalogue = bed.catalogue();
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    let free = |beats: &[Heartbeat]| beats.iter().all(|beat| beat.age_us > 30_000_000);
    let take = |catalogue: &mut Catalogue, process: &str| {
        catalogue.take_where_free(id, &said_by(process), free).expect("looks")
    };
    assert!(!take(&mut catalogue, "a"), "it is stopped");
    catalogue.begin_running(id, &said_by("runner"), First::OfAllLeaves).expect("begins");
    let row = bed.catalogue().pipeline("p").expect("reads").expect("is there");
    assert_eq!(row.state, PipelineState::Running);
    assert!(!take(&mut catalogue, "a"), "it is just being started");
    let store = catalogue.store().expect("connected");
    store.run("UPDATE s2x_heartbeats SET beat_us = beat_us - 31000000").expect("ages");
    let racers: Vec<_> = (0..6)
        .map(|number| {
            let mut catalogue = bed.catalogue();
            thread::spawn(move || {
                let pulse = said_by(&format!("server {number}"));
                catalogue.take_where_free(id, &pulse, free).expect("looks")
            })
        })
        .collect();
    let taken = racers.into_iter().filter_map(|it| it.join().expect("ends").then_some(())).count();
    assert_eq!(taken, 1);
    let beats = catalogue.heartbeats(id).expect("reads");
    assert_eq!(beats.len(), 1);
    assert!(beats[0].pulse.process.starts_with("server "), "{beats:?}");
    catalogue.take_back(id, &beats[0].pulse).expect("takes back");
    assert!(take(&mut catalogue, "a"), "a server that ended as it should left nothing behind");
}

#[test]
fn one_of_several_takes_a_pipeline_over_in_sqlite() {
    taken_over(&Bed::new());
}

#[test]
fn one_of_several_takes_a_pipeline_over_in_mariadb() {
    if let Some(bed) = Bed::server("one_of_several_takes_a_pipeline_over_in_mariadb") {
        taken_over(&bed);
    }
}

/// Lag that is written while the pipeline is dropped leaves nothing behind.
#[test]
fn lag_of_a_dropped_pipeline_is_not_kept() {
    let Some(bed) = Bed::server("lag_of_a_dropped_pipeline_is_not_kept") else { return };
    let mut catalogue = bed.catalogue();
    let id = catalogue.create_pipeline(&new("p")).expect("creates").into_pipeline().id;
    let mut dropping = None;
    let mut writer = bed.connect.connect().expect("connects");
    writer.begin().expect("begins");
    // Between the look at the pipeline and the rows.
    let lags = std::iter::once_with(|| {
        let mut other = bed.catalogue();
        let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
        dropping = Some(thread::spawn(move || {
            other.drop_pipeline("p").expect("drops");
            drop(done);
        }));
        // It is done at once, or waits for this transaction.
        let _done_or_waiting = is_done.recv_timeout(Duration::from_secs(2));
        (KEY, Behind { rows: Some(1), ..Behind::default() })
    });
    note_lags(writer.as_mut(), id, lags).expect("notes");
    writer.commit().expect("commits");
    dropping.expect("began").join().expect("ends");
    assert_eq!(catalogue.lags(id), Ok(Vec::new()));
}

/// The specification names every table and column that there is, and the version.
#[test]
fn the_catalogue_is_the_one_that_was_specified() {
    let text = include_str!("../../../protocol/SPEC.md");
    let title = format!("### 10.1 The catalogue, version {CATALOGUE_VERSION}\n");
    let (_, section) = text.split_once(&title).expect("the version");
    let (section, _) = section.split_once("\n### ").expect("the next section");
    let mut catalogue = Bed::new().catalogue();
    let store = catalogue.store().expect("connected");
    for table in TABLES {
        // Its own row, and those without a name below it.
        let rows = section.lines().skip_while(|line| !line.starts_with(&format!("| {table} |")));
        let rows = rows.take_while(|line| {
            line.starts_with(&format!("| {table} |")) || line.starts_with("| | ")
        });
        let words: Vec<&str> = rows
            .filter_map(|line| line.split(" | ").nth(1))
            .flat_map(|cell| cell.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
            .collect();
        let answer = store.query(&format!("SELECT name FROM pragma_table_info('{table}')"), &[]);
        let columns = answer.expect("reads").rows;
        assert!(!columns.is_empty(), "{table}");
        for column in columns {
            let column = column.text(0).expect("a name").to_owned();
            assert!(
                words.contains(&column.as_str()),
                "{table}.{column} is not in the specification"
            );
        }
    }
}
