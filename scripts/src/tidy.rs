//! `cargo xtask tidy`: the house rules that a compiler does not check, over the files of the
//! working copy.
//!
//! May touch: files that git tracks or would track, `git` and `cargo tree` to list them. Invariant:
//! a finding names a file and a line, what is wrong and what to do; reading changes nothing.

use std::fmt;
use std::path::Path;

use anyhow::Result;

mod closure;
mod docs;
mod files;
mod leaks;
mod manifests;
mod modules;
mod scan;
mod testdata;
mod tree;
mod walls;

use tree::Tree;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A rule over the whole tree.
type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule that looks at files only.
const RULES: [Rule; 17] = [
    files::top_folders,
    files::module_docs,
    files::file_length,
    files::unfinished,
    files::module_names,
    walls::purity,
    walls::owners,
    walls::queues,
    walls::unsafe_files,
    modules::direction,
    leaks::one_machine,
    testdata::digests,
    manifests::used,
    docs::dependencies,
    docs::invariants,
    docs::exit_codes,
    docs::paths,
];

/// Applies every rule to the working copy at `root`; findings come sorted by place.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::load(root)?;
    let mut found: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    found.extend(closure::allowed(&closure::of_protocol(root)?));
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
