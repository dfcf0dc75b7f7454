//! The process: its end, its descriptors, its cost (`SPEC.md` 1, 8, 12).

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use protocol::Code;
use protocol::message::Extract;
use protocol::session::host::Event;
use protocol::wire::Kind;
use serde_json::{Value, json};

use super::core;
use super::shared::{hello_json, raw_configured};
use super::states::{GONE, SETTLED, blocked, long, stalled};
use crate::conformance::Check;
use crate::conformance::bench::{Bench, Start};
use crate::conformance::fault::{Done, Fault, demand, equal, miss};
use crate::conformance::peer::{Peer, credit, key, other_event, row_value};
use crate::conformance::proc;
use crate::conformance::process::Ended;

pub(super) const CHECKS: &[Check] = &[
    core(
        "L82",
        "end_of_input",
        "12",
        "in any state the process is gone within a second after the end of its input: idle, in the middle of a \
         batch, blocked in a write, connecting",
        end_of_input,
    ),
    core(
        "L83",
        "no_orphan",
        "12",
        "when the parent process is gone, so is the program, though its pipes are open",
        no_orphan,
    )
    .bare(),
    core(
        "L84",
        "stderr_flood_stalls_no_rows",
        "12",
        "rows never wait for a standard error that nobody reads",
        stderr_flood_stalls_no_rows,
    ),
    core(
        "L85",
        "printing_does_no_harm",
        "1.5",
        "what a library prints to standard output never reaches the pipe",
        printing_does_no_harm,
    ),
    core(
        "L86",
        "descriptors",
        "12",
        "descriptor 0 is /dev/null, 1 is a copy of 2, and no file is open",
        descriptors,
    ),
    core(
        "L87",
        "memory_is_bounded",
        "7.5",
        "memory does not grow from batch to batch",
        memory_is_bounded,
    ),
    core(
        "L88",
        "idle_costs_nothing",
        "7.4",
        "a program that waits uses no processor",
        idle_costs_nothing,
    ),
    core(
        "L89",
        "exit_codes",
        "8.1, 12",
        "a fatal ERROR ends with the exit code of its class: config 78, internal 70, resource 71",
        exit_codes,
    ),
    core(
        "L90",
        "nothing_leaks",
        "12",
        "no thread and no descriptor is left over from an assignment",
        nothing_leaks,
    ),
    core(
        "L94",
        "requests_ahead_are_bounded",
        "9 UNREAD_FRAMES_MAX",
        "more than 64 requests that wait for their answer are BUFFER_LIMIT",
        requests_ahead_are_bounded,
    ),
    core("L95", "no_children", "12", "the program starts no other process", no_children),
];

/// Brings a program into a state.
type Make = fn(&mut Bench) -> Result<Peer, Fault>;

fn end_of_input(bench: &mut Bench) -> Done {
    let connecting = |bench: &mut Bench| {
        let mut peer = bench.configured(json!({"test.connect.ms": 60_000}))?;
        let check = peer.session.check()?;
        peer.send(&check)?;
        std::thread::sleep(SETTLED);
        Ok(peer)
    };
    let states: [(&str, Make); 5] = [
        ("before HELLO", Bench::start),
        ("idle", |bench| bench.ready(json!({"test.rows": 5}), &["p0"])),
        ("in the middle of a batch", stalled),
        ("blocked in a write", blocked),
        ("connecting", connecting),
    ];
    for (state, make) in states {
        let mut peer = make(bench)?;
        peer.close_stdin();
        let due = format!("an end within a second after the end of input, {state}");
        let ended = peer.ends_within(GONE, &due)?;
        demand(ended == Ended::Code(0), format!("exit code 0, {state}"), || ended.to_string())?;
    }
    Ok(())
}

/// A shell that starts the program is killed, while the pipes of the program stay open.
fn no_orphan(bench: &mut Bench) -> Done {
    let plain = bench.command.clone();
    let program = plain.program.display().to_string();
    // A job in the background of a shell reads /dev/null unless another descriptor is named.
    let script = r#"exec 3<&0; "$0" "$@" <&3 3<&- & wait"#;
    bench.command.program = "/bin/sh".into();
    bench.command.args = ["-c", script, &*program].map(ToOwned::to_owned).into();
    bench.command.args.extend(plain.args.clone());
    let made = bench.greeted();
    bench.command = plain;
    let mut peer = made?;
    let children = proc::children(peer.process.id());
    let [child] = children.as_slice() else {
        return Err(Fault::Skip(format!("the shell has {} children", children.len())));
    };
    peer.signal(Signal::SIGKILL)?;
    let killed = Instant::now();
    while proc::lives(*child) {
        if killed.elapsed() > GONE + GONE {
            let seen = format!("it runs on {} s later", (GONE + GONE).as_secs());
            return Err(miss("an end of the program after that of its parent", seen));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn stderr_flood_stalls_no_rows(bench: &mut Bench) -> Done {
    let mut peer = bench.start_with(Start { ignores_stderr: true, ..Start::default() })?;
    peer.greet()?;
    // More noise than any pipe holds, and than a bounded buffer should keep.
    peer.configure(json!({"test.rows": 2000, "test.stderr.flood": 1_000_000}))?;
    peer.assign(&[(key("p0"), row_value(0))])?;
    let mut rows = 0;
    while rows < 1500 {
        rows += peer.extract(&long(500))?.end.rows;
    }
    Ok(())
}

fn printing_does_no_harm(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 500, "test.print": true}), &["p0"])?;
    // What reaches the pipe is no frame: that is this check's own matter.
    let batch = peer.extract(&credit(500)).map_err(|fault| match fault {
        Fault::Broken { seen, .. } => miss("nothing but frames on the pipe", seen),
        other => other,
    })?;
    demand(batch.rows.len() == 500, "500 rows", || batch.line())
}

