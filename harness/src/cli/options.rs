//! Values of options: numbers with a range, `I/N`, and the store's address.
//!
//! May touch: the environment variable of the store and the file of its password. Invariant: an
//! address in an argument with a password is refused, since every user of the machine can read it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::args::{StoreArgs, ViewArgs};
use super::error::CliError;
use crate::exit::Exit;
use crate::pipeline::{self, Kind, REFERENCE_BYTES_MAX};
use crate::report::{Style, Verbosity};
use crate::store::{ACCEPTED_FORMS, Secret, StoreUrl};

/// The environment variable that names the store.
pub(super) const STORE_VARIABLE: &str = "S2X_STORE";

/// Most lines of a list. Why a million: an answer is kept in memory.
const LINES_MAX: u32 = 1_000_000;

/// Most partitions of the demo's topic. Why 256: the broker inside this process is small.
const PARTITIONS_MAX: u32 = 256;

/// A number with the range of one of the harness's own keys.
pub(super) fn in_range(name: &'static str) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let Some(Kind::Number { min, max, .. }) = pipeline::key(name).map(|key| key.kind) else {
            return Err(format!("{name} is no number"));
        };
        whole(text, min, max)
    }
}

/// A whole number of a range.
pub(super) fn whole(text: &str, min: u64, max: u64) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("expected a whole number from {min} to {max}")),
    }
}

/// How many of something; there is no largest number that makes sense.
pub(super) fn count(text: &str) -> Result<u64, String> {
    whole(text, 1, u64::MAX).map_err(|_| "expected a whole number from 1 on".to_owned())
}

/// Lines of a list.
pub(super) fn lines(text: &str) -> Result<u32, String> {
    whole32(text, LINES_MAX)
}

/// Partitions of the demo's topic.
pub(super) fn partitions(text: &str) -> Result<u32, String> {
    whole32(text, PARTITIONS_MAX)
}

fn whole32(text: &str, max: u32) -> Result<u32, String> {
    let number = whole(text, 1, u64::from(max))?;
    u32::try_from(number).map_err(|_| "expected a smaller number".to_owned())
}

/// `I/N`: leaf I, from 0, of N.
pub(super) fn leaf(text: &str) -> Result<(u32, u32), String> {
    let leaves_max = in_range("leaves");
    let read = || {
        let (leaf, leaves) = text.split_once('/')?;
        leaves_max(leaves).ok()?;
        let pair = (leaf.parse::<u32>().ok()?, leaves.parse::<u32>().ok()?);
        (pair.0 < pair.1).then_some(pair)
    };
    read().ok_or_else(|| "expected I/N with I from 0 to N-1, for example 0/3".to_owned())
}

/// How a run is to be shown.
pub(crate) fn style(view: ViewArgs) -> (Style, Verbosity) {
    let style = match (view.json, view.quiet) {
        (true, _) => Style::Json,
        (false, true) => Style::Quiet,
        (false, false) => Style::Progress,
    };
    let verbosity = match view.verbose {
        0 => Verbosity::Warnings,
        1 => Verbosity::Info,
        _ => Verbosity::Debug,
    };
    (style, verbosity)
}

impl StoreArgs {
    /// The store that was named by argument or environment, if one was.
    ///
    /// # Errors
    /// The address is wrong, or an argument has a password.
    pub(crate) fn named(&self) -> Result<Option<StoreUrl>, CliError> {
        if let Some(text) = &self.store {
            let url: StoreUrl = text.parse()?;
            refuse_password(&url)?;
            return Ok(Some(url));
        }
        let Some(text) = std::env::var_os(STORE_VARIABLE).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let Some(text) = text.to_str() else {
            return Err(CliError::other(Exit::Config, format!("{STORE_VARIABLE} is not UTF-8")));
        };
        let url = text.parse().map_err(|error: crate::store::StoreError| {
            CliError::from(error.context(STORE_VARIABLE))
        })?;
        Ok(Some(url))
    }

    /// The password that was handed over in a file, if one was.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn password(&self) -> Result<Option<Secret>, CliError> {
        self.store_password_file.as_deref().map(read_password).transpose()
    }

    /// The store, which must be named.
    ///
    /// # Errors
    /// It is not named, or its address is wrong.
    pub(crate) fn required(&self) -> Result<StoreUrl, CliError> {
        let Some(url) = self.named()? else {
            return Err(CliError::Usage {
                message: format!("no store: give --store, or set {STORE_VARIABLE}"),
                hint: Some(format!("accepted: {ACCEPTED_FORMS}")),
            });
        };
        Ok(match self.password()? {
            Some(password) => url.with_password(password),
            None => url,
        })
    }

    /// The store, which must be named and be there already: reading makes no SQLite file.
    ///
    /// # Errors
    /// It is not named, its address is wrong, or its file does not exist.
    pub(crate) fn existing(&self) -> Result<StoreUrl, CliError> {
        let url = self.required()?;
        if let StoreUrl::Sqlite { path } = &url
            && !path.exists()
        {
            let text = format!("{} does not exist; name the file of a store", path.display());
            return Err(CliError::other(Exit::Config, text));
        }
        Ok(url)
    }
}

fn refuse_password(url: &StoreUrl) -> Result<(), CliError> {
    match url {
        StoreUrl::Server(address) if address.password.is_some() => Err(CliError::Usage {
            message: "--store must not have a password: every user of the machine can read \
                      arguments"
                .to_owned(),
            hint: Some(format!(
                "set {STORE_VARIABLE} to the address, use --store-password-file, or write ${{env:NAME}} \
                 in the pipeline file"
            )),
        }),
        StoreUrl::Server(_) | StoreUrl::Sqlite { .. } => Ok(()),
    }
}

pub(super) fn read_password(path: &Path) -> Result<Secret, CliError> {
    let unreadable = |why: String| {
        CliError::other(Exit::Config, format!("read the password file {}: {why}", path.display()))
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(REFERENCE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| unreadable(error.to_string()))?;
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(unreadable("it is empty".to_owned()));
    }
    Ok(Secret::new(password))
}
