//! Finding the topics of a pipeline on the brokers: those of its list, or those that match its
//! pattern. It asks brokers, and creates nothing.

use std::time::{Duration, Instant};

use protocol::{Code, Failure};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Client, ask};
use super::describe::{Topics, describe};
use super::failure;
use super::fetcher::Fetcher;
use super::monitor::is_unknown;
use super::topics::{Pattern, Selection, TOPICS_MAX};
use super::{ASK_TIMEOUT, Kafka, pause};
use crate::source::Cancel;

/// Time between two looks for a topic that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The names of all topics that match; blocks for at most `limit`.
pub(super) fn matching(
    client: &Client,
    pattern: &Pattern,
    limit: Duration,
) -> Result<Vec<String>, RDKafkaErrorCode> {
    let mut names = client.topic_names(limit)?;
    names.retain(|name| pattern.takes(name));
    names.sort_unstable();
    Ok(names)
}

/// Describes what is selected; blocks for at most `limit`. A topic that matched and was deleted a
/// moment later is left out.
fn look(
    client: &Client,
    selection: &Selection,
    limit: Duration,
) -> Result<Result<Topics, Failure>, RDKafkaErrorCode> {
    let pattern = match selection {
        Selection::Named(names) => return describe(client, names, limit).map(Ok),
        Selection::Matching(pattern) => pattern,
    };
    let started = Instant::now();
    let names = matching(client, pattern, limit)?;
    if names.len() > TOPICS_MAX {
        return Ok(Err(failure::too_many_match(pattern.text(), names.len())));
    }
    if names.is_empty() {
        return Ok(Ok(Topics::new()));
    }
    let mut topics = describe(client, &names, limit.saturating_sub(started.elapsed()))?;
    topics.retain(|_, topic| !matches!(topic, Err(code) if is_unknown(*code)));
    Ok(Ok(topics))
}

impl<F: Fetcher> Kafka<F> {
    /// Describes the topics of the pipeline; missing ones are waited for as long as configured.
    pub(super) fn topics(&self, cancel: &Cancel) -> Result<Topics, Failure> {
        let started = Instant::now();
        loop {
            let selection = self.settings.topics.clone();
            let call = move |client: &Client, limit| look(client, &selection, limit);
            let topics = ask(&self.client, cancel, ASK_TIMEOUT, call)?
                .map_err(|code| failure::from_code(&self.client, "list topics", code))??;
            self.client.link().up();
            let Some(missing) = self.missing(&topics) else {
                let denied = |(name, topic): (&String, &Result<_, RDKafkaErrorCode>)| {
                    let code = topic.as_ref().err()?;
                    Some(failure::from_code(&self.client, &format!("topic {name}"), *code))
                };
                return topics.iter().find_map(denied).map_or(Ok(topics), Err);
            };
            if started.elapsed() >= self.settings.topic_wait {
                return Err(missing);
            }
            pause(cancel, LOOK_AGAIN)?;
        }
    }

    /// What is not there yet: a topic of the list, or any topic that matches.
    fn missing(&self, topics: &Topics) -> Option<Failure> {
        let names = match &self.settings.topics {
            Selection::Named(names) => names,
            Selection::Matching(pattern) => {
                let none = || failure::none_matches(pattern.text(), self.client.servers());
                return topics.is_empty().then(none);
            }
        };
        let is_missing = |name: &&String| match topics.get(*name) {
            Some(Ok(_)) => false,
            Some(Err(code)) => is_unknown(*code),
            None => true,
        };
        let missing = names.iter().find(is_missing)?;
        let code = RDKafkaErrorCode::UnknownTopic;
        let failure = failure::from_code(&self.client, &format!("topic {missing}"), code);
        Some(failure.with("topic", missing.as_str()))
    }

    /// A topic or partition of the assignment that is not there any more.
    pub(super) fn vanished(&self, what: &str) -> Failure {
        failure::vanished(what, self.client.servers(), self.settings.topics.pattern())
    }

    /// Refuses a KEY whose topic is not one of the pipeline's.
    pub(super) fn require_selected(&self, topic: &str, key: &str) -> Result<(), Failure> {
        if self.settings.topics.takes(topic) {
            return Ok(());
        }
        let text = format!("KEY {key}: its topic is not one of the pipeline's topics");
        Err(Failure::new(Code::OffsetInvalid, text))
    }
}
