//! Secrets that were written into SQL: kept in a file that only its owner reads, never in the database.
//!
//! May touch: that file and its folder. Invariants: the file is made with mode 0600 inside a folder of mode
//! 0700, is bound to the definition whose secrets it holds, and is written to once more only where an older
//! program left it unbound; what the catalogue gets is a reference to it; the catalogue notes the
//! file before a secret is in it, and whoever makes it holds its lock until a pipeline names it, so that what a
//! process left that was killed is told from what another one is about to use; only files of the store's own
//! folder are removed, since a copy of a catalogue names the original's.

mod bind;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::SqlError;
use crate::catalogue::{Catalogue, fresh_name, hex, key_hash};
use crate::exit::Exit;
use crate::pipeline::{REFERENCE_BYTES_MAX, binding_line};
use crate::store::{StoreError, StoreUrl};

pub(crate) use bind::bind_older;

/// The environment variable that names the folder.
pub(crate) const FOLDER_VARIABLE: &str = "S2X_SECRETS";

/// The folder of a store's secrets, which no other store has: below the one that is named, beside an SQLite
/// file, else below the user's state.
///
/// # Errors
/// There is no home to put it in.
pub(crate) fn folder(
    url: &StoreUrl,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, SqlError> {
    let set = |name: &str| env(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let of_store = || {
        let hash = key_hash(&store_name(url));
        hex(hash.get(..FOLDER_HASH_LEN).unwrap_or(&hash))
    };
    let chosen = set(FOLDER_VARIABLE).map(|folder| folder.join(of_store())).or_else(|| match url {
        StoreUrl::Sqlite { path } => {
            let mut name = path.clone().into_os_string();
            name.push(".secrets");
            Some(PathBuf::from(name))
        }
        StoreUrl::Server(_) => {
            let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
            state.map(|state| state.join("s2x/secrets").join(of_store()))
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

/// Bytes of a store's hash in its folder's name. Why 8: a person has fewer than a thousand stores.
const FOLDER_HASH_LEN: usize = 8;

/// How the names of these files end.
const SUFFIX: &str = ".properties";

/// The name under which a store's files are noted: another one for every copy, the same for all its users.
pub(crate) fn store_name(url: &StoreUrl) -> String {
    match url {
        StoreUrl::Sqlite { path } => {
            let whole = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
            format!("sqlite:{}", whole.as_deref().unwrap_or(path).display())
        }
        StoreUrl::Server(it) => {
            format!(
                "server:{}:{}/{}",
                it.endpoint.host.to_ascii_lowercase(),
                it.endpoint.port,
                it.database
            )
        }
    }
}

/// A file of secrets that no pipeline names yet. Nobody removes it while this lives.
pub(crate) struct Kept {
    path: String,
    _lock: File,
}

impl Kept {
    pub(crate) fn path(&self) -> &str {
        &self.path
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
        let name = format!("{}{SUFFIX}", fresh_name());
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

    /// Writes the file, where there is anything to keep, bound to the definition with this `binding`. `note` writes
    /// its path down before a secret is in it.
    ///
    /// # Errors
    /// It cannot be noted or written, or is larger than a reference may read.
    pub(crate) fn write(
        &self,
        binding: &str,
        note: &mut dyn FnMut(&str) -> Result<(), StoreError>,
    ) -> Result<Option<Kept>, SqlError> {
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
        text.push_str(&binding_line(binding));
        if text.len() as u64 > REFERENCE_BYTES_MAX {
            return Err(SqlError::refused(format!(
                "the secrets of a pipeline take {} bytes, more than {REFERENCE_BYTES_MAX}; put the largest \
                 into a file and write ${{file:/path}}",
                text.len()
            )));
        }
        let cannot = |error: io::Error| {
            let text = format!("cannot keep the secrets in {}: {error}", self.path.display());
            SqlError::Refused(Exit::Resource, text)
        };
        let mut file = self.make().map_err(cannot)?;
        let filled = note(&self.path()).map_err(SqlError::from).and_then(|()| {
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)
        });
        if filled.is_err() {
            // Empty, or noted: nothing that matters is left where this fails, too.
            drop(fs::remove_file(&self.path));
        }
        filled.map(|()| Some(Kept { path: self.path(), _lock: file }))
    }

    /// The file, empty and locked.
    fn make(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.is_dir()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.lock()?;
        Ok(file)
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
/// It is there and cannot be removed, or its name is none that this program gives: the catalogue may have been
/// written by anybody.
pub(crate) fn remove(path: &str) -> io::Result<()> {
    if !is_ours(Path::new(path)) {
        return Err(io::Error::other("this program gives no file such a name"));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The file of secrets of a pipeline that goes.
pub(crate) struct Left {
    path: String,
    of: String,
    folder: Option<PathBuf>,
}

impl Left {
    /// Of the store at `url`, whose catalogue names `path`.
    pub(crate) fn new(
        path: String,
        url: &StoreUrl,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        // Without a folder, none of its files can be the store's own.
        let folder = folder(url, env).ok();
        let folder = folder.filter(|folder| is_inside(Path::new(&path), folder));
        Self { path, of: store_name(url), folder }
    }

    /// What the catalogue notes, where the file is this store's own.
    pub(crate) fn noted(&self) -> Option<(&str, &str)> {
        self.folder.as_ref().map(|_| (self.path.as_str(), self.of.as_str()))
    }

    /// Removes the file that the catalogue has noted; answers what a person should know of one that stays.
    ///
    /// # Errors
    /// The database cannot be reached, or the file cannot be removed.
    pub(crate) fn let_go(self, catalogue: &mut Catalogue) -> Result<Option<String>, SqlError> {
        if self.folder.is_some() {
            return let_go(catalogue, &self.path).map(|()| None);
        }
        Ok(Some(format!(
            "the file of secrets {} stays: it is not in the folder of this store, which may be a copy; remove \
             it by hand where no other store uses it",
            self.path
        )))
    }
}

/// Removes a file that is noted: no pipeline names it.
///
/// # Errors
/// The database cannot be reached, or the file cannot be removed.
pub(crate) fn let_go(catalogue: &mut Catalogue, path: &str) -> Result<(), SqlError> {
    let released = catalogue.release_secret_file(path, || remove(path))?;
    released.map(|_was_noted| ()).map_err(|error| {
        let text = format!("cannot remove {path}: {error}; remove it by hand");
        SqlError::Refused(Exit::Resource, text)
    })
}

/// Whether a file lies in this folder, by whatever way both are named.
fn is_inside(path: &Path, folder: &Path) -> bool {
    let whole = |path: &Path| fs::canonicalize(path).ok();
    let parent = path.parent().and_then(whole);
    parent.is_some() && parent == whole(folder)
}

/// Whether a file lies in this folder of secrets under a name that this program gives.
pub(crate) fn is_in(folder: &Path, file: &str) -> bool {
    let file = Path::new(file);
    is_ours(file) && is_inside(file, folder)
}

/// Whether a value is what [`Secrets::keep`] answers for a secret in this file, and nothing else.
pub(crate) fn is_reference_into(file: &str, value: &Value) -> bool {
    let inner = value.as_str().and_then(|text| text.strip_prefix("${file:")?.strip_suffix('}'));
    let number = inner.and_then(|inner| inner.strip_prefix(file)?.strip_prefix(':'));
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_name = name
        .strip_suffix(SUFFIX)
        .is_some_and(|name| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_name && path.is_absolute()
}

/// Removes files that were noted and that no pipeline names, because a process was killed between the two. A
/// file that another process is making is locked, and stays; a bounded number is looked at.
///
/// # Errors
/// The database cannot be reached, or the store has no folder.
pub(crate) fn sweep(
    catalogue: &mut Catalogue,
    url: &StoreUrl,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<(), SqlError> {
    let of = store_name(url);
    let mut noted = catalogue.noted_secret_files(&of, None)?;
    if noted.is_empty() {
        return Ok(());
    }
    let folder = folder(url, env)?;
    for _page in 0..SWEEP_PAGES_MAX {
        let Some(last) = noted.last().cloned() else { break };
        sweep_these(catalogue, &folder, &noted)?;
        noted = catalogue.noted_secret_files(&of, Some(&last))?;
    }
    Ok(catalogue.forget_old_secret_files()?)
}

/// Pages of notes that are gone through. Why 100: ten thousand files; a store has a few, but whoever may write to its
/// catalogue may note what is not there.
const SWEEP_PAGES_MAX: usize = 100;

fn sweep_these(catalogue: &mut Catalogue, folder: &Path, noted: &[String]) -> Result<(), SqlError> {
    for path in noted {
        let Some(file) = opened(Path::new(path), folder, Access::Read) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        // Whoever made it has let go of it: now the note says whether a pipeline names it. What cannot be
        // removed is the next opening's.
        let _next_time = catalogue.release_secret_file(path, || remove(path))?;
    }
    Ok(())
}

/// A file of this folder that this program has made. Whoever writes into the catalogue names what he likes:
/// nothing else is opened, since opening a pipe waits, and closing a database's file gives up its locks.
fn opened(path: &Path, folder: &Path, access: Access) -> Option<File> {
    // One that is not here may be on another machine.
    let is_file = || fs::symlink_metadata(path).is_ok_and(|it| it.is_file());
    if !is_ours(path) || !is_inside(path, folder) || !is_file() {
        return None;
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    match access {
        Access::Read => options.read(true),
        Access::Append => options.append(true),
    };
    options.custom_flags(flags).open(path).ok()
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Append,
}

#[cfg(test)]
mod tests;
