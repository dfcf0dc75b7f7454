//! Making the source from its settings. Nothing is asked of the service, and no client is made.

use protocol::Failure;

use super::{KinesisSettings, KinesisSource};
use crate::config::{Settings, mistyped};
use crate::source::Opened;

/// Makes the source that the settings describe.
///
/// # Errors
/// The first setting that cannot be used.
pub fn open(given: &Settings) -> Result<Opened, Failure> {
    let unknown = KinesisSettings::unknown(given);
    let mut settings = KinesisSettings::read(given).map_err(|e| mistyped(e, &unknown))?;
    let warnings = std::mem::take(&mut settings.warnings);
    let source = Box::new(KinesisSource::new(given.clone(), settings));
    Ok(Opened { source, unknown, warnings })
}
