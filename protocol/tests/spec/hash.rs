//! The hash over the code that SPEC.md describes.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::{crate_folder, spec};

/// What the specification is about: the wire, the messages, offsets, limits, errors, sessions.
const COVERED: [&str; 12] = [
    "wire",
    "wire.rs",
    "message",
    "message.rs",
    "avro",
    "avro.rs",
    "session",
    "session.rs",
    "json.rs",
    "offset.rs",
    "limits.rs",
    "error.rs",
];

const LINE: &str = "wire hash: ";

/// Sources below `path`, tests left out.
fn sources(path: &Path, out: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), out);
        }
    } else if path.file_name().is_some_and(|name| name != "tests.rs") {
        out.push(path.to_owned());
    }
}

fn hash() -> String {
    let root = crate_folder().join("src");
    let mut files = Vec::new();
    for name in COVERED {
        assert!(root.join(name).exists(), "{name} moved: change the list in this test");
        sources(&root.join(name), &mut files);
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap().replace("\r\n", "\n");
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        hash.update(format!("{name}\n{}\n", text.len()));
        hash.update(text);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_wire_code_is_the_one_that_was_specified() {
    let (text, now) = (spec(), hash());
    let line = text.lines().find(|line| line.starts_with(LINE)).expect("SPEC.md has a wire hash");
    let wanted = format!("{LINE}{now}");
    if line == wanted {
        return;
    }
    if std::env::var_os("UPDATE_SPEC").is_some() {
        // Other tests read the file meanwhile: it is replaced as a whole.
        let fresh = crate_folder().join("SPEC.md.new");
        fs::write(&fresh, text.replace(line, &wanted)).unwrap();
        fs::rename(fresh, crate_folder().join("SPEC.md")).unwrap();
        return;
    }
    panic!(
        "the wire code changed. If peers can notice the change, describe it in SPEC.md, in \
         protocol/peer and in testdata (UPDATE_GOLDEN=1 cargo test -p protocol --test vectors). \
         Then run: UPDATE_SPEC=1 cargo test -p protocol --test spec"
    );
}
