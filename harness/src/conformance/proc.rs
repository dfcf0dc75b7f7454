//! What the system tells of a process.
//!
//! May touch: `/proc`, for reading.

use std::fs;

use super::fault::{Fault, miss};

/// Deepest family that is walked. Why: a program starts none at all.
const GENERATIONS: usize = 8;

/// A file of `/proc/PID`.
pub(super) fn file(pid: i32, name: &str) -> Result<Vec<u8>, Fault> {
    fs::read(format!("/proc/{pid}/{name}")).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Fault::Skip(format!("/proc/PID/{name} may not be read by this user"))
        }
        _ => miss("a running program", format!("/proc/PID/{name}: {error}")),
    })
}

/// The processes that this one started and that run.
pub(super) fn children(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let text: Vec<String> = lists.flatten().collect();
    text.iter().flat_map(|text| text.split_whitespace()).filter_map(|it| it.parse().ok()).collect()
}

/// A process and all that came from it.
pub(super) fn family(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut newest = vec![pid];
    for _ in 0..GENERATIONS {
        newest = newest.iter().flat_map(|pid| children(*pid)).collect();
        found.extend(&newest);
    }
    found
}

/// Whether a process exists and is not just waiting to be reaped.
pub(super) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// Processor time so far, in ticks of 10 ms.
pub(super) fn ticks(pid: i32) -> Result<u64, Fault> {
    let stat = file(pid, "stat")?;
    let text = String::from_utf8_lossy(&stat);
    let fields = text.rsplit(')').next().unwrap_or_default();
    let numbers = fields.split_whitespace().skip(11).take(2);
    Ok(numbers.filter_map(|number| number.parse::<u64>().ok()).sum())
}

/// Resident memory in KiB.
pub(super) fn resident_kib(pid: i32) -> Result<u64, Fault> {
    let status = file(pid, "status")?;
    let text = String::from_utf8_lossy(&status).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    Ok(line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// Open descriptors and where they lead, by number.
pub(super) fn descriptors(pid: i32) -> Result<Vec<(i32, String)>, Fault> {
    let folder = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Fault::Skip("/proc/PID/fd may not be read by this user".to_owned())
        }
        _ => miss("a running program", format!("/proc/PID/fd: {error}")),
    })?;
    let mut found: Vec<(i32, String)> = folder
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?.display().to_string()))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Threads of a process.
pub(super) fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}
