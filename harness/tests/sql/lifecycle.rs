//! Detach, alter, retry, flush, leaves, and how much history is kept.

use std::process::Stdio;
use std::time::Instant;

use crate::{Bench, COUNT, PATIENCE, Running, create, endless};

/// Starts the pipeline in a process of its own that goes on.
fn start(bench: &Bench) -> Running {
    let args = ["sql", "-e", "START PIPELINE p", "--extractor", &bench.peer];
    let mut command = bench.command(&args);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn ended(run: &mut Running) -> Option<i32> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = run.0.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    None
}

#[test]
fn a_detached_pipeline_keeps_its_offsets_and_lets_its_table_be_altered() {
    const NAME: &str = "a_detached_pipeline_keeps_its_offsets_and_lets_its_table_be_altered";
    let Some(bench) = Bench::new(NAME) else { return };
    assert_eq!(bench.script(&create(""), &[]).code, 0);
    bench.script("STOP PIPELINE p DETACH", &[]).fails(78, "p is not running, its state is Stopped");
    assert_eq!(bench.script("START PIPELINE p FOREGROUND LIMIT 2 BATCHES", &[]).code, 0);
    let told = bench.script("DETACH PIPELINE p; DETACH PIPELINE IF EXISTS q", &[]);
    assert!(told.out.contains("START PIPELINE p goes on from its offsets"), "{}", told.out);
    assert!(told.out.contains("there is no pipeline q"), "{}", told.out);
    assert_eq!(bench.state(), "Detached");
    bench.script("DETACH PIPELINE q", &[]).fails(78, "no pipeline q");
    assert_eq!(bench.script("ALTER TABLE p ADD COLUMN n INT", &[]).code, 0);
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}; SHOW PIPELINES"));
    assert_eq!((&all[0]["n"], &all[0]["ids"]), (&600.into(), &600.into()));
    assert_eq!(all[1]["State"], "Stopped");
}

#[test]
fn detaching_from_elsewhere_ends_the_run_and_stays_detached() {
    const NAME: &str = "detaching_from_elsewhere_ends_the_run_and_stays_detached";
    let Some(bench) = Bench::new(NAME) else { return };
    assert_eq!(bench.script(&endless(), &[]).code, 0);
    let mut run = start(&bench);
    bench.wait_until("rows", || bench.number(COUNT) > 0);
    let told = bench.script("STOP PIPELINE p DETACH", &[]);
    assert!(told.out.contains("p is detached; a process that runs it ends"), "{}", told.out);
    assert_eq!(ended(&mut run), Some(0));
    assert_eq!(bench.state(), "Detached", "the end of the run does not say otherwise");
    let counts = &bench.ask(COUNT)[0];
    assert_eq!(counts["n"], counts["ids"], "each row once");
}

#[test]
fn config_and_clauses_are_altered_and_checked() {
    let Some(bench) = Bench::new("config_and_clauses_are_altered_and_checked") else { return };
    assert_eq!(bench.script(&create(""), &[]).code, 0);
    let shown = || bench.ask("SHOW CREATE PIPELINE p")[0]["Create Pipeline"].to_string();
    let before = shown();
    let refused = |change: &str, why: &str| {
        bench.script(&format!("ALTER PIPELINE p SET {change}"), &[]).fails(78, why);
        assert_eq!(shown(), before, "{change}");
    };
    refused("CONFIG ::test.rowz = '3'", "unknown key \"test.rowz\"");
    refused("CONFIG ::connector.class = 'kafka'", "connector.class cannot be altered");
    refused("CONFIG '{\"connector.class\": \"test\"'", "not valid JSON");
    refused("CONFIG ::tasks.max = 'many'", "tasks.max: expected a whole number");
    assert_eq!(bench.script("START PIPELINE p FOREGROUND", &[]).code, 0);
    let altered = bench.script(
        "ALTER PIPELINE p SET CONFIG ::test.rows = '300' SET BATCH_INTERVAL 70 STOP_ON_ERROR OFF \
         SET RETRY_OPTIONS '{\"max_retries\": 3}'",
        &[],
    );
    assert!(
        altered.out.contains("holds from its next start on"),
        "{} {}",
        altered.out,
        altered.err
    );
    let text = shown();
    for part in
        ["BATCH_INTERVAL 70", "STOP_ON_ERROR OFF", "RETRY_OPTIONS '{\\\"max_retries\\\":3}'"]
    {
        assert!(text.contains(part), "{text}");
    }
    let none = bench.script("ALTER PIPELINE p STOP_ON_ERROR NONE; SHOW CREATE PIPELINE p", &[]);
    assert!(none.code == 0 && !none.out.contains("STOP_ON_ERROR"), "{}", none.out);
    let same = bench.script("ALTER PIPELINE p ENABLE OUT_OF_ORDER OPTIMIZATION", &[]);
    assert!(same.out.contains("stays as it is"), "{}", same.out);
    // Nothing comes again, and what is new comes.
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}"));
    assert_eq!((&all[0]["n"], &all[0]["ids"]), (&900.into(), &900.into()));
    // All of CONFIG at once.
    let whole = bench.script(
        "ALTER PIPELINE p SET CONFIG '{\"connector.class\": \"test\", \"test.splits\": 3, \"test.rows\": 310}'",
        &[],
    );
    assert_eq!(whole.code, 0, "{}", whole.err);
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}"));
    assert_eq!((&all[0]["n"], &all[0]["ids"]), (&930.into(), &930.into()));
}

