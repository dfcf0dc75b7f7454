//! What a definition of a pipeline may reach of this machine, where whoever writes it is somewhere else.
//!
//! May touch: the folder of secrets, to find its true path. Invariant: what is refused is refused before it is resolved, so that nothing is opened to find out.

use std::path::Path;

use serde_json::Value;

use super::definition::{Definition, entries};
use super::error::{SqlError, Syntax};
use super::secrets;
use super::statement::{Change, Load, Update};
use crate::pipeline::{Entry, Place, has_reference};

/// Last parts of keys whose values name files or programs.
const FILES: [&str; 4] = ["file", "keytab", "location", "path"];

/// Keys that take the credentials of the machine itself.
const AMBIENT: [&str; 4] = [
    "aws.container.credentials.url",
    "aws.instance.metadata.endpoint",
    "aws.profile",
    "aws.use.default.chain",
];

/// What allows it.
const REMEDY: &str = "harness serve refuses that unless it is started with --allow-host-access; create and run \
                      the pipeline with harness sql instead";

/// Refuses a definition that names files, programs, variables or credentials of this machine.
///
/// # Errors
/// It does; the key is named.
pub(in crate::sql) fn require_confined(
    load: &Load,
    shown: &dyn Fn(Syntax) -> SqlError,
) -> Result<(), SqlError> {
    if has_reference(&Value::from(load.target.as_str())) {
        return Err(refused("the target of LOAD DATA holds a reference ${…}"));
    }
    for json in [&load.config, &load.credentials].into_iter().flatten() {
        require_entries(entries(json).map_err(shown)?)?;
    }
    Ok(())
}

/// Refuses changes to a definition by the same rule.
///
/// # Errors
/// As [`require_confined`].
pub(in crate::sql) fn require_confined_changes(
    changes: &[Change],
    shown: &dyn Fn(Syntax) -> SqlError,
) -> Result<(), SqlError> {
    for change in changes {
        match change {
            Change::Config(update) | Change::Credentials(update) => match update {
                Update::Whole(json) => require_entries(entries(json).map_err(shown)?)?,
                Update::Key { key, value } => {
                    let value = Value::from(value.as_str());
                    require_entries(vec![Entry::new(key.clone(), value, Place::START)])?;
                }
            },
            Change::Offsets(_) | Change::Clauses(_) | Change::ForgetStopOnError => {}
        }
    }
    Ok(())
}

/// Refuses what the catalogue keeps by the same rule: clients may have written the catalogue itself. A reference
/// is refused but for one to a secret in the definition's own file, which lies in `folder`.
///
/// # Errors
/// As [`require_confined`].
pub(in crate::sql) fn require_confined_definition(
    definition: &Definition,
    folder: &Path,
) -> Result<(), SqlError> {
    if has_reference(&Value::from(definition.target())) {
        return Err(refused("the target of LOAD DATA holds a reference ${…}"));
    }
    let file = definition.secrets_file.as_deref().filter(|file| secrets::is_in(folder, file));
    for (key, value) in definition.config_and_credentials().into_iter().flatten() {
        let is_own = file.is_some_and(|file| secrets::is_reference_into(file, value));
        if !is_own {
            require_plain(key, value)?;
        }
        require_key(key)?;
    }
    Ok(())
}

/// Refuses changes that would send a secret that is kept somewhere else: who may not read it may not choose
/// where it goes.
///
/// # Errors
/// CONFIG or CREDENTIALS change, and not everything that holds such a secret is given anew.
pub(in crate::sql) fn require_new_secrets(
    older: &Definition,
    changes: &[Change],
) -> Result<(), SqlError> {
    let changes_where =
        changes.iter().any(|it| matches!(it, Change::Config(_) | Change::Credentials(_)));
    if !changes_where {
        return Ok(());
    }
    let is_whole = [
        changes.iter().any(|it| matches!(it, Change::Config(Update::Whole(_)))),
        changes.iter().any(|it| matches!(it, Change::Credentials(Update::Whole(_)))),
    ];
    let words =
        ["CONFIG", "CREDENTIALS"].into_iter().zip(older.has_kept().into_iter().zip(is_whole));
    for (word, (has_kept, is_whole)) in words {
        if has_kept && !is_whole {
            return Err(SqlError::refused(format!(
                "{word} of this pipeline holds secrets, which must not be sent elsewhere: change it together \
                 with a whole new SET {word} '{{…}}', or with harness sql, or start harness serve with \
                 --allow-host-access"
            )));
        }
    }
    Ok(())
}

fn require_entries(entries: Vec<Entry>) -> Result<(), SqlError> {
    for Entry { key, written, .. } in entries {
        require_plain(&key, &written)?;
        require_key(&key)?;
    }
    Ok(())
}

fn require_plain(key: &str, value: &Value) -> Result<(), SqlError> {
    if has_reference(value) {
        let text = format!("{key} holds a reference ${{…}} to the environment or a file");
        return Err(refused(&text));
    }
    Ok(())
}

fn require_key(key: &str) -> Result<(), SqlError> {
    let lower = key.to_ascii_lowercase();
    let last = lower.rsplit(['.', '_']).next().unwrap_or_default();
    if FILES.contains(&last) {
        return Err(refused(&format!("{key} names a file or a program of this machine")));
    }
    if AMBIENT.iter().any(|it| lower.ends_with(it)) {
        return Err(refused(&format!("{key} takes credentials of this machine")));
    }
    Ok(())
}

fn refused(what: &str) -> SqlError {
    SqlError::refused(format!("{what}; {REMEDY}"))
}

#[cfg(test)]
mod tests;
