//! The contract with the operating system: descriptors, the end of input, the end of the parent.

#![expect(clippy::tests_outside_test_module, reason = "an integration test binary is one")]

#[expect(dead_code, reason = "sessions use the rest of the driver")]
#[path = "support/driver.rs"]
mod driver;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use driver::*;
use protocol::message::*;
use serde_json::json;

/// The user that owns nothing, by the custom of every distribution.
const NOBODY: u32 = 65_534;

/// In any state, the process is gone within this time after its input ended.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn version_prints_one_line_with_the_protocol() {
    let output = binary().arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(env!("CARGO_PKG_VERSION")) && text.contains("s2x/1"), "{text}");
    assert!(output.stderr.is_empty());
}

#[test]
fn help_explains_and_wrong_arguments_are_usage_errors() {
    let output = binary().arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("harness run"));
    let output = binary().args(["--config", "secret"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("--config"));
}

#[test]
fn a_person_who_starts_it_is_told_what_to_do() {
    let null = || Stdio::from(File::open("/dev/null").unwrap());
    let cases: [(Stdio, Stdio); 3] = [
        (null(), Stdio::piped()),
        (Stdio::from(File::open("/proc/self/exe").unwrap()), Stdio::piped()),
        (Stdio::piped(), Stdio::from(tempfile::tempfile().unwrap())),
    ];
    for (stdin, stdout) in cases {
        let child = binary().stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64));
        assert!(output.stdout.is_empty());
        assert!(text.contains("NOT_A_HOST") && text.contains("harness run"), "{text}");
    }
}

#[test]
fn the_end_of_input_ends_an_idle_process() {
    let mut host = Host::spawn();
    host.close_stdin();
    assert_eq!(host.wait_within(SOON).code(), Some(0));
    let mut host = Host::ready(json!({"test.rows": 5}));
    host.close_stdin();
    assert_eq!(host.wait_within(SOON).code(), Some(0));
}

#[test]
fn the_end_of_input_ends_a_process_in_the_middle_of_a_batch() {
    let config = json!({"test.rows": 100_000, "test.stall.at": 10, "test.stall.ms": 60_000});
    let mut host = Host::ready(config);
    host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(1000) });
    host.close_stdin();
    assert_eq!(host.wait_within(SOON).code(), Some(0));
}

#[test]
fn the_end_of_input_ends_a_process_that_is_blocked_in_write() {
    let mut host = Host::ready(json!({"test.rows": 1_000_000, "test.row.bytes": 1000}));
    host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(1_000_000) });
    std::thread::sleep(Duration::from_millis(300));
    host.close_stdin();
    assert_eq!(host.wait_within(SOON).code(), Some(0));
}

#[test]
fn the_end_of_input_ends_a_blocked_request() {
    let mut host = Host::configured(json!({"test.connect.ms": 60_000}));
    let sent = host.session.check().unwrap();
    host.send(&sent);
    host.close_stdin();
    assert_eq!(host.wait_within(SOON).code(), Some(0));
}

#[test]
fn a_host_that_closes_its_reading_end_ends_the_process() {
    let mut child = binary().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut session = protocol::session::host::HostSession::default();
    let sent = session.hello(&hello()).unwrap();
    child.stdin.as_mut().unwrap().write_all(&sent.bytes).unwrap();
    assert_eq!(wait_within(&mut child, SOON).code(), Some(0));
}