fn dumpable(bench: &mut Bench) -> Result<Peer, Fault> {
    let mut peer = bench.start_with(Start { args: &["--dumpable"], ..Start::default() })?;
    peer.greet()?;
    peer.configure(json!({"test.rows": 100}))?;
    Ok(peer)
}

fn descriptors(bench: &mut Bench) -> Done {
    let peer = dumpable(bench)?;
    let found = proc::descriptors(peer.process.id())?;
    let target = |number: i32| {
        found.iter().find(|(fd, _)| *fd == number).map_or("nothing", |(_, target)| &**target)
    };
    equal("descriptor 0", &target(0), &"/dev/null")?;
    equal("descriptor 1, as 2", &target(1), &target(2))?;
    let file =
        found.iter().find(|(_, target)| target.starts_with('/') && !target.starts_with("/dev/"));
    match file {
        None => Ok(()),
        Some((number, target)) => {
            Err(miss("no open file", format!("descriptor {number} is {target}")))
        }
    }
}

/// Batches before memory is looked at, and after.
const WARM: u64 = 300;

const MEASURED: u64 = 1_200;

/// Growth that is no leak, KiB. Why: an allocator keeps what it needs once more.
const GROWTH_KIB: u64 = 6 << 10;

fn memory_is_bounded(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 100_000}), &["p0"])?;
    let quick = Extract { max_interval_ms: 50, ..credit(2) };
    for _ in 0..WARM {
        peer.extract(&quick)?;
    }
    let before = proc::resident_kib(peer.process.id())?;
    for _ in 0..MEASURED {
        peer.extract(&quick)?;
    }
    let grown = proc::resident_kib(peer.process.id())?.saturating_sub(before);
    let due = format!("less than {GROWTH_KIB} KiB more after {MEASURED} batches");
    demand(grown < GROWTH_KIB, due, || format!("{grown} KiB more"))
}

fn idle_costs_nothing(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 5}), &["p0"])?;
    peer.extract(&credit(5))?;
    peer.send_extract(&long(5))?;
    std::thread::sleep(SETTLED);
    let before = proc::ticks(peer.process.id())?;
    std::thread::sleep(Duration::from_secs(2));
    let used = proc::ticks(peer.process.id())?.saturating_sub(before);
    demand(used <= 20, "at most 200 ms of processor in 2 s", || format!("{} ms", used * 10))
}

fn exit_codes(bench: &mut Bench) -> Done {
    let mut peer = bench.start()?;
    peer.raw(Kind::Hello, 0, &hello_json())?;
    peer.raw_answer(Kind::HelloOk)?;
    let config = json!({"connector.class": "test", "test.rows": "many"});
    peer.raw(Kind::Configure, 0, &json!({ "config": config }))?;
    peer.raw_failure("ERROR CONFIG_INVALID")?;
    peer.rest()?;
    peer.exits(78)?;

    let config = json!({"test.rows": 9, "test.fail.at": 5, "test.fail.code": "PANIC"});
    let mut peer = bench.ready(config, &["p0"])?;
    peer.send_extract(&credit(9))?;
    let due = "ERROR PANIC, fatal";
    loop {
        match peer.event(due)? {
            Event::Failed { failure, .. } => {
                // A program that can catch it ends the batch first, and may go on.
                demand(failure.code == Code::Panic, due, || failure.to_string())?;
                if !failure.fatal {
                    return Ok(());
                }
                break;
            }
            Event::Rows(_) | Event::Schema(_) => {}
            Event::BatchEnd(_) => {
                peer.send_extract(&credit(9))?;
            }
            other => return Err(other_event(due, &other)),
        }
    }
    peer.exits(70)
}

/// Assignments before and after the first look.
const ASSIGNMENTS: usize = 40;

fn nothing_leaks(bench: &mut Bench) -> Done {
    let mut peer = dumpable(bench)?;
    let pid = peer.process.id();
    let mut counts = Vec::new();
    for round in 0..=ASSIGNMENTS {
        peer.assign(&[(key("p0"), row_value(0))])?;
        peer.extract(&credit(3))?;
        if round == 3 || round == ASSIGNMENTS {
            counts.push((proc::threads(pid), proc::descriptors(pid)?.len()));
        }
    }
    let is_right = counts.iter().all(|count| count == counts.first().unwrap_or(count));
    let due = format!("as many threads and descriptors after {ASSIGNMENTS} assignments as after 4");
    demand(is_right, due, || format!("(threads, descriptors): {counts:?}"))
}

fn requests_ahead_are_bounded(bench: &mut Bench) -> Done {
    let mut peer = raw_configured(bench, &json!({"test.connect.ms": 60_000}))?;
    for _ in 0..80 {
        peer.raw(Kind::Check, 0, &Value::Object(serde_json::Map::new()))?;
    }
    let failure = peer.raw_failure("ERROR BUFFER_LIMIT")?;
    let is_right = failure.code == Code::BufferLimit && failure.fatal;
    demand(is_right, "ERROR BUFFER_LIMIT, fatal", || failure.to_string())?;
    peer.rest()?;
    peer.exits(71)
}

fn no_children(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 50}), &["p0"])?;
    peer.check()?;
    peer.extract(&credit(50))?;
    let children = proc::children(peer.process.id());
    demand(children.is_empty(), "no children", || format!("{} children", children.len()))
}
