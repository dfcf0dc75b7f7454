//! Data files are what their README says they are.
//!
//! Pure. Invariant: a file that changed without its digest is found, and so is a digest without a
//! file.

use sha2::{Digest, Sha256};

use super::Finding;
use super::tree::{File, Tree};

/// Characters of a SHA-256 in hexadecimal.
const DIGEST_LEN: usize = 64;

/// Every file below `testdata` stands with its SHA-256 on a line of the nearest README.md above it,
/// and every digest in such a README is that of a file.
pub(super) fn digests(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let data = |file: &&File| file.path.starts_with("testdata/");
    for file in tree.files.iter().filter(data).filter(|file| !is_readme(file)) {
        let digest = digest(file);
        let Some(readme) = readme_of(tree, &file.path) else {
            let message =
                "no README.md in its folder or above: add one with provenance and SHA-256";
            found.push(Finding::new(&file.path, 1, message));
            continue;
        };
        let folder = readme.path.trim_end_matches("README.md");
        let name = file.path.strip_prefix(folder).unwrap_or(&file.path);
        match readme.lines().find(|(_, text)| mentions(text, name)) {
            None => {
                let message = format!("not in {}: add `{name}` with {digest}", readme.path);
                found.push(Finding::new(&file.path, 1, message));
            }
            Some((line, text)) if !text.contains(&digest) => {
                let message = format!(
                    "`{name}` is {digest} now: undo the change to it, or write down this one"
                );
                found.push(Finding::new(&readme.path, line, message));
            }
            Some(_) => {}
        }
    }
    found.extend(stale(tree));
    found
}

fn stale(tree: &Tree) -> Vec<Finding> {
    let known: Vec<String> =
        tree.files.iter().filter(|file| file.path.starts_with("testdata/")).map(digest).collect();
    let mut found = Vec::new();
    let readmes = tree.files.iter().filter(|file| file.path.starts_with("testdata/"));
    for readme in readmes.filter(|file| is_readme(file)) {
        for (line, text) in readme.lines() {
            let mut digests = text
                .split(|c: char| !c.is_ascii_hexdigit())
                .filter(|word| word.len() == DIGEST_LEN);
            if digests.any(|word| !known.iter().any(|digest| digest == word)) {
                let message = "a SHA-256 that no file here has: correct it or remove the line";
                found.push(Finding::new(&readme.path, line, message));
            }
        }
    }
    found
}

fn is_readme(file: &File) -> bool {
    file.path.ends_with("/README.md")
}

/// Whether a line names the file, not one whose name only ends or begins the same.
fn mentions(text: &str, name: &str) -> bool {
    let edge = |c: char| c.is_whitespace() || "`|*()[],".contains(c);
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|tail| tail.chars().next());
        before.is_none_or(edge) && after.is_none_or(|c| edge(c) || c == ':')
    })
}

fn readme_of<'a>(tree: &'a Tree, path: &str) -> Option<&'a File> {
    let mut folder = path;
    while let Some((above, _)) = folder.rsplit_once('/') {
        if let Some(readme) = tree.file(&format!("{above}/README.md")) {
            return Some(readme);
        }
        folder = above;
    }
    None
}

fn digest(file: &File) -> String {
    Sha256::digest(&file.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
