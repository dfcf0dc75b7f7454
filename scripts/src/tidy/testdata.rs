//! Data files are what the README beside their folders says they are.
//!
//! Pure. Invariant: a file that changed without the checksum of its folder is found, and so is a
//! checksum without a folder.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Finding;
use super::tree::{File, Tree};

const README: &str = "testdata/README.md";

/// Every folder of `testdata` has a line `sha256 FOLDER: HEX` in the README: SHA-256 over name,
/// length and bytes of its files, in the order of names.
pub(super) fn digests(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut folders: BTreeMap<&str, Vec<(&str, &File)>> = BTreeMap::new();
    for file in &tree.files {
        let Some(inside) = file.path.strip_prefix("testdata/") else { continue };
        match inside.split_once('/') {
            Some((folder, name)) => folders.entry(folder).or_default().push((name, file)),
            None if file.path == README => {}
            None => found.push(Finding::new(&file.path, 1, "put it into a folder of testdata")),
        }
    }
    let lines: Vec<(usize, &str)> = tree.file(README).into_iter().flat_map(File::lines).collect();
    let mut listed = BTreeMap::new();
    for (line, text) in lines {
        if let Some((folder, digest)) =
            text.trim().strip_prefix("sha256 ").and_then(|rest| rest.split_once(": "))
        {
            listed.insert(folder, (line, digest));
        }
    }
    for (folder, files) in &folders {
        let right = format!("sha256 {folder}: {}", checksum(files));
        match listed.get(folder) {
            None => {
                let message = format!("says nothing of this folder's content: add `{right}`");
                found.push(Finding::new(README, 1, message));
            }
            Some((line, digest)) if !right.ends_with(digest) => {
                let message = format!("undo the change in `{folder}`, or write `{right}` here");
                found.push(Finding::new(README, *line, message));
            }
            Some(_) => {}
        }
    }
    for (folder, (line, _)) in listed {
        if !folders.contains_key(folder) {
            let message = format!("there is no folder `{folder}`: remove the line");
            found.push(Finding::new(README, line, message));
        }
    }
    found
}

fn checksum(files: &[(&str, &File)]) -> String {
    let mut hash = Sha256::new();
    for (name, file) in files {
        hash.update(format!("{name}\n{}\n", file.bytes.len()));
        hash.update(&file.bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
