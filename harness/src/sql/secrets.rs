//! Secrets that were written into SQL: kept in a file that only its owner reads, never in the database.
//!
//! May touch: that file and its folder. Invariants: the file is made with mode 0600 inside a folder of mode
//! 0700, and is never written to twice; what the catalogue gets is a reference to it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::SqlError;
use crate::catalogue::fresh_name;
use crate::exit::Exit;
use crate::pipeline::REFERENCE_BYTES_MAX;
use crate::store::StoreUrl;

/// The environment variable that names the folder.
pub(crate) const FOLDER_VARIABLE: &str = "S2X_SECRETS";

/// The folder of a store's secrets: as named, beside an SQLite file, else below the user's state.
///
/// # Errors
/// There is no home to put it in.
pub(crate) fn folder(
    url: &StoreUrl,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, SqlError> {
    let set = |name: &str| env(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let chosen = set(FOLDER_VARIABLE).or_else(|| match url {
        StoreUrl::Sqlite { path } => {
            let mut name = path.clone().into_os_string();
            name.push(".secrets");
            Some(PathBuf::from(name))
        }
        StoreUrl::Server(_) => {
            let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
            state.map(|state| state.join("s2x/secrets"))
        }
    });
    let refused = |why: &str| SqlError::refused(format!("no place for secrets: {why}"));
    let chosen = chosen.ok_or_else(|| refused("set HOME, or S2X_SECRETS to a folder"))?;
    let path = std::path::absolute(&chosen).map_err(|error| refused(&error.to_string()))?;
    match path.to_str() {
        // The path becomes part of a reference, which ends at the first brace.
        Some(text) if !text.contains(['{', '}']) => Ok(path),
        Some(_) | None => Err(refused("the folder's path must be UTF-8 without braces")),
    }
}

/// Secrets on their way into a file.
#[derive(Default)]
pub(crate) struct Secrets {
    values: Vec<String>,
    path: PathBuf,
}

impl Secrets {
    /// For a new file in this folder; nothing is made before [`Self::write`].
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let name = format!("{}.properties", fresh_name());
        Self { values: Vec::new(), path: folder.join(name) }
    }

    /// Takes a secret and answers the reference that stands for it.
    pub(crate) fn keep(&mut self, secret: String) -> String {
        self.values.push(secret);
        format!("${{file:{}:{}}}", self.path.display(), self.values.len())
    }

    /// Where the file will be.
    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Writes the file, where there is anything to keep, and answers its path.
    ///
    /// # Errors
    /// It cannot be written, or is larger than a reference may read.
    pub(crate) fn write(&self) -> Result<Option<String>, SqlError> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let mut text = String::new();
        for (number, value) in (1_usize..).zip(&self.values) {
            text.push_str(&number.to_string());
            text.push('=');
            text.extend(value.chars().map(escaped));
            text.push('\n');
        }
        if text.len() as u64 > REFERENCE_BYTES_MAX {
            return Err(SqlError::refused(format!(
                "the secrets of a pipeline take {} bytes, more than {REFERENCE_BYTES_MAX}; put the largest \
                 into a file and write ${{file:/path}}",
                text.len()
            )));
        }
        self.make(&text).map_err(|error| {
            let text = format!("cannot keep the secrets in {}: {error}", self.path.display());
            SqlError::Refused(Exit::Resource, text)
        })?;
        Ok(Some(self.path()))
    }

    fn make(&self, text: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.is_dir()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

/// One character of a value of a `.properties` file.
fn escaped(c: char) -> String {
    match c {
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        ' ' => "\\ ".to_owned(),
        other => other.to_string(),
    }
}

/// Removes the file of a pipeline that was dropped. One that is gone is no error.
///
/// # Errors
/// It is there and cannot be removed.
pub(crate) fn remove(path: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
