//! The golden vectors in `testdata/`: every file is read, judged and, where the code can write it,
//! written again and compared byte for byte.
//!
//! `UPDATE_GOLDEN=1` writes the files that this test generates; a changed file is a changed
//! protocol and belongs into SPEC.md, `protocol/peer` and the README of `testdata`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic"
)]

mod avro;
mod frames;
mod offsets;
mod readme;
mod rows;
mod sessions;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// `testdata` at the top of the repository.
pub(crate) fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("testdata")
}

/// Files of a folder by name, in order.
pub(crate) fn files(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(testdata().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        files.insert(name, fs::read(entry.path()).unwrap());
    }
    assert!(!files.is_empty(), "testdata/{folder} is empty");
    files
}

/// Compares the files of a folder with what the code generates: none missing, none extra. With
/// `UPDATE_GOLDEN` writes them.
pub(crate) fn check_generated(folder: &str, wanted: &BTreeMap<String, Vec<u8>>) {
    let path = testdata().join(folder);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&path).unwrap();
        for entry in fs::read_dir(&path).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, bytes) in wanted {
            fs::write(path.join(name), bytes).unwrap();
        }
    }
    let found = files(folder);
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        wanted.keys().collect::<Vec<_>>(),
        "files of testdata/{folder}"
    );
    for (name, bytes) in wanted {
        assert!(found[name] == *bytes, "testdata/{folder}/{name} is not what the code writes");
    }
}
