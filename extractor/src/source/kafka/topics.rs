//! Which topics a pipeline reads: those of a list, or all whose names match a pattern. Pure.

use protocol::Failure;
use regex_lite::{Regex, RegexBuilder};

use crate::config::Settings;

/// Topics of one pipeline. Why 1,000: more is a mistake in the list or the pattern.
pub const TOPICS_MAX: usize = 1000;

/// Bytes of `topics.regex`. Why 1,000: four of the longest names.
const REGEX_BYTES_MAX: usize = 1000;

/// Bytes that a compiled pattern may take. Why 1 MiB: no pattern of names comes near it, and
/// `((a{99}){99}){99}` does not pass. Matching takes time linear in the name, whatever the pattern.
const REGEX_MEMORY_MAX: usize = 1024 * 1024;

/// How deep the groups of a pattern may nest. Why 20: the parser follows them by recursion.
const REGEX_NEST_MAX: u32 = 20;

const KEYS: [&str; 2] = ["topics", "kafka.topic"];
const REGEX_KEY: &str = "topics.regex";

/// The topics of a pipeline.
#[derive(Clone, Debug)]
pub enum Selection {
    /// These, sorted, without repeats; each must be there.
    Named(Vec<String>),
    /// All that match, now and later.
    Matching(Pattern),
}

/// A pattern of names of topics.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: Regex,
    /// Whether the pattern itself names topics that begin with two underscores.
    internal: bool,
}

impl Selection {
    /// Reads `topics` or `topics.regex`.
    ///
    /// # Errors
    /// None or both are given, or the value cannot be used.
    pub(super) fn read(settings: &Settings) -> Result<Self, Failure> {
        let list = settings.text_of_any(&KEYS)?;
        match (list, settings.text(REGEX_KEY)) {
            (Some((key, _)), Some(_)) => {
                let text = format!("{key} is set too, and either decides alone; keep one of them");
                Err(settings.invalid(REGEX_KEY, &text))
            }
            (Some((key, text)), None) => names(settings, key, text).map(Self::Named),
            (None, Some(text)) => pattern(settings, text).map(Self::Matching),
            (None, None) => Err(missing()),
        }
    }

    /// Whether a topic of this name is read.
    pub(super) fn takes(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|it| it == name),
            Self::Matching(pattern) => pattern.takes(name),
        }
    }

    /// The pattern, where topics are chosen by one.
    pub(super) const fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::Named(_) => None,
            Self::Matching(pattern) => Some(pattern),
        }
    }
}

impl Pattern {
    /// Whether the whole name matches. Names that begin with two underscores belong to brokers and
    /// tools, and are taken only where the pattern itself has two underscores.
    pub(super) fn takes(&self, name: &str) -> bool {
        (self.internal || !name.starts_with("__")) && self.whole.is_match(name)
    }

    /// As the user wrote it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

fn missing() -> Failure {
    let what = "name at least one topic, several separated by commas, or give topics.regex";
    Settings::missing("topics", what)
}

fn names(settings: &Settings, key: &str, text: &str) -> Result<Vec<String>, Failure> {
    let mut topics: Vec<String> =
        text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect();
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() {
        return Err(missing());
    }
    if topics.len() > TOPICS_MAX {
        return Err(settings.invalid(key, &format!("more than {TOPICS_MAX} topics")));
    }
    if topics.iter().all(|topic| is_topic_name(topic)) {
        return Ok(topics);
    }
    let text = "a topic name has 1 to 249 letters, digits, dots, underscores and hyphens; a pattern \
                belongs into topics.regex";
    Err(settings.invalid(key, text))
}

/// The pattern must match the whole name, as Kafka Connect has it.
fn pattern(settings: &Settings, text: &str) -> Result<Pattern, Failure> {
    let text = text.trim();
    if text.is_empty() || text.len() > REGEX_BYTES_MAX {
        let reason = format!("a pattern has 1 to {REGEX_BYTES_MAX} bytes");
        return Err(settings.invalid(REGEX_KEY, &reason));
    }
    let compile = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(REGEX_MEMORY_MAX).nest_limit(REGEX_NEST_MAX).build()
    };
    // On its own first: `a)|(b` is no pattern, but would be one inside a group.
    let whole = compile(text).and_then(|_| compile(&format!(r"\A(?:{text})\z")));
    let whole = whole.map_err(|error| {
        let reason = format!(
            "no pattern that can be used ({error}); it is a regular expression without look-around \
             and back-references that must match the whole name, for example orders-.*"
        );
        settings.invalid(REGEX_KEY, &reason)
    })?;
    Ok(Pattern { text: text.to_owned(), whole, internal: text.contains("__") })
}

/// What brokers accept as the name of a topic.
pub(super) fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(legal) && name != "." && name != ".."
}

#[cfg(test)]
mod tests;
