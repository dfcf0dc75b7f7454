//! From a pipeline file and what the command line adds to it, to a plan.
//!
//! May touch: the file system to find the extractor. Invariant: the command line wins over the file;
//! what neither says has the default of the table in `keys`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::message::{Object, Start};
use serde_json::Value;

use super::document::{Document, Entry};
use super::error::PipelineError;
use super::keys::{self, Kind};
use super::points::{AFTER_NUMBER, AT_NUMBER, moment, parse_end, parse_numbers, parse_start};
use super::{extractor, secret};
use crate::metrics;
use crate::run::{
    BatchLimits, ExtractorCommand, OnError, Pauses, Plan, Point, Points, Retry, Share,
    SourceConfig, Until,
};
use crate::store::{ACCEPTED_FORMS, Secret, StoreUrl};

/// How long a run that ends when it has caught up waits for more rows of a batch, unless that is set.
///
/// Why 100 ms: its last batches would wait a whole second for rows that are not there; while it is behind,
/// a batch is full in less.
const CAUGHT_UP_INTERVAL: Duration = Duration::from_millis(100);

/// Tasks of a leaf that loads into an SQLite file, unless that is set.
///
/// Why 1: the file has one writer at a time, so that more would only wait for its lock, each with an
/// extractor of its own.
const SQLITE_TASKS: u32 = 1;

/// What the command line says; it wins over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Where rows and offsets go.
    pub store: Option<StoreUrl>,
    /// The password of the store, handed over apart from its address.
    pub store_password: Option<Secret>,
    /// The table.
    pub table: Option<String>,
    /// `tasks.max`.
    pub tasks: Option<u64>,
    /// `leaves`.
    pub leaves: Option<u64>,
    /// The one leaf that this process runs, from 0, and the count of leaves.
    pub leaf: Option<(u32, u32)>,
    /// `batch.rows`.
    pub batch_rows: Option<u64>,
    /// `batch.bytes`.
    pub batch_bytes: Option<u64>,
    /// `batch.interval.ms`.
    pub batch_interval_ms: Option<u64>,
    /// `start`.
    pub start: Option<Points>,
    /// `end`.
    pub end: Option<Points>,
    /// `errors.tolerance`.
    pub on_error: Option<OnError>,
    /// `retry.attempts`.
    pub retries: Option<u64>,
    /// Pauses between retries, where SQL says them.
    pub pauses: Option<Pauses>,
    /// `extractor.path`.
    pub extractor: Option<PathBuf>,
    /// When the run ends by itself.
    pub until: Option<Until>,
    /// `metrics`.
    pub metrics: Option<SocketAddr>,
}

/// What is looked up outside the file.
#[derive(Clone)]
pub struct Surroundings<'a> {
    /// Environment variables.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// The folder of the program that runs.
    pub program_folder: Option<PathBuf>,
}

impl Surroundings<'static> {
    /// Those of this process.
    pub fn of_process() -> Self {
        let program = std::env::current_exe().ok();
        Self {
            env: &|name| std::env::var_os(name),
            program_folder: program.as_deref().and_then(Path::parent).map(Path::to_owned),
        }
    }
}

/// Reads a pipeline file and makes a plan of it.
///
/// # Errors
/// The file cannot be read or understood, a value cannot work, or there is no extractor.
pub fn load(
    path: &Path,
    overrides: &Overrides,
    surroundings: &Surroundings<'_>,
) -> Result<Plan, PipelineError> {
    let document = Document::read(path, surroundings.env)?;
    plan(&document, overrides, surroundings)
}

