//! Whole runs in one process, with the independent Python peer as the extractor.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use harness::exit::Exit;
use harness::route::Route;
use harness::run::{
    Aside, BatchLimits, Control, Event, ExtractorCommand, Observer, OnError, Plan, Point, Points,
    Retry, RunError, Share, SourceConfig, Summary, Until, execute,
};
use harness::store::{Cell, connect};
use protocol::OffsetKey;
use protocol::message::Start;
use serde_json::{Value, json};

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// The peer, or the reason why a test is skipped.
fn peer(test: &str) -> Option<ExtractorCommand> {
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"];
    let program = python.iter().map(PathBuf::from).find(|path| path.exists());
    if program.is_none() {
        writeln!(std::io::stderr().lock(), "skipped: {test}: python3 not found").unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/peer/extractor");
    let args = vec![script.canonicalize().unwrap().display().to_string()];
    Some(ExtractorCommand { program: program?, args })
}

struct Bench {
    dir: tempfile::TempDir,
    extractor: ExtractorCommand,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        Some(Self { dir: tempfile::tempdir().unwrap(), extractor: peer(test)? })
    }

    fn plan(&self, config: &Value) -> Plan {
        let mut config = config.as_object().unwrap().clone();
        config.insert("connector.class".to_owned(), json!("test"));
        Plan {
            name: "orders".to_owned(),
            table: "orders".to_owned(),
            store: format!("sqlite:{}/s.db", self.dir.path().display()).parse().unwrap(),
            source: SourceConfig { config, ..SourceConfig::default() },
            extractor: self.extractor.clone(),
            share: Share { leaves: 1, leaf: None, tasks: 2 },
            limits: BatchLimits { rows: 100, ..BatchLimits::default() },
            start: None,
            end: None,
            until: Until::CaughtUp,
            on_error: OnError::Stop,
            retry: Retry::default(),
            metrics: None,
            definition: None,
            pooled: None,
            is_probe: false,
            aside: Aside::default(),
            route: Route::plain("orders"),
        }
    }

    fn run(&self, plan: &Plan) -> (Result<Summary, RunError>, String) {
        let notes = Arc::new(Notes::default());
        let result = execute(plan.clone(), Control::default(), Arc::<Notes>::clone(&notes));
        let text = notes.0.lock().unwrap().join("\n");
        (result, text)
    }

    fn number(&self, sql: &str) -> String {
        let url = format!("sqlite:{}/s.db", self.dir.path().display()).parse().unwrap();
        match connect(&url).unwrap().run(sql).unwrap().rows[0].0[0].clone() {
            Cell::Int(number) => number.to_string(),
            Cell::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_row_lands_once() {
    let Some(bench) = Bench::new("every_row_lands_once") else { return };
    let plan = bench.plan(&json!({ "test.splits": 3, "test.rows": 1000 }));
    let (result, notes) = bench.run(&plan);
    let summary = result.unwrap_or_else(|error| panic!("{error}\n{notes}"));
    assert_eq!((summary.rows, summary.caught_up), (3000, true));
    assert!(summary.extractor_peak_bytes > 1_000_000, "{summary:?}");
    assert_eq!(bench.number("SELECT COUNT(DISTINCT id) FROM orders"), "3000");
    let (again, _) = bench.run(&plan);
    assert_eq!(again.unwrap().rows, 0, "nothing is left to load");
}

#[test]
fn batches_have_their_size() {
    let Some(bench) = Bench::new("batches_have_their_size") else { return };
    let mut plan =
        bench.plan(&json!({ "test.splits": 1, "test.rows": 25_000, "test.close": true }));
    plan.limits.rows = 10_000;
    plan.limits.interval = std::time::Duration::from_secs(60);
    bench.run(&plan).0.unwrap();
    let sizes = "SELECT group_concat(ROWS_STREAMED) FROM \
                 (SELECT ROWS_STREAMED FROM PIPELINES_BATCHES_SUMMARY WHERE ROWS_STREAMED > 0 ORDER BY BATCH_ID)";
    assert_eq!(bench.number(sizes), "10000,10000,5000");
}

#[test]
fn as_many_batches_as_asked_for() {
    let Some(bench) = Bench::new("as_many_batches_as_asked_for") else { return };
    let mut plan = bench.plan(&json!({ "test.splits": 2, "test.rows": 5000 }));
    plan.until = Until::Batches(7);
    assert_eq!(bench.run(&plan).0.unwrap().rows, 700);
    assert_eq!(bench.run(&plan).0.unwrap().rows, 700);
    assert_eq!(bench.number("SELECT COUNT(*) FROM orders"), "1400");
}

/// E8: only a record that is named as bad may be skipped, and it leaves a row in the errors table.
#[test]
fn e08_a_bad_record_stops_or_is_written_down() {
    let Some(bench) = Bench::new("e08_a_bad_record_stops_or_is_written_down") else { return };
    let mut plan =
        bench.plan(&json!({ "test.splits": 1, "test.rows": 500, "test.error.every": 250 }));
    let error = bench.run(&plan).0.unwrap_err();
    assert!(error.to_string().contains(r#"{"row":249}"#), "{error}");
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM orders"),
        "249",
        "everything before it is loaded"
    );
    plan.on_error = OnError::Skip;
    let summary = bench.run(&plan).0.unwrap();
    assert_eq!((summary.rows, summary.errors), (249, 2));
    assert_eq!(bench.number("SELECT COUNT(*) FROM orders"), "498");
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM PIPELINES_ERRORS WHERE ERROR_CODE = 'DECODE_FAILED'"),
        "2"
    );
}

#[test]
fn children_follow_their_parent() {
    let Some(bench) = Bench::new("children_follow_their_parent") else { return };
    let config =
        json!({ "test.splits": 2, "test.rows": 300, "test.split.at": 150, "test.close": true });
    let (result, notes) = bench.run(&bench.plan(&config));
    let summary = result.unwrap_or_else(|error| panic!("{error}\n{notes}"));
    assert_eq!(summary.rows, 150 + 300 + 2 * 300, "{notes}");
    assert_eq!(bench.number("SELECT COUNT(DISTINCT id) FROM orders"), "1050");
}

#[test]
fn two_leaves_share_the_splits() {
    let Some(bench) = Bench::new("two_leaves_share_the_splits") else { return };
    let mut plan = bench.plan(&json!({ "test.splits": 4, "test.rows": 100 }));
    for leaf in 0..2 {
        plan.share = Share { leaves: 2, leaf: Some(leaf), tasks: 1 };
        assert_eq!(bench.run(&plan).0.unwrap().rows, 200);
    }
    assert_eq!(bench.number("SELECT COUNT(DISTINCT id) FROM orders"), "400");
}

/// E13: another count of leaves is refused until it is changed on purpose.
#[test]
fn e13_another_count_of_leaves_is_refused() {
    let Some(bench) = Bench::new("e13_another_count_of_leaves_is_refused") else { return };
    let mut plan = bench.plan(&json!({ "test.rows": 10 }));
    plan.share = Share { leaves: 2, leaf: Some(0), tasks: 1 };
    bench.run(&plan).0.unwrap();
    plan.share.leaves = 3;
    let error = bench.run(&plan).0.unwrap_err();
    assert!(error.to_string().contains("leaves"), "{error}");
}

/// E5: the start is durable before anything is read: a run that dies before its first batch does
/// not resolve `latest` again.
#[test]
fn e05_the_start_is_durable_before_the_first_row() {
    let Some(bench) = Bench::new("e05_the_start_is_durable_before_the_first_row") else { return };
    let mut plan = bench.plan(
        &json!({ "test.rows": 100, "test.fail.at": 100, "test.fail.code": "PERMISSION_DENIED" }),
    );
    plan.start = Some(Points::all(Point::At(Start::Latest)));
    bench.run(&plan).0.unwrap_err();
    let mut plan = bench.plan(&json!({ "test.rows": 150 }));
    plan.start = Some(Points::all(Point::At(Start::Latest)));
    assert_eq!(bench.run(&plan).0.unwrap().rows, 50, "from the first pin, not from a new one");
}

#[test]
fn unknown_keys_are_named() {
    let Some(bench) = Bench::new("unknown_keys_are_named") else { return };
    let error = bench.run(&bench.plan(&json!({ "test.rowz": 10 }))).0.unwrap_err();
    assert!(matches!(error, RunError::Config(_)), "{error:?}");
    assert!(error.to_string().contains("test.rowz"), "{error}");
}

#[test]
fn garbage_on_stdout_is_shown() {
    let Some(mut bench) = Bench::new("garbage_on_stdout_is_shown") else { return };
    bench.extractor = ExtractorCommand {
        program: "/bin/echo".into(),
        args: vec!["hello from a shell".to_owned()],
    };
    let error = bench.run(&bench.plan(&json!({}))).0.unwrap_err();
    assert!(matches!(error, RunError::Protocol(_)), "{error:?}");
    assert!(error.to_string().contains("hello from a shell"), "{error}");
}

#[test]
fn an_extractor_that_is_killed_is_no_bug() {
    let Some(mut bench) = Bench::new("an_extractor_that_is_killed_is_no_bug") else { return };
    let script = "echo working >&2; kill -KILL $$";
    bench.extractor = ExtractorCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
    };
    let error = bench.run(&bench.plan(&json!({}))).0.unwrap_err();
    assert_eq!(Exit::from(&error), Exit::Transient);
    let text = error.to_string();
    assert!(
        text.contains("killed by signal 9 (SIGKILL)") && text.contains("memory ran out"),
        "{text}"
    );
}

#[test]
fn a_program_that_is_no_extractor_is_told_as_that() {
    let Some(mut bench) = Bench::new("a_program_that_is_no_extractor_is_told_as_that") else {
        return;
    };
    bench.extractor = ExtractorCommand { program: "/bin/true".into(), args: vec![] };
    let error = bench.run(&bench.plan(&json!({}))).0.unwrap_err();
    assert!(matches!(error, RunError::Protocol(_)), "{error:?}");
    assert!(error.to_string().contains("is /bin/true really an extractor?"), "{error}");
}

#[test]
fn a_dead_extractor_is_told_with_its_last_words() {
    let Some(mut bench) = Bench::new("a_dead_extractor_is_told_with_its_last_words") else {
        return;
    };
    let script = "echo out of luck >&2; exit 3";
    bench.extractor = ExtractorCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
    };
    let error = bench.run(&bench.plan(&json!({}))).0.unwrap_err().to_string();
    assert!(error.contains("exited with code 3") && error.contains("out of luck"), "{error}");
}

/// Rows of another shape would be taken for topic, id and record: they are refused before the first.
#[test]
fn rows_of_another_shape_are_refused() {
    let Some(mut bench) = Bench::new("rows_of_another_shape_are_refused") else { return };
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol").canonicalize().unwrap();
    let script = format!(
        "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {peer:?}); import peer.avro as a; \
         a.STATIC_SCHEMA = a.STATIC_SCHEMA.replace('topic', 'x').replace('id', 'topic').replace('x', 'id'); \
         from peer.serve import main; sys.exit(main([]))"
    );
    let path = bench.dir.path().join("other.py");
    std::fs::write(&path, script).unwrap();
    bench.extractor.args = vec![path.display().to_string()];
    let error = bench.run(&bench.plan(&json!({ "test.rows": 10 }))).0.unwrap_err();
    assert!(matches!(error, RunError::Protocol(_)), "{error:?}");
    assert!(error.to_string().contains("schema 1"), "{error}");
    assert_eq!(bench.number("SELECT COUNT(*) FROM orders"), "0");
}

/// The two children of a split make more splits than one ASSIGN may have.
#[test]
fn too_many_splits_for_one_task_say_to_raise_tasks_max() {
    let test = "too_many_splits_for_one_task_say_to_raise_tasks_max";
    let Some(bench) = Bench::new(test) else { return };
    let config = json!({ "test.splits": 4096, "test.rows": 1, "test.split.at": 1 });
    let mut plan = bench.plan(&config);
    plan.share.tasks = 1;
    let error = bench.run(&plan).0.unwrap_err();
    assert_eq!(Exit::from(&error), Exit::Config, "{error}");
    assert!(error.to_string().contains("has 4097 splits"), "{error}");
    assert!(error.to_string().contains("raise tasks.max"), "{error}");
    plan.share.tasks = 2;
    assert!(bench.run(&plan).0.unwrap().caught_up, "what the error advises helps");
}

fn gen_key(name: &str) -> OffsetKey {
    OffsetKey::from_json(&json!({ "gen": name })).unwrap()
}

/// What a bounded run reads of two splits, each with 100 rows at first.
fn bounded(bench: &Bench, rows: u64, end: Points) -> Plan {
    let mut plan = bench.plan(&json!({ "test.splits": 2, "test.rows": rows }));
    plan.until = Until::Stopped;
    plan.end = Some(end);
    plan.limits.rows = 10;
    plan
}

fn per_split(bench: &Bench) -> (String, String) {
    let count = |gen_name: &str| {
        bench.number(&format!("SELECT COUNT(*) FROM orders WHERE id LIKE '%{gen_name}%'"))
    };
    (count("p0"), count("p1"))
}

/// A bounded run ends at the end that was there when it began, and a restart has the same one.
#[test]
fn e05_a_bounded_run_keeps_its_ends_over_restarts() {
    let Some(bench) = Bench::new("e05_a_bounded_run_keeps_its_ends_over_restarts") else { return };
    let latest = Points::all(Point::At(Start::Latest));
    let mut first = bounded(&bench, 100, latest.clone());
    let config = json!({ "connector.class": "test", "test.splits": 2, "test.rows": 100,
        "test.fail.at": 40, "test.fail.code": "PERMISSION_DENIED" });
    first.source.config = config.as_object().unwrap().clone();
    bench.run(&first).0.unwrap_err();
    let (result, notes) = bench.run(&bounded(&bench, 150, latest.clone()));
    let summary = result.unwrap_or_else(|error| panic!("{error}\n{notes}"));
    assert!(summary.caught_up);
    assert_eq!(bench.number("SELECT COUNT(DISTINCT id) FROM orders"), "200");
    assert_eq!(bench.number("SELECT COUNT(*) FROM orders"), "200");
    // That run is complete: the next one ends where the source ends then.
    assert_eq!(bench.run(&bounded(&bench, 150, latest.clone())).0.unwrap().rows, 100);
    let (again, notes) = bench.run(&bounded(&bench, 150, latest));
    assert_eq!(again.unwrap().rows, 0);
    assert!(notes.contains("there is nothing to read"), "{notes}");
    // Another wish has other ends.
    let further = Points {
        named: [(gen_key("p0"), Point::Offset(170)), (gen_key("p1"), Point::Offset(151))].into(),
        others: None,
    };
    assert_eq!(bench.run(&bounded(&bench, 200, further.clone())).0.unwrap().rows, 21);
    assert_eq!(bench.run(&bounded(&bench, 200, further)).0.unwrap().rows, 0);
}

/// A split that the end does not name is not read; its start is pinned all the same.
#[test]
fn what_a_bounded_run_does_not_name_is_not_read() {
    let Some(bench) = Bench::new("what_a_bounded_run_does_not_name_is_not_read") else { return };
    let end = Points { named: [(gen_key("p1"), Point::Offset(33))].into(), others: None };
    assert_eq!(bench.run(&bounded(&bench, 100, end)).0.unwrap().rows, 33);
    assert_eq!(per_split(&bench), ("0".to_owned(), "33".to_owned()));
    let rest = bench.run(&bench.plan(&json!({ "test.splits": 2, "test.rows": 100 }))).0.unwrap();
    assert_eq!(rest.rows, 167);
}

/// Each split has its own start: a number, the last ones, a word; others begin at their beginning.
#[test]
fn splits_start_where_a_map_says() {
    let Some(bench) = Bench::new("splits_start_where_a_map_says") else { return };
    let mut plan = bench.plan(&json!({ "test.splits": 4, "test.rows": 100 }));
    plan.start = Some(Points {
        named: [
            (gen_key("p0"), Point::Offset(95)),
            (gen_key("p1"), Point::Last(7)),
            (gen_key("p2"), Point::Last(1000)),
            (gen_key("p3"), Point::At(Start::Latest)),
        ]
        .into(),
        others: Some(Point::At(Start::Earliest)),
    });
    assert_eq!(bench.run(&plan).0.unwrap().rows, 5 + 7 + 100);
    assert_eq!(per_split(&bench), ("5".to_owned(), "7".to_owned()));
}

#[test]
fn a_place_that_is_not_there_is_refused_before_anything_is_written() {
    let test = "a_place_that_is_not_there_is_refused_before_anything_is_written";
    let Some(bench) = Bench::new(test) else { return };
    let with =
        |key: &str, point| Some(Points { named: [(gen_key(key), point)].into(), others: None });
    let mut plan = bench.plan(&json!({ "test.splits": 2, "test.rows": 100 }));
    for (start, part) in [
        (with("p0", Point::Offset(101)), "has offsets from 0 to 100"),
        (with("p9", Point::Offset(0)), "start: the source has no split"),
    ] {
        plan.start = start;
        let error = bench.run(&plan).0.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(bench.number("SELECT COUNT(*) FROM s2x_offsets"), "0");
    }
    plan.start = None;
    plan.until = Until::Stopped;
    plan.end = with("p9", Point::Offset(5));
    let error = bench.run(&plan).0.unwrap_err();
    assert!(error.to_string().contains("end: the source has no split"), "{error}");
    assert_eq!(bench.number("SELECT COUNT(*) FROM s2x_ends"), "0");
    assert_eq!(bench.number("SELECT COUNT(*) FROM s2x_offsets"), "0");
}

/// A source whose offsets are numbers, and that does not say twice where splits begin: it fails to, or is silent.
const NUMBERED: &str = r#"
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, PEER)
from peer import serve, source
Failure, value, place, offset = source.Failure, source.Split.value, source.Split.place, source.Source.offset
source.Split.value = lambda self, row, closed=False: value(self, row, closed).replace('"row"', '"offset"')
source.Split.place = lambda self, text: place(self, text.replace('"offset"', '"row"'))
def numbered(self, start, key):
    told = offset(self, start, key)
    return {"key": told["key"], "value": {"offset": told["value"]["row"]}}
