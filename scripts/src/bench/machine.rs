//! Where and when figures were taken: without it they mean nothing.
//!
//! May touch: /proc, `date`, `git`. Invariant: what cannot be found out is said to be unknown.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Options whose values are paths.
const PATHS: [&str; 3] = ["--json", "--extractor", "--harness"];

/// Machine, moment, commit and command.
pub(super) fn describe(root: &Path, args: &[String]) -> Result<Value> {
    let cores = std::thread::available_parallelism().context("count the cores")?.get();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut command = "./scripts/bench".to_owned();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if PATHS.contains(&word.as_str()) {
            // Where things lie on this machine helps nobody to repeat it.
            words.next();
            continue;
        }
        command.push(' ');
        command.push_str(word);
    }
    Ok(json!({
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": cores,
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": first_line(Command::new("uname").arg("-sr")),
        "date": first_line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
        "quiet": is_quiet()?,
        "load_before": load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        "commit": first_line(Command::new("git").arg("-C").arg(root).args(["rev-parse", "--short", "HEAD"])),
        "command": command,
    }))
}

/// How long other work is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Whether the processors had nearly nothing to do for a second: less than a fifth of one core.
fn is_quiet() -> Result<bool> {
    let before = idle_ticks()?;
    std::thread::sleep(LOOK);
    let idle = idle_ticks()?.saturating_sub(before);
    let cores = std::thread::available_parallelism().context("count the cores")?.get() as u64;
    Ok(idle + 20 >= cores * 100 * LOOK.as_secs())
}

/// Hundredths of a second that all processors together spent doing nothing, since the start.
fn idle_ticks() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let fields = text.lines().next().unwrap_or_default().split_ascii_whitespace();
    let idle = fields.skip(4).take(2).map(|field| field.parse::<u64>().unwrap_or(0));
    Ok(idle.sum())
}

fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    line.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.as_deref().and_then(|text| text.lines().next());
    line.map_or_else(|| "unknown".to_owned(), str::to_owned)
}
