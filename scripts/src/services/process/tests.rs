//! Checks that a process is told apart from another with its id, and is ended as asked.

use super::*;

#[test]
fn stat_is_read_past_a_name_with_blanks_and_parentheses() {
    let check = |text: &str, expected: Option<(bool, u64)>| {
        assert_eq!(parse_stat(text).map(|stat| (stat.runs, stat.start_ticks)), expected, "{text}");
    };
    let tail = "1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
    let threads_left = "1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 2 0 4711 0 0";
    check(&format!("7 (java) S {tail}"), Some((true, 4711)));
    check(&format!("7 (a) b) (c) R {tail}"), Some((true, 4711)));
    check(&format!("7 (java) Z {tail}"), Some((false, 4711)));
    check(&format!("7 (java) Z {threads_left}"), Some((true, 4711)));
    check("7 (java) S 1 1", None);
    check("", None);
}

fn sleeper(log: &Path, script: &str) -> Identity {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    spawn_detached(&command, log).unwrap()
}

fn scratch(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn another_start_time_or_boot_is_another_process() {
    let folder = scratch("identity");
    let real = sleeper(&folder.join("log"), "exec sleep 60");
    assert!(real.is_alive());
    let mut recycled = real.clone();
    recycled.start_ticks += 1;
    assert!(!recycled.is_alive());
    recycled.kill().unwrap();
    let mut rebooted = real.clone();
    rebooted.boot_id = "other".to_owned();
    rebooted.kill().unwrap();
    assert!(real.is_alive(), "a process that only shares the id was hit");
    real.kill().unwrap();
    assert!(!real.is_alive());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_process_that_ignores_the_request_is_killed() {
    let folder = scratch("stubborn");
    let marker = folder.join("ready");
    let script = format!("trap '' TERM; touch '{}'; while :; do sleep 0.1; done", marker.display());
    let stubborn = sleeper(&folder.join("log"), &script);
    while !marker.exists() {
        std::thread::sleep(LOOK_AGAIN);
    }
    assert!(!stubborn.terminate(Duration::from_millis(100)).unwrap());
    assert!(!stubborn.is_alive());
    let polite = sleeper(&folder.join("log"), "exec sleep 60");
    assert!(polite.terminate(Duration::from_secs(10)).unwrap());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_spawned_process_leads_its_own_session() {
    let folder = scratch("session");
    let child = sleeper(&folder.join("log"), "exec sleep 60");
    let session = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.pid)).unwrap();
        stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(3).map(str::to_owned)
    };
    // setsid(1) needs a moment between its own start and the call.
    let deadline = Instant::now() + Duration::from_secs(10);
    while session() != Some(child.pid.to_string()) && Instant::now() < deadline {
        std::thread::sleep(LOOK_AGAIN);
    }
    assert_eq!(session(), Some(child.pid.to_string()));
    child.kill().unwrap();
    fs::remove_dir_all(folder).unwrap();
}
