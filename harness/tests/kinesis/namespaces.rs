//! Leaves on machines of their own, one of which is cut off in the middle.
//!
//! A test runs again in a private network namespace that has no way to the machine's network. There are the
//! database and the stream, and each leaf is a process in a namespace of its own, with one line to them. A line
//! that is cut drops packets without a word: connections hang, as they do behind a dead switch.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use xtask::services::{Extra, Name};

use super::server::{STREAM, Server, options};
use super::support::{Own, Pipeline, RUN_MAX, Run, say};

/// Where the database and the stream are, for every leaf.
const HUB: &str = "10.77.0.1";

/// Set in the process that runs in the private namespace: a file that it makes, so that a test that did not
/// run at all does not pass.
const INSIDE: &str = "S2X_INSIDE_NAMESPACE";

/// How long a leaf may take to notice that its database is gone: 75 s by the kernel, and what a slow machine adds.
const NOTICED: Duration = Duration::from_secs(180);

/// How long one with a second of patience may take to give up: until it is noticed, then 75 s for a commit whose answer
/// was lost, some connection attempts of 10 s, and what a slow machine adds.
const GIVEN_UP: Duration = Duration::from_secs(300);

/// How long a namespace may take to be made.
const MADE: Duration = Duration::from_secs(30);

const SHARDS: i32 = 6;