/// E12: what was kept stays in a file, the old file goes, and nothing is shown.
#[test]
fn e12_credentials_are_altered_without_being_shown() {
    let Some(bench) = Bench::new("e12_credentials_are_altered_without_being_shown") else { return };
    let (old, new, other) = ("canary-old-19f0", "canary-new-77ab", "canary-other-3c");
    let script = create("").replace("'{}'", &format!("'{{\"a\": \"{other}\", \"b\": \"{old}\"}}'"));
    assert_eq!(bench.script(&script, &[]).code, 0);
    let first = bench.secret_files();
    assert_eq!(first.len(), 1);
    let alter = format!("ALTER PIPELINE p SET CREDENTIALS ::b = '{new}'");
    let done =
        bench.script(&format!("{alter}; SHOW CREATE PIPELINE p; SELECT * FROM s2x_pipelines"), &[]);
    assert_eq!(done.code, 0, "{}", done.err);
    let second = bench.secret_files();
    assert!(second.len() == 1 && second != first, "{second:?}");
    let kept = std::fs::read_to_string(&second[0]).unwrap();
    assert!(kept.contains(new) && kept.contains(other) && !kept.contains(old), "{kept}");
    assert!(
        !done.out.contains("canary") && !done.err.contains("canary"),
        "{} {}",
        done.out,
        done.err
    );
    // One that is refused leaves neither a file nor a change behind.
    bench
        .script(
            &format!("ALTER PIPELINE p SET CREDENTIALS ::b = '{old}' SET CONFIG ::x = 'y'"),
            &[],
        )
        .fails(78, "unknown key \"x\"");
    assert_eq!(bench.secret_files(), second);
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}"));
    assert_eq!(all[0]["n"], 600);
}

/// A source that is away is waited for; with RETRY_OPTIONS it counts, and the pauses are those that were said.
#[test]
fn retry_options_say_how_often_and_how_long() {
    let Some(bench) = Bench::new("retry_options_say_how_often_and_how_long") else { return };
    let away = ", \"test.fail.at\": 60, \"test.fail.code\": \"SOURCE_UNAVAILABLE\"";
    let options = "RETRY_OPTIONS '{\"exponential\": true, \"retry_interval\": 40, \"max_retry_interval\": 60, \
                   \"max_retries\": 3}' FORMAT AVRO";
    let script = create(away)
        .replace("FORMAT AVRO", options)
        .replace("\"tasks.max\": 2", "\"tasks.max\": 1");
    assert_eq!(bench.script(&script, &[]).code, 0);
    let failed = bench.script("START PIPELINE p FOREGROUND", &["--json"]);
    failed.fails(75, "(4 times in a row)");
    assert!(failed.err.contains("trying again in 40 ms"), "{}", failed.err);
    assert_eq!(bench.state(), "Error");
    // A bad record: SKIP PARSER ERRORS puts it into the errors table although STOP_ON_ERROR is ON.
    let bad = create(", \"test.error.every\": 100")
        .replace("FORMAT AVRO", "STOP_ON_ERROR ON SKIP PARSER ERRORS FORMAT AVRO")
        .replace("CREATE INF", "CREATE OR REPLACE INF");
    assert_eq!(bench.script(&bad, &[]).code, 0);
    assert_eq!(bench.script("START PIPELINE p FOREGROUND", &[]).code, 0);
    let errors = "SELECT COUNT(*) AS n FROM information_schema.PIPELINES_ERRORS";
    assert_eq!(bench.number(errors), 6);
    let cleared = bench.script("CLEAR PIPELINE ERRORS", &[]);
    assert!(cleared.out.contains("6 errors cleared"), "{}", cleared.out);
    assert_eq!(bench.number(errors), 0);
    assert_eq!(bench.script("START FAILED PIPELINES", &[]).out, "no pipeline to start\n");
    assert_eq!(bench.script("STOP ALL PIPELINES", &[]).out, "no pipeline was running\n");
}