source.Source.offset = numbered
get_offsets, asked = serve.Extractor.get_offsets, []
def once(self, entry):
    asked.append(entry)
    if len(asked) == 2 and MODE == "fails":
        raise Failure("SOURCE_UNAVAILABLE", "the partition has no leader")
    if len(asked) == 2 and MODE == "is silent":
        self.wait(entry, 600)
        raise Failure("CANCELLED", "it was cancelled")
    return get_offsets(self, entry)
serve.Extractor.get_offsets = once
sys.exit(serve.main([]))
"#;

/// Where splits begin is for people: a source that cannot say it is read all the same.
#[test]
fn a_source_that_does_not_say_where_splits_begin_is_read() {
    let name = "a_source_that_does_not_say_where_splits_begin_is_read";
    let Some(mut bench) = Bench::new(name) else { return };
    let peer = PathBuf::from(&bench.extractor.args[0]);
    let folder = peer.parent().and_then(Path::parent).unwrap().display().to_string();
    for (mode, told) in [("tells", "2"), ("fails", "0"), ("is silent", "0")] {
        let script = bench.dir.path().join("numbered.py");
        let head = format!("PEER, MODE = {folder:?}, {mode:?}\n");
        std::fs::write(&script, head + NUMBERED).unwrap();
        bench.extractor.args = vec![script.display().to_string()];
        let mut plan = bench.plan(&json!({ "test.splits": 2, "test.rows": 150 }));
        plan.name = mode.to_owned();
        let (result, notes) = bench.run(&plan);
        let summary = result.unwrap_or_else(|error| panic!("{mode}: {error}\n{notes}"));
        assert_eq!((summary.rows, summary.retries), (300, 0), "{mode}: {notes}");
        let started = notes.matches("Started").count();
        assert_eq!(started, 2, "{mode}: an extractor was given up: {notes}");
        let sql = format!(
            "SELECT COUNT(*) FROM PIPELINES_CURSORS WHERE PIPELINE_NAME = '{mode}' AND EARLIEST_OFFSET = 0"
        );
        assert_eq!(bench.number(&sql), told, "{mode}");
    }
}
