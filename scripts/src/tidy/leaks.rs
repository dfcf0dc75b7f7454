//! What belongs to one machine or one moment stays out of the text.
//!
//! Pure. Invariant: a reader anywhere finds nothing that exists only where the text was written.

use super::Finding;
use super::files::OWN;
use super::tree::{File, Tree};

/// Text that is refused, and what to write instead.
const REFUSED: [(&[&str], &str); 3] = [
    (
        &["/home/", "/root/", "/Users/", "/work/", "/workspace/", "/wt/", "/tmp/t-", "/tmp/svc"],
        "a path of one machine: use one relative to the repository, or the temporary folder",
    ),
    (
        &[
            "crates.io",
            "repo1.maven.org",
            "repo.maven.apache.org",
            "pypi.org",
            "files.pythonhosted.org",
            "registry.npmjs.org",
            "proxy.golang.org",
            "deb.debian.org",
        ],
        "the address of a registry: which one is used is the reader's configuration, not ours",
    ),
    (
        &[
            "session transcript",
            "another worker",
            "other workers",
            "the brief says",
            "as instructed",
        ],
        "how a text came about: say what is so and why",
    ),
];

/// No paths, hosts or circumstances of one machine. Lock files name sources by design.
pub(super) fn one_machine(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let written = |file: &&File| {
        !file.path.starts_with(OWN) && !file.path.ends_with(".lock") && file.path != "LICENSE"
    };
    for file in tree.files.iter().filter(written) {
        for (line, text) in file.lines() {
            for (words, instead) in REFUSED {
                if let Some(word) = words.iter().find(|word| text.contains(**word)) {
                    found.push(Finding::new(&file.path, line, format!("`{word}`: {instead}")));
                }
            }
        }
    }
    found
}
