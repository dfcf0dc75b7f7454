//! Who may name what: the walls of the design, checked word by word in code that is built.
//!
//! Pure. Invariant: comments and quoted text never break a wall, and tests may look over it.

use super::scan::{has_word, words};
use super::tree::{File, Tree};
use super::{Finding, docs};

/// Where a library or a facility may be named, and why nowhere else.
struct Owner {
    /// Whole identifiers; `x_` stands for every identifier that starts so, `x::` for a path that
    /// starts at the crate `x`.
    words: &'static [&'static str],
    /// The wall holds in files whose path starts so.
    within: &'static str,
    /// Path prefixes behind the wall; none when only tests may name it.
    allowed: &'static [&'static str],
    /// Ends the message.
    instead: &'static str,
}

const OWNERS: [Owner; 7] = [
    Owner {
        words: &["rdkafka", "rdkafka_sys"],
        within: "",
        allowed: &[
            "extractor/src/source/kafka",
            "harness/src/demo",
            "harness/src/deadletter/",
            "scripts/src/bin/kafka_",
        ],
        instead: "only the Kafka source, the producers of the demo and of dead letters, and what \
                  the benchmark compares know the client: pass our own types",
    },
    Owner {
        words: &["rusqlite::", "mysql::", "mysql_common::"],
        within: "",
        allowed: &[
            "harness/src/store/",
            "harness/src/store.rs",
            "scripts/src/bin/bare_load.rs",
            "scripts/src/double/",
        ],
        instead: "database clients stop in harness/src/store: go through its trait",
    },
    Owner {
        words: &["aws_"],
        within: "",
        allowed: &["extractor/src/source/kinesis"],
        instead: "AWS types stop in the Kinesis source: pass our own types",
    },
    Owner {
        words: &["nix", "libc"],
        within: "extractor/",
        // The second one answers librdkafka in the place of the system's resolver.
        allowed: &["extractor/src/pipe", "extractor/src/source/kafka/handle"],
        instead: "system calls of the extractor are made in src/pipe: add a function there",
    },
    Owner {
        words: &["stdin", "stdout"],
        within: "extractor/",
        allowed: &["extractor/src/pipe"],
        instead: "stdin and stdout are the wire and belong to src/pipe: go through it",
    },
    Owner {
        words: &["stderr"],
        within: "extractor/",
        allowed: &[
            "extractor/src/pipe",
            "extractor/src/log",
            "extractor/src/exit.rs",
            "extractor/src/main.rs",
            "extractor/src/source/test",
        ],
        instead: "log with tracing; only the log, the last error and the test source write there",
    },
    Owner {
        words: &["apache_avro"],
        within: "",
        allowed: &[
            "scripts/src/bin/kafka_plain.rs",
            "scripts/src/double/load.rs",
            "extractor/src/decode/avro",
        ],
        instead: "it is the judge in tests, and reads the text of schemas in decode::avro: use \
                  protocol::avro",
    },
];

/// Libraries and system facilities stay behind their wall.
pub(super) fn owners(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for owner in &OWNERS {
        let files = tree.files.iter().filter(|file| {
            file.is_product_code()
                && file.path.starts_with(owner.within)
                && !owner.allowed.iter().any(|prefix| file.path.starts_with(prefix))
        });
        for file in files {
            for (line, code) in file.code_lines() {
                if let Some(word) = owner.words.iter().find(|word| names(code, word)) {
                    let message = format!("`{word}` here: {}", owner.instead);
                    found.push(Finding::new(&file.path, line, message));
                }
            }
        }
    }
    found
}

/// See [`Owner::words`].
fn names(code: &str, word: &str) -> bool {
    if let Some(root) = word.strip_suffix("::") {
        return words(code, root).any(|at| {
            let before = code.get(..at).unwrap_or_default();
            let after = code.get(at + root.len()..).unwrap_or_default();
            after.starts_with("::") && !before.ends_with("::")
        });
    }
    if word.ends_with('_') {
        let parts = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        return parts.into_iter().any(|part| part.starts_with(word));
    }
    has_word(code, word)
}

/// What `protocol` may not name: it takes bytes and returns values.
const IMPURE: [&str; 12] = [
    "std::io",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "tracing",
    "tokio",
    "println",
];

/// `protocol` reads no clock, file, environment or stream, and logs nothing.
pub(super) fn purity(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let pure = |file: &&File| file.path.starts_with("protocol/src/") && file.is_product_code();
    for file in tree.files.iter().filter(pure) {
        for (line, code) in file.code_lines() {
            if let Some(word) = IMPURE.iter().find(|word| has_word(code, word)) {
                let message = format!("`{word}` in protocol, which is pure: let the caller do it");
                found.push(Finding::new(&file.path, line, message));
            }
        }
    }
    found
}

/// No queue grows without a limit.
pub(super) fn queues(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.is_product_code()) {
        for (line, code) in file.code_lines() {
            let endless = ["mpsc::channel", "unbounded_channel", "unbounded"];
            if let Some(word) = endless.iter().find(|word| has_word(code, word)) {
                let message = format!("`{word}`: every queue has a limit: use sync_channel");
                found.push(Finding::new(&file.path, line, message));
            }
        }
    }
    found
}

/// `unsafe` stands only in the files that ARCHITECTURE.md lists with a reason, and all of those
/// have it.
pub(super) fn unsafe_files(tree: &Tree) -> Vec<Finding> {
    let listed = docs::entries(tree, "## Files with unsafe code");
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.is_rust()) {
        let first = file.code_lines().find(|(_, code)| has_word(code, "unsafe"));
        let entry = listed.iter().find(|entry| entry.name == file.path);
        match (first, entry) {
            (Some((line, _)), None) => {
                let message = "`unsafe` in a file that ARCHITECTURE.md does not list under \"Files \
                               with unsafe code\": avoid it, or list the file with the reason";
                found.push(Finding::new(&file.path, line, message));
            }
            (None, Some(entry)) => {
                let message = format!("{} has no unsafe code: remove the line", file.path);
                found.push(Finding::new(docs::PATH, entry.line, message));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    for entry in listed.iter().filter(|entry| tree.file(&entry.name).is_none()) {
        let message = format!("no file {}: remove the line", entry.name);
        found.push(Finding::new(docs::PATH, entry.line, message));
    }
    found
}