/// Runs the body in a private network namespace, or says why not.
fn in_private_network(test: &str, body: fn(&World)) {
    if let Some(mark) = std::env::var_os(INSIDE) {
        fs::write(mark, "").unwrap();
        body(&World::new(test));
        return;
    }
    if let Some(reason) = unavailable() {
        say(&format!("skipped: {test}: {reason}"));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("inside");
    let name = format!("namespaces::{test}");
    // Its result is this test's: the runner of all tests would count it twice.
    let done = inside()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(INSIDE, &mark)
        .output()
        .unwrap();
    let (out, said) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(
        done.status.success(),
        "{test} failed in its namespace: {}\n{out}\n{said}",
        done.status
    );
    said.lines().for_each(say);
    assert!(mark.exists(), "{test} did not run in its namespace");
}

/// A line to another namespace, as [`Machine::new`] makes it, and nothing left of it. Waits for the namespace, 10 s.
const TRIAL: &str = "
ip link set lo up
unshare --net sleep 60 >/dev/null &
holder=$!
trap 'kill $holder' EXIT
left=1000
while [ \"$(readlink /proc/$holder/ns/net)\" = \"$(readlink /proc/self/ns/net)\" ]; do
    left=$((left - 1)); [ $left -gt 0 ]; sleep 0.01
done
ip link add line0 type veth peer name out0 netns $holder
nsenter --net=/proc/$holder/ns/net ip link set out0 up";

/// Runs a command in a network namespace of its own; who is not root becomes it in a namespace of users.
fn inside() -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--fork", "--kill-child"]);
    command
}

/// Why this machine has no namespaces with lines between them, if so.
fn unavailable() -> Option<String> {
    if std::env::var("S2X_REAL").as_deref() != Ok("1") {
        return Some("S2X_REAL is not 1".to_owned());
    }
    if let Some(reason) = Name::Mariadb.unavailable() {
        return Some(reason);
    }
    // What a test does: a namespace, another one below it, a line between them, and a command in there.
    let tried = inside().args(["sh", "-ec", TRIAL]).output();
    let why = match tried {
        Ok(done) if done.status.success() => return None,
        Ok(done) => String::from_utf8_lossy(&done.stderr).trim().replace('\n', " "),
        Err(error) => error.to_string(),
    };
    Some(format!(
        "network namespaces cannot be made here (by root, in a container with the capabilities SYS_ADMIN and \
         NET_ADMIN; by others where users may have namespaces): {why}"
    ))
}

fn ip(by: &[String], words: &str) {
    let mut all = by.iter().map(String::as_str).chain(["ip"]).chain(words.split(' '));
    let done = Command::new(all.next().unwrap()).args(all).output().unwrap();
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The database, the stream, and lines to leaves.
struct World {
    stream: Server,
    database: Own,
}

impl World {
    fn new(test: &str) -> Self {
        ip(&[], "link set lo up");
        ip(&[], &format!("addr add {HUB}/32 dev lo"));
        let extra =
            Extra { mariadb: vec!["--bind-address=0.0.0.0".to_owned()], ..Extra::default() };
        let database = Own::with(test, Name::Mariadb, &extra).unwrap();
        let url = database.services.mariadb_url().unwrap();
        let mut root = harness::store::connect(&url.parse().unwrap()).unwrap();
        root.run("CREATE USER leaf@'%'").unwrap();
        root.run("GRANT ALL ON *.* TO leaf@'%'").unwrap();
        let stream = Server::on(&format!("{HUB}:0"), options(), SHARDS);
        Self { stream, database }
    }

    fn store(&self) -> String {
        let url = self.database.services.mariadb_url().unwrap();
        url.replace("root@127.0.0.1", &format!("leaf@{HUB}"))
    }

    /// A pipeline for so many leaves, of one task each.
    fn pipeline(&self, leaves: u32, away_ms: u64) -> Pipeline {
        let config = json!({
            "connector.class": "kinesis", "kinesis.stream": STREAM, "kinesis.region": "us-east-1",
            "aws.access.key.id": "AKIDTEST", "aws.secret.access.key": "secret", "kinesis.endpoint": self.stream.url,
            "kafka.topic": "t", "tasks.max": 1, "batch.rows": 50, "retry.away.ms": away_ms,
        });
        let pipeline = Pipeline::new("cut", Some(&self.store()), &config);
        let statements = format!(
            "SET GLOBAL experimental_features_config = 'kafka_connect_enabled=true'; \
             CREATE INFERRED PIPELINE cut AS LOAD DATA KAFKACONNECT 'x' CONFIG '{config}' CREDENTIALS '{{}}' \
             FORMAT AVRO"
        );
        pipeline.sql(&statements, &["--leaves", &leaves.to_string()]);
        pipeline
    }

    /// Puts records with these numbers; answers how many each shard got.
    fn put(&self, numbers: std::ops::Range<u32>) -> Vec<(String, u64)> {
        let record = |number| (format!("k{number}"), format!("{{\"n\":{number}}}"));
        let records: Vec<_> = numbers.map(record).collect();
        let mut shards = std::collections::BTreeMap::new();
        for put in self.stream.put(&records) {
            *shards.entry(put.shard).or_insert(0) += 1;
        }
        shards.into_iter().collect()
    }
}

/// A machine with a line to the database and the stream.
struct Machine {
    holder: Child,
    line: String,
    enter: Vec<String>,
}

impl Machine {
    fn new(number: u8) -> Self {
        // It lives until its input ends, and that is with the test, however that ends.
        let mut holder = Command::new("unshare");
        let holder = holder.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let holder = holder.spawn().unwrap();
        let namespace = format!("/proc/{}/ns/net", holder.id());
        let ours = fs::read_link("/proc/self/ns/net").unwrap();
        let until = Instant::now() + MADE;
        while fs::read_link(Path::new(&namespace)).unwrap() == ours {
            assert!(Instant::now() < until, "machine {number} has no namespace within {MADE:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        let enter = vec!["nsenter".to_owned(), format!("--net={namespace}")];
        let line = format!("line{number}");
        let (here, there) =
            (format!("02:77:00:00:{number:02}:01"), format!("02:77:00:00:{number:02}:02"));
        let pid = holder.id();
        ip(
            &[],
            &format!(
                "link add {line} address {here} type veth peer name out address {there} netns {pid}"
            ),
        );
        ip(&[], &format!("addr add 10.77.{number}.1/30 dev {line}"));
        ip(&[], &format!("link set {line} up"));
        for words in [
            "link set lo up".to_owned(),
            format!("addr add 10.77.{number}.2/30 dev out"),
            "link set out up".to_owned(),
            format!("route add default via 10.77.{number}.1"),
            // A neighbour that is known does not become unreachable: what is sent to it hangs.
            format!("neigh replace 10.77.{number}.1 lladdr {here} dev out nud permanent"),
        ] {
            ip(&enter, &words);
        }
        Self { holder, line, enter }
    }

    /// Runs one leaf of a pipeline here, until STOP PIPELINE.
    fn start(&self, pipeline: &Pipeline, leaf: u32, leaves: u32) -> Run {
        let leaf = format!("{leaf}/{leaves}");
        pipeline.start_sql_by(&self.enter, "START PIPELINE cut", &["--leaf", &leaf])
    }

    fn cut(&self) {
        ip(&[], &format!("link set {} down", self.line));
    }

    fn mend(&self) {
        ip(&[], &format!("link set {} up", self.line));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ended = self.holder.kill();
        let _reaped = self.holder.wait();
    }
}

#[track_caller]
fn wait_for(what: &str, within: Duration, runs: &[&Run], mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        let logs: Vec<String> = runs.iter().map(|run| run.log()).collect();
        assert!(
            Instant::now() < deadline,
            "not within {within:?}: {what}\n{}",
            logs.join("\n---\n")
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The shards that a leaf loads.
fn shards_of(pipeline: &Pipeline, leaf: u32) -> Vec<String> {
    let sql = format!(
        "SELECT DISTINCT h.key_text FROM s2x_offset_history h JOIN s2x_batches b \
         ON b.pipeline_id = h.pipeline_id AND b.batch_id = h.batch_id WHERE b.leaf = {leaf} AND b.row_count > 0"
    );
    pipeline.query(&sql).into_iter().map(|row| row[0].clone()).collect()
}

/// Rows of these shards that are in the table.
fn rows_of(pipeline: &Pipeline, shards: &[String]) -> u64 {
    let is_one = |key: &String| {
        let key: serde_json::Value = serde_json::from_str(key).unwrap();
        format!("record LIKE '%{}%'", key["shardId"].as_str().unwrap())
    };
    let is_any: Vec<String> = shards.iter().map(is_one).collect();
    let sql = format!("SELECT COUNT(*) FROM cut WHERE {}", is_any.join(" OR "));
    pipeline.try_number(&sql).unwrap()
}

/// How many records of the puts lie in these shards.
fn put_to(shards: &[String], puts: &[Vec<(String, u64)>]) -> u64 {
    let of = |name: &str| shards.iter().any(|key| key.contains(name));
    puts.iter().flatten().filter(|(name, _)| of(name)).map(|(_, count)| count).sum()
}

fn ids(numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("{{\"partitionKey\":\"k{number}\"}}"))
}

/// Two of three leaves are cut off while they load. The third goes on; nobody else reads what is theirs. One of
/// them is started once more on another machine, which takes over; the other one comes back by itself.
#[test]
fn a_leaf_that_is_cut_off_loses_and_repeats_nothing() {
    in_private_network("a_leaf_that_is_cut_off_loses_and_repeats_nothing", |world| {
        let pipeline = world.pipeline(3, 600_000);
        let machines = [1, 2, 3, 4].map(Machine::new);
        let mut puts = vec![world.put(0..3000)];
        let mut runs: Vec<Run> =
            (0_u32..).zip(&machines[..3]).map(|(leaf, it)| it.start(&pipeline, leaf, 3)).collect();
        let have_loaded = "SELECT COUNT(DISTINCT leaf) FROM s2x_batches WHERE row_count > 0";
        wait_for("every leaf has loaded", RUN_MAX, &runs.iter().collect::<Vec<_>>(), || {
            pipeline.try_number(have_loaded) == Some(3)
        });
        let cut_at = Instant::now();
        machines[1].cut();
        machines[2].cut();
        puts.push(world.put(3000..6000));

        // The one that is not cut off goes on, and reads nothing that is not its own.
        let [own, second, third] = [0, 1, 2].map(|leaf| shards_of(&pipeline, leaf));
        assert!(own.iter().all(|it| !second.contains(it) && !third.contains(it)), "{own:?}");
        wait_for("the first leaf goes on", RUN_MAX, &[&runs[0]], || {
            rows_of(&pipeline, &own) == put_to(&own, &puts)
        });
        let now = [0, 1, 2].map(|leaf| shards_of(&pipeline, leaf));
        let all: std::collections::BTreeSet<&String> = now.iter().flatten().collect();
        let count: usize = now.iter().map(Vec::len).sum();
        assert_eq!(all.len(), count, "it reads what is not its own: {now:?}");
        assert!(rows_of(&pipeline, &second) < put_to(&second, &puts), "it was not cut off");

        // Both say within bounded time what is wrong, and where.
        for run in &runs[1..3] {
            wait_for("it is told that the database is gone", NOTICED, &[run], || {
                let log = run.log();
                // In the middle of a statement, or while it connects.
                let is_why = log.contains("timed out") || log.contains("connection timeout");
                is_why && log.contains(&format!("{HUB}:"))
            });
        }
        say(&format!("cut off, noticed by both after {} s", cut_at.elapsed().as_secs()));

        // A copy on another machine takes over, whatever the old one left open in the database.
        let copy = machines[3].start(&pipeline, 2, 3);
        wait_for("the copy has loaded what is its own", RUN_MAX, &[&copy], || {
            let third = shards_of(&pipeline, 2);
            rows_of(&pipeline, &third) == put_to(&third, &puts)
        });

        machines[1].mend();
        machines[2].mend();
        puts.push(world.put(6000..6600));
        let old = runs.remove(2);
        wait_for("all is loaded", RUN_MAX, &[&runs[0], &runs[1], &old, &copy], || {
            pipeline.try_number("SELECT COUNT(*) FROM cut") == Some(6600)
        });
        let mut old = old;
        assert_eq!(old.wait(), Some(79), "the old one was not fenced: {}", old.log());
        runs.push(copy);
        pipeline.sql("STOP PIPELINE cut", &[]);
        for run in &mut runs {
            assert_eq!(run.wait(), Some(0), "{}", run.log());
        }
        pipeline.assert_exactly_once(ids(0..6600));
        pipeline.assert_no_process_left();
    });
}

/// A leaf that stays cut off ends by itself, and says why; started again, it goes on where it was.
#[test]
fn a_leaf_that_stays_cut_off_ends_in_bounded_time() {
    in_private_network("a_leaf_that_stays_cut_off_ends_in_bounded_time", |world| {
        let pipeline = world.pipeline(2, 1_000);
        let machines = [1, 2].map(Machine::new);
        let mut puts = vec![world.put(0..2000)];
        let mut runs = [0_u32, 1].map(|leaf| machines[leaf as usize].start(&pipeline, leaf, 2));
        let have_loaded = "SELECT COUNT(DISTINCT leaf) FROM s2x_batches WHERE row_count > 0";
        wait_for("both leaves have loaded", RUN_MAX, &runs.iter().collect::<Vec<_>>(), || {
            pipeline.try_number(have_loaded) == Some(2)
        });
        machines[1].cut();
        let cut_at = Instant::now();
        puts.push(world.put(2000..4000));
        wait_for("it gives up", GIVEN_UP, &[], || runs[1].ended().is_some());
        assert_eq!(runs[1].wait(), Some(75), "{}", runs[1].log());
        say(&format!("cut off, ended after {} s", cut_at.elapsed().as_secs()));
        let log = runs[1].log();
        assert!(log.contains(&format!("{HUB}:")), "it does not say what it cannot reach: {log}");

        machines[1].mend();
        runs[1] = machines[1].start(&pipeline, 1, 2);
        wait_for("all is loaded", RUN_MAX, &[&runs[0], &runs[1]], || {
            pipeline.try_number("SELECT COUNT(*) FROM cut") == Some(4000)
        });
        pipeline.sql("STOP PIPELINE cut", &[]);
        for run in &mut runs {
            assert_eq!(run.wait(), Some(0), "{}", run.log());
        }
        pipeline.assert_exactly_once(ids(0..4000));
        pipeline.assert_no_process_left();
    });
}
