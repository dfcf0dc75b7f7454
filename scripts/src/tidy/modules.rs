//! Which module of a crate may import which: data flows one way.
//!
//! Pure. Invariant: what is listed is refused in every spelling of an import (`crate::x`,
//! `crate::{x, y}`, `super::x` from a module at the top of its crate).

use super::Finding;
use super::scan::words;
use super::tree::{File, Tree};

/// A module and the modules of its crate that it may not import.
struct Direction {
    folder: &'static str,
    module: &'static str,
    never: &'static [&'static str],
}

const fn in_extractor(module: &'static str, never: &'static [&'static str]) -> Direction {
    Direction { folder: "extractor/src/", module, never }
}

const fn in_harness(module: &'static str, never: &'static [&'static str]) -> Direction {
    Direction { folder: "harness/src/", module, never }
}

/// source → decode → row → encode → batch → pump → pipe; configuration stands aside.
/// store ← catalogue ← transaction ← run; child and link belong to run.
const DIRECTIONS: [Direction; 17] = [
    in_extractor("source", &["batch", "pump", "pipe", "args", "exit"]),
    in_extractor("decode", &["source", "batch", "pump", "pipe", "args", "exit", "log"]),
    in_extractor("row", &["source", "batch", "pump", "pipe", "args", "exit", "log"]),
    in_extractor("encode", &["source", "row", "decode", "batch", "pump", "pipe", "args", "exit"]),
    in_extractor("config", &["source", "batch", "pump", "pipe"]),
    in_extractor("batch", &["pump", "args", "exit"]),
    in_extractor("pipe", &["pump", "batch", "decode", "encode", "args", "exit"]),
    in_harness("store", &["catalogue", "transaction", "stage", "run", "link", "child", "pipeline"]),
    in_harness("catalogue", &["transaction", "stage", "run", "link", "child", "pipeline"]),
    in_harness("transaction", &["run", "link", "child", "pipeline"]),
    in_harness("stage", &["run", "link", "child", "catalogue", "transaction", "pipeline"]),
    in_harness("child", &["link", "store", "catalogue", "transaction", "stage"]),
    in_harness("link", &["store", "catalogue", "transaction", "stage"]),
    in_harness("run", &["sql", "cli"]),
    in_harness("import", &["run", "sql", "cli", "store", "transaction"]),
    in_harness("sql", &["cli", "demo"]),
    in_harness(
        "conformance",
        &["store", "catalogue", "transaction", "stage", "link", "pipeline", "sql", "cli"],
    ),
];

/// A module imports only from its left.
pub(super) fn direction(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for direction in &DIRECTIONS {
        for file in tree.files.iter().filter(|file| direction.covers(file)) {
            let at_top = file.path.matches('/').count() == direction.folder.matches('/').count();
            for (line, module) in imports(&file.code, at_top) {
                if direction.never.contains(&module) {
                    let message = format!(
                        "`{}` imports `{module}`, against the flow of data: pass what is needed \
                         from above, or move it",
                        direction.module
                    );
                    found.push(Finding::new(&file.path, line, message));
                }
            }
        }
    }
    found
}

impl Direction {
    fn covers(&self, file: &File) -> bool {
        let inside = file.path.strip_prefix(self.folder);
        let inside = inside.and_then(|path| path.strip_prefix(self.module));
        file.is_product_code() && inside.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }
}

/// Modules at the top of the crate that are named, with the line.
fn imports(code: &str, at_top: bool) -> Vec<(usize, &str)> {
    let roots = if at_top { ["crate", "super"].as_slice() } else { ["crate"].as_slice() };
    let mut found = Vec::new();
    for root in roots {
        for at in words(code, root) {
            let line = 1 + code.get(..at).unwrap_or_default().matches('\n').count();
            let Some(rest) = code.get(at + root.len()..).and_then(|rest| rest.strip_prefix("::"))
            else {
                continue;
            };
            match rest.strip_prefix('{') {
                Some(group) => found.extend(first_names(group).map(|name| (line, name))),
                None => found.extend(name_at_start(rest).map(|name| (line, name))),
            }
        }
    }
    found
}

/// The first name of each member of a `{…}` group that was just opened.
fn first_names(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let mut starts = vec![0];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    starts.into_iter().filter_map(|at| name_at_start(group.get(at..)?.trim_start()))
}

fn name_at_start(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.get(..end).filter(|name| !name.is_empty())
}
