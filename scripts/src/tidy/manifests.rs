//! What the manifests depend on, and whether the code does.
//!
//! Pure. Invariant: a dependency that nothing names is found, so that the list stays the truth.

use super::Finding;
use super::scan::has_word;
use super::tree::Tree;

/// One line of a manifest that asks for a package that is not ours.
#[derive(Debug)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) line: usize,
}

/// Direct dependencies on packages that are not ours, those that only the workspace names included.
pub(super) fn direct(tree: &Tree) -> Vec<Dependency> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let mut inside = false;
        for (line, text) in file.lines() {
            if let Some(heading) = text.trim().strip_prefix('[') {
                inside = heading.trim_end_matches(']').ends_with("dependencies");
                continue;
            }
            let Some((key, value)) = text.split_once('=').filter(|_| inside) else { continue };
            let name = key.trim().split('.').next().unwrap_or_default().trim_matches('"');
            let ours = value.contains("path =") || tree.has(&format!("{name}/Cargo.toml"));
            // The automation's package has another name than its folder.
            if !name.is_empty() && !name.starts_with('#') && !ours && name != "xtask" {
                found.push(Dependency { name: name.to_owned(), path: file.path.clone(), line });
            }
        }
    }
    found
}

/// Each dependency is named in the code of its package, or, for the workspace's own list, in the
/// manifest of one.
pub(super) fn used(tree: &Tree) -> Vec<Finding> {
    let all = direct(tree);
    let mut found = Vec::new();
    for dependency in &all {
        let Dependency { name, path, line } = dependency;
        let folder = path.trim_end_matches("Cargo.toml");
        let is_used = if folder.is_empty() {
            all.iter().any(|other| &other.name == name && &other.path != path)
        } else {
            let word = name.replace('-', "_");
            let code = tree.files.iter().filter(|file| file.path.starts_with(folder));
            code.into_iter().any(|file| has_word(&file.code, &word))
        };
        if !is_used {
            let message = format!("nothing uses `{name}`: remove the line");
            found.push(Finding::new(path, *line, message));
        }
    }
    found
}
