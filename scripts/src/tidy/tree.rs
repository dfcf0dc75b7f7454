//! The files that rules look at: those git tracks, and those it would track if asked to.
//!
//! May touch: files below the root, `git ls-files`. Invariant: what git ignores is never seen, so a
//! build or an editor changes no finding.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::scan;

/// Files larger than this are listed and digested, but their text is not looked at.
///
/// Why: no text written by hand comes near it.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// One file.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
    /// For Rust: the text without comments, without what is between quotes and without inline
    /// tests; lines keep their numbers. Empty for other files.
    pub(super) code: String,
}

impl File {
    fn new(path: &str, bytes: Vec<u8>) -> Self {
        let mut file = Self { path: path.to_owned(), bytes, code: String::new() };
        if file.is_rust() {
            file.code = scan::production(&scan::code_only(file.text())).to_owned();
        }
        file
    }

    /// The text; empty for a binary file.
    pub(super) fn text(&self) -> &str {
        let head = self.bytes.get(..self.bytes.len().min(TEXT_BYTES_MAX)).unwrap_or_default();
        std::str::from_utf8(head).unwrap_or_default()
    }

    /// Lines of the text with their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text().lines())
    }

    /// Lines of the code with their numbers.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, end)| end == "rs")
    }

    /// Code that only runs in tests, benchmarks and examples.
    pub(super) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples"))
    }

    /// Rust that becomes part of what is built.
    pub(super) fn is_product_code(&self) -> bool {
        self.is_rust() && !self.is_test()
    }
}

/// All files, sorted by path.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

impl Tree {
    /// Reads what git lists below `root`.
    pub(super) fn load(root: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.arg("-C").arg(root);
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let output = git.output().context("list files: start git (Debian package git)")?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("list files: git ended with {}: {}", output.status, text.trim());
        }
        let mut files = Vec::new();
        for path in output.stdout.split(|&byte| byte == 0).filter(|path| !path.is_empty()) {
            let path = std::str::from_utf8(path).context("a file's name is not UTF-8")?;
            let full = root.join(path);
            // Deleted but not yet committed, or a link: neither has text of its own.
            if fs::symlink_metadata(&full).is_ok_and(|found| found.is_file()) {
                let bytes = fs::read(&full).with_context(|| format!("read {path}"))?;
                files.push(File::new(path, bytes));
            }
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Self { files })
    }

    /// A file by its path.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether a file or a folder has this path.
    pub(super) fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }

    /// A tree that exists only in a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File::new(path, text.as_bytes().to_vec()));
        Self { files: files.collect() }
    }
}
