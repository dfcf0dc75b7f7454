//! `harness set-offsets` and `set-leaves`: what a person changes on purpose in the catalogue.
//!
//! May touch: the store, the file of offsets, and the source where a pipeline that never ran is set. Invariants: an offset is written in its canonical
//! text alone, and only for a split that the pipeline has; a change of the life of the source is
//! written after the offsets, so that a failure between the two leaves the old guard standing.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use protocol::limits::{OFFSET_KEY_BYTES_MAX, OFFSET_VALUE_BYTES_MAX};
use protocol::{OffsetKey, OffsetValue};
use serde::Deserialize;

use super::args::{SetLeavesArgs, SetOffsetsArgs};
use super::error::CliError;
use super::show::{find, open};
use crate::audit;
use crate::catalogue::{Pipeline, Places, SPLITS_MAX, Split};
use crate::exit::Exit;
use crate::import;
use crate::report::{Style, Verbosity, counted, out};
use crate::run::Control;
use crate::sql::{HostAccess, Imported, Session, Wishes};

/// Longest file of offsets, bytes.
///
/// Why: every split of the largest pipeline with the longest KEY and VALUE, and room for the fields
/// beside them.
const FILE_BYTES_MAX: u64 =
    (SPLITS_MAX * (OFFSET_KEY_BYTES_MAX + OFFSET_VALUE_BYTES_MAX + 256)) as u64;

/// KEYs of the pipeline that an error names.
const KEYS_SHOWN: usize = 5;

type Pair = (OffsetKey, OffsetValue);

pub(super) fn set_offsets(args: &SetOffsetsArgs) -> Result<Exit, CliError> {
    if let Some(path) = &args.from_connect {
        return import_offsets(args, path);
    }
    let pairs = match &args.from_file {
        Some(path) => read_file(path)?,
        None => read_values(&args.values)?,
    };
    let (mut catalogue, url) = open(&args.store)?;
    let pipeline = find(&mut catalogue, &args.name, &url)?;
    require_splits(&pipeline, &pairs, &catalogue.splits(pipeline.id)?)?;
    let texts: Vec<(&str, &str)> =
        pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let splits = audit::recorded(&mut catalogue, &statement(args, &texts), |catalogue| {
        let incarnation = args.reset_incarnation.then_some("");
        catalogue.place(pipeline.id, Places { values: &texts, incarnation })
    })?;
    for split in &splits {
        out::line(&format!("{} {}", split.key, split.value))?;
    }
    out::note(&format!(
        "{}: {} of its offsets set{}; a harness that runs it now notices with its next batch, \
         which it drops, and goes on from them",
        pipeline.name,
        splits.len(),
        if args.reset_incarnation {
            ", and the source that the next run finds is taken"
        } else {
            ""
        }
    ));
    Ok(Exit::Done)
}

/// Takes over from a Kafka Connect pipeline.
fn import_offsets(args: &SetOffsetsArgs, path: &Path) -> Result<Exit, CliError> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(import::IMPORT_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            CliError::other(Exit::NoInput, format!("cannot read the offsets of {shown}: {error}"))
        })?;
    if bytes.len() as u64 > import::IMPORT_BYTES_MAX {
        let text = format!("{shown} is larger than {} bytes", import::IMPORT_BYTES_MAX);
        return Err(CliError::other(Exit::Config, text));
    }
    let offsets = import::offsets(&bytes, args.connector.as_deref())
        .map_err(|error| CliError::other(Exit::Config, format!("{shown}: {error}")))?;
    let (mut catalogue, url) = open(&args.store)?;
    let pipeline = find(&mut catalogue, &args.name, &url)?;
    let wishes = Wishes {
        url,
        extractor: args.extractor.clone(),
        until_caught_up: true,
        leaves: None,
        leaf: None,
        style: Style::Quiet,
        verbosity: Verbosity::Warnings,
        host: HostAccess::Allowed,
        client: None,
    };
    let statement = format!("set-offsets {} --from-connect {shown}", pipeline.name);
    let Imported { splits, gone, others } = audit::recorded(&mut catalogue, &statement, |_| {
        let control = Control::default();
        let imported = Session::new(wishes, &control).import(&pipeline.name, &offsets);
        control.pool().close();
        imported
    })?;
    for split in &splits {
        out::line(&format!("{} {}", split.key, split.value))?;
    }
    let split = |count: usize| counted(count as u64, "split", "splits");
    let name = &pipeline.name;
    out::note(&format!("{name}: {} where the file says", split(splits.len())));
    if let Some(first) = others.first() {
        out::note(&format!(
            "{name}: {} that the file does not name, {} among them, at {}",
            split(others.len()),
            first.key,
            first.value
        ));
    }
    if let Some(first) = gone.first() {
        out::note(&format!(
            "{name}: {} of the file that the source does not have any more, {first} among them, left out",
            split(gone.len())
        ));
    }
    Ok(Exit::Done)
}

