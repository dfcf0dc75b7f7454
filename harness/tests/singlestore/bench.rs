//! A pipeline in a folder, the programs, and the double.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use harness::store::{Cell, StoreUrl, connect};
use serde_json::{Value, json};
use xtask::double::Double;

/// The extractor binary, built once.
fn extractor() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let harness = Path::new(env!("CARGO_BIN_EXE_harness"));
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "extractor", "--bin", "extractor"]);
        assert!(cargo.status().unwrap().success(), "the extractor does not build");
        harness.with_file_name("extractor")
    })
}

/// A double and a pipeline into it.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) double: Double,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let double = Double::start(&folder.path().join("double.db")).unwrap();
        Self { folder, double }
    }

    /// Runs `harness run` on this configuration.
    pub(crate) fn run(&self, store: &str, config: &Value) -> Output {
        let file = self.folder.path().join("pipeline.json");
        std::fs::write(&file, json!({ "name": "rows", "config": config }).to_string()).unwrap();
        Command::new(env!("CARGO_BIN_EXE_harness"))
            .args(["run", "--until-caught-up", "--store", store, "--extractor"])
            .arg(extractor())
            .arg(&file)
            .output()
            .unwrap()
    }

    /// The same, which must end well.
    #[track_caller]
    pub(crate) fn run_well(&self, store: &str, config: &Value) {
        let done = self.run(store, config);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<Cell>> {
        let url: StoreUrl = self.double.url("").parse().unwrap();
        let rows = connect(&url).unwrap().run(sql).unwrap();
        rows.rows.into_iter().map(|row| row.0).collect()
    }
}

/// Configuration of a pipeline that generates its rows.
pub(crate) fn generator(splits: u32, rows: u64) -> Value {
    json!({ "connector.class": "test", "test.splits": splits, "test.rows": rows, "tasks.max": 2 })
}

/// Writes a line past the test runner, which swallows what the print macros write.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}