/// A parent that is killed while its child lives: the parent is a shell that starts the extractor
/// with pipes which outlive it, so that only the change of the parent can end the child.
#[test]
fn a_killed_parent_leaves_no_orphan() {
    let (stdin_reader, stdin_writer) = std::io::pipe().unwrap();
    let (stdout_reader, stdout_writer) = std::io::pipe().unwrap();
    // A job in the background of a shell reads /dev/null unless another descriptor is named.
    let script = r#"exec 3<&0; "$0" <&3 3<&- & echo $! >&2; wait"#;
    let mut parent = Command::new("/bin/sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_extractor")])
        .stdin(Stdio::from(stdin_reader))
        .stdout(Stdio::from(stdout_writer))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = parent.stderr.take().unwrap();
    let mut digits = String::new();
    while !digits.ends_with('\n') {
        let mut byte = [0];
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "the shell told no process id: {digits}");
        digits.push(char::from(byte[0]));
    }
    let child: i32 = digits.trim().parse().unwrap();
    // It has taken over when it answers.
    let mut session = protocol::session::host::HostSession::default();
    (&stdin_writer).write_all(&session.hello(&hello()).unwrap().bytes).unwrap();
    (&stdout_reader).read_exact(&mut [0; 32]).unwrap();
    assert!(lives(child));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let began = Instant::now();
    while lives(child) {
        assert!(began.elapsed() < Duration::from_secs(3), "process {child} is an orphan");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process exists and is not just waiting to be reaped.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

#[test]
fn a_flood_on_stderr_that_nobody_reads_does_not_stall_the_rows() {
    let mut host = Host::spawn_with(&[], Stdio::piped());
    host.greet();
    // One megabyte of noise for each poll, a hundred polls at least; stderr is never read.
    host.configure(json!({"test.rows": 200_000, "test.stderr.flood": 1_000_000}));
    host.assign(&[(key("p0"), row_value(0))]);
    let mut rows = 0;
    while rows < 100_000 {
        rows += host.extract(&Extract { max_interval_ms: 10_000, ..credit(1000) }).end.rows;
    }
    host.stop();
}

#[test]
fn a_library_that_prints_to_stdout_does_no_harm() {
    let mut host = Host::spawn_with(&[], Stdio::piped());
    host.greet();
    host.configure(json!({"test.rows": 5000, "test.print": true}));
    host.assign(&[(key("p0"), row_value(0))]);
    assert_eq!(host.extract(&credit(5000)).rows.len(), 5000);
    let mut stderr = host.process.stderr.take().unwrap();
    host.stop();
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    assert!(text.contains("a library prints to stdout"), "it went nowhere: {text:?}");
}

#[test]
fn the_process_holds_no_descriptor_beside_its_own() {
    let mut host = Host::spawn_with(&["--dumpable"], Stdio::piped());
    host.greet();
    host.configure(json!({}));
    let pid = host.pid();
    let mut targets: Vec<(i32, String)> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let number = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            (number, fs::read_link(path).unwrap().to_str().unwrap().to_owned())
        })
        .collect();
    targets.sort();
    assert_eq!(targets[0], (0, "/dev/null".to_owned()));
    assert_eq!(targets[1].1, targets[2].1, "1 and 2 lead to the same pipe");
    // What the one who runs the tests left open was inherited, and is not the extractor's.
    let inherited = |fd: i32, target: &str| {
        fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|ours| ours.as_os_str() == target)
    };
    let private: Vec<i32> = targets
        .iter()
        .skip(3)
        .filter(|(fd, target)| !inherited(*fd, target))
        .map(|target| target.0)
        .collect();
    // The host's two pipes, stderr, and the reading end of what is printed, twice.
    assert_eq!(private.len(), 5, "{targets:?}");
    for fd in private {
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & 0o2_000_000, 0, "descriptor {fd} survives exec: {targets:?}");
    }
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let children = task.unwrap().path().join("children");
        assert_eq!(fs::read_to_string(children).unwrap_or_default(), "", "it has children");
    }
}

#[test]
fn the_process_leaves_no_core_and_is_not_dumpable() {
    let mut host = Host::spawn();
    host.greet();
    let limits = fs::read_to_string(format!("/proc/{}/limits", host.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // The files of a process that is not dumpable belong to root (proc(5)), those of any other to its
    // user. Who tests as root lets another user run both.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("extractor");
    fs::copy(binary().get_program(), &copy).unwrap();
    let owner_with = |args: &[&str]| {
        let mut command = Command::new(&copy);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut host = Host::of(command.spawn().unwrap());
        host.greet();
        fs::metadata(format!("/proc/{}/environ", host.pid())).unwrap().uid()
    };
    assert_ne!(owner_with(&["--dumpable"]), 0);
    assert_eq!(owner_with(&[]), 0);
}

#[test]
fn an_idle_process_costs_nearly_nothing() {
    let mut host = Host::spawn_with(&[], Stdio::inherit());
    host.greet();
    host.configure(json!({}));
    let ticks = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let rest: Vec<String> =
            stat.rsplit(')').next().unwrap().split_whitespace().map(ToOwned::to_owned).collect();
        rest[11].parse::<u64>().unwrap() + rest[12].parse::<u64>().unwrap()
    };
    let before = ticks(host.pid());
    std::thread::sleep(Duration::from_secs(2));
    assert!(ticks(host.pid()) - before <= 2, "more than 20 ms of CPU in 2 s");
}
