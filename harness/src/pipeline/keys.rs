//! The keys of a pipeline that are the harness's own: one table for reading, help and suggestions.
//!
//! Touches nothing. Invariant: a key that is not in this table is the extractor's.

use protocol::message::UnknownKey;

use super::points::{END_FORM, START_FORM};
use protocol::limits::{EXTRACT_BYTES_MAX, EXTRACT_INTERVAL_MS_MAX, EXTRACT_ROWS_MAX};

/// What a key may be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text of a form that the reader checks.
    Text {
        /// The form, for people.
        form: &'static str,
        /// What holds without it, for people.
        default: &'static str,
    },
    /// A whole number.
    Number {
        /// What holds without it.
        default: u64,
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// One of some words; the first is the default.
    Words(&'static [&'static str]),
}

impl Kind {
    /// What may be written, for error texts.
    pub fn expected(self) -> String {
        match self {
            Self::Text { form, .. } => form.to_owned(),
            Self::Number { min, max, .. } => format!("a whole number from {min} to {max}"),
            Self::Words(words) => words.join(" or "),
        }
    }

    /// What holds without the key, for people.
    pub fn default_text(self) -> String {
        match self {
            Self::Text { default, .. } => default.to_owned(),
            Self::Number { default, .. } => default.to_string(),
            Self::Words(words) => words.first().copied().unwrap_or_default().to_owned(),
        }
    }
}

/// One of the harness's own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Other names by which it is documented elsewhere.
    pub aliases: &'static [&'static str],
    /// What it may be set to.
    pub kind: Kind,
    /// What it does.
    pub doc: &'static str,
}

