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
use super::process::wait_and_read;
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

/// A way to load all rows once.
type Way<'a> = &'a dyn Fn(&Bed<'_>) -> Result<Cost>;

/// Rows of a run, and of one for a look.
///
/// Why: starting takes the harness about a quarter of a second, and it is loading that is measured.
const ROWS: u32 = 1_200_000;
const ROWS_QUICK: u32 = 60_000;

/// What loading took: of one run, or the median of several.
#[derive(Debug, Clone, Copy)]
struct Cost {
    rows_per_second: f64,
    /// Processor time of the loading process alone, microseconds per row.
    cpu: f64,
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
    let count = if plan.is_quick { ROWS_QUICK } else { ROWS };
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
        // The last batch ends when the last record is in it, and not after its interval.
        "end": "latest",
    }});
    std::fs::write(&bed.pipeline, pipeline.to_string()).context("write the pipeline file")?;
    let [ours, bare] = bed.alternate([&|bed| bed.sqlite(), &|bed| bed.bare_sqlite()])?;
    add(report, "SQLite", "a bare loop of prepared inserts", (ours, bare));
    let [ours, bare, file] =
        bed.alternate([&|bed| bed.mariadb(database), &|bed| bed.bare_mariadb(database), &|bed| {
            bed.load_data(database)
        }])?;
    let best = if file.rows_per_second > bare.rows_per_second {
        ("LOAD DATA LOCAL INFILE", file)
    } else {
        ("a bare loop of prepared inserts of 1000 rows", bare)
    };
    add(report, "MariaDB", best.0, (ours, best.1));
    records.remove(kafka)
}

fn add(report: &mut Report, store: &str, other: &str, (ours, bare): (Cost, Cost)) {
    let name = format!("Kafka into {store} by harness run, 100 B JSON");
    let gate = Gate::at_least(0.9, "×").when_quiet();
    let speed = Figure::new(&name, ours.rows_per_second, "rows/s");
    report.add(speed.beside(other, bare.rows_per_second).gate(gate));
    let name = format!("The harness's own processor time into {store}");
    report.add(Figure::new(&name, ours.cpu, "µs/row").beside(other, bare.cpu));
}

impl Bed<'_> {
    /// The medians of each way; they take turns.
    fn alternate<const WAYS: usize>(&self, ways: [Way<'_>; WAYS]) -> Result<[Cost; WAYS]> {
        let mut costs = ways.map(|way| (way, Vec::new()));
        for _ in 0..self.plan.rounds() {
            for (way, costs) in &mut costs {
                costs.push(way(self)?);
            }
        }
        Ok(costs.map(|(_, costs)| middle(&costs)))
    }

    fn sqlite(&self) -> Result<Cost> {
        let path = self.fresh_file("ours.db")?;
        self.run(&format!("sqlite:{path}"))
    }

    fn mariadb(&self, url: &str) -> Result<Cost> {
        let cost = self.run(url)?;
        output(self.harness().args(["drop", NAME, "--store", url]))?;
        client(url)?.execute(&format!("DROP TABLE {NAME}"))?;
        Ok(cost)
    }

    /// A whole run from an empty store to the end of the topic, by the harness's own clock.
    fn run(&self, store: &str) -> Result<Cost> {
        let mut run = self.harness();
        run.arg("run").arg(&self.pipeline).args(["--store", store, "--json"]);
        run.arg("--extractor").arg(&self.plan.extractor);
        let (text, _, cpu) = self.finish(&mut run)?;
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
        Ok(self.cost(f64::from(number("elapsed_ms")?.max(1)) / 1e3, cpu))
    }

    fn cost(&self, seconds: f64, cpu: f64) -> Cost {
        let rows = f64::from(self.count);
        Cost { rows_per_second: rows / seconds, cpu: cpu * 1e6 / rows }
    }

    /// Runs a program to its end: what it printed, what it said, and the seconds of processor time that
    /// it took itself, without its children.
    fn finish(&self, command: &mut Command) -> Result<(String, String, f64)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let paths = ["stdout", "stderr"].map(|name| self.folder.join(name));
        let [out, err] = &paths;
        // Into files: a full pipe would stop it.
        let create = |path: &Path| {
            std::fs::File::create(path).with_context(|| format!("create {}", path.display()))
        };
        command.stdin(Stdio::null()).stdout(create(out)?).stderr(create(err)?);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let cpu = wait_and_read(&child)?;
        let status = child.wait().with_context(|| format!("wait for {name}"))?;
        let read = |path: &Path| {
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
        };
        let (text, said) = (read(out)?, read(err)?);
        if !status.success() {
            let last = said.lines().next_back().unwrap_or("it said nothing");
            bail!("{name} ended with {status}: {last}");
        }
        Ok((text, said, cpu))
    }

    fn bare_sqlite(&self) -> Result<Cost> {
        let path = self.fresh_file("bare.db")?;
        let ddl = output(self.harness().args(["ddl", "--dialect", "sqlite", NAME]))?;
        self.bare(&path, &[&ddl])
    }

    fn bare_mariadb(&self, url: &str) -> Result<Cost> {
        let ddl = output(self.harness().args(["ddl", "--dialect", "mariadb", NAME]))?;
        let client = client(url)?;
        client.execute(&ddl)?;
        let cost = self.bare(url, &[]);
        client.execute(&format!("DROP TABLE {NAME}"))?;
        cost
    }

    /// The loop alone, by its own clock; reading the rows is not in its time.
    fn bare(&self, store: &str, ddl: &[&str]) -> Result<Cost> {
        let program = self.plan.harness.with_file_name("bare_load");
        if !program.is_file() {
            bail!("no program {}: run ./scripts/bench, which builds it", program.display());
        }
        let mut load = Command::new(&program);
        load.args([store, NAME]).arg(&self.rows).args(ddl);
        let (_, text, _) = self.finish(&mut load)?;
        let told: Value = serde_json::from_str(text.trim()).context("read bare_load")?;
        let number = |key: &str| {
            let number = told.get(key).and_then(Value::as_f64);
            number.with_context(|| format!("bare_load told no {key}"))
        };
        Ok(self.cost(number("seconds")?, number("cpu_seconds")?))
    }

    fn load_data(&self, url: &str) -> Result<Cost> {
        let ddl = output(self.harness().args(["ddl", "--dialect", "mariadb", NAME]))?;
        let client = client(url)?;
        client.execute(&ddl)?;
        let rows = self.rows.to_str().context("the path of the rows is not UTF-8")?;
        let statement =
            format!("LOAD DATA LOCAL INFILE '{rows}' INTO TABLE {NAME} FIELDS ESCAPED BY ''");
        let begun = Instant::now();
        let (_, _, cpu) = self.finish(&mut client.command(&statement))?;
        let seconds = begun.elapsed().as_secs_f64();
        client.execute(&format!("DROP TABLE {NAME}"))?;
        Ok(self.cost(seconds, cpu))
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

/// The medians, each by itself.
fn middle(costs: &[Cost]) -> Cost {
    let of = |part: fn(&Cost) -> f64| median(&mut costs.iter().map(part).collect::<Vec<_>>());
    Cost { rows_per_second: of(|cost| cost.rows_per_second), cpu: of(|cost| cost.cpu) }
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
    fn command(&self, statement: &str) -> Command {
        let mut mariadb = Command::new("mariadb");
        mariadb.args(&self.arguments).args(["-e", statement]).env("MYSQL_PWD", &self.password);
        mariadb
    }

    fn execute(&self, statement: &str) -> Result<()> {
        output(&mut self.command(statement)).map(drop)
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
