//! Transcripts as files.
//!
//! May touch: the folder that was asked for. Invariant: a transcript is readable by its owner only.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::bench::Bench;
use super::{Check, Options};

/// The first line of a transcript.
pub(super) const TITLE: &str = "# s2x transcript";

/// Writes what the check recorded, if that was asked for; the path.
pub(super) fn keep(options: &Options, check: &Check, bench: &Bench) -> Option<PathBuf> {
    let folder = options.transcripts.as_deref()?;
    let tape = bench.transcript()?;
    let path = folder.join(format!("{}.s2x", check.id));
    let text = format!("{TITLE}\ncheck: {}\nseed: {}\n{tape}", check.name(), options.seed);
    // A folder that cannot be written was refused before the first check.
    write(&path, &text).ok().map(|()| path)
}

/// Writes a file that only its owner reads.
pub(super) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}
