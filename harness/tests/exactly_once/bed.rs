//! Fresh databases to test on, and the smallest pipeline in one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use harness::catalogue::{Catalogue, ErrorRow, NewPipeline, Pipeline, Split};
use harness::store::{Connect, RowRef, Rows, Store, StoreUrl, connect};
use harness::transaction::{BatchCommit, Committed, LoadError, Loader, Move};
use xtask::double::Double;

/// The variable that names a MariaDB or MySQL server.
const SERVER_VARIABLE: &str = "MARIADB_URL";

/// The keys of two splits.
pub(crate) const KEY: &str = r#"{"shardId":"shardId-000000000000"}"#;
pub(crate) const KEY_2: &str = r#"{"shardId":"shardId-000000000001"}"#;

/// Where a split starts.
pub(crate) const START: &str = r#"{"position":"TRIM_HORIZON"}"#;

/// The table that rows go to.
pub(crate) const TABLE: &str = "rows_of_p";

/// A fresh database, gone when this is dropped.
pub(crate) struct Bed {
    pub(crate) url: StoreUrl,
    address: String,
    gone_with_it: GoneWithIt,
}

enum GoneWithIt {
    Folder(#[expect(dead_code, reason = "held for its Drop")] tempfile::TempDir),
    Double(Arc<Double>, #[expect(dead_code, reason = "held for its Drop")] tempfile::TempDir),
    Database { server: StoreUrl, name: String },
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let GoneWithIt::Database { server, name } = &self.gone_with_it {
            let dropped = connect(server)
                .and_then(|mut store| store.execute(&format!("DROP DATABASE {name}"), &[]));
            if let Err(error) = dropped {
                eprintln!("drop database {name}: {error}");
            }
        }
    }
}

impl Bed {
    /// A fresh SQLite file.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = format!("sqlite:{}", folder.path().join("test.db").display());
        let url = address.parse().expect("an address");
        Self { url, address, gone_with_it: GoneWithIt::Folder(folder) }
    }

    /// A fresh database on the server, with `?…` after its address; `None` is a visible skip.
    pub(crate) fn server(query: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(text) = std::env::var(SERVER_VARIABLE) else {
            eprintln!("skipped: {SERVER_VARIABLE} is not set");
            return None;
        };
        let base = text.split('?').next().expect("a first part");
        let (authority, _) = base.rsplit_once('/').expect("an address with a database");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("s2x_t_{}_{number}", std::process::id());
        let server: StoreUrl = base.parse().expect("a server's address");
        let mut store = connect(&server).expect("the server");
        store.execute(&format!("DROP DATABASE IF EXISTS {name}"), &[]).expect("drops");
        store.execute(&format!("CREATE DATABASE {name}"), &[]).expect("creates");
        let address = format!("{authority}/{name}{query}");
        let url = address.parse().expect("an address");
        Some(Self { url, address, gone_with_it: GoneWithIt::Database { server, name } })
    }

    /// What stands in for SingleStore, with `?…` after its address.
    pub(crate) fn double(query: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let double = Double::start(&folder.path().join("double.db")).expect("starts");
        let address = double.url(query);
        let url = address.parse().expect("an address");
        Self { url, address, gone_with_it: GoneWithIt::Double(Arc::new(double), folder) }
    }

    /// The double itself, where this is one.
    pub(crate) fn as_double(&self) -> Arc<Double> {
        match &self.gone_with_it {
            GoneWithIt::Double(double, _) => Arc::clone(double),
            GoneWithIt::Folder(_) | GoneWithIt::Database { .. } => panic!("no double"),
        }
    }

    /// One of each kind that can be had.
    pub(crate) fn all() -> Vec<Self> {
        [Self::sqlite(), Self::double("")].into_iter().chain(Self::server("")).collect()
    }

    /// The address with its password, for a child process.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn connect(&self) -> Arc<dyn Connect> {
        Arc::new(self.url.clone())
    }

    pub(crate) fn store(&self) -> Box<dyn Store> {
        connect(&self.url).expect("connects")
    }

    /// The one number that a query answers.
    #[track_caller]
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let answer = self.store().query(sql, &[]).expect(sql);
        answer.rows[0].int(0).expect("a number")
    }

    pub(crate) fn row_count(&self) -> i64 {
        self.number(&format!("SELECT COUNT(*) FROM {TABLE}"))
    }
}

/// A pipeline with its table and a first split, and the epoch of its owner.
pub(crate) struct Owner {
    pub(crate) catalogue: Catalogue,
    pub(crate) pipeline: Pipeline,
    pub(crate) epoch: u64,
    pub(crate) split: Split,
}

pub(crate) fn new_pipeline(name: &str) -> NewPipeline<'_> {
    NewPipeline {
        name,
        config_json: "{}",
        credentials: None,
        target_table: TABLE,
        leaf_count: 1,
        tasks_max: 1,
    }
}

impl Owner {
    pub(crate) fn of(bed: &Bed) -> Self {
        let mut catalogue = Catalogue::open(bed.connect()).expect("opens");
        catalogue.ensure_table(TABLE).expect("makes the table");
        Self::take(catalogue, "p")
    }

    /// Creates the pipeline if it is not there, and takes its first split over.
    pub(crate) fn take(mut catalogue: Catalogue, name: &str) -> Self {
        let pipeline =
            catalogue.create_pipeline(&new_pipeline(name)).expect("creates").into_pipeline();
        catalogue.insert_splits(pipeline.id, &[(KEY, START)]).expect("inserts");
        let mut taken = catalogue.take_epoch(pipeline.id, 0, None, &[KEY]).expect("takes");
        let split = taken.splits.remove(0);
        Self { catalogue, pipeline, epoch: taken.epoch, split }
    }

    /// Where the split stands in the database.
    pub(crate) fn stands_at(&mut self) -> (u64, String) {
        let splits = self.catalogue.splits(self.pipeline.id).expect("reads");
        let split = splits.into_iter().find(|split| split.key == KEY).expect("the split");
        (split.rev, split.value)
    }

    /// Sends a batch that moves the split from the revision this owner read.
    pub(crate) fn send(
        &self,
        loader: &mut Loader,
        to_value: &str,
        rows: &[RowRef<'_>],
        errors: &[ErrorRow<'_>],
    ) -> Result<Committed, LoadError> {
        let moves = [Move { key: KEY, rev: self.split.rev, to_value }];
        let batch = BatchCommit { errors, ..self.batch(&moves, &rows) };
        loader.commit(&BatchCommit { row_count: rows.len() as u64, ..batch })
    }

    /// A batch of this owner; the caller sets the number of rows.
    pub(crate) fn batch<'a>(&self, moves: &'a [Move<'a>], rows: &'a dyn Rows) -> BatchCommit<'a> {
        BatchCommit {
            pipeline_id: self.pipeline.id,
            epoch: self.epoch,
            task_id: 0,
            leaf: 0,
            table: TABLE,
            moves,
            rows,
            row_count: 0,
            byte_count: 0,
            errors: &[],
            started_at: SystemTime::now(),
        }
    }
}

/// An offset as the source of seed 001 writes it.
pub(crate) fn at(sequence_number: u32) -> String {
    format!(r#"{{"sequenceNumber":"{sequence_number}"}}"#)
}

/// Rows that the static table takes.
pub(crate) fn rows<'a>(records: &'a [&'a str]) -> Vec<RowRef<'a>> {
    records.iter().map(|record| RowRef { topic: "t", id: r#"{"k":1}"#, record }).collect()
}
