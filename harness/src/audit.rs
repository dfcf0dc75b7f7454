//! Who did what to pipelines, written down in the catalogue.
//!
//! A table of the catalogue rather than a file of this machine: whoever shares the pipelines shares the log,
//! wherever they work, and what cannot be written down is not done.
//!
//! May touch: the name of this user and this machine; the catalogue. Invariant: a statement is handed over
//! without secrets.

use std::fmt::Display;

use nix::unistd::{User, getuid};

use crate::catalogue::{Catalogue, EntryId, NewEntry};
use crate::report::out;
use crate::store::StoreError;

/// Writes down that a statement begins; `client`: for whom this process does it. What it tells of is not to be done when this fails.
///
/// # Errors
/// The database cannot be reached.
pub(crate) fn begin(
    catalogue: &mut Catalogue,
    statement: &str,
    client: Option<&str>,
) -> Result<EntryId, StoreError> {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.unwrap_or_else(|| "unknown".to_owned());
    let uid = getuid();
    // A user without a name has a number.
    let named = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let mut os_user = named.unwrap_or_else(|| uid.to_string());
    if let Some(client) = client {
        os_user.push_str(" for ");
        os_user.push_str(client);
    }
    catalogue.begin_audit(&NewEntry { host: &host, os_user: &os_user, statement })
}

/// Writes down how it ended. Where that fails, the entry stays at `begun`, and a person is told.
pub(crate) fn end<T, E: Display>(catalogue: &mut Catalogue, entry: EntryId, done: &Result<T, E>) {
    let error = done.as_ref().err().map(ToString::to_string);
    if let Err(error) = catalogue.end_audit(entry, error.as_deref()) {
        out::warning(&format!("the audit log does not say how the statement ended: {error}"));
    }
}

/// Does something to pipelines, written down.
///
/// # Errors
/// It cannot be written down, or it failed.
pub(crate) fn recorded<T, E: Display + From<StoreError>>(
    catalogue: &mut Catalogue,
    statement: &str,
    work: impl FnOnce(&mut Catalogue) -> Result<T, E>,
) -> Result<T, E> {
    let entry = begin(catalogue, statement, None)?;
    let done = work(catalogue);
    end(catalogue, entry, &done);
    done
}
