//! Statements that are remembered from one prompt to the next, in a file that only its owner reads.
//!
//! May touch: that file and its folder. Invariant: what may hold a secret is neither written nor kept.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustyline::Editor;
use rustyline::history::FileHistory;

use super::helper::Helper;
use crate::report::out;
use crate::sql;
use crate::store::StoreUrl;

/// Reads what was remembered. `None`: there is no place for it, and nothing is kept.
pub(super) fn open(editor: &mut Editor<Helper, FileHistory>) -> Option<PathBuf> {
    let path = place(&|name| std::env::var_os(name))?;
    let done = private(&path).map_err(|error| error.to_string());
    let done = done.and_then(|()| editor.load_history(&path).map_err(|error| error.to_string()));
    if let Err(error) = done {
        out::warning(&format!("statements are not remembered: {}: {error}", path.display()));
        return None;
    }
    Some(path)
}

/// Below the user's state, as the XDG base directory specification has it.
fn place(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("s2x/history"))
}

/// Makes the file where there is none; no other user may read it in any case.
fn private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Remembers a statement, unless it may hold a secret.
pub(super) fn keep(
    editor: &mut Editor<Helper, FileHistory>,
    file: Option<&Path>,
    text: &str,
    url: &StoreUrl,
) {
    if sql::may_hold_secret(text, url) {
        return;
    }
    let added = editor.add_history_entry(text.trim()).unwrap_or(false);
    if let Some(path) = file.filter(|_| added)
        && let Err(error) = editor.append_history(path)
    {
        out::warning(&format!("cannot write {}: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests;
