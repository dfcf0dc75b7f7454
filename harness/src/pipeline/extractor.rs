//! Where the extractor is: as named, beside the harness, or on PATH.
//!
//! May touch: the file system, to look. Invariant: the answer is an absolute path of a file that may
//! be executed, or an error that lists every place looked at.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::PipelineError;
use super::plan::Surroundings;

/// The program's name where it was not named.
const PROGRAM: &str = "extractor";

/// How to get one.
const BUILD: &str =
    "build it with `cargo build --release -p extractor`, or name one with --extractor";

/// The extractor to start.
///
/// # Errors
/// There is none, or the one that was named cannot be started.
pub(super) fn find(
    named: Option<&Path>,
    surroundings: &Surroundings<'_>,
) -> Result<PathBuf, PipelineError> {
    if let Some(path) = named {
        return usable(path).map_err(|why| {
            PipelineError::NoExtractor(format!("the extractor {} {why}; {BUILD}", path.display()))
        });
    }
    let beside = surroundings.program_folder.iter().map(|folder| folder.join(PROGRAM));
    let path = (surroundings.env)("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(PROGRAM));
    let mut looked = Vec::new();
    for candidate in beside.chain(on_path) {
        match usable(&candidate) {
            Ok(found) => return Ok(found),
            Err(_) => looked.push(candidate.display().to_string()),
        }
    }
    Err(PipelineError::NoExtractor(format!(
        "no program named {PROGRAM}: not at {}; {BUILD}",
        looked.join(", ")
    )))
}

fn usable(path: &Path) -> Result<PathBuf, String> {
    let is = |why: &str| why.to_owned();
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => is("does not exist"),
        std::io::ErrorKind::PermissionDenied => is("is in a folder that this user may not enter"),
        _ => format!("cannot be looked at ({error})"),
    })?;
    if !metadata.is_file() {
        return Err(is("is not a file"));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(is("is not executable"));
    }
    std::path::absolute(path).map_err(|error| format!("has no absolute path ({error})"))
}
