//! Files of secrets that an older program wrote without saying for which definition.
//!
//! May touch: those files, in the folder of the store. Invariants: a file that is bound stays as it is; one that
//! is being dropped is not written to, or only while it is nobody's any more.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::{Access, SqlError, folder, opened};
use crate::catalogue::Catalogue;
use crate::pipeline::{REFERENCE_BYTES_MAX, binding_line, bound_to};
use crate::sql::definition::Definition;
use crate::store::StoreUrl;

/// Binds each file that is unbound to the pipeline that names it, as the catalogue has it now. One that cannot be
/// written stays as it is, and is refused when it is to be read.
///
/// # Errors
/// The database cannot be reached, or the store has no folder.
pub(crate) fn bind_older(
    catalogue: &mut Catalogue,
    url: &StoreUrl,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<(), SqlError> {
    let folder = folder(url, env)?;
    if !folder.is_dir() {
        return Ok(());
    }
    for pipeline in catalogue.pipelines()? {
        if own_file(&pipeline.name, pipeline.credentials.as_deref(), &folder).is_none() {
            continue;
        }
        catalogue.with_definition(pipeline.id, |text| {
            let Some((definition, path)) = own_file(&pipeline.name, text, &folder) else { return };
            // Told when it is to be read.
            drop(bind(Path::new(&path), &folder, &definition));
        })?;
    }
    Ok(())
}

/// A definition whose file lies in this folder and is unbound.
fn own_file(name: &str, text: Option<&str>, folder: &Path) -> Option<(Definition, String)> {
    let definition = Definition::parse(name, text?).ok()?;
    let path = definition.secrets_file.clone()?;
    is_unbound(Path::new(&path), folder)?.then_some((definition, path))
}

fn is_unbound(path: &Path, folder: &Path) -> Option<bool> {
    let file = opened(path, folder, Access::Read)?;
    let mut bytes = Vec::new();
    file.take(REFERENCE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    Some(bound_to(&String::from_utf8(bytes).ok()?).is_none())
}

fn bind(path: &Path, folder: &Path, definition: &Definition) -> io::Result<()> {
    let Some(mut file) = opened(path, folder, Access::Append) else { return Ok(()) };
    let line = binding_line(&definition.binding());
    // One that grows too large is not read at all.
    if file.metadata()?.len().saturating_add(line.len() as u64) > REFERENCE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    file.write_all(line.as_bytes())?;
    file.sync_all()
}
