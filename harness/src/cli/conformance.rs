//! `harness conformance` and `harness replay`: the report of checks, on a terminal with a bar.
//!
//! May touch: the files that were named; stdout; the bar on stderr. Invariant: a file that cannot be written
//! is told before the first check where that can be known.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{ConformanceArgs, LevelArg, ReplayArgs};
use super::error::CliError;
use crate::conformance::{self, Check, Level, Options, Outcome, Profile, Verdict};
use crate::exit::Exit;
use crate::report::out;
use crate::run::ExtractorCommand;

/// Largest transcript that is read. Why: larger than any that is written.
const TRANSCRIPT_BYTES_MAX: u64 = 64 << 20;

pub(super) fn conformance(args: &ConformanceArgs) -> Result<Exit, CliError> {
    let levels = match args.level {
        LevelArg::Core => &[Level::Core][..],
        LevelArg::All => Level::ALL,
    };
    let checks = conformance::select(levels, args.only.as_deref());
    if checks.is_empty() {
        let pattern = args.only.as_deref().unwrap_or_default();
        let message = format!("no check fits {pattern:?}; harness conformance --list names them");
        return Err(CliError::usage(message));
    }
    if args.list {
        for check in checks {
            out::line(&conformance::list(check))?;
        }
        return Ok(Exit::Done);
    }
    let options = options(args, checks)?;
    let began = Instant::now();
    let bar = bar(options.checks.len());
    let verdicts = conformance::run(&options, &|verdict: &Verdict| {
        bar.set_message(verdict.check.name());
        bar.inc(1);
    });
    bar.finish_and_clear();
    let took = began.elapsed();
    for verdict in &verdicts {
        let is_shown = !args.quiet || !matches!(verdict.outcome, Outcome::Passed);
        for line in conformance::line(verdict, &options).iter().filter(|_| is_shown) {
            out::line(line)?;
        }
    }
    out::line(&conformance::summary(&verdicts, took))?;
    let has_failed = verdicts.iter().any(Verdict::is_failed);
    if has_failed && options.transcripts.is_none() {
        out::note("what went over the pipe: again with --keep-transcripts DIR");
    }
    if let Some(path) = &args.json {
        let text = conformance::json(&verdicts, &options, took);
        write(path, &format!("{text:#}\n"))?;
    }
    if let Some(path) = &args.junit {
        write(path, &conformance::junit(&verdicts, &options, took))?;
    }
    Ok(if has_failed { Exit::Protocol } else { Exit::Done })
}

fn options(args: &ConformanceArgs, checks: Vec<&'static Check>) -> Result<Options, CliError> {
    let profile = match &args.profile {
        None => Profile::default(),
        Some(path) => Profile::load(path).map_err(|error| CliError::other(Exit::NoInput, error))?,
    };
    if let Some(folder) = &args.keep_transcripts {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    for path in [&args.json, &args.junit].into_iter().flatten() {
        // An old report must not be taken for the one of a run that is broken off.
        write(path, "")?;
    }
    Ok(Options {
        command: command(&args.command)?,
        checks,
        seed: args.seed,
        jobs: usize::try_from(args.jobs).unwrap_or(1),
        profile,
        transcripts: args.keep_transcripts.clone(),
    })
}

/// The program as it is started from another folder.
fn command(words: &[String]) -> Result<ExtractorCommand, CliError> {
    let (program, args) = words.split_first().ok_or_else(|| {
        CliError::usage("no program under test: harness conformance -- ./extractor")
    })?;
    let program = match program.contains('/') {
        false => PathBuf::from(program),
        true => {
            let missing = |error: std::io::Error| {
                CliError::other(Exit::NoInput, format!("program {program}: {error}"))
            };
            fs::metadata(program).map_err(missing)?;
            // Not the end of a symbolic link: programs look at the name by which they were called.
            std::path::absolute(program).map_err(missing)?
        }
    };
    Ok(ExtractorCommand { program, args: args.to_vec() })
}

fn bar(checks: usize) -> ProgressBar {
    if !console::user_attended_stderr() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(checks as u64);
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len}  {msg:.dim}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::other(Exit::Resource, format!("{} cannot be written: {error}", path.display()))
}

pub(super) fn replay(args: &ReplayArgs) -> Result<Exit, CliError> {
    let path = args.file.display();
    let no_input = |error: String| CliError::other(Exit::NoInput, format!("{path}: {error}"));
    let bytes = fs::metadata(&args.file).map_err(|error| no_input(error.to_string()))?.len();
    if bytes > TRANSCRIPT_BYTES_MAX {
        return Err(no_input(format!("{bytes} bytes are more than a transcript has")));
    }
    let text = fs::read_to_string(&args.file).map_err(|error| no_input(error.to_string()))?;
    let command = command(&args.command)?;
    let replayed = conformance::replay(&text, &command).map_err(no_input)?;
    for line in &replayed.lines {
        out::line(&out::one_line(line))?;
    }
    if replayed.differences == 0 {
        out::line("as recorded")?;
        return Ok(Exit::Done);
    }
    out::line("not as recorded")?;
    Ok(Exit::Protocol)
}
