//! One small broken tree for each rule, and the working copy for all of them.

use std::collections::BTreeSet;

use super::*;
use crate::cache;

/// Applies one rule; each expected finding is `PATH:LINE` and a part of the message.
#[track_caller]
fn check(rule: Rule, files: &[(&str, &str)], expected: &[(&str, &str)]) {
    let found: Vec<String> = rule(&Tree::of(files)).iter().map(Finding::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, (place, part)) in found.iter().zip(expected) {
        assert!(line.starts_with(&format!("{place}: ")) && line.contains(part), "{line}");
    }
}

/// Rust with a head, so that only the rule at hand has a say.
fn rust(code: &str) -> String {
    format!("//! Some file of a test.\n{code}")
}

#[test]
fn the_working_copy_is_tidy() {
    let found = super::check(&cache::workspace_root().unwrap()).unwrap();
    let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn top_folders_are_five() {
    let files = [("docs/a.md", ""), ("docs/b.md", ""), (".ci/run", ""), ("scripts/x", "")];
    check(files::top_folders, &files, &[("docs/a.md:1", "extractor, harness")]);
}

#[test]
fn a_file_says_what_it_is() {
    let files = [
        ("a.rs", "//! What this file is for.\n"),
        ("b.rs", "// What this file is for.\n"),
        ("c.rs", "//! Doc.\n"),
        ("c.txt", ""),
    ];
    check(files::module_docs, &files, &[("b.rs:1", "//!"), ("c.rs:1", "//!")]);
}

#[test]
fn a_file_without_tests_is_short() {
    let long = "fn f() {}\n".repeat(501);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    let files = [("a/src/a.rs", &*long), ("a/src/a/tests.rs", &*long), ("a/src/b.rs", &*tests)];
    check(files::file_length, &files, &[("a/src/a.rs:501", "501 lines")]);
}

#[test]
fn nothing_is_left_to_do() {
    let code = rust("#[ignore = \"slow\"]\nfn f() { todo!() }\nfn g() { \"todo!\"; }\n");
    let files = [("a.rs", &*code), ("b.md", "x\nTODO: y\n"), ("c.md", "TODOS")];
    let expected = [("a.rs:2", "environment"), ("a.rs:3", "write the code"), ("b.md:2", "issue")];
    check(files::unfinished, &files, &expected);
}

#[test]
fn modules_have_names() {
    check(files::module_names, &[("a/src/b/mod.rs", "")], &[("a/src/b/mod.rs:1", "x.rs")]);
}

#[test]
fn protocol_stays_pure() {
    let code = rust("use std::io::Read;\n/// As std::fs does.\nuse std::time::Duration;\n");
    let code = &*format!("{code}fn f() {{ tracing::info!(\"std::env\") }}\n");
    let files = [
        ("protocol/src/a.rs", code),
        ("protocol/src/a/tests.rs", code),
        ("extractor/src/a.rs", code),
    ];
    let expected = [("protocol/src/a.rs:2", "std::io"), ("protocol/src/a.rs:5", "tracing")];
    check(walls::purity, &files, &expected);
}

#[test]
fn libraries_stay_behind_their_walls() {
    let at = |path: &'static str, code: &str, part: Option<&'static str>| {
        let code = rust(code);
        let place = format!("{path}:2");
        let expected: Vec<_> = part.iter().map(|&part| (place.as_str(), part)).collect();
        check(walls::owners, &[(path, &code)], &expected);
    };
    at("extractor/src/source/kafka/queue.rs", "use rdkafka::Message;", None);
    at("harness/src/demo/broker.rs", "use rdkafka::Message;", None);
    at("extractor/src/pump.rs", "use rdkafka::Message;", Some("our own types"));
    at("extractor/tests/it/kafka.rs", "use rdkafka::Message;", None);
    at("harness/src/store/sqlite.rs", "use rusqlite::Row;", None);
    at("harness/src/run.rs", "use rusqlite::Row;", Some("trait"));
    at("harness/src/run.rs", "use mysql::Conn;", Some("trait"));
    at("harness/src/run.rs", "use crate::store::mysql::Mysql;", None);
    at("harness/src/run.rs", "use aws_sdk_kinesis::Client;", Some("Kinesis"));
    at("extractor/src/source/kinesis/api.rs", "use aws_sdk_kinesis::Client;", None);
    at("extractor/src/pump.rs", "use nix::poll;", Some("system calls"));
    at("extractor/src/source/kafka/queue.rs", "use libc::poll;", Some("system calls"));
    at("extractor/src/source/kafka/handle.rs", "use libc::addrinfo;", None);
    at("harness/src/child.rs", "use nix::poll;", None);
    at("extractor/src/pipe/os.rs", "use nix::poll; use std::io::stdout;", None);
    at("extractor/src/main.rs", "fn f() { std::io::stdout(); }", Some("the wire"));
    at("extractor/src/main.rs", "fn f() { std::io::stderr(); }", None);
    at("extractor/src/batch.rs", "fn f() { std::io::stderr(); }", Some("tracing"));
    at("extractor/src/encode.rs", "use apache_avro::Schema;", Some("judge"));
    at("extractor/src/encode/tests.rs", "use apache_avro::Schema;", None);
}

#[test]
fn queues_are_bounded() {
    let code = rust("let (a, b) = mpsc::sync_channel(1);\nlet (c, d) = mpsc::channel();\n");
    check(walls::queues, &[("a/src/a.rs", &code)], &[("a/src/a.rs:3", "sync_channel")]);
}

#[test]
fn unsafe_code_is_listed() {
    let list = "# A\n## Files with unsafe code\n- `a.rs`: the only way to do it\n- `b.rs`: old\n\
                - `gone.rs`: old\n## Next\n- `d.rs`: not in the list\n";
    let code = rust("fn f() { unsafe { g() } }\n");
    let safe = rust("#![forbid(unsafe_code)]\n");
    let files = [("ARCHITECTURE.md", list), ("a.rs", &code), ("b.rs", &safe), ("d.rs", &code)];
    let expected = [
        ("ARCHITECTURE.md:4", "no unsafe code"),
        ("d.rs:2", "list the file"),
        ("ARCHITECTURE.md:5", "no file gone.rs"),
    ];
    check(walls::unsafe_files, &files, &expected);
}

#[test]
fn data_flows_one_way() {
    let code = rust("use crate::row;\nuse crate::{decode::Format, pump::{Pump, source}};\n");
    let top = rust("use super::pump;\nuse super::row;\n");
    let files = [
        ("extractor/src/source/kafka.rs", &*code),
        ("extractor/src/pump.rs", &*code),
        ("extractor/src/batch.rs", &*top),
        ("extractor/src/batch/cut.rs", &*top),
        ("harness/src/stores.rs", "//! Not the store.\nuse crate::run;\n"),
        ("harness/src/store/sqlite.rs", "//! Some store.\nuse crate::run::Run;\n"),
    ];
    let expected = [
        ("extractor/src/source/kafka.rs:3", "imports `pump`"),
        ("extractor/src/batch.rs:2", "imports `pump`"),
        ("harness/src/store/sqlite.rs:2", "imports `run`"),
    ];
    check(modules::direction, &files, &expected);
}

#[test]
fn nothing_belongs_to_one_machine() {
    let files =
        [("a.md", "cd /home/me/x\nsee docs.rs\nfrom static.crates.io"), ("b.lock", "/work/")];
    check(leaks::one_machine, &files, &[("a.md:1", "relative"), ("a.md:3", "registry")]);
}

#[test]
fn data_has_its_digest() {
    // `printf 'b\n2\nb\nc\n1\nc' | sha256sum`.
    const RIGHT: &str = "6988c76941d96572fa7033c8e4448c3166ba1aa1bb667c46715fdc1a586b8fe8";
    let wrong = "0".repeat(64);
    let readme = format!("sha256 x: {RIGHT}\n  sha256 y: {wrong}\nsha256 gone: {wrong}\n");
    let files = [
        ("testdata/README.md", &*readme),
        ("testdata/loose", ""),
        ("testdata/x/b", "b\n"),
        ("testdata/x/c", "c"),
        ("testdata/y/d", "d"),
        ("testdata/z/e", "e"),
    ];
    let expected = [
        ("testdata/loose:1", "into a folder"),
        ("testdata/README.md:2", "undo the change in `y`"),
        ("testdata/README.md:1", "add `sha256 z: "),
        ("testdata/README.md:3", "no folder `gone`"),
    ];
    check(testdata::digests, &files, &expected);
}

#[test]
fn a_dependency_is_used() {
    let root = "[workspace.dependencies]\nserde = \"1\"\nold = \"1\"\n";
    let manifest = "[dependencies]\nserde.workspace = true\nsome-thing = \"1\"\nnix = \"1\"\n";
    let code = rust("use some_thing::x;\nuse serde::y; // nix\n");
    let files = [("Cargo.toml", root), ("a/Cargo.toml", manifest), ("a/src/lib.rs", &code)];
    let expected = [("Cargo.toml:3", "`old`"), ("a/Cargo.toml:4", "`nix`")];
    check(manifests::used, &files, &expected);
}

#[test]
fn a_dependency_has_a_reason() {
    let list = "## Dependencies\n- `serde`: reads and writes JSON for us\n- `nix`: short\n\
                - `gone`: was needed at some time\n";
    let manifest = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\n\
                    serde = \"1\"\nnix = { version = \"1\" }\n[target.'cfg(unix)'.dependencies]\n\
                    libc = \"1\"\n[lints]\nworkspace = true\n";
    let files = [("ARCHITECTURE.md", list), ("a/Cargo.toml", manifest), ("b/Cargo.toml", "")];
    let expected = [
        ("a/Cargo.toml:8", "`libc`"),
        ("ARCHITECTURE.md:3", "no reason"),
        ("ARCHITECTURE.md:4", "no direct dependency"),
    ];
    check(docs::dependencies, &files, &expected);
}

#[test]
fn an_invariant_has_a_check() {
    let list = "## Invariants\nText.\n- I1 holds. Checked by `a::holds`,\n  `rule`.\n- I2 holds.\n\
                - I3 holds. Checked by `helper`.\n\n## Next\n- free\n";
    let code = rust("#[test]\n#[expect(x)]\nfn holds() {}\nfn helper() {}\n");
    let own = rust("fn rule(tree: &Tree) {}\n");
    let files = [("ARCHITECTURE.md", list), ("a.rs", &code), ("scripts/src/tidy/b.rs", &own)];
    let expected = [("ARCHITECTURE.md:5", "without a check"), ("ARCHITECTURE.md:6", "`helper`")];
    check(docs::invariants, &files, &expected);
}

#[test]
fn exit_codes_are_those_of_the_readme() {
    let code = rust("exit_table! {\n    Done = 0, \"done; all\";\n    Usage = 64, \"wrong\";\n}\n");
    let files = [("harness/src/exit.rs", &*code), ("README.md", "| 0 | done; all | |\n")];
    check(docs::exit_codes, &files, &[("harness/src/exit.rs:4", "| 64 | wrong |")]);
}

#[test]
fn named_paths_exist() {
    let text = "see `scripts/a`, `./scripts/b`, `scripts/`, `scripts/c/*`, `a/b` and `scripts/c d`";
    let files = [("README.md", text), ("scripts/a", ""), ("scripts/README.md", "`scripts/z`")];
    check(docs::paths, &files, &[("README.md:1", "`./scripts/b`")]);
}

#[test]
fn the_closure_equals_the_list() {
    let mut names: BTreeSet<String> =
        closure::of_protocol(&cache::workspace_root().unwrap()).unwrap();
    assert_eq!(closure::allowed(&names), []);
    assert!(names.remove("byteorder") && names.insert("tokio".to_owned()));
    let found: Vec<String> = closure::allowed(&names).iter().map(Finding::to_string).collect();
    let [came, went] = found.as_slice() else { panic!("{found:?}") };
    assert!(came.contains("`tokio` came"), "{came}");
    assert!(went.contains("`byteorder` is no longer"), "{went}");
}
