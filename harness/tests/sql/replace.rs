//! kill -9 while a pipeline is replaced: there is the old one or the new one, whole, with its secrets.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Bench, COUNT, create, skipped};

/// A pipeline with a secret; `rows` tells one from another.
fn replacement(rows: u64) -> String {
    create("")
        .replace("CREATE INF", "CREATE OR REPLACE INF")
        .replace("\"test.rows\": 200", &format!("\"test.rows\": {rows}"))
        .replace("'{}'", &format!("'{{\"a\": \"canary-{rows}\"}}'"))
}

fn killed_while_replaced(bench: &Bench, test: &str, kills: u32) {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    let seed =
        seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 ^ fastrand::u64(..) >> 40);
    say(&format!("{test}: SEED={seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let began = Instant::now();
    let first = bench.script(&replacement(1000), &[]);
    assert_eq!(first.code, 0, "{}", first.err);
    let whole = began.elapsed();
    assert_eq!(bench.script("START PIPELINE p FOREGROUND LIMIT 1 BATCHES", &[]).code, 0);
    let mut replaced = 0;
    for round in 1..=kills {
        let script = replacement(1000 + u64::from(round));
        let path = bench.folder.path().join("replace.sql");
        std::fs::write(&path, script).unwrap();
        let args = ["sql", "-f", "replace.sql", "--extractor", &bench.peer];
        let mut command = bench.command(&args);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let most = u64::try_from(whole.as_millis()).unwrap() * 5 / 4;
        std::thread::sleep(Duration::from_millis(random.u64(0..most)));
        drop(run.kill());
        run.wait().unwrap();
        // The next opening tidies up.
        let shown = bench.ask("SHOW PIPELINES");
        assert_eq!(shown.len(), 1, "round {round}");
        let rows = bench.ask(
            "SELECT credentials, last_batch_id, (SELECT COUNT(*) FROM s2x_offsets o WHERE \
                              o.pipeline_id = p.pipeline_id) AS splits FROM s2x_pipelines p",
        );
        let definition: Value =
            serde_json::from_str(rows[0]["credentials"].as_str().unwrap()).unwrap();
        let named = definition["secrets_file"].as_str().unwrap();
        let there: Vec<String> =
            bench.secret_files().iter().map(|path| path.display().to_string()).collect();
        assert_eq!(there, [named], "round {round}");
        let secret = std::fs::read_to_string(named).unwrap();
        let of = definition["config"]["test.rows"].as_u64().unwrap();
        assert!(
            secret.contains(&format!("canary-{of}")),
            "round {round}: the secret of another one"
        );
        let is_first = of == 1000;
        assert_eq!(
            rows[0]["splits"] == 0,
            !is_first,
            "round {round}: offsets go with their pipeline"
        );
        replaced += u32::from(!is_first && of == 1000 + u64::from(round));
        let orphans = bench.number(
            "SELECT COUNT(*) AS n FROM s2x_offsets WHERE pipeline_id NOT IN \
                                    (SELECT pipeline_id FROM s2x_pipelines)",
        );
        assert_eq!(orphans, 0);
    }
    say(&format!("{test}: {kills} kills, {replaced} after the replacement was committed"));
    let all = bench.ask(&format!("START PIPELINE p FOREGROUND; {COUNT}"));
    assert!(all[0]["n"].as_u64() >= Some(3000), "{all:?}");
    assert_eq!(bench.script("DROP PIPELINE p", &[]).code, 0);
    assert!(bench.secret_files().is_empty());
}

/// Writes a line past the test runner.
fn say(line: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}

#[test]
fn killed_while_replaced_on_sqlite() {
    const NAME: &str = "killed_while_replaced_on_sqlite";
    let Some(bench) = Bench::new(NAME) else { return };
    killed_while_replaced(&bench, NAME, 25);
}

#[test]
fn killed_while_replaced_on_mariadb() {
    const NAME: &str = "killed_while_replaced_on_mariadb";
    let Some(mut bench) = Bench::new(NAME) else { return };
    let Ok(url) = std::env::var("MARIADB_URL") else {
        return skipped(NAME, "MARIADB_URL is not set");
    };
    let server = bench.on_server(&url);
    killed_while_replaced(&bench, NAME, 15);
    bench.leave_server(server);
}
