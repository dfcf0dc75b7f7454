//! What `protocol` pulls in, transitively: an allow-list, because a misspelt ban would pass.
//!
//! May touch: `cargo tree`. Invariant: a new package in the closure is noticed by name.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Finding;

/// Packages that `protocol` and its dependencies consist of; none reads a clock, a file or a stream
/// on its own, and the build-time ones only write code.
const ALLOWED: [&str; 17] = [
    "byteorder",
    "bytes",
    "crc32c",
    "itoa",
    "memchr",
    "proc-macro2",
    "protocol",
    "quote",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "syn",
    "thiserror",
    "thiserror-impl",
    "unicode-ident",
    "zmij",
];

/// Names of the packages in the closure.
pub(super) fn of_protocol(root: &Path) -> Result<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.current_dir(root).args(["tree", "-p", "protocol", "-e", "normal", "--prefix", "none"]);
    let output = tree.output().context("list protocol's dependencies: start cargo")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("list protocol's dependencies: cargo tree: {}", text.trim().replace('\n', " "));
    }
    let text = String::from_utf8(output.stdout).context("read the output of cargo tree")?;
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}

/// The closure is exactly the list.
pub(super) fn allowed(closure: &BTreeSet<String>) -> Vec<Finding> {
    const PATH: &str = "protocol/Cargo.toml";
    let mut found = Vec::new();
    for name in closure.iter().filter(|name| !ALLOWED.contains(&name.as_str())) {
        let message = format!(
            "`{name}` came into protocol's dependencies: leave it out, or show that it is pure and \
             add it to scripts/src/tidy/closure.rs"
        );
        found.push(Finding::new(PATH, 1, message));
    }
    for name in ALLOWED.iter().filter(|name| !closure.contains(**name)) {
        let message = format!(
            "`{name}` is no longer among protocol's dependencies: take it off the list in \
             scripts/src/tidy/closure.rs"
        );
        found.push(Finding::new(PATH, 1, message));
    }
    found
}