pub(super) fn set_leaves(args: &SetLeavesArgs) -> Result<Exit, CliError> {
    let (mut catalogue, url) = open(&args.store)?;
    let pipeline = find(&mut catalogue, &args.name, &url)?;
    let leaves = u32::try_from(args.leaves).map_err(|_| CliError::usage("N is too large"))?;
    let statement = format!("set-leaves {} {leaves}", args.name);
    audit::recorded(&mut catalogue, &statement, |catalogue| {
        catalogue.change_leaf_count(pipeline.id, leaves)
    })?;
    out::line(&format!(
        "{} is shared by {} now, before {}; every harness that runs it ends with {}; \
         start them with the new N",
        pipeline.name,
        counted(u64::from(leaves), "leaf", "leaves"),
        pipeline.leaf_count,
        Exit::Fenced.code()
    ))?;
    Ok(Exit::Done)
}

/// What was asked for, as the audit log has it. Offsets are no secrets.
fn statement(args: &SetOffsetsArgs, texts: &[(&str, &str)]) -> String {
    let reset = if args.reset_incarnation { " --reset-incarnation" } else { "" };
    let pairs: Vec<String> = texts.iter().map(|(key, value)| format!("{key} {value}")).collect();
    format!("set-offsets {}{reset} {}", args.name, pairs.join(" "))
}

/// `KEY VALUE [KEY VALUE…]`.
fn read_values(values: &[String]) -> Result<Vec<Pair>, CliError> {
    let pairs = values.chunks(2).map(|pair| match pair {
        [key, value] => {
            let shown = |error: protocol::OffsetError, text: &str| {
                CliError::usage(format!("{error}: {}", cut(text)))
            };
            Ok((
                OffsetKey::parse(key).map_err(|error| shown(error, key))?,
                OffsetValue::parse(value).map_err(|error| shown(error, value))?,
            ))
        }
        other => Err(CliError::usage(format!(
            "every KEY needs a VALUE after it: {} has none",
            cut(other.first().map_or("", String::as_str))
        ))),
    });
    pairs.collect()
}

/// One line of `harness offsets --json`; its other fields are not looked at.
#[derive(Deserialize)]
struct Line {
    key: OffsetKey,
    value: OffsetValue,
}

fn read_file(path: &Path) -> Result<Vec<Pair>, CliError> {
    let unreadable = |error: io::Error| {
        let text = format!("cannot read the file of offsets {}: {error}", path.display());
        CliError::other(Exit::NoInput, text)
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let pairs: Vec<Pair> = lines
        .map(|(index, line)| {
            let line: Line = serde_json::from_str(line).map_err(|error| {
                let text = format!(
                    "{}:{}: {error}; expected lines as harness offsets --json prints them, \
                     {{\"key\":{{…}},\"value\":{{…}}}}",
                    path.display(),
                    index + 1
                );
                CliError::other(Exit::Config, text)
            })?;
            Ok((line.key, line.value))
        })
        .collect::<Result<_, CliError>>()?;
    if pairs.is_empty() {
        let text = format!("{} holds no offsets", path.display());
        return Err(CliError::other(Exit::Config, text));
    }
    Ok(pairs)
}

/// A KEY that the pipeline does not have is a slip of the pen; written down, it would end every run.
fn require_splits(pipeline: &Pipeline, pairs: &[Pair], splits: &[Split]) -> Result<(), CliError> {
    let known: HashSet<&str> = splits.iter().map(|split| split.key.as_str()).collect();
    let Some((key, _)) = pairs.iter().find(|(key, _)| !known.contains(key.as_str())) else {
        return Ok(());
    };
    let mut keys: Vec<&str> = splits.iter().map(|split| split.key.as_str()).collect();
    keys.truncate(KEYS_SHOWN);
    let there = match (keys.len(), splits.len()) {
        (0, _) => "it has none before its first run".to_owned(),
        (shown, all) if shown < all => format!("it has {all}: {}, …", keys.join(", ")),
        _ => format!("it has: {}", keys.join(", ")),
    };
    let text = format!("pipeline {} has no split {key}; {there}", pipeline.name);
    Err(CliError::other(Exit::Config, text))
}

fn cut(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
