//! Rules about files as such: where they are, how they begin, how long they are, that they are
//! finished.
//!
//! Pure. Invariant: each rule stands alone and can be tested on two files.

use std::collections::BTreeMap;

use super::Finding;
use super::scan::has_word;
use super::tree::Tree;

/// Top-level folders; others would have to be argued for in ARCHITECTURE.md first.
const FOLDERS: [&str; 5] = ["extractor", "harness", "protocol", "scripts", "testdata"];

/// Why: a file that fits a head. What is longer has two subjects.
const LINES_MAX: usize = 500;

/// Why: shorter is a name, not an explanation.
const DOC_WORDS_MIN: usize = 4;

/// The folder of these rules themselves, which have to name what they refuse.
pub(super) const OWN: &str = "scripts/src/tidy";

/// The top level holds the five folders and no other; dot-folders hold settings of tools.
pub(super) fn top_folders(tree: &Tree) -> Vec<Finding> {
    let mut found = BTreeMap::new();
    for file in &tree.files {
        if let Some((folder, _)) = file.path.split_once('/')
            && !folder.starts_with('.')
            && !FOLDERS.contains(&folder)
        {
            let list = FOLDERS.join(", ");
            let message = format!("folder `{folder}` at the top level: move it into one of {list}");
            found.entry(folder).or_insert_with(|| Finding::new(&file.path, 1, message));
        }
    }
    found.into_values().collect()
}

/// Every Rust file begins by saying what it is.
pub(super) fn module_docs(tree: &Tree) -> Vec<Finding> {
    let rust = tree.files.iter().filter(|file| file.is_rust());
    let bad = rust.filter(|file| {
        let doc = file.text().lines().take_while(|line| line.starts_with("//!"));
        let words = doc.flat_map(|line| line.trim_start_matches("//!").split_whitespace());
        words.count() < DOC_WORDS_MIN
    });
    let message = "no `//!` at the start: say what the file is, what it may touch, what holds";
    bad.map(|file| Finding::new(&file.path, 1, message)).collect()
}

/// Files without tests stay short.
pub(super) fn file_length(tree: &Tree) -> Vec<Finding> {
    let long = tree.files.iter().filter(|file| file.is_product_code());
    let long = long.map(|file| (file, file.code.lines().count()));
    long.filter(|&(_, lines)| lines > LINES_MAX)
        .map(|(file, lines)| {
            let message = format!("{lines} lines, at most {LINES_MAX}: split it by subject");
            Finding::new(&file.path, LINES_MAX + 1, message)
        })
        .collect()
}

/// Nothing is left to do, and no test is switched off.
pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.starts_with(OWN)) {
        for (line, text) in file.lines() {
            if let Some(word) = ["TODO", "FIXME", "XXX"].iter().find(|word| has_word(text, word)) {
                let message = format!("{word}: do it now, or write an issue and say why it waits");
                found.push(Finding::new(&file.path, line, message));
            }
        }
        for (line, code) in file.code_lines() {
            for (word, instead) in [
                ("todo!", "write the code"),
                ("unimplemented!", "write the code, or return an error that says what is missing"),
                ("#[ignore", "choose it by an environment variable and print `skipped` and why"),
            ] {
                if code.contains(word) {
                    found.push(Finding::new(&file.path, line, format!("{word}: {instead}")));
                }
            }
        }
    }
    found
}

/// A module with children is `x.rs` beside `x/`.
pub(super) fn module_names(tree: &Tree) -> Vec<Finding> {
    let bad = tree.files.iter().filter(|file| file.path.ends_with("/mod.rs"));
    let message = "mod.rs: name it after its folder and put it beside that (x.rs and x/)";
    bad.map(|file| Finding::new(&file.path, 1, message)).collect()
}
