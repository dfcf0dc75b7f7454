//! Names that mean something to SQL, to JSON, to a shell or to a reference; and a search for planted secrets in
//! everything that a run leaves and shows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::{Bench, COUNT, ON, create, endless, skipped};

/// Names of pipelines, tables and topics.
const NAMES: [&str; 20] = [
    "o'clock",
    "say \"so\"",
    "back`tick",
    "x; DROP TABLE victim",
    "x'); DROP TABLE victim; --",
    "x\"); DROP TABLE victim; --",
    "x`; DROP TABLE victim; --",
    "-- comment",
    "/* comment */",
    "back\\slash",
    "trailing\\",
    "${env:HOME}",
    "{db}",
    "%s %n ?",
    "SELECT",
    "PIPELINE",
    // MariaDB's names have no characters beyond U+FFFF.
    "Ünïcödé ☃",
    "two\nlines",
    "tab\there",
    "information_schema.PIPELINES",
];

/// A name in backticks, as a statement has it.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as a string of a statement of ours.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn live_under(bench: &Bench, name: &str) {
    let pipeline = quoted(name);
    let config = serde_json::json!({
        "connector.class": "test", "test.splits": 2, "test.rows": 5, "tasks.max": 1, "test.topic": name,
    });
    let topic_is_plain = !name.contains("${");
    let config = literal(&config.to_string());
    let script = format!(
        "{ON} CREATE INFERRED PIPELINE {pipeline} AS LOAD DATA KAFKACONNECT {} CONFIG {config} FORMAT AVRO;
         START PIPELINE {pipeline} FOREGROUND; STOP PIPELINE IF RUNNING {pipeline};
         ALTER PIPELINE {pipeline} SET BATCH_INTERVAL 50; DETACH PIPELINE {pipeline}",
        literal(name)
    );
    let done = bench.script(&script, &[]);
    assert_eq!(done.code, 0, "{name:?}: {}", done.err);
    let shown = bench.ask(&format!("SHOW PIPELINES; SHOW CREATE PIPELINE {pipeline}"));
    let column = shown[0].as_object().unwrap().keys().find(|key| *key != "State").unwrap();
    assert_eq!((&shown[0][column], &shown[0]["State"]), (&name.into(), &"Detached".into()));
    let create = shown[1]["Create Pipeline"].as_str().unwrap();
    assert!(create.starts_with(&format!("CREATE INFERRED PIPELINE {pipeline}\n")), "{create}");
    // What is shown is a statement that makes the same pipeline again.
    let again = create.replacen("CREATE ", "CREATE OR REPLACE ", 1);
    assert_eq!(bench.script(&again, &[]).code, 0, "{again}");
    let sqlite = bench.store.starts_with("sqlite:");
    let table =
        if sqlite { format!("\"{}\"", name.replace('"', "\"\"")) } else { pipeline.clone() };
    let rows = bench.ask(&format!(
        "SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids, COUNT(DISTINCT topic) AS topics, MAX(topic) AS topic \
         FROM {table}"
    ));
    assert_eq!(
        (&rows[0]["n"], &rows[0]["ids"], &rows[0]["topics"]),
        (&10.into(), &10.into(), &1.into())
    );
    if topic_is_plain {
        assert_eq!(rows[0]["topic"], name);
    }
    let text = match sqlite {
        true => format!("'{}'", name.replace('\'', "''")),
        false => literal(name),
    };
    let views = bench.ask(&format!(
        "SELECT COUNT(*) AS n FROM information_schema.PIPELINES WHERE PIPELINE_NAME = {text};
         SELECT COUNT(*) AS n FROM information_schema.PIPELINES_CURSORS WHERE PIPELINE_NAME = {text}"
    ));
    assert_eq!((&views[0]["n"], &views[1]["n"]), (&1.into(), &0.into()));
    let end = format!(
        "DROP PIPELINE {pipeline}; DROP TABLE {table}; SELECT x FROM victim; SHOW PIPELINES"
    );
    let left = bench.ask(&end);
    assert_eq!(left, [serde_json::json!({"x": 7})], "{name:?}");
}

fn live_under_all(bench: &Bench) {
    assert_eq!(bench.script(ON, &[]).code, 0);
    assert_eq!(
        bench.script("CREATE TABLE victim (x INT); INSERT INTO victim VALUES (7)", &[]).code,
        0
    );
    for name in NAMES {
        live_under(bench, name);
    }
    let own = create("").replace("PIPELINE p", "PIPELINE s2x_pipelines");
    bench.script(&own, &[]).fails(78, "s2x_pipelines belongs to the catalogue");
}