/// Makes a plan of a pipeline.
///
/// # Errors
/// A value cannot work, or there is no extractor.
pub fn plan(
    document: &Document,
    overrides: &Overrides,
    surroundings: &Surroundings<'_>,
) -> Result<Plan, PipelineError> {
    let reader = Reader { document };
    let name = reader.required("name", "add \"name\": \"orders\", say")?;
    reader.required("connector.class", "add \"connector.class\": \"kafka\", say")?;
    let table = match &overrides.table {
        Some(table) => table.clone(),
        None => reader.text("table")?.unwrap_or_else(|| name.clone()),
    };
    let mut store = reader.store(overrides.store.as_ref())?;
    if let Some(password) = &overrides.store_password {
        store = store.with_password(password.clone());
    }
    let until = overrides.until.unwrap_or(Until::Stopped);
    let limits = BatchLimits {
        rows: reader.number("batch.rows", overrides.batch_rows)?,
        bytes: reader.number("batch.bytes", overrides.batch_bytes)?,
        interval: reader.interval(overrides.batch_interval_ms, until)?,
        ..BatchLimits::default()
    };
    let retry = Retry {
        attempts: reader.number32("retry.attempts", overrides.retries)?,
        away: reader.millis("retry.away.ms", None)?,
        store: reader.store_retries()?,
        pauses: overrides.pauses,
    };
    let share = reader.share(overrides, &store)?;
    let start = reader.start(overrides.start.as_ref())?;
    let end = reader.end(overrides)?;
    let on_error = reader.on_error(overrides.on_error)?;
    let aside = reader.aside(on_error)?;
    let route = reader.route(&table)?;
    let from_file = reader.text("extractor.path")?.map(PathBuf::from);
    let named = overrides.extractor.as_deref().or(from_file.as_deref());
    let extractor =
        ExtractorCommand { program: extractor::find(named, surroundings)?, args: Vec::new() };
    let source = source(document);
    let metrics = match (overrides.metrics, reader.text("metrics")?) {
        (Some(address), _) => Some(address),
        (None, Some(text)) => {
            Some(metrics::address(&text).map_err(|_| reader.unexpected("metrics", metrics::FORM))?)
        }
        (None, None) => None,
    };
    let definition = None;
    Ok(Plan {
        name,
        table,
        store,
        source,
        extractor,
        share,
        limits,
        start,
        end,
        until,
        on_error,
        aside,
        route,
        retry,
        metrics,
        definition,
        pooled: None,
        is_probe: false,
    })
}

/// CONFIG and CREDENTIALS for the extractor.
fn source(document: &Document) -> SourceConfig {
    let pair = |entry: &Entry| (entry.key.clone(), entry.value.clone());
    let is_sources = |entry: &&Entry| entry.key == "connector.class" || !keys::is_own(&entry.key);
    let is_credential = |entry: &&Entry| !keys::is_own(&entry.key);
    SourceConfig {
        config: document.config.iter().filter(is_sources).map(pair).collect::<Object>(),
        credentials: document.credentials.iter().filter(is_credential).map(pair).collect(),
        redacted_json: secret::redacted_json(&document.config, &document.credentials),
    }
}

pub(super) struct Reader<'a> {
    pub(super) document: &'a Document,
}

