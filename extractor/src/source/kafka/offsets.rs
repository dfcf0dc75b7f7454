//! Asking the brokers for offsets of partitions, and waiting for leaders that are away. It reads no
//! record.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use protocol::{Code, Failure};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{At, Client, Listed, ask};
use super::fetcher::Fetcher;
use super::position::Place;
use super::{ASK_TIMEOUT, Kafka, failure, pause};
use crate::source::Cancel;

/// How long leaders that are away are waited for. Why 5 s: an election takes less, and three
/// questions may follow each other within a host's own deadline of 30 s.
const LEADER_WAIT: Duration = Duration::from_secs(5);

/// Time between two looks for them.
const LEADER_LOOK: Duration = Duration::from_millis(500);

/// Topics whose leaders are asked for one by one. Why 8: more would wait for each other, and one
/// question for all topics of the brokers is answered in the time of a few.
const TOPICS_APART_MAX: usize = 8;

/// Why no offsets can be told now: leaders are away.
struct Away {
    /// The topics whose leaders are to be looked for.
    topics: BTreeSet<String>,
    failure: Failure,
}

impl Away {
    fn new<'a>(places: impl IntoIterator<Item = &'a Place>, failure: Failure) -> Self {
        Self { topics: places.into_iter().map(|place| place.topic.clone()).collect(), failure }
    }
}

/// Whether a partition that is there cannot be asked now, because its leader is away, moved, or has
/// just been elected: all errors after which librdkafka looks for leaders anew
/// (`rd_kafka_handle_ListOffsets`), but that a topic is unknown.
pub(super) const fn is_away(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        code,
        E::LeaderNotAvailable
            | E::NotLeaderForPartition
            | E::ReplicaNotAvailable
            | E::KafkaStorageError
            | E::OffsetNotAvailable
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
    )
}

impl<F: Fetcher> Kafka<F> {
    /// Asks for one offset of every place. Leaders that are away are waited for.
    pub(super) fn ask_offsets(
        &self,
        places: &[Place],
        at: At,
        cancel: &Cancel,
    ) -> Result<Vec<Option<i64>>, Failure> {
        let started = Instant::now();
        loop {
            let away = match self.list(ASK_TIMEOUT, places, at, cancel)? {
                Ok(offsets) => return Ok(offsets),
                Err(away) => away,
            };
            if started.elapsed() >= LEADER_WAIT {
                return Err(away.failure);
            }
            pause(cancel, LEADER_LOOK)?;
            let left = LEADER_WAIT.saturating_sub(started.elapsed());
            match self.refresh(away.topics, left, cancel) {
                Ok(()) => {}
                Err(other) if other.code == Code::Cancelled || !other.retryable => {
                    return Err(other);
                }
                // Who is away says more than that nobody told in time whether it is back.
                Err(other) => {
                    tracing::info!(error = other.message, "leaders cannot be looked for");
                    return Err(away.failure);
                }
            }
        }
    }

    /// Has librdkafka learn who leads: it keeps to an answer that named no leader. All questions
    /// together take at most `limit`; those for which no time is left are not asked.
    fn refresh(
        &self,
        topics: BTreeSet<String>,
        limit: Duration,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let call = move |client: &Client, limit: Duration| {
            if topics.len() > TOPICS_APART_MAX {
                return client.topic_names(limit).map(drop);
            }
            let started = Instant::now();
            topics.iter().try_for_each(|topic| match limit.saturating_sub(started.elapsed()) {
                Duration::ZERO => Ok(()),
                left => client.brokers(topic, left).map(drop),
            })
        };
        ask(&self.client, cancel, limit, call)?
            .map_err(|code| failure::from_code(&self.client, "list brokers", code))
    }

    pub(super) fn ask_offsets_within(
        &self,
        limit: Duration,
        places: &[Place],
        at: At,
        cancel: &Cancel,
    ) -> Result<Vec<Option<i64>>, Failure> {
        self.list(limit, places, at, cancel)?.map_err(|away| away.failure)
    }

    /// Asks once. The inner error: leaders are away, which may pass soon.
    fn list(
        &self,
        limit: Duration,
        places: &[Place],
        at: At,
        cancel: &Cancel,
    ) -> Result<Result<Vec<Option<i64>>, Away>, Failure> {
        let asked = places.to_vec();
        let call = move |client: &Client, limit| client.list_each(&asked, at, limit);
        let failed = |what: &str, code| failure::from_code(&self.client, what, code);
        let each = match ask(&self.client, cancel, limit, call)? {
            Ok(each) => each,
            // It is so for one of them, and for which one is not told.
            Err(code) if is_away(code) => {
                return Ok(Err(Away::new(places, failure::leader_moved(places, code))));
            }
            Err(code) => return Err(failed("list offsets", code)),
        };
        let is_away = |listed: &Listed| listed.is_err_and(is_away);
        let away = places.iter().zip(&each).filter(|(_, listed)| is_away(listed));
        let away: Vec<_> = away.map(|(place, _)| place).collect();
        if !away.is_empty() {
            let failure = failure::no_leader(&away);
            return Ok(Err(Away::new(away, failure)));
        }
        let one = |(place, offset): (&Place, Listed)| {
            offset.map_err(|code| failed(&place.to_string(), code))
        };
        places.iter().zip(each).map(one).collect::<Result<_, _>>().map(Ok)
    }
}
