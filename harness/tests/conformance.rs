//! The conformance kit, tested: our extractor and the Python peer pass it, and for every check there is an
//! extractor that fails this one and no other.
//!
//! A mutation is run against its check and the neighbours of that in the table; with `S2X_MATRIX=1` against all.

#![expect(
    clippy::unwrap_used,
    clippy::tests_outside_test_module,
    reason = "an integration test ends where it fails"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::conformance::{Check, Level, Options, Outcome, Profile, checks, run, select};
use harness::run::ExtractorCommand;

/// Mutations at the same time: most of their time is spent waiting.
const AT_ONCE: usize = 6;

/// Checks beside the one that a mutation must fail, and how many of them stand before it.
const BESIDE: usize = 2;
const BEFORE: usize = 1;

/// Runs of a mutation until its check fails alone. Why more than one: a mutation that is a race (an answer too many, one
/// too late) shows only when its thread is scheduled in time, and a busy machine may let it pass.
const TRIES: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap()
}

fn python(args: &[String]) -> ExtractorCommand {
    let candidates = ["/usr/bin/python3", "/usr/local/bin/python3"];
    let program = candidates.iter().map(PathBuf::from).find(|path| path.exists());
    // Without the site module it starts in half the time.
    let args = ["-S".to_owned()].into_iter().chain(args.iter().cloned()).collect();
    ExtractorCommand { program: program.unwrap_or_else(|| "python3".into()), args }
}

fn peer_folder() -> String {
    folder().join("../protocol").canonicalize().unwrap().display().to_string()
}

fn bad_script() -> String {
    folder().join("tests/conformance/bad_extractor.py").display().to_string()
}

/// Our own extractor, built with the tests.
fn ours() -> ExtractorCommand {
    let harness = Path::new(env!("CARGO_BIN_EXE_harness"));
    let program = harness.with_file_name("extractor");
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo).args(["build", "-p", "extractor"]).status().unwrap();
        assert!(built.success(), "cargo build -p extractor: {built}");
    }
    ExtractorCommand { program, args: Vec::new() }
}

fn options(command: ExtractorCommand, checks: Vec<&'static Check>) -> Options {
    Options { command, checks, seed: 1, jobs: 6, profile: Profile::default(), transcripts: None }
}

fn passes(command: ExtractorCommand) {
    let verdicts = run(&options(command, select(&[Level::Core], None)), &|_: &_| {});
    let wrong: Vec<String> = verdicts
        .iter()
        .filter(|verdict| verdict.outcome != Outcome::Passed)
        .map(|verdict| format!("{}: {:?}", verdict.check.name(), verdict.outcome))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(verdicts.len(), checks().count());
}

#[test]
fn our_extractor_passes_the_core_level() {
    passes(ours());
}

#[test]
fn the_python_peer_passes_the_core_level() {
    passes(python(&[format!("{}/peer/extractor", peer_folder())]));
}

/// Mutations and the checks that they must fail.
fn mutations() -> Vec<(String, String)> {
    let command = python(&[bad_script(), "--list".to_owned()]);
    let listed = Command::new(command.program).args(command.args).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs.map(|(name, check)| (name.to_owned(), check.to_owned())).collect()
}

#[test]
fn every_check_has_an_extractor_that_fails_it_and_no_other() {
    let mutations = mutations();
    let mut by_check: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, check) in &mutations {
        *by_check.entry(check).or_default() += 1;
    }
    let missing: Vec<&str> =
        checks().map(|check| check.id).filter(|id| !by_check.contains_key(id)).collect();
    assert!(missing.is_empty(), "checks that nothing fails: {missing:?}");

    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().display().to_string();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, check)) = mutations.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let mut told = None;
                    for _ in 0..TRIES {
                        told = failed_otherwise(name, check, &cache);
                        if told.is_none() {
                            break;
                        }
                    }
                    wrong.lock().unwrap().extend(told);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a mutation does instead of failing its check alone.
fn failed_otherwise(name: &str, check: &str, cache: &str) -> Option<String> {
    let words = [
        "-X",
        &format!("pycache_prefix={cache}"),
        &bad_script(),
        &peer_folder(),
        "--mutation",
        name,
    ];
    let command = python(&words.map(ToOwned::to_owned));
    let mut chosen = select(&[Level::Core], None);
    let at = chosen.iter().position(|it| it.id == check).unwrap();
    if std::env::var_os("S2X_MATRIX").is_none() {
        // Its neighbours in the table are those that look at the same thing.
        let count = chosen.len();
        chosen.rotate_left((at + count - BEFORE) % count);
        chosen.truncate(BESIDE + 1);
    }
    let verdicts = run(&options(command, chosen), &|_: &_| {});
    let failed: Vec<_> = verdicts.iter().filter(|it| it.is_failed()).collect();
    if matches!(failed.as_slice(), [one] if one.check.id == check) {
        return None;
    }
    let told: Vec<String> =
        failed.iter().map(|it| format!("{} {:?}", it.check.id, it.outcome)).collect();
    Some(format!("{name} must fail {check} alone, it fails {}", told.join("; ")))
}

fn harness(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_harness")).args(args).output().unwrap()
}

/// The whole way of a person: a failure with its rule and its calls, reports for machines, a transcript that
/// shows no secret, and its replay.
#[test]
fn a_failure_is_told_kept_and_played_again() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let bad = python(&[bad_script(), peer_folder(), "--mutation".into(), "no_checksum".into()]);
    let (kept, json, junit) = (at("kept"), at("r.json"), at("r.xml"));
    let program = bad.program.display().to_string();
    let mut args = vec!["conformance", "--only", "F20,H01", "--seed", "7"];
    args.extend(["--keep-transcripts", &kept, "--json", &json, "--junit", &junit, "--", &program]);
    args.extend(bad.args.iter().map(String::as_str));
    let output = harness(&args);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(76), "{text}");
    for part in [
        "FAIL  F20 bad_crc",
        "SPEC.md 2 step 7: a checksum that does not match is BAD_CRC",
        "expected  ERROR BAD_CRC, fatal, for a checksum of 0",
        "seen      the end of its output, and exit code 0, after HELLO_OK",
        "--only F20 --seed 7 -- ",
        "2 checks: 1 passed, 1 failed",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!((&report["failed"], &report["passed"]), (&1.into(), &1.into()));
    let xml = std::fs::read_to_string(&junit).unwrap();
    assert!(
        xml.contains("<testsuites name=\"s2x conformance\" tests=\"2\" failures=\"1\""),
        "{xml}"
    );

    let transcript = at("kept/F20.s2x");
    let mut args = vec!["replay", &transcript, "--", &program];
    args.extend(bad.args.iter().map(String::as_str));
    let again = harness(&args);
    let text = String::from_utf8(again.stdout).unwrap();
    assert_eq!(again.status.code(), Some(0), "{text}");
    assert!(text.ends_with("as recorded\n"), "{text}");
    let good = format!("{}/peer/extractor", peer_folder());
    let other = harness(&["replay", &transcript, "--", &program, "-S", &good]);
    let text = String::from_utf8(other.stdout).unwrap();
    assert_eq!(other.status.code(), Some(76), "{text}");
    assert!(text.contains("differs: recorded HELLO_OK with ref 0, now ERROR"), "{text}");
}

#[test]
fn a_program_that_is_no_extractor_fails_once() {
    let output = harness(&["conformance", "--", "/bin/cat"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(76), "{text}");
    assert_eq!(text.matches("FAIL").count(), 1, "{text}");
    assert!(text.contains("H01") && text.contains("not decided: H01 failed"), "{text}");
}