#[test]
fn flushed_extractors_are_replaced_and_nothing_is_lost() {
    let Some(bench) = Bench::new("flushed_extractors_are_replaced_and_nothing_is_lost") else {
        return;
    };
    assert_eq!(bench.script("SET GLOBAL pipelines_stop_on_error = ON", &[]).code, 0);
    let none = bench.script("FLUSH EXTRACTOR POOLS", &[]);
    assert!(none.out.contains("0 extractors have ended"), "{} {}", none.out, none.err);
    // Each test.stall holds a split for a moment, so that there is something to flush.
    let slow = create(", \"test.throttle.ms\": 20");
    let script = format!(
        "{slow} START PIPELINE p; FLUSH EXTRACTOR POOLS; TEST PIPELINE p; FLUSH NODE EXTRACTOR POOLS"
    );
    let done = bench.script(&script, &["--until-caught-up"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let flushed: u64 = done
        .out
        .lines()
        .filter(|line| line.contains(" ended; pipelines that run"))
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum();
    assert!((1..=4).contains(&flushed), "{}", done.out);
    let counts = &bench.ask(COUNT)[0];
    assert_eq!((&counts["n"], &counts["ids"]), (&600.into(), &600.into()));
}

#[test]
fn leaves_of_a_sql_pipeline_share_its_splits() {
    let Some(bench) = Bench::new("leaves_of_a_sql_pipeline_share_its_splits") else { return };
    let three = create("").replace("\"test.splits\": 3", "\"test.splits\": 6");
    assert_eq!(bench.script(&three, &["--leaves", "3"]).code, 0);
    // START runs as many as the catalogue says.
    assert_eq!(bench.script("START PIPELINE p FOREGROUND LIMIT 6 BATCHES", &[]).code, 0);
    bench.script("START PIPELINE p", &["--leaf", "0/2"]).fails(78, "is shared by 3 leaves");
    let doctor = bench.harness(&["doctor", "p", "--extractor", &bench.peer]);
    assert_eq!(doctor.code, 0, "it counts as the catalogue does: {} {}", doctor.out, doctor.err);
    let leaf = |n: &str| {
        let args = [
            "sql",
            "--until-caught-up",
            "--leaf",
            n,
            "-e",
            "START PIPELINE p",
            "--extractor",
            &bench.peer,
        ];
        let mut command = bench.command(&args);
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let mut runs = ["0/3", "1/3", "2/3"].map(leaf);
    for run in &mut runs {
        assert_eq!(ended(run), Some(0));
    }
    assert_eq!(bench.state(), "Running", "which leaves there are is not one leaf's to say");
    assert_eq!(bench.script("STOP PIPELINE p", &[]).code, 0);
    let counts = &bench.ask(COUNT)[0];
    assert_eq!((&counts["n"], &counts["ids"]), (&1200.into(), &1200.into()));
    let sql = "SELECT COUNT(DISTINCT \"PARTITION\") AS n FROM information_schema.PIPELINES_BATCHES";
    assert_eq!(bench.number(sql), 3);
}

/// The variable bounds the batches and the history of offsets; where every split stands is always there.
#[test]
fn history_is_kept_as_long_as_the_variable_says() {
    let Some(bench) = Bench::new("history_is_kept_as_long_as_the_variable_says") else { return };
    const KEPT: u64 = 20;
    // Pruning is done at every 64th batch of a pipeline, and revision of a split.
    const SLACK: u64 = 64;
    let script =
        create("").replace("\"batch.rows\": 50", "\"batch.rows\": 1").replace("200", "150");
    let set = format!("SET GLOBAL pipelines_batches_metadata_to_keep = {KEPT};");
    let done = bench.script(&format!("{set} {script} START PIPELINE p FOREGROUND"), &[]);
    assert_eq!(done.code, 0, "{}", done.err);
    let count =
        |view: &str| bench.number(&format!("SELECT COUNT(*) AS n FROM information_schema.{view}"));
    assert_eq!(bench.number(COUNT), 450);
    let (batches, history) =
        (count("PIPELINES_BATCHES_SUMMARY"), count("PIPELINES_SOURCE_OFFSETS_HISTORY"));
    assert!((KEPT..=KEPT + SLACK).contains(&batches), "{batches}");
    assert!((KEPT..=KEPT + 3 * SLACK).contains(&history), "{history}");
    let heads =
        bench.ask("SELECT \"KEY\", \"VALUE\" FROM information_schema.PIPELINES_SOURCE_OFFSETS");
    assert_eq!(heads.len(), 3);
    assert!(heads.iter().all(|row| row["VALUE"] == "{\"row\":150}"), "{heads:?}");
}
