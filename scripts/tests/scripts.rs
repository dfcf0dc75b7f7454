//! The scripts that people start: they parse, say what they do, and refuse what they do not know.
//!
//! Runs them only as far as their help and their errors.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCRIPTS: [&str; 6] = [
    "scripts/demo",
    "scripts/install",
    "scripts/test",
    "scripts/bench",
    "scripts/singlestore",
    ".ci/run",
];

fn path(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(script)
}

fn run(script: &str, argument: &str) -> Output {
    Command::new(path(script)).arg(argument).current_dir("/").output().unwrap()
}

#[test]
fn scripts_parse_and_can_be_started() {
    for script in SCRIPTS {
        let shell = if script == ".ci/run" { "bash" } else { "sh" };
        let checked = Command::new(shell).arg("-n").arg(path(script)).output().unwrap();
        assert!(checked.status.success(), "{script}: {checked:?}");
        let mode = std::fs::metadata(path(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script}: chmod +x it");
    }
}

#[test]
fn help_says_what_a_script_does_and_how_to_call_it() {
    for script in SCRIPTS.into_iter().filter(|script| script.starts_with("scripts/")) {
        let help = run(script, "--help");
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(help.status.success(), "{script}: {text}");
        assert!(text.contains(&format!("  {script}")), "{script}: {text}");
        assert!(!text.contains("set -e"), "{script} prints more than its head: {text}");
    }
}

#[test]
fn unknown_options_are_named() {
    for script in ["scripts/install", "scripts/test", "scripts/singlestore", ".ci/run"] {
        let refused = run(script, "--fast");
        let text = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{script}: {text}");
        assert!(text.contains("--fast"), "{script}: {text}");
    }
}

/// A row that came twice has the place of one that is there: it must not hide behind it.
#[test]
fn the_comparison_with_the_jvm_connector_notices_doubled_rows() {
    let script = path("scripts/kinesis/compare.py");
    let run = Command::new("python3").arg("-B").arg(script).arg("--self-test").output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success() && text.contains("self-test passed"), "{text}");
}
