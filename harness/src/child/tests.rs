//! Tests of the process contract from the host's side, with the shell as the child.

use std::sync::mpsc::{Receiver, sync_channel};

use super::*;

fn shell(script: &str) -> ExtractorCommand {
    ExtractorCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] }
}

fn start(script: &str) -> (Child, Receiver<FromChild>) {
    let (tx, rx) = sync_channel(16);
    let child =
        Child::start(&shell(script), move |it| tx.send(it).is_ok(), |_| {}, |_| {}).unwrap();
    (child, rx)
}

fn is_alive(pid: u32) -> bool {
    // A zombie of another parent still has a directory; its state letter tells.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

#[test]
fn text_on_stdout_is_told_with_its_first_bytes() {
    let (_child, rx) = start("echo hello; sleep 5");
    let FromChild::End(Some(FrameError::BadMagic { seen, .. })) = rx.recv().unwrap() else {
        panic!("no bad magic")
    };
    assert_eq!(seen, b"hello\n");
}

#[test]
fn environment_and_directory_are_bare() {
    let (mut child, rx) = start("env >&2; pwd >&2; ls /proc/self/fd | tr '\\n' ' ' >&2");
    assert!(matches!(rx.recv().unwrap(), FromChild::End(None)));
    assert_eq!(child.end(Duration::from_secs(2)).to_string(), "exited with code 0");
    child.last_words();
    let kept = child.stderr.kept.lock().unwrap().iter().copied().collect::<Vec<u8>>();
    let text = String::from_utf8(kept).unwrap();
    assert!(!text.contains("CARGO"), "{text}");
    assert!(text.contains("\n/\n"), "{text}");
    assert!(text.trim_end().ends_with("0 1 2 3"), "3 is the directory itself: {text}");
}

#[test]
fn the_environment_is_the_one_of_the_specification() {
    let specification = include_str!("../../../protocol/SPEC.md");
    let (_, list) = specification.split_once("with an environment of ").unwrap();
    let (list, _) = list.split_once(" and no more").unwrap();
    let names: Vec<&str> = list
        .split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .filter(|it| !it.is_empty())
        .collect();
    assert_eq!(names, spawn::KEPT);
}

#[test]
fn a_dropped_child_takes_its_grandchildren_along() {
    let (child, _rx) = start("sleep 100 & echo $! >&2; wait");
    let deadline = Instant::now() + Duration::from_secs(5);
    let grandchild: u32 = loop {
        if let Ok(pid) = child.last_words().parse() {
            break pid;
        }
        assert!(Instant::now() < deadline, "no grandchild");
        wait_a_little();
    };
    assert!(is_alive(grandchild));
    drop(child);
    let deadline = Instant::now() + Duration::from_secs(5);
    while is_alive(grandchild) {
        assert!(Instant::now() < deadline, "grandchild {grandchild} is left");
        wait_a_little();
    }
}

#[test]
fn a_child_that_ignores_the_end_of_its_input_is_killed() {
    let (mut child, _rx) = start("trap '' TERM; while :; do sleep 1; done");
    let ending = child.end(Duration::from_millis(100));
    let told = "did not end with its standard input; after a signal of the host it was killed by \
                signal 9 (SIGKILL)";
    assert_eq!(ending.to_string(), told);
    assert!(!ending.is_killed_from_outside());
}

#[test]
fn a_child_is_asked_by_sigterm_before_it_is_killed() {
    let (mut child, _rx) = start("trap 'exit 7' TERM; echo ready >&2; while :; do sleep 1; done");
    let deadline = Instant::now() + Duration::from_secs(5);
    while child.last_words() != "ready" {
        assert!(Instant::now() < deadline, "no trap");
        wait_a_little();
    }
    let ending = child.end(Duration::from_millis(50)).to_string();
    assert!(ending.ends_with("it exited with code 7"), "{ending}");
}

#[test]
fn a_signal_from_outside_is_told_from_a_fault() {
    for (script, told, outside) in [
        ("kill -KILL $$", "was killed by signal 9 (SIGKILL), most likely by the kernel", true),
        ("kill -TERM $$", "was killed by signal 15 (SIGTERM)", true),
        ("kill -SEGV $$", "was killed by signal 11 (SIGSEGV)", false),
        ("exit 3", "exited with code 3", false),
    ] {
        let (mut child, _rx) = start(script);
        let ending = child.end(Duration::from_secs(5));
        assert!(ending.to_string().starts_with(told), "{ending}");
        assert_eq!(ending.is_killed_from_outside(), outside, "{ending}");
    }
}

#[test]
fn missing_program_says_what_to_do() {
    let command = ExtractorCommand { program: "/nowhere/extractor".into(), args: vec![] };
    let error = Child::start(&command, |_| true, |_| {}, |_| {}).unwrap_err();
    assert!(error.to_string().contains("no such file; build it"), "{error}");
}

#[test]
fn a_child_that_does_not_read_is_told_in_bounded_time() {
    let (mut child, _rx) = start("sleep 60");
    let full = vec![b'x'; 1 << 20];
    let error = child.write(&full).unwrap_err();
    assert!(error.contains("does not read its standard input"), "{error}");
}

#[test]
fn stderr_is_drained_and_bounded() {
    let (mut child, rx) =
        start("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo end >&2");
    assert!(matches!(rx.recv().unwrap(), FromChild::End(None)));
    assert_eq!(child.end(Duration::from_secs(5)).to_string(), "exited with code 0");
    let deadline = Instant::now() + Duration::from_secs(5);
    while !child.last_words().ends_with("end") {
        assert!(Instant::now() < deadline, "stderr is not drained");
        wait_a_little();
    }
    assert!(child.stderr.kept.lock().unwrap().len() <= STDERR_KEPT);
}
