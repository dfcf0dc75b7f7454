//! The README of `testdata` names every folder with the checksum of its files.

use std::collections::BTreeSet;
use std::fs;

use sha2::{Digest as _, Sha256};

use crate::{files, testdata};

/// Folders of this crate; others belong to other crates and say so in the README.
const FOLDERS: [&str; 5] = ["avro", "frames", "offsets", "rows", "sessions"];

/// SHA-256 over name, length and bytes of each file, in the order of names.
fn checksum(folder: &str) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in files(folder) {
        hash.update(format!("{name}\n{}\n", bytes.len()));
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_readme_has_the_checksum_of_every_folder() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        // Written by the other tests of this run; checked by the next one.
        return;
    }
    let readme = fs::read_to_string(testdata().join("README.md")).unwrap();
    for folder in FOLDERS {
        let line = format!("sha256 {folder}: {}", checksum(folder));
        assert!(readme.contains(&line), "testdata/README.md lacks the line\n{line}");
    }
    let entries = fs::read_dir(testdata()).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let found: BTreeSet<_> = folders.map(|it| it.file_name().into_string().unwrap()).collect();
    for folder in found {
        assert!(
            readme.contains(&format!("`{folder}`")),
            "testdata/README.md says nothing of {folder}"
        );
    }
}
