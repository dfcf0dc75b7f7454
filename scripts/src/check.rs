//! What must hold before a test runs: formatting, lints without a warning, house rules.
//!
//! May touch: cargo, and what [`crate::tidy`] may. Invariant: every step runs, so that one run
//! shows everything there is to repair.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::tidy;

/// Runs every step in the workspace at `root`, telling which one by `say`.
pub fn run(root: &Path, say: fn(&str)) -> Result<ExitCode> {
    let mut failed = Vec::new();
    for (name, arguments) in [
        ("fmt", ["fmt", "--all", "--check"].as_slice()),
        (
            "clippy",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--features",
                "xtask/peers,xtask/loaders",
                "--locked",
                "--",
                "-D",
                "warnings",
            ],
        ),
    ] {
        say(&format!("cargo {}", arguments.join(" ")));
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let status = cargo.current_dir(root).args(arguments).status().context("start cargo")?;
        if !status.success() {
            failed.push(name);
        }
    }
    say("tidy");
    let found = tidy::check(root)?;
    for finding in &found {
        say(&finding.to_string());
    }
    if !found.is_empty() {
        failed.push("tidy");
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("check failed: {}; the lines above say where and what to do", failed.join(", "));
}
