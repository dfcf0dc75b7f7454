//! Kafka to a table by `harness run`, beside the best bulk load of the same rows without Kafka, pipe
//! or offsets.
//!
//! May touch: a broker, a database, the harness, `bare_load`, `mariadb`. Invariants: every run starts
//! with an empty table and must load every row; what it made is dropped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::gate::Gate;
use super::records::Records;
use super::report::{Figure, Report};
use super::{Plan, median};

const NAME: &str = "bench_load";

/// What runs share.
struct Bed<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    pipeline: PathBuf,
    rows: PathBuf,
    count: u32,
}

/// SQLite, then MariaDB.
pub(super) fn all(
    plan: &Plan,
    folder: &Path,
    kafka: &str,
    database: &str,
    report: &mut Report,
    say: fn(&str),
) -> Result<()> {
    let count = if plan.is_quick { 60_000 } else { 400_000 };
    let records = Records { topic: "bench-load", count, bytes: 100 };
    say(&format!("load: producing {count} records of 100 B"));
    records.produce(kafka)?;
    let bed = Bed {
        plan,
        folder,
        pipeline: folder.join("pipeline.json"),
        rows: folder.join("rows.tsv"),
        count,
    };
    records.write_rows(&bed.rows)?;
    let pipeline = json!({"name": NAME, "config": {
        "connector.class": "kafka", "bootstrap.servers": kafka, "topics": records.topic,
    }});
    std::fs::write(&bed.pipeline, pipeline.to_string()).context("write the pipeline file")?;
    let sqlite = bed.alternate(Bed::sqlite, Bed::bare_sqlite)?;
    add(report, "SQLite", "a bare loop of prepared inserts", sqlite);
    let (ours, bare) =
        bed.alternate(|bed| bed.mariadb(database), |bed| bed.bare_mariadb(database))?;
    let (_, file) = bed.alternate(|_| Ok(0.0), |bed| bed.load_data(database))?;
    let best = if file > bare {
        ("LOAD DATA LOCAL INFILE", file)
    } else {
        ("a bare loop of prepared inserts of 1000 rows", bare)
    };
    add(report, "MariaDB", best.0, (ours, best.1));
    records.remove(kafka)
}

fn add(report: &mut Report, store: &str, other: &str, (ours, bare): (f64, f64)) {
    let name = format!("Kafka into {store} by harness run, 100 B JSON");
    let gate = Gate::at_least(0.9, "×").when_quiet();
    report.add(Figure::new(&name, ours, "rows/s").beside(other, bare).gate(gate));
}