impl Key {
    /// Whether this is one of its names.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// Most tasks, and most leaves, of a pipeline. Why 1024: each is a process; more is a mistake.
const PROCESSES_MAX: u64 = 1024;

/// Most failures in a row at the same offsets.
const ATTEMPTS_MAX: u64 = 1_000_000;

/// Longest wait for a database that does not answer. Why a day: longer is no restart any more.
const STORE_RETRY_MS_MAX: u64 = 86_400_000;

macro_rules! keys {
    ($($name:literal $(or $alias:literal)*, $kind:expr, $doc:literal;)*) => {
        /// Every key that the harness reads itself.
        pub const KEYS: &[Key] = &[
            $(Key { name: $name, aliases: &[$($alias),*], kind: $kind, doc: $doc },)*
        ];
    };
}

const fn number(default: u64, min: u64, max: u64) -> Kind {
    Kind::Number { default, min, max }
}

const fn text(form: &'static str, default: &'static str) -> Kind {
    Kind::Text { form, default }
}

keys! {
    "name", text("text", "required"), "name of the pipeline in the catalogue";
    "connector.class", text("the name of a source", "required"),
        "which source to read; the extractor gets it too";
    "store", text("sqlite:PATH or mysql://user[:${env:PASSWORD}]@host[:port]/database[?load=load-data]", "required"),
        "where rows and offsets go; --store and S2X_STORE win; ?load=load-data loads with LOAD DATA LOCAL INFILE";
    "table", text("a table name", "the pipeline's name"), "table that the rows go to";
    "tasks.max", number(4, 1, PROCESSES_MAX),
        "extractor processes per leaf; where it is not set, 1 into SQLite, which has one writer";
    "leaves", number(1, 1, PROCESSES_MAX), "leaves that share the splits, all in one process";
    "batch.rows" or "pipelines_extractor_batch_size",
        number(10_000, 1, EXTRACT_ROWS_MAX), "rows of one batch at most";
    "batch.bytes", number(16_777_216, 65_536, EXTRACT_BYTES_MAX),
        "bytes of encoded rows of one batch at most";
    "batch.interval.ms" or "pipelines_extractor_max_batch_interval_ms",
        number(1000, 1, EXTRACT_INTERVAL_MS_MAX),
        "time until a batch is cut; where it is not set, 100 with --until-caught-up";
    "start", text(START_FORM, "earliest"),
        "where splits begin in the first run; a map begins at the beginning of what it does not name";
    "end", text(END_FORM, "none"),
        "where a bounded run ends, with exit code 0; partitions that it does not name are not read";
    "errors.tolerance" or "runtime.error.tolerance", Kind::Words(&["none", "all"]),
        "a record that is not what was declared: stop before it, or write it to the errors table";
    "errors.deadletterqueue.topic.name" or "runtime.error.topic.name", text("the name of a topic", "none"),
        "topic that also gets each such record as it was received, acknowledged before its batch is committed";
    "errors.deadletterqueue.bootstrap.servers" or "runtime.error.bootstrap.servers",
        text("host:port, separated by commas", "bootstrap.servers of the pipeline"),
        "where that topic is; settings of the client are producer.override.*";
    "errors.deadletterqueue.context.headers.enable", Kind::Words(&["true", "false"]),
        "whether the record gets headers that say why it is there";
    "errors.log.enable", Kind::Words(&["false", "true"]), "whether each such record is told, without contents";
    "errors.log.include.messages", Kind::Words(&["false"]), "records are in no log";
    "runtime.error.mode", text("ignore, table, tablestore or kafka", "table"),
        "the sink's name for what becomes of such records: kafka needs a topic, any other has none";
    "singlestore.recordToTable.mappingField", text("names of nested fields with dots between them", "none"),
        "field of the record that says its table, by singlestore.recordToTable.mapping.VALUE=TABLE";
    "fields.whitelist", text("names of fields with commas between them", "none"),
        "outermost fields of the record that go to columns of the same name, beside singlestore.columnToField.TABLE.COLUMN";
    "singlestore.upsert", Kind::Words(&["false", "true"]),
        "whether a row takes the place of the one with the same key, of which the table has one";
    "singlestore.metadata.allow", Kind::Words(&["false", "true"]),
        "whether a table gets a row for each partition of a batch, in its transaction";
    "singlestore.metadata.table", text("a table name", "kafka_connect_transaction_metadata"), "that table";
    "extractor.path", text("the path of a program", "found beside the harness, then on PATH"),
        "program that reads the source";
    "metrics", text(crate::metrics::FORM, "none"),
        "where /metrics, /healthz and /readyz are answered while it runs";
    "retry.attempts" or "pipelines_max_retries_per_batch_partition",
        number(4, 0, ATTEMPTS_MAX),
        "failures in a row at the same offsets before the pipeline stops";
    "max.retries", number(10, 0, ATTEMPTS_MAX),
        "attempts at a database or a source that does not answer after the first one, instead of retry.away.ms; counted anew after each success";
    "retry.backoff.ms", number(3000, 1, STORE_RETRY_MS_MAX), "the pause before each of them";
    "retry.away.ms" or "store.retry.ms", number(300_000, 0, STORE_RETRY_MS_MAX),
        "how long a database or a source that does not answer is waited for, once the run has begun";
}

/// Beginnings of keys that are the harness's own whatever follows.
pub(super) const PREFIXES: [&str; 4] =
    [super::aside::CLIENT, super::route::TABLE_NAME, super::route::MAPPING, super::route::COLUMN];

/// Whether a key is the harness's own.
pub(super) fn is_own(name: &str) -> bool {
    key(name).is_some() || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The harness's own key of that name or alias.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.is_called(name))
}

/// The harness's own key that looks most like `word`, if one is near enough to be a slip.
pub fn nearest_key(word: &str) -> Option<String> {
    let names =
        KEYS.iter().flat_map(|key| [key.name].into_iter().chain(key.aliases.iter().copied()));
    nearest(word, names)
}

/// The error for a key that neither the harness nor the extractor knows.
pub fn unknown_key(unknown: &UnknownKey) -> String {
    let nearest = unknown.nearest.clone().or_else(|| nearest_key(&unknown.key));
    let hint = nearest.map_or_else(String::new, |key| format!("; did you mean {key:?}?"));
    format!("unknown key {:?} in the pipeline's configuration{hint}", unknown.key)
}

/// The known word nearest to `word`, if one is near enough to be a slip.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    // A third of the letters: one slip in a word of three, four in one of twelve.
    let most = (word.chars().count() / 3).max(1);
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}
