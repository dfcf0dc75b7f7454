//! Making the source from its settings, and telling a mistyped key from a missing one. Nothing is
//! asked of the service, and no client is made.

use protocol::{Code, Failure};

use super::{KinesisSettings, KinesisSource};
use crate::config::{Settings, Unknown};
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

/// A missing key that stands there mistyped is told as that.
fn mistyped(failure: Failure, unknown: &[Unknown]) -> Failure {
    let missing = |near: &str| failure.message.starts_with(near);
    let typed = unknown.iter().find(|it| it.nearest.as_deref().is_some_and(missing));
    match typed {
        Some(Unknown { key, nearest: Some(near) }) if failure.code == Code::ConfigMissing => {
            let text = format!("unknown key {key:?}, did you mean {near:?}? {}", failure.message);
            Failure { message: text, ..failure }
        }
        _ => failure,
    }
}