impl Bed<'_> {
    /// Rows per second of the two ways, which take turns.
    fn alternate(
        &self,
        ours: impl Fn(&Self) -> Result<f64>,
        bare: impl Fn(&Self) -> Result<f64>,
    ) -> Result<(f64, f64)> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for _ in 0..self.plan.rounds() {
            left.push(ours(self)?);
            right.push(bare(self)?);
        }
        Ok((median(&mut left), median(&mut right)))
    }

    fn sqlite(&self) -> Result<f64> {
        let path = self.fresh_file("ours.db")?;
        self.run(&format!("sqlite:{path}"))
    }

    fn mariadb(&self, url: &str) -> Result<f64> {
        let speed = self.run(url)?;
        output(self.harness().args(["drop", NAME, "--store", url]))?;
        client(url)?.execute(&format!("DROP TABLE {NAME}"))?;
        Ok(speed)
    }

    /// A whole run from an empty store to the end of the topic, by the harness's own clock.
    fn run(&self, store: &str) -> Result<f64> {
        let mut run = self.harness();
        run.arg("run").arg(&self.pipeline).args(["--store", store, "--until-caught-up", "--json"]);
        run.arg("--extractor").arg(&self.plan.extractor);
        let text = output(&mut run)?;
        let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let summary = events.find(|event| event.get("event") == Some(&json!("summary")));
        let summary = summary.context("harness run printed no summary")?;
        let number = |key: &str| {
            let number = summary.get(key).and_then(Value::as_u64);
            let number = number.and_then(|number| u32::try_from(number).ok());
            number.with_context(|| format!("the summary has no {key}: {summary}"))
        };
        if number("rows")? != self.count {
            bail!("{} rows were loaded instead of {}", number("rows")?, self.count);
        }
        Ok(f64::from(self.count) * 1e3 / f64::from(number("elapsed_ms")?.max(1)))
    }

    fn bare_sqlite(&self) -> Result<f64> {
        let path = self.fresh_file("bare.db")?;
        let ddl = output(self.harness().args(["ddl", "--dialect", "sqlite", NAME]))?;
        self.bare(&path, &[&ddl])
    }

    fn bare_mariadb(&self, url: &str) -> Result<f64> {
        let ddl = output(self.harness().args(["ddl", "--dialect", "mariadb", NAME]))?;
        let client = client(url)?;
        client.execute(&ddl)?;
        let speed = self.bare(url, &[]);
        client.execute(&format!("DROP TABLE {NAME}"))?;
        speed
    }

    /// Rows per second of the loop alone, by its own clock.
    fn bare(&self, store: &str, ddl: &[&str]) -> Result<f64> {
        let program = self.plan.harness.with_file_name("bare_load");
        let mut load = Command::new(&program);
        load.args([store, NAME]).arg(&self.rows).args(ddl).stdin(Stdio::null());
        let what = || format!("{}: run ./scripts/bench, which builds it", program.display());
        let done = load.output().with_context(what)?;
        let text = String::from_utf8_lossy(&done.stderr);
        if !done.status.success() {
            bail!("bare_load ended with {}: {}", done.status, text.trim());
        }
        let told: Value = serde_json::from_str(text.trim()).context("read bare_load")?;
        let seconds = told.get("seconds").and_then(Value::as_f64).context("no seconds told")?;
        Ok(f64::from(self.count) / seconds)
    }

    fn load_data(&self, url: &str) -> Result<f64> {
        let ddl = output(self.harness().args(["ddl", "--dialect", "mariadb", NAME]))?;
        let client = client(url)?;
        client.execute(&ddl)?;
        let rows = self.rows.to_str().context("the path of the rows is not UTF-8")?;
        let begun = Instant::now();
        client.execute(&format!(
            "LOAD DATA LOCAL INFILE '{rows}' INTO TABLE {NAME} FIELDS ESCAPED BY ''"
        ))?;
        let seconds = begun.elapsed().as_secs_f64();
        client.execute(&format!("DROP TABLE {NAME}"))?;
        Ok(f64::from(self.count) / seconds)
    }

    fn harness(&self) -> Command {
        Command::new(&self.plan.harness)
    }

    /// The path of a database file that is not there, with its companions gone as well.
    fn fresh_file(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        let path = path.to_str().context("the path of the store is not UTF-8")?;
        for end in ["", "-wal", "-shm"] {
            std::fs::remove_file(format!("{path}{end}")).ok();
        }
        Ok(path.to_owned())
    }
}

/// MariaDB's own command-line client.
struct Client {
    arguments: Vec<String>,
    password: String,
}

/// For `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE`.
fn client(url: &str) -> Result<Client> {
    let parse = || {
        let (user, place) = url.strip_prefix("mysql://")?.split_once('@')?;
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let (address, database) = place.split_once('/')?;
        let (host, port) = address.split_once(':').unwrap_or((address, "3306"));
        let fixed = ["--no-defaults", "--protocol=tcp", "--local-infile=1"].map(str::to_owned);
        let given = [format!("-u{user}"), format!("-h{host}"), format!("-P{port}")];
        let arguments = fixed.into_iter().chain(given).chain([database.to_owned()]).collect();
        Some(Client { arguments, password: password.to_owned() })
    };
    parse().context("the database's address is not mysql://USER@HOST:PORT/DATABASE")
}

impl Client {
    fn execute(&self, statement: &str) -> Result<()> {
        let mut mariadb = Command::new("mariadb");
        mariadb.args(&self.arguments).args(["-e", statement]).env("MYSQL_PWD", &self.password);
        output(&mut mariadb).map(drop)
    }
}

/// What a program prints; one that fails is an error with its last words.
fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {name}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = text.lines().next_back().unwrap_or("it said nothing");
        bail!("{name} ended with {}: {last}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("read the output of {name}"))
}