impl Reader<'_> {
    /// The entry of one of the harness's own keys, under whichever of its names.
    pub(super) fn entry(&self, name: &str) -> Result<Option<&Entry>, PipelineError> {
        let Some(key) = keys::key(name) else { return Ok(None) };
        let mut found = self.document.config.iter().filter(|entry| key.is_called(&entry.key));
        let first = found.next();
        if let (Some(first), Some(second)) = (first, found.next())
            && first.written != second.written
        {
            let reason = format!("{} means the same and is set otherwise; keep one", first.key);
            return Err(self.document.wrong(second, reason));
        }
        Ok(first)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, PipelineError> {
        let Some(entry) = self.entry(name)? else { return Ok(None) };
        match &entry.value {
            Value::String(text) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
            Value::String(_) => {
                Err(self.document.wrong(entry, "it is empty; set it or leave it out"))
            }
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::Bool(flag) => Ok(Some(flag.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(self.document.wrong(entry, "expected text"))
            }
        }
    }

    fn required(&self, name: &'static str, what: &str) -> Result<String, PipelineError> {
        self.text(name)?.ok_or_else(|| PipelineError::Missing {
            path: self.document.path.clone(),
            key: name,
            reason: self.slip_of(name).unwrap_or_else(|| what.to_owned()),
        })
    }

    /// What the file may have meant to be this key: a slip of the pen is no reason to add the key
    /// a second time.
    fn slip_of(&self, name: &str) -> Option<String> {
        let others = self.document.config.iter().filter(|entry| keys::key(&entry.key).is_none());
        let written = keys::nearest(name, others.map(|entry| entry.key.as_str()))?;
        let line = self.document.config.iter().find(|entry| entry.key == written)?.place.line;
        Some(format!("did you mean {name:?}? you wrote {written:?} in line {line}"))
    }

    /// The error of a value that is none of those expected. It quotes the value as written, which is
    /// a reference's name where it is one.
    pub(super) fn unexpected(&self, name: &str, expected: &str) -> PipelineError {
        let Ok(Some(entry)) = self.entry(name) else {
            return PipelineError::Missing {
                path: self.document.path.clone(),
                key: "name",
                reason: expected.to_owned(),
            };
        };
        let written = match &entry.written {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let shown: String =
            written.chars().take(64).map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.document.wrong(entry, format!("expected {expected}, not {shown}"))
    }

    fn number(&self, name: &str, flag: Option<u64>) -> Result<u64, PipelineError> {
        if let Some(number) = flag {
            return Ok(number);
        }
        let kind = keys::key(name).map(|key| key.kind);
        let Some(Kind::Number { default, min, max }) = kind else { return Ok(0) };
        let Some(text) = self.text(name)? else { return Ok(default) };
        match text.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            Ok(_) | Err(_) => {
                Err(self.unexpected(name, &Kind::Number { default, min, max }.expected()))
            }
        }
    }

    fn number32(&self, name: &str, flag: Option<u64>) -> Result<u32, PipelineError> {
        let number = self.number(name, flag)?;
        u32::try_from(number).map_err(|_| self.unexpected(name, "a smaller number"))
    }

    /// How often a database that does not answer is tried again, where that was said.
    fn store_retries(&self) -> Result<Option<(u32, Duration)>, PipelineError> {
        const KEYS: [&str; 2] = ["max.retries", "retry.backoff.ms"];
        if self.text(KEYS[0])?.is_none() && self.text(KEYS[1])?.is_none() {
            return Ok(None);
        }
        if self.entry("retry.away.ms")?.is_some() {
            return Err(
                self.wrong(KEYS[0], "a database is waited for by attempts or by time; keep one")
            );
        }
        Ok(Some((self.number32(KEYS[0], None)?, self.millis(KEYS[1], None)?)))
    }

    fn millis(&self, name: &str, flag: Option<u64>) -> Result<Duration, PipelineError> {
        self.number(name, flag).map(Duration::from_millis)
    }

    /// The time until a batch is cut. A run that ends by itself has its own default.
    fn interval(&self, flag: Option<u64>, until: Until) -> Result<Duration, PipelineError> {
        const KEY: &str = "batch.interval.ms";
        let is_set = flag.is_some() || self.text(KEY)?.is_some();
        if until == Until::CaughtUp && !is_set {
            return Ok(CAUGHT_UP_INTERVAL);
        }
        self.millis(KEY, flag)
    }

    fn share(&self, overrides: &Overrides, store: &StoreUrl) -> Result<Share, PipelineError> {
        const KEY: &str = "tasks.max";
        let is_set = overrides.tasks.is_some() || self.text(KEY)?.is_some();
        let tasks = match store {
            StoreUrl::Sqlite { .. } if !is_set => SQLITE_TASKS,
            StoreUrl::Sqlite { .. } | StoreUrl::Server(_) => self.number32(KEY, overrides.tasks)?,
        };
        Ok(match overrides.leaf {
            Some((leaf, leaves)) => Share { leaves, leaf: Some(leaf), tasks },
            None => Share { leaves: self.number32("leaves", overrides.leaves)?, leaf: None, tasks },
        })
    }

    fn store(&self, flag: Option<&StoreUrl>) -> Result<StoreUrl, PipelineError> {
        if let Some(url) = flag {
            return Ok(url.clone());
        }
        let what = format!("give --store, set S2X_STORE, or add it; accepted: {ACCEPTED_FORMS}");
        let text = self.required("store", &what)?;
        text.parse().map_err(|error: crate::store::StoreError| match self.entry("store") {
            Ok(Some(entry)) => self.document.wrong(entry, error.to_string()),
            Ok(None) | Err(_) => self.unexpected("store", ACCEPTED_FORMS),
        })
    }

    /// A key that is a word, or a map of partitions, which a JSON file may hold as an object.
    fn points(
        &self,
        name: &str,
        parse: fn(&str) -> Result<Points, String>,
    ) -> Result<Option<Points>, PipelineError> {
        let map = self.entry(name)?.filter(|entry| entry.value.is_object());
        let text = match map {
            Some(entry) => Some(entry.value.to_string()),
            None => self.text(name)?,
        };
        let read = text.as_deref().map(parse).transpose();
        read.map_err(|expected| self.unexpected(name, &expected))
    }

    fn start(&self, flag: Option<&Points>) -> Result<Option<Points>, PipelineError> {
        if flag.is_some() {
            return Ok(flag.cloned());
        }
        match self.points("start", parse_start)? {
            Some(start) => Ok(Some(start)),
            None => self.position(),
        }
    }

    fn end(&self, overrides: &Overrides) -> Result<Option<Points>, PipelineError> {
        let end = match &overrides.end {
            Some(end) => Some(end.clone()),
            None => self.points("end", parse_end)?,
        };
        match (end, overrides.until) {
            (Some(_), Some(Until::CaughtUp)) => Err(self.unexpected(
                "end",
                "no end beside --until-caught-up, since a bounded run ends by itself",
            )),
            (end, _) => Ok(end),
        }
    }

    /// The Kinesis connectors say in `kinesis.position` where a pipeline begins. The host owns that,
    /// because it makes it durable (E5). A word that is none, or that lacks its place, is the
    /// extractor's to refuse, before anything is read.
    fn position(&self) -> Result<Option<Points>, PipelineError> {
        let find = |key: &str| self.document.config.iter().find(|entry| entry.key == key);
        let word = find("kinesis.position").and_then(|entry| entry.value.as_str());
        let word = word.map(|word| word.trim().to_ascii_uppercase());
        let read = |key: &str, parse: &dyn Fn(&str) -> Result<Points, String>| {
            let Some(entry) = find(key) else { return Ok(None) };
            let text = match &entry.value {
                Value::String(text) => text.trim().to_owned(),
                other => other.to_string(),
            };
            let wrong =
                |expected: String| self.document.wrong(entry, format!("expected {expected}"));
            parse(&text).map(Some).map_err(wrong)
        };
        const TIME: &str = "milliseconds since 1970, or a time such as 2026-01-31T00:00:00Z";
        let time = |text: &str| {
            moment(text).map(|at| Points::all(Point::At(at))).ok_or_else(|| TIME.to_owned())
        };
        const NUMBERS: &str = "kinesis.position.sequence.numbers";
        match word.as_deref() {
            Some("LATEST") => Ok(Some(Points::all(Point::At(Start::Latest)))),
            Some("AT_TIMESTAMP") => read("kinesis.position.timestamp", &time),
            Some("AT_SEQUENCE_NUMBER") => read(NUMBERS, &|text| parse_numbers(text, AT_NUMBER)),
            Some("AFTER_SEQUENCE_NUMBER") => {
                read(NUMBERS, &|text| parse_numbers(text, AFTER_NUMBER))
            }
            _ => Ok(None),
        }
    }

    fn on_error(&self, flag: Option<OnError>) -> Result<OnError, PipelineError> {
        if let Some(policy) = flag {
            return Ok(policy);
        }
        match self.text("errors.tolerance")?.as_deref() {
            None | Some("none") => Ok(OnError::Stop),
            Some("all") => Ok(OnError::Skip),
            Some(_) => Err(self.unexpected("errors.tolerance", "none or all")),
        }
    }
}
