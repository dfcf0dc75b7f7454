//! Checks that an entry is whole or absent, and which line of a log is quoted.

use super::*;

fn scratch(name: &str) -> Cache {
    let root = std::env::temp_dir().join(format!("xtask-cache-{name}-{}", std::process::id()));
    Cache { root, say: |_| {} }
}

#[test]
fn an_entry_is_made_once_per_key() {
    let cache = scratch("once");
    let mut fills = 0;
    for key in ["one", "one", "two", "two", "one"] {
        let folder = cache.entry("thing", key, |folder| {
            fills += 1;
            Ok(fs::write(folder.join("content"), key)?)
        });
        assert_eq!(fs::read_to_string(folder.unwrap().join("content")).unwrap(), key);
    }
    assert_eq!(fills, 2);
    fs::remove_dir_all(&cache.root).unwrap();
}

#[test]
fn a_fill_that_fails_leaves_no_entry() {
    let cache = scratch("half");
    let fail = |folder: &Path| {
        fs::write(folder.join("half"), "x")?;
        bail!("no network")
    };
    assert!(cache.entry("thing", "key", fail).is_err());
    let names = fs::read_dir(&cache.root).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(
        names.iter().all(|name| name.ends_with(".lock") || name.ends_with(".new")),
        "{names:?}"
    );
    let folder = cache.entry("thing", "key", |_| Ok(())).unwrap();
    assert!(!folder.join("half").exists(), "rests of the failed run are in the entry");
    fs::remove_dir_all(&cache.root).unwrap();
}

#[test]
fn the_line_that_tells_the_cause_is_quoted() {
    let check = |text: &str, expected: Option<&str>| assert_eq!(first_error(text), expected);
    check("", None);
    check("\n \n", None);
    check("a\nb\n\n", Some("b"));
    check(
        "note\n[ERROR] unknown option '--x'\n[ERROR] Aborting\n",
        Some("[ERROR] unknown option '--x'"),
    );
    check(
        "INFO up\nERROR Exiting\na.b.ConfigException: bad value\n\tat x\n",
        Some("a.b.ConfigException: bad value"),
    );
}

#[test]
fn the_workspace_is_found_from_inside() {
    let root = workspace_root().unwrap();
    assert!(root.join("scripts/kafka/TxnProducer.java").is_file());
}

#[test]
fn a_failing_program_is_an_error_of_one_line() {
    let check = |script: &str, expected: &str| {
        let error = run(Command::new("sh").args(["-c", script]), "do it").unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(expected) && !text.contains('\n'), "{text}");
    };
    check("echo one; echo ERROR two >&2; exit 3", "exit status: 3: ERROR two");
    check("exit 3", "it printed nothing");
    let error = run(&mut Command::new("no-such-program-here"), "do it").unwrap_err();
    assert!(error.to_string().contains("scripts/install --real"), "{error}");
}
