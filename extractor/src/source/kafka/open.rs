//! Making the source from its settings, and telling a mistyped key from a missing one. It connects
//! in the background; nothing is asked of a broker here.

use std::time::Duration;

use protocol::{Code, Failure};

use super::{KafkaSettings, KafkaSource};
use crate::config::{Settings, Unknown};
use crate::source::Opened;

/// How long unreachable brokers are waited for inside one poll. The pump tries again for as long
/// as the host allows, and tells the host why meanwhile.
const UNREACHABLE: Duration = Duration::from_secs(2);

/// Makes the source that the settings describe.
///
/// # Errors
/// The first setting that cannot be used.
pub fn open(settings: &Settings) -> Result<Opened, Failure> {
    let unknown = KafkaSettings::unknown(settings);
    let mut settings =
        KafkaSettings::read(settings).map_err(|failure| mistyped(failure, &unknown))?;
    let warnings = std::mem::take(&mut settings.warnings);
    let source = Box::new(KafkaSource::open(settings, UNREACHABLE)?);
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
