//! Extractors that wait for the next run of their pipeline, in one server: by their process ids.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mysql::Conn;
use mysql::prelude::Queryable as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::pipelines::{COUNT, IDS, ON, create, has_python};
use super::server::{Bench, Server, number, wait_until};

/// The extractors of a server: process ids by pipeline and task.
fn extractors(server: &Server) -> BTreeMap<(String, String), i32> {
    let parent = server.child.id().to_string();
    let of_this = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut after = stat.rsplit_once(')')?.1.split_whitespace();
        let (state, ppid) = (after.next()?, after.next()?);
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|it| String::from_utf8_lossy(it).into_owned())
            .collect();
        let after = |word: &str| {
            let at = words.iter().position(|it| it == word)?;
            words.get(at + 1).cloned()
        };
        (state != "Z" && ppid == parent).then_some(((after("--pipeline")?, after("--task")?), pid))
    };
    let pids = std::fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(of_this).collect()
}

fn run(client: &mut Conn, sql: &str) -> String {
    client.query_drop(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    client.info_str().into_owned()
}

const ALL: &str = "START PIPELINE p FOREGROUND";

fn loaded(client: &mut Conn) -> (u64, u64) {
    (number(client, COUNT), number(client, IDS))
}

/// Whatever ends a run well leaves its extractors to the next one: they are the same processes, and no more.
#[test]
fn extractors_wait_for_the_next_run_of_their_pipeline() {
    if !has_python("extractors_wait_for_the_next_run_of_their_pipeline") {
        return;
    }
    let bench = Bench::sqlite();
    let (server, log) = bench.serve_heard(true);
    let mut client = server.client();
    run(&mut client, ON);
    run(&mut client, &create(200, 50));
    assert!(extractors(&server).is_empty(), "CREATE leaves none: it had no pipeline to wait for");
    run(&mut client, "START PIPELINE p FOREGROUND LIMIT 1 BATCHES");
    run(&mut client, ALL);
    let mut waiting = extractors(&server);
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    for _ in 0..3 {
        run(&mut client, "START PIPELINE p");
        run(&mut client, "STOP PIPELINE p");
        assert_eq!(extractors(&server), waiting);
        // What is tried is tried anew, and waits in the place of the one before.
        run(&mut client, "TEST PIPELINE p LIMIT 1");
        let tested = extractors(&server);
        let is_same = |task: &str| {
            let place = ("p".to_owned(), task.to_owned());
            tested[&place] == waiting[&place]
        };
        assert!(tested.len() == 2 && !is_same("0") && is_same("1"), "{tested:?} {waiting:?}");
        run(&mut client, ALL);
        assert_eq!(extractors(&server), tested);
        waiting = tested;
    }
    assert_eq!(loaded(&mut client), (600, 600));

    // One that was killed meanwhile is replaced, and nobody has to know.
    let (place, victim) = waiting.first_key_value().unwrap();
    kill(Pid::from_raw(*victim), Signal::SIGKILL).unwrap();
    run(&mut client, ALL);
    let now = extractors(&server);
    assert_ne!(now[place], *victim);
    assert_eq!(now.values().filter(|pid| waiting.values().any(|it| it == *pid)).count(), 1);
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(!said.contains("trying again") && !said.contains("SIGKILL"), "{said}");
    assert_eq!(loaded(&mut client), (600, 600));
    assert_eq!(server.end(Signal::SIGTERM), 0);
    wait_until("none is left", || {
        now.values().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    });
}

/// An extractor whose run failed before it began is gone, and is waited for by nobody.
#[test]
fn what_failed_to_start_is_not_waited_for() {
    if !has_python("what_failed_to_start_is_not_waited_for") {
        return;
    }
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut client = server.client();
    run(&mut client, ON);
    let unknown = create(200, 50).replace("\"test.splits\"", "\"test.split\"");
    assert!(client.query_drop(unknown).is_err(), "it has a key that nobody knows");
    let asked = Instant::now();
    assert!(run(&mut client, "FLUSH EXTRACTOR POOLS").contains("0 extractors have ended"));
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
}

/// One serves what it was configured for, and nothing else (E12).
#[test]
fn e12_an_extractor_that_waits_serves_nothing_else() {
    if !has_python("e12_an_extractor_that_waits_serves_nothing_else") {
        return;
    }
    let bench = Bench::sqlite();
    let server = bench.serve(&[]);
    let mut client = server.client();
    run(&mut client, ON);
    run(&mut client, &create(200, 50));
    run(&mut client, ALL);
    let first = extractors(&server);
    let is_new = |now: &BTreeMap<_, i32>, older: &BTreeMap<_, i32>| {
        now.len() == 2 && now.values().all(|pid| older.values().all(|it| it != pid))
    };

    // Another pipeline of the same CONFIG.
    run(&mut client, &create(200, 50).replace("PIPELINE p", "PIPELINE q"));
    run(&mut client, "START PIPELINE q FOREGROUND");
    let mut both = extractors(&server);
    both.retain(|(pipeline, _), _| pipeline == "q");
    assert!(is_new(&both, &first), "{both:?} {first:?}");
    run(&mut client, "DROP PIPELINE q");
    assert_eq!(extractors(&server), first, "those of a pipeline that is dropped end with it");

    // The same pipeline, altered: in a clause, in CONFIG, and replaced.
    let mut older = first;
    for change in [
        "ALTER PIPELINE p SET BATCH_INTERVAL 70".to_owned(),
        "ALTER PIPELINE p SET CONFIG ::test.rows = '300'".to_owned(),
        create(300, 50).replace("CREATE INF", "CREATE OR REPLACE INF"),
    ] {
        run(&mut client, &change);
        let left = extractors(&server);
        assert!(left.values().all(|pid| older.values().all(|it| it != pid)), "{change}: {left:?}");
        run(&mut client, ALL);
        let now = extractors(&server);
        assert!(is_new(&now, &older), "{change}: {now:?} {older:?}");
        older = now;
    }
    assert_eq!(
        loaded(&mut client),
        (1800, 900),
        "900 of the first, and 900 of the one that replaced it"
    );

    // FLUSH ends those that wait, and tells how many there were.
    let told = run(&mut client, "FLUSH EXTRACTOR POOLS");
    assert!(told.contains("2 extractors have ended"), "{told}");
    assert!(extractors(&server).is_empty());
    assert!(run(&mut client, "FLUSH EXTRACTOR POOLS").contains("0 extractors have ended"));

    // A server that is killed takes those that wait along.
    run(&mut client, ALL);
    let last = extractors(&server);
    assert_eq!(last.len(), 2);
    server.end(Signal::SIGKILL);
    wait_until("none is left", || {
        last.values().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    });
}