#[test]
fn hostile_names_never_reach_sql_unquoted_on_sqlite() {
    let Some(bench) = Bench::new("hostile_names_never_reach_sql_unquoted_on_sqlite") else {
        return;
    };
    live_under_all(&bench);
}

#[test]
fn hostile_names_never_reach_sql_unquoted_on_mariadb() {
    const NAME: &str = "hostile_names_never_reach_sql_unquoted_on_mariadb";
    let Some(mut bench) = Bench::new(NAME) else { return };
    let Ok(url) = std::env::var("MARIADB_URL") else {
        return skipped(NAME, "MARIADB_URL is not set");
    };
    let server = bench.on_server(&url);
    live_under_all(&bench);
    bench.leave_server(server);
}

/// This process and its children, by `/proc`.
fn family(pid: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all: Vec<u32> = Path::new("/proc")
        .read_dir()
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let mut family = BTreeSet::from([pid]);
    loop {
        let before = family.len();
        family.extend(
            all.iter()
                .filter(|it| parent(**it).is_some_and(|it| family.contains(&it)))
                .copied()
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            return family.into_iter().collect();
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// E12: of secrets in CONFIG and CREDENTIALS there is no trace in what is shown, what is stored, and what other
/// users of the machine see of the processes; they are in the file of their owner alone.
#[test]
fn e12_planted_secrets_are_found_nowhere_but_in_the_file_of_their_owner() {
    const NAME: &str = "e12_planted_secrets_are_found_nowhere_but_in_the_file_of_their_owner";
    let Some(bench) = Bench::new(NAME) else { return };
    let canaries = ["canary-5b0f19d2-c", "canary-77e1a04c-d"];
    let script = endless()
        .replace("'{}'", &format!("'{{\"test.password\": \"{}\"}}'", canaries[0]))
        .replace(
            "\"tasks.max\": 2",
            &format!("\"tasks.max\": 2, \"test.seed\": 3, \"note\": \"{}\"", canaries[0]),
        );
    // A key that the source does not know, with a credential in it: refused without being shown.
    let refused = bench.script(&script, &[]);
    refused.fails(78, "unknown key \"note\"");
    let script = script.replace(&format!(", \"note\": \"{}\"", canaries[0]), "");
    let made = bench.script(&script, &[]);
    assert_eq!(made.code, 0, "{}", made.err);
    let altered =
        bench.script(&format!("ALTER PIPELINE p SET CREDENTIALS ::more = '{}'", canaries[1]), &[]);
    assert_eq!(altered.code, 0, "{}", altered.err);
    std::fs::remove_file(bench.folder.path().join("x.sql")).unwrap();

    let (out, err) = (bench.folder.path().join("out"), bench.folder.path().join("err"));
    let args = ["sql", "-e", "START PIPELINE p", "--extractor", &bench.peer];
    let mut command = bench.command(&args);
    let file = |path: &Path| Stdio::from(std::fs::File::create(path).unwrap());
    let run = crate::Running(command.stdout(file(&out)).stderr(file(&err)).spawn().unwrap());
    bench.wait_until("rows", || bench.number(COUNT) > 0);
    let mut seen = 0;
    for pid in family(run.0.id()) {
        for what in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
            seen += usize::from(!bytes.is_empty());
            let text = String::from_utf8_lossy(&bytes);
            assert!(!canaries.iter().any(|it| text.contains(it)), "{pid} {what}");
        }
    }
    assert!(seen >= 4, "the harness and its extractors were looked at");
    let shown = bench.script(
        "SHOW PIPELINES; SHOW CREATE PIPELINE p; SHOW VARIABLES; SELECT * FROM information_schema.PIPELINES;
         SELECT * FROM information_schema.PIPELINES_CURSORS; SELECT * FROM s2x_pipelines; SELECT * FROM s2x_secret_files;
         STOP PIPELINE p",
        &[],
    );
    assert_eq!(shown.code, 0, "{}", shown.err);
    let status = bench.harness(&["status", "--json"]);
    for text in [&refused, &made, &altered, &shown, &status] {
        assert!(
            !text.out.contains("canary") && !text.err.contains("canary"),
            "{} {}",
            text.out,
            text.err
        );
    }
    bench.wait_until("the end", || bench.state() == "Stopped");
    drop(run);
    std::fs::remove_file(bench.folder.path().join("x.sql")).unwrap();
    let secrets = bench.secret_files();
    let mut found = Vec::new();
    for path in files_below(bench.folder.path()) {
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(6).any(|window| window == b"canary") {
            found.push(path);
        }
    }
    assert_eq!(found, secrets, "only the file of secrets has them");
    assert_eq!(secrets.len(), 1);
}
