//! ARCHITECTURE.md against the tree: dependencies, invariants, files it names.
//!
//! Pure. Invariant: what the document claims to be checked is checked by something that exists.

use std::collections::BTreeSet;

use super::files::OWN;
use super::tree::Tree;
use super::{Finding, manifests};

/// The document.
pub(super) const PATH: &str = "ARCHITECTURE.md";

/// A line of a list: a name in backticks, then text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What stands in the backticks.
    pub(super) name: String,
    /// Where.
    pub(super) line: usize,
    /// What follows, without the dash.
    pub(super) reason: String,
}

/// Lines of the section under `heading`, with their numbers.
fn section<'a>(tree: &'a Tree, heading: &'a str) -> Vec<(usize, &'a str)> {
    let lines = tree.file(PATH).into_iter().flat_map(|file| file.lines());
    lines
        .skip_while(|(_, text)| *text != heading)
        .skip(1)
        .take_while(|(_, text)| !text.starts_with("## "))
        .collect()
}

/// List items ``- `name`: text`` of the section under `heading`.
pub(super) fn entries(tree: &Tree, heading: &str) -> Vec<Entry> {
    let items = section(tree, heading).into_iter().filter_map(|(line, text)| {
        let (name, rest) = text.strip_prefix("- `")?.split_once('`')?;
        let reason = rest.trim_start_matches([':', ' ']).to_owned();
        Some(Entry { name: name.to_owned(), line, reason })
    });
    items.collect()
}

const DEPENDENCIES: &str = "## Dependencies";

/// Why: shorter is no reason.
const REASON_WORDS_MIN: usize = 3;

/// Every direct dependency has its line of reason, and every line is a dependency.
pub(super) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let listed = entries(tree, DEPENDENCIES);
    let used = manifests::direct(tree);
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for dependency in &used {
        let name = &dependency.name;
        if !listed.iter().any(|entry| &entry.name == name) && told.insert(name) {
            let message = format!(
                "`{name}` has no line under \"{DEPENDENCIES}\" of {PATH}: say there in one line \
                 what we would have to write instead"
            );
            found.push(Finding::new(&dependency.path, dependency.line, message));
        }
    }
    for entry in &listed {
        if !used.iter().any(|dependency| dependency.name == entry.name) {
            let message = format!("`{}` is no direct dependency: remove the line", entry.name);
            found.push(Finding::new(PATH, entry.line, message));
        } else if entry.reason.split_whitespace().count() < REASON_WORDS_MIN {
            let message = format!("`{}` has no reason: say what it saves us", entry.name);
            found.push(Finding::new(PATH, entry.line, message));
        }
    }
    found
}

const INVARIANTS: &str = "## Invariants";
const CHECKED_BY: &str = "Checked by";

/// Every invariant names at least one check, and each check it names exists.
pub(super) fn invariants(tree: &Tree) -> Vec<Finding> {
    let lines = section(tree, INVARIANTS);
    let mut found = Vec::new();
    // An item goes on until the next one or an empty line.
    let mut items: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (line, text) in lines {
        if text.starts_with("- ") {
            items.push((line, text.to_owned()));
            open = true;
        } else if text.trim().is_empty() {
            open = false;
        } else if let Some((_, item)) = items.last_mut().filter(|_| open) {
            item.push(' ');
            item.push_str(text.trim());
        }
    }
    for (line, item) in items {
        let checks = item.split_once(CHECKED_BY).map(|(_, checks)| checks);
        let names: Vec<&str> =
            checks.into_iter().flat_map(|checks| checks.split('`').skip(1).step_by(2)).collect();
        if names.is_empty() {
            let message = format!("an invariant without a check: end it with \"{CHECKED_BY} `…`\"");
            found.push(Finding::new(PATH, line, message));
        }
        for name in names.into_iter().filter(|name| !is_a_check(tree, name)) {
            let message = format!("no test or rule is called `{name}`: correct the name");
            found.push(Finding::new(PATH, line, message));
        }
    }
    found
}

/// A check is a test or a rule of tidy by its name; a module path before it is for readers.
fn is_a_check(tree: &Tree, name: &str) -> bool {
    let name = name.rsplit("::").next().unwrap_or(name);
    let defined = |text: &str| text.trim_start().contains(&format!("fn {name}("));
    let rust = tree.files.iter().filter(|file| file.is_rust());
    rust.into_iter().any(|file| {
        if file.path.starts_with(OWN) {
            return file.text().lines().any(defined);
        }
        // Attributes stand between `#[test]` and the name.
        let mut is_test = false;
        file.text().lines().any(|line| {
            let line = line.trim();
            let found = is_test && defined(line);
            is_test = line == "#[test]" || (is_test && line.starts_with("#["));
            found
        })
    })
}

/// The table of exit codes in README.md is the harness's own: `NAME = CODE, "MEANING";`.
pub(super) fn exit_codes(tree: &Tree) -> Vec<Finding> {
    const CODE: &str = "harness/src/exit.rs";
    const README: &str = "README.md";
    let (Some(code), Some(readme)) = (tree.file(CODE), tree.file(README)) else {
        return Vec::new();
    };
    let parse = |text: &'_ str| {
        let (number, meaning) = text.split_once(" = ")?.1.split_once(", \"")?;
        let number: u8 = number.parse().ok()?;
        Some(format!("| {number} | {} |", meaning.strip_suffix("\";")?))
    };
    let missing = code.lines().filter_map(|(line, text)| Some((line, parse(text)?)));
    let missing = missing.filter(|(_, row)| !readme.lines().any(|(_, text)| text.starts_with(row)));
    let message = |row| format!("{README} has not this exit code: its table needs `{row} …`");
    missing.map(|(line, row)| Finding::new(CODE, line, message(row))).collect()
}

/// Files and folders that the documents of the top level name in backticks exist.
pub(super) fn paths(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let documents = tree.files.iter().filter(|file| {
        !file.path.contains('/') && file.path.ends_with(".md") && file.path != "CHANGELOG.md"
    });
    for file in documents {
        for (line, text) in file.lines() {
            for name in text.split('`').skip(1).step_by(2).filter(|name| is_path(name)) {
                if !tree.has(name.trim_start_matches("./")) {
                    let message = format!("there is no `{name}`: correct the path");
                    found.push(Finding::new(&file.path, line, message));
                }
            }
        }
    }
    found
}

/// One word that starts at a folder of the top level; patterns and placeholders are not paths.
fn is_path(name: &str) -> bool {
    let inside = name.trim_start_matches("./").split_once('/');
    inside.is_some_and(|(folder, _)| {
        matches!(folder, "extractor" | "harness" | "protocol" | "scripts" | "testdata" | ".ci")
    }) && !name.contains([' ', '*', '<', '{', '…'])
}
